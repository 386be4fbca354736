"""A small region for a test: a home, a source profile of nursing homes, dumps of it, and the command line run for real."""

import json
import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from connectors.command_line import run
from connectors.home.folder import Home
from connectors.hub import hub
from connectors.persons.recording import Persons, persons
from connectors.profiles.profile import Profile, load
from connectors.publishing.importing import Imported, import_dump
from repository.events.encoding import decode
from tests.support.project import ROOT
from tests.support.waiting import PATIENCE_S, eventually

YRD = (sys.executable, "-m", "connectors.command_line")
DIES_WITH_US = ("setpriv", "--pdeathsig", "KILL") if shutil.which("setpriv") else ()
"""Before a command that does not end by itself: it is killed when the test process is gone, however that came."""
MAY, JUNE, JULY = date(2026, 5, 1), date(2026, 6, 1), date(2026, 7, 1)
BEDS = "offers[YRD050101].capacity"
PROFILE = """
kind = "supply"
source = "register of homes"
scope = "nursing homes of the test region"
completeness = "{completeness}"
max_closures = {max_closures}
expected_every = 30
key = ["名称"]
nulls = ["不详"]
{top}
[fields]
provider_name = "名称"
category = {{ constant = "nursing_home" }}
phone = "电话"
"offers[YRD050101].capacity" = "床位"
"offers[YRD050101].unit" = {{ constant = "bed" }}
{fields}
[valid]
{valid}
"""
Row = Sequence[object]


def region(folder: Path, synthetic: bool = False, **settings: int | str) -> Home:
    """A home of all members in `folder`; `settings` are written into its yrd.toml."""
    home = Home.create(folder / "region", ("00", "31", "32", "33", "34"), synthetic)
    with (home.folder / "yrd.toml").open("a") as file:
        file.writelines(f"{name} = {json.dumps(value)}\n" for name, value in settings.items())
    return Home(home.folder)


def profile(
    folder: Path,
    completeness: str = "partial",
    max_closures: float = 1,
    top: str = "",
    fields: str = "",
    valid: str = 'from = "as_of"',
    name: str = "homes",
) -> Profile:
    """A source profile of nursing homes with the columns 名称, 电话 and 床位, and what else is asked for."""
    path = folder / f"{name}.toml"
    text = PROFILE.format(completeness=completeness, max_closures=max_closures, top=top, fields=fields, valid=valid)
    path.write_text(text, "utf-8")
    return load(path)


def dump(folder: Path, rows: Iterable[Row], columns: str = "名称,电话,床位", name: str = "homes.csv") -> Path:
    """A csv dump; None is an empty cell."""
    path = folder / name
    lines = [",".join("" if cell is None else str(cell) for cell in row) for row in rows]
    path.write_text("\n".join([columns, *lines]) + "\n", "utf-8")
    return path


def many(folder: Path, number: int, phone: str = "1", name: str = "homes.csv") -> Path:
    """A dump of `number` homes."""
    return dump(folder, ((f"院{i:06}", phone, i % 300) for i in range(number)), name=name)


def imported(home: Home, source: Profile, path: Path, publisher: str = "31", as_of: date | None = MAY, **rest: Any) -> Imported:
    """The outcome of importing a dump; what it counts adds up."""
    done = import_dump(home, source, path, publisher, as_of, **rest)
    counts = done.counts
    assert counts.rows_read == counts.rows_mapped + counts.rows_rejected + counts.rows_skipped
    assert counts.events == sum(counts.events_by_type.values())
    return done


@contextmanager
def publishing(home: Home, publisher: str = "31") -> Iterator[Persons]:
    """The store of a publisher, opened to record in it, persons too."""
    with home.store(publisher) as store, persons(home, store) as opened:
        yield opened


def recorded(home: Home, publisher: str = "31") -> list[dict[str, Any]]:
    """All events of a publisher's store in order, batch records too, each with its `kind`."""
    with home.store(publisher) as store:
        states = [n.state for n in store.notifications(0, 1_000_000)]
    return [{"kind": kind, **record} for kind, record in map(decode, states)]


def facts(home: Home, publisher: str = "31") -> list[dict[str, Any]]:
    """The recorded events without batch records."""
    return [e for e in recorded(home, publisher) if e["kind"] != "batch"]


def told(home: Home, publisher: str = "31") -> list[tuple[str, str]]:
    """(business key, event type) of the recorded events, in order."""
    return [(e["business_key"], e["event_type"]) for e in facts(home, publisher)]


def projected(home: Home) -> dict[str, Any]:
    """Bring the base up to date; what was applied and the content digest."""
    return hub.perform(home, "project")


def asked(home: Home, sql: str) -> list[dict[str, Any]]:
    """The rows of a query on the base."""
    return list(hub.read(home, sql).to_pylist())


# -- the command line ----------------------------------------------------------------------------------------------


def environment(**more: str) -> dict[str, str]:
    """The environment of a command: no setting of the tester's own, and the project on the path."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith("YRD_")}
    return clean | {"PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1"} | more


def command(home: Home, *arguments: object, **options: Any) -> subprocess.CompletedProcess[str]:
    """One command in a process of its own, run to its end."""
    given = [*YRD, *map(str, arguments), "--home", str(home.folder)]
    return subprocess.run(given, capture_output=True, text=True, env=environment(), timeout=PATIENCE_S, check=False, **options)


def begun(home: Home, *arguments: object) -> subprocess.Popen[str]:
    """One command in a process of its own, under way."""
    given = [*DIES_WITH_US, *YRD, *map(str, arguments), "--home", str(home.folder)]
    return subprocess.Popen(given, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment())


@contextmanager
def following(home: Home, *arguments: object) -> Any:
    """A following projector in a process of its own, ready to answer; killed at the end where it still runs.

    `arguments`: another command that follows.
    """
    process = begun(home, *(arguments or ("project", "--follow")))
    assert process.stderr is not None
    try:
        line = process.stderr.readline()
        assert "end with Ctrl-C" in line, line + process.stderr.read()
        yield process
    finally:
        if process.poll() is None:
            process.kill()
        process.communicate(timeout=PATIENCE_S)


@contextmanager
def followed(home: Home) -> Iterator[None]:
    """A following projector in this process, ready to answer, where it is not the point that it is another one."""
    started, stop = threading.Event(), threading.Event()
    follower = threading.Thread(target=hub.follow, args=(home, started.set, stop))
    follower.start()
    try:
        eventually(lambda: started.is_set() or not follower.is_alive())
        yield
    finally:
        stop.set()
        follower.join()


class Yrd:
    """The command line in this process: `yrd("import", ...)` gives the exit status; `out` and `err` what was printed."""

    def __init__(self, home: Path, capture: pytest.CaptureFixture[str]) -> None:
        self.home, self.capture, self.out, self.err = home, capture, "", ""

    def __call__(self, *arguments: object, home: bool = True) -> int:
        self.capture.readouterr()
        status = run([*map(str, arguments), *(["--home", str(self.home)] if home else [])])
        self.out, self.err = self.capture.readouterr()
        return status

    def json(self, *arguments: object, status: int = 0) -> Any:
        """What a command prints with --json: one value and nothing else."""
        assert self(*arguments, "--json") == status, self.err
        return json.loads(self.out)

    def failure(self, *arguments: object, home: bool = True) -> str:
        """The one sentence of a command that fails."""
        assert self(*arguments, home=home) == 1, (self.out, self.err)
        assert self.err.count("\n") == 1 and self.err.startswith("yrd: ") and "Traceback" not in self.err, self.err
        return self.err


def said(row: Mapping[str, Any], names: str) -> tuple[Any, ...]:
    """The named cells of a row; names are separated by blanks."""
    return tuple(row[name] for name in names.split())
