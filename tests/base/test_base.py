"""The base: one current file, made from the logs, and made anew from them to the same content."""

import json
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from random import Random
from typing import Any

import duckdb
import pytest

from connectors.base.base import Base, opened
from connectors.base.files import BaseDamaged, Rebuilt, current
from connectors.home.folder import Home
from connectors.hub import hub
from connectors.publishing.reporting import report_lines
from repository.store.log import Checkpoint, EmbeddedLog, LogChanged, Partition, Record
from repository.store.publisher import Publisher, StoredRow
from tests.support.dumps_for_tests import (
    JULY,
    JUNE,
    asked,
    begun,
    environment,
    imported,
    many,
    profile,
    projected,
    publishing,
    region,
)
from tests.support.dumps_for_tests import Yrd as CommandLine
from tests.support.project import ROOT
from tests.support.suites import many_times

HOMES = 500


def filled(folder: Path, homes: int = HOMES, **settings: int) -> Home:
    """A home whose publisher 31 has told of some homes, not yet projected."""
    home = region(folder, synthetic=False, **settings)
    imported(home, profile(folder), many(folder, homes))
    return home


def more(folder: Path, home: Home, phone: str = "2", homes: int = HOMES) -> None:
    imported(home, profile(folder), many(folder, homes, phone=phone), as_of=JUNE if phone == "2" else JULY)


def rebuilt(home: Home, accept: bool = False) -> Rebuilt:
    return hub.rebuild(home, accept, lambda _number: None)


def base_files(home: Home) -> list[str]:
    return sorted(p.name for p in (home.folder / "base").glob("base-*.duckdb"))


# -- rebuilding ----------------------------------------------------------------------------------------------------


def test_a_rebuild_has_the_same_content_and_takes_over(tmp_path: Path) -> None:
    home = filled(tmp_path)
    digest = projected(home)["digest"]
    done = rebuilt(home)
    assert done == Rebuilt(digest, digest, HOMES + 1, True, "base-000002.duckdb")
    assert current(home) == home.folder / "base" / "base-000002.duckdb" and base_files(home) == ["base-000002.duckdb"]
    assert asked(home, "SELECT count(*) AS n FROM supply_current") == [{"n": HOMES}]


@pytest.mark.long
def test_events_after_a_rebuild_are_applied_to_the_new_file(tmp_path: Path) -> None:
    home = filled(tmp_path)
    projected(home)
    rebuilt(home)
    more(tmp_path, home)
    after = projected(home)
    assert (after["events"], after["duplicates"]) == (HOMES + 1, 0)
    assert rebuilt(home).new_digest == after["digest"]


@pytest.mark.long
def test_a_rebuild_goes_only_as_far_as_the_base_had_come(tmp_path: Path) -> None:
    home = filled(tmp_path)
    digest = projected(home)["digest"]
    more(tmp_path, home)
    done = rebuilt(home)
    assert (done.new_digest, done.events, done.switched) == (digest, HOMES + 1, True)
    assert projected(home)["events"] == HOMES + 1


def _tampered(home: Home) -> None:
    file = current(home)
    assert file is not None
    with duckdb.connect(str(file)) as connection:
        connection.execute("UPDATE supply_history SET phone = 'tampered' WHERE business_key = '院000007'")


def test_a_base_that_was_tampered_with_stays_until_somebody_accepts_the_new_one(tmp_path: Path) -> None:
    home = filled(tmp_path)
    digest = projected(home)["digest"]
    _tampered(home)
    done = rebuilt(home)
    assert not done.switched and done.new_digest == digest != done.old_digest
    assert asked(home, "SELECT count(*) AS n FROM supply_history WHERE phone = 'tampered'") == [{"n": 1}]
    accepted = rebuilt(home, accept=True)
    assert accepted.switched and accepted.file == done.file
    assert asked(home, "SELECT count(*) AS n FROM supply_history WHERE phone = 'tampered'") == [{"n": 0}]
    assert base_files(home) == [done.file]


@pytest.mark.long
def test_the_command_says_that_contents_differ(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    home = filled(tmp_path)
    projected(home)
    _tampered(home)
    yrd = CommandLine(home.folder, capsys)
    assert yrd("rebuild") == 1 and "The contents differ" in yrd.err
    assert yrd.json("rebuild", "--accept")["switched"] is True


def test_decisions_of_people_outlive_a_rebuild(tmp_path: Path) -> None:
    home = filled(tmp_path)
    _poison(home)
    projected(home)
    (held,) = asked(home, "SELECT quarantine_no FROM quarantine")
    hub.perform(home, "quarantine_skip", number=held["quarantine_no"], reason="a test record")
    assert rebuilt(home).switched
    assert asked(home, "SELECT state, note FROM quarantine") == [{"state": "skipped", "note": "a test record"}]


@many_times("rounds", 10)
def test_a_rebuild_that_is_killed_leaves_exactly_one_current_base(tmp_path: Path, rounds: int) -> None:
    home = filled(tmp_path, homes=4000, batch_records=500)
    digest = projected(home)["digest"]
    random = Random(11)
    for _ in range(rounds):
        process = begun(home, "rebuild")
        time.sleep(random.uniform(0.4, 2.2))
        process.send_signal(signal.SIGKILL)
        process.communicate()
        assert asked(home, "SELECT count(*) AS n FROM supply_history") == [{"n": 4000}]
        file = current(home)
        assert file is not None and file.exists()
        assert hub.perform(home, "status")["digest"] == digest
    done = rebuilt(home)
    assert done.switched and done.new_digest == digest
    assert base_files(home) == [done.file]


# -- what was published --------------------------------------------------------------------------------------------


def _published(home: Home) -> list[tuple[Any, ...]]:
    with sqlite3.connect(home.folder / "base" / "publications.sqlite") as file:
        rows = file.execute("SELECT base, commit_no FROM publications ORDER BY base, commit_no").fetchall()
    file.close()
    return rows


@pytest.mark.long
def test_publications_outlive_a_rebuild(tmp_path: Path) -> None:
    home = filled(tmp_path)
    projected(home)
    more(tmp_path, home)
    projected(home)
    assert _published(home) == [("base-000001.duckdb", 1), ("base-000001.duckdb", 2)]
    rebuilt(home)
    rows = asked(home, "SELECT base, commit_no, positions FROM publications")
    assert [r["base"] for r in rows] == ["base-000001.duckdb", "base-000001.duckdb", "this"]
    assert f'"next_offset":{HOMES + 2}' in rows[0]["positions"] and f'"next_offset":{2 * HOMES + 3}' in rows[2]["positions"]


class Unending(EmbeddedLog):
    """A log in which something new is recorded whenever it was read, as long as anybody goes on reading."""

    def __init__(self, home: Home, stores: list[Publisher]) -> None:
        super().__init__(stores)
        self.home, self.recorded = home, 0

    def read(self, after: Mapping[Partition, Checkpoint], limit: int, wait_s: float = 0) -> list[Record]:
        records = super().read(after, limit, wait_s)
        if self.recorded < HOMES:
            self.recorded += 1
            with publishing(self.home) as persons:
                list(
                    report_lines(persons, "supply", [json.dumps({"business_key": f"new {self.recorded}", "phone": "1"})], "live")
                )
        return records


def test_who_goes_on_recording_is_not_chased(tmp_path: Path) -> None:
    home = filled(tmp_path, batch_records=100)
    with home.stores() as stores, opened(home) as base:
        log = Unending(home, stores)
        there = sum(store.newest_position() for store in stores)
        assert base.project(log).events == there
        assert 0 < log.recorded < HOMES
    assert projected(home)["events"] == log.recorded


def test_a_commit_that_was_not_noted_is_noted_at_the_next_start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    home = filled(tmp_path)
    with home.stores() as stores, opened(home) as base:
        monkeypatch.setattr(Base, "_publish", lambda _self: None)
        base.project(EmbeddedLog(stores))
    assert _published(home) == []
    monkeypatch.undo()
    projected(home)
    assert _published(home) == [("base-000001.duckdb", 1)]


@pytest.mark.parametrize("lost", ["base-*", "[Cb]*[!e]"])
def test_publications_outlive_a_deleted_base(tmp_path: Path, lost: str) -> None:
    home = filled(tmp_path)
    digest = projected(home)["digest"]
    for file in (home.folder / "base").glob(lost):
        file.unlink()
    if current(home) is not None:
        rebuilt(home)
    assert projected(home)["digest"] == digest
    assert _published(home) == [("base-000001.duckdb", 1), ("base-000002.duckdb", 1)]


# -- damage --------------------------------------------------------------------------------------------------------


def test_a_file_that_is_no_database_is_refused_and_made_anew(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    home = filled(tmp_path)
    digest = projected(home)["digest"]
    file, yrd = current(home), CommandLine(home.folder, capsys)
    assert file is not None
    file.write_bytes(b"\x00" * 20_000)
    for arguments in (("project",), ("query", "SELECT 1"), ("status",)):
        sentence = yrd.failure(*arguments)
        assert "base-000001.duckdb can't be opened" in sentence and "yrd rebuild" in sentence
    made = yrd.json("rebuild")
    assert (made["old_digest"], made["new_digest"], made["switched"]) == (None, digest, True)
    assert base_files(home) == ["base-000002.duckdb"]


@pytest.mark.long
def test_flipped_bytes_are_never_taken_for_content(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    home = filled(tmp_path)
    digest = projected(home)["digest"]
    yrd, random, refused = CommandLine(home.folder, capsys), Random(7), 0
    for flips in (300, 300, 20, 3, 3, 3):
        file = current(home)
        assert file is not None
        damaged = bytearray(file.read_bytes())
        for _ in range(flips):
            damaged[random.randrange(len(damaged))] ^= 0xFF
        file.write_bytes(damaged)
        if yrd("status", "--json"):
            refused += 1
            assert "yrd rebuild" in yrd.err and yrd.err.count("\n") == 1, yrd.err
        made = yrd.json("rebuild")
        assert made["new_digest"] == digest
        assert yrd.json("status")["digest"] == digest
    assert refused


def test_a_deleted_base_is_named_and_made_anew(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    home = filled(tmp_path)
    digest = projected(home)["digest"]
    file, yrd = current(home), CommandLine(home.folder, capsys)
    assert file is not None
    file.unlink()
    assert "is gone; make it anew" in yrd.failure("status")
    assert yrd.json("rebuild")["new_digest"] == digest


def test_a_base_of_another_layout_is_rebuilt_never_guessed_at(tmp_path: Path) -> None:
    home = filled(tmp_path)
    digest = projected(home)["digest"]
    file = current(home)
    assert file is not None
    with duckdb.connect(str(file)) as connection:
        connection.execute("UPDATE layout SET checksum = 'another'")
    with pytest.raises(BaseDamaged, match="another table layout"), opened(home):
        pass
    assert rebuilt(home).new_digest == digest


def test_a_base_whose_making_broke_off_is_begun_anew(tmp_path: Path) -> None:
    home = filled(tmp_path)
    with duckdb.connect(str(home.folder / "base" / "base-000001.duckdb")) as connection:
        connection.execute("CREATE TABLE layout (version INTEGER)")
    assert projected(home)["events"] == HOMES + 1


@many_times("cuts", 20)
def test_a_write_ahead_log_cut_at_any_byte_opens_at_a_whole_commit(tmp_path: Path, cuts: int) -> None:
    home = filled(tmp_path, homes=600, batch_records=100)
    code = (
        "import os; from pathlib import Path; from connectors.home.folder import Home; from connectors.base.base import Base\n"
        "from repository.store.log import EmbeddedLog\n"
        f"home = Home(Path({str(home.folder)!r}))\n"
        "with home.stores() as stores:\n"
        "    base = Base(home); base.project(EmbeddedLog(stores)); os._exit(0)"
    )
    assert _python(code) == 0
    file = current(home)
    assert file is not None
    wal = file.with_name(file.name + ".wal")
    assert wal.stat().st_size > 10_000
    kept, random = wal.read_bytes(), Random(5)
    shutil.copy(file, tmp_path / "kept.duckdb")
    whole = None
    for cut in [len(kept), 0, *(random.randrange(len(kept)) for _ in range(cuts))]:
        shutil.copy(tmp_path / "kept.duckdb", file)
        wal.write_bytes(kept[:cut])
        with home.stores() as stores, opened(home) as base:
            (applied,) = base.connection.execute(
                "SELECT (SELECT count(*) FROM supply_history) + (SELECT count(*) FROM batch_history)"
            ).fetchall()[0]
            below = sum(c.next_offset - 1 for c in base.projector.checkpoints().values())
            assert applied == below
            base.project(EmbeddedLog(stores))
        digest = hub.perform(home, "status")["digest"]
        whole = whole or digest
        assert digest == whole


def _python(code: str) -> int:
    return subprocess.run([sys.executable, "-c", code], cwd=ROOT, env=environment(), check=False).returncode


def test_a_log_that_was_replaced_halts_with_a_message(tmp_path: Path) -> None:
    home = filled(tmp_path)
    projected(home)
    for part in (home.folder / "stores").iterdir():
        part.unlink()
    for part in (home.folder / "known").iterdir():
        part.unlink()
    imported(home, profile(tmp_path), many(tmp_path, HOMES + 20, phone="9"))
    with pytest.raises(LogChanged, match="yrd rebuild"):
        projected(home)
    done = rebuilt(home, accept=True)
    assert done.switched and asked(home, "SELECT DISTINCT phone FROM supply_current") == [{"phone": "9"}]


# -- quarantine and gaps -------------------------------------------------------------------------------------------


def _poison(home: Home, entity: str = "0" * 31 + "1") -> None:
    """Put a record into the log that can't be decoded."""
    with home.store("31") as store, store.bulk() as append:
        append([StoredRow(entity, 1, "supply.ServicePointRegistered", b"\xc3\x01 no event")])


def test_a_poison_record_is_held_and_holds_nothing_up(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    home, yrd = filled(tmp_path), None
    _poison(home)
    more(tmp_path, home)
    done = projected(home)
    assert (done["events"], done["quarantined"]) == (2 * HOMES + 2, 1)
    yrd = CommandLine(home.folder, capsys)
    (held,) = yrd.json("quarantine", "list")
    assert (held["topic"], held["state"], held["log_offset"]) == ("yrd.31", "held", HOMES + 2)
    assert yrd.json("quarantine", "retry")["quarantined"] == 1
    assert "No held record has the number 99" in yrd.failure("quarantine", "skip", 99, "--reason", "x")
    assert yrd("quarantine", "skip", held["quarantine_no"], "--reason", "sent by mistake") == 0
    (skipped,) = yrd.json("quarantine", "list")
    assert (skipped["state"], skipped["note"]) == ("skipped", "sent by mistake")
    assert yrd.json("quarantine", "retry")["events"] == 0


@pytest.mark.long
def test_a_missing_version_is_shown_and_may_be_skipped(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    home = filled(tmp_path, homes=3)
    more(tmp_path, home, homes=3)
    with home.store("31") as store:
        rows = [(n.originator_id, n.originator_version) for n in store.notifications(0, 100)]
    entity = next(e for e, version in rows if version == 2)
    with sqlite3.connect(home.store_file("31")) as file:
        file.execute(
            "DELETE FROM stored_events WHERE originator_id = ? AND originator_version = 1", [str(entity).replace("-", "")]
        )
    file.close()
    projected(home)
    yrd = CommandLine(home.folder, capsys)
    (gap,) = yrd.json("gaps", "list")
    assert (gap["entity_id"], gap["version"]) == (str(entity), 1)
    assert "No version 5" in yrd.failure("gaps", "skip", entity, 5, "--reason", "x")
    assert yrd("gaps", "skip", entity, 1, "--reason", "lost in a fire") == 0
    assert yrd.json("gaps", "list") == []
    rebuilt(home)
    assert yrd.json("gaps", "list") == []


def test_the_command_projects_and_says_the_digest(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    yrd = CommandLine(filled(tmp_path).folder, capsys)
    assert yrd("project") == 0 and f"{HOMES + 1} events applied" in yrd.out
