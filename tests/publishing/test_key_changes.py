"""Key changes: an entity outlives its key, by rename, merger and split, from dumps and from a list of links."""

from collections.abc import Sequence
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from connectors.home.folder import Home
from connectors.home.refused import Refused
from connectors.publishing.live import read_links
from connectors.publishing.reporting import link, report_lines
from tests.support.dumps_for_tests import (
    JULY,
    JUNE,
    MAY,
    asked,
    dump,
    facts,
    imported,
    profile,
    projected,
    publishing,
    region,
    said,
    told,
)

COLUMNS = "名称,电话,床位,原名"
FORMER = 'previous_key = ["原名"]'


def linked(home: Home, *pairs: tuple[str, str], on: date | None = JUNE) -> list[dict[str, Any]]:
    with publishing(home) as persons:
        return list(link(persons, "supply", pairs, on, "links", "reorganised"))


def reported(home: Home, line: str) -> dict[str, Any]:
    with publishing(home) as persons:
        (answer,) = report_lines(persons, "supply", [line], "live")
    return answer


def entities(home: Home) -> set[object]:
    return {e["entity_id"] for e in facts(home)}


def listing(home: Home, folder: Path, rows: Sequence[Sequence[object]], as_of: date = MAY) -> Any:
    return imported(home, profile(folder, top=FORMER), dump(folder, rows, COLUMNS), as_of=as_of)


# -- by a dump -----------------------------------------------------------------------------------------------------


def test_a_former_key_renames_the_entity_and_keeps_its_history(tmp_path: Path) -> None:
    home = region(tmp_path)
    listing(home, tmp_path, [("甲", "1", 10, None)])
    listing(home, tmp_path, [("新甲", "1", 10, "甲")], JUNE)
    assert [(e["business_key"], e["event_type"], e["version"]) for e in facts(home)] == [
        ("甲", "ServicePointRegistered", 1),
        ("新甲", "EntityRenamed", 2),
        ("新甲", "DetailsChanged", 3),
    ]
    assert len(entities(home)) == 1
    projected(home)
    rows = asked(home, "SELECT business_key, valid_from, valid_to FROM supply_timeline ORDER BY valid_from")
    assert [said(r, "business_key valid_from valid_to") for r in rows] == [("甲", MAY, JUNE), ("新甲", JUNE, None)]


def test_a_dump_with_a_former_key_again_records_nothing(tmp_path: Path) -> None:
    home = region(tmp_path)
    listing(home, tmp_path, [("甲", "1", 10, None)])
    listing(home, tmp_path, [("新甲", "1", 10, "甲")], JUNE)
    again = listing(home, tmp_path, [("新甲", "1", 10, "甲")], JUNE)
    assert (again.counts.events, again.counts.facts_unchanged) == (0, 1)


def test_a_former_key_of_nobody_is_no_rename(tmp_path: Path) -> None:
    home = region(tmp_path)
    listing(home, tmp_path, [("新甲", "1", 10, "甲")])
    assert told(home) == [("新甲", "ServicePointRegistered")]


def test_facts_under_the_old_key_still_reach_the_entity(tmp_path: Path) -> None:
    home = region(tmp_path)
    listing(home, tmp_path, [("甲", "1", 10, None)])
    listing(home, tmp_path, [("新甲", "1", 10, "甲")], JUNE)
    listing(home, tmp_path, [("甲", "2", 10, None)], JULY)
    assert told(home)[-1] == ("新甲", "DetailsChanged")
    answer = reported(home, '{"business_key": "甲", "valid_from": "2026-08-01", "offers[YRD050101].capacity": 11}')
    assert answer["events"] == ["CapacityChanged"]
    assert len(entities(home)) == 1


def test_old_and_new_key_in_one_dump_are_one_entity(tmp_path: Path) -> None:
    home = region(tmp_path)
    listing(home, tmp_path, [("甲", "1", 10, None)])
    done = listing(home, tmp_path, [("甲", "2", 10, None), ("新甲", "1", 11, "甲")], JUNE)
    assert done.counts.rows_rejected == 0
    assert len(entities(home)) == 1


def test_an_entity_may_be_renamed_twice_in_one_dump(tmp_path: Path) -> None:
    home = region(tmp_path)
    source = profile(tmp_path, top=FORMER, valid='from = "起"')
    columns = f"{COLUMNS},起"
    imported(home, source, dump(tmp_path, [("丙院", "1", 10, None, MAY)], columns), as_of=None)
    rows = [("甲院", "1", 10, "乙院", JULY), ("乙院", "1", 10, "丙院", JUNE)]
    imported(home, source, dump(tmp_path, rows, columns), as_of=None)
    assert len(entities(home)) == 1
    assert [key for key, name in told(home) if name == "EntityRenamed"] == ["乙院", "甲院"]
    with home.store("31") as store:
        shown = [(s.start, s.statement.state["business_key"]) for s in store.entity("supply", "乙院").timeline]
    assert shown[0] == (MAY, "丙院") and shown[-1] == (JULY, "甲院")


def test_a_chain_of_renames_leads_to_one_entity(tmp_path: Path) -> None:
    home = region(tmp_path)
    listing(home, tmp_path, [("甲", "1", 10, None)])
    listing(home, tmp_path, [("乙", "1", 10, "甲")], JUNE)
    listing(home, tmp_path, [("丙", "1", 10, "乙")], JULY)
    assert len(entities(home)) == 1
    for key in "甲乙丙":
        phone = ord(key)
        assert reported(home, f'{{"business_key": "{key}", "valid_from": "2026-08-01", "phone": "{phone}"}}')["result"] == "new"
    assert len(entities(home)) == 1 and {e["business_key"] for e in facts(home)[-3:]} == {"丙"}


# -- by links ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("lines", ["甲院,", ",甲院", "甲院", "甲院,乙院\n丙院, "])
def test_a_row_without_one_of_its_keys_is_refused_with_its_line(tmp_path: Path, lines: str) -> None:
    """An empty key would be one for all: two half-filled rows would merge what has nothing to do with each other."""
    path = tmp_path / "links.csv"
    path.write_text(f"old_key,new_key\n{lines}\n", "utf-8")
    with pytest.raises(Refused, match=rf"\(line {1 + len(lines.splitlines())}\) lacks a key"):
        read_links(path)


def test_one_to_one_is_a_rename(tmp_path: Path) -> None:
    home = region(tmp_path)
    listing(home, tmp_path, [("甲", "1", 10, None)])
    (answer,) = linked(home, ("甲", "新甲"))
    assert answer == {"old_key": "甲", "new_keys": ["新甲"], "result": "new", "events": ["EntityRenamed"]}
    assert said(facts(home)[-1], "business_key valid_from reason source") == ("新甲", JUNE, "reorganised", "links")


def test_several_to_one_is_a_merger_and_the_merged_key_leads_on(tmp_path: Path) -> None:
    home = region(tmp_path)
    listing(home, tmp_path, [("甲", "1", 10, None), ("乙", "1", 10, None), ("丙", "1", 30, None)])
    answers = linked(home, ("甲", "丙"), ("乙", "丙"))
    assert [a["events"] for a in answers] == [["EntityMerged"]] * 2
    merged = facts(home)[-1]
    assert (merged["operation"], merged["status"]) == ("merge", "closed")
    into = next(e["entity_id"] for e in facts(home) if e["business_key"] == "丙")
    assert merged["related_entity_ids"] == [into]
    reported(home, '{"business_key": "甲", "valid_from": "2026-08-01", "offers[YRD050101].capacity": 50}')
    assert said(facts(home)[-1], "business_key event_type entity_id") == ("丙", "CapacityChanged", into)


def test_a_dump_that_still_lists_a_merged_key_speaks_of_the_successor(tmp_path: Path) -> None:
    home = region(tmp_path)
    rows = [("甲", "1", 10, None), ("丙", "1", 30, None)]
    listing(home, tmp_path, rows)
    linked(home, ("甲", "丙"))
    listing(home, tmp_path, [("甲", "1", 40, None)], JULY)
    assert said(facts(home)[-1], "business_key valid_from") == ("丙", JULY)


def test_a_merger_into_what_is_not_known_yet_keeps_its_parts_apart_in_history(tmp_path: Path) -> None:
    home = region(tmp_path)
    listing(home, tmp_path, [("甲", "1", 10, None), ("乙", "1", 10, None)])
    answers = linked(home, ("甲", "丁"), ("乙", "丁"))
    assert [a["events"] for a in answers] == [["EntityMerged"]] * 2
    listing(home, tmp_path, [("丁", "1", 20, None)], JULY)
    assert told(home)[-1] == ("丁", "ServicePointRegistered")
    projected(home)
    rows = asked(home, "SELECT business_key, status FROM supply_timeline WHERE valid_to IS NULL ORDER BY business_key")
    assert sorted(said(r, "business_key status") for r in rows) == [("丁", "active"), ("乙", "closed"), ("甲", "closed")]


def test_one_to_several_is_a_split(tmp_path: Path) -> None:
    home = region(tmp_path)
    listing(home, tmp_path, [("甲", "1", 10, None), ("乙", "1", 10, None)])
    (answer,) = linked(home, ("甲", "乙"), ("甲", "丙"))
    assert answer["events"] == ["EntitySplit"]
    split = facts(home)[-1]
    assert (split["operation"], split["status"], len(split["related_entity_ids"])) == ("split", "closed", 2)


def test_an_entity_that_goes_on_as_one_of_its_parts_stays_open(tmp_path: Path) -> None:
    home = region(tmp_path)
    listing(home, tmp_path, [("甲", "1", 10, None)])
    linked(home, ("甲", "甲"), ("甲", "乙"))
    assert said(facts(home)[-1], "event_type status") == ("EntitySplit", "active")


def test_links_in_a_row_follow_one_another(tmp_path: Path) -> None:
    home = region(tmp_path)
    listing(home, tmp_path, [("甲", "1", 10, None)])
    answers = linked(home, ("甲", "乙"), ("乙", "丙"))
    assert [a["events"] for a in answers] == [["EntityRenamed"]] * 2
    assert len(entities(home)) == 1


def test_links_that_can_not_be_are_refused_one_by_one(tmp_path: Path) -> None:
    home = region(tmp_path)
    listing(home, tmp_path, [("甲", "1", 10, None)])
    unknown, same = linked(home, ("无", "新"), ("甲", "甲"))
    (good,) = linked(home, ("甲", "新甲"))
    assert "Nothing is recorded under 无" in unknown["reason"]
    assert "one entity already" in same["reason"]
    assert good["result"] == "new"
    (again,) = linked(home, ("甲", "新甲"))
    assert again["result"] == "refused" and len(facts(home)) == 2


def test_a_merger_can_not_go_round_in_a_circle(tmp_path: Path) -> None:
    home = region(tmp_path)
    listing(home, tmp_path, [("甲", "1", 10, None), ("乙", "1", 10, None)])
    first, back = [*linked(home, ("甲", "乙")), *linked(home, ("乙", "甲"))]
    assert (first["result"], back["result"]) == ("new", "refused")
    assert reported(home, '{"business_key": "甲", "valid_from": "2026-08-01", "phone": "9"}')["result"] == "new"
