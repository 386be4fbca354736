"""Members and their keys: who publishes, with which key, from which position on; signed by the regional office.

The log of the regional office (publisher 00) holds one stream of records per member. Each carries a signed note, and is
made of it alone. `MemberListed` and `KeyRevoked` are signed by the office; `KeyRotated` by the office or by the key that it
replaces. Who reads the list starts from a copy of the office's key of his own, the only thing that has to be trusted.

    NotAMemberRecord   a record that is none, or that nobody entitled has signed; a ValueError
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final

from repository.events.encoding import Event, NotAnEvent, encode
from repository.events.identity import entity_id, event_id
from repository.proof.seal import MOMENT_FORM, NUMBER, origin
from repository.proof.signed_note import Note, NoteRefused, VerifierKey

KIND: Final = "member"
OFFICE: Final = "00"
SOURCE: Final = "member list"
LISTED, ROTATED, REVOKED = "MemberListed", "KeyRotated", "KeyRevoked"
EVENT_TYPES: Final = (LISTED, ROTATED, REVOKED)
TEXT = re.compile(
    rf"""yrd/00/member
(?P<event_type>{"|".join(EVENT_TYPES)})
member (?P<member>[0-9]{{2}})
number (?P<number>{NUMBER})
key (?P<key>[^\s]+)
from_position (?P<from_position>{NUMBER})
recorded_at (?P<recorded_at>[0-9]{{4}}-[0-9]{{2}}-[0-9]{{2}}T[0-9]{{2}}:[0-9]{{2}}:[0-9]{{2}}\.[0-9]{{6}}Z)
"""
)


class NotAMemberRecord(ValueError):
    """A record that is no member record, or that nobody entitled to it has signed."""


@dataclass(frozen=True, slots=True)
class Statement:
    """What one member record says: from `from_position` of the member's log on, `key` signs its seals, or no longer does."""

    event_type: str
    member: str
    number: int
    key: VerifierKey
    from_position: int
    recorded_at: datetime

    @property
    def text(self) -> str:
        """The text that is signed."""
        return (
            f"yrd/00/member\n{self.event_type}\nmember {self.member}\nnumber {self.number}\nkey {self.key}\n"
            f"from_position {self.from_position}\nrecorded_at {self.recorded_at.astimezone(UTC).strftime(MOMENT_FORM)}\n"
        )


def member_record(statement: Statement, note: Note) -> dict[str, Any]:
    """The event record of a statement: a function of the note alone."""
    entity = entity_id(OFFICE, KIND, statement.member)
    return {
        "event_id": event_id(entity, statement.number),
        "event_type": statement.event_type,
        "operation": "assert",
        "publisher": OFFICE,
        "entity_id": entity,
        "business_key": statement.member,
        "version": statement.number,
        "recorded_at": statement.recorded_at,
        "source": SOURCE,
        "member": statement.member,
        "verifier_key": str(statement.key),
        "from_position": statement.from_position,
        "signed_note": str(note),
    }


def statement_of_record(record: Event) -> tuple[Statement, Note]:
    """Statement and note of an event record. Raises NotAMemberRecord; who signed it is for `Members`."""
    try:
        note = Note.parse(str(record["signed_note"]))
        statement = _statement(note.text)
        same = encode(KIND, member_record(statement, note)) == encode(KIND, record)
    except (NoteRefused, NotAnEvent, ValueError) as error:
        raise NotAMemberRecord(f"The record is no member record: {error}") from None
    if not same:
        raise NotAMemberRecord(
            f"Record {statement.number} of member {statement.member} says something else than its signed text."
        )
    return statement, note


def _statement(text: str) -> Statement:
    match = TEXT.fullmatch(text)
    if match is None:
        raise ValueError("its text is not that of one.")
    moment = datetime.strptime(match["recorded_at"], MOMENT_FORM).replace(tzinfo=UTC)
    key = VerifierKey.parse(match["key"])
    return Statement(match["event_type"], match["member"], int(match["number"]), key, int(match["from_position"]), moment)


# -- who may sign --------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Term:
    """A key and the positions for which it signs: from `first` on, before `end` (None: still)."""

    key: VerifierKey
    first: int
    end: int | None = None
    revoked: bool = False


@dataclass(slots=True)
class Member:
    """A listed member: the terms of its keys, oldest first, and the number of its newest record."""

    code: str
    number: int = 0
    terms: list[Term] = field(default_factory=list)

    def key_for(self, position: int) -> VerifierKey:
        """The key that signs a seal whose last leaf stands at `position`. Raises NoteRefused where none does."""
        for term in self.terms:
            if term.first <= position and (term.end is None or position < term.end):
                return term.key
        revoked = [t for t in self.terms if t.revoked and t.end is not None and t.end <= position]
        if revoked:
            raise NoteRefused(f"The key {revoked[-1].key.label} was revoked from position {revoked[-1].end} on.")
        raise NoteRefused(f"Member {self.code} has no key for position {position}.")


@dataclass(slots=True)
class Members:
    """The member list as far as it is signed, and what of it was refused, with the reason."""

    office: VerifierKey
    listed: dict[str, Member] = field(default_factory=dict)
    refused: list[tuple[str, int, str]] = field(default_factory=list)
    seen: dict[str, int] = field(default_factory=dict)
    """Newest number per member up to which no record is missing; a refused one is not missing."""

    def __post_init__(self) -> None:
        # The office's own log is sealed with the key that is the root of trust; it is not listed by itself.
        self.listed[OFFICE] = Member(OFFICE, 0, [Term(self.office, 0)])

    def add(self, record: Event) -> None:
        """Take one more record in; records of a member come in the order of their version."""
        code, number = str(record["business_key"]), int(record["version"])
        try:
            self._refuse_gap(code, number)
            statement, note = statement_of_record(record)
            self._refuse_unsigned(statement, note)
            self._apply(statement)
        except (NotAMemberRecord, NoteRefused) as error:
            self.refused.append((code, number, str(error)))

    def _refuse_gap(self, code: str, number: int) -> None:
        """One that is missing may be a revocation: nothing behind it counts until it is there."""
        before = self.seen.get(code, 0)
        if number != before + 1:
            raise NotAMemberRecord(f"Record {number} of member {code} follows on record {before}; what is between is missing.")
        self.seen[code] = number

    def _refuse_unsigned(self, statement: Statement, note: Note) -> None:
        known = self.listed.get(statement.member)
        if statement.event_type == ROTATED and known is not None and known.terms and not note.signed_by(self.office):
            if known.terms[-1].end is not None:
                raise NotAMemberRecord(f"The key {known.terms[-1].key.label} is revoked and can't hand over to another.")
            note.check(known.terms[-1].key)
        else:
            note.check(self.office)

    def _apply(self, statement: Statement) -> None:
        known = self.listed.get(statement.member, Member(statement.member))
        if statement.member == OFFICE:
            raise NotAMemberRecord("The office is no member of its own list; its key is configured where the list is read.")
        if statement.key.name != origin(statement.member):
            raise NotAMemberRecord(f"The key signs as {statement.key.name} and not as {origin(statement.member)}.")
        known.terms = CHANGES[statement.event_type](known, statement)
        known.number = statement.number
        self.listed[statement.member] = known


def _listed(known: Member, statement: Statement) -> list[Term]:
    if known.terms and known.terms[-1].end is None:
        raise NotAMemberRecord(f"Member {known.code} is listed already; its key is changed by a rotation.")
    return [*known.terms, Term(statement.key, statement.from_position)]


def _rotated(known: Member, statement: Statement) -> list[Term]:
    if not known.terms:
        raise NotAMemberRecord(f"Member {known.code} is not listed, so it has no key to change.")
    last = known.terms[-1]
    if statement.from_position < last.first:
        raise NotAMemberRecord(
            f"The new key would be valid from {statement.from_position}, before the old one was at {last.first}."
        )
    end = statement.from_position if last.end is None else min(last.end, statement.from_position)
    return [*known.terms[:-1], Term(last.key, last.first, end, last.revoked), Term(statement.key, statement.from_position)]


def _revoked(known: Member, statement: Statement) -> list[Term]:
    if not any(term.key == statement.key for term in known.terms):
        raise NotAMemberRecord(f"Member {known.code} has no key {statement.key.label} to revoke.")
    return [_ended(term, statement.from_position) if term.key == statement.key else term for term in known.terms]


def _ended(term: Term, position: int) -> Term:
    end = position if term.end is None else min(term.end, position)
    return Term(term.key, term.first, max(end, term.first), revoked=True)


CHANGES: Mapping[str, Any] = {LISTED: _listed, ROTATED: _rotated, REVOKED: _revoked}


def members_of(office: VerifierKey, records: Iterable[Event]) -> Members:
    """The member list of member records, in whatever order they come."""
    members = Members(office)
    for record in sorted(records, key=lambda r: (str(r["business_key"]), int(r["version"]))):
        members.add(record)
    return members
