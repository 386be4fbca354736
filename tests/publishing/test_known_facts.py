"""What a publisher knows: derived from its store, and made anew whatever happens to its file."""

import shutil
from pathlib import Path
from random import Random

import pytest

from connectors.home.folder import Home
from connectors.profiles.profile import Profile
from connectors.publishing.known_facts import KnownLost, known
from tests.support.dumps_for_tests import JUNE, facts, imported, many, profile, region
from tests.support.dumps_for_tests import Yrd as CommandLine
from tests.support.suites import few_and_many

HOMES = 400


def _first(folder: Path) -> tuple[Home, Profile, Path]:
    """A home after a first import, its profile, and the file of what publisher 31 knows."""
    home, source = region(folder), profile(folder)
    imported(home, source, many(folder, HOMES))
    return home, source, home.folder / "known" / "31.duckdb"


def _imports_rightly(folder: Path, home: Home, source: Profile) -> None:
    """Both an unchanged and a changed dump are understood as such."""
    assert imported(home, source, many(folder, HOMES)).counts.facts_unchanged == HOMES
    changed = imported(home, source, many(folder, HOMES + 1, phone="2"), as_of=JUNE).counts
    assert (changed.facts_changed, changed.facts_new) == (HOMES, 1)
    assert len(facts(home)) == 2 * HOMES + 1


def test_a_deleted_file_is_made_anew(tmp_path: Path) -> None:
    home, source, file = _first(tmp_path)
    file.unlink()
    _imports_rightly(tmp_path, home, source)


@pytest.mark.parametrize("content", [b"", b"no database", b"\x00" * 5000])
def test_a_file_that_is_no_database_is_made_anew(tmp_path: Path, content: bytes) -> None:
    home, source, file = _first(tmp_path)
    file.write_bytes(content)
    _imports_rightly(tmp_path, home, source)


def test_a_file_of_another_publisher_is_made_anew(tmp_path: Path) -> None:
    home, source, file = _first(tmp_path)
    imported(home, source, many(tmp_path, 7), publisher="32")
    shutil.copy(home.folder / "known" / "32.duckdb", file)
    _imports_rightly(tmp_path, home, source)


def test_a_file_of_another_home_is_made_anew(tmp_path: Path) -> None:
    home, source, file = _first(tmp_path)
    other = region(tmp_path / "other")
    imported(other, source, many(tmp_path, HOMES, phone="7"))
    shutil.copy(other.folder / "known" / "31.duckdb", file)
    _imports_rightly(tmp_path, home, source)


def test_a_file_that_is_behind_catches_up(tmp_path: Path) -> None:
    home, source, file = _first(tmp_path)
    kept = tmp_path / "kept.duckdb"
    shutil.copy(file, kept)
    imported(home, source, many(tmp_path, HOMES + 50))
    shutil.copy(kept, file)
    assert imported(home, source, many(tmp_path, HOMES + 50)).counts.events == 0


def test_a_store_that_was_replaced_is_noticed(tmp_path: Path) -> None:
    home, source, _ = _first(tmp_path)
    for part in (home.folder / "stores").iterdir():
        part.unlink()
    assert imported(home, source, many(tmp_path, HOMES)).counts.facts_new == HOMES


@few_and_many("damages", 2, 8)
def test_a_damaged_file_never_makes_an_import_wrong(tmp_path: Path, capsys: pytest.CaptureFixture[str], damages: int) -> None:
    home, source, file = _first(tmp_path)
    whole, random, lost = file.read_bytes(), Random(3), 0
    yrd = CommandLine(home.folder, capsys)
    for _ in range(damages):
        damaged = bytearray(whole)
        for _ in range(200):
            damaged[random.randrange(len(damaged))] ^= 0xFF
        file.write_bytes(damaged)
        wal = file.with_name(file.name + ".wal")
        wal.unlink(missing_ok=True)
        try:
            done = imported(home, source, many(tmp_path, HOMES))
        except KnownLost:
            lost += 1
            assert not file.exists()
            done = imported(home, source, many(tmp_path, HOMES))
        assert done.counts.facts_unchanged == HOMES
    assert len(facts(home)) == HOMES
    file.write_bytes(whole)
    assert yrd("import", source.path, many(tmp_path, HOMES), "--publisher", "31", "--as-of", "2026-05-01") == 0


def test_the_position_stands_inside(tmp_path: Path) -> None:
    home, _, _ = _first(tmp_path)
    with home.store("31") as store, known(home, store) as connection:
        assert connection.execute("SELECT topic, last_position FROM checkpoints").fetchall() == [("yrd.31", HOMES + 1)]
