"""Reading beside the writer: real DuckDB files, real sockets, and readers that behave badly."""

import json
import socket
import stat
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, closing, contextmanager
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import BinaryIO

import duckdb
import pyarrow as pa
import pytest

from connectors.access.refused import ReadRefused
from connectors.reading.client import call, query
from connectors.reading.conversations import SocketTaken
from connectors.reading.query import Limits, NoServer, query_connection, socket_address
from connectors.reading.server import Operation, ReadServer
from projections.guard import harden

ENDLESS = "SELECT count(*) FROM range(10000000000) a, range(10000000000) b WHERE hash(a.range, b.range) = 1"
WIDE = "SELECT range AS i, md5(range::VARCHAR) AS h FROM range(1000000000)"

Serve = Callable[..., AbstractContextManager[Path]]


@pytest.fixture
def base(tmp_path: Path) -> Iterator[duckdb.DuckDBPyConnection]:
    with duckdb.connect(tmp_path / "base.duckdb") as connection:
        connection.execute("CREATE TABLE homes AS SELECT range AS i, 'home ' || range AS name FROM range(1000)")
        connection.execute("CREATE MACRO homes_asof(n) AS TABLE SELECT * FROM homes WHERE i < n")
        connection.execute("CREATE MACRO twice(n) AS n * 2")
        harden(connection)
        yield connection


@pytest.fixture
def serve(base: duckdb.DuckDBPyConnection, tmp_path: Path) -> Serve:
    @contextmanager
    def serving(limits: Limits | None = None, path: Path = tmp_path / "reads", **operations: Operation) -> Iterator[Path]:
        server = ReadServer(path, base.cursor, operations, limits, macros={"twice"})
        server.start()
        with closing(server):
            yield path

    return serving


@pytest.fixture(autouse=True)
def no_thread_is_left_behind() -> Iterator[None]:
    before = set(threading.enumerate())
    yield
    assert [thread for thread in threading.enumerate() if thread not in before] == []


def count(path: Path) -> int:
    result: int = query(path, "SELECT count(*) AS n FROM homes")["n"][0].as_py()
    return result


def test_a_query_comes_back_as_a_table(serve: Serve) -> None:
    with serve() as path:
        table = query(path, "SELECT i, name FROM homes WHERE i < ? ORDER BY i", [2])
    assert table.to_pydict() == {"i": [0, 1], "name": ["home 0", "home 1"]}


def test_server_and_direct_reading_give_the_same_table(serve: Serve, base: duckdb.DuckDBPyConnection) -> None:
    sql = """SELECT i, name, i::DECIMAL(18, 4) AS fee, DATE '2024-01-01' + i::INTEGER AS d, [name] AS l, {'a': i} AS s,
             TIMESTAMPTZ '2024-01-01 00:00:00+08' AS t, sum(i) OVER () AS total, NULL AS nothing FROM homes ORDER BY i"""
    with serve() as path:
        table = query(path, sql)
    assert table.equals(query_connection(base, sql))
    assert table.num_rows == 1000


def test_a_result_without_rows_keeps_its_columns(serve: Serve) -> None:
    with serve() as path:
        table = query(path, "SELECT i, name FROM homes WHERE false")
    assert (table.num_rows, table.column_names) == (0, ["i", "name"])


def test_a_result_of_many_batches_is_whole(serve: Serve) -> None:
    with serve() as path:
        table = query(path, "SELECT range AS i FROM range(300000)")
    assert table["i"].to_pylist() == list(range(300_000))


def test_parameters_keep_their_types(serve: Serve) -> None:
    values = [date(2024, 1, 2), datetime(2024, 1, 2, 3, 4, 5, 6, tzinfo=UTC), Decimal("1.2345"), "沪", 7, 0.5, True, None, [1, 2]]
    sql = "SELECT " + ", ".join(f"typeof(?) AS c{i}" for i in range(len(values)))
    with serve() as path:
        kinds = list(query(path, sql, values).to_pylist()[0].values())
        assert query(path, "SELECT ? = DATE '2024-01-02' AS d, ? AS t", [values[0], "沪"]).to_pylist() == [{"d": True, "t": "沪"}]
    assert kinds == [
        "DATE", "TIMESTAMP WITH TIME ZONE", "DECIMAL(5,4)", "VARCHAR", "INTEGER", "DOUBLE", "BOOLEAN", '"NULL"', "INTEGER[]",
    ]  # fmt: skip


def test_a_parameter_without_a_place_in_the_protocol_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ReadRefused, match="bytes"):
        query(tmp_path / "reads", "SELECT ?", [b"x"])


def test_macros_of_the_project_may_be_called(serve: Serve) -> None:
    with serve() as path:
        assert query(path, "SELECT twice(count(*)) AS n FROM homes_asof(?)", [10])["n"].to_pylist() == [20]


@pytest.mark.parametrize(
    ("sql", "word"),
    [
        ("INSERT INTO homes VALUES (1, 'x')", "INSERT"),
        ("SELECT * FROM read_text('/etc/passwd')", "read_text"),
        ("SELECT * FROM checkpoint()", "checkpoint"),
        ("SELECT 1; SELECT 2", "2 statements"),
        ("SELEC 1", "SELEC"),
        ("SELECT * FROM nowhere", "nowhere"),
        ("SELECT ?", "parameter"),
        ("SELECT 'x'::INTEGER", "INT32"),
        ("SELECT error('late') FROM homes WHERE i = 999", "late"),
    ],
)
def test_a_readers_mistake_is_one_sentence_and_the_server_goes_on(serve: Serve, sql: str, word: str) -> None:
    with serve() as path:
        with pytest.raises(ReadRefused, match=word) as refusal:
            query(path, sql)
        assert "\n" not in str(refusal.value)
        assert count(path) == 1000


def test_an_error_in_mid_stream_is_an_error_and_not_a_shorter_table(serve: Serve) -> None:
    sql = "SELECT range, CASE WHEN range < 400000 THEN 'ok' ELSE error('row 400000 is broken') END AS s FROM range(500000)"
    with serve() as path:
        with spoken(path, {"op": "query", "sql": sql}) as answer:
            assert json.loads(answer.readline()) == {"ok": True}
            assert 0 < pa.ipc.open_stream(answer).read_all().num_rows < 500_000
            assert "row 400000 is broken" in json.loads(answer.readline())["error"]
        with pytest.raises(ReadRefused, match="row 400000 is broken"):
            query(path, sql)


@pytest.mark.long
def test_a_query_beyond_its_time_is_stopped(serve: Serve, base: duckdb.DuckDBPyConnection) -> None:
    limits = Limits(time_s=3.0)
    with serve(limits) as path:
        with pytest.raises(ReadRefused, match=r"longer than 3 s"):
            query(path, ENDLESS)
        assert count(path) == 1000
    with pytest.raises(ReadRefused, match=r"longer than 3 s"):
        query_connection(base, ENDLESS, (), limits)
    assert query_connection(base, "SELECT 1 AS one", (), limits).num_rows == 1


def test_time_counts_while_rows_are_sent(serve: Serve) -> None:
    with serve(Limits(time_s=0.3, rows=10**12)) as path, pytest.raises(ReadRefused, match=r"longer than 0\.3 s"):
        query(path, WIDE)


def test_a_result_beyond_the_row_limit_is_refused_and_never_cut(serve: Serve, base: duckdb.DuckDBPyConnection) -> None:
    limits = Limits(rows=500)
    with serve(limits) as path:
        with pytest.raises(ReadRefused, match="more than 500 rows"):
            query(path, "SELECT * FROM homes")
        assert query(path, "SELECT * FROM homes LIMIT 500").num_rows == 500
    with pytest.raises(ReadRefused, match="more than 500 rows"):
        query_connection(base, "SELECT * FROM homes", (), limits)


def test_a_direct_read_beside_an_open_write_sees_the_last_commit(base: duckdb.DuckDBPyConnection) -> None:
    base.execute("BEGIN; DELETE FROM homes WHERE i = 0")
    assert query_connection(base, "SELECT count(*) AS n FROM homes")["n"].to_pylist() == [1000]
    base.execute("COMMIT")
    assert query_connection(base, "SELECT count(*) AS n FROM homes")["n"].to_pylist() == [999]


@pytest.mark.long
def test_many_readers_see_whole_commits_while_the_writer_writes(serve: Serve, base: duckdb.DuckDBPyConnection) -> None:
    base.execute("CREATE TABLE events (batch INTEGER); CREATE TABLE checkpoints (batch INTEGER)")
    readers, batches = 16, 30
    begin = threading.Barrier(readers + 1)
    done = threading.Event()

    def write() -> None:
        begin.wait()
        for batch in range(batches):
            base.execute("BEGIN")
            base.execute("INSERT INTO events SELECT ? FROM range(500)", [batch])
            base.execute("INSERT INTO checkpoints VALUES (?)", [batch])
            base.execute("COMMIT")
            if batch % 10 == 9:
                base.execute("CHECKPOINT")
        done.set()

    def read(path: Path) -> list[int]:
        seen = []
        begin.wait()
        while True:
            last = done.is_set()
            sql = "SELECT (SELECT count(*) FROM events) AS e, (SELECT count(*) FROM checkpoints) AS c, (SELECT max(batch) FROM events) AS m"
            row = query(path, sql).to_pylist()[0]
            assert row["e"] == 500 * row["c"]
            assert row["m"] == (row["c"] - 1 if row["c"] else None)
            seen.append(row["c"])
            if last:
                return seen

    with serve(Limits(wait_s=60)) as path, ThreadPoolExecutor(readers + 1) as pool:
        writing = pool.submit(write)
        reading = [pool.submit(read, path) for _ in range(readers)]
        writing.result()
        for seen in (reader.result() for reader in reading):
            assert seen == sorted(seen)
            assert seen[-1] == batches


def test_a_result_is_of_one_commit_even_when_taken_slowly(serve: Serve, base: duckdb.DuckDBPyConnection) -> None:
    base.execute("CREATE TABLE steps AS SELECT range AS i FROM range(500000)")
    with serve() as path, spoken(path, {"op": "query", "sql": "SELECT i FROM steps"}) as answer:
        assert json.loads(answer.readline()) == {"ok": True}
        base.execute("DELETE FROM steps; INSERT INTO steps SELECT -1 FROM range(10); CHECKPOINT")
        table = pa.ipc.open_stream(answer).read_all()
        assert json.loads(answer.readline()) == {"ok": True, "rows": 500_000}
        assert table["i"].to_pylist() == list(range(500_000))
        assert query(path, "SELECT count(*) AS n FROM steps")["n"].to_pylist() == [10]


def test_a_reader_that_hangs_up_in_the_middle_harms_nobody(serve: Serve, base: duckdb.DuckDBPyConnection) -> None:
    with serve(Limits(readers=1, wait_s=60, rows=10**12)) as path:
        with spoken(path, {"op": "query", "sql": WIDE}) as answer:
            assert json.loads(answer.readline()) == {"ok": True}
        # With one place for readers, this is answered only when the one that hung up has lost its place.
        assert count(path) == 1000
        base.execute("INSERT INTO homes VALUES (1000, 'new')")
        assert count(path) == 1001


def test_a_reader_that_hangs_up_before_the_first_row_is_stopped(serve: Serve) -> None:
    with serve(Limits(readers=1, wait_s=60, time_s=3600)) as path:
        with spoken(path, {"op": "query", "sql": ENDLESS}):
            pass
        assert count(path) == 1000


def test_a_readers_error_does_not_disturb_an_open_write(serve: Serve, base: duckdb.DuckDBPyConnection) -> None:
    with serve(Limits(time_s=3.0)) as path:
        base.execute("BEGIN")
        base.execute("DELETE FROM homes WHERE i < 10")
        for sql in ("SELECT error('x') FROM homes", "DELETE FROM homes", "SELECT nothing FROM homes", ENDLESS):
            with pytest.raises(ReadRefused):
                query(path, sql)
        assert count(path) == 1000
        base.execute("COMMIT; CHECKPOINT")
        assert count(path) == 990


def test_readers_beyond_the_places_wait_and_are_then_refused(serve: Serve) -> None:
    with (
        serve(Limits(readers=1, wait_s=0.1, time_s=3600, rows=10**12)) as path,
        spoken(path, {"op": "query", "sql": WIDE}) as answer,
    ):
        assert json.loads(answer.readline()) == {"ok": True}
        with pytest.raises(ReadRefused, match="All 1 readers are at work"):
            count(path)


def test_connections_beyond_the_limit_queue_until_one_is_free(serve: Serve) -> None:
    with serve(Limits(connections=1)) as path, ThreadPoolExecutor(4) as pool:
        assert list(pool.map(count, [path] * 12)) == [1000] * 12


def test_operations_are_called_by_name_even_when_all_places_are_taken(serve: Serve) -> None:
    def rebuild(arguments: dict[str, object]) -> dict[str, object]:
        return {"to": arguments["position"], "on": date(2024, 1, 2)}

    with serve(Limits(readers=1, rows=10**12), rebuild=rebuild) as path, spoken(path, {"op": "query", "sql": WIDE}) as answer:
        assert json.loads(answer.readline()) == {"ok": True}
        assert call(path, "rebuild", position=7) == {"to": 7, "on": "2024-01-02"}


def test_an_operation_that_fails_is_told_to_who_asked(serve: Serve) -> None:
    def rebuild(arguments: dict[str, object]) -> dict[str, object]:
        raise FileNotFoundError("no log at var/log")

    def skip(arguments: dict[str, object]) -> dict[str, object]:
        raise ValueError("No record has the number 7; list them.")

    with serve(rebuild=rebuild, skip=skip) as path:
        with pytest.raises(ReadRefused, match="rebuild failed: FileNotFoundError: no log at var/log"):
            call(path, "rebuild")
        with pytest.raises(ReadRefused, match=r"^No record has the number 7; list them\.$"):
            call(path, "skip")
        with pytest.raises(ReadRefused, match=r"no operation stop; this server knows query, rebuild, skip\."):
            call(path, "stop")
        assert count(path) == 1000


def test_query_is_no_name_for_an_operation(tmp_path: Path, base: duckdb.DuckDBPyConnection) -> None:
    with pytest.raises(ValueError, match="the server's own"):
        ReadServer(tmp_path / "reads", base.cursor, {"query": lambda _: {}})


@pytest.mark.parametrize(
    ("request_line", "word"),
    [
        (b"\n", "not JSON"),
        (b"SELECT 1\n", "not JSON"),
        (b"[" * 5000 + b"\n", "not JSON"),
        (b"\xff\xfe\n", "not JSON"),
        (b"[1]\n", "names no operation"),
        (b'{"sql": "SELECT 1"}\n', "names no operation"),
        (b'{"op": "query"}\n', "text in sql"),
        (b'{"op": "query", "sql": 1}\n', "text in sql"),
        (b'{"op": "query", "sql": "SELECT 1", "params": {"date": "2024-01-01"}}\n', "list in params"),
        (b'{"op": "query", "sql": "SELECT ?", "params": [{"date": "soon"}]}\n', "no date"),
        (b'{"op": "query", "sql": "SELECT ?", "params": [{"pickle": "x"}]}\n', "no date"),
        (b'{"op": "query", "sql": "SELECT ?", "params": [{"date": [1]}]}\n', "no date"),
        (b'{"op": "query", "sql": "SELECT \\ud800"}\n', "not valid Unicode"),
        (b"x" * 3_000_000 + b"\n", "at most 1000000 bytes"),
    ],
)
def test_a_request_that_is_none_is_refused(serve: Serve, request_line: bytes, word: str) -> None:
    with serve() as path:
        with connected(path) as link:
            link.sendall(request_line)
            with link.makefile("rb") as answer:
                assert word in json.loads(answer.readline())["error"]
        assert count(path) == 1000


def test_a_connection_without_a_request_is_forgotten(serve: Serve) -> None:
    with serve(Limits(time_s=3.0, connections=1)) as path:
        with connected(path):
            assert count(path) == 1000
        with connected(path) as link:
            link.sendall(b'{"op"')
        assert count(path) == 1000


def test_nobody_listening_is_told_apart(tmp_path: Path, serve: Serve) -> None:
    with pytest.raises(NoServer, match="No server listens"):
        query(tmp_path / "reads", "SELECT 1")
    with serve() as path:
        assert count(path) == 1000
    with pytest.raises(NoServer, match="No server listens"):
        call(path, "stop")


@pytest.mark.parametrize("answer", [b"", b'{"ok": true}', b'{"ok": true}\n', b"x\n", b'{"ok": true}\nnot arrow'])
def test_an_answer_that_breaks_off_is_an_error(tmp_path: Path, answer: bytes) -> None:
    with impostor(tmp_path / "reads", answer) as path, pytest.raises(ReadRefused, match="ask again"):
        query(path, "SELECT 1")


def test_a_table_without_its_trailer_is_an_error(tmp_path: Path) -> None:
    sink = pa.BufferOutputStream()
    table = pa.table({"i": [1, 2]})
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    answer = b'{"ok": true}\n' + sink.getvalue().to_pybytes()
    with impostor(tmp_path / "reads", answer) as path, pytest.raises(ReadRefused, match="middle of its answer"):
        query(path, "SELECT 1")
    with impostor(tmp_path / "again", answer + b'{"ok": true, "rows": 2}\n') as path:
        assert query(path, "SELECT 1").equals(table)


def test_a_server_that_says_nothing_is_given_up(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as mute:
        mute.bind(str(tmp_path / "reads"))
        mute.listen()
        with pytest.raises(ReadRefused, match=r"did not answer within 0\.05 s"):
            query(tmp_path / "reads", "SELECT 1", timeout_s=0.05)


def test_closing_stops_running_queries_and_says_so(base: duckdb.DuckDBPyConnection, tmp_path: Path) -> None:
    path = tmp_path / "reads"
    server = ReadServer(path, base.cursor, {}, Limits(time_s=3600))
    server.start()
    with spoken(path, {"op": "query", "sql": ENDLESS}) as answer:
        server.close()
        assert "closing" in json.loads(answer.readline())["error"]
    server.close()
    assert not path.exists()
    assert base.execute("SELECT count(*) FROM homes").fetchall() == [(1000,)]


def test_closing_does_not_wait_for_a_reader_that_takes_nothing(
    base: duckdb.DuckDBPyConnection, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("connectors.reading.conversations.CLOSE_S", 0.1)
    server = ReadServer(tmp_path / "reads", base.cursor, {}, Limits(time_s=3600, rows=10**12))
    server.start()
    with spoken(tmp_path / "reads", {"op": "query", "sql": WIDE}) as answer:
        assert json.loads(answer.readline()) == {"ok": True}
        server.close()


def test_a_base_that_was_closed_is_told_to_the_reader(tmp_path: Path) -> None:
    connection = duckdb.connect(tmp_path / "base.duckdb")
    server = ReadServer(tmp_path / "reads", connection.cursor, {})
    server.start()
    with closing(server):
        connection.close()
        with pytest.raises(ReadRefused, match="cannot be read now"):
            query(tmp_path / "reads", "SELECT 1")


def test_the_socket_is_the_owners_alone(serve: Serve) -> None:
    with serve() as path:
        mode = path.stat().st_mode
    assert stat.S_ISSOCK(mode)
    assert stat.S_IMODE(mode) == 0o600


def test_a_socket_deep_in_the_file_system_just_works(serve: Serve, tmp_path: Path) -> None:
    home = tmp_path.joinpath(*["长三角公共服务信息库"] * 12)
    home.mkdir(parents=True)
    with serve(path=home / "reads") as path:
        assert len(bytes(path)) > 300
        assert count(path) == 1000
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        with pytest.raises(SocketTaken, match="Another server"), serve(path=path):
            pass
        assert count(path) == 1000
    assert not path.exists()


def test_a_socket_name_that_no_address_can_hold_is_refused(serve: Serve, tmp_path: Path) -> None:
    with pytest.raises(SocketTaken, match="shorter name"), serve(path=tmp_path / ("r" * 120)):
        pass


def test_a_relative_path_deep_down_keeps_its_meaning(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    home = tmp_path / ("d" * 150)
    home.mkdir()
    (home / "reads").touch()
    monkeypatch.chdir(tmp_path)
    with socket_address(Path("d" * 150, "reads")) as address:
        assert Path(address).samefile(home / "reads")


def test_the_socket_of_a_dead_process_is_replaced(serve: Serve, tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as dead:
        dead.bind(str(tmp_path / "reads"))
    assert (tmp_path / "reads").is_socket()
    with pytest.raises(NoServer):
        query(tmp_path / "reads", "SELECT 1")
    with serve() as path:
        assert count(path) == 1000


def test_a_live_server_is_not_pushed_aside(serve: Serve) -> None:
    with serve() as path:
        with pytest.raises(SocketTaken, match="Another server listens"), serve():
            pass
        assert count(path) == 1000


def test_a_file_that_is_no_socket_is_not_touched(serve: Serve, tmp_path: Path) -> None:
    (tmp_path / "reads").write_text("notes")
    with pytest.raises(SocketTaken, match="not a socket"), serve():
        pass
    assert (tmp_path / "reads").read_text() == "notes"


def test_a_folder_that_is_missing_is_named(serve: Serve, tmp_path: Path) -> None:
    with pytest.raises(SocketTaken, match="No socket can be made"), serve(path=tmp_path / "nowhere" / "reads"):
        pass


@contextmanager
def connected(path: Path) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as link, socket_address(path) as address:
        link.settimeout(60)
        link.connect(address)
        yield link


@contextmanager
def spoken(path: Path, request: dict[str, object]) -> Iterator[BinaryIO]:
    """The raw answer to one request; leaving hangs up."""
    with connected(path) as link:
        link.sendall(json.dumps(request).encode() + b"\n")
        with link.makefile("rb") as answer:
            yield answer


@contextmanager
def impostor(path: Path, answer: bytes) -> Iterator[Path]:
    """A server that takes one request, says `answer` and hangs up."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listener:
        listener.bind(str(path))
        listener.listen()

        def once() -> None:
            link, _ = listener.accept()
            with link, link.makefile("rb") as request:
                request.readline()
                link.sendall(answer)

        thread = threading.Thread(target=once)
        thread.start()
        yield path
        thread.join()
