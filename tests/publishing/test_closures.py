"""Closures: a complete dump ends what its own source listed before and lists no longer, and nothing else."""

from datetime import date
from pathlib import Path

import pytest

from connectors.home.folder import Home
from connectors.profiles.profile import Profile, load
from connectors.publishing.closures import TooManyClosures
from connectors.publishing.importing import import_dump
from connectors.publishing.reporting import report_lines
from tests.support.dumps_for_tests import (
    JULY,
    JUNE,
    MAY,
    dump,
    facts,
    imported,
    many,
    profile,
    projected,
    publishing,
    recorded,
    region,
    told,
)

CLOSED, REGISTERED = "ServicePointClosed", "ServicePointRegistered"


def complete(folder: Path, **rest: object) -> Profile:
    return profile(folder, "complete", **rest)  # type: ignore[arg-type]


def listed(home: Home, source: Profile, folder: Path, names: str, as_of: date = MAY) -> list[tuple[str, str]]:
    """Import a dump that lists the homes of these one-letter names; what the import told."""
    before = len(facts(home))
    imported(home, source, dump(folder, [(name, "1", 10) for name in names]), as_of=as_of)
    return told(home)[before:]


def test_a_complete_dump_closes_what_it_no_longer_lists(tmp_path: Path) -> None:
    home, source = region(tmp_path), complete(tmp_path)
    listed(home, source, tmp_path, "甲乙丙")
    assert listed(home, source, tmp_path, "甲丙", JUNE) == [("乙", CLOSED)]
    closed = facts(home)[-1]
    assert (closed["valid_from"], closed["status"], closed["source"]) == (JUNE, "closed", source.source)
    assert "No longer listed in homes.csv" in closed["reason"]
    assert recorded(home)[-1]["closed"] == 1


def test_a_partial_dump_closes_nothing(tmp_path: Path) -> None:
    home, source = region(tmp_path), profile(tmp_path)
    listed(home, source, tmp_path, "甲乙")
    assert listed(home, source, tmp_path, "甲", JUNE) == []


def test_what_is_closed_is_not_closed_again(tmp_path: Path) -> None:
    home, source = region(tmp_path), complete(tmp_path)
    listed(home, source, tmp_path, "甲乙")
    listed(home, source, tmp_path, "甲", JUNE)
    assert listed(home, source, tmp_path, "甲", JULY) == []


def test_what_is_listed_again_is_reopened(tmp_path: Path) -> None:
    home, source = region(tmp_path), complete(tmp_path)
    listed(home, source, tmp_path, "甲乙")
    listed(home, source, tmp_path, "甲", JUNE)
    assert listed(home, source, tmp_path, "甲乙", JULY) == [("乙", "ServicePointReopened")]
    assert listed(home, source, tmp_path, "甲", date(2026, 8, 1)) == [("乙", CLOSED)]


def test_another_source_closes_nothing_of_this_one(tmp_path: Path) -> None:
    home, source = region(tmp_path), complete(tmp_path)
    other = _with(tmp_path, "other", 'source = "register of homes"', 'source = "other register"')
    listed(home, source, tmp_path, "甲乙")
    assert listed(home, other, tmp_path, "甲", JUNE) == []
    assert listed(home, other, tmp_path, "丙", JULY) == [("丙", REGISTERED)]


def test_what_another_source_asserted_since_is_its_own_to_close(tmp_path: Path) -> None:
    home, source = region(tmp_path), complete(tmp_path)
    other = _with(tmp_path, "other", 'source = "register of homes"', 'source = "other register"')
    listed(home, source, tmp_path, "甲乙")
    imported(home, other, dump(tmp_path, [("乙", "2", 10)]), as_of=JUNE)
    assert listed(home, source, tmp_path, "甲", JULY) == []
    imported(home, other, dump(tmp_path, [("丙", "2", 10)]), as_of=JULY)
    assert told(home)[-1] == ("乙", CLOSED)


def test_a_dump_of_another_scope_closes_nothing(tmp_path: Path) -> None:
    home, source = region(tmp_path), complete(tmp_path)
    elsewhere = _with(tmp_path, "elsewhere", "of the test region", "of another region")
    listed(home, source, tmp_path, "甲乙")
    assert listed(home, elsewhere, tmp_path, "丙", JUNE) == [("丙", REGISTERED)]
    assert listed(home, source, tmp_path, "甲", JUNE) == [("乙", CLOSED)]


def _with(folder: Path, name: str, old: str, new: str) -> Profile:
    path = folder / f"{name}.toml"
    path.write_text(complete(folder).path.read_text("utf-8").replace(old, new), "utf-8")
    return load(path)


def test_another_publisher_closes_nothing_of_this_one(tmp_path: Path) -> None:
    home, source = region(tmp_path), complete(tmp_path)
    listed(home, source, tmp_path, "甲乙")
    imported(home, source, dump(tmp_path, [("丙", "1", 1)]), publisher="32", as_of=JUNE)
    assert [key for key, _ in told(home)] == ["甲", "乙"] or len(told(home)) == 2


@pytest.mark.parametrize("row", [("乙", "1", "many"), ("乙", "1", "-5")])
def test_a_rejected_row_counts_as_present(tmp_path: Path, row: tuple[object, ...]) -> None:
    home, source = region(tmp_path), complete(tmp_path)
    listed(home, source, tmp_path, "甲乙丙")
    done = imported(home, source, dump(tmp_path, [("甲", "1", 10), row]), as_of=JUNE)
    assert len(done.rejected) == 1
    assert told(home)[3:] == [("丙", CLOSED)]


def test_contradicting_rows_count_as_present(tmp_path: Path) -> None:
    home, source = region(tmp_path), complete(tmp_path)
    listed(home, source, tmp_path, "甲乙丙")
    done = imported(home, source, dump(tmp_path, [("甲", "1", 10), ("乙", "1", 10), ("乙", "1", 11)]), as_of=JUNE)
    assert (done.counts.facts_rejected, done.counts.closed) == (2, 1)
    assert told(home)[3:] == [("丙", CLOSED)]


@pytest.mark.parametrize("text", ["甲,1,10\n,1,10\n", "甲,1,10\n丁,1,10,one too many\n"])
def test_a_row_whose_key_can_not_be_read_keeps_everything_open(tmp_path: Path, text: str) -> None:
    home, source = region(tmp_path), complete(tmp_path)
    listed(home, source, tmp_path, "甲乙丙")
    path = tmp_path / "homes.csv"
    path.write_text(f"名称,电话,床位\n{text}", "utf-8")
    done = imported(home, source, path, as_of=JUNE)
    assert len(done.rejected) == 1
    assert done.counts.closed == 0 and len(told(home)) == 3


def test_a_dump_that_would_close_too_many_is_refused_whole(tmp_path: Path) -> None:
    home, source = region(tmp_path), complete(tmp_path, max_closures=0.05)
    imported(home, source, many(tmp_path, 100))
    before = recorded(home)
    with pytest.raises(TooManyClosures, match=r"no longer lists 6 of 100 .* more than the 5% allowed"):
        import_dump(home, source, many(tmp_path, 94, phone="2"), "31", JUNE)
    assert recorded(home) == before
    assert imported(home, source, many(tmp_path, 95), as_of=JUNE).counts.closed == 5
    assert imported(home, source, many(tmp_path, 10), as_of=JULY, max_closures=1).counts.closed == 85


def test_an_older_dump_closes_nothing(tmp_path: Path) -> None:
    home, source = region(tmp_path), complete(tmp_path)
    listed(home, source, tmp_path, "甲乙", JUNE)
    assert (("乙", CLOSED)) not in listed(home, source, tmp_path, "甲", MAY)
    assert listed(home, source, tmp_path, "甲", JUNE) == [("乙", CLOSED)]


def test_what_was_reported_live_is_not_closed_by_absence(tmp_path: Path) -> None:
    home, source = region(tmp_path), complete(tmp_path)
    listed(home, source, tmp_path, "甲")
    with publishing(home) as persons:
        line = '{"business_key": "乙", "valid_from": "2026-05-01", "provider_name": "乙"}'
        assert [a["result"] for a in report_lines(persons, "supply", [line], source.source)] == ["new"]
    assert listed(home, source, tmp_path, "甲", JUNE) == []


def test_a_renamed_entity_is_not_closed(tmp_path: Path) -> None:
    home = region(tmp_path)
    source = complete(tmp_path, top='previous_key = ["原名"]')
    imported(home, source, dump(tmp_path, [("甲", "1", 1, None), ("乙", "1", 1, None)], "名称,电话,床位,原名"))
    imported(home, source, dump(tmp_path, [("甲", "1", 1, None), ("新乙", "1", 1, "乙")], "名称,电话,床位,原名"), as_of=JUNE)
    assert told(home)[2:] == [("新乙", "EntityRenamed"), ("新乙", "DetailsChanged")]
    imported(home, source, dump(tmp_path, [("甲", "1", 1, None), ("新乙", "1", 1, None)], "名称,电话,床位,原名"), as_of=JULY)
    assert len(told(home)) == 4


def test_an_entity_that_is_still_listed_under_its_old_key_is_not_closed(tmp_path: Path) -> None:
    home = region(tmp_path)
    source = complete(tmp_path, top='previous_key = ["原名"]')
    imported(home, source, dump(tmp_path, [("甲", "1", 1, None), ("乙", "1", 1, None)], "名称,电话,床位,原名"))
    imported(home, source, dump(tmp_path, [("甲", "1", 1, None), ("新乙", "1", 1, "乙")], "名称,电话,床位,原名"), as_of=JUNE)
    imported(home, source, dump(tmp_path, [("甲", "1", 1, None), ("乙", "1", 1, None)], "名称,电话,床位,原名"), as_of=JULY)
    assert [name for _, name in told(home)].count(CLOSED) == 0


def test_an_abolished_standard_is_repealed(tmp_path: Path) -> None:
    home = region(tmp_path)
    text = """
kind = "standard"
source = "standards"
scope = "standards of the test region"
completeness = "complete"
max_closures = 1
key = ["名称"]
[fields]
item_name = "名称"
value = "值"
[valid]
from = "as_of"
"""
    (tmp_path / "standards.toml").write_text(text, "utf-8")
    source = load(tmp_path / "standards.toml")
    imported(home, source, dump(tmp_path, [("低保", "100"), ("特困", "200.5")], "名称,值"))
    imported(home, source, dump(tmp_path, [("低保", "100")], "名称,值"), as_of=JUNE)
    assert told(home)[2:] == [("特困", "StandardRepealed")]
    projected(home)


GROUPS = """
kind = "service_object"
source = "census"
scope = "population"
completeness = "complete"
max_closures = 1
key = ["地区"]
[fields]
group_code = { constant = "total" }
subject_type = { constant = "population_group" }
persons = "人数"
[valid]
from = "as_of"
"""


def test_groups_and_persons_are_never_closed_by_absence(tmp_path: Path) -> None:
    home = region(tmp_path)
    (tmp_path / "groups.toml").write_text(GROUPS, "utf-8")
    source = load(tmp_path / "groups.toml")
    imported(home, source, dump(tmp_path, [("东区", 10), ("西区", 20)], "地区,人数"))
    done = imported(home, source, dump(tmp_path, [("东区", 10)], "地区,人数"), as_of=JUNE)
    assert done.counts.closed == 0 and len(told(home)) == 2
