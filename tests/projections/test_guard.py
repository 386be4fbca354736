"""What readers may ask of the information base, and every way round the guard that we could think of."""

from collections.abc import Iterator

import duckdb
import pytest
from hypothesis import given
from hypothesis import strategies as st

from projections import guard
from projections.guard import QueryRefused, check
from tests.support.guarded import HOMES


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Iterator[duckdb.DuckDBPyConnection]:
    """One base for all: the guard never runs what it is shown."""
    with duckdb.connect(tmp_path_factory.mktemp("base") / "base.duckdb") as connection:
        connection.execute(HOMES)
        yield connection


ORDINARY = [
    "SELECT * FROM homes",
    "select count(*), sum(beds), avg(beds) filter (where beds > 1) from homes group by code order by all limit 5;",
    "FROM homes SELECT upper(name), name || code, beds + 1, beds // 2, -beds, beds % 3, name LIKE '静%', code ~ 'a'",
    "SELECT * EXCLUDE (name) REPLACE (upper(code) AS code) RENAME (beds AS n) FROM homes",
    "SELECT columns('b.*') FROM homes",
    "WITH a AS (SELECT * FROM homes), b AS (FROM a) SELECT * FROM a JOIN b USING (code)",
    "WITH RECURSIVE r AS (SELECT 1 AS i UNION ALL SELECT i + 1 FROM r WHERE i < 5) SELECT i FROM r",
    "SELECT code, row_number() OVER w, lag(beds) OVER w FROM homes WINDOW w AS (PARTITION BY code ORDER BY beds)",
    "SELECT * FROM homes QUALIFY row_number() OVER (PARTITION BY code ORDER BY opened DESC NULLS LAST) = 1",
    "SELECT list_transform(tags, lambda x: upper(x)), [t || '!' FOR t IN tags IF t <> ''], tags[1], tags[1:2] FROM homes",
    "SELECT place.city, struct_pack(a := 1), {'a': 1}, map {'a': 1}, row(1, 2) FROM homes",
    "SELECT unnest(tags) FROM homes",
    "SELECT t FROM homes, unnest(tags) AS u(t)",
    "SELECT * FROM homes, LATERAL (SELECT beds * 2 AS twice)",
    "SELECT * FROM range(3) AS r(i), generate_series(1, 2) AS s(j)",
    "SELECT body->>'$.a', body->'a', json_extract_string(body, '$.b') FROM facts",
    "SELECT j.key, j.value FROM facts, json_each(body) AS j",
    "SELECT CAST(opened AS VARCHAR), opened::TIMESTAMP, TRY_CAST(code AS DECIMAL(18, 4)), opened + INTERVAL 1 DAY FROM homes",
    "SELECT date_trunc('month', opened), extract(year FROM opened), strftime(opened, '%Y'), current_date FROM homes",
    "SELECT now() AT TIME ZONE 'Asia/Shanghai'",
    "SELECT CASE WHEN beds BETWEEN 1 AND 9 THEN 'small' ELSE coalesce(name, '') END FROM homes WHERE NOT (beds IS NULL)",
    "SELECT * FROM homes h WHERE EXISTS (FROM facts f WHERE f.code = h.code) OR code IN (SELECT code FROM facts)",
    "SELECT name FROM homes ORDER BY name COLLATE nocase",
    "SELECT lpad(code, 6, '0'), code.lpad(6, '0'), rpad(code, 1000, ' ') FROM homes",
    "SELECT * FROM homes ASOF JOIN facts ON homes.code >= facts.code",
    "SELECT 1 UNION ALL BY NAME SELECT 2",
    "VALUES (1, 'a'), (2, 'b')",
    "TABLE homes",
    "PIVOT homes ON code IN ('a', 'b') USING sum(beds)",
    "UNPIVOT (SELECT code, beds, beds AS more FROM homes) ON beds, more INTO NAME n VALUE v",
    "SELECT regexp_extract(name, '(.)养', 1), string_agg(name, '、' ORDER BY name), median(beds) FROM homes GROUP BY name",
    "SELECT * FROM homes USING SAMPLE 10 ROWS",
    "SELECT sum(beds) FROM homes GROUP BY GROUPING SETS ((code), ())",
    "SELECT try(1 / 0), 5!, @ -5, 2 ** 3, ~1, 1 << 2",
    "SELECT code AS \"checkpoint\", 'read_csv(''x'')' AS getenv FROM homes -- checkpoint()",
    "/* a; b */ SELECT $$ ; DROP TABLE homes $$ ; ",
    "SELECT * FROM homes_asof(DATE '2024-01-01')",
    "SELECT * FROM large",
    "SELECT * FROM main.homes",
    "SELECT * FROM base.main.HOMES",
    "DESCRIBE homes",
    "DESCRIBE SELECT code FROM homes",
    "SUMMARIZE homes",
    "SHOW TABLES",
    "SHOW ALL TABLES",
    "SELECT * FROM (DESCRIBE homes)",
    "SELECT table_name FROM information_schema.tables",
    "SELECT column_name FROM information_schema.columns WHERE table_name = 'homes'",
    "SELECT table_name, estimated_size FROM duckdb_tables()",
    "SELECT * FROM duckdb_columns",
    "SELECT version(), typeof(1), current_database()",
]


@pytest.mark.parametrize("sql", ORDINARY)
def test_ordinary_questions_pass_and_run(base: duckdb.DuckDBPyConnection, sql: str) -> None:
    check(base, sql)
    base.execute("BEGIN TRANSACTION READ ONLY")
    base.execute(sql).fetchall()
    base.execute("ROLLBACK")


def test_parameters_of_both_styles_pass(base: duckdb.DuckDBPyConnection) -> None:
    check(base, "SELECT * FROM homes WHERE code = ? AND beds > ? LIMIT ?")
    check(base, "SELECT * FROM homes_asof($day::DATE) WHERE code = $code")


# Every place of the grammar where an expression may stand; {} is the forbidden call.
PLACES = """
    SELECT {}
    SELECT 1 WHERE {} = ''
    SELECT 1 GROUP BY {}
    SELECT 1 HAVING {}
    SELECT 1 QUALIFY {}
    SELECT 1 ORDER BY {}
    SELECT 1 LIMIT {}
    SELECT 1 LIMIT 1 OFFSET {}
    SELECT 1 LIMIT ({})%
    SELECT DISTINCT ON ({}) 1
    SELECT sum(beds) FILTER (WHERE {}) FROM homes
    SELECT sum(beds ORDER BY {}) FROM homes
    SELECT sum(beds) OVER (PARTITION BY {}) FROM homes
    SELECT sum(beds) OVER (ORDER BY {}) FROM homes
    SELECT sum(beds) OVER (ORDER BY beds ROWS BETWEEN {} PRECEDING AND CURRENT ROW) FROM homes
    SELECT sum(beds) OVER (ORDER BY beds ROWS BETWEEN CURRENT ROW AND {} FOLLOWING) FROM homes
    SELECT sum(beds) FILTER (WHERE {}) OVER () FROM homes
    SELECT sum(beds ORDER BY {}) OVER () FROM homes
    SELECT lead(beds, {}, 1) OVER () FROM homes
    SELECT lead(beds, 1, {}) OVER () FROM homes
    SELECT sum({}) OVER () FROM homes
    SELECT sum(beds) OVER w FROM homes WINDOW w AS (ORDER BY {})
    SELECT beds FROM homes GROUP BY GROUPING SETS (({}), ())
    SELECT beds FROM homes GROUP BY ROLLUP ({})
    SELECT beds FROM homes GROUP BY CUBE ({})
    FROM homes JOIN homes u ON {} = ''
    FROM homes LEFT JOIN LATERAL (SELECT {}) ON true
    FROM homes ASOF JOIN homes u ON homes.beds >= {}
    FROM homes POSITIONAL JOIN (SELECT {})
    WITH x AS (SELECT {}) FROM x
    WITH x AS NOT MATERIALIZED (SELECT {}) FROM x
    WITH unused AS (SELECT {}) SELECT 1
    WITH x AS (WITH y AS (SELECT {}) FROM y) FROM x
    WITH RECURSIVE x AS (SELECT 1 UNION ALL SELECT {} FROM x) FROM x
    WITH RECURSIVE x AS (SELECT {} UNION ALL SELECT 1 FROM x) FROM x
    WITH RECURSIVE x USING KEY (a) AS (SELECT 1 a UNION SELECT {} FROM x) FROM x
    WITH "{{quoted}} name" AS (SELECT {}) SELECT 1
    SELECT 1 UNION SELECT {}
    SELECT 1 EXCEPT ALL (SELECT {})
    SELECT 1 INTERSECT SELECT {}
    VALUES (1), ({})
    FROM (VALUES ({})) v(a)
    FROM range({})
    FROM range(1, {})
    FROM json_each({})
    FROM unnest([{}])
    SELECT list_transform([1], x -> {})
    SELECT list_transform([1], lambda x: {})
    SELECT [{} FOR x IN [1]]
    SELECT [x FOR x IN {}]
    SELECT [x FOR x IN [1] IF {}]
    SELECT {{'a': {}}}
    SELECT {{'function_name': 'upper', 'class': 'CONSTANT', 'a': {}}}
    SELECT struct_pack("function_name" := {})
    SELECT map {{{}: 1}}
    SELECT map {{1: {}}}
    SELECT [{}]
    SELECT ({}, 1)
    SELECT array(SELECT {})
    SELECT tags[{}] FROM homes
    SELECT tags[1:{}] FROM homes
    SELECT tags[1:2:{}] FROM homes
    SELECT INTERVAL ({}) DAY
    SELECT {}::VARCHAR
    SELECT TRY_CAST({} AS INT)
    SELECT CASE WHEN {} THEN 1 END
    SELECT CASE {} WHEN 1 THEN 1 END
    SELECT CASE WHEN true THEN {} END
    SELECT CASE WHEN true THEN 1 ELSE {} END
    SELECT 1 BETWEEN {} AND 2
    SELECT 1 BETWEEN 1 AND {}
    SELECT 1 IN ({})
    SELECT 1 IN (SELECT {})
    SELECT 1 = ANY (SELECT {})
    SELECT 1 = ANY ([{}])
    SELECT 1 > ALL (SELECT {})
    SELECT EXISTS (SELECT {})
    SELECT (SELECT {})
    SELECT try({})
    SELECT {} COLLATE nocase
    SELECT {} IS NULL
    SELECT {} IS DISTINCT FROM 1
    SELECT NOT {}
    SELECT {} AND true
    SELECT -{}
    SELECT {} || 'a'
    SELECT {} LIKE 'a'
    SELECT 'a' LIKE 'b' ESCAPE {}
    SELECT now() AT TIME ZONE {}
    SELECT extract(year FROM {})
    SELECT coalesce(1, {})
    SELECT columns(c -> {}) FROM homes
    SELECT columns({}) FROM homes
    SELECT * REPLACE ({} AS beds) FROM homes
    SELECT * REPLACE ({} AS "function_name") FROM homes
    SELECT homes.* REPLACE ({} AS beds) FROM homes
    SELECT coalesce(*columns(c -> {})) FROM homes
    SELECT body->>{} FROM facts
    SELECT position({} IN 'a')
    SELECT trim({} FROM 'a')
    SELECT substring('a' FROM {})
    FROM homes AT (TIMESTAMP => {})
    DESCRIBE SELECT {}
    SUMMARIZE SELECT {}
    FROM (SUMMARIZE (SELECT {}))
    PIVOT (SELECT {} AS beds) ON beds IN (1) USING count(*)
    PIVOT homes ON code IN ('a') USING sum({})
    PIVOT homes ON code IN ({}) USING sum(beds)
    PIVOT homes ON code IN (SELECT {}) USING sum(beds)
    PIVOT homes ON code || {} IN ('a') USING sum(beds)
    FROM homes PIVOT (sum({}) FOR code IN ('a'))
    UNPIVOT (SELECT {} a) ON a INTO NAME n VALUE v
    UNPIVOT homes ON columns(c -> {}) INTO NAME n VALUE v
    SELECT lower({}.upper())
    SELECT count(*) FROM homes, homes_asof({})
    FROM homes TABLESAMPLE {}
"""
CALLS = ["nextval('counter')", "read_text('/etc/passwd')", "getenv('HOME')"]


@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize("place", [line.strip() for line in PLACES.strip().splitlines()])
def test_a_forbidden_call_is_refused_wherever_it_stands(base: duckdb.DuckDBPyConnection, place: str, call: str) -> None:
    with pytest.raises(QueryRefused, match=rf"{call.split('(', maxsplit=1)[0]}|PIVOT|cannot parse"):
        check(base, place.format(call))


SPELLINGS = [
    "SELECT NEXTVAL('counter')",
    "SELECT \"NextVal\"('counter')",
    "SELECT main.nextval('counter')",
    "SELECT system.main.nextval('counter')",
    "SELECT pg_catalog.nextval('counter')",
    "SELECT nextval /* harmless */ ('counter')",
    "SELECT nextval--\n('counter')",
    "SELECT\u00a0nextval\u3000('counter')",
    "SELECT ('counter').nextval()",
    "SELECT code.nextval() FROM homes",
    "SELECT code.upper().nextval() FROM homes",
    "SELECT homes.code.nextval() FROM homes",
    "SELECT nextval(DISTINCT 'counter')",
    "SELECT nextval('counter') OVER ()",
    "SELECT nextval($1)",
    "SELECT 'it''s', nextval('counter')",
    "SELECT E'\\'', nextval('counter')",
    "SELECT $a$ ' $a$, nextval('counter')",
]


@pytest.mark.parametrize("sql", SPELLINGS)
def test_a_forbidden_name_is_refused_in_every_spelling(base: duckdb.DuckDBPyConnection, sql: str) -> None:
    with pytest.raises(QueryRefused, match="nextval"):
        check(base, sql)


HARMFUL = """
    arrow_scan(1, 2, 3)
    checkpoint()
    checkpoint('base')
    disable_logging()
    duckdb_databases()
    duckdb_extensions()
    duckdb_functions()
    duckdb_logs()
    duckdb_memory()
    duckdb_secrets()
    duckdb_settings()
    duckdb_temporary_files()
    duckdb_variables()
    enable_logging('QueryLog')
    enable_profiling()
    force_checkpoint()
    getenv('HOME')
    glob('/*')
    histogram('x.csv', a)
    histogram_values('x.csv', a)
    json_execute_serialized_sql('{}')
    pandas_scan(1)
    parquet_metadata('x')
    pragma_database_size()
    pragma_storage_info('homes')
    pragma_table_info('homes')
    python_map_function(1)
    query('SELECT 1')
    query_table('homes')
    query_table(['homes', 'facts'])
    read_blob('x')
    read_csv('x.csv')
    read_csv_auto('x.csv')
    read_duckdb('base.duckdb')
    read_json('x.json')
    read_json_objects('x')
    read_ndjson('x')
    read_parquet('x')
    read_text('/etc/passwd')
    repeat_row(1)
    seq_scan('homes')
    sniff_csv('x.csv')
    sum(1)
    truncate_duckdb_logs()
    unheard_of()
    which_secret('x', 's3')
"""


@pytest.mark.parametrize("call", [line.strip() for line in HARMFUL.strip().splitlines()])
@pytest.mark.parametrize("prefix", ["", "main.", "system.main."])
def test_table_functions_outside_the_list_are_refused(base: duckdb.DuckDBPyConnection, prefix: str, call: str) -> None:
    with pytest.raises(QueryRefused, match=call.split("(", maxsplit=1)[0]):
        check(base, f"SELECT * FROM homes, {prefix}{call}")


@pytest.mark.parametrize(
    "call",
    [
        "current_setting('temp_directory')", "currval('counter')", "current_query()", "getvariable('x')", "setseed(0.5)",
        "write_log('x')", "sleep_ms(10)", "pg_sleep(1)", "parse_duckdb_log_message('QueryLog', '')", "json_serialize_sql('x')",
        "json_deserialize_sql('x')", "json_serialize_plan('x')", "repeat('x', 9)", "list_resize([1], 9)", "bitstring('1', 9)",
        "printf('%9d', 1)", "format('{:>9}', 'x')", "in_search_path('a', 'b')", "getenv('x')", "cast_to_type(1, 2)", "stats(1)",
    ],
)  # fmt: skip
def test_scalar_functions_outside_the_list_are_refused(base: duckdb.DuckDBPyConnection, call: str) -> None:
    with pytest.raises(QueryRefused, match=call.split("(", maxsplit=1)[0]):
        check(base, f"SELECT {call}")


NOT_ONE_SELECT = """
    INSERT INTO homes (code) VALUES ('c')
    WITH x AS (SELECT 'c') INSERT INTO homes (code) SELECT * FROM x
    WITH x AS (SELECT 1) DELETE FROM homes
    WITH x AS (INSERT INTO homes (code) VALUES ('c') RETURNING *) FROM x
    FROM (DELETE FROM homes RETURNING *)
    UPDATE homes SET beds = 0
    DELETE FROM homes
    MERGE INTO homes USING facts USING (code) WHEN MATCHED THEN DELETE
    TRUNCATE homes
    CREATE TEMP TABLE t AS SELECT 1
    CREATE MACRO sum(x) AS nextval('counter')
    CREATE VIEW v AS SELECT 1
    DROP TABLE homes
    ALTER TABLE homes ADD COLUMN z INT
    COPY homes TO 'out.csv'
    COPY (SELECT 1) TO 'out.csv'
    EXPORT DATABASE 'out'
    IMPORT DATABASE 'out'
    ATTACH ':memory:' AS other
    DETACH base
    USE base
    LOAD json
    INSTALL httpfs
    PRAGMA table_info('homes')
    PRAGMA database_size
    PRAGMA memory_limit='1GB'
    SET threads = 1
    SET VARIABLE x = 1
    RESET threads
    CALL pragma_version()
    CHECKPOINT
    VACUUM
    ANALYZE
    BEGIN
    COMMIT
    ROLLBACK
    EXPLAIN SELECT 1
    EXPLAIN ANALYZE INSERT INTO homes (code) VALUES ('c')
    PREPARE p AS SELECT 1
    EXECUTE p
    PIVOT homes ON code USING sum(beds)
    FROM (PIVOT homes ON code)
    SELECT 1; SELECT 2
    SELECT 1; DROP TABLE homes
    SELECT 1; COMMIT; DROP TABLE homes;
    SELECT 1 INTO t
    SELECT * FROM homes FOR UPDATE
    SELECT sum(beds) EXPORT_STATE FROM homes
    SELEC 1
    SELECT (
    ;
    -- nothing
"""


@pytest.mark.parametrize("sql", ["", *(line.strip() for line in NOT_ONE_SELECT.strip().splitlines())])
def test_anything_but_one_select_is_refused_and_leaves_no_trace(base: duckdb.DuckDBPyConnection, sql: str) -> None:
    with pytest.raises(QueryRefused):
        check(base, sql)
    assert base.execute("SELECT count(*) FROM homes").fetchall() == [(2,)]


@pytest.mark.parametrize(
    "table",
    [
        "'x.csv'", '"x.csv"', "x.csv", "base.csv", "main.csv", "recurring.csv", "'/etc/passwd'", "'s3://a/b.parquet'", "'*.json'",
        "'base.duckdb'", "'https://a/b'", "pg_catalog.pg_settings", "pg_settings", "PG_SETTINGS", "duckdb_logs",
        "main.duckdb_databases", "pragma_database_list", "other.homes",
    ],
)  # fmt: skip
@pytest.mark.parametrize("sql", ["SELECT * FROM {}", "SELECT (SELECT 1 FROM {})", "DESCRIBE {}", "SUMMARIZE {}", "TABLE {}"])
def test_files_and_closed_views_are_no_tables(base: duckdb.DuckDBPyConnection, sql: str, table: str) -> None:
    with pytest.raises(QueryRefused):
        check(base, sql.format(table))


@pytest.mark.parametrize(
    "sql",
    [
        """SELECT (WITH "x.csv" AS (SELECT 1) SELECT 1), * FROM 'x.csv'""",
        "WITH csv AS (SELECT 1) SELECT * FROM x.csv",
        "SELECT * FROM (WITH csv AS (SELECT 1) FROM csv), base.csv",
    ],
)
def test_a_with_name_does_not_lend_its_name_to_a_file(base: duckdb.DuckDBPyConnection, sql: str) -> None:
    with pytest.raises(QueryRefused):
        check(base, sql)


def test_macros_are_open_when_asof_or_named_by_the_caller(base: duckdb.DuckDBPyConnection) -> None:
    check(base, "SELECT * FROM homes_asof(DATE '2024-01-01')")
    check(base, "SELECT Fee(beds) FROM occupied()", macros={"FEE", "occupied"})
    with pytest.raises(QueryRefused, match="fee"):
        check(base, "SELECT fee(beds) FROM homes")
    with pytest.raises(QueryRefused, match="occupied"):
        check(base, "SELECT * FROM occupied()", macros={"fee"})


def test_naming_a_macro_opens_nothing_else(base: duckdb.DuckDBPyConnection) -> None:
    with pytest.raises(QueryRefused, match="nextval"):
        check(base, "SELECT fee(nextval('counter'))", macros={"fee"})


def test_no_function_of_duckdb_itself_ends_like_our_macros(base: duckdb.DuckDBPyConnection) -> None:
    names = base.execute("SELECT function_name FROM duckdb_functions() WHERE internal").fetchall()
    assert [name for (name,) in names if name.endswith("_asof")] == []


def test_the_list_names_only_functions_without_side_effects(base: duckdb.DuckDBPyConnection) -> None:
    acting = base.execute("SELECT DISTINCT lower(function_name) FROM duckdb_functions() WHERE has_side_effects").fetchall()
    volatile = {"error", "random", "gen_random_uuid", "uuid", "uuidv4", "uuidv7"}
    assert {name for (name,) in acting} & guard.FUNCTIONS <= volatile


def test_the_list_names_only_functions_that_duckdb_has(base: duckdb.DuckDBPyConnection) -> None:
    known = {name for (name,) in base.execute("SELECT DISTINCT lower(function_name) FROM duckdb_functions()").fetchall()}
    assert (guard.FUNCTIONS | guard.TABLE_FUNCTIONS) - known == set()


@pytest.mark.parametrize("sql", ["SELECT 1\0; DROP TABLE homes", "\0", "SELECT 'a\0b'", "SELECT '\ud800'"])
def test_text_that_parsers_may_cut_is_refused(base: duckdb.DuckDBPyConnection, sql: str) -> None:
    with pytest.raises(QueryRefused):
        check(base, sql)


CROWDED = {
    "characters": f"SELECT '{'x' * 40_000}'",
    "comments": "/*" * 9_000 + "*/" * 9_000 + "SELECT 1",
    "nested calls": "SELECT " + "abs(" * 900 + "1" + ")" * 900,
    "deep arithmetic": "SELECT 1" + "+1" * 950,
    "deep parentheses": "SELECT " + "(" * 15_000 + "1" + ")" * 15_000,
    "subqueries": "SELECT " + "(SELECT " * 30 + "1" + ")" * 30,
    "correlated": "SELECT 1 WHERE " + "EXISTS (SELECT 1 WHERE " * 30 + "true" + ")" * 30,
    "lambdas": "SELECT " + "list_transform([1], lambda x: " * 30 + "1" + ")" * 30,
    "joins": "SELECT count(*) FROM homes t0" + "".join(f" JOIN homes t{i} USING (code)" for i in range(1, 100)),
    "functions": "SELECT count(*) FROM range(1)" + ", range(1)" * 100,
    "doubling": "WITH a0 AS (FROM homes)" + "".join(f", a{i} AS (FROM a{i - 1}, A{i - 1} b)" for i in range(1, 23)) + " FROM a22",
    "unused doubling": "WITH a0 AS (FROM homes)"
    + "".join(f", a{i} AS (FROM a{i - 1}, a{i - 1} b)" for i in range(1, 23))
    + " SELECT 1",
    "padding": "SELECT lpad('x', 2000000000, 'y')",
    "padding by column": "SELECT rpad('x', beds, 'y') FROM homes",
    "padding by method": "SELECT name.lpad(2000000000, 'y') FROM homes",
    "padding by arithmetic": "SELECT lpad('x', 1000 * 1000000, 'y')",
    "padding by parameter": "SELECT lpad('x', ?, 'y')",
}


@pytest.mark.parametrize("sql", CROWDED.values(), ids=CROWDED.keys())
def test_a_query_that_would_occupy_the_planner_is_refused(base: duckdb.DuckDBPyConnection, sql: str) -> None:
    with pytest.raises(QueryRefused):
        check(base, sql)


def test_a_refusal_names_the_word_and_the_way_out_in_one_sentence(base: duckdb.DuckDBPyConnection) -> None:
    with pytest.raises(QueryRefused) as refusal:
        check(base, "SELECT * FROM Read_Text('/etc/passwd')")
    assert str(refusal.value) == "The function read_text is not open to readers; use those listed in projections/guard.py."


@given(text=st.text(max_size=60))
def test_any_text_is_either_passed_or_refused_in_one_line(base: duckdb.DuckDBPyConnection, text: str) -> None:
    with base.cursor() as cursor:
        try:
            check(cursor, f"SELECT {text}")
        except QueryRefused as refusal:
            assert "\n" not in str(refusal)
