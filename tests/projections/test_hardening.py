"""A hardened base: what the connection itself refuses, whatever is asked, and what it goes on doing."""

from collections.abc import Iterator
from pathlib import Path

import duckdb
import pyarrow as pa
import pytest

from projections.guard import QueryRefused, check, harden
from tests.support.guarded import HOMES


@pytest.fixture
def own_base(tmp_path: Path) -> Iterator[duckdb.DuckDBPyConnection]:
    with duckdb.connect(tmp_path / "base.duckdb") as connection:
        connection.execute(HOMES)
        yield connection


def test_a_hardened_base_reads_no_files_and_no_python_variables(own_base: duckdb.DuckDBPyConnection, tmp_path: Path) -> None:
    (tmp_path / "x.csv").write_text("a\n1\n")
    batch = pa.table({"a": [1]})
    assert own_base.execute("SELECT count(*) FROM batch").fetchall() == [(1,)]
    harden(own_base)
    for cursor in (own_base, own_base.cursor()):
        for sql in (f"FROM '{tmp_path}/x.csv'", "FROM batch", "FROM read_text('/etc/hostname')", f"ATTACH '{tmp_path}/y.duckdb'"):
            with pytest.raises(duckdb.Error):
                cursor.execute(sql)
    with pytest.raises(duckdb.Error):
        own_base.execute("SET enable_external_access = true")
    assert batch.num_rows == 1


def test_the_writer_goes_on_in_a_hardened_base(tmp_path: Path) -> None:
    with duckdb.connect(tmp_path / "base.duckdb") as base:
        base.execute(HOMES)
        harden(base)
        harden(base)
        base.register("batch", pa.table({"code": ["c"], "beds": [3]}))
        base.execute("BEGIN; INSERT INTO homes (code, beds) SELECT code, beds FROM batch; COMMIT; CHECKPOINT")
        base.execute("SET memory_limit = '500MB'; SET threads = 2; SET checkpoint_threshold = '64MB'")
        base.execute("CREATE TABLE late AS SELECT * FROM range(10000); FORCE CHECKPOINT")
    with duckdb.connect(tmp_path / "base.duckdb") as base:
        assert base.execute("SELECT (SELECT count(*) FROM homes), (SELECT count(*) FROM late)").fetchall() == [(3, 10_000)]


def test_hardening_alone_is_not_enough_so_the_guard_stays(own_base: duckdb.DuckDBPyConnection, tmp_path: Path) -> None:
    harden(own_base)
    own_base.execute("CHECKPOINT")
    # DuckDB always lets a session read the files of its own database: the guard is what keeps readers from the raw bytes.
    sql = f"SELECT size FROM read_blob('{tmp_path}/base.duckdb')"
    assert own_base.execute(sql).fetchall()
    with pytest.raises(QueryRefused, match="read_blob"):
        check(own_base, sql)
