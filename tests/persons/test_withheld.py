"""Who is withheld does not come back by another way, and nobody else is withheld with them."""

import json
import sqlite3
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from connectors.home.folder import Home
from connectors.persons.naming import Naming
from connectors.persons.standings import Standings
from connectors.persons.subject_rights import take_measure
from connectors.profiles.profile import load
from connectors.publishing.live import corrected, linked
from connectors.publishing.rejections import WITHHELD_KEY, kept
from connectors.publishing.reporting import report_lines
from repository.controls.subject_measure import MeasureRefused
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


def test_a_part_that_is_held_is_told_and_erased_when_the_hold_has_ended(tmp_path: Path) -> None:
    home = region(tmp_path, synthetic=True)
    told(home, "R1", "tok-rita")
    told(home, "Q1", "tok-rita")
    right(home, "Q1", "tok-quin")
    take_measure(home, "31", "tok-quin", "hold", True, SAID, None)
    with pytest.raises(MeasureRefused, match="is under a legal hold"):
        erase(home, "tok-rita")
    assert told(home, "R2", "tok-rita")["result"] == "refused"
    take_measure(home, "31", "tok-quin", "hold", False, SAID, None)
    assert [each["in_force"] for each in erase(home, "tok-rita")] == [True, False]
    projected(home)
    assert asked(home, "SELECT count(*) AS n FROM service_object_history WHERE subject_token = 'tok-rita'") == [{"n": 0}]


def test_a_part_whose_erasing_broke_off_is_finished(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    home = region(tmp_path, synthetic=True)
    told(home, "R1", "tok-rita")
    told(home, "Q1", "tok-rita")
    right(home, "Q1", "tok-quin")
    record, calls = Standings.record, []

    def broken(standings: Standings, *given: Any) -> Any:
        calls.append(given)
        if len(calls) == 3:
            raise OSError("the plug was pulled")
        return record(standings, *given)

    monkeypatch.setattr(Standings, "record", broken)
    with pytest.raises(OSError, match="the plug was pulled"):
        erase(home, "tok-rita")
    monkeypatch.undo()
    assert told(home, "Q1", "tok-quin", division_code="310104")["result"] == "refused"
    assert [each["in_force"] for each in erase(home, "tok-rita")] == [False]
    assert told(home, "Q1", "tok-quin", division_code="310104")["result"] == "new"


def test_nobody_gets_an_erased_pseudonym_for_a_key(tmp_path: Path) -> None:
    home = region(tmp_path, synthetic=True)
    told(home, "E1", "tok-eva")
    told(home, "O1", "tok-other")
    erase(home, "tok-eva")
    (answer,) = linked(home, "31", "service_object", [("O1", "tok-eva")], None, "links", None)
    assert answer["result"] == "refused"


@pytest.mark.parametrize(
    ("rejection", "left"),
    [
        (("7", "", "Lines 7 and 9 state different things of 7."), ("-", "Lines - and 9 state different things of -.")),
        (("8", "", "Lines 7 and 9 state different things of 8."), ("8", "Lines 7 and 9 state different things of 8.")),
        (("7", "beds", "'7' is too many."), ("7", "'7' is too many.")),
        (("tok-rita-1", "", "tok-rita-1 is gone"), ("-", "- is gone")),
        (("tok-rita-12", "", "tok-rita-12 is gone"), ("tok-rita-12", "tok-rita-12 is gone")),
        (("x", "note", "see tok-rita-1"), ("x", "see -")),
    ],
)
def test_a_short_key_is_taken_out_of_its_own_row_alone(rejection: tuple[str, str, str], left: tuple[str, str]) -> None:
    assert Naming({"7", "tok-rita-1"}, "-").without(*rejection) == left
