"""One entity's decisions: (what is known of it, what is reported) -> the events to record, or none when nothing is new.

Every function here is pure. Events are the records of the kind's Avro schema; they are numbered on from the history,
and the caller stores those of one decision together.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any, NamedTuple
from uuid import UUID

from repository.decisions.facts import Fact, refuse_empty
from repository.decisions.state import State, differences, empty, state_of, stated, value_at
from repository.decisions.timeline import BEGINNING, FOREVER, Piece, Segment, Statement, cut, place, reappearing, resolve
from repository.events.identity import entity_id, event_id
from repository.kinds.register import RULES
from repository.kinds.rules import Change, Violation

CORRECTED, RETRACTED = "FactCorrected", "FactRetracted"
RENAMED, MERGED, SPLIT = "EntityRenamed", "EntityMerged", "EntitySplit"

Event = dict[str, Any]
MENTIONED = ("doc_no", "authority", "published_on")


class Superseded(ValueError):
    """A fact that later publications leave no room for; recording it would hide them."""


class NotCorrectable(ValueError):
    """An event that can't be corrected or retracted, with the reason and what to name instead."""


@dataclass(frozen=True, slots=True)
class Recording:
    """Who records, when, and for which import. `recorded_at` is aware, in UTC; the store's clock, never the hub's.

    `repeated` are the earlier imports of the very same file: what they recorded was not said again by importing it again.
    """

    publisher: str
    recorded_at: datetime
    batch_id: UUID | None = None
    repeated: frozenset[str] = frozenset()


class Decided(NamedTuple):
    """What one event is to say: its interval, the state over it, its name, and the paths that it changes."""

    start: date
    end: date
    state: State
    event_type: str
    changed: list[str]


@dataclass
class Entity:
    """An entity as its publisher knows it: identity, current key, and the records of all its events."""

    kind: str
    publisher: str
    business_key: str
    id: UUID
    records: list[Event]

    @classmethod
    def unknown(cls, kind: str, publisher: str, business_key: str) -> "Entity":
        """An entity of which nothing has been recorded yet."""
        return cls(kind, publisher, business_key, entity_id(publisher, kind, business_key), [])

    @classmethod
    def of(cls, kind: str, records: list[Event]) -> "Entity":
        """The entity that these records, its whole history, add up to."""
        last = records[-1]
        return cls(kind, last["publisher"], last["business_key"], UUID(str(last["entity_id"])), records)

    @property
    def version(self) -> int:
        return len(self.records)

    @property
    def statements(self) -> list[Statement]:
        by_id = {str(r["event_id"]): r["version"] for r in self.records}
        return [statement(r, by_id) for r in self.records]

    @property
    def timeline(self) -> list[Segment]:
        return resolve(self.statements)


def statement(record: Mapping[str, Any], versions: Mapping[str, int]) -> Statement:
    """What one event record says, as the timeline sees it; `versions` maps event ids of the entity to versions."""
    annulled = record["corrects_event_id"]
    return Statement(
        version=record["version"],
        start=record["valid_from"] or BEGINNING,
        end=record["valid_to"] or FOREVER,
        state=record,
        stated=record["stated_to"],
        published_on=record["published_on"],
        annuls=None if annulled is None else versions.get(str(annulled), 0),
        retraction=record["operation"] == "retract",
        source=record["source"],
    )


# -- reporting -----------------------------------------------------------------------------------------------------


def report(entity: Entity, fact: Fact, recording: Recording) -> list[Event]:
    """Events for a reported fact; none when it is known already.

    Raises NotAState or Violation for what can't be, Superseded where later publications leave no room.
    """
    refuse_empty(fact.business_key, fact.valid_from, fact.stated_to)
    statements = entity.statements
    segments = resolve(statements)
    start = fact.valid_from or BEGINNING
    pieces = place(segments, start, fact.stated_to, fact.rests_on.published_on)
    if not pieces and not _said(entity.kind, statements, fact, start, recording.repeated):
        raise Superseded(_superseded(segments, fact))
    news = [
        (piece, _after(entity.kind, fact, piece))
        for piece in pieces
        if not (_said(entity.kind, statements, fact, piece.start, recording.repeated) or _shows(entity.kind, fact, piece))
    ]
    decided = [_decided(entity.kind, segments, fact, piece, after) for piece, after in _joined(news)]
    return [_event(entity, number, recording, fact, each) for number, each in enumerate(decided, entity.version + 1)]


def _after(kind: str, fact: Fact, piece: Piece) -> State:
    before = empty(kind) if piece.under is None else state_of(kind, piece.under.statement.state)
    after = stated(kind, before, fact.fields)
    RULES[kind].check(after)
    return after


def _said(kind: str, statements: Sequence[Statement], fact: Fact, day: date, repeated: frozenset[str]) -> bool:
    """Whether the source's latest word on this fact, as far as it covers `day`, was just this.

    Also when another source or a correction has spoken since, and, of a file imported again, when a later file of the
    same source has: a dump imported again says nothing new.
    """
    said = [
        s
        for s in statements
        if s.source == fact.source
        and s.state["operation"] == "assert"
        and s.stated == fact.stated_to
        and s.start >= (fact.valid_from or BEGINNING)
        and s.covers(day)
    ]
    last = max(said, key=lambda s: s.version, default=None)
    counting = [s for s in said if s is last or str(s.state["batch_id"]) in repeated]
    return any(_same(kind, fact, s) for s in counting)


def _shows(kind: str, fact: Fact, piece: Piece) -> bool:
    """Whether what is known over the piece, whoever said it, is just this."""
    if piece.under is None:
        return False
    shown = piece.under.statement
    return fact.stated_to in (None, shown.stated) and _same(kind, fact, shown)


def _same(kind: str, fact: Fact, known: Statement) -> bool:
    rests = all(getattr(fact.rests_on, n) in (None, known.state[n]) for n in MENTIONED)
    before = state_of(kind, known.state)
    return rests and stated(kind, before, fact.fields) == before


def _joined(news: Sequence[tuple[Piece, State]]) -> list[tuple[Piece, State]]:
    """Neighbouring pieces that end in the same state are one event."""
    joined: list[tuple[Piece, State]] = []
    for piece, after in news:
        if joined and joined[-1][0].end == piece.start and joined[-1][1] == after:
            joined[-1] = (Piece(joined[-1][0].start, piece.end, joined[-1][0].under), after)
        else:
            joined.append((piece, after))
    return joined


def _decided(kind: str, segments: Sequence[Segment], fact: Fact, piece: Piece, after: State) -> Decided:
    """The event over a piece, named by what was known there or, failing that, last before it. Raises Violation."""
    rules = RULES[kind]
    earlier = [s for s in segments if s.start <= piece.start]
    before = state_of(kind, earlier[-1].statement.state) if earlier else None
    changed = [] if before is None else differences(kind, before, after)
    named = rules.first(after) if before is None else rules.name(before, after, changed)
    if rules.judge is not None:
        on = fact.rests_on
        rules.judge(Change(before, after, changed, named, on.doc_no, on.authority, on.published_on))
    return Decided(piece.start, piece.end, after, named, changed)


def _superseded(segments: Sequence[Segment], fact: Fact) -> str:
    stands = next(s for s in reversed(segments) if s.start <= max(fact.valid_from or BEGINNING, segments[0].start))
    known = stands.statement.state
    return (
        f"What {fact.business_key} states from {fact.valid_from} is taken by a later publication "
        f"({known['doc_no'] or known['source']}, {known['published_on']}); correct that one if it is wrong."
    )


def _event(entity: Entity, version: int, recording: Recording, fact: Fact, decided: Decided, operation: str = "assert") -> Event:
    return {
        "event_id": event_id(entity.id, version),
        "event_type": decided.event_type,
        "operation": operation,
        "publisher": entity.publisher,
        "entity_id": entity.id,
        "business_key": entity.business_key,
        "version": version,
        "valid_from": None if decided.start == BEGINNING else decided.start,
        "valid_to": None if decided.end == FOREVER else decided.end,
        "stated_to": fact.stated_to,
        "recorded_at": recording.recorded_at,
        "corrects_event_id": None,
        "related_entity_ids": [],
        "changed": decided.changed,
        "doc_no": fact.rests_on.doc_no,
        "authority": fact.rests_on.authority,
        "published_on": fact.rests_on.published_on,
        "operator": fact.operator,
        "reason": fact.reason,
        "source": fact.source,
        "batch_id": recording.batch_id,
        "data_level": fact.data_level,
        "flags": list(fact.flags),
        **decided.state,
    }


# -- correcting and retracting -------------------------------------------------------------------------------------


def correct(
    entity: Entity, wrong: UUID, fields: Mapping[str, object], recording: Recording, operator: str | None, reason: str
) -> list[Event]:
    """Events that put fields of one event right, on every segment that shows it or inherited the error from it.

    Raises NotCorrectable where no such event shows, NotAState or Violation for what can't be.
    """
    infected = _infected(entity, _shown(entity, wrong), list(fields))
    right = {each.start: _put_right(entity.kind, each, {p: fields[p] for p in paths}) for each, paths in infected}
    annulled = {each.statement.version for each, _ in infected if right[each.start][1]}
    events: list[Event] = []
    for segment in entity.timeline:
        if segment.statement.version in annulled:
            # A statement is annulled whole: where it shows besides, and was right, it is stated again as it was.
            after, changed = right.get(segment.start) or (state_of(entity.kind, segment.statement.state), [])
            events.append(_correction(entity, len(events), segment, after, changed, recording, operator, reason))
    return events


def _put_right(kind: str, segment: Segment, fields: Mapping[str, object]) -> tuple[State, list[str]]:
    """The state of a segment with fields put right, and the paths that differ by it."""
    before = state_of(kind, segment.statement.state)
    after = stated(kind, before, fields)
    RULES[kind].check(after)
    return after, differences(kind, before, after)


def _shown(entity: Entity, event: UUID) -> Statement:
    number = next((r["version"] for r in entity.records if str(r["event_id"]) == str(event)), None)
    if number is None:
        look_up = f"yrd query \"FROM change_log('{entity.business_key}')\""
        raise NotCorrectable(f"{entity.business_key} has no event {event}; look it up with `{look_up}`.")
    showing = next((s.statement for s in entity.timeline if s.statement.version == number), None)
    if showing is None:
        latest = [str(s.statement.state["event_id"]) for s in entity.timeline]
        raise NotCorrectable(
            f"Event {event} shows nowhere in the timeline any more; correct one of {', '.join(latest) or 'none'}."
        )
    return showing


def _infected(entity: Entity, shown: Statement, paths: Sequence[str]) -> list[tuple[Segment, list[str]]]:
    """The segments that show the wrong event, with all paths, and later ones with those paths that they inherited."""
    found: list[tuple[Segment, list[str]]] = []
    inherited = list(paths)
    seen = False
    for segment in entity.timeline:
        if segment.statement.version == shown.version:
            seen = True
            found.append((segment, list(paths)))
        elif seen:
            inherited = [p for p in inherited if _inherits(entity, segment.statement, shown, p)]
            if inherited:
                found.append((segment, list(inherited)))
    return found


def _inherits(entity: Entity, later: Statement, wrong: Statement, path: str) -> bool:
    """Whether `later` took the path over from `wrong`: nothing it goes back to put another value there.

    What an earlier correction restated together with `wrong` was inherited then and still is.
    """
    together = {r["recorded_at"] for r in _goes_back_to(entity, wrong) if r["operation"] == "correct"}
    own = (r for r in _goes_back_to(entity, later) if not (r["operation"] == "correct" and r["recorded_at"] in together))
    restated = any(changed == path or path.startswith(f"{changed}.") for record in own for changed in record["changed"])
    return not restated and value_at(later.state, path) == value_at(wrong.state, path)


def _goes_back_to(entity: Entity, statement: Statement) -> list[Mapping[str, Any]]:
    """The event of a statement, the one it corrects, the one that corrected, and so on back to what was reported."""
    number: int | None = statement.version
    by_version = {s.version: s for s in entity.statements}
    found: list[Mapping[str, Any]] = []
    while number in by_version:
        found.append(by_version[number].state)
        number = by_version[number].annuls
    return found


def _correction(
    entity: Entity,
    offset: int,
    segment: Segment,
    after: State,
    changed: list[str],
    recording: Recording,
    operator: str | None,
    reason: str,
) -> Event:
    wrong = segment.statement.state
    version = entity.version + 1 + offset
    return {
        **wrong,
        **after,
        "event_id": event_id(entity.id, version),
        "event_type": CORRECTED,
        "operation": "correct",
        "business_key": entity.business_key,
        "version": version,
        "valid_from": None if segment.start == BEGINNING else segment.start,
        "valid_to": None if segment.end == FOREVER else segment.end,
        "recorded_at": recording.recorded_at,
        "corrects_event_id": wrong["event_id"],
        "related_entity_ids": [],
        "changed": changed,
        "operator": operator,
        "reason": reason,
        "batch_id": recording.batch_id,
    }


def retract(entity: Entity, wrong: UUID, recording: Recording, operator: str | None, reason: str) -> list[Event]:
    """Events that annul one event; what was known before it reappears, stated again where the read rule needs it."""
    shown = next((s for s in entity.statements if str(s.state["event_id"]) == str(wrong)), None)
    if shown is None or shown.retraction:
        raise NotCorrectable(f"{entity.business_key} has no event {wrong} that states something; nothing is retracted.")
    if any(s.annuls == shown.version for s in entity.statements):
        raise NotCorrectable(f"Event {wrong} was annulled before; nothing is left to retract.")
    whole = Segment(shown.start, shown.end, shown)
    unchanged = state_of(entity.kind, shown.state)
    first = _correction(entity, 0, whole, unchanged, [], recording, operator, reason)
    events = [{**first, "event_type": RETRACTED, "operation": "retract"}]
    for segment in reappearing(entity.statements, shown):
        state = state_of(entity.kind, segment.statement.state)
        changed = differences(entity.kind, unchanged, state)
        again = _correction(entity, len(events), segment, state, changed, recording, operator, reason)
        named = RULES[entity.kind].name(unchanged, state, changed)
        events.append({**again, "event_type": named, "operation": "assert", "corrects_event_id": None})
    return events


# -- keys ----------------------------------------------------------------------------------------------------------


def rename(entity: Entity, new_key: str, on: date | None, recording: Recording, fact: Fact) -> list[Event]:
    """The event that gives an entity a new business key, over the open end of its timeline."""
    return [{**_turn(entity, on, recording, fact, RENAMED, "assert", {}), "business_key": new_key}]


def merge(entity: Entity, into: UUID, on: date | None, recording: Recording, fact: Fact) -> list[Event]:
    """The event that ends an entity because it went into another. Raises Violation where that is itself."""
    if into == entity.id:
        raise Violation(f"{entity.business_key} can't be merged into itself; name the entity that goes on.")
    turned = _turn(entity, on, recording, fact, MERGED, "merge", RULES[entity.kind].ended)
    return [{**turned, "related_entity_ids": [into]}]


def split(entity: Entity, parts: Sequence[UUID], on: date | None, recording: Recording, fact: Fact) -> list[Event]:
    """The event that ends an entity because it was divided; it goes on where it is one of its own parts."""
    ended = {} if entity.id in parts else RULES[entity.kind].ended
    turned = _turn(entity, on, recording, fact, SPLIT, "split", ended)
    return [{**turned, "related_entity_ids": [p for p in parts if p != entity.id]}]


def _turn(
    entity: Entity,
    on: date | None,
    recording: Recording,
    fact: Fact,
    name: str,
    operation: str,
    fields: Mapping[str, object],
) -> Event:
    """An event over [on, next known segment), in the state known there with `fields` put in."""
    segments = entity.timeline
    start = on or BEGINNING
    end = next((s.start for s in segments if s.start > start), FOREVER)
    under = next((p for p in cut(segments, start, end) if p.under is not None), None)
    before = empty(entity.kind) if under is None or under.under is None else state_of(entity.kind, under.under.statement.state)
    if on is None and segments:
        start, end, before = segments[-1].start, segments[-1].end, state_of(entity.kind, segments[-1].statement.state)
    after = stated(entity.kind, before, fields)
    decided = Decided(start, end, after, name, differences(entity.kind, before, after))
    return _event(entity, entity.version + 1, recording, fact, decided, operation)
