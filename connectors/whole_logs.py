"""Whole logs checked: from their bytes to the roots to the signatures, with trees made anew."""

import tempfile
from array import array
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from connectors.home import Home
from connectors.sealing import algorithm_of
from connectors.verdicts import Verdicts
from repository.application import Publisher
from repository.encoding import decode
from repository.member import KIND as MEMBER
from repository.member import OFFICE, members_of
from repository.merkle import Subtree
from repository.seal import KIND, origin
from repository.signed_note import Note, NoteRefused, VerifierKey, of_name
from repository.stored_leaves import stored_portions
from repository.tree_files import TreeFiles, opened_tree
from repository.whole_log import Checked, KeysFor, StoredSeal, WholeLog, check_log, keys_by_name


def check_all(home: Home, keys: Sequence[VerifierKey]) -> list[Checked]:
    """Every publisher's log from its bytes to the signatures, with the reader's own copies of the keys.

    With the key of the regional office the other keys may come from the member list, which it signs. The stored nodes are
    not used: the trees are made anew, in a folder of their own.
    """
    with home.stores() as stores:
        keys_for = keys_by_name(keys)
        if of_name(keys, origin(OFFICE)):
            keys_for = _listed_keys(stores, keys, keys_for)
        return [check_store(home, store, keys_for) for store in stores]


def _listed_keys(stores: Sequence[Publisher], keys: Sequence[VerifierKey], by_name: KeysFor) -> KeysFor:
    """Keys that are given by name, and for other publishers those that the office lists."""
    office = of_name(keys, origin(OFFICE))[0]
    records = [r for store in stores if store.code == OFFICE for r in _member_records(store)]
    members = members_of(office, records)

    def keys_for(publisher: str, position: int) -> Sequence[VerifierKey]:
        if of_name(keys, origin(publisher)):
            return by_name(publisher, position)
        if publisher not in members.listed:
            raise NoteRefused(f"{origin(publisher)} is not listed by the regional office, and no public key of it is given.")
        return [members.listed[publisher].key_for(position)]

    return keys_for


def _member_records(store: Publisher) -> Iterator[dict[str, Any]]:
    for portion in stored_portions(store, 0):
        for kind, state in zip(portion.kinds, portion.states, strict=True):
            if kind == MEMBER:
                yield decode(state)[1]


def check_store(home: Home, store: Publisher, keys_for: KeysFor, known: Sequence[tuple[Note, bytes | None]] = ()) -> Checked:
    """One store's log, held against its seals, those that the hub countersigned, and those `known` from elsewhere."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="trees-", dir=_spill(home))))
        trees: dict[str, TreeFiles] = {}

        def subtree_of(algorithm: str) -> Subtree:
            # A log that was sealed with two algorithms is read once more for the second.
            if algorithm not in trees:
                trees[algorithm] = stack.enter_context(opened_tree(folder / algorithm, algorithm, True))
                _read(store, trees[algorithm])
            return trees[algorithm].subtree

        chosen = algorithm_of(home, store)
        first = trees[chosen] = stack.enter_context(opened_tree(folder / chosen, chosen, True))
        log = _read(store, first)
        log.subtree_of = subtree_of
        return check_log(log, keys_for, [*_countersigned(home, store.code), *known])


def _read(store: Publisher, tree: TreeFiles) -> WholeLog:
    """The whole log of a store, its leaves appended to an empty tree."""
    positions, kinds, seals = array("q"), bytearray(), list[StoredSeal]()
    names: dict[str, int] = {}
    for portion in stored_portions(store, 0):
        tree.append(portion.positions, store.leaves(tree.algorithm, portion.states))
        positions.extend(portion.positions)
        kinds += bytes([names.setdefault(kind, min(len(names), 255)) for kind in portion.kinds])
        if KIND in names:
            listed = zip(portion.positions, portion.kinds, portion.states, strict=True)
            seals += [StoredSeal(position, state) for position, kind, state in listed if kind == KIND]
    return WholeLog(store.code, positions, bytes(kinds), list(names), lambda _: tree.subtree, seals)


def _spill(home: Home) -> Path:
    folder = home.folder / "spill"
    folder.mkdir(exist_ok=True)
    return folder


def _countersigned(home: Home, publisher: str) -> list[tuple[Note, bytes]]:
    path = home.folder / "base" / "proofs.sqlite"
    if not path.exists():
        return []
    verdicts = Verdicts(path)
    try:
        return verdicts.countersigned(publisher)
    finally:
        verdicts.close()
