"""Facts reported as they happen: JSON lines in, decisions by the entities, one answer each.

A line is one fact: `business_key`, then any of `valid_from`, `valid_to` (the last day included, as people write it),
`doc_no`, `authority`, `published_on`, `operator`, `reason`, `source`, and the fields of the kind by name or path.
"""

import json
from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal, InvalidOperation
from typing import Any
from uuid import UUID

from connectors.home.regional_key import Tokeniser
from connectors.persons.recording import Persons
from connectors.publishing.reported_persons import folded, personal_fields, with_token
from repository.decisions.entity import (
    Entity,
    NotCorrectable,
    Recording,
    Superseded,
    correct,
    merge,
    rename,
    report,
    retract,
    split,
)
from repository.decisions.facts import Authority, Fact
from repository.decisions.state import NotAState, check_path
from repository.decisions.timeline import BEGINNING
from repository.events.encoding import NotAnEvent
from repository.events.identity import entity_id
from repository.kinds.rules import Violation
from repository.registers import text
from repository.store.publisher import StoreChanged
from schemas.contracts import FieldType, field_at

LINE_FIELDS = ("business_key", "valid_from", "valid_to", "doc_no", "authority", "published_on", "operator", "reason", "source")
REFUSALS = (NotAState, Violation, Superseded, NotCorrectable, NotAnEvent, StoreChanged, ValueError)
ATTEMPTS = 20
"""How often a fact is decided anew when other writers record events of the same entity meanwhile."""
DAY = timedelta(days=1)
Answer = dict[str, Any]


class NotAFact(ValueError):
    """A line that is no fact; the message says what is wrong with it."""


def report_lines(
    persons: Persons, kind: str, lines: Iterable[str], source: str, tokeniser: Tokeniser | None = None
) -> Iterator[Answer]:
    """One answer per line: {"line", "result": new | unchanged | refused, "events", "reason"}."""
    for number, line in enumerate(lines, 1):
        if line.strip():
            yield {"line": number, **_report_line(persons, kind, line, source, tokeniser)}


def _report_line(persons: Persons, kind: str, line: str, source: str, tokeniser: Tokeniser | None) -> Answer:
    try:
        events = _told(persons, fact_of(kind, line, source, tokeniser))
    except REFUSALS as error:
        return {"result": "refused", "reason": text.mask(str(error))}
    return {"result": "new" if events else "unchanged", "events": [e["event_type"] for e in events]}


def _told(persons: Persons, fact: Fact) -> list[Any]:
    """Decide and record a fact, again on what is there now where another writer came between."""
    store = persons.store
    for attempt in range(1, ATTEMPTS + 1):
        entity = persons.opened(store.entity(fact.kind, fact.business_key))
        persons.standings.refuse_withheld(fact.kind, fact.fields, fact.business_key)
        events = persons.encrypted(fact.kind, report(entity, fact, Recording(store.code, datetime.now(UTC))))
        try:
            if events:
                store.record(fact.kind, events)
                persons.standings.erase_late(entity, fact.fields)
        except StoreChanged:
            if attempt == ATTEMPTS:
                raise
        else:
            break
    return events


def fact_of(kind: str, line: str, source: str, tokeniser: Tokeniser | None = None) -> Fact:
    """The fact that one JSON line states. Raises NotAFact."""
    given = with_token(kind, _object(line), tokeniser)
    key = given.get("business_key")
    if not isinstance(key, str) or not text.normalise(key):
        raise NotAFact('The line has no "business_key"; every fact needs the key under which you know the entity.')
    fields = {path: value_of(kind, path, v) for path, v in given.items() if path not in LINE_FIELDS}
    end = _day("valid_to", given.get("valid_to"))
    return Fact(
        kind=kind,
        business_key=text.normalise(key),
        valid_from=_day("valid_from", given.get("valid_from")),
        stated_to=_after(end),
        fields=fields,
        source=str(given.get("source") or source),
        rests_on=Authority(_text(given, "doc_no"), _text(given, "authority"), _day("published_on", given.get("published_on"))),
        operator=_text(given, "operator"),
        reason=_text(given, "reason"),
    )


def _object(line: str) -> dict[str, Any]:
    try:
        given = json.loads(line, parse_float=Decimal, object_pairs_hook=_each_once)
    except json.JSONDecodeError as error:
        raise NotAFact(f"The line is no JSON ({error.msg} at column {error.colno}); write one object per line.") from error
    except RecursionError as error:
        raise NotAFact("The line is nested too deeply; write one flat object per line.") from error
    if not isinstance(given, dict):
        raise NotAFact(f"The line is {line.strip()[:60]!r}; write one JSON object per line.")
    return given


def _each_once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """An object from its pairs, of which no name may stand twice: one of the two values would be lost unsaid."""
    found = dict(pairs)
    if len(found) < len(pairs):
        twice = next(name for number, (name, _) in enumerate(pairs) if name in dict(pairs[:number]))
        raise NotAFact(f'"{twice}" stands twice in the line; say it once.')
    return found


def _text(given: Mapping[str, Any], name: str) -> str | None:
    value = given.get(name)
    return None if value is None else text.normalise(str(value))


def _day(name: str, value: object) -> date | None:
    if value is None:
        return None
    try:
        return text.day(str(value))
    except ValueError as error:
        raise NotAFact(f"{name}: {error}") from error


def value_of(kind: str, path: str, value: object) -> object:
    """A JSON value as the type of its field. Raises NotAState for an unknown path, NotAFact for a value that does not fit."""
    check_path(kind, path)
    return _typed(path, field_at(kind, path), value)


def _typed(path: str, type_: FieldType, value: Any) -> object:
    if value is None:
        return None
    if type_.word == "bytes":
        return personal_fields(value, _typed)
    if type_.word == "records":
        if not isinstance(value, list):
            raise NotAFact(f'"{path}" takes a list of entries, not {value!r}.')
        return [_entry(path, type_, each) for each in value]
    if isinstance(value, list | dict) and type_.word != "strings":
        raise NotAFact(f'"{path}" takes {TAKES[type_.word]}, not a list or an object.')
    if type_.word == "strings":
        return [str(each) for each in value] if isinstance(value, list) else [str(value)]
    try:
        return CONVERT[type_.word](value)
    except (ValueError, TypeError, InvalidOperation, OverflowError) as error:
        raise NotAFact(f'"{path}" takes {TAKES[type_.word]}, not {value!r}.') from error


def _entry(path: str, type_: FieldType, value: object) -> object:
    if not isinstance(value, dict):
        raise NotAFact(f'An entry of "{path}" is an object with an item_code, not {value!r}.')
    # Unknown cells are left for the state to refuse by name.
    return {c: _typed(f"{path}.{c}", type_.entry[c], v) if c in type_.entry else v for c, v in value.items()}


LONGEST_INTEGER = 40
"""Digits, less one, beyond which no field holds a whole number."""


def _money(value: Any) -> Decimal:
    amount = Decimal(str(value))
    if not amount.is_finite():
        raise ValueError(value)
    return amount


def _integer(value: Any) -> int:
    number = Decimal(value)
    # A number of thousands of digits would take for ever to be written out only to be refused.
    if isinstance(value, bool) or not number.is_finite() or number.adjusted() > LONGEST_INTEGER or number != int(number):
        raise ValueError(value)
    return int(number)


def _boolean(value: Any) -> bool:
    if not isinstance(value, bool):
        raise TypeError(value)
    return value


CONVERT: dict[str, Any] = {
    "string": lambda v: text.normalise(str(v)),
    "int": _integer,
    "long": _integer,
    "double": lambda v: float(Decimal(v) if not isinstance(v, float) else v),
    "boolean": _boolean,
    "date": lambda v: text.day(str(v)),
    "decimal": _money,
}
TAKES = {
    "string": "a text",
    "int": "a whole number",
    "long": "a whole number",
    "double": "a number",
    "boolean": "true or false",
    "date": "a day such as 2026-07-01",
    "decimal": "an amount such as 2340 or 0.002",
}


def _after(end: date | None) -> date | None:
    """The first day after the last one."""
    if end == date.max:
        raise NotAFact(f"valid_to: {end} is the last day there is; leave it out where no end is known.")
    return None if end is None else end + DAY


# -- putting right -------------------------------------------------------------------------------------------------


def shown_event(entity: Entity, on: date | None) -> UUID:
    """The event that shows on a day (None: the newest segment). Raises NotCorrectable where nothing is known then."""
    segments = entity.timeline
    found = segments[-1:] if on is None else [s for s in segments if s.start <= on < s.end]
    if not found:
        raise NotCorrectable(
            f"Nothing is known of {entity.business_key} on {on or BEGINNING}; name another day or the event itself."
        )
    return UUID(str(found[0].statement.state["event_id"]))


def correct_fact(
    persons: Persons, entity: Entity, event: UUID, fields: Mapping[str, object], operator: str | None, reason: str
) -> list[Any]:
    """Record the correction of one event's fields; the events recorded. `entity` is opened."""
    typed = {path: value_of(entity.kind, path, value) for path, value in folded(fields).items()}
    recording = Recording(persons.store.code, datetime.now(UTC))
    return _recorded(persons, entity, correct(entity, event, typed, recording, operator, reason))


def retract_fact(persons: Persons, entity: Entity, event: UUID, operator: str | None, reason: str) -> list[Any]:
    """Record the retraction of one event; the events recorded. `entity` is opened."""
    recording = Recording(persons.store.code, datetime.now(UTC))
    return _recorded(persons, entity, retract(entity, event, recording, operator, reason))


def _recorded(persons: Persons, entity: Entity, events: list[Any]) -> list[Any]:
    for event in events:
        # Putting right is no way back for somebody who is withheld. What is taken back is no statement.
        if event["operation"] != "retract":
            persons.standings.refuse_withheld(entity.kind, event, str(event["business_key"]))
    if events:
        persons.store.record(entity.kind, persons.encrypted(entity.kind, events))
        persons.standings.erase_late(entity, events[-1])
    return events


# -- keys ----------------------------------------------------------------------------------------------------------


def link(
    persons: Persons, kind: str, pairs: Iterable[tuple[str, str]], on: date | None, source: str, reason: str | None
) -> Iterator[Answer]:
    """Record key changes: one to one renames, many to one merges, one to many splits. One answer per former key."""
    successors: dict[str, list[str]] = {}
    for old, new in pairs:
        successors.setdefault(old, []).append(new)
    uses = [new for group in successors.values() for new in group]
    for old, group in successors.items():
        shared = len(group) == 1 and uses.count(group[0]) > 1
        try:
            events = _link_one(persons, kind, old, group, shared, on, source, reason)
        except REFUSALS as error:
            yield {"old_key": old, "result": "refused", "reason": str(error)}
        else:
            yield {"old_key": old, "new_keys": group, "result": "new", "events": [e["event_type"] for e in events]}


def _link_one(
    persons: Persons, kind: str, old: str, new: list[str], shared: bool, on: date | None, source: str, reason: str | None
) -> list[Any]:
    store = persons.store
    entity = persons.opened(store.entity(kind, old))
    if not entity.records:
        raise NotAFact(f"Nothing is recorded under {old}; check the key, or report the entity first.")
    recording, fact = Recording(store.code, datetime.now(UTC)), Fact(kind, old, on, {}, source, reason=reason)
    targets = [store.entity(kind, key) for key in new]
    if len(new) > 1:
        parts = [t.id if t.records else entity_id(store.code, kind, t.business_key) for t in targets]
        return _recorded(persons, entity, split(entity, parts, on, recording, fact))
    if entity.id == targets[0].id:
        raise NotAFact(f"{old} and {new[0]} are one entity already; nothing is to be linked.")
    if shared or targets[0].records:
        return _recorded(persons, entity, merge(entity, targets[0].id, on, recording, fact))
    return _recorded(persons, entity, rename(entity, new[0], on, recording, fact))
