"""The stored bytes of a publisher's log in order of position, read in bulk: what its tree is made of."""

from bisect import bisect_left
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import NamedTuple

from eventsourcing.sqlite import SQLiteApplicationRecorder

from repository.proof.merkle import HASH_BYTES
from repository.store.publisher import Publisher, StoredRow

READ_EVENTS = 20_000


@dataclass
class JustRecorded:
    """Leaf hashes of what one transaction records, in order, and how many events of each kind they are."""

    leaves: bytearray = field(default_factory=bytearray)
    kinds: Counter[str] = field(default_factory=Counter)

    def add(self, rows: Sequence[StoredRow], leaves: Sequence[bytes]) -> None:
        """Note rows on their way into the transaction, with their SHA-256 leaf hashes."""
        self.leaves += b"".join(leaves)
        topics = Counter(row.topic for row in rows)
        for topic, number in topics.items():
            self.kinds[topic.partition(".")[0]] += number

    def __len__(self) -> int:
        return len(self.leaves) // HASH_BYTES

    def hashes(self) -> list[bytes]:
        """The leaf hashes, each by itself."""
        return [bytes(self.leaves[at : at + HASH_BYTES]) for at in range(0, len(self.leaves), HASH_BYTES)]


class Portion(NamedTuple):
    """Stored events one after the other: their positions, kinds and bytes."""

    positions: list[int]
    kinds: list[str]
    states: list[bytes]


def stored_portions(store: Publisher, after: int, before: int | None = None) -> Iterator[Portion]:
    """All stored events behind the position `after`, and in front of `before`, some ten thousand at a time.

    Each portion is given while the next is read.
    """
    with ThreadPoolExecutor(1, thread_name_prefix="reading-ahead") as reader:
        portion = _in_front(stored_portion(store, after), before)
        while portion.positions:
            coming = reader.submit(stored_portion, store, portion.positions[-1])
            yield portion
            portion = _in_front(coming.result(), before)


def _in_front(portion: Portion, before: int | None) -> Portion:
    if before is None:
        return portion
    number = bisect_left(portion.positions, before)
    return Portion(portion.positions[:number], portion.kinds[:number], portion.states[:number])


def stored_portion(store: Publisher, after: int, limit: int = READ_EVENTS) -> Portion:
    """Up to `limit` stored events behind the position `after`."""
    recorder = store.recorder
    if isinstance(recorder, SQLiteApplicationRecorder):
        # The library's notifications hold an object and a UUID each, which costs more than hashing the bytes.
        # Cast, because who alters a file may leave a text or a number where bytes belong; that is to be hashed, not to fail.
        cells = "rowid, CAST(topic AS TEXT), coalesce(CAST(state AS BLOB), x'')"
        sql = f"SELECT {cells} FROM {recorder.events_table_name} WHERE rowid > ? ORDER BY rowid LIMIT ?"
        with recorder.datastore.transaction(commit=False) as cursor:
            cursor.execute(sql, (after, limit))
            rows = cursor.fetchall()
    else:
        rows = [(n.id, n.topic, n.state) for n in store.notifications(after, limit)]
    positions, topics, states = (list(column) for column in zip(*rows, strict=True)) if rows else ([], [], [])
    kinds = {topic: topic.partition(".")[0] for topic in set(topics)}
    return Portion(positions, [kinds[topic] for topic in topics], states)
