"""Sealing: a publisher extends its tree by what its store has recorded, signs the root, and records the seal.

keys/<code>.signing   the publisher's signing key; without one nothing is sealed
keys/<code>.vkey      its public half, to hand out
trees/<code>/<hash>/  the stored nodes of its tree; may be deleted: made anew from the store
"""

from collections import Counter
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from connectors.home.folder import Busy, Home
from connectors.home.refused import Refused
from repository.events.encoding import NotAnEvent, decode
from repository.events.identity import LOG as ACCESS_LOG
from repository.events.identity import entity_id
from repository.keys import signing
from repository.proof.judgement import listing
from repository.proof.merkle import HASH_BYTES, SHA_256
from repository.proof.seal import KIND, NotASeal, Seal, marks_between, origin, seal_of_record, seal_record
from repository.proof.signed_note import Note, Signer, signed
from repository.proof.tree_files import TreeFiles, opened_tree
from repository.store.publisher import Publisher
from repository.store.stored_leaves import JustRecorded, stored_portion, stored_portions

HUB = "hub"


class LogAltered(RuntimeError):
    """A store no longer holds what was sealed; the message says from where on. Nothing is signed over it."""


def key_file(home: Home, who: str) -> Path:
    """Where the private key of a publisher, or of the hub, lies."""
    return home.folder / "keys" / f"{who}.signing"


def public_key_file(home: Home, who: str) -> Path:
    """Where the public key of a publisher, or of the hub, lies."""
    return home.folder / "keys" / f"{who}.vkey"


def create_key(home: Home, who: str) -> Signer:
    """Make the signing key of a publisher, or of the hub, and write its public half beside it. Raises KeyExists."""
    made = signing.create(key_file(home, who), origin(who), witness=who == HUB)
    public_key_file(home, who).write_text(f"{made.verifier}\n", "utf-8")
    return made


def signer(home: Home, who: str) -> Signer | None:
    """The signing key of a publisher, or of the hub; None where there is none. Raises KeyExposed or KeyUnreadable."""
    path = key_file(home, who)
    return signing.load(path) if path.exists() else None


def algorithm_of(home: Home, store: Publisher) -> str:
    """Name of the hash algorithm by which a log is sealed."""
    return store.hash_algorithm or home.settings.seal_hash


def tree_folder(home: Home, store: Publisher) -> Path:
    """Where the stored nodes of a log's tree lie."""
    return home.folder / "trees" / store.code / algorithm_of(home, store)


def last_seal(store: Publisher) -> Seal | None:
    """The newest seal in a store. Raises LogAltered where it is none."""
    newest = _stored_seals(store, desc=True, limit=1)
    return newest[0][0] if newest else None


def all_seals(store: Publisher) -> list[tuple[Seal, Note]]:
    """Every seal in a store, in order. Raises LogAltered where one is none."""
    return _stored_seals(store)


def _stored_seals(store: Publisher, **chosen: Any) -> list[tuple[Seal, Note]]:
    events = store.recorder.select_events(entity_id(store.code, KIND, store.code), **chosen)
    try:
        return [seal_of_record(decode(event.state)[1]) for event in events]
    except (NotAnEvent, NotASeal) as error:
        raise LogAltered(
            f"A seal in the store of {store.code} can't be read ({error}); find what was altered with `{_finder(store)}`."
        ) from error


# -- sealing -------------------------------------------------------------------------------------------------------


def seal_now(home: Home, store: Publisher, key: Signer, now: datetime, recorded: JustRecorded | None = None) -> Seal | None:
    """Seal all that the store holds; None where nothing but seals is new. Raises LogAltered.

    The caller may hold the publisher's lock. Two who seal at once take turns, and the second finds nothing new. `recorded`
    is what the caller has just recorded in one transaction, and has hashed already.
    """
    with (
        home.lock(f"seal-{store.code}", "sealing"),
        opened_tree(tree_folder(home, store), algorithm_of(home, store), True) as tree,
    ):
        before = last_seal(store)
        _extend(store, tree, before, recorded)
        if before is not None and not _new_facts(before, tree):
            return None
        seal = _seal(store, tree, before, now)
        note = signed(seal.text, [key])
        store.record(KIND, [seal_record(seal, note)])
        return seal


def _extend(store: Publisher, tree: TreeFiles, before: Seal | None, recorded: JustRecorded | None) -> None:
    """Append what the store has recorded behind the tree's last leaf, having looked that this is still the same store."""
    if tree.size:
        _recognise(store, tree)
    counts = Counter(tree.counts)
    run = _run_of(store, tree, recorded)
    # Up to what stands there now: who goes on recording is not read after.
    for portion in stored_portions(store, tree.last_position, run[0] if run else store.newest_position() + 1):
        tree.append(portion.positions, store.leaves(tree.algorithm, portion.states))
        counts.update(portion.kinds)
    if run and recorded:
        tree.append(run, recorded.hashes())
        counts.update(recorded.kinds)
    if before is not None and before.algorithm == tree.algorithm.name:
        _refuse_rewriting(store, tree, before)
    tree.commit(counts)


def _run_of(store: Publisher, tree: TreeFiles, recorded: JustRecorded | None) -> range | None:
    """Positions of what the caller has just recorded; None where that is not plainly the end of the log, which is then read.

    A transaction gives its events growing numbers, and each event's bytes are its own. Where the last number, and the one as
    far before it as there are events, hold the last and the first of them, no other event can have a number in between.
    """
    if not recorded or tree.algorithm.name != SHA_256:
        return None
    last = store.recorder.max_notification_id() or 0
    run = range(last - len(recorded) + 1, last + 1)
    ends = ((run[0], recorded.leaves[:HASH_BYTES]), (run[-1], recorded.leaves[-HASH_BYTES:]))
    if run[0] <= tree.last_position or not all(_stands(store, tree, at, bytes(leaf)) for at, leaf in ends):
        return None
    return run


def _stands(store: Publisher, tree: TreeFiles, position: int, leaf: bytes) -> bool:
    positions, _, states = stored_portion(store, position - 1, 1)
    return list(positions) == [position] and store.leaves(tree.algorithm, states) == [leaf]


def _recognise(store: Publisher, tree: TreeFiles) -> None:
    if not _stands(store, tree, tree.last_position, tree.leaf(tree.size - 1)):
        raise LogAltered(
            f"The store of {store.code} no longer has the record at position {tree.last_position} that its tree ends with; "
            f"restore the store, or find the first difference with `{_finder(store)}`."
        )


def _refuse_rewriting(store: Publisher, tree: TreeFiles, before: Seal) -> None:
    root = tree.root(before.size) if before.size <= tree.size else b""
    if root != before.root:
        raise LogAltered(
            f"The first {before.size} records of {store.code} have the root {root.hex() or 'of fewer'} and were sealed with "
            f"{before.root.hex()}; find the first difference with `{_finder(store)}`."
        )


def _finder(store: Publisher) -> str:
    return "yrd access check --key FILE" if store.code == ACCESS_LOG else "yrd audit verify --all --key FILE"


def _new_facts(before: Seal, tree: TreeFiles) -> bool:
    """Whether anything but seals came since the seal before."""
    return tree.size - before.size > tree.counts.get(KIND, 0) - before.counts.get(KIND, 0)


def _seal(store: Publisher, tree: TreeFiles, before: Seal | None, now: datetime) -> Seal:
    if not tree.size:
        raise Refused(f"The log of {store.code} is empty; there is nothing to seal.")
    number = 1 if before is None else before.number + 1
    marks = marks_between(0 if before is None else before.size, tree.size, tree.subtree, tree.algorithm)
    return Seal(
        store.code, number, tree.size, tree.last_position, tree.root(), tree.algorithm.name, dict(tree.counts), now, marks
    )  # fmt: skip


# -- when it is due ------------------------------------------------------------------------------------------------


def seal_when_due(
    home: Home, store: Publisher, key: Signer | None, now: datetime | None = None, recorded: JustRecorded | None = None
) -> Seal | None:
    """Seal where enough new records, or new records for long enough, wait for it; None where not, or there is no key."""
    moment = now or datetime.now(UTC)
    if key is None or not _due(home, store, moment):
        return None
    return seal_now(home, store, key, moment, recorded)


def _due(home: Home, store: Publisher, now: datetime) -> bool:
    newest = store.recorder.max_notification_id() or 0
    before = last_seal(store)
    if before is None:
        return newest > 0
    # The seal itself stands behind what it covers.
    waiting = newest - before.last_position - 1
    age_s = (now - before.sealed_at).total_seconds()
    return waiting >= home.settings.seal_every_events or (waiting > 0 and age_s >= home.settings.seal_every_s)


def seal_all_due(home: Home, stores: list[Publisher], now: datetime) -> list[Seal]:
    """Seal every log for which it is due, except those that an import is recording into, or somebody else sealing, just now."""
    made = []
    for store in stores:
        with suppress(Busy), home.lock(f"publisher-{store.code}", "sealing", wait_s=0):
            made.append(seal_when_due(home, store, signer(home, store.code), now))
    return [seal for seal in made if seal is not None]


def said_of(seal: Seal) -> str:
    """A seal in words."""
    return (
        f"Seal {seal.number} of {seal.publisher} covers {seal.size:,} records up to position {seal.last_position:,} "
        f"({listing(seal.counts)}); {seal.algorithm} root {seal.root.hex()}."
    )
