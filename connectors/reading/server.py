"""The socket at which the one process that holds the information base serves reads and operations.

A thread per conversation, a cursor per query. A reader's failure is the reader's: bad SQL, a limit, a hang-up end that one
conversation. The words of the conversation are described in `query`, those of exports in `exports`.
"""

import json
import socket
import threading
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from typing import BinaryIO

import duckdb
import pyarrow as pa

from connectors.access.log import Access, AccessLog, peer
from connectors.access.refused import ReadRefused
from connectors.reading.conversations import Conversations
from connectors.reading.exports import exporting, send
from connectors.reading.query import Answer, Limits, answering, decoded
from projections.audit_tables import Part
from projections.guard import one_line

Operation = Callable[[dict[str, object]], dict[str, object]]
Export = Callable[[dict[str, object]], Sequence[Part]]

PLACE_S = 0.1  # how often who waits for a reader's place is looked after


class ReadServer:
    """Serves queries and `operations` at `socket_path`, to the owner of the file only (mode 0600), or to a `group` too.

    `cursor` gives a new cursor of the writer's connection; the server closes it. It is called from many threads.
    `operations` maps a name to a function from the request's arguments to a result, both JSON objects; dates and decimals in
    a result become text. An operation runs in its conversation's thread, takes no reader's place and has no time limit; what
    it raises is answered as an error. `macros` are those that readers may call besides `*_asof`. `exports` maps a name to a
    function from the request's arguments to the tables that are streamed (see `exports`); an export takes a reader's place.
    What `access` is given to record is recorded by it, who asks being the account of the process at the other end.
    """

    def __init__(
        self,
        socket_path: Path,
        cursor: Callable[[], duckdb.DuckDBPyConnection],
        operations: Mapping[str, Operation],
        limits: Limits | None = None,
        macros: Collection[str] = (),
        exports: Mapping[str, Export] | None = None,
        access: AccessLog | None = None,
        group: str = "",
    ) -> None:
        if taken := {"query", "export"} & set(operations):
            raise ValueError(f"The operation '{min(taken)}' is the server's own; give yours another name.")
        self._cursor, self._macros, self._access = cursor, frozenset(macros), access
        self._operations, self._exports = dict(operations), dict(exports or {})
        self._limits = limits or Limits()
        self._places = threading.BoundedSemaphore(self._limits.readers)
        self._conversations = Conversations(socket_path, self._respond, self._limits.connections, self._limits.time_s, group)

    def start(self) -> None:
        """Listen, and serve from threads of their own; raises `SocketTaken` when no socket can be made at the path."""
        self._conversations.start()

    def close(self) -> None:
        """Stop running queries, wait for running operations, and remove the socket; does nothing when not started.

        Not to be called from within an operation, which would wait for itself.
        """
        self._conversations.close()

    def _respond(self, link: socket.socket, file: BinaryIO) -> None:
        try:
            request = self._known(_request(link, self._limits.request_bytes))
            with self._asked(link, request) as access:
                last = self._served(link, file, request, access)
            # Only when the access log has its end is the reader told that this was all.
            file.write(_json_line(last))
        except ReadRefused as refusal:
            file.write(_json_line(_error(str(refusal))))

    def _known(self, request: dict[str, object]) -> dict[str, object]:
        """The request, if it is one that this server knows; nothing else gets as far as the access log."""
        name, own = str(request["op"]), ["query", *(["export"] if self._exports else [])]
        if name not in [*own, *self._operations]:
            raise ReadRefused(f"There is no operation {name}; this server knows {', '.join([*own, *sorted(self._operations)])}.")
        if name == "export" and request.get("name") not in self._exports:
            raise ReadRefused(f"There is no export {request.get('name')}; this server knows {', '.join(sorted(self._exports))}.")
        return request

    def _asked(self, link: socket.socket, request: dict[str, object]) -> AbstractContextManager[Access]:
        return nullcontext(Access()) if self._access is None else self._access.asked(peer(link), request)

    def _served(self, link: socket.socket, file: BinaryIO, request: dict[str, object], access: Access) -> dict[str, object]:
        """Answer a request but for the last line, which is the result."""
        if request["op"] == "query":
            return self._answer_query(link, file, request, access)
        if request["op"] == "export":
            return self._answer_export(link, file, request, access)
        result = self._operate({**request, "caller": access.caller})
        access.answered()
        return {"ok": True, "result": result}

    def _operate(self, request: dict[str, object]) -> dict[str, object]:
        name = str(request.pop("op"))
        request.pop("purpose", None)
        try:
            return self._operations[name](request)
        except (ValueError, RuntimeError) as error:
            # These say in a sentence what is wrong, and it stays one.
            raise ReadRefused(str(error)) from error
        except Exception as error:
            # An operation is somebody's request: whatever goes wrong in it is told to who asked, and the server goes on.
            raise ReadRefused(f"The operation {name} failed: {type(error).__name__}: {error}") from error

    def _answer_query(self, link: socket.socket, file: BinaryIO, request: dict[str, object], access: Access) -> dict[str, object]:
        sql, params = request.get("sql"), decoded(request.get("params", []))
        if not isinstance(sql, str) or not isinstance(params, list):
            raise ReadRefused("A query needs its text in sql and a list in params; correct the request.")
        stopped = self._conversations.ending(link)
        with (
            self._place(stopped),
            self._opened() as cursor,
            answering(
                cursor, sql, params, self._limits, macros=self._macros, stopped=stopped, granted=request.get("granted") is True
            ) as answer,
        ):
            access.columns = answer.schema.names
            file.write(_json_line({"ok": True}))
            return _stream(file, answer, access)

    def _answer_export(
        self, link: socket.socket, file: BinaryIO, request: dict[str, object], access: Access
    ) -> dict[str, object]:
        stopped = self._conversations.ending(link)
        try:
            parts = self._exports[str(request["name"])](request)
        except (KeyError, TypeError, ValueError) as error:
            raise ReadRefused(f"The export {request['name']} lacks an argument or has a wrong one ({error}).") from error
        time_s = self._limits.export_s
        with (
            self._place(stopped),
            self._opened() as cursor,
            exporting(cursor, parts, time_s, access.sent, stopped) as tables,
        ):
            last = send(file, tables)
        access.whole = bool(last["ok"])
        return last

    def _opened(self) -> duckdb.DuckDBPyConnection:
        try:
            return self._cursor()
        except duckdb.Error as error:
            raise ReadRefused(f"The information base cannot be read now ({one_line(error)}); ask again later.") from error

    @contextmanager
    def _place(self, stopped: Callable[[], str | None]) -> Iterator[None]:
        end = time.monotonic() + self._limits.wait_s
        while not self._places.acquire(timeout=max(0.0, min(PLACE_S, end - time.monotonic()))):
            if time.monotonic() >= end or stopped():
                raise ReadRefused(stopped() or f"All {self._limits.readers} readers are at work; ask again later.")
        try:
            yield
        finally:
            self._places.release()


def _request(link: socket.socket, limit: int) -> dict[str, object]:
    with link.makefile("rb") as file:
        text = file.readline(limit)
        if not text.endswith(b"\n"):
            _read_on(file, limit)
            raise ReadRefused(f"The request is not one line of at most {limit} bytes; send one line of JSON.")
    try:
        request = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ReadRefused("The request is not JSON; send one line of JSON.") from error
    if not isinstance(request, dict) or "op" not in request:
        raise ReadRefused('The request names no operation; send an object with "op".')
    return request


def _read_on(file: BinaryIO, limit: int) -> None:
    """Take the rest of a line that is too long: closing with unread bytes would cost the reader the refusal."""
    for _ in range(64):
        if file.readline(limit)[-1:] in (b"", b"\n"):
            return


def _stream(file: BinaryIO, answer: Answer, access: Access) -> dict[str, object]:
    """Write all batches and the end-of-stream marker; the trailer says whether that was the whole result."""
    rows = 0
    with pa.ipc.new_stream(file, answer.schema) as writer:
        try:
            for batch in answer.batches:
                access.sent(batch.num_rows)
                writer.write_batch(batch)
                rows += batch.num_rows
        except ReadRefused as refusal:
            return _error(str(refusal))
    access.answered(rows)
    return {"ok": True, "rows": rows}


def _error(sentence: str) -> dict[str, object]:
    return {"ok": False, "error": sentence}


def _json_line(value: dict[str, object]) -> bytes:
    return json.dumps(value, ensure_ascii=False, default=str).encode() + b"\n"
