"""Random events and histories for property tests, and the publishers and logs that hold them."""

from collections.abc import Iterable, Sequence
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any
from uuid import UUID

from hypothesis import strategies as st

from repository.decisions import entity as entities
from repository.decisions.entity import Entity, Recording, Superseded
from repository.decisions.facts import Authority, Fact
from repository.events.columns import EPOCH, EPOCH_MOMENT, microseconds
from repository.events.identity import entity_id, event_id
from repository.store.log import Record
from repository.store.publisher import Publisher, stored
from schemas.contracts import FieldType, fields

NOW = datetime(2025, 3, 1, 8, tzinfo=UTC)
DAY = date(2020, 1, 1)
CODE = "31"
SUPPLY, STANDARD, SUBJECT = "supply", "standard", "service_object"


def day(number: int) -> date:
    """The `number`-th day after 1 January 2020."""
    return DAY + timedelta(number)


def recording(after_s: int = 0, publisher: str = CODE) -> Recording:
    """A recording `after_s` seconds after a fixed moment."""
    return Recording(publisher, NOW + timedelta(seconds=after_s))


def fact(fields_: dict[str, object], valid_from: date | None = DAY, kind: str = SUPPLY, key: str = "点", **rest: Any) -> Fact:
    """A fact of a source named "list" that rests on no document unless `published_on` says so."""
    published_on = rest.pop("published_on", None)
    rests = Authority(published_on=published_on)
    return Fact(kind, key, valid_from, fields_, rest.pop("source", "list"), rests_on=rest.pop("rests_on", rests), **rest)


def known(*facts: Fact, publisher: str = CODE) -> Entity:
    """The entity after these facts were reported one after another; those superseded are left out."""
    entity = Entity.unknown(facts[0].kind, publisher, facts[0].business_key)
    for number, each in enumerate(facts):
        tell(entity, each, number)
    return entity


def tell(entity: Entity, each: Fact, after_s: int = 0) -> list[dict[str, Any]]:
    """Report a fact and put what was recorded into the entity."""
    try:
        events = entities.report(entity, each, recording(after_s, entity.publisher))
    except Superseded:
        return []
    entity.records.extend(events)
    return events


# -- random records of a kind ----------------------------------------------------------------------------------------

TEXTS = st.text(st.characters(codec="utf-8"), max_size=8)
MONEY = st.integers(-(10**18) + 1, 10**18 - 1) | st.integers(-40_000, 40_000)
VALUES: dict[str, st.SearchStrategy[Any]] = {
    "string": TEXTS,
    "uuid": st.uuids(),
    "int": st.integers(-(2**31), 2**31 - 1),
    "long": st.integers(-(2**63), 2**63 - 1),
    "double": st.floats(allow_nan=False, allow_infinity=False),
    "boolean": st.booleans(),
    "bytes": st.binary(max_size=20),
    "date": st.dates(),
    "timestamp": st.datetimes(timezones=st.just(UTC)),
    "decimal": MONEY.map(lambda n: Decimal(n).scaleb(-4)),
}


def values(type_: FieldType) -> st.SearchStrategy[Any]:
    """Any value that a field of this type can hold."""
    if type_.word == "records":
        cells = {name: values(cell) for name, cell in type_.entry.items()}
        found: st.SearchStrategy[Any] = st.lists(st.fixed_dictionaries(cells), max_size=2)
    elif type_.word == "strings":
        found = st.lists(VALUES[type_.item], max_size=2)
    else:
        found = VALUES[type_.word]
    return st.none() | found if type_.nullable else found


def records(kind: str) -> st.SearchStrategy[dict[str, Any]]:
    """Any record that the schema of a kind can hold, every field given."""
    return st.fixed_dictionaries({name: values(type_) for name, type_ in fields(kind).items()})


def physical(type_: FieldType, value: Any) -> Any:
    """A value as a column of `encode_columns` holds it."""
    if value is None or type_.word not in ("date", "timestamp"):
        return value
    return (value - EPOCH).days if type_.word == "date" else microseconds(value)


def default(type_: FieldType) -> Any:
    """A field's default as a record holds it."""
    if type_.word == "timestamp":
        return EPOCH_MOMENT
    return [] if type_.word in ("strings", "records") else type_.default


def plain_record(kind: str, number: int = 1, **changed: object) -> dict[str, Any]:
    """The record of the first event of the entity with key k<number>; `changed` replaces fields."""
    key = f"k{number}"
    identity = entity_id(CODE, kind, key)
    record = {name: default(type_) for name, type_ in fields(kind).items()}
    record |= {"event_id": event_id(identity, 1), "entity_id": identity, "version": 1, "business_key": key}
    return record | {"publisher": CODE, "recorded_at": NOW, "event_type": "Registered"} | changed


# -- random histories of one entity ----------------------------------------------------------------------------------

GRADES = st.sampled_from(["一级", "二级", "三级"])
STATES = st.fixed_dictionaries(
    {"grade": GRADES},
    optional={"phone": st.sampled_from(["1", "2"]), "offers[YRD050101].capacity": st.integers(0, 2)},
)


@st.composite
def facts(draw: st.DrawFn, key: str = "点") -> Fact:
    """A fact about a service point within 12 days, open or stated, on a document or none."""
    start = draw(st.none() | st.integers(0, 11))
    length = draw(st.none() | st.integers(1, 8))
    published = draw(st.none() | st.integers(0, 3))
    return fact(
        draw(STATES),
        None if start is None else day(start),
        key=key,
        stated_to=None if length is None else day((start or 0) + length),
        published_on=None if published is None else day(published),
        source=draw(st.sampled_from(["one", "two"])),
    )


@st.composite
def histories(draw: st.DrawFn, key: str = "点", most: int = 7) -> Entity:
    """An entity after some reports, corrections, retractions and turns in any order."""
    entity = known(draw(facts(key)))
    for step in range(draw(st.integers(0, most))):
        match draw(st.sampled_from(["report", "report", "correct", "retract", "rename"])):
            case "report":
                tell(entity, draw(facts(key)), step + 1)
            case "rename":
                entity.records.extend(
                    entities.rename(entity, f"{key}{step}", day(draw(st.integers(0, 11))), recording(step + 1), fact({}))
                )
            case "correct":
                shown = [UUID(str(s.statement.state["event_id"])) for s in entity.timeline]
                if shown:
                    wrong, change = draw(st.sampled_from(shown)), {"grade": draw(GRADES)}
                    entity.records.extend(entities.correct(entity, wrong, change, recording(step + 1), None, "typed wrongly"))
            case "retract":
                standing = _standing(entity)
                if standing:
                    gone = draw(st.sampled_from(standing))
                    entity.records.extend(entities.retract(entity, gone, recording(step + 1), None, "never so"))
    return entity


def _standing(entity: Entity) -> list[UUID]:
    annulled = {s.annuls for s in entity.statements}
    return [UUID(str(s.state["event_id"])) for s in entity.statements if not s.retraction and s.version not in annulled]


# -- publishers and logs ---------------------------------------------------------------------------------------------


def embedded(folder: Path, code: str = CODE) -> Publisher:
    """A publisher's store in a SQLite file of the folder."""
    env = {"PERSISTENCE_MODULE": "eventsourcing.sqlite", "SQLITE_DBNAME": str(folder / f"{code}.sqlite")}
    return Publisher(code, env)


def log_record(kind: str, record: dict[str, Any], offset: int, topic: str = f"yrd.{CODE}", **rest: Any) -> Record:
    """An event at a place in a log; `rest` replaces fields of the log's record."""
    made = stored(kind, record)
    plain = Record(topic, 0, offset, offset, str(made.originator_id), made.topic, made.state, None)
    return plain._replace(**rest)


def log_of(entities_: Iterable[Entity], topic: str = f"yrd.{CODE}") -> list[Record]:
    """All events of some entities as one partition, the histories one after another; offsets from 1."""
    events = [(entity.kind, record) for entity in entities_ for record in entity.records]
    return [log_record(kind, record, number, topic) for number, (kind, record) in enumerate(events, 1)]


def shuffled(rows: Sequence[Record], order: Sequence[int]) -> list[Record]:
    """The records in another order, given as sort keys."""
    return [row for _, _, row in sorted(zip(order, range(len(rows)), rows, strict=False))]
