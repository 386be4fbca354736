"""The member list: who may sign what, from when on; and that the hub reads nobody else."""

import re
from datetime import timedelta
from pathlib import Path
from random import Random
from typing import Any

import pytest

from connectors.home.folder import Home
from connectors.hub import hub
from connectors.proof import sealing
from connectors.proof.member_list import list_member, revoke_key, rotate_key
from repository.events.encoding import NotAnEvent, decode, encode
from repository.proof.member import (
    KIND,
    LISTED,
    OFFICE,
    REVOKED,
    ROTATED,
    Members,
    NotAMemberRecord,
    Statement,
    member_record,
    members_of,
)
from repository.proof.signed_note import NoteRefused, Signer, VerifierKey, signed
from tests.support.bases import NOON
from tests.support.dumps_for_tests import asked, imported, many, profile, projected, region
from tests.support.sealed_logs import key_of, keyed, sealed_now
from tests.support.suites import few_and_many

OFFICE_KEY = key_of(OFFICE)
OLD, NEW, NEWEST = (key_of("31", n) for n in range(3))


def record(event_type: str, number: int, key: Signer, first: int, by: Signer = OFFICE_KEY, member: str = "31"):  # type: ignore[no-untyped-def]
    """A member record about a key, signed by somebody."""
    statement = Statement(event_type, member, number, key.verifier, first, NOON)
    made = member_record(statement, signed(statement.text, [by]))
    return decode(encode(KIND, made))[1]


def listed(*records) -> Members:  # type: ignore[no-untyped-def]
    return members_of(OFFICE_KEY.verifier, records)


def keys(members: Members, *positions: int) -> list[VerifierKey | None]:
    """The key for each position; None where there is none."""
    found: list[VerifierKey | None] = []
    for position in positions:
        try:
            found.append(members.listed["31"].key_for(position))
        except NoteRefused:
            found.append(None)
    return found


def test_a_listed_member_signs_from_its_position_on() -> None:
    members = listed(record(LISTED, 1, OLD, 5))
    assert keys(members, 4, 5, 10**9) == [None, OLD.verifier, OLD.verifier]
    assert members.refused == []


@pytest.mark.parametrize("by", [OFFICE_KEY, OLD], ids=["the office", "the old key"])
def test_a_rotation_is_signed_by_the_office_or_the_old_key(by: Signer) -> None:
    members = listed(record(LISTED, 1, OLD, 0), record(ROTATED, 2, NEW, 100, by))
    assert keys(members, 99, 100) == [OLD.verifier, NEW.verifier]


def test_records_may_come_in_any_order() -> None:
    records = [record(LISTED, 1, OLD, 0), record(ROTATED, 2, NEW, 100, OLD), record(ROTATED, 3, NEWEST, 200, NEW)]
    for _ in range(6):
        Random(1).shuffle(records)
        assert keys(listed(*records), 0, 150, 200) == [OLD.verifier, NEW.verifier, NEWEST.verifier]


@pytest.mark.parametrize("by", [NEW, NEWEST, key_of("32")])
def test_a_rotation_by_anybody_else_is_refused(by: Signer) -> None:
    members = listed(record(LISTED, 1, OLD, 0), record(ROTATED, 2, NEW, 100, by))
    assert keys(members, 100) == [OLD.verifier]
    ((code, number, reason),) = members.refused
    assert (code, number) == ("31", 2) and "not signed by" in reason


@pytest.mark.parametrize("event_type", [LISTED, REVOKED])
def test_only_the_office_lists_and_revokes(event_type: str) -> None:
    before = [] if event_type == LISTED else [record(LISTED, 1, OLD, 0)]
    members = listed(*before, record(event_type, len(before) + 1, OLD, 0, OLD))
    assert len(members.refused) == 1 and ("31" in members.listed) == bool(before)


def test_a_revoked_key_signs_nothing_from_its_position_on() -> None:
    members = listed(record(LISTED, 1, OLD, 0), record(REVOKED, 2, OLD, 50))
    assert keys(members, 49, 50) == [OLD.verifier, None]
    with pytest.raises(NoteRefused, match=r"The key yrd/31\+[0-9a-f]{8} was revoked from position 50 on"):
        members.listed["31"].key_for(50)


def test_a_revoked_key_can_not_hand_over_and_the_office_can() -> None:
    before = [record(LISTED, 1, OLD, 0), record(REVOKED, 2, OLD, 50)]
    refused = listed(*before, record(ROTATED, 3, NEW, 60, OLD))
    assert keys(refused, 60) == [None] and "is revoked and can't hand over" in refused.refused[0][2]
    assert keys(listed(*before, record(ROTATED, 3, NEW, 60)), 49, 55, 60) == [OLD.verifier, None, NEW.verifier]


def test_behind_a_missing_record_nothing_counts() -> None:
    # What is missing may be a revocation.
    members = listed(record(LISTED, 1, OLD, 0), record(ROTATED, 3, NEW, 100), record(ROTATED, 4, NEWEST, 200))
    assert keys(members, 300) == [OLD.verifier]
    assert next(reason for *_, reason in members.refused).endswith("what is between is missing.") and len(members.refused) == 2


def test_a_refused_record_does_not_block_those_behind_it() -> None:
    members = listed(record(LISTED, 1, OLD, 0), record(ROTATED, 2, NEW, 10, NEWEST), record(ROTATED, 3, NEWEST, 20))
    assert keys(members, 30) == [NEWEST.verifier]


@pytest.mark.parametrize(
    ("made", "said"),
    [
        (record(ROTATED, 1, NEW, 0), "is not listed, so it has no key to change"),
        (record(REVOKED, 1, NEW, 0), "has no key .* to revoke"),
        (record(LISTED, 1, key_of("32"), 0), "signs as yrd/32 and not as yrd/31"),
        (record(LISTED, 1, OFFICE_KEY, 0, member=OFFICE), "no member of its own list"),
    ],
)
def test_what_can_not_be_is_refused_with_its_reason(made, said: str) -> None:  # type: ignore[no-untyped-def]
    ((_, _, reason),) = listed(made).refused
    assert re.search(said, reason)


@few_and_many("bits", 300, 10_000)
def test_bits_flipped_in_member_records_change_no_key(bits: int) -> None:
    chance, good = Random(2), encode(KIND, record(ROTATED, 2, NEW, 100, OLD))
    for _ in range(bits):
        at = chance.randrange(10, len(good))
        data = good[:at] + bytes([good[at] ^ 1 << chance.randrange(8)]) + good[at + 1 :]
        try:
            kind, bent = decode(data)
        except NotAnEvent:
            continue
        members = listed(record(LISTED, 1, OLD, 0), bent)
        assert kind == KIND and keys(members, 100, 10**9) == [OLD.verifier] * 2
        assert members.refused


# -- in a region ---------------------------------------------------------------------------------------------------


def ruled(folder: Path, *more: str) -> Home:
    """A region with the office's key configured at its hub."""
    home = keyed(region(folder), OFFICE, "31", "32", "hub", *more)
    office = sealing.signer(home, OFFICE)
    assert office is not None
    with (home.folder / "yrd.toml").open("a") as file:
        file.write(f'office_key = "{office.verifier}"\n')
    return Home(home.folder)


def public(home: Home, code: str) -> VerifierKey:
    return VerifierKey.parse(sealing.public_key_file(home, code).read_text("utf-8").strip())


def topics(home: Home) -> list[str]:
    return [row["topic"] for row in asked(home, "SELECT DISTINCT topic FROM leaves ORDER BY topic")]


@pytest.mark.long
def test_only_listed_members_are_read_and_the_others_are_shown(tmp_path: Path) -> None:
    home, source = ruled(tmp_path), profile(tmp_path)
    for code in ("31", "32"):
        imported(home, source, many(tmp_path, 3), code)
    projected(home)
    assert topics(home) == []
    list_member(home, "31", public(home, "31"), 0, NOON)
    projected(home)
    assert topics(home) == ["yrd.00", "yrd.31"]
    assert hub.perform(home, "status")["unlisted_topics"] == ["yrd.32"]
    assert asked(home, "SELECT publisher, verdict FROM seal_status") == [{"publisher": "31", "verdict": "accepted"}]
    list_member(home, "32", public(home, "32"), 0, NOON)
    projected(home)
    assert topics(home) == ["yrd.00", "yrd.31", "yrd.32"], "what is listed later is read from its beginning"
    assert asked(home, "SELECT DISTINCT verdict FROM seal_status") == [{"verdict": "accepted"}]
    assert hub.rebuild(home, False, lambda _: None).switched


def test_a_seal_with_a_revoked_key_is_refused_and_shown(tmp_path: Path) -> None:
    home, source = ruled(tmp_path), profile(tmp_path)
    list_member(home, "31", public(home, "31"), 0, NOON)
    imported(home, source, many(tmp_path, 3), "31")
    revoke_key(home, "31", public(home, "31"), 5, NOON)
    imported(home, source, many(tmp_path, 4), "31")
    sealed_now(home, "31")
    projected(home)
    found = asked(home, "SELECT seal_no, verdict, reason FROM seal_verdicts WHERE publisher = '31' ORDER BY seal_no")
    assert [(row["seal_no"], row["verdict"]) for row in found] == [(1, "accepted"), (2, "refused")]
    assert "was revoked from position 5 on" in found[1]["reason"]
    assert [s["verdict"] for s in hub.perform(home, "status")["seals"] if s["publisher"] == "31"] == ["refused"]  # type: ignore[attr-defined]


def test_a_rotated_key_signs_on_and_the_old_one_no_more(tmp_path: Path) -> None:
    home, source = ruled(tmp_path), profile(tmp_path)
    list_member(home, "31", public(home, "31"), 0, NOON)
    imported(home, source, many(tmp_path, 3), "31")
    old = sealing.signer(home, "31")
    sealing.key_file(home, "31").rename(home.folder / "keys" / "31.old")
    new = sealing.create_key(home, "31")
    rotate_key(home, "31", new.verifier, 6, NOON, old)
    imported(home, source, many(tmp_path, 5), "31")
    sealed_now(home, "31")
    projected(home)
    sql = "SELECT verdict FROM seal_verdicts WHERE publisher = '31' ORDER BY seal_no"
    assert asked(home, sql) == [{"verdict": "accepted"}] * 2


def test_a_record_that_every_reader_would_refuse_is_not_recorded(tmp_path: Path) -> None:
    home = ruled(tmp_path)
    with pytest.raises(NotAMemberRecord, match="is not listed"):
        rotate_key(home, "31", public(home, "31"), 0, NOON)
    list_member(home, "31", public(home, "31"), 0, NOON)
    with pytest.raises(NotAMemberRecord, match="is listed already"):
        list_member(home, "31", public(home, "31"), 0, NOON + timedelta(days=1))
    with pytest.raises(NotAMemberRecord, match="not signed by"):
        rotate_key(home, "31", NEW.verifier, 9, NOON, NEWEST)
    projected(home)
    assert asked(home, "SELECT count(*) AS n FROM member_history") == [{"n": 1}]


def test_an_unsigned_member_record_in_the_offices_log_is_refused_and_shown(tmp_path: Path) -> None:
    home = ruled(tmp_path)
    with home.store(OFFICE) as store:
        store.record(KIND, [record(LISTED, 1, key_of("32"), 0, key_of("32"), "32")])
    imported(home, profile(tmp_path), many(tmp_path, 3), "32")
    projected(home)
    status = hub.perform(home, "status")
    assert topics(home) == ["yrd.00"] and status["unlisted_topics"] == ["yrd.32"]
    refused: Any = status["refused_member_records"]
    assert [row["member"] for row in refused] == ["32"] and "not signed by yrd/00+" in refused[0]["reason"]


def test_homes_without_an_offices_key_work_as_before(tmp_path: Path) -> None:
    home = region(tmp_path)
    imported(home, profile(tmp_path), many(tmp_path, 3))
    assert projected(home)["events"] == 4
    status = hub.perform(home, "status")
    assert (status["seals"], status["unlisted_topics"], status["refused_member_records"]) == ([], [], [])
