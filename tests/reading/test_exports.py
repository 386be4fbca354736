"""Exports: all tables of one commit, streamed whole or refused, beside a writer that goes on."""

import json
import socket
import threading
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import duckdb
import pyarrow as pa
import pytest

from connectors.access.refused import ReadRefused
from connectors.reading.client import export
from connectors.reading.query import Limits
from connectors.reading.server import ReadServer
from projections.audit_tables import Part
from projections.guard import harden

ROWS = 250_000
EXPORTS = {
    "both": lambda given: [
        Part("homes", "SELECT * FROM homes"),
        Part("more", "SELECT * FROM homes WHERE i < ?", [given["below"]]),
    ],
    "wrong": lambda _: [Part("homes", "SELECT * FROM homes"), Part("none", "SELECT * FROM nowhere")],
    "late": lambda _: [Part("homes", "SELECT CASE WHEN i = 240000 THEN error('too late') END, name FROM homes")],
    "endless": lambda _: [Part("endless", "SELECT range AS i, md5(range::VARCHAR) AS h FROM range(10000000000)")],
}


@pytest.fixture
def base(tmp_path: Path) -> Iterator[duckdb.DuckDBPyConnection]:
    with duckdb.connect(tmp_path / "base.duckdb") as connection:
        connection.execute(f"CREATE TABLE homes AS SELECT range AS i, 'home ' || range AS name FROM range({ROWS})")
        connection.execute(
            "CREATE TABLE checkpoints (topic VARCHAR, partition INTEGER, next_offset BIGINT, last_position BIGINT)"
        )
        connection.execute("INSERT INTO checkpoints VALUES ('yrd.31', 0, 8, 7)")
        harden(connection)
        yield connection


def server(base: duckdb.DuckDBPyConnection, path: Path, limits: Limits | None = None) -> ReadServer:
    made = ReadServer(path, base.cursor, {}, limits, exports=EXPORTS)
    made.start()
    return made


class Took:
    """What is done with the tables of an export: counted, or but the first rows of each."""

    def __init__(self, most: int | None = None) -> None:
        self.rows: dict[str, int] = {}
        self._most = most

    def __call__(self, table: str, reader: pa.RecordBatchReader) -> None:
        self.rows[table] = 0
        for number, batch in enumerate(reader, 1):
            self.rows[table] += batch.num_rows
            if number == self._most:
                return


def test_all_tables_arrive_with_where_the_base_stands(base: duckdb.DuckDBPyConnection, tmp_path: Path) -> None:
    with closing(server(base, tmp_path / "s")):
        took = Took()
        positions = export(tmp_path / "s", "both", took, 60, below=5)
    assert positions == [{"topic": "yrd.31", "partition": 0, "next_offset": 8, "last_position": 7}]
    assert took.rows == {"homes": ROWS, "more": 5}


def test_what_is_left_of_a_table_is_skipped(base: duckdb.DuckDBPyConnection, tmp_path: Path) -> None:
    with closing(server(base, tmp_path / "s")):
        took = Took(most=1)
        export(tmp_path / "s", "both", took, 60, below=5)
    assert 0 < took.rows["homes"] < ROWS and took.rows["more"] == 5


def test_a_commit_in_between_is_not_seen(base: duckdb.DuckDBPyConnection, tmp_path: Path) -> None:
    rows: dict[str, int] = {}

    def take(table: str, reader: pa.RecordBatchReader) -> None:
        first = reader.read_next_batch().num_rows
        if table == "homes":
            base.execute("DELETE FROM homes")
        rows[table] = first + sum(batch.num_rows for batch in reader)

    with closing(server(base, tmp_path / "s")):
        export(tmp_path / "s", "both", take, 60, below=5)
    assert rows == {"homes": ROWS, "more": 5}
    assert base.execute("SELECT count(*) FROM homes").fetchall() == [(0,)]


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("wrong", "nowhere does not exist"),
        ("late", "too late"),
        ("other", "There is no export other"),
        ("both", "lacks an argument"),
    ],
)
def test_an_export_that_goes_wrong_is_an_error_wherever_it_does(
    base: duckdb.DuckDBPyConnection, tmp_path: Path, name: str, sentence: str
) -> None:
    with closing(server(base, tmp_path / "s")):
        with pytest.raises(ReadRefused, match=sentence):
            export(tmp_path / "s", name, Took(), 60)
        export(tmp_path / "s", "both", Took(), 60, below=1)


def test_an_export_that_takes_too_long_is_stopped(base: duckdb.DuckDBPyConnection, tmp_path: Path) -> None:
    with closing(server(base, tmp_path / "s", Limits(export_s=1))), pytest.raises(ReadRefused, match="ran longer than 1 s"):
        export(tmp_path / "s", "endless", Took(), 60)


def test_a_server_that_closes_breaks_an_export_off(base: duckdb.DuckDBPyConnection, tmp_path: Path) -> None:
    made, begun = server(base, tmp_path / "s"), threading.Event()

    def take(_table: str, reader: pa.RecordBatchReader) -> None:
        for _ in reader:
            begun.set()

    def close() -> None:
        begun.wait()
        made.close()

    closer = threading.Thread(target=close)
    closer.start()
    with pytest.raises(ReadRefused):
        export(tmp_path / "s", "endless", take, 60)
    closer.join()


def test_a_conversation_that_is_cut_is_no_export(tmp_path: Path) -> None:
    """A server that ends after the first table, or within it, has not answered."""
    sink = pa.BufferOutputStream()
    table = pa.table({"i": list(range(1000))})
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    lines = [json.dumps(each).encode() + b"\n" for each in ({"ok": True, "positions": []}, {"ok": True, "table": "t"})]
    whole = b"".join([*lines, sink.getvalue().to_pybytes()])
    for end in (0, 5, len(lines[0]), len(lines[0]) + 3, len(whole) - 2000, len(whole) - 1, len(whole)):
        path = tmp_path / f"s{end}"
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listener:
            listener.bind(str(path))
            listener.listen()
            answering = threading.Thread(target=_answer, args=(listener, whole[:end]))
            answering.start()
            with pytest.raises(ReadRefused):
                export(path, "both", Took(), 60)
            answering.join()


def _answer(listener: socket.socket, answer: bytes) -> None:
    link, _ = listener.accept()
    with link:
        link.recv(1 << 16)
        link.sendall(answer)
