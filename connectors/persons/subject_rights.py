"""What is decided about one subject: erasure, restriction, legal hold, and a person's own record (PIPL arts 44 to 50)."""

import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import replace
from typing import Any
from uuid import UUID

from connectors.home.folder import Home
from connectors.home.regional_key import Tokeniser
from connectors.persons.naming import Naming
from connectors.persons.recording import Persons, persons
from connectors.persons.standings import tokens_now
from repository.controls.subject_measure import ERASURE, MeasureRefused, SubjectWithheld
from repository.decisions.entity import Entity, Event
from repository.kinds.register import PERSONS
from repository.store.publisher import Publisher
from schemas.contracts import PERSONAL_FIELD, state_fields

KEPT_REJECTIONS = 'SELECT rowid, "column", value, reason FROM rejections'


def subjects_named(store: Publisher, named: str, tokeniser: Tokeniser | None = None) -> list[Entity]:
    """All entities about the person meant by a pseudonym, an entity's id or key, or "id_type|number". Raises MeasureRefused.

    A person may stand in several kinds, under several keys; the pseudonym holds them together. What once stood under it by
    mistake, and was corrected, is somebody else's and not among them (`formerly_named`).
    """
    named = _pseudonym(named, tokeniser)
    meant = [entity for entity in _meant(store, named) if entity.records and entity.kind in PERSONS]
    tokens = {named} | {token for entity in meant for token in tokens_now(entity)}
    under = [each for token in sorted(tokens) for each in _under(store, token) if each.records and _stands(each, token)]
    known = {entity.id: entity for entity in (*meant, *under)}
    if not known:
        raise MeasureRefused(
            f"Publisher {store.code} has recorded no subject under this name; give the pseudonym or the entity's id, "
            "as queries show them, or - to type kind and number of the identity document."
        )
    return list(known.values())


def _pseudonym(named: str, tokeniser: Tokeniser | None) -> str:
    """The pseudonym of "id_type|number"; any other name as it is."""
    id_type, mark, number = named.partition("|")
    return tokeniser(id_type, number) if mark and tokeniser is not None else named


def _stands(entity: Entity, token: str) -> bool:
    """Whether an entity is known under a pseudonym now, as its token or as its key."""
    return token in tokens_now(entity) or (PERSONS[entity.kind].token_is_key and entity.business_key == token)


def formerly_named(store: Publisher, named: str, tokeniser: Tokeniser | None = None) -> dict[UUID, Entity]:
    """The entities that once stood under a person's pseudonym, by mistake, and do not any more: as far as they stood under it."""
    named = _pseudonym(named, tokeniser)
    found: dict[UUID, Entity] = {}
    for token in {named} | {token for entity in _meant(store, named) if entity.records for token in tokens_now(entity)}:
        for entity in _under(store, token):
            if entity.records and not _stands(entity, token):
                last = max(r["version"] for r in entity.records if token in (r[PERSONS[entity.kind].token], r["business_key"]))
                found[entity.id] = replace(entity, records=entity.records[:last])
    return found


def _meant(store: Publisher, named: str) -> Iterator[Entity]:
    """The entity of this id, and those of this key."""
    with suppress(ValueError):
        entity = store.by_id(UUID(named))
        if entity is not None:
            yield entity
    yield from (store.entity(kind, named) for kind in PERSONS)


def _under(store: Publisher, token: str) -> Iterator[Entity]:
    """The entities that stand, or stood, under a pseudonym, whether it is their key or not."""
    for kind, rule in PERSONS.items():
        if rule.token_is_key:
            yield store.entity(kind, token)
        yield from (entity for id_ in store.holding(kind, token) if (entity := store.by_id(id_)) is not None)


def take_measure(
    home: Home, code: str, named: str, measure: str, in_force: bool, said: Mapping[str, Any], tokeniser: Tokeniser | None
) -> list[Event]:
    """Record a measure about a person at one publisher, one record per entity, and carry it out there. Raises MeasureRefused.

    The records come first: when the process ends before a key is destroyed, the next opening of the key store destroys it.
    An entity of which the measure holds already, or does not, is left as it is; where that is so of all, it is refused.
    """
    with (
        home.lock(f"publisher-{home.member(code)}", f"{measure} of a subject"),
        home.store(code) as store,
        persons(home, store) as opened,
    ):
        taken: list[Event] = []
        refused: MeasureRefused | None = None
        subjects = subjects_named(store, named, tokeniser)
        if measure == ERASURE and in_force:
            # Of a person either everything goes or nothing: a hold on one entity keeps all of them. So it is tried first.
            subjects.sort(key=lambda subject: not opened.standings.of(subject.id).held)
        for subject in subjects:
            try:
                taken.append(opened.standings.record(subject, measure, in_force, opened.standings.of(subject.id), said))
            except MeasureRefused as error:
                if opened.standings.of(subject.id).held and measure == ERASURE and in_force:
                    raise
                refused = refused or error
                if opened.standings.of(subject.id).erased and measure == ERASURE and in_force:
                    # What was begun and broken off, or was in somebody's way, is finished.
                    _forget_rejections(home, code, _identifying(subject))
                continue
            if measure == ERASURE and in_force:
                _erase_late(opened, subject)
                _forget_rejections(home, code, _identifying(subject))
        if measure == ERASURE and in_force:
            for part in formerly_named(store, named, tokeniser).values():
                taken += _erase_part(home, opened, part, said)
        if refused is not None and not taken:
            raise refused
        return taken


def _erase_part(home: Home, opened: Persons, part: Entity, said: Mapping[str, Any]) -> list[Event]:
    """Erase what an entity said while it stood under somebody's pseudonym; whose it is now is recorded on.

    Two records, and the second is made up for where a process ended between them. Raises MeasureRefused under a legal hold.
    """
    standing = opened.standings.of(part.id)
    if standing.held:
        raise MeasureRefused(
            f"Subject {part.id} once stood under this name, and is under a legal hold ({standing.hold_reason}): what it said "
            "under the name stays, and all else is erased. Erase the name again when the hold has ended."
        )
    broken_off = standing.erased and standing.erased_to == part.version
    if not broken_off and (standing.erased or part.version <= (standing.erased_to or 0)):
        return []
    gone = [] if broken_off else [opened.standings.record(part, ERASURE, True, standing, said)]
    whose = {**said, "reason": "it stood under the pseudonym by mistake, and is somebody else's"}
    again = opened.standings.record(part, ERASURE, False, opened.standings.of(part.id), whose)
    _forget_rejections(home, part.publisher, {str(record[PERSONS[part.kind].token]) for record in part.records})
    return [*gone, again]


def _identifying(subject: Entity) -> set[str]:
    """The texts in an entity's events that lead to its person."""
    rule = PERSONS[subject.kind]
    texts = {str(record[name]) for record in subject.records for name in ("business_key", rule.token) if record[name]}
    return texts | {text for record in subject.records for name in rule.others for text in _texts(record[name])}


def _texts(value: object) -> list[str]:
    return [] if value is None else [str(each) for each in value] if isinstance(value, list) else [str(value)]


def _erase_late(opened: Persons, subject: Entity) -> None:
    """A fact that was reported in the moment of the erasure is erased too."""
    with suppress(SubjectWithheld):
        opened.standings.erase_late(subject)


def _forget_rejections(home: Home, code: str, texts: set[str]) -> None:
    """Take what leads to the person out of the kept rejections of this publisher. Raises sqlite3.Error where they are held."""
    path, naming = home.folder / "rejections" / f"{code}.sqlite", Naming(texts, "(erased)")
    if not path.exists():
        return
    connection = sqlite3.connect(path)
    try:
        connection.execute("PRAGMA secure_delete = ON")
        with connection:
            there = connection.execute("SELECT 1 FROM sqlite_master WHERE name = 'rejections'").fetchone()
            for row, column, value, reason in connection.execute(KEPT_REJECTIONS).fetchall() if there else ():
                left = naming.without(value or "", column or "", reason)
                if left != (value or "", reason):
                    connection.execute("UPDATE rejections SET value = ?, reason = ? WHERE rowid = ?", (*left, row))
    finally:
        connection.close()


def own_record(home: Home, code: str, named: str, tokeniser: Tokeniser | None) -> dict[str, Any]:
    """All that a publisher has recorded of one person, in plain, as the person may ask for it (PIPL art. 45).

    The first entity's identity and standing lead; `events` are those of all entities about the person, each with its kind.
    """
    with home.store(code) as store, persons(home, store) as opened:
        subjects = [(each, opened.standings.of(each.id)) for each in subjects_named(store, named, tokeniser)]
        first = subjects[0][0]
        if all(each.erased for _, each in subjects):
            raise MeasureRefused(f"Subject {first.id} was erased; nothing that identifies the person is left to give.")
        events = [
            _told(subject.kind, record)
            for subject, stands in subjects
            for record in opened.shown(subject, stands).records
            if not stands.erased and record["version"] > (stands.erased_to or 0)
        ]
        return {
            "publisher": code,
            "entity_id": str(first.id),
            "subject_token": first.records[-1][PERSONS[first.kind].token],
            "restricted": any(each.restricted for _, each in subjects),
            "legal_hold": any(each.held for _, each in subjects),
            "events": events,
        }


def _told(kind: str, record: Event) -> dict[str, Any]:
    envelope = (
        "event_id",
        "event_type",
        "version",
        "valid_from",
        "valid_to",
        "recorded_at",
        "doc_no",
        "authority",
        "reason",
        "source",
    )
    state = {name: record[name] for name in state_fields(kind) if record[name] not in (None, [])}
    personal = record.get(PERSONAL_FIELD)
    shown = {**state, PERSONAL_FIELD: dict(personal)} if personal else state
    return {"kind": kind, **{name: record[name] for name in envelope if record[name] is not None}, **shown}
