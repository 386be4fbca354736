"""Reading the information base: one query under limits, and the words in which reader and server speak.

One process holds the DuckDB file, so everybody else reads through it, over a unix socket (`server`, `client`).
`query_connection` is the same reading for a process that holds the file itself, when no server runs.

The conversation, one request per connection (that of exports is described in `exports`):

    request   one line of JSON: {"op": "query", "sql": "...", "params": [...], "granted": ...} or {"op": "...", ...arguments}
    header    one line of JSON: {"ok": true}, {"ok": true, "result": {...}} for an operation, or {"ok": false, "error": "..."}
    rows      after {"ok": true} of a query: an Arrow IPC stream, closed by its end-of-stream marker
    trailer   after the rows, one line of JSON: {"ok": true, "rows": 123} or {"ok": false, "error": "..."}

An Arrow stream that ends early looks whole, so only a trailer with "ok" makes it a result: what fails in mid-stream is an
error to the reader. A parameter is a JSON value, or {"date": ...}, {"timestamp": ...} in ISO 8601, {"decimal": "..."}.

Every query has a cursor and a read-only transaction of its own: it sees one commit whole, and nothing later. Its result is
streamed and never collected, so the server holds a few batches of it. What a query sorts or groups counts against DuckDB's
`memory_limit`, which is one for the whole process; set it so that the writer lives with the readers.
"""

import threading
import time
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from pathlib import Path
from tempfile import TemporaryDirectory
from types import TracebackType
from typing import Self

import duckdb
import pyarrow as pa

from connectors.access.refused import ReadRefused
from projections import guard

BATCH_ROWS = 10_000
WATCH_S = 0.05  # how often a running query is compared with its limits
ADDRESS_BYTES = 100  # a socket address holds 108 bytes on Linux and 104 elsewhere


@dataclass(frozen=True, slots=True)
class Limits:
    """What readers may take; every limit ends the reader's query, never the server or the writer."""

    time_s: float = 30.0  # from the start of a query to its last row; sending one piece may take as long again
    rows: int = 1_000_000  # of one result; more is an error and never a silent cut
    readers: int = 16  # queries that run at once
    wait_s: float = 5.0  # how long a further query waits for its turn
    connections: int = 128  # conversations at once, operations included; further ones queue in the operating system
    request_bytes: int = 1_000_000
    export_s: float = 600.0  # of one export, which has no limit on its rows


class NoServer(ReadRefused):
    """Nobody listens at the socket; open the file directly or start the server."""


class Watch:
    """Interrupts one cursor, from a thread of its own, once `time_s` is over or `stopped` gives a reason.

    `why` is that reason. DuckDB forgets an interrupt that comes between two statements, so it is repeated until the end.
    """

    def __init__(self, cursor: duckdb.DuckDBPyConnection, time_s: float, stopped: Callable[[], str | None]) -> None:
        self.why: str | None = None
        self._cursor, self._stopped = cursor, stopped
        self._time_s, self._deadline = time_s, time.monotonic() + time_s
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._run, name="read-watch", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._done.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._done.wait(max(0.0, min(WATCH_S, self._deadline - time.monotonic())) or WATCH_S):
            self.why = self.why or self._stopped() or self._overdue()
            if self.why:
                self._cursor.interrupt()

    def _overdue(self) -> str | None:
        if time.monotonic() < self._deadline:
            return None
        return f"The query ran longer than {self._time_s:g} s and was stopped; ask for less or filter earlier."


@dataclass(frozen=True, slots=True)
class Answer:
    """A running query: its schema and its batches, to be taken once, inside `answering`."""

    schema: pa.Schema
    batches: Iterator[pa.RecordBatch]


def _never() -> str | None:
    return None


@contextmanager
def answering(
    cursor: duckdb.DuckDBPyConnection,
    sql: str,
    params: Sequence[object],
    limits: Limits,
    *,
    macros: Collection[str] = (),
    stopped: Callable[[], str | None] = _never,
    granted: bool = False,
) -> Iterator[Answer]:
    """Run one query that the guard passes, in a read-only transaction that is always rolled back.

    `granted`: personal columns hold ciphertext for the reader to open, instead of NULL.

    Whatever the query itself does wrong, also while its batches are taken, is a `ReadRefused`.
    """
    _guarded(cursor, sql, macros)
    cursor.execute(f"SET VARIABLE granted = {granted}")
    with transaction(cursor), Watch(cursor, limits.time_s, stopped) as watch:
        with refusing(watch):
            reader = cursor.execute(sql, list(params)).to_arrow_reader(BATCH_ROWS)
        with reader:
            yield Answer(reader.schema, _batches(reader, limits, watch))


def query_connection(
    connection: duckdb.DuckDBPyConnection,
    sql: str,
    params: Sequence[object] = (),
    limits: Limits | None = None,
    *,
    macros: Collection[str] = (),
    granted: bool = False,
) -> pa.Table:
    """The result of one query on a connection of this process, under the same guard, transaction and limits as the server's.

    It runs on a cursor of its own, so a transaction that is open on `connection` is neither seen nor harmed (a refused BEGIN
    would silently undo it). Raises `ReadRefused`.
    """
    with (
        connection.cursor() as cursor,
        answering(cursor, sql, params, limits or Limits(), macros=macros, granted=granted) as answer,
    ):
        return pa.Table.from_batches(answer.batches, answer.schema)


def _guarded(cursor: duckdb.DuckDBPyConnection, sql: str, macros: Collection[str]) -> None:
    try:
        guard.check(cursor, sql, macros)
    except guard.QueryRefused as refusal:
        raise ReadRefused(str(refusal)) from refusal


@contextmanager
def transaction(cursor: duckdb.DuckDBPyConnection) -> Iterator[None]:
    """A read-only transaction on a cursor, always rolled back: what is read in it is one commit. Raises `ReadRefused`."""
    try:
        cursor.execute("BEGIN TRANSACTION READ ONLY")
    except duckdb.Error as error:
        raise ReadRefused(f"The read could not begin: {guard.one_line(error)}") from error
    try:
        yield
    finally:
        # After an error that ended the transaction, or the whole base, there is nothing left to roll back.
        with suppress(duckdb.Error):
            cursor.execute("ROLLBACK")


@contextmanager
def refusing(watch: Watch) -> Iterator[None]:
    """What a read itself does wrong becomes a `ReadRefused`, or the reason for which `watch` stopped it."""
    try:
        yield
    # Arrow hands on DuckDB's errors in mid-stream as OSError; no other input or output happens in here.
    except (duckdb.Error, pa.ArrowException, OSError) as error:
        raise ReadRefused(watch.why or f"The query failed: {guard.one_line(error)}") from error


def _batches(reader: pa.RecordBatchReader, limits: Limits, watch: Watch) -> Iterator[pa.RecordBatch]:
    taken = 0
    while True:
        try:
            with refusing(watch):
                batch = reader.read_next_batch()
        except StopIteration:
            return
        taken += batch.num_rows
        if taken > limits.rows:
            raise ReadRefused(f"The result has more than {limits.rows} rows; filter, aggregate or add a LIMIT.")
        if watch.why:
            raise ReadRefused(watch.why)
        yield batch


def encoded(value: object) -> object:
    """One parameter as JSON; raises `ReadRefused` for a type that has no place in the protocol."""
    if isinstance(value, datetime):
        return {"timestamp": value.isoformat()}
    if isinstance(value, date):
        return {"date": value.isoformat()}
    if isinstance(value, Decimal):
        return {"decimal": str(value)}
    if isinstance(value, list | tuple):
        return [encoded(item) for item in value]
    if value is None or isinstance(value, str | int | float):
        return value
    raise ReadRefused(f"A parameter of type {type(value).__name__} cannot be sent; send text and cast it in the query.")


_DECODED: dict[str, Callable[[str], object]] = {
    "date": date.fromisoformat,
    "timestamp": datetime.fromisoformat,
    "decimal": Decimal,
}


def decoded(value: object) -> object:
    """The parameter that `encoded` made; raises `ReadRefused` for what it cannot have made."""
    if isinstance(value, list):
        return [decoded(item) for item in value]
    if not isinstance(value, dict):
        return value
    try:
        ((kind, text),) = value.items()
        return _DECODED[kind](text)
    except (ValueError, KeyError, TypeError, ArithmeticError) as error:
        raise ReadRefused(f"The parameter {value} is no date, timestamp or decimal; write it as the protocol says.") from error


@contextmanager
def socket_address(path: Path) -> Iterator[str]:
    """An address of the socket `path` that the operating system takes, however deep in the file system the path is.

    A path of more bytes than an address holds is reached through a short link to its folder, which lives as long as the
    context: an address is used once, to bind or to connect.
    """
    if len(bytes(path)) <= ADDRESS_BYTES:
        yield str(path)
        return
    with TemporaryDirectory(prefix="reads-") as folder:
        link = Path(folder, "to")
        link.symlink_to(path.absolute().parent, target_is_directory=True)
        address = link / path.name
        if len(bytes(address)) > ADDRESS_BYTES:
            raise ReadRefused(
                f"The socket address {address} is longer than {ADDRESS_BYTES} bytes; give the socket a shorter name."
            )
        yield str(address)
