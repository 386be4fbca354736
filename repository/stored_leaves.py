"""The stored bytes of a publisher's log in order of position, read in bulk: what its tree is made of."""

from array import array
from bisect import bisect_left
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

from eventsourcing.sqlite import SQLiteApplicationRecorder

from repository.application import Publisher

READ_EVENTS = 20_000


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


def stored_places(store: Publisher, after: int) -> tuple[Sequence[int], list[str]] | None:
    """Positions and kinds of all stored events behind a position, without their bytes; None where that saves nothing."""
    recorder = store.recorder
    if not isinstance(recorder, SQLiteApplicationRecorder):
        return None
    sql = f"SELECT rowid, CAST(topic AS TEXT) FROM {recorder.events_table_name} WHERE rowid > ? ORDER BY rowid LIMIT ?"
    positions, kinds, known = array("q"), list[str](), dict[str, str]()
    with recorder.datastore.transaction(commit=False) as cursor:
        cursor.execute(sql, (after, READ_EVENTS))
        while rows := cursor.fetchall():
            numbers, topics = zip(*rows, strict=True)
            known |= {topic: topic.partition(".")[0] for topic in set(topics) - known.keys()}
            positions.extend(numbers)
            kinds += [known[topic] for topic in topics]
            cursor.execute(sql, (positions[-1], READ_EVENTS))
    return positions, kinds
