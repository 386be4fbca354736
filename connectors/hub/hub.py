"""The hub's work on the base, whoever owns it at the moment: a following process over its socket, or this one itself."""

import os
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import partial
from typing import Any

import pyarrow as pa

from connectors.access import log as access_log
from connectors.access import reading as access_reading
from connectors.access.refused import ReadRefused
from connectors.base.base import Base, opened
from connectors.base.files import BaseDamaged, Progress, Rebuilt, replace_damaged
from connectors.base.pulse import Pulse, Tell
from connectors.home.folder import Home
from connectors.home.roles import require
from connectors.hub import metrics
from connectors.hub.base_operations import OPERATIONS, Result
from connectors.hub.following_seals import sealing
from connectors.logs.opened import opened_log
from connectors.reading.client import call, query
from connectors.reading.client import export as take_export
from connectors.reading.exports import Positions, Take, exporting
from connectors.reading.query import Limits, NoServer, query_connection
from connectors.reading.server import Operation, ReadServer
from projections.audit_tables import PARTS
from projections.questions import macros
from repository.store.log import Log

OWNER = "base"
"""Name of the lock that the owner of the base holds."""
ALIVE = "alive"


def read(home: Home, sql: str, parameters: Sequence[object] = (), purpose: str | None = None, granted: bool = False) -> pa.Table:
    """The result of one SELECT on the base. Raises ReadRefused with a sentence; never a lock error.

    Owners come and go: where one ends before it has answered, the next one is asked, or the base itself. Whoever answers
    records in the access log who asked, and for what `purpose`. `granted`: personal columns hold ciphertext, for
    `granted.revealed` to open; else they are NULL.
    """
    while True:
        try:
            return query(_socket(home), sql, parameters, purpose=purpose, granted=granted)
        except ReadRefused:
            if serving(home):
                raise
        with home.lock(OWNER, "a query", lambda: serving(home)) as held:
            if held:
                with opened_log(home) as log, opened(home) as base, access_log.opened(home, base.cursor) as accesses:
                    base.foresee(log)
                    with accesses.asked(os.getuid(), {"op": "query", "sql": sql, "purpose": purpose}) as noted:
                        found = query_connection(base.connection, sql, parameters, limits(home), macros=macros(), granted=granted)
                        noted.answered(found.num_rows, found.column_names)
                    return found


def export(home: Home, name: str, take: Take, purpose: str | None = None, **arguments: Any) -> Positions:
    """Hand the tables of an export (see PARTS) to `take`, all of one commit; where the base stands. Raises ReadRefused."""
    while True:
        with suppress(NoServer):
            return take_export(_socket(home), name, take, None, purpose=purpose, **arguments)
        with home.lock(OWNER, name, lambda: serving(home)) as held:
            if held:
                with opened_log(home) as log, opened(home) as base, access_log.opened(home, base.cursor) as accesses:
                    base.foresee(log)
                    return _export_here(home, base, accesses, name, take, {"purpose": purpose, **arguments})


def _export_here(home: Home, base: Base, log: access_log.AccessLog, name: str, take: Take, request: dict[str, Any]) -> Positions:
    """An export by the process that wants it, where no other owns the base."""
    with (
        log.asked(os.getuid(), {"op": "export", "name": name, **request}) as noted,
        base.cursor() as cursor,
        exporting(cursor, PARTS[name](request), limits(home).export_s, noted.sent) as tables,
    ):
        for table, reader in tables.readers:
            take(table, reader)
        noted.whole = True
        return tables.positions


def limits(home: Home) -> Limits:
    """The home's limits on readers."""
    s = home.settings
    return Limits(
        time_s=s.read_time_limit_s,
        rows=s.read_row_limit,
        readers=s.readers,
        wait_s=s.reader_wait_s,
        export_s=s.export_time_limit_s,
    )


def perform(home: Home, operation: str, purpose: str | None = None, **arguments: Any) -> Result:
    """An operation on the base (see OPERATIONS), by the process that owns it."""
    while True:
        with suppress(NoServer):
            return call(_socket(home), operation, purpose=purpose, **arguments)
        with home.lock(OWNER, operation, lambda: serving(home)) as held:
            if held:
                with opened_log(home) as log, opened(home) as base, _served(home, base, log) as accesses:
                    with accesses.asked(os.getuid(), {"op": operation, "purpose": purpose}) as noted:
                        done = OPERATIONS[operation](base, log, arguments)
                        noted.answered()
                    return done


def look(home: Home, operation: str, purpose: str | None = None, **arguments: Any) -> Result:
    """An operation on the access log (see `access_reading`), by the owner of the base or, where there is none, here."""
    with suppress(NoServer):
        return call(_socket(home), operation, purpose=purpose, **arguments)
    with access_log.opened(home) as log, log.asked(os.getuid(), {"op": operation, "purpose": purpose}) as noted:
        done = access_reading.OPERATIONS[operation](log, {**arguments, "caller": noted.caller})
        noted.answered()
    return done


def rebuild(home: Home, accept: bool, progress: Progress) -> Rebuilt:
    """Rebuild the base from the log, by its owner; also where its file can't be opened."""
    require(home.settings, "rebuild")
    try:
        return Rebuilt(**call(_socket(home), "rebuild", accept=accept))  # type: ignore[arg-type]
    except NoServer:
        pass
    with home.lock(OWNER, "rebuilding"), opened_log(home) as log:
        try:
            with opened(home) as base, _served(home, base, log):
                return base.rebuild(log, accept, progress)
        except BaseDamaged:
            return replace_damaged(home, log, progress)


def follow(home: Home, started: Callable[[], None], stop: threading.Event, tell: Tell = lambda _sentence: None) -> None:
    """Own the base and apply what comes until `stop`. Raises Busy at once when another process owns it.

    `tell` is given a sentence when something is in the way, such as brokers that don't answer, and when it no longer is.
    """
    require(home.settings, "project")
    pulse = Pulse(tell, home.settings.stalled_after_s)
    with home.lock(OWNER, "yrd project --follow", wait_s=1), opened_log(home, new_too=True) as log, opened(home) as base:
        base.pulse = pulse
        if not base.await_log(log, stop, pulse):
            return
        measured = metrics.served(home.settings, lambda: metrics.of_projector(pulse))
        with _served(home, base, log), measured, sealing(home, stop):
            started()
            base.follow(log, stop, pulse)


def stopping_at_signals() -> threading.Event:
    """An event that SIGINT and SIGTERM set."""
    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda _number, _frame: stop.set())
    return stop


@contextmanager
def _served(home: Home, base: Base, log: Log) -> Iterator[access_log.AccessLog]:
    """The base served to readers while this process owns it; the access log in which their asking is recorded."""
    wait_s = home.settings.lock_wait_s * 60.0

    def asked(operation: str) -> Callable[[Result], Result]:
        work = OPERATIONS[operation]
        return lambda arguments: _result(base.requests.ask(lambda: work(base, log, arguments), wait_s))

    accesses = access_log.AccessLog(home, base.cursor)
    # Whether somebody serves is answered at once, also while the owner is in the middle of a batch.
    operations: dict[str, Operation] = {name: asked(name) for name in OPERATIONS} | {ALIVE: lambda _: {ALIVE: True}}
    operations |= {name: partial(work, accesses) for name, work in access_reading.OPERATIONS.items()}
    base.foresee(log)
    server = ReadServer(
        _socket(home), base.cursor, operations, limits(home), macros(), PARTS, accesses, home.settings.reader_group
    )
    server.start()
    try:
        yield accesses
        # What was asked in the last moment is answered still.
        base.requests.answer()
    finally:
        base.requests.refuse()
        server.close()
        accesses.close()


def _result(value: Any) -> Result:
    assert isinstance(value, dict)
    return value


def _socket(home: Home) -> Any:
    return home.folder / "hub.sock"


def serving(home: Home) -> bool:
    """Whether a process owns the base and answers."""
    if not _socket(home).exists():
        return False
    try:
        call(_socket(home), ALIVE, timeout_s=5)
    except ReadRefused:
        # Nobody listens, or somebody who is ending.
        return False
    return True
