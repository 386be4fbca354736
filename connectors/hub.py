"""The hub's work on the base, whoever owns it at the moment: a following process over its socket, or this one itself."""

import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict
from typing import Any

import pyarrow as pa

from connectors.base import Base, BaseDamaged, Progress, Rebuilt, opened, replace_damaged
from connectors.home import Home
from connectors.reads import Limits, NoServer, ReadRefused, query_connection
from connectors.reads_client import call, query
from connectors.reads_server import Operation, ReadServer
from projections.projector import content_digest
from projections.questions import macros
from repository.log import EmbeddedLog

Result = dict[str, object]
OWNER = "base"
"""Name of the lock that the owner of the base holds."""
ALIVE = "alive"


def read(home: Home, sql: str, parameters: Sequence[object] = (), granted: bool = False) -> pa.Table:
    """The result of one SELECT on the base. Raises ReadRefused with a sentence; never a lock error.

    `granted`: personal columns hold ciphertext, for `granted.revealed` to open; else they are NULL.

    Owners come and go: where one ends before it has answered, the next one is asked, or the base itself.
    """
    while True:
        try:
            return query(_socket(home), sql, parameters, granted=granted)
        except ReadRefused:
            if _serving(home):
                raise
        with home.lock(OWNER, "a query", lambda: _serving(home)) as held:
            if held:
                with home.stores() as stores, opened(home) as base:
                    base.foresee(EmbeddedLog(stores))
                    return query_connection(base.connection, sql, parameters, limits(home), macros=macros(), granted=granted)


def limits(home: Home) -> Limits:
    """The home's limits on readers."""
    s = home.settings
    return Limits(time_s=s.read_time_limit_s, rows=s.read_row_limit, readers=s.readers, wait_s=s.reader_wait_s)


def perform(home: Home, operation: str, **arguments: Any) -> Result:
    """An operation on the base (see OPERATIONS), by the process that owns it."""
    while True:
        with suppress(NoServer):
            return call(_socket(home), operation, **arguments)
        with home.lock(OWNER, operation, lambda: _serving(home)) as held:
            if held:
                with home.stores() as stores, opened(home) as base, _served(home, base, EmbeddedLog(stores)):
                    return OPERATIONS[operation](base, EmbeddedLog(stores), arguments)


def rebuild(home: Home, accept: bool, progress: Progress) -> Rebuilt:
    """Rebuild the base from the log, by its owner; also where its file can't be opened."""
    try:
        return Rebuilt(**call(_socket(home), "rebuild", accept=accept))  # type: ignore[arg-type]
    except NoServer:
        pass
    with home.lock(OWNER, "rebuilding"), home.stores() as stores:
        log = EmbeddedLog(stores)
        try:
            with opened(home) as base, _served(home, base, log):
                return base.rebuild(log, accept, progress)
        except BaseDamaged:
            return replace_damaged(home, log, progress)


def follow(home: Home, started: Callable[[], None], stop: threading.Event) -> None:
    """Own the base and apply what comes until `stop`. Raises Busy at once when another process owns it."""
    with home.lock(OWNER, "yrd project --follow", wait_s=1), home.stores(new_too=True) as stores, opened(home) as base:
        log = EmbeddedLog(stores)
        with _served(home, base, log):
            started()
            base.follow(log, stop)


def stopping_at_signals() -> threading.Event:
    """An event that SIGINT and SIGTERM set."""
    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda _number, _frame: stop.set())
    return stop


@contextmanager
def _served(home: Home, base: Base, log: EmbeddedLog) -> Iterator[None]:
    """The base served to readers while this process owns it."""
    wait_s = home.settings.lock_wait_s * 60.0

    def asked(operation: str) -> Callable[[Result], Result]:
        work = OPERATIONS[operation]
        return lambda arguments: _result(base.ask(lambda: work(base, log, arguments), wait_s))

    # Whether somebody serves is answered at once, also while the owner is in the middle of a batch.
    operations: dict[str, Operation] = {name: asked(name) for name in OPERATIONS} | {ALIVE: lambda _: {ALIVE: True}}
    base.foresee(log)
    server = ReadServer(_socket(home), base.cursor, operations, limits(home), macros=macros())
    server.start()
    try:
        yield
        # What was asked in the last moment is answered still.
        base.answer()
    finally:
        base.refuse()
        server.close()


def _result(value: Any) -> Result:
    assert isinstance(value, dict)
    return value


def _socket(home: Home) -> Any:
    return home.folder / "hub.sock"


def _serving(home: Home) -> bool:
    if not _socket(home).exists():
        return False
    try:
        call(_socket(home), ALIVE, timeout_s=5)
    except ReadRefused:
        # Nobody listens, or somebody who is ending.
        return False
    return True


# -- operations ----------------------------------------------------------------------------------------------------


def _project(base: Base, log: EmbeddedLog, _: Result) -> Result:
    return asdict(base.project(log)) | {"digest": content_digest(base.connection)}


def _rebuild(base: Base, log: EmbeddedLog, arguments: Result) -> Result:
    return asdict(base.rebuild(log, bool(arguments.get("accept"))))


def _status(base: Base, log: EmbeddedLog, _: Result) -> Result:
    checkpoints, ends = base.projector.checkpoints(), log.ends()
    partitions = [
        {
            "topic": t,
            "partition": p,
            "end": end,
            "checkpoint": (c := checkpoints.get((t, p))) and c.next_offset,
            "lag": end - (c.next_offset if c else 1),
        }
        for (t, p), end in sorted(ends.items())
    ]
    counts = {
        "quarantined": "SELECT count(*) FROM quarantine WHERE state = 'held'",
        "gaps": "SELECT count(*) FROM gaps",
        "duplicates": "SELECT coalesce(sum(records), 0)::BIGINT FROM duplicates",
        "service_objects": "SELECT count(DISTINCT entity_id) FROM service_object_timeline",
        "supplies": "SELECT count(DISTINCT entity_id) FROM supply_timeline",
        "standards": "SELECT count(DISTINCT entity_id) FROM standard_timeline",
    }
    found = {name: base.connection.execute(sql).fetchall()[0][0] for name, sql in counts.items()}
    return {"file": base.file.name, "partitions": partitions, **found, "digest": content_digest(base.connection)}


def _retry(base: Base, _: EmbeddedLog, __: Result) -> Result:
    return asdict(base.projector.retry())


def _skip(base: Base, _: EmbeddedLog, arguments: Result) -> Result:
    number, note = arguments["number"], arguments["reason"]
    changed = base.connection.execute(
        "UPDATE quarantine SET state = 'skipped', note = ? WHERE quarantine_no = ? AND state = 'held' RETURNING 1", [note, number]
    ).fetchall()
    if not changed:
        raise ValueError(f"No held record has the number {number}; list them with `yrd quarantine list`.")
    return {"skipped": number}


def _skip_gap(base: Base, _: EmbeddedLog, arguments: Result) -> Result:
    given = [arguments["entity"], arguments["version"], arguments["reason"]]
    changed = base.connection.execute(
        "INSERT INTO skipped_gaps SELECT entity_id, version, $3 FROM gaps "
        "WHERE entity_id::VARCHAR = $1 AND version = $2 RETURNING 1",
        given,
    ).fetchall()
    if not changed:
        raise ValueError(f"No version {given[1]} of {given[0]} is missing; list the gaps with `yrd gaps list`.")
    return {"skipped": arguments["entity"], "version": arguments["version"]}


OPERATIONS: dict[str, Callable[[Base, EmbeddedLog, Result], Result]] = {
    "project": _project,
    "rebuild": _rebuild,
    "status": _status,
    "quarantine_retry": _retry,
    "quarantine_skip": _skip,
    "gap_skip": _skip_gap,
}
