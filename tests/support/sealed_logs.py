"""Sealed logs for tests, in memory and in homes: signing keys, seals over what a log holds, and the ways to spoil a log."""

from collections import Counter
from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from random import Random

from connectors.home.folder import Home
from connectors.proof import sealing
from repository.proof.merkle import SHA_256, Hashing, Subtree, hashing
from repository.proof.seal import KIND, Seal, marks_between, origin, seal_record
from repository.proof.signed_note import ED25519, Note, Signer, signed
from repository.proof.whole_log import StoredSeal, WholeLog
from repository.store.log import Record
from tests.support.bases import NOON, Logs
from tests.support.histories import fact


def range_of(leaves: Sequence[bytes], algorithm: Hashing) -> Subtree:
    """The subtrees of a list of leaf hashes."""
    return lambda low, high: algorithm.root(leaves[low:high])


def key_of(publisher: str, number: int = 0) -> Signer:
    """A signing key of a publisher, the same at every call; `number` tells several apart."""
    return Signer(origin(publisher), ED25519, Random(f"{publisher} {number}").randbytes(32))


def told(logs: Logs, number: int, publisher: str = "31", prefix: str = "点") -> None:
    """Report `number` new service points."""
    for n in range(number):
        logs.report(publisher, fact({"phone": str(n)}, key=f"{prefix}{len(logs.records)}-{n}"))


def own(logs: Logs, publisher: str = "31") -> list[Record]:
    """The records of one publisher's log."""
    return [r for r in logs.records if r.topic.split(".")[1] == publisher]


def seal_of(
    records: Sequence[Record], before: Seal | None = None, at: datetime = NOON, algorithm: str = SHA_256, publisher: str = "31"
) -> Seal:
    """The seal over records, following on the one before."""
    chosen = hashing(algorithm)
    leaves = [chosen.leaf(r.value) for r in records]
    counts = Counter(r.event_type.partition(".")[0] for r in records)
    marks = marks_between(before.size if before else 0, len(leaves), range_of(leaves, chosen), chosen)
    number = before.number + 1 if before else 1
    return Seal(publisher, number, len(leaves), records[-1].position, chosen.root(leaves), algorithm, dict(counts), at, marks)


def sealed(
    logs: Logs, before: Seal | None = None, key: Signer | None = None, publisher: str = "31", at: datetime = NOON, **how: str
) -> Seal:
    """Seal what a log holds and append the seal's record to it."""
    seal = seal_of(own(logs, publisher), before, at, publisher=publisher, **how)
    put(logs, seal, key)
    return seal


def put(logs: Logs, seal: Seal, key: Signer | None = None) -> Note:
    """Append a seal, whatever it says, to its publisher's log."""
    note = signed(seal.text, [key or key_of(seal.publisher)])
    logs._append(KIND, seal_record(seal, note))
    return note


def twice_sealed(first: int = 5, second: int = 4) -> tuple[Logs, list[Seal]]:
    """A log of 31: records, a seal, records, a seal, which is its last record."""
    logs = Logs()
    told(logs, first)
    one = sealed(logs)
    told(logs, second)
    return logs, [one, sealed(logs, one, at=NOON + timedelta(hours=1))]


def by_kind(records: Iterable[Record]) -> list[Record]:
    """The same records as a log with one topic per kind has them."""
    ends: Counter[str] = Counter()
    found = []
    for record in records:
        topic = f"{record.topic}.{record.event_type.partition('.')[0]}"
        ends[topic] += 1
        found.append(record._replace(topic=topic, offset=ends[topic]))
    return found


def whole(records: Sequence[Record], publisher: str = "31") -> WholeLog:
    """A whole log as the check of whole logs takes it."""
    kinds = [r.event_type.partition(".")[0] for r in records]
    names = sorted(set(kinds))
    seals = [StoredSeal(r.position, r.value) for r, kind in zip(records, kinds, strict=True) if kind == KIND]

    def subtree_of(algorithm: str):  # type: ignore[no-untyped-def]
        chosen = hashing(algorithm)
        return range_of([chosen.leaf(r.value) for r in records], chosen)

    return WholeLog(publisher, [r.position for r in records], bytes(map(names.index, kinds)), names, subtree_of, seals)


def keyed(home: Home, *who: str) -> Home:
    """The home with signing keys."""
    for each in who:
        sealing.create_key(home, each)
    return home


def sealed_now(home: Home, publisher: str = "31", at: datetime | None = None) -> Seal | None:
    """Seal a publisher's log in a home."""
    key = sealing.signer(home, publisher)
    assert key is not None
    with home.store(publisher) as store:
        return sealing.seal_now(home, store, key, at or datetime.now(NOON.tzinfo))


def keys_file(home: Home, *who: str) -> Path:
    """An auditor's own copy of public keys."""
    path = home.folder.parent / "auditor.keys"
    path.write_text("".join(sealing.public_key_file(home, each).read_text("utf-8") for each in who), "utf-8")
    return path
