"""Real bases for tests: facts reported to entities, stored as Avro, projected into DuckDB in memory."""

from collections import Counter
from datetime import UTC, date, datetime
from typing import Any
from uuid import UUID

import duckdb

from projections import tables
from projections.projector import Projector
from repository.decisions.entity import Entity, Recording, correct, report, retract
from repository.decisions.facts import Fact
from repository.events.identity import entity_id, event_hash, event_id
from repository.store.log import Record
from repository.store.publisher import stored
from schemas.contracts import fields
from tests.support.controls import BENEFIT_2024, BENEFIT_2025, BENEFIT_2026

EventRecord = dict[str, Any]
Row = dict[str, Any]
NOON = datetime(2026, 9, 1, 4, tzinfo=UTC)
"""When things are recorded unless a test says otherwise: noon in Shanghai."""


def empty_base() -> duckdb.DuckDBPyConnection:
    """A base with tables, questions and divisions, and no event."""
    connection = duckdb.connect()
    tables.create(connection)
    tables.create_questions(connection)
    return connection


def base(*reports: tuple[str, Fact]) -> duckdb.DuckDBPyConnection:
    """A base into which (publisher, fact) were reported in order."""
    logs = Logs()
    for publisher, fact in reports:
        logs.report(publisher, fact)
    return logs.base()


def ask(connection: duckdb.DuckDBPyConnection, question: str, *parameters: object) -> list[Row]:
    """The rows of a question as dicts: `name`, or `name(?, ?)` with parameters, or any SELECT."""
    sql = question if question.lstrip().upper().startswith("SELECT") else f"SELECT * FROM {question}"
    cursor = connection.execute(sql, parameters)
    names = [column[0] for column in cursor.description or ()]
    return [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]


def picked(row: Row, names: str) -> tuple[object, ...]:
    """The named cells of a row; names are separated by blanks."""
    return tuple(row[name] for name in names.split())


def of_city(rows: list[Row], city: str | None) -> list[Row]:
    """The rows of a city; None: those that no city could be told for."""
    return [row for row in rows if row["city_code"] == city]


class Logs:
    """The logs of several publishers: what is reported is decided, encoded and appended as it would be for real."""

    def __init__(self) -> None:
        self.records: list[Record] = []
        self._entities: dict[tuple[str, str, str], Entity] = {}
        self._positions: Counter[str] = Counter()

    def report(self, publisher: str, fact: Fact, at: datetime = NOON, batch: UUID | None = None) -> list[EventRecord]:
        """Report a fact; its events are appended and given back."""
        entity = self.entity(publisher, fact.kind, fact.business_key)
        return self._record(entity, report(entity, fact, Recording(publisher, at, batch)))

    def correct(self, wrong: EventRecord, put: dict[str, object], reason: str, at: datetime = NOON) -> list[EventRecord]:
        """Correct fields of an event."""
        entity = self._entity_of(wrong)
        recording = Recording(entity.publisher, at)
        return self._record(entity, correct(entity, wrong["event_id"], put, recording, "clerk 7", reason))

    def retract(self, wrong: EventRecord, reason: str, at: datetime = NOON) -> list[EventRecord]:
        """Retract an event."""
        entity = self._entity_of(wrong)
        return self._record(entity, retract(entity, wrong["event_id"], Recording(entity.publisher, at), "clerk 7", reason))

    def batch(
        self, publisher: str, source: str, recorded: list[EventRecord], at: datetime = NOON, said: Row | None = None
    ) -> UUID:
        """Append a batch record for the events `recorded`, which name it by `batch_id_of`; `said` replaces what it says."""
        key = f"{source}|{at.isoformat()}"
        identity = entity_id(publisher, "batch", key)
        values = [event_hash(stored(_kind(e), e).state) for e in recorded]
        total = 0
        for value in values:
            total ^= value
        record = {name: [] if t.word in ("strings", "records") else t.default for name, t in fields("batch").items()}
        record |= {
            "event_id": event_id(identity, 1), "event_type": "BatchImported", "publisher": publisher, "entity_id": identity,
            "business_key": key, "version": 1, "recorded_at": at, "source": source, "valid_from": date(2026, 9, 1),
            "started_at": at, "finished_at": at, "events": len(recorded), "events_xor": total,
        }  # fmt: skip
        record |= said or {}
        self._append("batch", record)
        return event_id(identity, 1)

    def entity(self, publisher: str, kind: str, key: str) -> Entity:
        """The entity as its publisher knows it; empty where nothing was reported of it."""
        known = self._entities.get((publisher, kind, key))
        return known or self._entities.setdefault((publisher, kind, key), Entity.unknown(kind, publisher, key))

    def base(self) -> duckdb.DuckDBPyConnection:
        """A base of its own with all that the logs hold."""
        connection = empty_base()
        applied = Projector(connection).apply(self.records, NOON)
        assert applied.quarantined == 0, connection.execute("SELECT reason FROM quarantine").fetchall()
        return connection

    def _entity_of(self, record: EventRecord) -> Entity:
        return next(e for e in self._entities.values() if e.id == record["entity_id"])

    def _record(self, entity: Entity, events: list[EventRecord]) -> list[EventRecord]:
        for event in events:
            entity.records.append(event)
            self._append(entity.kind, event)
        return events

    def _append(self, kind: str, record: EventRecord) -> None:
        topic = f"yrd.{record['publisher']}"
        self._positions[topic] += 1
        position = self._positions[topic]
        event = stored(kind, record)
        self.records.append(Record(topic, 0, position, position, str(event.originator_id), event.topic, event.state, None))


def batch_id_of(publisher: str, source: str, at: datetime = NOON) -> UUID:
    """The id under which events name the batch that `Logs.batch` appends for the same source and moment."""
    return event_id(entity_id(publisher, "batch", f"{source}|{at.isoformat()}"), 1)


def _kind(record: EventRecord) -> str:
    marks = {"offers": "supply", "enrolments": "service_object"}
    return next((kind for field, kind in marks.items() if field in record), "standard")


def benefit_of_shanghai() -> duckdb.DuckDBPyConnection:
    """A base with the three notices on unemployment benefit, each reported on the day it was published."""
    logs = Logs()
    for fact, on in ((BENEFIT_2024, date(2024, 7, 1)), (BENEFIT_2025, date(2025, 7, 4)), (BENEFIT_2026, date(2026, 7, 2))):
        logs.report("31", fact, datetime(on.year, on.month, on.day, tzinfo=UTC))
    return logs.base()
