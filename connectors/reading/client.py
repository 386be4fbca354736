"""The reader's side of the socket: send one request, take one answer. The conversation is described in `query`."""

import json
import socket
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

import pyarrow as pa

from connectors.access.refused import ReadRefused
from connectors.reading.exports import Positions, Take, receive
from connectors.reading.query import NoServer, encoded, socket_address

QUERY_TIMEOUT_S = 120.0  # without one byte from the server: twice the server's own limits with room, for a server that is stuck


def query(
    socket_path: Path,
    sql: str,
    params: Sequence[object] = (),
    timeout_s: float | None = QUERY_TIMEOUT_S,
    purpose: str | None = None,
    granted: bool = False,
) -> pa.Table:
    """The result of one SELECT, from one commit of the information base; `purpose` is for the access log, `granted` as in
    `query.answering`.

    Raises `NoServer` when nobody listens at `socket_path`, and `ReadRefused` for everything else, also when the answer
    breaks off: a table that is returned is whole.
    """
    values = [encoded(value) for value in params]
    request: dict[str, object] = {"op": "query", "sql": sql, "params": values, "purpose": purpose, "granted": granted}
    with _conversation(socket_path, request, timeout_s) as answer:
        _line(answer)
        table = pa.ipc.open_stream(answer).read_all()
        _line(answer)
    return table


def call(socket_path: Path, op: str, timeout_s: float | None = None, **arguments: object) -> dict[str, object]:
    """The result of one of the server's operations; waits without end unless `timeout_s` is given. Errors as `query`."""
    with _conversation(socket_path, {**arguments, "op": op}, timeout_s) as answer:
        result = _line(answer).get("result")
    if not isinstance(result, dict):
        raise ReadRefused(f"The operation {op} answered {result!r} instead of an object; client and server differ in version.")
    return result


def export(socket_path: Path, name: str, take: Take, timeout_s: float | None, **arguments: object) -> Positions:
    """Hand every table of the export `name` to `take`, all of one commit; where the base stands. Errors as `query`.

    What was taken counts only when this returns: an export that breaks off is an error.
    """
    with _conversation(socket_path, {**arguments, "op": "export", "name": name}, timeout_s) as answer:
        return receive(answer, lambda: _line(answer), take)


@contextmanager
def _conversation(path: Path, request: dict[str, object], timeout_s: float | None) -> Iterator[BinaryIO]:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as link:
        link.settimeout(timeout_s)
        _connect(link, path)
        try:
            link.sendall(json.dumps(request, ensure_ascii=False, default=str).encode() + b"\n")
            with link.makefile("rb") as answer:
                yield answer
        except TimeoutError as error:
            raise ReadRefused(f"The server at {path} did not answer within {timeout_s} s; ask again later.") from error
        except (OSError, pa.ArrowException, json.JSONDecodeError) as error:
            raise ReadRefused(f"The answer of the server at {path} broke off ({error}); ask again.") from error
        except UnicodeEncodeError as error:
            raise ReadRefused(f"The request is not valid Unicode at character {error.start}; remove it.") from error


def _connect(link: socket.socket, path: Path) -> None:
    try:
        with socket_address(path) as address:
            link.connect(address)
    except (FileNotFoundError, ConnectionRefusedError, NotADirectoryError) as error:
        raise NoServer(f"No server listens at {path}; start the projector, or open the file directly.") from error
    except BlockingIOError as error:
        raise ReadRefused(f"The queue of the server at {path} is full; ask again later.") from error
    except OSError as error:
        raise ReadRefused(f"The server at {path} cannot be reached ({error.strerror or error}); ask its owner.") from error


def _line(answer: BinaryIO) -> dict[str, object]:
    text = answer.readline()
    if not text.endswith(b"\n"):
        raise ReadRefused("The server ended in the middle of its answer; ask again.")
    line: dict[str, object] = json.loads(text)
    if not line.get("ok"):
        raise ReadRefused(str(line.get("error")))
    return line
