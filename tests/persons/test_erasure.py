"""Erasure survives what machines do: rebuilds, old backups of every file, crashes between its steps, dumps that come again."""

import shutil
import threading
from dataclasses import replace
from pathlib import Path

import pytest

from connectors.base.base import opened
from connectors.base.files import current
from connectors.base.pulse import Pulse
from connectors.home.folder import Home
from connectors.home.regional_key import tokeniser
from connectors.hub import hub
from connectors.logs.opened import opened_log
from connectors.persons.key_store import key_store_file, master_file
from connectors.persons.subject_rights import own_record, take_measure
from connectors.publishing.rejections import Rejected, keep, kept
from projections.subject_measures import waits_for_scrubbing
from repository.controls.subject_measure import MeasureRefused, decide
from repository.events.identity import leaf_hash
from repository.persons.subject_keys import SubjectKeys, load_master
from tests.support.dumps_for_tests import JULY, JUNE, facts, followed, publishing, recorded
from tests.support.dumps_for_tests import Yrd as CommandLine
from tests.support.leaks import found_in
from tests.support.persons_for_tests import EVERYBODY, REED, ROSE, home_of_persons, insured, opened_events, reported, token_of
from tests.support.waiting import eventually

SAID = {"reason": "asked by the person", "basis": "PIPL art. 47(1)"}
TOTALS = "SELECT division_code, status, count(*) AS n FROM service_object_timeline WHERE subject_type = 'person' GROUP BY ALL ORDER BY ALL"


def erased(home: Home) -> None:
    take_measure(home, "31", token_of(home, ROSE), "erasure", True, SAID, tokeniser(home))


def lived(folder: Path) -> Home:
    home = home_of_persons(folder)
    insured(home, folder, *(each.row() for each in EVERYBODY))
    hub.perform(home, "project")
    return home


def leaves(home: Home) -> list[bytes]:
    with home.store("31") as store:
        return [leaf_hash(n.state) for n in store.notifications(0, 100)]


def test_the_key_is_gone_the_bytes_of_the_events_stay_and_totals_stay(tmp_path: Path) -> None:
    home = lived(tmp_path)
    before, totals, digest = leaves(home), hub.read(home, TOTALS), hub.perform(home, "status")["digest"]
    erased(home)
    assert leaves(home)[: len(before)] == before
    done = hub.perform(home, "project")
    assert hub.read(home, TOTALS) == totals and done["digest"] == digest
    assert opened_events(home, ROSE)[0]["personal"] is None and opened_events(home, REED)[0]["personal"]["name"] == REED.name


@pytest.mark.long
def test_a_rebuild_brings_nothing_back_and_gives_the_same_digest(tmp_path: Path) -> None:
    home = lived(tmp_path)
    erased(home)
    digest = hub.perform(home, "project")["digest"]
    done = hub.rebuild(home, False, lambda _n: None)
    assert (done.switched, done.new_digest) == (True, digest)
    assert found_in(home.folder / "base", token_of(home, ROSE)) == [] and found_in(home.folder / "base", token_of(home, REED))


@pytest.mark.long
def test_an_old_copy_of_the_base_shows_nothing_from_the_first_read_on(tmp_path: Path) -> None:
    home = lived(tmp_path)
    shutil.copytree(home.folder / "base", tmp_path / "backup")
    erased(home)
    hub.perform(home, "project")
    shutil.rmtree(home.folder / "base")
    shutil.copytree(tmp_path / "backup", home.folder / "base")
    assert found_in(home.folder / "base", token_of(home, ROSE)), "the copy holds it"
    rows = hub.read(home, "SELECT subject_token FROM service_object_history ORDER BY ALL").column(0).to_pylist()
    assert token_of(home, ROSE) not in rows and token_of(home, REED) in rows and rows.count(None) == 1
    assert found_in(home.folder / "base", token_of(home, ROSE)) == []


def test_an_old_copy_of_the_key_store_has_the_key_destroyed_before_it_opens_anything(tmp_path: Path) -> None:
    home = lived(tmp_path)
    shutil.copy(key_store_file(home, "31"), tmp_path / "keys.bak")
    erased(home)
    shutil.copy(tmp_path / "keys.bak", key_store_file(home, "31"))
    raw = SubjectKeys.in_file(key_store_file(home, "31"), load_master(master_file(home, "31")))
    assert len(list(raw.all())) == 3, "the copy holds the key"
    raw.close()
    assert opened_events(home, ROSE)[0]["personal"] is None
    with publishing(home) as persons:
        assert len(list(persons.keys.all())) == 2


def test_an_erasure_that_was_recorded_and_broke_off_is_carried_out_at_the_next_opening(tmp_path: Path) -> None:
    home = lived(tmp_path)
    with publishing(home) as persons:
        subject = persons.store.entity("service_object", token_of(home, ROSE))
        now = subject.records[0]["recorded_at"]
        persons.store.record("measure", [decide(subject, "erasure", True, persons.standings.of(subject.id), 0, SAID, now, JUNE)])
        assert len(list(SubjectKeys.in_file(key_store_file(home, "31"), load_master(master_file(home, "31"))).all())) == 3
    assert opened_events(home, ROSE)[0]["personal"] is None


@pytest.mark.long
def test_a_dump_that_comes_again_does_not_bring_the_subject_back(tmp_path: Path) -> None:
    home = lived(tmp_path)
    erased(home)
    for as_of in (JUNE, JULY):
        done = insured(home, tmp_path, *(each.row() for each in EVERYBODY), as_of=as_of)
        assert (done.counts.facts_rejected, done.counts.facts_unchanged, done.counts.events) == (1, 2, 0)
        assert "was erased and is not recorded again" in done.rejected[0].reason
    (answer,) = reported(home, {"business_key": token_of(home, ROSE), "valid_from": "2026-07-01", "division_code": "310104"})
    assert "was erased" in answer["reason"]
    assert len([e for e in facts(home) if e["kind"] == "service_object"]) == 3


@pytest.mark.long
def test_an_erased_subject_is_recorded_again_after_it_was_readmitted_on_a_basis(tmp_path: Path) -> None:
    home = lived(tmp_path)
    erased(home)
    take_measure(home, "31", token_of(home, ROSE), "erasure", False, {"reason": "came back", "basis": "new application"}, None)
    done = insured(home, tmp_path, *(each.row() for each in EVERYBODY), as_of=JUNE)
    assert (done.counts.events, done.counts.facts_unchanged) == (1, 2)
    assert [e["personal"] and e["personal"]["name"] for e in opened_events(home, ROSE)] == [None, ROSE.name]
    hub.perform(home, "project")
    rows = hub.read(home, "SELECT version, subject_token FROM service_object_history ORDER BY ALL").to_pylist()
    assert {"version": 2, "subject_token": token_of(home, ROSE)} in rows and {"version": 1, "subject_token": None} in rows
    assert len(own_record(home, "31", token_of(home, ROSE), None)["events"]) == 1


@pytest.mark.long
def test_an_erasure_is_taken_in_and_overwritten_with_its_batch(tmp_path: Path) -> None:
    home = lived(tmp_path)
    erased(home)
    assert hub.perform(home, "project")["events"] == 1
    assert found_in(home.folder / "base", token_of(home, ROSE)) == []
    file = current(home)
    assert file is not None and file.name == "base-000001.duckdb"


@pytest.mark.long
def test_a_following_projector_takes_an_erasure_in_while_it_answers_readers(tmp_path: Path) -> None:
    home = lived(tmp_path)
    sql = f"SELECT count(*) AS n FROM service_object_history WHERE subject_token = '{token_of(home, ROSE)}'"
    with followed(home):
        assert hub.read(home, sql).to_pylist() == [{"n": 1}]
        erased(home)
        eventually(lambda: hub.read(home, sql).to_pylist() == [{"n": 0}])
        assert hub.perform(home, "project")["events"] == 0
    assert found_in(home.folder / "base", token_of(home, ROSE)) == []


def test_an_erasure_that_a_reader_held_up_is_overwritten_when_it_has_ended_without_a_further_batch(tmp_path: Path) -> None:
    home = lived(tmp_path)
    with opened_log(home) as log, opened(home) as base, base.cursor() as reader:
        reader.execute("BEGIN")
        reader.execute("SELECT count(*) FROM service_object_history").fetchall()
        erased(home)
        assert base.project(log).events == 1 and waits_for_scrubbing(base.connection)
        reader.execute("COMMIT")
        stop = threading.Event()
        # As a following projector: nothing more comes, and it looks again by itself.
        follower = threading.Thread(target=base.follow, args=(log, stop, Pulse(lambda _sentence: None, 60)))
        follower.start()
        try:
            eventually(lambda: not waits_for_scrubbing(reader))
        finally:
            stop.set()
            follower.join()
    assert found_in(home.folder / "base", token_of(home, ROSE)) == [] and found_in(home.folder / "base", token_of(home, REED))


def test_an_erasure_takes_the_pseudonym_out_of_rejections(tmp_path: Path) -> None:
    home = lived(tmp_path)
    insured(home, tmp_path, ROSE.row(), (*ROSE.row()[:4], "1", *ROSE.row()[5:]), as_of=JUNE)
    assert found_in(home.folder / "rejections", token_of(home, ROSE))
    erased(home)
    assert found_in(home.folder / "rejections", token_of(home, ROSE)) == []
    assert found_in(home.folder / "rejections", "(erased)")


def test_an_erasure_leaves_the_rejections_of_others_as_they_are(tmp_path: Path) -> None:
    """A pseudonym is a whole word: what only begins like it is somebody else's."""
    home = lived(tmp_path)
    token, path = token_of(home, ROSE), home.folder / "rejections" / "31.sqlite"
    strangers = [Rejected("b", "s", "f.csv", n, n, "", f"{token}{n}", f"Lines 1 and {n} state {token}{n}.") for n in (1, 2)]
    hers = Rejected("b", "s", "f.csv", 3, 3, "", token, f"Line 3 states {token}, which is wrong.")
    keep(path, "b", [*strangers, hers])
    erased(home)
    left = sorted((each for each in kept(path, 100) if each.batch_id == "b"), key=lambda each: each.record)
    assert left == [*strangers, replace(hers, value="(erased)", reason="Line 3 states (erased), which is wrong.")]


# -- the commands --------------------------------------------------------------------------------------------------


@pytest.fixture
def yrd(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> CommandLine:
    return CommandLine(lived(tmp_path).folder, capsys)


@pytest.mark.long
def test_erase_restrict_hold_and_readmit_as_commands(yrd: CommandLine, tmp_path: Path) -> None:
    home = Home(yrd.home)
    token = token_of(home, ROSE)
    given = ("--publisher", "31", "--reason", "asked", "--basis", "PIPL art. 47")
    assert yrd.json("hold", token, *given)["event_type"] == "HoldPlaced"
    refusal = yrd.failure("erase", token, *given)
    assert "under a legal hold (asked)" in refusal and "yrd hold --lift" in refusal
    assert yrd.json("restrict", token, *given, "--until", "2030-12-31")["event_type"] == "SubjectRestricted"
    assert yrd.json("restrict", token, *given, "--lift")["event_type"] == "RestrictionLifted"
    assert yrd.json("hold", token, *given, "--lift")["event_type"] == "HoldLifted"
    assert yrd.json("erase", token, *given)["event_type"] == "SubjectErased"
    assert "in force already" in yrd.failure("erase", token, *given)
    assert "was erased" in yrd.failure("subject", "export", token, "--publisher", "31")
    assert yrd.json("readmit", token, *given)["event_type"] == "SubjectReadmitted"
    measures = [(e["event_type"], e["basis"], e["operation"]) for e in recorded(home) if e["kind"] == "measure"]
    assert ("SubjectErased", "PIPL art. 47", "erase") in measures and (
        "SubjectRestricted",
        "PIPL art. 47",
        "restrict",
    ) in measures
    assert {e["retention_until"] for e in recorded(home) if e["event_type"] == "SubjectRestricted"} == {
        JUNE.replace(2030, 12, 31)
    }


def test_a_missing_exposed_or_wrong_key_file_is_a_sentence_and_exit_1(yrd: CommandLine) -> None:
    home = Home(yrd.home)
    path = master_file(home, "31")
    export = ("subject", "export", token_of(home, REED), "--publisher", "31")
    good = path.read_text()
    path.chmod(0o644)
    assert "run chmod 600" in yrd.failure(*export)
    path.chmod(0o600)
    path.write_text(good.replace(good.splitlines()[1], "0" * 64))
    assert "is not the one of the key store" in yrd.failure(*export)
    path.unlink()
    assert "is missing" in yrd.failure(*export)
    assert "exists already" not in yrd.failure("personal-keys", "create", "--publisher", "99")


def test_a_subject_that_nobody_knows_is_a_sentence(yrd: CommandLine) -> None:
    given = ("--publisher", "31", "--reason", "r", "--basis", "b")
    for name in ("nobody", "00000000-0000-0000-0000-000000000000"):
        assert "has recorded no subject" in yrd.failure("erase", name, *given)
    with pytest.raises(MeasureRefused):
        own_record(Home(yrd.home), "33", "nobody", None)
