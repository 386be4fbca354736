"""Proofs from a tree's stored nodes, whoever keeps it: that a record is in a sealed log, and that a log only grew."""

from collections.abc import Mapping
from typing import TypeVar

from repository.events.encoding import event_id_of
from repository.proof.merkle import consistency_path, inclusion_path
from repository.proof.proof import consistency_proof, inclusion_proof
from repository.proof.seal import seal_of_text
from repository.proof.signed_note import Note
from repository.proof.tree_files import TreeFiles

Sealed = TypeVar("Sealed")


class NotProvable(ValueError):
    """What is asked for can't be proved yet, or not at all; the message says what has to happen first."""


def record_proof(tree: TreeFiles, note: Note, position: int, state: bytes, leaf: bytes, otherwise: str) -> str:
    """The proof that the record at a position is in the log that `note` seals. `leaf` is the hash of its bytes `state`.

    Raises NotProvable with the sentence `otherwise` where the record is not the one that was sealed.
    """
    index = tree.index(position)
    if index is None or tree.leaf(index) != leaf:
        raise NotProvable(otherwise)
    path = inclusion_path(index, seal_of_text(note.text).size, tree.subtree)
    return inclusion_proof(state, event_id_of(state).decode(), index, path, note)


def growth_proof(tree: TreeFiles, earlier: Note, later: Note) -> str:
    """The proof that the log that `earlier` seals is the beginning of the one that `later` seals."""
    first, second = (seal_of_text(note.text).size for note in (earlier, later))
    return consistency_proof(earlier, later, consistency_path(first, second, tree.subtree))


def two_of(sealed: Mapping[int, Sealed], first: int, second: int, which: str) -> tuple[Sealed, Sealed]:
    """What is `sealed` at two sizes, the smaller first. Raises NotProvable, which names the seals as `which`."""
    for size in (first, second):
        if size not in sealed:
            known = ", ".join(map(str, sealed)) or "none"
            raise NotProvable(f"No {which} covers {size} records; sealed sizes are {known}.")
    if first > second:
        raise NotProvable(f"{first} is more than {second}; name the smaller size first.")
    return sealed[first], sealed[second]
