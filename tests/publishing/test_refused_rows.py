"""Refused rows: whatever is wrong with a row costs that row alone, and what is kept of it names its own line, key and value.

`yrd profiles check` shows just what an import into an empty home keeps.
"""

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from connectors.home.folder import Home
from connectors.home.regional_key import Tokeniser, tokeniser
from connectors.profiles.profile import Profile, load
from connectors.publishing.rehearsal import Rehearsed, rehearse
from connectors.publishing.rejections import Rejected, kept
from repository.events.encoding import EVENT_LIMIT_BYTES
from tests.support.dumps_for_tests import JUNE, MAY, dump, facts, imported, profile, region, told
from tests.support.persons_for_tests import COLUMNS as REGISTER
from tests.support.persons_for_tests import REED, ROSE, home_of_persons, register
from tests.support.refused_rows import COLUMNS, FIELDS, UNMAPPED, Row, lines, tables, told_again, twice, written
from tests.support.suites import few_and_many


def _expected(number: int, row: Row, again: bool, line: int) -> tuple[int, str, str] | None:
    """Line, column and value of the rejection of a row; None where it is accepted, or says again what another row says."""
    key = f"院{number}"
    if twice(row) and row.again == "otherwise":
        return line, "", key
    if row.flaw == "sound" or (again and row.again == "likewise"):
        return None
    shown = {"not a number": ("床位", "many"), "without a key": ("名称", "")}
    return (line, *shown.get(row.flaw, ("", key)))


def _shown(rejected: Rejected) -> tuple[int | None, str, str]:
    value = rejected.value
    if rejected.value.endswith("one too many"):
        value = rejected.value.split(",")[0]
    return rejected.line, rejected.column, value


@few_and_many("examples", 4, 20)
def test_every_rejection_names_its_own_row_and_every_other_row_is_recorded(examples: int) -> None:
    @given(tables(), st.integers(1, 5))
    @example([Row("sound", False, False), Row("sound", False, False), Row("ruled out", False, False)], 10)
    @example([Row("ruled out", False, False), Row("sound", False, False), Row("sound", False, False)], 10)
    @example([Row("too long", True, False), Row("too long", False, True), Row("sound", False, False)], 10)
    @example([Row("without a day", False, False), Row("without a day", False, True), Row("sound", False, True)], 10)
    @settings(deadline=None, max_examples=examples)
    def holds(table: list[Row], chunk_rows: int) -> None:
        with TemporaryDirectory() as folder:
            home = region(Path(folder), import_chunk_rows=chunk_rows)
            source = profile(Path(folder), fields=FIELDS, valid='from = "起"')
            known = [number for number, row in enumerate(table) if row.known]
            imported(home, source, dump(Path(folder), [(f"院{n}", "1", 5, 3, MAY, None) for n in known], COLUMNS))
            before = len(facts(home))

            rows = told_again(table)
            at = lines(rows)
            done = imported(home, source, written(Path(folder), table, "second.csv"))

            wanted = [_expected(*row, line) for row, line in zip(rows, at, strict=True)]
            assert sorted(map(_shown, done.rejected)) == sorted(each for each in wanted if each is not None)
            assert sorted(map(_shown, kept(home.folder / "rejections" / "31.sqlite", 100))) == sorted(map(_shown, done.rejected))
            sound = [(n, row) for n, row in enumerate(table) if row.flaw == "sound" and row.again != "otherwise"]
            shown = {event["business_key"]: event["phone"] for event in facts(home)[before:]}
            assert shown == {f"院{n}": f"2{n}" for n, _ in sound}

            counts, unread = done.counts, sum(row.flaw in UNMAPPED for row in table)
            assert (counts.rows_read, counts.rows_rejected, counts.rows_mapped) == (len(rows), unread, len(rows) - unread)
            assert counts.facts_new == sum(not row.known for _, row in sound)
            assert counts.facts_changed == sum(row.known for _, row in sound)
            assert counts.facts_duplicate == sum(row.again == "likewise" for row in table if twice(row))
            assert counts.facts_rejected == len(done.rejected) - unread
            assert counts.rows_mapped == counts.facts_new + counts.facts_changed + counts.facts_duplicate + counts.facts_rejected

    holds()


# -- where no row is at fault, or more than one --------------------------------------------------------------------


LONG_SCOPE = "x" * (EVENT_LIMIT_BYTES // 4)


def test_what_can_not_be_closed_stays_open_and_is_said(tmp_path: Path) -> None:
    home, source = region(tmp_path), profile(tmp_path, "complete", fields='remarks = "备注"')
    source.path.write_text(source.path.read_text("utf-8").replace('scope = "', f'scope = "{LONG_SCOPE}'), "utf-8")
    source, long = load(source.path), "9" * (EVENT_LIMIT_BYTES // 2)
    imported(home, source, dump(tmp_path, [("甲", long, 10, "7" * (EVENT_LIMIT_BYTES // 3)), ("乙", "1", 10, None)], LISTED))
    done = imported(home, source, dump(tmp_path, [("丙", "1", 10, None)], LISTED), as_of=JUNE)
    assert [(r.line, r.value) for r in done.rejected] == [(None, "甲")]
    assert "no longer listed" in done.rejected[0].reason and "the limit is" in done.rejected[0].reason
    assert (done.counts.closed, done.counts.facts_new, done.counts.facts_rejected) == (1, 1, 0)
    assert told(home)[-1] == ("乙", "ServicePointClosed")


LISTED = "名称,电话,床位,备注"
RENAMED = "名称,电话,床位,原名"


def test_a_row_whose_rename_is_refused_says_nothing_of_its_new_key(tmp_path: Path) -> None:
    home, source = region(tmp_path), profile(tmp_path, top='previous_key = ["原名"]', valid='from = "起"')
    imported(home, source, dump(tmp_path, [("甲", "1", 10, None, MAY)], f"{RENAMED},起"))
    done = imported(
        home, source, dump(tmp_path, [("新甲", "2", 10, "甲", "9999-12-31"), ("乙", "1", 1, None, JUNE)], f"{RENAMED},起")
    )
    assert [(r.line, r.value) for r in done.rejected] == [(2, "新甲")]
    assert told(home)[1:] == [("乙", "ServicePointRegistered")]
    assert done.counts.facts_rejected == 1


def test_facts_under_an_old_and_a_new_key_go_on_one_history(tmp_path: Path) -> None:
    home, source = region(tmp_path), profile(tmp_path, top='previous_key = ["原名"]', valid='from = "起"')
    columns = f"{RENAMED},起"
    imported(home, source, dump(tmp_path, [("甲", "1", 10, None, MAY)], columns))
    imported(home, source, dump(tmp_path, [("新甲", "1", 10, "甲", JUNE)], columns))
    before = len(facts(home))
    imported(home, source, dump(tmp_path, [("甲", "2", 10, None, MAY), ("新甲", "3", 10, None, JUNE)], columns))
    assert sorted(e["phone"] for e in facts(home)[before:]) == ["2", "3"]
    assert {e["entity_id"] for e in facts(home)} == {facts(home)[0]["entity_id"]}


# -- check and import ----------------------------------------------------------------------------------------------


def _judged(rejected: Iterable[Rejected]) -> list[tuple[object, ...]]:
    return [(r.line, r.column, r.value, r.reason) for r in rejected]


def _judges_alike(home: Home, source: Profile, path: Path, tokens: Tokeniser | None = None) -> Rehearsed:
    """A rehearsal that shows what an import into an empty home keeps; it is asserted that it does."""
    trial = rehearse(source, path, "31", MAY, tokens)
    done = imported(home, source, path, tokeniser=tokens)
    assert _judged(trial.rejected) == _judged(done.rejected)
    assert sorted(_judged(kept(home.folder / "rejections" / "31.sqlite", 1000))) == sorted(_judged(done.rejected))
    ours, theirs = vars(trial.counts), vars(done.counts)
    of_events = {"events", "events_xor", "events_by_type"}
    assert {n: v for n, v in ours.items() if n not in of_events} == {n: v for n, v in theirs.items() if n not in of_events}
    return trial


@pytest.mark.long
@given(tables())
@settings(deadline=None, max_examples=8)
def test_a_check_shows_what_an_import_would_reject(table: list[Row]) -> None:
    with TemporaryDirectory() as folder:
        source = profile(Path(folder), fields=FIELDS, valid='from = "起"')
        _judges_alike(region(Path(folder)), source, written(Path(folder), table))


DAYS = st.sampled_from(["2026-01-01", "2026-02-01", "2026-03-01", "9999-12-31"])
INTERVALS = st.tuples(
    st.sampled_from(["甲", "乙", "丙"]), st.sampled_from("12"), st.integers(3, 5), st.sampled_from([None, 4, -1]), DAYS,
    st.one_of(st.none(), DAYS), st.one_of(st.none(), DAYS)
)  # fmt: skip


@pytest.mark.long
@given(st.lists(INTERVALS, max_size=14))
@settings(deadline=None, max_examples=12)
def test_a_check_decides_on_several_facts_of_an_entity_as_an_import_does(rows: list[tuple[object, ...]]) -> None:
    with TemporaryDirectory() as folder:
        fields = '"offers[YRD050101].available" = "空床"\n[authority]\npublished_on = "发布"'
        source = profile(Path(folder), fields=fields, valid='from = "起"\nto = "止"')
        path = dump(Path(folder), rows, "名称,电话,床位,空床,起,止,发布")
        _judges_alike(region(Path(folder)), source, path)


FEES = """
kind = "standard"
source = "canteen fee list"
scope = "meal fees of senior canteens"
completeness = "partial"
key = ["town", "meal"]
[fields]
item_name = "meal"
comparator = { constant = "range" }
value = "lowest"
value_max = "highest"
[valid]
from = "as_of"
"""


def test_a_check_applies_the_rules_of_the_kind(tmp_path: Path) -> None:
    (tmp_path / "fees.toml").write_text(FEES, "utf-8")
    source = load(tmp_path / "fees.toml")
    rows = [("East", "lunch", 8, 12), ("North", "lunch", 13, 9), ("West", "lunch", None, None)]
    trial = _judges_alike(region(tmp_path), source, dump(tmp_path, rows, "town,meal,lowest,highest"))
    assert [(r.line, r.value) for r in trial.rejected] == [(3, "North|lunch"), (4, "West|lunch")]
    assert (trial.facts, trial.counts.facts_new, len(trial.first)) == (3, 1, 3)


def test_a_check_of_persons_finds_contradictions_and_keeps_nothing(tmp_path: Path) -> None:
    home, source = home_of_persons(tmp_path), register(tmp_path)
    other = replace(ROSE, phone="13900000009")
    path = dump(tmp_path, [ROSE.row(), other.row(), REED.row(), REED.row()], REGISTER)
    trial = _judges_alike(home, source, path, tokeniser(home))
    assert [r.line for r in trial.rejected] == [2, 3]
    assert (trial.counts.facts_duplicate, trial.counts.facts_new) == (1, 1)
    assert all(ROSE.name not in str(fact) for fact in trial.first)
