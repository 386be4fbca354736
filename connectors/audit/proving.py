"""Proofs at the hub: made from its own stored nodes and the log, checked from files alone."""

from collections.abc import Iterator
from contextlib import contextmanager
from uuid import UUID

from connectors.home.folder import Home
from connectors.hub import hub
from connectors.logs.opened import opened_log
from connectors.proof.hub_tree import hub_tree_folder
from connectors.proof.verdicts import SealVerdict, Verdicts, recorded_verdicts
from repository.proof.seal import seal_of_text
from repository.proof.signed_note import Note
from repository.proof.stored_proofs import NotProvable, growth_proof, record_proof, two_of
from repository.proof.tree_files import TreeFiles, opened_tree
from repository.store.log import Checkpoint
from schemas.contracts import KINDS

PLACE = " UNION ALL ".join(
    f"SELECT publisher, position FROM {kind}_history WHERE event_id = $1::UUID" for kind in KINDS
)  # fmt: skip
RECORD_AT = "SELECT topic, partition, log_offset FROM leaves WHERE publisher = ? AND position = ?"
NOTE_OF = "SELECT signed_note FROM seal_history WHERE publisher = ? AND version = ?"


@contextmanager
def verdicts_of(home: Home) -> Iterator[Verdicts]:
    """What the hub found of seals. Raises NotProvable where it never looked."""
    with recorded_verdicts(home) as verdicts:
        if verdicts is None:
            raise NotProvable("The hub has judged no seal yet; run `yrd project` first.")
        yield verdicts


# -- one event -----------------------------------------------------------------------------------------------------


def prove(home: Home, event_id: str) -> str:
    """The proof that an event is in the log that its publisher sealed and the hub accepted. Raises NotProvable."""
    publisher, position = _place(home, event_id)
    with verdicts_of(home) as verdicts:
        sealed = verdicts.covering(publisher, position)
        if sealed is None:
            raise NotProvable(
                f"Event {event_id} at position {position} of {publisher} is under no accepted seal yet; "
                f"seal it with `yrd seal --publisher {publisher}` and then run `yrd project`."
            )
        note = _note(home, verdicts, sealed)
    event = _bytes_at(home, publisher, position)
    otherwise = f"The log no longer holds the record that was accepted at position {position} of {publisher}."
    with _tree(home, note) as tree:
        return record_proof(tree, note, position, event, tree.algorithm.leaf(event), otherwise)


def _place(home: Home, event_id: str) -> tuple[str, int]:
    try:
        asked = str(UUID(event_id))
    except ValueError:
        raise NotProvable(f'"{event_id}" is no event id; it is a UUID, as the column event_id has it.') from None
    found = hub.read(home, PLACE, [asked]).to_pylist()
    if not found:
        raise NotProvable(
            f"The base holds no event {event_id}; bring it up to date with `yrd project`, or look for its id there."
        )
    return found[0]["publisher"], found[0]["position"]


def _bytes_at(home: Home, publisher: str, position: int) -> bytes:
    """The stored bytes of one record, read again from the log at the place that the base knows."""
    (place,) = hub.read(home, RECORD_AT, [publisher, position]).to_pylist()
    with opened_log(home) as log:
        partition = (place["topic"], place["partition"])
        record = log.last_read(partition, Checkpoint(place["log_offset"] + 1, position, 0))
    if record is None or record.position != position:
        raise NotProvable(f"The log of {publisher} no longer has the record at position {position}.")
    return record.value


def _note(home: Home, verdicts: Verdicts, sealed: SealVerdict) -> Note:
    """The seal with the hub's countersignature, or as the publisher signed it where the hub has no key."""
    note = verdicts.note(sealed.publisher, sealed.seal_no)
    if note is not None:
        return note
    (row,) = hub.read(home, NOTE_OF, [sealed.publisher, sealed.seal_no]).to_pylist()
    return Note.parse(row["signed_note"])


@contextmanager
def _tree(home: Home, note: Note) -> Iterator[TreeFiles]:
    seal = seal_of_text(note.text)
    with opened_tree(hub_tree_folder(home, seal.publisher, seal.algorithm), seal.algorithm) as tree:
        yield tree


def prove_growth(home: Home, publisher: str, first: int, second: int) -> str:
    """The proof that a publisher's log of `first` records is the beginning of the one of `second`. Raises NotProvable."""
    with verdicts_of(home) as verdicts:
        rows = {row.tree_size: row for row in verdicts.accepted(home.member(publisher))}
        ends = two_of(rows, first, second, f"accepted seal of {publisher}")
        earlier, later = (_note(home, verdicts, row) for row in ends)
    with _tree(home, later) as tree:
        return growth_proof(tree, earlier, later)
