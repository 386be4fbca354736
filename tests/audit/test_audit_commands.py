"""The commands of auditors: what they print for people and for programs, and how they fail."""

import csv
import json
import os
from datetime import UTC, datetime
from pathlib import Path

import duckdb
import pytest

from connectors.base.files import current
from connectors.home.folder import Home
from tests.support.dumps_for_tests import MAY, Yrd, imported, many, profile, projected, region


@pytest.fixture
def yrd(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Yrd:
    """The command line at a home with three homes, of which one was renumbered; projected."""
    monkeypatch.setenv("NO_COLOR", "1")
    for name in [n for n in os.environ if n.startswith("YRD_")]:
        monkeypatch.delenv(name)
    home = region(tmp_path)
    imported(home, profile(tmp_path), many(tmp_path, 3))
    made = Yrd(home.folder, capsys)
    assert (
        made("correct", "phone=2", "--publisher", "31", "--kind", "supply", "--key", "院000001", "--reason", "[typed] wrongly")
        == 0
    )
    projected(home)
    return made


def now() -> str:
    return datetime.now(UTC).isoformat()


def test_a_history_is_read_by_people_and_programs(yrd: Yrd) -> None:
    assert yrd("audit", "history", "院000001") == 0
    assert "FactCorrected, version 2 of supply 31 院000001" in yrd.out and "reason [typed] wrongly" in yrd.out
    rows = yrd.json("audit", "history", "院000001")
    assert (rows[-1]["field"], rows[-1]["before"], rows[-1]["after"], rows[-1]["proof"]) == ("phone", "1", "2", "not sealed")
    assert "Nothing is known under nobody" in yrd.failure("audit", "history", "nobody")


@pytest.mark.long
def test_what_was_held_and_shown_is_told_with_its_digest(yrd: Yrd, tmp_path: Path) -> None:
    held = yrd.json("audit", "asof", "--valid", "2026-06-01", "--known", now(), "--into", tmp_path / "held.db")
    assert (held["rows"]["supply"], held["behind"], held["offsets"]) == (3, 0, {"yrd.31/0": 6})
    shown = yrd.json("audit", "said", now(), "--into", tmp_path / "shown.db")
    assert (shown["rows"]["supply"], shown["digest"]) == (4, yrd.json("project")["digest"])
    assert (tmp_path / "held.db").is_file() and (tmp_path / "shown.db").is_file()
    assert "exists already" in yrd.failure("audit", "said", now(), "--into", tmp_path / "shown.db")
    assert "showed nothing yet" in yrd.failure("audit", "said", "2001-01-01")


def test_who_asks_beside_a_lagging_base_is_told(yrd: Yrd) -> None:
    assert yrd("heartbeat", "--publisher", "32", "--source", "live") == 0
    assert yrd("audit", "asof", "--valid", "2026-06-01", "--known", now()) == 0
    assert "1 records of the logs are not in the base yet" in yrd.err


@pytest.mark.long
def test_a_difference_has_all_cells_for_programs_and_the_words_for_people(yrd: Yrd, tmp_path: Path) -> None:
    into = tmp_path / "diff.csv"
    assert yrd("audit", "diff", "2020-01-01", now(), "--format", "csv", "--output", into) == 0
    rows = list(csv.DictReader(into.read_text("utf-8").splitlines()))
    assert {r["change"] for r in rows} == {"appeared"} and all(r["event_after"] for r in rows) and len(rows) == 3
    assert yrd("audit", "diff", "2020-01-01", now(), "--valid", MAY) == 0
    assert "appeared" in yrd.out and "event_after" not in yrd.out
    assert json.loads(_out(yrd, "audit", "diff", now(), now(), "--json")) == []


def _out(yrd: Yrd, *arguments: object) -> str:
    assert yrd(*arguments) == 0, yrd.err
    return yrd.out


@pytest.mark.long
def test_a_comparison_ends_with_0_where_all_is_the_same_and_1_where_not(yrd: Yrd) -> None:
    assert "The base is what the logs add up to." in _out(yrd, "audit", "rebuild", "--compare")
    assert yrd.json("audit", "rebuild", "--compare", "--until", now())["same"] is True
    assert "content digest" in _out(yrd, "audit", "rebuild", "--until", "yrd.31=3")
    file = current(Home(yrd.home))
    assert file is not None
    with duckdb.connect(file) as base:
        base.execute("UPDATE supply_history SET phone = '9' WHERE version = 2")
    assert yrd("audit", "rebuild", "--compare") == 1
    assert "First difference in supply_history: entity_id " in yrd.out
    assert "version 2, phone: in the base '9', replayed '2'." in yrd.out
    tables = yrd.json("audit", "rebuild", "--compare", status=1)["tables"]
    assert [t["table"] for t in tables if t["difference"]] == ["supply_history"]
    assert file.exists() and current(Home(yrd.home)) == file


@pytest.mark.parametrize(
    "arguments",
    [
        ("asof", "--valid", "soon", "--known", "2026-01-01"),
        ("asof", "--valid", "2026-01-01", "--known", "yesterday"),
        ("asof", "--valid", "2026-01-01"),
        ("said", "half past nine"),
        ("said",),
        ("diff", "2026-01-02", "2026-01-01"),
        ("history",),
        ("rebuild", "--until", "soon", "--compare"),
    ],
)
def test_wrong_usage_is_status_2(yrd: Yrd, arguments: tuple[str, ...]) -> None:
    assert yrd("audit", *arguments) == 2 and "Traceback" not in yrd.err and yrd.out == ""


@pytest.mark.long
def test_a_purpose_comes_from_the_environment_too(yrd: Yrd, monkeypatch: pytest.MonkeyPatch) -> None:
    with (yrd.home / "yrd.toml").open("a") as file:
        file.write("purpose_required = true\n")
    for arguments in (("query", "SELECT 1"), ("audit", "history", "院000001"), ("quarantine", "list"), ("gaps", "list")):
        assert "requires a purpose" in yrd.failure(*arguments)
    monkeypatch.setenv("YRD_PURPOSE", "case 7")
    for arguments in (("query", "SELECT 1"), ("audit", "history", "院000001"), ("quarantine", "list"), ("gaps", "list")):
        assert yrd(*arguments) == 0, yrd.err
    assert {one["purpose"] for one in yrd.json("access", "list", "--limit", "4")} == {"case 7"}
