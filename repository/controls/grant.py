"""Grants 授权: who may see which groups of personal fields of a publisher's subjects, for what purpose and until when."""

from collections.abc import Mapping, Sequence
from datetime import date, datetime
from typing import Any, Final

from repository.decisions.entity import Event
from repository.events.identity import entity_id, event_id
from repository.persons.personal import GROUP_NUMBERS

KIND: Final = "grant"
ISSUED, REVOKED = "GrantIssued", "GrantRevoked"
TOPICS: Final = (f"{KIND}.{ISSUED}", f"{KIND}.{REVOKED}")


class GrantRefused(ValueError):
    """A grant that cannot be given, revoked or used as asked."""


def issue(
    publisher: str,
    name: str,
    grantee: str,
    purpose: str,
    field_groups: Sequence[str],
    expires_at: datetime,
    version: int,
    said: Mapping[str, Any],
    recorded_at: datetime,
    on: date,
) -> Event:
    """The record of a new grant, or of one changed; `version` is the newest of its stream. Raises GrantRefused."""
    unknown = sorted(set(field_groups) - set(GROUP_NUMBERS))
    if unknown or not field_groups:
        raise GrantRefused(
            f'"{", ".join(unknown)}" is no group of personal fields; name one or more of {", ".join(GROUP_NUMBERS)}.'
        )
    if expires_at <= recorded_at:
        raise GrantRefused(f"The grant would have expired at {expires_at:%Y-%m-%d %H:%M}Z already; name a later day.")
    if not grantee or not purpose:
        raise GrantRefused("A grant says to whom and what for; fill in both.")
    stated = {
        "grantee": grantee,
        "purpose": purpose,
        "field_groups": sorted(set(field_groups), key=lambda group: GROUP_NUMBERS[group]),
        "expires_at": expires_at,
        "in_force": True,
    }
    return _record(publisher, name, ISSUED, version + 1, recorded_at, on) | stated | dict(said)


def revoke(newest: Mapping[str, Any] | None, name: str, said: Mapping[str, Any], recorded_at: datetime, on: date) -> Event:
    """The record that ends a grant before its time; `newest` is the newest record of its stream. Raises GrantRefused."""
    if newest is None or not newest["in_force"]:
        raise GrantRefused(f"Grant {name} is not in force; `yrd grant list` shows those that are.")
    kept = {each: newest[each] for each in ("grantee", "purpose", "field_groups", "expires_at", "basis")}
    changed = {"in_force": False, "changed": ["in_force"]}
    return _record(newest["publisher"], name, REVOKED, newest["version"] + 1, recorded_at, on) | kept | changed | dict(said)


def _record(publisher: str, name: str, event_type: str, version: int, recorded_at: datetime, on: date) -> Event:
    stream = entity_id(publisher, KIND, name)
    return {
        "event_id": event_id(stream, version),
        "event_type": event_type,
        "operation": "assert",
        "publisher": publisher,
        "entity_id": stream,
        "business_key": name,
        "version": version,
        "valid_from": on,
        "recorded_at": recorded_at,
        "source": "grants",
        "data_level": 2,
    }
