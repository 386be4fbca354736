"""Persons in imports and live reports: encrypted before they are stored, recognised when they come again."""

from collections.abc import Sequence
from datetime import date
from pathlib import Path

import pytest

from connectors.home.folder import Home
from connectors.home.regional_key import tokeniser
from connectors.hub import hub
from connectors.persons.key_store import key_store_file, master_file
from connectors.persons.subject_rights import own_record
from connectors.profiles.profile import load
from connectors.publishing.reporting import correct_fact, retract_fact, shown_event
from repository.controls.subject_measure import SubjectWithheld
from repository.keys.secret_files import KeyRefused
from repository.persons.personal import SM4, head
from repository.store.publisher import Publisher
from tests.support.dumps_for_tests import JULY, JUNE, facts, publishing
from tests.support.persons_for_tests import (
    EVERYBODY,
    MOSS,
    REED,
    ROSE,
    Someone,
    home_of_persons,
    identity,
    insured,
    opened_events,
    register,
    reported,
    token_of,
)

MOVED = Someone(ROSE.number, ROSE.name, "13911111111", ROSE.address)


def everybody(*instead: Someone) -> list[Sequence[object]]:
    changed = {each.number: each for each in instead}
    return [changed.get(each.number, each).row() for each in EVERYBODY]


def test_persons_are_imported_outside_synthetic_homes_and_opened_with_their_keys(tmp_path: Path) -> None:
    home = home_of_persons(tmp_path)
    done = insured(home, tmp_path, *everybody())
    assert (done.counts.facts_new, done.counts.events, done.rejected) == (3, 3, [])
    (event,) = opened_events(home, ROSE)
    assert event["personal"] == {
        "name": ROSE.name, "sex": "2", "birth_date": date(1990, 3, 7), "phone": ROSE.phone, "address": ROSE.address
    }  # fmt: skip
    assert all(isinstance(stored["personal"], bytes) for stored in facts(home))


def test_the_same_rows_again_record_nothing_though_every_encryption_differs(tmp_path: Path) -> None:
    home = home_of_persons(tmp_path)
    insured(home, tmp_path, *everybody())
    for as_of in (None, JUNE):
        done = insured(home, tmp_path, *everybody(), as_of=as_of or date(2026, 5, 1))
        assert (done.counts.facts_unchanged, done.counts.events) == (3, 0)
    assert len({stored["personal"] for stored in facts(home)}) == 3


def test_one_changed_phone_is_one_event_and_recognised_from_then_on(tmp_path: Path) -> None:
    home = home_of_persons(tmp_path)
    insured(home, tmp_path, *everybody())
    done = insured(home, tmp_path, *everybody(MOVED), as_of=JUNE)
    assert (done.counts.facts_changed, done.counts.facts_unchanged) == (1, 2)
    assert [(e["event_type"], e["changed"], e["personal"]["phone"]) for e in opened_events(home, ROSE)] == [
        ("SubjectRegistered", [], ROSE.phone), ("SubjectChanged", ["personal"], "13911111111")
    ]  # fmt: skip
    again = insured(home, tmp_path, *everybody(MOVED), as_of=JULY)
    assert (again.counts.facts_unchanged, again.counts.events) == (3, 0)


def test_rows_are_recognised_by_decision_where_no_digest_was_kept(tmp_path: Path) -> None:
    home = home_of_persons(tmp_path)
    insured(home, tmp_path, *everybody())
    with publishing(home) as persons:
        # As after a crash between the store's commit and the digests.
        persons.keys._run("DELETE FROM personal_digests")
    for _ in range(2):
        done = insured(home, tmp_path, *everybody(), as_of=JUNE)
        assert (done.counts.facts_unchanged, done.counts.events) == (3, 0)
    with publishing(home) as persons:
        assert persons.digests.kept().height == 3


def test_a_key_left_by_a_crash_before_its_event_is_taken_up(tmp_path: Path) -> None:
    home = home_of_persons(tmp_path)
    with publishing(home) as persons:
        subject = persons.store.entity("service_object", token_of(home, ROSE)).id
        orphan = persons.keys.ensure(subject, 1)
    insured(home, tmp_path, ROSE.row())
    (stored,) = facts(home)
    assert head(stored["personal"]).key_id == orphan.id and len(opened_events(home, ROSE)) == 1


def test_a_second_source_that_knows_less_takes_nothing_away(tmp_path: Path) -> None:
    home = home_of_persons(tmp_path)
    insured(home, tmp_path, ROSE.row())
    text = register(tmp_path).path.read_text("utf-8").replace('name = "姓名"\n', "").replace('address = "住址"\n', "")
    path = tmp_path / "phones.toml"
    path.write_text(text, "utf-8")
    phones = load(path)
    for as_of, changed in ((JUNE, 1), (JULY, 0)):
        done = insured(home, tmp_path, MOVED.row(), as_of=as_of, source=phones)
        assert done.counts.facts_changed == changed
    last = opened_events(home, ROSE)[-1]["personal"]
    assert (last["name"], last["address"], last["phone"]) == (ROSE.name, ROSE.address, "13911111111")


def test_the_same_person_has_one_token_and_two_keys_at_two_publishers(tmp_path: Path) -> None:
    home = home_of_persons(tmp_path, "31", "33")
    for code in ("31", "33"):
        insured(home, tmp_path, ROSE.row(), publisher=code)
    (here,), (there,) = facts(home), facts(home, "33")
    assert here["subject_token"] == there["subject_token"] and head(here["personal"]).key_id != head(there["personal"]).key_id
    hub.perform(home, "project")
    rows = hub.read(home, "SELECT publisher_a, publisher_b, name_a FROM duplicate_enrolment('2026-06-01')").to_pylist()
    assert rows == [{"publisher_a": "31", "publisher_b": "33", "name_a": None}]


def test_new_events_use_the_cipher_that_is_set_and_old_ones_open_still(tmp_path: Path) -> None:
    home = home_of_persons(tmp_path)
    insured(home, tmp_path, ROSE.row())
    settings = home.folder / "yrd.toml"
    settings.write_text(settings.read_text("utf-8") + f'personal_cipher = "{SM4}"\n', "utf-8")
    home = Home(home.folder)
    insured(home, tmp_path, MOVED.row(), as_of=JUNE)
    assert [head(stored["personal"]).algorithm for stored in facts(home)] == ["AES-256-GCM", SM4]
    assert [e["personal"]["phone"] for e in opened_events(home, ROSE)] == [ROSE.phone, "13911111111"]


# -- live ----------------------------------------------------------------------------------------------------------


def test_a_live_fact_names_its_person_by_identity_and_is_recognised_too(tmp_path: Path) -> None:
    home = home_of_persons(tmp_path)
    line = {"identity": identity(ROSE), "valid_from": "2026-05-01", "personal": {"name": ROSE.name, "birth_date": "1990-03-07"}}
    assert [a["result"] for a in reported(home, line, line)] == ["new", "unchanged"]
    assert (
        reported(home, {"identity": identity(ROSE), "valid_from": "2026-06-01", "personal": {"phone": "1"}})[0]["result"] == "new"
    )
    assert [dict(e["personal"]) for e in opened_events(home, ROSE)] == [
        {"name": ROSE.name, "birth_date": date(1990, 3, 7)},
        {"name": ROSE.name, "birth_date": date(1990, 3, 7), "phone": "1"},
    ]


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ({"identity": "TEST0001"}, "id_type and number"),
        ({"identity": {"id_type": "citizen_number", "number": "319999199003070016"}}, "never was a county"),
        ({"identity": identity(ROSE), "personal": {"nickname": "小蔷"}}, "no personal field"),
        ({"identity": identity(ROSE), "personal": {"birth_date": "蔷薇"}}, "personal.birth_date"),
        ({"identity": identity(ROSE), "personal": {"sex": "女"}}, "one of 0, 1, 2, 9"),
        (
            {"identity": identity(ROSE), "personal": {"name": ROSE.name}, "reason": f"{ROSE.name} asked"},
            "repeats a personal field",
        ),
        ({"business_key": "319999199003070016", "subject_type": "person", "subject_token": "319999199003070016"}, "alone"),
        ({"business_key": "household 7", "subject_type": "household"}, "alone"),
        (
            {"business_key": "g", "group_code": "total", "subject_type": "population_group", "personal": {"name": "蔷薇试"}},
            "belong to",
        ),
    ],
)
def test_what_would_put_a_person_in_clear_is_refused_without_being_repeated(
    tmp_path: Path, line: dict[str, object], words: str
) -> None:
    home = home_of_persons(tmp_path)
    (answer,) = reported(home, {"valid_from": "2026-05-01", **line})
    assert answer["result"] == "refused" and words in answer["reason"], answer
    assert not any(told in answer["reason"] for told in ("蔷", "319999199003070016", "女"))
    assert facts(home) == []


def test_a_correction_and_a_retraction_of_a_person_encrypt_anew(tmp_path: Path) -> None:
    home = home_of_persons(tmp_path)
    insured(home, tmp_path, ROSE.row())
    insured(home, tmp_path, MOVED.row(), as_of=JUNE)
    with publishing(home) as persons:
        entity = persons.opened(persons.store.entity("service_object", token_of(home, ROSE)))
        correct_fact(persons, entity, shown_event(entity, JUNE), {"personal.phone": "13922222222"}, None, "mistyped")
    assert opened_events(home, ROSE)[-1]["personal"]["phone"] == "13922222222"
    with publishing(home) as persons:
        entity = persons.opened(persons.store.entity("service_object", token_of(home, ROSE)))
        retract_fact(persons, entity, shown_event(entity, JUNE), None, "never so")
    assert [e["operation"] for e in opened_events(home, ROSE)][:4] == ["assert", "assert", "correct", "retract"]
    assert all(e["personal"]["name"] == ROSE.name for e in opened_events(home, ROSE))


def test_a_person_gets_their_own_record(tmp_path: Path) -> None:
    home = home_of_persons(tmp_path)
    insured(home, tmp_path, *everybody())
    for named in (token_of(home, REED), f"other|{REED.number}"):
        told = own_record(home, "31", named, tokeniser(home))
        assert told["events"][0]["personal"]["phone"] == REED.phone and not told["restricted"]
        assert ROSE.name not in str(told) and MOSS.name not in str(told)
    with pytest.raises(ValueError, match="has recorded no subject"):
        own_record(home, "31", "other|TEST9999", tokeniser(home))


# -- keys that cannot be used --------------------------------------------------------------------------------------


def test_without_a_master_key_no_personal_field_is_recorded(tmp_path: Path) -> None:
    home = home_of_persons(tmp_path, "33")
    with pytest.raises(ValueError, match="yrd personal-keys create --publisher 31"):
        insured(home, tmp_path, *everybody())
    assert facts(home) == []


def test_a_lost_exposed_or_other_master_key_is_a_sentence(tmp_path: Path) -> None:
    home = home_of_persons(tmp_path, "31", "33")
    insured(home, tmp_path, ROSE.row())
    path = master_file(home, "31")
    kept = path.read_text()
    path.write_text(master_file(home, "33").read_text())
    with pytest.raises(KeyRefused, match="is not the one of the key store"):
        insured(home, tmp_path, MOVED.row(), as_of=JUNE)
    path.write_text(kept)
    path.chmod(0o644)
    with pytest.raises(KeyRefused, match="run chmod 600"):
        insured(home, tmp_path, MOVED.row(), as_of=JUNE)
    path.unlink()
    with pytest.raises(KeyRefused, match="is missing: restore it"):
        insured(home, tmp_path, MOVED.row(), as_of=JUNE)
    path.write_text(kept)
    path.chmod(0o600)
    assert insured(home, tmp_path, MOVED.row(), as_of=JUNE).counts.events == 1
    assert key_store_file(home, "31").stat().st_mode & 0o777 == 0o600


def test_ciphertext_of_another_event_is_not_taken_over(tmp_path: Path) -> None:
    home = home_of_persons(tmp_path)
    insured(home, tmp_path, ROSE.row())
    with publishing(home) as persons:
        entity = persons.store.entity("service_object", token_of(home, ROSE))
        with pytest.raises(ValueError, match="open the entity first"):
            retract_fact(persons, entity, shown_event(entity, None), None, "never so")


def test_a_report_that_races_with_an_erasure_is_erased_too(tmp_path: Path) -> None:
    home = home_of_persons(tmp_path)
    insured(home, tmp_path, ROSE.row())
    with publishing(home) as persons, publishing(home) as other:
        store: Publisher = persons.store
        entity = persons.opened(store.entity("service_object", token_of(home, ROSE)))
        other.standings.record(
            entity, "erasure", True, other.standings.of(entity.id), {"reason": "asked", "basis": "PIPL art. 47"}
        )
        # What the other process decided just before it saw the erasure:
        late = dict(entity.records[0]) | {"version": 2, "event_id": entity.id, "personal": None}
        store.record("service_object", [late])
        with pytest.raises(SubjectWithheld):
            persons.standings.erase_late(entity)
        assert persons.standings.of(entity.id).erased_to == 2
