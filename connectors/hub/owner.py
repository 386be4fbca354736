"""The owner of the base, whoever it is at the moment: another process, asked over its socket, or this one, which opens it.

Both have one interface, `Owner`, so that nobody who asks has to know which of them answers, or whether it changes meanwhile.
What is asked stands in the access log, with its `purpose`. Raises ReadRefused with a sentence, never a lock error.
"""

import os
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, TypeAlias

import pyarrow as pa

from connectors.access import log as access_log
from connectors.access import reading as access_reading
from connectors.access.refused import ReadRefused
from connectors.base.base import Base, opened
from connectors.base.files import Progress, Rebuilt
from connectors.home.folder import Home
from connectors.hub.base_operations import BASE_OPERATIONS, Result
from connectors.logs.opened import opened_log
from connectors.reading import client
from connectors.reading.exports import Positions, Take, exporting
from connectors.reading.query import Limits, NoServer, query_connection
from connectors.reading.server import Operation, ReadServer
from projections.audit_tables import PARTS
from projections.questions import macros
from repository.store.log import Log

BASE_LOCK = "base"
"""Name of the lock that the owner of the base holds."""
ALIVE = "alive"


@dataclass(frozen=True, slots=True)
class Remote:
    """Another process, which owns the base and answers at the home's socket. Where it has ended, the next owner is asked."""

    home: Home
    doing: str
    serves: bool = False

    def read(self, sql: str, parameters: Sequence[object] = (), purpose: str | None = None, granted: bool = False) -> pa.Table:
        try:
            return client.query(socket_path(self.home), sql, parameters, purpose=purpose, granted=granted)
        except ReadRefused:
            # Also one that ended in the middle: reading twice harms nobody.
            if serving(self.home):
                raise
        with self._next() as owner:
            return owner.read(sql, parameters, purpose, granted)

    def export(self, name: str, take: Take, purpose: str | None = None, **arguments: Any) -> Positions:
        with suppress(NoServer):
            return client.export(socket_path(self.home), name, take, None, purpose=purpose, **arguments)
        with self._next() as owner:
            return owner.export(name, take, purpose, **arguments)

    def perform(self, operation: str, purpose: str | None = None, **arguments: Any) -> Result:
        with suppress(NoServer):
            return client.call(socket_path(self.home), operation, purpose=purpose, **arguments)
        with self._next() as owner:
            return owner.perform(operation, purpose, **arguments)

    def look(self, operation: str, purpose: str | None = None, **arguments: Any) -> Result:
        with suppress(NoServer):
            return client.call(socket_path(self.home), operation, purpose=purpose, **arguments)
        # The log can be looked into also where the base can't be opened.
        with access_log.opened(self.home) as accesses:
            return _look(accesses, operation, purpose, arguments)

    def rebuild(self, accept: bool, progress: Progress) -> Rebuilt:
        with suppress(NoServer):
            return Rebuilt(**client.call(socket_path(self.home), "rebuild", accept=accept))  # type: ignore[arg-type]
        with self._next() as owner:
            return owner.rebuild(accept, progress)

    def _next(self) -> AbstractContextManager["Owner"]:
        return owner(self.home, self.doing, self.serves, gone=True)


@dataclass(frozen=True, slots=True)
class Local:
    """This process, which holds the base. What is known of erasures and grants was taken over before the first read."""

    home: Home
    base: Base
    log: Log
    accesses: access_log.AccessLog

    def read(self, sql: str, parameters: Sequence[object] = (), purpose: str | None = None, granted: bool = False) -> pa.Table:
        """The result of one SELECT; `granted`: personal columns hold ciphertext, for `decrypted` to decrypt, else NULL."""
        with self._asked({"op": "query", "sql": sql, "purpose": purpose}) as noted:
            found = query_connection(self.base.connection, sql, parameters, limits(self.home), macros=macros(), granted=granted)
            noted.answered(found.num_rows, found.column_names)
        return found

    def export(self, name: str, take: Take, purpose: str | None = None, **arguments: Any) -> Positions:
        """Hand the tables of an export (see PARTS) to `take`, all of one commit; where the base stands."""
        request = {"purpose": purpose, **arguments}
        with (
            self._asked({"op": "export", "name": name, **request}) as noted,
            self.base.cursor() as cursor,
            exporting(cursor, PARTS[name](request), limits(self.home).export_s, noted.sent) as tables,
        ):
            for table, reader in tables.readers:
                take(table, reader)
            noted.whole = True
            return tables.positions

    def perform(self, operation: str, purpose: str | None = None, **arguments: Any) -> Result:
        """An operation on the base (see BASE_OPERATIONS)."""
        with self._asked({"op": operation, "purpose": purpose}) as noted:
            done = BASE_OPERATIONS[operation](self.base, self.log, arguments)
            noted.answered()
        return done

    def look(self, operation: str, purpose: str | None = None, **arguments: Any) -> Result:
        """An operation on the access log (see ACCESS_OPERATIONS)."""
        return _look(self.accesses, operation, purpose, arguments)

    def rebuild(self, accept: bool, progress: Progress) -> Rebuilt:
        """The base made anew from the log; with another digest it becomes current only where `accept`."""
        return self.base.rebuild(self.log, accept, progress)

    def _asked(self, request: dict[str, Any]) -> AbstractContextManager[access_log.Access]:
        return self.accesses.asked(os.getuid(), request)

    @contextmanager
    def served(self) -> Iterator[None]:
        """The base served to other processes at the home's socket; once only."""
        server = ReadServer(
            socket_path(self.home),
            self.base.cursor,
            self._operations(),
            limits(self.home),
            macros(),
            PARTS,
            self.accesses,
            self.home.settings.reader_group,
        )
        server.start()
        try:
            yield
            # What was asked in the last moment is answered still.
            self.base.requests.answer()
        finally:
            self.base.requests.refuse()
            server.close()

    def _operations(self) -> dict[str, Operation]:
        """What others may ask for by name: work on the base waits for the thread that owns it, all else is done at once."""
        wait_s = self.home.settings.lock_wait_s * 60.0

        def between_batches(operation: str, arguments: Result) -> Result:
            work = partial(BASE_OPERATIONS[operation], self.base, self.log, arguments)
            done: Result = self.base.requests.ask(work, wait_s)
            return done

        # Whether somebody serves is answered at once, also while the owner is in the middle of a batch.
        operations: dict[str, Operation] = {ALIVE: lambda _: {ALIVE: True}}
        operations |= {name: partial(between_batches, name) for name in BASE_OPERATIONS}
        return operations | {name: partial(work, self.accesses) for name, work in access_reading.ACCESS_OPERATIONS.items()}


Owner: TypeAlias = Remote | Local


def _look(accesses: access_log.AccessLog, operation: str, purpose: str | None, arguments: Result) -> Result:
    """An operation on the access log, by this process."""
    with accesses.asked(os.getuid(), {"op": operation, "purpose": purpose}) as noted:
        done = access_reading.ACCESS_OPERATIONS[operation](accesses, {**arguments, "caller": noted.caller})
        noted.answered()
    return done


# -- who it is -----------------------------------------------------------------------------------------------------


@contextmanager
def owner(home: Home, doing: str, serves: bool = False, gone: bool = False) -> Iterator[Owner]:
    """Who owns the base now: who has the socket, unless that one is `gone`; else this process, until the caller ends.

    `serves`: where it is this process, it answers others meanwhile, for what takes long. `doing` tells them whom they wait
    for. Raises Busy where another process holds the base and does not answer.
    """
    if socket_path(home).exists() and not gone:
        yield Remote(home, doing, serves)
        return
    with home.lock(BASE_LOCK, doing, lambda: serving(home)) as held:
        if not held:
            yield Remote(home, doing, serves)
            return
        with opened_log(home) as log, opened(home) as base, ExitStack() as stack:
            local = stack.enter_context(owning(home, base, log))
            if serves:
                stack.enter_context(local.served())
            yield local


@contextmanager
def owning(home: Home, base: Base, log: Log, foreseen: bool = False) -> Iterator[Local]:
    """This process as the owner of an opened base. `foreseen`: the log's erasures and grants were taken over already."""
    with access_log.opened(home, base.cursor) as accesses:
        if not foreseen:
            base.foresee(log)
        yield Local(home, base, log, accesses)


def socket_path(home: Home) -> Path:
    """Where the owner of the base answers."""
    return home.folder / "hub.sock"


def serving(home: Home) -> bool:
    """Whether a process owns the base and answers."""
    if not socket_path(home).exists():
        return False
    try:
        client.call(socket_path(home), ALIVE, timeout_s=5)
    except ReadRefused:
        # Nobody listens, or somebody who is ending.
        return False
    return True


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
