"""Importing: a dump becomes exactly the events that say what is new, all in one transaction, with one batch record."""

import signal
import time
from collections import Counter
from datetime import date
from functools import reduce
from operator import xor
from pathlib import Path
from random import Random
from typing import Any

import pytest

from connectors.profiles.profile import load
from connectors.publishing import batches
from connectors.publishing.batches import Counts
from connectors.publishing.importing import import_dump
from connectors.publishing.rejections import kept
from repository.events.identity import event_hash
from repository.store.log import EmbeddedLog
from tests.support.dumps_for_tests import (
    BEDS,
    JUNE,
    MAY,
    asked,
    begun,
    command,
    dump,
    facts,
    imported,
    many,
    profile,
    projected,
    recorded,
    region,
    said,
    told,
)
from tests.support.suites import many_times

# -- the batch record ----------------------------------------------------------------------------------------------


def test_the_batch_record_says_what_the_import_came_to(tmp_path: Path) -> None:
    skip = '[[skip]]\ncolumn = "名称"\nvalues = ["合计"]\nbecause = "a total"'
    home, source = region(tmp_path), profile(tmp_path, top=skip)
    imported(home, source, dump(tmp_path, [("甲", "1", 10), ("乙", "1", 20)]))
    rows = [
        ("甲", "1", 10),
        ("甲", "1", 10),
        ("乙", "2", 20),
        ("丙", "1", 5),
        ("丁", "1", "many"),
        ("戊", "1", 1),
        ("戊", "2", 1),
    ]
    done = imported(home, source, dump(tmp_path, [*rows, ("合计", None, 47)], name="second.csv"))
    batch = recorded(home)[-1]
    assert said(batch, "rows_read rows_mapped rows_rejected rows_skipped") == (8, 6, 1, 1)
    assert said(batch, "facts_new facts_changed facts_unchanged facts_duplicate facts_rejected") == (1, 1, 1, 1, 2)
    assert said(batch, "events closed file_name completeness fact_kind scope") == (
        2, 0, "second.csv", "partial", "supply", "nursing homes of the test region"
    )  # fmt: skip
    assert batch["event_id"] == done.batch_id
    assert batch["events_by_type"] == [
        {"event_type": "DetailsChanged", "count": 1},
        {"event_type": "ServicePointRegistered", "count": 1},
    ]


def test_the_batch_record_agrees_with_the_store(tmp_path: Path) -> None:
    home, source = region(tmp_path), profile(tmp_path)
    imported(home, source, many(tmp_path, 300))
    imported(home, source, many(tmp_path, 310, phone="2"), as_of=JUNE)
    with home.store("31") as store:
        states = [n.state for n in store.notifications(0, 10_000)]
    events = recorded(home)
    for batch in (e for e in events if e["kind"] == "batch"):
        own = [(e, s) for e, s in zip(events, states, strict=True) if e.get("batch_id") == batch["event_id"]]
        assert batch["events"] == len(own) > 0
        assert batch["events_xor"] == reduce(xor, (event_hash(s) for _, s in own))
        counted = Counter(e["event_type"] for e, _ in own)
        assert batch["events_by_type"] == [{"event_type": t, "count": n} for t, n in sorted(counted.items())]


def test_the_same_dump_twice_records_nothing_but_that_nothing_changed(tmp_path: Path) -> None:
    home, source, path = region(tmp_path), profile(tmp_path), many(tmp_path, 50)
    imported(home, source, path)
    before = recorded(home)
    again = imported(home, source, path)
    assert again.counts.events == 0 and again.counts.facts_unchanged == 50
    added = recorded(home)[len(before) :]
    assert [(e["kind"], e["event_type"], e["version"]) for e in added] == [("batch", "DumpUnchanged", 2)]


def test_what_was_not_accepted_is_kept_with_line_and_reason(tmp_path: Path) -> None:
    home, source = region(tmp_path), profile(tmp_path)
    path = dump(tmp_path, [("甲", '"1\n2"', 10), ("乙", "1", "many"), ("", "1", 3)])
    done = imported(home, source, path)
    assert [(r.line, r.column, r.value) for r in done.rejected] == [(4, "床位", "many"), (5, "名称", "")]
    found = kept(home.folder / "rejections" / "31.sqlite", 10)
    assert [(r.line, r.file_name, r.batch_id) for r in found] == [(n, "homes.csv", str(done.batch_id)) for n in (5, 4)]


# -- within one dump -----------------------------------------------------------------------------------------------


def test_contradictions_are_refused_with_both_lines(tmp_path: Path) -> None:
    home, source = region(tmp_path), profile(tmp_path)
    done = imported(home, source, dump(tmp_path, [("甲", "1", 10), ("乙", '"1\n2"', 10), ("甲", "1", 11), ("丙", "1", 1)]))
    assert {r.line for r in done.rejected} == {2, 5}
    for rejected in done.rejected:
        other = {2: 5, 5: 2}[rejected.line or 0]
        assert f"Lines {rejected.line} and {other} state different things of 甲" in rejected.reason
    assert done.counts.facts_rejected == 2
    assert [key for key, _ in told(home)] == ["丙", "乙"] or {key for key, _ in told(home)} == {"乙", "丙"}


def test_repetitions_count_once(tmp_path: Path) -> None:
    home, source = region(tmp_path), profile(tmp_path)
    done = imported(home, source, dump(tmp_path, [("甲", "1", 10)] * 3 + [("乙", "1", None)] * 2))
    assert (done.counts.facts_new, done.counts.facts_duplicate, done.counts.events) == (2, 3, 2)


def test_facts_about_one_entity_are_told_in_the_order_of_valid_time(tmp_path: Path) -> None:
    home = region(tmp_path)
    source = profile(tmp_path, valid='from = "起"')
    rows = [("甲", "3", 30, "2026-03-01"), ("甲", "1", 10, "2026-01-01"), ("甲", "2", 20, "2026-02-01")]
    done = imported(home, source, dump(tmp_path, rows, "名称,电话,床位,起"))
    shown = [(e["valid_from"], e["phone"]) for e in facts(home)]
    assert shown == [(date(2026, month, 1), str(month)) for month in (1, 2, 3)]
    assert done.counts.facts_new + done.counts.facts_changed == 3


def test_a_row_that_ends_may_have_a_successor(tmp_path: Path) -> None:
    home = region(tmp_path)
    source = profile(tmp_path, valid='from = "起"\nto = "止"')
    rows = [("甲", "1", 10, "2026-01-01", "2026-02-28"), ("甲", "2", 10, "2026-03-01", None)]
    imported(home, source, dump(tmp_path, rows, "名称,电话,床位,起,止"))
    assert [(e["valid_from"], e["stated_to"]) for e in facts(home)] == [
        (date(2026, 1, 1), date(2026, 3, 1)),
        (date(2026, 3, 1), None),
    ]


def test_what_is_known_is_told_again_where_the_same_dump_would_cover_it(tmp_path: Path) -> None:
    home = region(tmp_path, import_chunk_rows=1)
    source = profile(tmp_path, valid='from = "起"\nto = "止"')
    columns = "名称,电话,床位,起,止"
    imported(home, source, dump(tmp_path, [("甲", "1", 10, "2026-01-01", "2026-04-30")], columns))
    rows = [("甲", "2", 10, "2026-01-01", None), ("甲", "1", 10, "2026-04-01", "2026-04-30")]
    imported(home, source, dump(tmp_path, rows, columns))
    with home.store("31") as store:
        shown = [(s.start, s.statement.state["phone"]) for s in store.entity("supply", "甲").timeline]
    assert shown == [(date(2026, 1, 1), "2"), (date(2026, 4, 1), "1"), (date(2026, 5, 1), "2")]


CENSUS = """
kind = "service_object"
source = "census {year}"
scope = "population"
completeness = "complete"
as_of = {year}-11-01
key = [{{ field = "division_code" }}, {{ field = "group_code" }}]
[fields]
division_code = {{ column = "code", division = "code" }}
subject_type = {{ constant = "population_group" }}
group_code = {{ constant = "total" }}
persons = "persons"
[valid]
from = "as_of"
"""


def _census(folder: Path, year: int, persons: int) -> Any:
    path = folder / f"census{year}.toml"
    path.write_text(CENSUS.format(year=year), "utf-8")
    return load(path), dump(folder, [("320100", persons)], "code,persons", f"{year}.csv")


@pytest.mark.parametrize("years", [(2010, 2020), (2020, 2010)])
def test_two_census_days_in_either_order_give_one_timeline(tmp_path: Path, years: tuple[int, int]) -> None:
    home, persons = region(tmp_path), {2010: 8_000_000, 2020: 9_300_000}
    for year in years:
        source, path = _census(tmp_path, year, persons[year])
        imported(home, source, path, "32", None)
    projected(home)
    rows = asked(home, "SELECT valid_from, valid_to, persons FROM service_object_timeline ORDER BY valid_from")
    assert [said(r, "valid_from valid_to persons") for r in rows] == [
        (date(2010, 11, 1), date(2020, 11, 1), 8_000_000),
        (date(2020, 11, 1), None, 9_300_000),
    ]


def test_a_repeated_census_of_long_ago_changes_nothing(tmp_path: Path) -> None:
    home = region(tmp_path)
    for year in (2010, 2020):
        source, path = _census(tmp_path, year, year)
        imported(home, source, path, "32", None)
    source, path = _census(tmp_path, 2010, 2010)
    assert imported(home, source, path, "32", None).counts.events == 0


# -- all or nothing ------------------------------------------------------------------------------------------------


def test_an_exception_in_the_middle_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    home, source, path = region(tmp_path, import_chunk_rows=100), profile(tmp_path), many(tmp_path, 500)

    def broken(*_: object) -> None:
        raise OSError("the plug was pulled")

    with monkeypatch.context() as patched:
        patched.setattr(batches, "batch_row", broken)
        with pytest.raises(OSError, match="the plug was pulled"):
            import_dump(home, source, path, "31", MAY)
    assert recorded(home) == []
    assert imported(home, source, path).counts.facts_new == 500
    assert len(recorded(home)) == 501


def test_an_interrupted_decision_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    home, source = region(tmp_path), profile(tmp_path)
    imported(home, source, many(tmp_path, 30))
    before, counted = recorded(home), iter(range(1000))

    def interrupted(self: Counts, rows: list[Any]) -> None:
        if rows and next(counted) == 0:
            raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(Counts, "recorded", interrupted)
        with pytest.raises(KeyboardInterrupt):
            import_dump(home, source, many(tmp_path, 30, phone="2"), "31", MAY)
    assert recorded(home) == before
    assert imported(home, source, many(tmp_path, 30, phone="2")).counts.facts_changed == 30


ROWS = 8_000


@many_times("rounds", 20)
def test_an_import_killed_at_any_moment_is_whole_or_absent(tmp_path: Path, rounds: int) -> None:
    source, path = profile(tmp_path), many(tmp_path, ROWS)
    calm = region(tmp_path / "calm")
    started = time.monotonic()
    assert command(calm, "import", source.path, path, "--publisher", 31, "--as-of", MAY).returncode == 0
    took = time.monotonic() - started
    wanted, random = projected(calm)["digest"], Random(20260501)
    for number in range(rounds):
        home = region(tmp_path / f"round{number}")
        process = begun(home, "import", source.path, path, "--publisher", 31, "--as-of", MAY)
        time.sleep(random.uniform(0.3, 1.05) * took)
        process.send_signal(signal.SIGKILL)
        process.communicate()
        imported(home, source, path)
        with home.store("31") as store:
            records = EmbeddedLog([store]).read({}, 2 * ROWS)
        # Either the killed one recorded nothing, or all of it and the second found nothing new.
        batches = [r.event_type for r in records if r.event_type.startswith("batch.")]
        assert batches in (["batch.DumpImported"], ["batch.DumpImported", "batch.DumpUnchanged"])
        assert len(records) == ROWS + len(batches)
        assert len({(r.entity_id, r.event_type) for r in records}) == ROWS + len(batches)
        assert projected(home)["digest"] == wanted


def test_beds_that_a_source_no_longer_states_are_unknown(tmp_path: Path) -> None:
    home, source = region(tmp_path), profile(tmp_path)
    imported(home, source, dump(tmp_path, [("甲", "1", 10)]))
    imported(home, source, dump(tmp_path, [("甲", "1", "不详")]), as_of=JUNE)
    assert [e["changed"] for e in facts(home)] == [[], [BEDS]]
    assert facts(home)[-1]["offers"][0]["capacity"] is None
