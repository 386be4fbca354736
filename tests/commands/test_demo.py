"""The demonstration: what it prints, that it says the same again, what it leaves, and what it refuses to replace."""

import re
import shlex
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import duckdb
import pytest

from connectors.commands.demo.demo import EXAMPLES, next_commands
from repository.registers.text import normalise
from tests.support.demonstration import Demonstration, said

pytestmark = pytest.mark.timeout(600)
INSURED = ("shanghai_employee_insured_2026-06.csv", "anhui_resident_insured_2026-06.jsonl")


@dataclass(frozen=True)
class Shown:
    """A demonstration that ran twice: its home, what it printed the second time, and the digests of both runs."""

    home: Path
    text: str
    digests: tuple[str, str]


@pytest.fixture(scope="module")
def shown(tmp_path_factory: pytest.TempPathFactory, demonstration: Demonstration) -> Shown:
    home = demonstration.copied_to(tmp_path_factory.mktemp("demonstration") / "demo")
    (home / "left").touch()
    status, second, errors = said(["demo", "--home", str(home)])
    assert (status, errors) == (0, "")
    return Shown(home, second, (digest(demonstration.text), digest(second)))


def digest(text: str) -> str:
    """The digest on its own line."""
    (found,) = re.findall(r"^content digest: ([0-9a-f]{64})$", text, re.MULTILINE)
    return str(found)


def row(shown: Shown, *begin: str) -> list[str]:
    """The one printed row whose cells begin with these."""
    rows = [cells for line in shown.text.splitlines() if (cells := line.split())[: len(begin)] == list(begin)]
    assert len(rows) == 1, (begin, rows)
    return rows[0]


def test_four_layouts_become_events(shown: Shown) -> None:
    assert row(shown, "31", "Shanghai", "csv,")[-5:] == ["12", "7", "1", "4", "7"]
    assert row(shown, "32", "Jiangsu", "csv,")[-5:] == ["11", "9", "0", "2", "9"]
    assert row(shown, "33", "Zhejiang", "workbook,")[-5:] == ["10", "9", "0", "1", "9"]
    assert row(shown, "34", "Anhui", "json,")[-5:] == ["8", "7", "0", "1", "7"]


@pytest.mark.parametrize(
    "where", ["shanghai line 8", "shanghai line 9", "shanghai line 10", "jiangsu line 12", "zhejiang line 13", "anhui line 5"]
)
def test_every_rejected_row_is_shown_with_its_line(shown: Shown, where: str) -> None:
    assert where in shown.text


def test_a_second_list_shows_only_what_changed(shown: Shown) -> None:
    changed = row(shown, "32", "Jiangsu", "2")
    unchanged = row(shown, "31", "Shanghai", "0")
    assert changed[2:] == ["2", "3", "5", "1", "7"]
    assert unchanged[2:] == ["0", "0", "7", "0", "0"]
    assert row(shown, "CapacityChanged")[2:] == ["capacity", "210", "260"]
    assert row(shown, "PriceChanged")[2:] == ["price", "3900", "4200"]
    assert row(shown, "ServicePointClosed")[2:] == ["status", "active", "closed"]
    assert row(shown, "EntityRenamed") == ["EntityRenamed", "示例蠡湖养老院"]


def test_beds_are_divided_by_the_people_aged_60_and_over(shown: Shown) -> None:
    assert row(shown, "上海市", "23,019,196")[1:] == ["23,019,196", "24,870,895", "5,815,462", "1,835", "0.32"]


def test_a_value_below_the_floor_is_found_only_since_the_floor_was_raised(shown: Shown) -> None:
    assert row(shown, "芜湖市", "寄宿生·小学")[2:] == ["1,000", "1,250", "2024-02-01", "250"]
    assert "On 2023-12-31, before the floor was raised: nowhere." in shown.text


def test_a_notice_is_cut_short_by_the_next_one(shown: Shown) -> None:
    assert row(shown, "2,305")[1:4] == ["2025-07-01", "2026-06-30", "2027-06-30"]
    assert "365 days early" in shown.text


def test_a_person_enrolled_twice_is_found_by_pseudonym(shown: Shown) -> None:
    pseudonyms = re.findall(r"^td0d9e086:[0-9a-f]+…  31 职工基本医疗保险  34 城乡居民基本医疗保险  2022-01-01$", shown.text, re.M)
    assert len(pseudonyms) == 1
    assert "7 enrolments of 6 persons" in shown.text


def test_a_correction_changes_what_is_known_and_not_what_was(shown: Shown) -> None:
    assert row(shown, "FactCorrected", "capacity")[1:4] == ["capacity", "2600", "260"]
    assert row(shown, "before", "the", "correction")[3:] == ["2,710", "3.77"]
    assert row(shown, "now")[1:] == ["370", "0.51"]


def test_every_import_is_balanced_and_a_replay_gives_the_same_base(shown: Shown) -> None:
    verdicts = re.findall(r"^3\d \w+ .* (\w+) *$|^00 standards .* (\w+) *$", shown.text, re.MULTILINE)
    assert {one or other for one, other in verdicts if (one or other).isalpha()} == {"balanced"}
    assert len(re.findall(r"balanced *$", shown.text, re.MULTILINE)) == 18
    assert "the same digest as before" in shown.text


def test_an_auditor_proves_the_decision_and_catches_a_forger(shown: Shown) -> None:
    # The last cells may be folded: on a narrow screen a sentence takes two lines.
    assert {"sealed,", "seal", "1"} <= set(row(shown, "FactCorrected", "33"))
    flowing = " ".join(shown.text.split())
    assert re.search(r"Proved: event [0-9a-f-]{36} is record (\d+) of the \1 of yrd/33\.", flowing)
    assert re.search(r"altered by a forger: Not proved: the event is not leaf \d+ of the tree that was sealed\.", flowing)


def test_a_resident_is_erased_and_the_log_still_proves_what_it_held(shown: Shown) -> None:
    assert row(shown, "before", "3")[1:] == ["3", "3"] and row(shown, "after", "3")[1:] == ["3", "2"]
    flowing = " ".join(shown.text.split())
    assert "the content digest is the same; the log still proves what it held" in flowing
    assert re.search(r"what it held: Proved: event [0-9a-f-]{36} is record \d+ of the \d+ of yrd/31\.", flowing)


def test_what_to_try_next_works(shown: Shown) -> None:
    commands = next_commands(shown.home)
    assert all(command in shown.text for command in commands)
    outcomes = {command: said(shlex.split(command)[1:]) for command in commands}
    assert {command: status for command, (status, _, _) in outcomes.items()} == dict.fromkeys(commands, 0)
    assert any("a heartbeat says so" in output for _, output, _ in outcomes.values())


def test_a_second_run_replaces_the_first_and_ends_with_the_same_digest(shown: Shown) -> None:
    assert shown.digests[0] == shown.digests[1]
    assert not (shown.home / "left").exists()


# -- persons -------------------------------------------------------------------------------------------------------


def identity_numbers() -> set[str]:
    """The numbers in the lists of insured persons, as a citizen's number is written."""
    text = "".join((EXAMPLES / name).read_text("utf-8") for name in INSURED)
    return set(re.findall(r"\d{17}[0-9X]", normalise(text).upper()))


def contents(home: Path) -> Iterator[bytes]:
    """Everything that a home holds: the bytes of its files, and every cell of its databases, which may be compressed."""
    for path in sorted(home.rglob("*")):
        if path.is_file():
            yield path.read_bytes()
        if path.suffix == ".sqlite":
            yield from _cells(path)
        elif path.suffix == ".duckdb":
            yield from _columns(path)


def _cells(path: Path) -> Iterator[bytes]:
    with closing(sqlite3.connect(path)) as connection:
        for (table,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall():
            for cells in connection.execute(f'SELECT * FROM "{table}"'):
                yield from (cell if isinstance(cell, bytes) else str(cell).encode() for cell in cells)


def _columns(path: Path) -> Iterator[bytes]:
    with duckdb.connect(str(path), read_only=True) as connection:
        tables = connection.execute("SELECT table_name FROM duckdb_tables() WHERE NOT temporary").fetchall()
        for (table,) in tables:
            yield from (str(cells).encode() for cells in connection.execute(f'SELECT * FROM "{table}"').fetchall())


@pytest.mark.long
def test_no_identity_number_is_in_any_file_of_the_home(shown: Shown) -> None:
    numbers = identity_numbers()
    everything = normalise(b"\n".join(contents(shown.home)).decode("utf-8", "replace")).upper()
    found = {number for number in numbers if number in everything}
    assert len(numbers) == 7
    assert not found
    # The same search finds what is there: a pseudonym, a name in a store, a rejected value.
    assert all(word in everything for word in ("TD0D9E086:", "示例梧桐养老院", "示例芙蓉养老院", "31****************"))


# -- what may be replaced ------------------------------------------------------------------------------------------


def test_a_folder_with_anything_else_is_refused_and_left_alone(tmp_path: Path) -> None:
    (tmp_path / "letter.txt").write_text("mine", "utf-8")
    status, _, errors = said(["demo", "--home", str(tmp_path)])
    assert status == 1
    assert "holds something else than an earlier demonstration" in errors
    assert [path.name for path in tmp_path.iterdir()] == ["letter.txt"]


def test_a_real_home_is_refused_and_left_alone(tmp_path: Path) -> None:
    said(["init", "--home", str(tmp_path)])
    before = sorted(path.name for path in tmp_path.iterdir())
    status, _, errors = said(["demo", "--home", str(tmp_path)])
    assert status == 1
    assert "name another folder with --home" in errors
    assert sorted(path.name for path in tmp_path.iterdir()) == before


def test_absent_examples_are_said_in_one_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("connectors.commands.demo.demo.EXAMPLES", tmp_path / "nowhere")
    status, _, errors = said(["demo", "--home", str(tmp_path / "demo")])
    assert status == 1
    assert "run it from a copy of the project's repository" in errors
    assert not (tmp_path / "demo").exists()
