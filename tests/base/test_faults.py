"""Faults of the machine: a full disk stops a command with a sentence, and once there is room everything goes on."""

import resource
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest

from connectors.home.folder import Home
from connectors.hub import hub
from connectors.publishing import importing
from tests.support.dumps_for_tests import (
    JUNE,
    MAY,
    asked,
    begun,
    command,
    following,
    imported,
    many,
    profile,
    projected,
    recorded,
    region,
)

KIB = 1024
ROWS = 4000


def with_room(limit: int) -> Callable[[], None]:
    """Run in a new process before the command: no file may grow beyond `limit` bytes."""
    return lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))


def failed_loudly(home: Home, limit: int, *arguments: object) -> bool:
    """Whether a command failed for want of room; then with one sentence and status 1."""
    done = command(home, *arguments, preexec_fn=with_room(limit))
    if done.returncode == 0:
        return False
    assert done.returncode == 1, (done.returncode, done.stderr)
    assert done.stderr.count("\n") == 1 and done.stderr.startswith("yrd: "), done.stderr
    return True


@pytest.fixture
def digest(tmp_path: Path) -> str:
    """The digest of an undisturbed home."""
    calm = region(tmp_path / "calm")
    imported(calm, profile(tmp_path), many(tmp_path, ROWS))
    return str(projected(calm)["digest"])


@pytest.mark.long
def test_an_import_on_a_full_disk_records_nothing_and_later_everything(tmp_path: Path, digest: str) -> None:
    home, source, path = region(tmp_path), profile(tmp_path), many(tmp_path, ROWS)
    for limit in (0, 200 * KIB, 1000 * KIB):
        assert failed_loudly(home, limit, "import", source.path, path, "--publisher", 31, "--as-of", MAY)
        assert recorded(home) == []
    imported(home, source, path)
    assert len([e for e in recorded(home) if e["kind"] == "supply"]) == ROWS
    assert projected(home)["digest"] == digest


@pytest.mark.long
def test_an_import_of_changes_on_a_full_disk_records_nothing(tmp_path: Path) -> None:
    home, source = region(tmp_path), profile(tmp_path)
    imported(home, source, many(tmp_path, ROWS))
    size = home.store_file("31").stat().st_size
    changed = many(tmp_path, ROWS, phone="2")
    assert failed_loudly(home, size // 3, "import", source.path, changed, "--publisher", 31, "--as-of", JUNE)
    assert len(recorded(home)) == ROWS + 1
    assert imported(home, source, changed, as_of=JUNE).counts.facts_changed == ROWS


@pytest.mark.long
def test_a_projection_on_a_full_disk_stops_and_goes_on_with_room(tmp_path: Path, digest: str) -> None:
    home = region(tmp_path, batch_records=500)
    imported(home, profile(tmp_path), many(tmp_path, ROWS))
    failures = sum(failed_loudly(home, limit, "project") for limit in (0, 1000 * KIB, 2000 * KIB))
    assert failures >= 2
    done = projected(home)
    assert done["digest"] == digest and done["duplicates"] == 0


@pytest.mark.long
def test_a_rebuild_on_a_full_disk_leaves_the_base_as_it_was(tmp_path: Path, digest: str) -> None:
    home = region(tmp_path, batch_records=500)
    imported(home, profile(tmp_path), many(tmp_path, ROWS))
    projected(home)
    assert failed_loudly(home, 1000 * KIB, "rebuild")
    assert hub.perform(home, "status")["digest"] == digest
    assert hub.rebuild(home, False, lambda _number: None).switched


def test_clocks_that_went_back_do_not_disturb_the_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    home, source = region(tmp_path), profile(tmp_path)
    imported(home, source, many(tmp_path, 20))

    class Slow(datetime):
        @classmethod
        def now(cls, tz: object = None) -> "Slow":
            return cls(2001, 1, 1, tzinfo=UTC)

    with monkeypatch.context() as patched:
        patched.setattr(importing, "datetime", Slow)
        imported(home, source, many(tmp_path, 20, phone="2"), as_of=JUNE)
    projected(home)
    rows = asked(home, "SELECT position, received_at FROM supply_history ORDER BY position")
    assert [r["received_at"] for r in rows] == sorted(r["received_at"] for r in rows)
    assert asked(home, "SELECT DISTINCT phone FROM supply_timeline WHERE valid_to IS NULL") == [{"phone": "2"}]


@pytest.mark.long
def test_two_imports_of_one_publisher_wait_for_each_other(tmp_path: Path) -> None:
    home, source = region(tmp_path), profile(tmp_path)
    path = many(tmp_path, 2000)
    arguments = ("import", source.path, path, "--publisher", 31, "--as-of", MAY, "--json")
    processes = [begun(home, *arguments) for _ in range(2)]
    ended = [process.communicate() for process in processes]
    assert [process.returncode for process in processes] == [0, 0], ended
    assert sorted(e["event_type"] for e in recorded(home) if e["kind"] == "batch") == [
        "DumpImported",
        "DumpUnchanged",
    ]


@pytest.mark.long
def test_a_follower_on_a_full_disk_ends_loudly(tmp_path: Path) -> None:
    home = region(tmp_path)
    imported(home, profile(tmp_path), many(tmp_path, ROWS))
    done = command(home, "project", "--follow", preexec_fn=with_room(1000 * KIB))
    assert done.returncode == 1 and done.stderr.splitlines()[-1].startswith("yrd: ") and "Traceback" not in done.stderr
    with following(home):
        assert hub.perform(home, "status")["quarantined"] == 0
