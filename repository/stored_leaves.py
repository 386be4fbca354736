"""The stored bytes of a publisher's log in order of position, read in bulk: what its tree is made of."""

from collections.abc import Iterator
from typing import NamedTuple

from eventsourcing.sqlite import SQLiteApplicationRecorder

from repository.application import Publisher

READ_EVENTS = 20_000


class Portion(NamedTuple):
    """Stored events one after the other: their positions, kinds and bytes."""

    positions: list[int]
    kinds: list[str]
    states: list[bytes]


def stored_portions(store: Publisher, after: int) -> Iterator[Portion]:
    """All stored events behind the position `after`, some ten thousand at a time."""
    while True:
        portion = stored_portion(store, after)
        if not portion.positions:
            return
        yield portion
        after = portion.positions[-1]


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
            rows = [tuple(row) for row in cursor.fetchall()]
    else:
        rows = [(n.id, n.topic, n.state) for n in store.notifications(after, limit)]
    positions, topics, states = (list(column) for column in zip(*rows, strict=True)) if rows else ([], [], [])
    return Portion(positions, [topic.partition(".")[0] for topic in topics], states)
