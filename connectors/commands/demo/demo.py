"""`yrd demo`: from the dumps of four provinces to answers across the region, in a home of its own.

Every step asks a question, does what the commands do, by the same functions, and prints what came of it. Dumps, profiles
and days are fixed, so that the content digest at the end is the same on every machine.
"""

import shlex
import shutil
import sys
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Annotated, Any

import typer

from connectors.commands.demo import audit, kafka, questions
from connectors.commands.options import LogOption
from connectors.commands.printing import out, print_table
from connectors.home.folder import Home
from connectors.home.regional_key import tokeniser
from connectors.home.settings import choice
from connectors.hub import hub
from connectors.hub.base_operations import Result
from connectors.hub.owner import BASE_LOCK
from connectors.persons.recording import persons
from connectors.profiles.profile import load
from connectors.publishing.importing import Imported, import_dump
from connectors.publishing.reporting import correct_fact, shown_event

EXAMPLES = Path(__file__).resolve().parents[3] / "examples"
MARK = "made-by-yrd-demo"
"""A file in the home that says that the demonstration made it, and so may replace it."""

NAMES = {"00": "regional office", "31": "Shanghai", "32": "Jiangsu", "33": "Zhejiang", "34": "Anhui"}
JUNE, JULY = date(2026, 6, 30), date(2026, 7, 31)
JIANGSU, JIANGSU_JULY = "jiangsu_homes_2026-06.csv", "jiangsu_homes_2026-07.csv"
SHANGHAI = "shanghai_homes_2026-06.csv"
LONGEST_CELL = 24


@dataclass(frozen=True, slots=True)
class Delivery:
    """A dump that a publisher hands in: the profile that reads it, the file, and its layout in words."""

    publisher: str
    profile: str
    file: str
    layout: str = ""
    as_of: date = JUNE


HOMES = (
    Delivery("31", "shanghai_homes", SHANGHAI, "csv, UTF-8 with mark"),
    Delivery("32", "jiangsu_homes", JIANGSU, "csv, GBK"),
    Delivery("33", "zhejiang_homes", "zhejiang_homes_2026-06.xlsx", "workbook, header in row 3"),
    Delivery("34", "anhui_homes", "anhui_homes_2026-06.json", "json, homes inside cities"),
)
A_MONTH_LATER = (
    Delivery("32", "jiangsu_homes", JIANGSU_JULY, as_of=JULY),
    Delivery("31", "shanghai_homes", SHANGHAI, as_of=JULY),
)
POPULATION = tuple(Delivery(code, "population", "population_2010_2020.csv") for code in ("31", "32", "33", "34"))
STANDARDS = (
    Delivery("00", "standards", "standards_national.csv"),
    *(Delivery(code, "standards", "standards_local.csv") for code in ("31", "32", "33", "34")),
    Delivery("31", "standards", "standards_shanghai_unemployment.csv"),
)
INSURED = (
    Delivery("31", "shanghai_insured", "shanghai_employee_insured_2026-06.csv"),
    Delivery("34", "anhui_insured", "anhui_resident_insured_2026-06.jsonl"),
)
MISTYPED = "ZJ-08"
BEDS = "offers[YRD050101].capacity"


def demo(
    home: Annotated[Path, typer.Option("--home", help="Folder to make; an earlier demonstration there is replaced.")] = Path(
        "var/demo"
    ),
    log: LogOption = None,
) -> None:
    """Show on invented data how dumps become events, and events answers across provinces."""
    if not EXAMPLES.is_dir():
        raise ValueError(f"The dumps of the demonstration are not at {EXAMPLES}; run it from a copy of the project's repository.")
    made = _fresh(home, log)
    out.print(f"Four provinces and the regional office, in {home}. All homes and persons are invented.")
    with kafka.running(made) if made.settings.log == "kafka" else nullcontext():
        for step in STEPS:
            step(made)
        out.print(f"\ncontent digest: {_project(made)['digest']}", soft_wrap=True)
    out.print("\n[bold]What to try next[/bold]")
    for command in next_commands(home, made.settings.log):
        out.print(f"  {command}", soft_wrap=True, markup=False)


def next_commands(home: Path, log: str = "embedded") -> list[str]:
    """Commands that work on the home which the demonstration leaves."""
    here = Path.cwd()
    examples = EXAMPLES.relative_to(here) if EXAMPLES.is_relative_to(here) else EXAMPLES
    july = [
        str(examples / "profiles" / "jiangsu_homes.toml"),
        str(examples / JIANGSU_JULY),
        "--publisher",
        "32",
        "--as-of",
        str(JULY),
    ]
    commands = (
        ["query", "SELECT name, question FROM catalogue"],
        ["query", "FROM change_log('无锡市|示例蠡湖养老院')", "--format", "json"],
        ["query", "FROM standards_in_force('2026-06-30', NULL)", "--format", "csv"],
        ["rejections", "--publisher", "31"],
        ["import", *july],
        ["status"],
    )
    # What asks the base asks the log first, and the brokers that the demonstration ran beside may be gone.
    offered = [command for command in commands if log == "embedded" or command[0] not in ("query", "status")]
    return [" ".join(map(_quoted, [_program(), *command, "--home", str(home)])) for command in offered]


def _program() -> str:
    """How the command is called here: by name where the shell finds it, else as it lies beside this Python."""
    beside = Path(sys.executable).with_name("yrd")
    if shutil.which("yrd") or not beside.exists():
        return "yrd"
    return str(beside.relative_to(Path.cwd()) if beside.is_relative_to(Path.cwd()) else beside)


def _quoted(word: str) -> str:
    """A word for the shell; text with single quotes, as SQL has them, in double ones, where that is safe."""
    return f'"{word}"' if "'" in word and not set(word) & set('"$`\\!') else shlex.quote(word)


# -- the home ------------------------------------------------------------------------------------------------------


def _fresh(folder: Path, log: str | None) -> Home:
    """A new synthetic home, reading from `log` where one is named.

    Raises ValueError where the folder holds anything but an earlier demonstration.
    """
    if folder.exists() and any(folder.iterdir()):
        _remove(folder)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / MARK).write_text("The demonstration made this folder, and replaces it when it runs again.\n", "utf-8")
    Home.create(folder, tuple(NAMES), synthetic=True)
    if log is not None:
        with (folder / "yrd.toml").open("a", encoding="utf-8") as settings:
            settings.write(f'log = "{choice("log", log)}"\n')
    home = Home(folder)
    if home.settings.store_url or not home.settings.synthetic:
        raise ValueError(
            "The demonstration needs a synthetic home with stores of its own; unset YRD_STORE_URL and YRD_SYNTHETIC."
        )
    return home


def _remove(folder: Path) -> None:
    ours = (folder / MARK).is_file() and not folder.is_symlink()
    if not ours or ((folder / "yrd.toml").exists() and not Home(folder).settings.synthetic):
        raise ValueError(f"{folder} holds something else than an earlier demonstration; name another folder with --home.")
    if (folder / "yrd.toml").exists():
        # Whoever follows this home is told to end first.
        with Home(folder).lock(BASE_LOCK, "the demonstration", wait_s=0):
            pass
    shutil.rmtree(folder)


# -- steps ---------------------------------------------------------------------------------------------------------


def _four_layouts(home: Home) -> None:
    _question("1. Four lists of nursing homes, four layouts: what came of their rows?")
    done = _import(home, HOMES)
    rows = [
        (_named(d.publisher), d.layout, c.rows_read, c.facts_new, c.facts_duplicate, c.rows_rejected + c.facts_rejected, c.events)
        for d, c in ((delivery, each.counts) for delivery, each in zip(HOMES, done, strict=True))
    ]
    print_table("", ("publisher", "layout", "rows", "homes", "repeated", "rejected", "events"), rows)
    _question("Which rows were not accepted, and why?")
    _rejections(done)
    _project(home)
    for name, flags, beds_unknown in _rows(home, questions.DOUBTED)[1]:
        doubts = [*flags, *(["beds unknown, which is not 0"] if beds_unknown else [])]
        out.print(f"Kept all the same: {name} ({', '.join(doubts)}).")
    _question("Someone insured in Shanghai looks elsewhere: where are beds free, and bills settled on the spot?")
    _answer(home, questions.FREE_ELSEWHERE)


def _a_month_later(home: Home) -> None:
    _question("2. A month later two lists come again: what is new?")
    done = _import(home, A_MONTH_LATER)
    counted = ("facts_new", "facts_changed", "facts_unchanged", "closed", "events")
    rows = [(_named(each.publisher), *(getattr(each.counts, name) for name in counted)) for each in done]
    print_table("", ("publisher", "new", "changed", "unchanged", "no longer listed", "events"), rows)
    for each in (each for each in done if not each.counts.events):
        out.print(f"{_named(each.publisher)} has nothing new: no event, and a heartbeat that says so.")
    _project(home)
    _question("What happened in Jiangsu, and what was before?")
    changed = hub.read(home, questions.CHANGED_BY, [str(done[0].batch_id)]).column(0).to_pylist()
    events = [row for entity in changed for row in _rows(home, questions.CHANGES_OF, [entity])[1]]
    print_table("", ("event", "home", "field", "before", "after"), sorted(events, key=lambda row: (str(row[0]), str(row[1]))))


def _per_1000(home: Home) -> None:
    _question("3. How many beds are there for 1,000 people aged 60 and over?")
    _import(home, POPULATION)
    _project(home)
    cities = _answer(home, questions.BEDS)
    out.print(f"People: censuses. Beds: the invented lists, hence so few. {cities[0][0]} stands out; step 6 comes back to it.")


def _standards(home: Home) -> None:
    _question("4. Where is a local standard below the national floor? (boarding subsidy, CNY a year, local values invented)")
    _import(home, STANDARDS)
    _project(home)
    _answer(home, questions.BELOW_FLOOR, ["2026-06-30"])
    before = _rows(home, questions.BELOW_FLOOR, ["2023-12-31"])[1]
    out.print(f"On 2023-12-31, before the floor was raised: {len(before) or 'nowhere'}.")
    _question("What does each city promise, and how far is that from the median?")
    _answer(home, questions.BY_CITY)
    _question("Which unemployment benefit does Shanghai pay in months 1 to 12, by which document? (public notices)")
    _answer(home, questions.UNEMPLOYMENT_BENEFIT)
    for document, stated, held, days, successor in _rows(home, questions.CUT_SHORT)[1]:
        out.print(f"{document} says it holds until {stated}; {successor} ended it on {held}, {days} days early.")


def _enrolled_twice(home: Home) -> None:
    _question("5. Is anybody insured in two provinces at once?")
    done = _import(home, INSURED)
    _project(home)
    _answer(home, questions.ENROLLED_TWICE)
    ((enrolments, persons),) = _rows(home, questions.PERSONS)[1]
    out.print(f"{enrolments} enrolments of {persons} persons, under pseudonyms; no identity number is in events or base.")
    _rejections(done)


def _correction(home: Home) -> None:
    _question("6. In Huzhou 湖州市 a number was mistyped: what if it is corrected?")
    before = hub.read(home, questions.MOMENT).column(0).to_pylist()[0]
    with home.store("33") as store, persons(home, store) as known:
        entity = store.entity("supply", MISTYPED)
        wrong = shown_event(entity, JUNE)
        correct_fact(known, entity, wrong, {BEDS: 260}, "33 registry desk", "one nought too many was typed")
    _project(home)
    _answer(home, questions.CORRECTION, [MISTYPED])
    _question("What did the base say of Huzhou before, and what does it say now?")
    said = [("before the correction", *_rows(home, questions.BEDS_OF_HUZHOU, [before])[1][0])]
    said.append(("now", *_rows(home, questions.BEDS_OF_HUZHOU, [None])[1][0]))
    print_table("", ("as known", "beds", "beds per 1,000"), said)


def _proofs(home: Home) -> None:
    _question("7. Did everything that the imports recorded arrive?")
    _answer(home, questions.RECONCILED)
    _question("Which sources are fresh, and which had nothing new?")
    _answer(home, questions.FRESHNESS)
    _question("Is the base no more than what the logs add up to?")
    again = hub.rebuild(home, False, lambda _number: None)
    verdict = "the same digest as before" if again.old_digest == again.new_digest else "ANOTHER digest than before"
    out.print(f"{again.events} events replayed into a new file: {verdict}.")


def _auditor(home: Home) -> None:
    _question("8. An auditor trusts nobody: is the decision of step 6 in the log that Zhejiang signed?")
    audit.auditors_minute(home, MISTYPED, _project)


STEPS: tuple[Callable[[Home], None], ...] = (
    _four_layouts,
    _a_month_later,
    _per_1000,
    _standards,
    _enrolled_twice,
    _correction,
    _proofs,
    _auditor,
)


# -- doing and printing --------------------------------------------------------------------------------------------


def _import(home: Home, deliveries: tuple[Delivery, ...]) -> list[Imported]:
    tokens = tokeniser(home)
    return [
        import_dump(home, load(EXAMPLES / "profiles" / f"{d.profile}.toml"), EXAMPLES / d.file, d.publisher, d.as_of, tokens)
        for d in deliveries
    ]


def _project(home: Home) -> Result:
    if home.settings.log == "kafka":
        kafka.wait_for_relays(home)
    done = hub.perform(home, "project")
    held = hub.read(home, "SELECT count(*) FROM quarantine WHERE state = 'held'").column(0).to_pylist()[0]
    if held:
        raise ValueError(
            f"{held} records could not be applied, so the rest would be wrong; see `yrd quarantine list --home {home.folder}`."
        )
    return done


def _rows(home: Home, sql: str, parameters: list[Any] | None = None) -> tuple[list[str], list[tuple[Any, ...]]]:
    """Column names and rows of one query."""
    found = hub.read(home, sql, parameters or [])
    return found.column_names, [tuple(row.values()) for row in found.to_pylist()]


def _answer(home: Home, sql: str, parameters: list[Any] | None = None) -> list[tuple[Any, ...]]:
    """Print what one query answers; its rows."""
    columns, rows = _rows(home, sql, parameters)
    print_table("", columns, rows)
    return rows


def _rejections(done: list[Imported]) -> None:
    rows = [
        (f"{r.file_name.partition('_')[0]} line {r.line}", f"{_short(f'{r.column} {r.value}'.strip())}: {r.reason}")
        for each in done
        for r in sorted(each.rejected, key=lambda r: r.record)
    ]
    print_table("", ("where", "what and why"), rows)


def _short(cell: str) -> str:
    return cell if len(cell) <= LONGEST_CELL else f"{cell[:LONGEST_CELL]}…"


def _named(publisher: str) -> str:
    return f"{publisher} {NAMES[publisher]}"


def _question(words: str) -> None:
    out.print(f"\n[bold]{words}[/bold]")
