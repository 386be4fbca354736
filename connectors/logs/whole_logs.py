"""Whole logs checked: from their bytes to the roots to the signatures, with trees made anew."""

import tempfile
from array import array
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any

from connectors.home.folder import Home
from connectors.logs.whole_topics import whole_topics
from connectors.proof.sealing import algorithm_of
from connectors.proof.verdicts import recorded_verdicts
from repository.events.encoding import NotAnEvent, decode
from repository.proof.member import KIND as MEMBER
from repository.proof.member import OFFICE, members_of
from repository.proof.merkle import Subtree
from repository.proof.seal import KIND, origin
from repository.proof.signed_note import Note, NoteRefused, VerifierKey, of_name
from repository.proof.tree_files import TreeFiles, opened_tree
from repository.proof.whole_log import Checked, KeysFor, StoredSeal, WholeLog, check_log, keys_by_name
from repository.store.publisher import Publisher
from repository.store.stored_leaves import stored_portions

Known = tuple[Note, bytes | None]
"""A seal that is known from elsewhere than the log, with its marks where they were kept."""


def check_all(home: Home, keys: Sequence[VerifierKey], tell: Callable[[str], None] = lambda _sentence: None) -> list[Checked]:
    """Every publisher's log from its bytes to the signatures, with the reader's own copies of the keys.

    The logs are those of the setting `log`: the stores of the home, or what the brokers hold. With the key of the regional
    office the other keys may come from the member list, which it signs. The stored nodes are not used: the trees are made
    anew, in a folder of their own. `tell` is given what was read and is no log. Raises LogUnavailable and LogChanged.
    """
    return _check_topics(home, keys, tell) if home.settings.log == "kafka" else _check_stores(home, keys)


def _check_stores(home: Home, keys: Sequence[VerifierKey]) -> list[Checked]:
    with home.stores() as stores:
        keys_for = _keys_for(keys, lambda: [r for store in stores if store.code == OFFICE for r in _member_records(store)])
        found = [check_store(home, store, keys_for) for store in stores]
        gone = _countersigned_publishers(home) - {store.code for store in stores}
    return found + [_checked(home, code, home.settings.seal_hash, keys_for, partial(_nothing, code)) for code in sorted(gone)]


def _check_topics(home: Home, keys: Sequence[VerifierKey], tell: Callable[[str], None]) -> list[Checked]:
    with _folder(home, "topics-") as folder, whole_topics(home, folder) as topics:
        keys_for = _keys_for(keys, lambda: _events(topics.member_records()))
        found = []
        for code in topics.publishers():
            found.append(_checked(home, code, home.settings.seal_hash, keys_for, partial(topics.read, code)))
            missing = topics.missing(code, [note for note, _ in _countersigned(home, code)])
            if missing is not None:
                found[-1].findings.insert(0, (None, missing))
        for sentence in topics.remarks():
            tell(sentence)
        return found


def check_store(home: Home, store: Publisher, keys_for: KeysFor, known: Sequence[Known] = ()) -> Checked:
    """The log in one store, held against its seals, those of it that the hub has countersigned, and `known` ones."""
    return _checked(home, store.code, algorithm_of(home, store), keys_for, partial(_read, store), known)


def _checked(
    home: Home,
    publisher: str,
    sealed_by: str,
    keys_for: KeysFor,
    read: Callable[[TreeFiles], WholeLog],
    known: Sequence[Known] = (),
) -> Checked:
    """A log checked that `read` gives, each time with its leaves appended to an empty tree; by `sealed_by` first."""
    with ExitStack() as stack:
        folder = stack.enter_context(_folder(home, "trees-"))
        trees: dict[str, TreeFiles] = {}

        def tree_of(algorithm: str) -> TreeFiles:
            trees[algorithm] = stack.enter_context(opened_tree(folder / algorithm, algorithm, True))
            return trees[algorithm]

        def subtree_of(algorithm: str) -> Subtree:
            # A log that was sealed with two algorithms is read once more for the second.
            if algorithm not in trees:
                read(tree_of(algorithm))
            return trees[algorithm].subtree

        log = read(tree_of(sealed_by))
        log.subtree_of = subtree_of
        return check_log(log, keys_for, [*_countersigned(home, publisher), *known])


# -- keys ----------------------------------------------------------------------------------------------------------


def _keys_for(keys: Sequence[VerifierKey], records: Callable[[], Iterable[dict[str, Any]]]) -> KeysFor:
    """Keys that are given by name, and with the office's for other publishers those of the member list in `records`."""
    by_name, of_office = keys_by_name(keys), of_name(keys, origin(OFFICE))
    if not of_office:
        return by_name
    members = members_of(of_office[0], records())

    def keys_for(publisher: str, position: int) -> Sequence[VerifierKey]:
        if of_name(keys, origin(publisher)):
            return by_name(publisher, position)
        if publisher not in members.listed:
            raise NoteRefused(f"{origin(publisher)} is not listed by the regional office, and no public key of it is given.")
        return [members.listed[publisher].key_for(position)]

    return keys_for


def _member_records(store: Publisher) -> Iterator[dict[str, Any]]:
    for portion in stored_portions(store, 0, store.newest_position() + 1):
        for kind, state in zip(portion.kinds, portion.states, strict=True):
            if kind == MEMBER:
                yield decode(state)[1]


def _events(values: Iterable[bytes]) -> list[dict[str, Any]]:
    """Records from a topic, without those that are none: as the hub reads them, which puts those aside."""
    found = []
    for value in values:
        with suppress(NotAnEvent):
            found.append(decode(value)[1])
    return found


# -- stores --------------------------------------------------------------------------------------------------------


def _read(store: Publisher, tree: TreeFiles) -> WholeLog:
    """The whole log of a store, its leaves appended to an empty tree."""
    positions, kinds, seals = array("q"), bytearray(), list[StoredSeal]()
    names: dict[str, int] = {}
    for portion in stored_portions(store, 0, store.newest_position() + 1):
        tree.append(portion.positions, store.leaves(tree.algorithm, portion.states))
        positions.extend(portion.positions)
        kinds += bytes([names.setdefault(kind, min(len(names), 255)) for kind in portion.kinds])
        if KIND in names:
            listed = zip(portion.positions, portion.kinds, portion.states, strict=True)
            seals += [StoredSeal(position, state) for position, kind, state in listed if kind == KIND]
    return WholeLog(store.code, positions, bytes(kinds), list(names), lambda _: tree.subtree, seals)


def _nothing(publisher: str, tree: TreeFiles) -> WholeLog:
    """The log of a store that is gone."""
    return WholeLog(publisher, array("q"), b"", [], lambda _: tree.subtree)


@contextmanager
def _folder(home: Home, prefix: str) -> Iterator[Path]:
    """A folder for what is made on the way, gone at the end."""
    spill = home.folder / "spill"
    spill.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=prefix, dir=spill) as folder:
        yield Path(folder)


def _countersigned_publishers(home: Home) -> set[str]:
    """Publishers of whose stores the hub has countersigned seals. None at a hub that reads topics: it needs no stores."""
    if Home(home.folder).settings.log == "kafka":
        return set()
    with recorded_verdicts(home) as verdicts:
        return verdicts.countersigned_publishers() if verdicts else set()


def _countersigned(home: Home, publisher: str) -> list[tuple[Note, bytes]]:
    with recorded_verdicts(home) as verdicts:
        return verdicts.countersigned(publisher) if verdicts else []
