"""Sealing: a publisher extends its tree by what its store has recorded, signs the root, and records the seal.

keys/<code>.signing   the publisher's signing key; without one nothing is sealed
keys/<code>.vkey      its public half, to hand out
trees/<code>/<hash>/  the stored nodes of its tree; may be deleted: made anew from the store
"""

from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

from connectors.home import Busy, Home
from repository import signing_keys
from repository.application import Publisher
from repository.encoding import decode_own
from repository.identity import entity_id
from repository.judgement import listing
from repository.merkle import HASH_BYTES, SHA_256
from repository.seal import KIND, Seal, marks_between, origin, seal_of_record, seal_record
from repository.signed_note import Signer, signed
from repository.stored_leaves import stored_places, stored_portion, stored_portions
from repository.tree_files import TreeFiles, opened_tree

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
    made = signing_keys.create(key_file(home, who), origin(who), witness=who == HUB)
    public_key_file(home, who).write_text(f"{made.verifier}\n", "utf-8")
    return made


def signer(home: Home, who: str) -> Signer | None:
    """The signing key of a publisher, or of the hub; None where there is none. Raises KeyExposed or KeyUnreadable."""
    path = key_file(home, who)
    return signing_keys.load(path) if path.exists() else None


def tree_folder(home: Home, code: str) -> Path:
    """Where the stored nodes of a publisher's tree lie."""
    return home.folder / "trees" / code / home.settings.seal_hash


def last_seal(store: Publisher) -> Seal | None:
    """The newest seal in a store."""
    newest = store.recorder.select_events(entity_id(store.code, KIND, store.code), desc=True, limit=1)
    return seal_of_record(decode_own(newest[0].state)[1])[0] if newest else None


# -- sealing -------------------------------------------------------------------------------------------------------


def seal_now(home: Home, store: Publisher, key: Signer, now: datetime, leaves: bytes | bytearray = b"") -> Seal | None:
    """Seal all that the store holds; None where nothing but seals is new. Raises LogAltered.

    The caller may hold the publisher's lock. Two who seal at once take turns, and the second finds nothing new. `leaves`
    are the SHA-256 leaf hashes, one after the other, of what the caller has just recorded in one transaction.
    """
    with (
        home.lock(f"seal-{store.code}", "sealing"),
        opened_tree(tree_folder(home, store.code), home.settings.seal_hash, True) as tree,
    ):
        before = last_seal(store)
        _extend(store, tree, before, leaves)
        if before is not None and not _new_facts(before, tree):
            return None
        seal = _seal(store, tree, before, now)
        note = signed(seal.text, [key])
        store.record(KIND, [seal_record(seal, note)])
        return seal


def _extend(store: Publisher, tree: TreeFiles, before: Seal | None, leaves: bytes | bytearray) -> None:
    """Append what the store has recorded behind the tree's last leaf, having looked that this is still the same store."""
    if tree.size:
        _recognise(store, tree)
    counts = Counter(tree.counts)
    run = _just_recorded(store, tree, leaves)
    for portion in stored_portions(store, tree.last_position, run.first if run else None):
        tree.append(portion.positions, list(map(tree.algorithm.leaf, portion.states)))
        counts.update(portion.kinds)
    if run:
        tree.append(run.positions, run.leaves)
        counts.update(run.kinds)
    if before is not None and before.algorithm == tree.algorithm.name:
        _refuse_rewriting(store, tree, before)
    tree.commit(counts)


class _Run(NamedTuple):
    """The end of a log as the one who has recorded it knows it: nothing of it is read again but its first and last record."""

    positions: Sequence[int]
    kinds: Sequence[str]
    leaves: Sequence[bytes]

    @property
    def first(self) -> int:
        return self.positions[0]


def _just_recorded(store: Publisher, tree: TreeFiles, leaves: bytes | bytearray) -> _Run | None:
    """Where the caller's leaves stand; None where they are not plainly the whole end of the log, which is then read.

    One transaction is one run of positions without a hole. Where as many positions as there are leaves end the log without
    one, and both ends hold the bytes that were hashed, nothing else can stand between.
    """
    number = len(leaves) // HASH_BYTES
    found = stored_places(store, tree.last_position) if number and tree.algorithm.name == SHA_256 else None
    if found is None or len(found[0]) < number or found[0][-1] - found[0][-number] != number - 1:
        return None
    hashes = [bytes(leaves[at : at + HASH_BYTES]) for at in range(0, len(leaves), HASH_BYTES)]
    ends = ((found[0][-number], hashes[0]), (found[0][-1], hashes[-1]))
    if any([tree.algorithm.leaf(s) for s in stored_portion(store, at - 1, 1).states] != [leaf] for at, leaf in ends):
        return None
    return _Run(found[0][-number:], found[1][-number:], hashes)


def _recognise(store: Publisher, tree: TreeFiles) -> None:
    positions, _, states = stored_portion(store, tree.last_position - 1, 1)
    if positions != [tree.last_position] or tree.algorithm.leaf(states[0]) != tree.leaf(tree.size - 1):
        raise LogAltered(
            f"The store of {store.code} no longer has the record at position {tree.last_position} that its tree ends with; "
            f"restore the store, or find the first difference with `yrd audit verify --all`."
        )


def _refuse_rewriting(store: Publisher, tree: TreeFiles, before: Seal) -> None:
    root = tree.root(before.size) if before.size <= tree.size else b""
    if root != before.root:
        raise LogAltered(
            f"The first {before.size} records of {store.code} have the root {root.hex() or 'of fewer'} and were sealed with "
            f"{before.root.hex()}; find the first difference with `yrd audit verify --all`."
        )


def _new_facts(before: Seal, tree: TreeFiles) -> bool:
    """Whether anything but seals came since the seal before."""
    return tree.size - before.size > tree.counts.get(KIND, 0) - before.counts.get(KIND, 0)


def _seal(store: Publisher, tree: TreeFiles, before: Seal | None, now: datetime) -> Seal:
    if not tree.size:
        raise ValueError(f"The log of {store.code} is empty; there is nothing to seal.")
    number = 1 if before is None else before.number + 1
    marks = marks_between(0 if before is None else before.size, tree.size, tree.subtree, tree.algorithm)
    return Seal(
        store.code, number, tree.size, tree.last_position, tree.root(), tree.algorithm.name, dict(tree.counts), now, marks
    )  # fmt: skip


# -- when it is due ------------------------------------------------------------------------------------------------


def seal_when_due(
    home: Home, store: Publisher, key: Signer | None, now: datetime | None = None, leaves: bytes | bytearray = b""
) -> Seal | None:
    """Seal where enough new records, or new records for long enough, wait for it; None where not, or there is no key."""
    moment = now or datetime.now(UTC)
    if key is None or not _due(home, store, moment):
        return None
    return seal_now(home, store, key, moment, leaves)


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
    """Seal every publisher of the home for which it is due, except those that an import is recording for just now."""
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
