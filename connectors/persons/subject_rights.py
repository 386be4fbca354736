"""What is decided about one subject: erasure, restriction, legal hold, and a person's own record (PIPL arts 44 to 50)."""

import sqlite3
from collections.abc import Mapping
from contextlib import suppress
from typing import Any
from uuid import UUID

from connectors.home.folder import Home
from connectors.home.regional_key import Tokeniser
from connectors.persons.recording import Persons, persons
from repository.controls.subject_measure import ERASURE, MeasureRefused, SubjectWithheld
from repository.decisions.entity import Entity, Record
from repository.kinds.service_object import KIND as SERVICE_OBJECT
from repository.store.publisher import Publisher
from schemas.contracts import state_fields


def subject_named(store: Publisher, named: str, tokeniser: Tokeniser | None = None) -> Entity:
    """The person meant by a pseudonym, an entity's id, or "id_type|number". Raises MeasureRefused where it is nobody's."""
    if "|" in named and tokeniser is not None:
        id_type, _, number = named.partition("|")
        named = tokeniser(id_type, number)
    entity = None
    with suppress(ValueError):
        entity = store.by_id(UUID(named))
    entity = entity or store.entity(SERVICE_OBJECT, named)
    if not entity.records or entity.kind != SERVICE_OBJECT:
        raise MeasureRefused(
            f"Publisher {store.code} has recorded no subject under this name; give the pseudonym or the entity's id, "
            "as queries show them, or - to type kind and number of the identity document."
        )
    return entity


def take_measure(
    home: Home, code: str, named: str, measure: str, in_force: bool, said: Mapping[str, Any], tokeniser: Tokeniser | None
) -> Record:
    """Record a measure about a subject of one publisher, and carry it out at that publisher. Raises MeasureRefused.

    The record comes first: when the process ends before the key is destroyed, the next opening of the key store destroys it.
    """
    with (
        home.lock(f"publisher-{home.member(code)}", f"{measure} of a subject"),
        home.store(code) as store,
        persons(home, store) as known,
    ):
        subject = subject_named(store, named, tokeniser)
        record = known.record_measure(subject, measure, in_force, known.standing(subject.id), said)
        if measure == ERASURE and in_force:
            _erase_late(known, subject)
            _forget_rejections(home, code, {str(record["business_key"]) for record in subject.records})
        return record


def _erase_late(known: Persons, subject: Entity) -> None:
    """A fact that was reported in the moment of the erasure is erased too."""
    with suppress(SubjectWithheld):
        known.erase_late(subject)


def _forget_rejections(home: Home, code: str, tokens: set[str]) -> None:
    """Take the pseudonym out of the kept rejections of this publisher."""
    path = home.folder / "rejections" / f"{code}.sqlite"
    if not path.exists():
        return
    connection = sqlite3.connect(path)
    try:
        connection.execute("PRAGMA secure_delete = ON")
        with connection, suppress(sqlite3.OperationalError):
            for token in tokens:
                connection.execute(
                    "UPDATE rejections SET value = '(erased)', reason = replace(reason, ?, '(erased)') "
                    "WHERE value = ? OR instr(reason, ?) > 0",
                    [token, token, token],
                )
    finally:
        connection.close()


def own_record(home: Home, code: str, named: str, tokeniser: Tokeniser | None) -> dict[str, Any]:
    """All that a publisher has recorded of one person, in plain, as the person may ask for it (PIPL art. 45)."""
    with home.store(code) as store, persons(home, store) as known:
        subject = subject_named(store, named, tokeniser)
        standing = known.standing(subject.id)
        if standing.erased:
            raise MeasureRefused(f"Subject {subject.id} was erased; nothing that identifies the person is left to give.")
        events = [
            _told(record) for record in known.shown(subject, standing).records if record["version"] > (standing.erased_to or 0)
        ]
        return {
            "publisher": code,
            "entity_id": str(subject.id),
            "subject_token": subject.business_key,
            "restricted": standing.restricted,
            "legal_hold": standing.held,
            "events": events,
        }


def _told(record: Record) -> dict[str, Any]:
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
    state = {name: record[name] for name in state_fields(SERVICE_OBJECT) if record[name] not in (None, [])}
    personal = record["personal"]
    shown = {**state, "personal": dict(personal)} if personal else state
    return {name: record[name] for name in envelope if record[name] is not None} | shown
