"""Keeping the member list: the regional office records who publishes, with which key, from which position on."""

from datetime import datetime

from connectors.home.folder import Home
from connectors.proof.sealing import key_file
from repository.events.encoding import decode_own
from repository.events.identity import entity_id
from repository.keys import signing
from repository.proof.member import KIND, LISTED, OFFICE, REVOKED, ROTATED, NotAMemberRecord, Statement, member_record, members_of
from repository.proof.signed_note import Signer, VerifierKey, signed
from repository.store.publisher import Publisher


def list_member(home: Home, code: str, key: VerifierKey, first: int, now: datetime) -> Statement:
    """List a member with its key. Raises NotAMemberRecord, and then has recorded nothing."""
    return _record(home, LISTED, code, key, first, now, None)


def rotate_key(home: Home, code: str, key: VerifierKey, first: int, now: datetime, by: Signer | None = None) -> Statement:
    """Give a member another key; signed `by` its former one, or by the office. Raises NotAMemberRecord."""
    return _record(home, ROTATED, code, key, first, now, by)


def revoke_key(home: Home, code: str, key: VerifierKey, first: int, now: datetime) -> Statement:
    """Revoke a member's key from a position on. Raises NotAMemberRecord."""
    return _record(home, REVOKED, code, key, first, now, None)


def _record(home: Home, event_type: str, code: str, key: VerifierKey, first: int, now: datetime, by: Signer | None) -> Statement:
    office = signing.load(key_file(home, OFFICE))
    with home.lock(f"publisher-{OFFICE}", "the member list"), home.store(OFFICE) as store:
        before = _records(store, code)
        statement = Statement(event_type, code, len(before) + 1, key, first, now)
        record = member_record(statement, signed(statement.text, [by or office]))
        _refuse_what_nobody_would_accept(office.verifier, before, record)
        store.record(KIND, [record])
    return statement


def _records(store: Publisher, code: str) -> list[dict[str, object]]:
    return [decode_own(e.state)[1] for e in store.recorder.select_events(entity_id(OFFICE, KIND, code))]


def _refuse_what_nobody_would_accept(office: VerifierKey, before: list[dict[str, object]], record: dict[str, object]) -> None:
    """What every reader will refuse is not recorded: the log can't take it back."""
    refused = members_of(office, [*before, record]).refused
    mine = [reason for _, number, reason in refused if number == record["version"]]
    if mine:
        raise NotAMemberRecord(mine[0])
