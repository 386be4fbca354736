"""The access log's records: who asked what of the base and for what, and what came of it.

An access is an entity with two events, recorded one before anything is given and one after: a process that dies in between
leaves the first. The log is an event store like a publisher's, under a code of its own, so that what seals a publisher's
log seals it too. Retention replaces old records by their leaf hashes (RFC 9162, section 2.1.1), which leaves every root as
it was.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID

from repository.events.identity import LOG, entity_id, event_id, leaf_hash
from repository.registers import text
from schemas.contracts import state_fields

KIND = "access"
ASKED, ENDED, PURGED = "AccessAsked", "AccessEnded", "AccessPurged"
ANSWERED, REFUSED, BROKEN_OFF = "answered", "refused", "broken_off"
PURPOSE_LIMIT = 200
PURGE_MARK = b"\xc3\x00"
"""Begins what is left of a purged record; its leaf hash follows. No event begins so: those have C3 01."""

Event = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Caller:
    """Who asks: the account as the operating system knows it, its role in this home, and the purpose it states."""

    account: str
    account_id: int
    role: str | None = None
    purpose: str | None = None


@dataclass(slots=True)
class Asking:
    """What is asked for, without any value that was given: see the contract's fields of the same names."""

    command: str
    statement: str | None = None
    tables: Sequence[str] = ()
    columns: Sequence[str] = ()
    entities: Sequence[UUID | str] = field(default_factory=tuple)


def asked(key: str, caller: Caller, asking: Asking, at: datetime) -> Event:
    """The first event of an access, recorded before anything is given."""
    return _record(key, 1, ASKED, at) | _said(caller, asking)


def ended(key: str, caller: Caller, asking: Asking, outcome: str, rows: int | None, at: datetime) -> Event:
    """The second event of an access; it states the first one's state again, and what came of it."""
    return _record(key, 2, ENDED, at) | _said(caller, asking) | {"outcome": outcome, "result_rows": rows}


def purged(key: str, caller: Caller, to: int, before: datetime, at: datetime) -> Event:
    """The event of a purge: all records up to the position `to`, all of them recorded before `before`, are gone."""
    said = _said(caller, Asking("access_purge"))
    return _record(key, 1, PURGED, at) | said | {"purged_to": to, "purged_before": before, "outcome": ANSWERED}


def _said(caller: Caller, asking: Asking) -> Event:
    purpose = None if caller.purpose is None else text.mask(text.normalise(caller.purpose))[:PURPOSE_LIMIT]
    return {
        "account": caller.account,
        "account_id": caller.account_id,
        "role": caller.role,
        "purpose": purpose or None,
        "command": asking.command,
        "statement": asking.statement,
        "tables": sorted(set(asking.tables)),
        "columns": sorted(set(asking.columns)),
        "entities": sorted({str(each) for each in asking.entities}),
    }


def _record(key: str, version: int, event_type: str, at: datetime) -> Event:
    entity = entity_id(LOG, KIND, key)
    return {
        "event_id": event_id(entity, version),
        "event_type": event_type,
        "publisher": LOG,
        "entity_id": entity,
        "business_key": key,
        "version": version,
        "recorded_at": at,
        "source": LOG,
    }


# -- retention -----------------------------------------------------------------------------------------------------


def purge_mark(state: bytes) -> bytes:
    """What a purge leaves of a record's stored bytes: 34 bytes, from which the record cannot be told."""
    return PURGE_MARK + leaf_of(state)


def is_purged(state: bytes) -> bool:
    return state.startswith(PURGE_MARK) and len(state) == len(PURGE_MARK) + 32


def leaf_of(state: bytes) -> bytes:
    """The leaf hash (32 bytes) of stored bytes: of what they were, where a purge left the hash alone."""
    return state[len(PURGE_MARK) :] if is_purged(state) else leaf_hash(state)


# -- reading -------------------------------------------------------------------------------------------------------


def access_of(first: Mapping[str, Any], second: Mapping[str, Any] | None) -> Event:
    """One access from its two records; `asked_at` is the first one's moment.

    Where the second was never recorded the outcome is "unfinished": the process died, or the access is under way.
    """
    last = second or first
    entities = [str(entity) for entity in last["entities"]]
    said = {name: last[name] for name in ACCESS_FIELDS} | {"entities": entities, "outcome": last["outcome"] or "unfinished"}
    return {"asked_at": first["recorded_at"], **said}


ACCESS_FIELDS = ("event_type", "business_key", "recorded_at", *state_fields(KIND))
"""The fields of an access that are worth reading."""
