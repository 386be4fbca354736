"""The scenarios: each does one piece of work on a folder and a size, and returns what it found."""

import os
import shutil
import threading
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import duckdb
import pyarrow.csv

from benchmarks.dumps import write_dump, write_profile
from benchmarks.timing import Work
from connectors.access import log as access_records
from connectors.audit import replays
from connectors.home.databases import connect
from connectors.home.folder import Home
from connectors.hub import hub
from connectors.persons.recording import Persons, persons
from connectors.profiles.profile import load
from connectors.publishing.importing import import_dump
from connectors.publishing.known_facts import known
from connectors.publishing.reporting import report_lines
from projections import tables
from projections.decoding import _current, _read
from projections.projector import Projector
from projections.reading_ahead import read_ahead
from repository.events.encoding import writer_of
from repository.store.log import EmbeddedLog

CODE = "33"
BATCH = 50_000
Said = Mapping[str, Any]


def home_of(folder: Path, fresh: bool = False) -> Home:
    """The home that the scenarios of one run share."""
    path = folder / "home"
    if fresh:
        shutil.rmtree(path, ignore_errors=True)
    return Home(path) if (path / "yrd.toml").exists() else Home.create(path, (CODE,), synthetic=False)


def _import(folder: Path, size: int, encoding: str = "utf-8", changed_every: int = 0, fresh: bool = False) -> Said:
    dump = write_dump(folder, size, encoding, changed_every)
    home, profile = home_of(folder, fresh), load(write_profile(folder, encoding))
    started = time.perf_counter()
    done = import_dump(home, profile, dump, CODE)
    return {"wall_s": time.perf_counter() - started, "events": done.counts.events, "unchanged": done.counts.facts_unchanged}


def first_import(folder: Path, size: int) -> Said:
    """The first import of a dump."""
    return _import(folder, size, fresh=True)


def catch_up(folder: Path, _size: int) -> Said:
    """What the publisher knows brought up to date."""
    home = home_of(folder)
    started = time.perf_counter()
    with home.store(CODE) as store, known(home, store) as connection:
        events = connection.execute("SELECT count(*) FROM supply_history").fetchall()[0][0]
    return {"wall_s": time.perf_counter() - started, "events": events}


def again(folder: Path, size: int) -> Said:
    """The same dump once more, in UTF-8."""
    return _import(folder, size)


def again_gbk(folder: Path, size: int) -> Said:
    """The same dump once more, in GB 18030."""
    return _import(folder, size, encoding="gb18030")


def one_percent_changed(folder: Path, size: int) -> Said:
    """A dump of which every hundredth row has changed."""
    return _import(folder, size, changed_every=100)


def bare_read(folder: Path, size: int) -> Said:
    """Baseline of an import: the bytes read and split into columns of text, nothing else."""
    dump = write_dump(folder, size)
    started = time.perf_counter()
    rows = sum(batch.num_rows for batch in pyarrow.csv.open_csv(dump))
    return {"wall_s": time.perf_counter() - started, "rows": rows}


# -- projecting ----------------------------------------------------------------------------------------------------


def _empty(folder: Path, home: Home, name: str) -> duckdb.DuckDBPyConnection:
    path = folder / f"{name}.duckdb"
    for leftover in (path, Path(f"{path}.wal")):
        leftover.unlink(missing_ok=True)
    connection = connect(home, path)
    tables.create(connection)
    return connection


def bare_projection(folder: Path, _size: int) -> Said:
    """Baseline of projecting: select notifications, decode in columns, append to one table, commit per batch."""
    home = home_of(folder)
    connection = _empty(folder, home, "bare")
    cells = ", ".join(f'"{n}"::{t} AS "{n}"' for n, t in tables.columns("supply").items() if n not in tables.PLACE)
    place = "'yrd.33' AS topic, 0 AS partition, 0 AS position, recorded_at AS received_at, 0 AS event_hash"
    events, position = 0, 0
    with home.store(CODE) as store:
        started = time.perf_counter()
        while notifications := store.notifications(position, BATCH):
            position = notifications[-1].id
            frame = _decoded([n.state for n in notifications])
            if frame is None:
                continue
            connection.execute("BEGIN TRANSACTION")
            connection.register("arriving", frame.to_arrow())
            connection.execute(f"INSERT INTO supply_history SELECT {cells}, {place} FROM arriving")
            connection.unregister("arriving")
            connection.execute("COMMIT")
            events += frame.height
    return {"wall_s": time.perf_counter() - started, "events": events}


def _decoded(values: list[bytes]) -> Any:
    """Columns without any check: what the fast reader gives, trusted."""
    supplies = [v for v in values if writer_of(v).kind == "supply"]
    if not supplies:
        return None
    frame = _read(writer_of(supplies[0]), supplies)
    return frame if frame is None else _current(writer_of(supplies[0]), frame)


def projection(folder: Path, _size: int) -> Said:
    """Projecting a publisher's whole log into an empty base."""
    home = home_of(folder)
    connection = _empty(folder, home, "projected")
    events = 0
    with home.store(CODE) as store:
        projector = Projector(connection, {CODE})
        started = time.perf_counter()
        for batch in read_ahead(projector, EmbeddedLog([store]), BATCH):
            events += projector.apply_prepared(batch, datetime.now(UTC)).events
        wall = time.perf_counter() - started
    connection.close()
    return {"wall_s": wall, "events": events}


# -- reading -------------------------------------------------------------------------------------------------------


def visible(folder: Path, size: int) -> Said:
    """How long after its commit one reported event is visible to a query, under a following projector; `size` times."""
    home = home_of(folder / "following", fresh=True)
    stop, started = threading.Event(), threading.Event()
    follower = threading.Thread(target=hub.follow, args=(home, started.set, stop))
    with home.store(CODE) as store, persons(home, store) as known_persons:
        list(
            report_lines(known_persons, "supply", ['{"business_key": "warm", "valid_from": "2026-01-01", "grade": "1"}'], "live")
        )
        follower.start()
        started.wait()
        waits = [_until_visible(home, known_persons, n) for n in range(size)]
    stop.set()
    follower.join()
    ordered = sorted(waits)
    return {"p50_ms": ordered[len(ordered) // 2] * 1000, "p99_ms": ordered[int(len(ordered) * 0.99)] * 1000}


def _until_visible(home: Home, known_persons: Persons, number: int) -> float:
    line = f'{{"business_key": "point {number}", "valid_from": "2026-01-01", "grade": "1"}}'
    list(report_lines(known_persons, "supply", [line], "live"))
    committed = time.perf_counter()
    sql = f"SELECT count(*) FROM supply_timeline WHERE business_key = 'point {number}'"
    while not hub.read(home, sql).column(0)[0].as_py():
        time.sleep(0.002)
    return time.perf_counter() - committed


def long_history(folder: Path, size: int) -> Said:
    """Questions over a history of `size` rows, made of the projected base by repeating it under other identities."""
    home = home_of(folder)
    connection = connect(home, folder / "projected.duckdb")
    rows = connection.execute("SELECT count(*) FROM supply_history").fetchall()[0][0]
    while rows < size:
        for table in ("supply_history", "supply_timeline"):
            other = "SELECT * REPLACE (uuid() AS event_id, uuid() AS entity_id)"
            connection.execute(f"INSERT INTO {table} {other} FROM {table} LIMIT {min(rows, size - rows)}")
        rows = connection.execute("SELECT count(*) FROM supply_history").fetchall()[0][0]
    connection.execute("CHECKPOINT")
    grouped = "SELECT division_code[1:4], category, count(*), count(DISTINCT publisher) FROM"
    return {
        "rows": rows,
        "current_ms": _best_ms(connection, f"{grouped} supply_current GROUP BY ALL"),
        "asof_now_ms": _best_ms(connection, f"{grouped} supply_asof('2026-06-01', NULL) GROUP BY ALL"),
        "asof_known_ms": _best_ms(connection, f"{grouped} supply_asof('2026-06-01', now()) GROUP BY ALL"),
    }


def _best_ms(connection: duckdb.DuckDBPyConnection, sql: str, times: int = 3) -> float:
    taken = []
    for _ in range(times):
        started = time.perf_counter()
        connection.execute(sql).fetchall()
        taken.append((time.perf_counter() - started) * 1000)
    return min(taken)


# -- auditing ------------------------------------------------------------------------------------------------------


def audit_asof(folder: Path, _size: int) -> Said:
    """What the logs hold about a day, of every entity, written to a DuckDB file by the auditor's process."""
    home, into = home_of(folder), folder / "asof.duckdb"
    into.unlink(missing_ok=True)
    hub.perform(home, "project")
    known_at = datetime.now(UTC).isoformat()
    started = time.perf_counter()
    found = replays.asof(home, "2026-06-01", known_at, into)
    return {"wall_s": time.perf_counter() - started, "rows": found.rows["supply"], "mib": into.stat().st_size >> 20}


def access_log(folder: Path, size: int) -> Said:
    """What recording costs: a query admitted and recorded before and after, `size` times, without the query."""
    home, sql = home_of(folder), "SELECT site_name FROM supply_asof('2026-06-01', NULL) WHERE phone = '021-0' LIMIT 5"
    with access_records.opened(home) as log:
        started = time.perf_counter()
        for _ in range(size):
            with log.asked(os.getuid(), {"op": "query", "sql": sql}) as noted:
                noted.answered(0, ["site_name"])
        wall = time.perf_counter() - started
    return {"wall_s": wall, "each_ms": wall / size * 1000}


SCENARIOS: dict[str, Work] = {
    work.__name__: work
    for work in (
        bare_read,
        first_import,
        catch_up,
        again,
        again_gbk,
        one_percent_changed,
        bare_projection,
        projection,
        visible,
        long_history,
        audit_asof,
        access_log,
    )
}
