"""A publisher's event store: one `eventsourcing` application per publisher, its events stored as Avro.

Live reports go through `save`, as the library means it; a dump goes through `bulk`, which appends many stored events in
one transaction of the same recorder. Both store the same bytes. Stored topics are `<kind>.<event_type>`: no module path
is in the data. Two writers that decide on the same history collide on (entity, version) and the second fails.
"""

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, NamedTuple, cast
from uuid import UUID

from eventsourcing.application import AggregateNotFoundError, Application
from eventsourcing.persistence import (
    ApplicationRecorder,
    IntegrityError,
    InternalError,
    Mapper,
    Notification,
    OperationalError,
    StoredEvent,
    Tracking,
    TrackingRecorder,
)
from eventsourcing.sqlite import SQLiteApplicationRecorder

from repository.controls.grant import TOPICS as GRANTS
from repository.controls.subject_measure import TOPICS as MEASURES
from repository.decisions.entity import MERGED, RENAMED, Entity
from repository.events.encoding import Event, decode_own, encode
from repository.events.identity import entity_id
from repository.kinds.register import RULES
from repository.proof.merkle import Hashing

INSERT_EVENTS = 10_000
MOVES = tuple(f"{kind}.{name}" for kind in RULES for name in (RENAMED, MERGED))
MOVES_SQL = "topic IN ('" + "', '".join(MOVES) + "')"
"""Events that move a key. SQLite keeps an index of just these, so that a long log need not be read for them."""

CONTROLS = (*MEASURES, *GRANTS)
CONTROLS_SQL = "topic IN ('" + "', '".join(CONTROLS) + "')"
"""Measures and grants, which must be known before anything of a log is shown; indexed likewise."""


class StoredRow(NamedTuple):
    """A stored event as the recorder's table takes it; `entity` is the UUID in 32 hexadecimal digits."""

    entity: str
    version: int
    topic: str
    state: bytes


Append = Callable[[Sequence[StoredRow]], None]


class StoreChanged(RuntimeError):
    """Another writer recorded events of the same entity in between; decide again on what is there now."""


SCANNED_AT_ONCE = 10_000
"""Events that a scan of a log holds in memory at a time."""


@dataclass(frozen=True)
class Recorded:
    """A domain event: identity, number and the Avro record of its kind."""

    originator_id: UUID
    originator_version: int
    kind: str
    record: Event


class AvroMapper(Mapper[UUID]):
    """Between recorded events and stored ones: the state is the event's Avro single-object encoding, made once."""

    def to_stored_event(self, domain_event: Any) -> StoredEvent:
        return stored(domain_event.kind, domain_event.record)

    def to_domain_event(self, stored_event: StoredEvent) -> Any:
        kind, record = decode_own(stored_event.state)
        return Recorded(cast(UUID, stored_event.originator_id), stored_event.originator_version, kind, record)


def stored(kind: str, record: Event) -> StoredEvent:
    """The stored form of one event record."""
    return StoredEvent(
        originator_id=UUID(str(record["entity_id"])),
        originator_version=record["version"],
        topic=f"{kind}.{record['event_type']}",
        state=encode(kind, record),
    )


def stored_row(kind: str, record: Event) -> StoredRow:
    """The stored form of one event record, as `bulk` appends it."""
    event = stored(kind, record)
    return StoredRow(cast(UUID, event.originator_id).hex, event.originator_version, event.topic, event.state)


def _fold(_: None, events: Iterable[Any]) -> Entity | None:
    recorded = cast(list[Recorded], list(events))
    return Entity.of(recorded[0].kind, [dict(r.record) for r in recorded]) if recorded else None


class Publisher(Application[UUID]):
    """The event store of one publisher. `env` names the recorder: a SQLite file, or PostgreSQL, as the library has it."""

    name = "publisher"
    hash_algorithm: str | None = None
    """The only algorithm by which this log can be sealed; None: whichever the home's settings name."""

    def __init__(self, code: str, env: dict[str, str]) -> None:
        self.code = code
        super().__init__(env)
        if isinstance(self.recorder, SQLiteApplicationRecorder):
            for index, chosen in (("moved_keys", MOVES_SQL), ("controls", CONTROLS_SQL)):
                # One statement a transaction: with a second one a reader would become a writer, which cannot wait for another.
                with self.recorder.datastore.transaction(commit=True) as cursor:
                    cursor.execute(
                        f"CREATE INDEX IF NOT EXISTS {index} ON {self.recorder.events_table_name} (topic) WHERE {chosen}"
                    )
        self._forwarded: dict[UUID, UUID] = {}
        self._renamed: dict[tuple[str, str], UUID] = {}
        self._keys_until = 0

    def leaves(self, algorithm: Hashing, states: Sequence[bytes]) -> list[bytes]:
        """Leaf hashes (32 bytes each) of stored bytes of this log."""
        return algorithm.leaves(states)

    def construct_mapper(self) -> Mapper[UUID]:
        return self.factory.mapper(transcoder=self.construct_transcoder(), mapper_class=AvroMapper)

    # -- entities --

    def entity(self, kind: str, business_key: str, look: bool = True) -> Entity:
        """The entity a key means now: the one renamed to it, merged into, or first reported under it.

        `look` False: keys as they were when last looked at, for one who holds the publisher's lock and has looked.
        """
        if look:
            self._catch_up_keys()
        first = entity_id(self.code, kind, business_key)
        identity = self._last(self._renamed.get((kind, business_key), first))
        return self.by_id(identity) or Entity.unknown(kind, self.code, business_key)

    def by_id(self, identity: UUID) -> Entity | None:
        """The entity with its whole history; None where nothing was recorded of it."""
        try:
            return self.repository.get(identity, projector_func=_fold)  # type: ignore[misc, no-any-return]
        except AggregateNotFoundError:
            return None

    def holding(self, kind: str, text: str) -> list[UUID]:
        """The entities of a kind of which a stored event holds a text, such as a token, in the order of their first such event.

        Looked for in the stored bytes: it reads the whole log of the kind, which is for rare questions.
        """
        found: dict[UUID, None] = {}
        for originator, state in _states_holding(self.recorder, kind, text.encode()):
            if any(text == value for value in decode_own(state)[1].values() if isinstance(value, str)):
                found[originator] = None
        return list(found)

    def moved_keys(self) -> dict[tuple[str, str], UUID]:
        """(kind, key) -> entity, for the keys that don't lead to their entity by computation: renamed and merged."""
        self._catch_up_keys()
        moved = dict(self._renamed)
        for gone in self._forwarded:
            entity = self.by_id(gone)
            if entity is not None:
                keys = {r["business_key"] for r in entity.records}
                moved.update({(entity.kind, key): self._last(gone) for key in keys})
        return moved

    def _last(self, identity: UUID) -> UUID:
        """Where mergers lead from an entity; round a circle of them once."""
        passed: set[UUID] = set()
        while identity in self._forwarded and identity not in passed:
            passed.add(identity)
            identity = self._forwarded[identity]
        return identity

    def _catch_up_keys(self) -> None:
        """Read the few events that move a key, found by topic among those recorded since the last look."""
        newest = self.recorder.max_notification_id() or 0
        if self._keys_until < newest:
            for state in _moves(self.recorder, self._keys_until, newest):
                self._move_key(*decode_own(state))
            self._keys_until = newest

    def _move_key(self, kind: str, record: Event) -> None:
        identity = UUID(str(record["entity_id"]))
        if record["event_type"] == RENAMED:
            self._renamed[kind, record["business_key"]] = identity
        else:
            self._forwarded[identity] = UUID(str(record["related_entity_ids"][0]))

    # -- recording --

    def record(self, kind: str, records: Sequence[Event]) -> None:
        """Save the events of one decision, together or not at all. Raises StoreChanged when another writer came between."""
        events = [Recorded(UUID(str(r["entity_id"])), r["version"], kind, r) for r in records]
        try:
            self.save(*events)
        except IntegrityError as error:
            raise StoreChanged(f"Events of {records[0]['business_key']} were recorded meanwhile; report it again.") from error

    @contextmanager
    def bulk(self) -> Iterator[Append]:
        """Append many stored events in one transaction: all of them, or after any failure none. Nobody else records meanwhile."""
        recorder = self.recorder
        try:
            with _transaction(recorder) as append:
                yield append
        except IntegrityError as error:
            raise StoreChanged("Events of the same entities were recorded meanwhile; import the dump again.") from error

    def last_version(self, identity: UUID) -> int:
        """Number of the newest event of an entity; 0 where there is none."""
        newest = self.recorder.select_events(identity, desc=True, limit=1)
        return newest[0].originator_version if newest else 0

    def controls(self, after: int = 0) -> list[Notification]:
        """Measures and grants with a position above `after`, in order; found without reading the rest of the log."""
        recorder = self.recorder
        newest = recorder.max_notification_id() or 0
        if not isinstance(recorder, SQLiteApplicationRecorder):
            found = recorder.select_notifications(after + 1, max(newest - after, 1), stop=newest, topics=CONTROLS)
            return list(found)
        with recorder.datastore.transaction(commit=False) as cursor:
            chosen = f"FROM {recorder.events_table_name} INDEXED BY controls WHERE {CONTROLS_SQL} AND rowid > ?"
            cursor.execute(
                f"SELECT rowid AS id, originator_id, originator_version, topic, state {chosen} ORDER BY rowid", (after,)
            )
            return [
                Notification(UUID(row["originator_id"]), row["originator_version"], row["topic"], row["state"], row["id"])
                for row in cursor.fetchall()
            ]

    def notifications(self, after: int, limit: int) -> Sequence[Notification]:
        """Up to `limit` stored events with a position above `after`, in order of position."""
        return self.recorder.select_notifications(after + 1, limit)

    def newest_position(self) -> int:
        """Position of the newest event; 0 where there is none."""
        return self.recorder.max_notification_id() or 0


OPENINGS, PAUSE_S = 6, 0.1
"""How often a store is opened, and how long it is waited in between, where another process prepares the same database."""


def opened_store(code: str, env: dict[str, str]) -> Publisher:
    """The event store of a publisher. Of two who prepare one PostgreSQL schema at once the server fails one, who tries again."""
    for _ in range(OPENINGS - 1):
        try:
            return Publisher(code, env)
        except InternalError:
            time.sleep(PAUSE_S)
    return Publisher(code, env)


class Tracked:
    """How far the events of a store were handed on to somewhere: one row of the library's tracking table per name."""

    def __init__(self, store: Publisher, name: str) -> None:
        self.name = name
        self._recorder: TrackingRecorder = store.factory.tracking_recorder()

    @property
    def position(self) -> int:
        """The highest position with everything before it handed on; 0 where nothing was."""
        return self._recorder.max_tracking_id(self.name) or 0

    def advance(self, position: int) -> bool:
        """Record a higher position. False where a higher one is recorded already, or the store is held by a writer now."""
        try:
            self._recorder.insert_tracking(Tracking(self.name, position))
        except (IntegrityError, OperationalError):
            # An import holds the store while it records; what is not noted now is noted with the next acknowledgement.
            return False
        return True


def _moves(recorder: ApplicationRecorder, after: int, until: int) -> list[bytes]:
    """States of the events that move a key, in order. In SQLite through an index of just these: a log has few of them."""
    if not isinstance(recorder, SQLiteApplicationRecorder):
        return [n.state for n in recorder.select_notifications(after + 1, until - after, stop=until, topics=MOVES)]
    with recorder.datastore.transaction(commit=False) as cursor:
        chosen = f"FROM {recorder.events_table_name} INDEXED BY moved_keys WHERE {MOVES_SQL} AND rowid > ? AND rowid <= ?"
        cursor.execute(f"SELECT state {chosen} ORDER BY rowid", (after, until))
        return [row["state"] for row in cursor.fetchall()]


def _states_holding(recorder: ApplicationRecorder, kind: str, wanted: bytes) -> Iterator[tuple[UUID, bytes]]:
    """Entity and stored bytes of the events of a kind whose bytes hold others. The database looks where it is SQLite."""
    if isinstance(recorder, SQLiteApplicationRecorder):
        with recorder.datastore.transaction(commit=False) as cursor:
            where = "WHERE topic LIKE ? AND instr(state, ?) > 0 ORDER BY rowid"
            cursor.execute(f"SELECT originator_id, state FROM {recorder.events_table_name} {where}", (f"{kind}.%", wanted))
            rows = cursor.fetchall()
        yield from ((UUID(row["originator_id"]), row["state"]) for row in rows)
        return
    after, prefix, newest = 0, f"{kind}.", recorder.max_notification_id() or 0
    while after < newest and (notifications := recorder.select_notifications(after + 1, SCANNED_AT_ONCE)):
        after = notifications[-1].id
        chosen = (n for n in notifications if n.topic.startswith(prefix) and wanted in n.state)
        yield from ((cast(UUID, n.originator_id), n.state) for n in chosen)


@contextmanager
def _transaction(recorder: ApplicationRecorder) -> Iterator[Append]:
    """The recorder's own insertion, held open over many calls; the library closes it after each."""
    if isinstance(recorder, SQLiteApplicationRecorder):
        with recorder.datastore.transaction(commit=True) as cursor:
            # The library's BEGIN takes the write lock with the first insertion only; who decides in here needs it from the start.
            cursor.execute("COMMIT")
            cursor.execute("BEGIN IMMEDIATE")
            yield lambda rows: cursor.executemany(recorder.insert_events_statement, rows)
        return
    from eventsourcing.postgres import PostgresApplicationRecorder

    assert isinstance(recorder, PostgresApplicationRecorder), type(recorder)
    with recorder.datastore.get_connection() as connection, connection.transaction(), connection.cursor() as inserting:
        for statement in recorder.lock_table_statements:
            inserting.execute(statement, prepare=True)
        yield lambda rows: _insert_postgres(recorder, inserting, rows)


def _insert_postgres(recorder: Any, cursor: Any, rows: Sequence[StoredRow]) -> None:
    """PostgreSQL's recorder takes stored rows as one array of a composite type."""
    made = [recorder.construct_pg_stored_event(UUID(row.entity), row.version, row.topic, row.state) for row in rows]
    cursor.execute(recorder.insert_events_statement, [made])
