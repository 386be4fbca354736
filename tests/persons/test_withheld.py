"""Who is withheld does not come back by another way, and nobody else is withheld with them."""

import json
import sqlite3
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from connectors.home.folder import Home
from connectors.persons.subject_rights import take_measure
from connectors.profiles.profile import load
from connectors.publishing.live import corrected
from connectors.publishing.rejections import WITHHELD_KEY, kept
from connectors.publishing.reporting import report_lines
from repository.kinds.register import PERSONS, RULES
from tests.support.dumps_for_tests import JUNE, asked, projected, publishing, recorded, region
from tests.support.leaks import found_in
from tests.support.persons_for_tests import EVERYBODY, MOSS, REED, ROSE, home_of_persons, insured, register, token_of

SAID = {"reason": "asked by the person", "basis": "PIPL art. 47(1)"}


def told(home: Home, key: str, token: str | None, **fields: object) -> dict[str, Any]:
    line = {"business_key": key, "subject_type": "person", **fields} | ({"subject_token": token} if token else {})
    with publishing(home) as persons:
        (answer,) = report_lines(persons, "service_object", [json.dumps(line)], "live")
    return answer


def erase(home: Home, named: str) -> list[Any]:
    return take_measure(home, "31", named, "erasure", True, SAID, None)


def right(home: Home, key: str, token: str) -> None:
    corrected(home, "31", "service_object", key, {"subject_token": token}, "typed wrongly")


def test_who_was_erased_where_a_mistyped_token_was_corrected_does_not_come_back(tmp_path: Path) -> None:
    home = region(tmp_path, synthetic=True)
    told(home, "M1", "tok-mistyped")
    right(home, "M1", "tok-paul")
    erase(home, "tok-paul")
    assert told(home, "M9", "tok-paul")["result"] == "refused"
    assert told(home, "M8", "tok-mistyped")["result"] == "new"


def test_who_once_stood_under_the_token_by_mistake_is_not_erased_with_it(tmp_path: Path) -> None:
    home = region(tmp_path, synthetic=True)
    told(home, "R1", "tok-rita")
    told(home, "Q1", "tok-rita")
    right(home, "Q1", "tok-quin")
    taken = erase(home, "tok-rita")
    with home.store("31") as store:
        first, other = (store.entity("service_object", key).id for key in ("R1", "Q1"))
    assert [(each["subject_id"], each["in_force"], each["subject_version"]) for each in taken] == [
        (first, True, 1), (other, True, 1), (other, False, 1)
    ]  # fmt: skip
    assert told(home, "Q1", "tok-quin", division_code="310104")["result"] == "new"
    projected(home)
    shown = asked(home, "SELECT subject_token FROM service_object_current ORDER BY ALL NULLS FIRST")
    assert [row["subject_token"] for row in shown] == [None, "tok-quin"]
    assert asked(home, "SELECT count(*) AS n FROM service_object_history WHERE subject_token = 'tok-rita'") == [{"n": 0}]


def test_an_erased_pseudonym_is_no_key_either(tmp_path: Path) -> None:
    home = region(tmp_path, synthetic=True)
    told(home, "E1", "tok-eva")
    erase(home, "tok-eva")
    assert told(home, "tok-eva", "tok-other")["result"] == "refused"


def test_nobody_is_recorded_without_a_token_where_every_entity_is_a_persons(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home, rule = region(tmp_path, synthetic=True), replace(PERSONS["service_object"], only=None, token_is_key=False)
    monkeypatch.setitem(PERSONS, "service_object", rule)
    line = json.dumps({"business_key": "V1", "subject_type": "household"})
    with publishing(home) as persons:
        (answer,) = report_lines(persons, "service_object", [line], "live")
    assert answer["result"] == "refused" and "Whose this is can't be told" in answer["reason"]


def test_a_complete_list_ends_persons_who_are_known_and_leaves_who_is_withheld(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No kind of today ends persons by absence; those to come do."""
    monkeypatch.setitem(RULES, "service_object", replace(RULES["service_object"], absence_ends=True))
    home = home_of_persons(tmp_path)
    source = register(tmp_path)
    source.path.write_text(
        source.path.read_text("utf-8").replace('completeness = "partial"', 'completeness = "complete"'), "utf-8"
    )
    source = replace(load(source.path), max_closures=1.0)
    insured(home, tmp_path, *(each.row() for each in EVERYBODY), source=source)
    erase(home, token_of(home, ROSE))
    take_measure(home, "31", token_of(home, REED), "restriction", True, SAID, None)
    before = len(recorded(home))
    done = insured(home, tmp_path, as_of=JUNE, source=source)
    later = [each for each in recorded(home)[before:] if each["kind"] == "service_object"]
    assert [(each["business_key"], each["status"]) for each in later] == [(token_of(home, MOSS), "deregistered")]
    assert done.counts.closed == 1
    assert [each.value for each in done.rejected] == [WITHHELD_KEY, WITHHELD_KEY]


def test_rows_that_contradict_each_other_do_not_name_who_is_withheld(tmp_path: Path) -> None:
    home = home_of_persons(tmp_path)
    insured(home, tmp_path, *(each.row() for each in EVERYBODY))
    erase(home, token_of(home, ROSE))
    rows = [row for each in (ROSE, REED) for row in (each.row(), each.row("城镇职工医保"))]
    done = insured(home, tmp_path, *rows, as_of=JUNE)
    assert len(done.rejected) == 4
    assert found_in(home.folder / "rejections", token_of(home, ROSE)) == []
    assert found_in(home.folder / "rejections", token_of(home, REED))
    assert sum(each.value == WITHHELD_KEY for each in kept(home.folder / "rejections" / "31.sqlite", 10)) == 2


def test_an_erasure_that_could_not_clean_the_rejections_says_so_and_is_finished_by_another(tmp_path: Path) -> None:
    home = home_of_persons(tmp_path)
    insured(home, tmp_path, ROSE.row(), ROSE.row("城镇职工医保"), REED.row())
    insured(home, tmp_path, ROSE.row(), as_of=JUNE)
    path, token = home.folder / "rejections" / "31.sqlite", token_of(home, ROSE)
    assert found_in(path.parent, token)
    holder = sqlite3.connect(path, isolation_level=None)
    try:
        holder.execute("BEGIN EXCLUSIVE")
        with pytest.raises(sqlite3.OperationalError, match="locked"):
            erase(home, token)
    finally:
        holder.close()
    with pytest.raises(ValueError, match="in force already"):
        erase(home, token)
    assert found_in(path.parent, token) == []
