"""What of a reader's SQL is kept: its shape and the base's own names, and no word that the reader brought."""

from collections.abc import Iterator

import duckdb
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from projections.statements import LIMIT, Words, known_columns, masked, named, words_of
from tests.support.bases import empty_base


@pytest.fixture(scope="module")
def base() -> Iterator[duckdb.DuckDBPyConnection]:
    with empty_base() as connection:
        yield connection


@pytest.fixture(scope="module")
def words(base: duckdb.DuckDBPyConnection) -> Words:
    return words_of(base)


@pytest.mark.parametrize(
    ("sql", "kept"),
    [
        ("SELECT phone FROM supply_current WHERE site_name = '张三'", "SELECT phone FROM supply_current WHERE site_name = ?"),
        ("select count(*) from offers_timeline limit 10", "SELECT count ( * ) FROM offers_timeline LIMIT ?"),
        ('SELECT phone AS "张三" FROM offers', "SELECT phone AS word1 FROM offers"),
        ('SELECT zhang.phone, zhang.uscc FROM offers "ZHANG"', "SELECT word1 . phone , word1 . uscc FROM offers word1"),
        ("SELECT 1 -- 张三\n, 2 /* 李四 */ + 3", "SELECT ? , ? + ?"),
        ("SELECT 1 +/* 李四 */ 3", "SELECT ? + ?"),
        ("SELECT $$张三$$, E'张\\'三', 1e9, x'AB'", "SELECT ? , ? , ? , ?"),
        ("FROM supply_asof('2026-01-01', NULL)", "FROM supply_asof ( ? , NULL )"),
        ("SELECT * FROM change_log($name) WHERE version > ?1", "SELECT * FROM change_log ( $ name ) WHERE version > ?"),
        ("SELECT '张三' FRO offers", "SELECT ? word1 offers"),
        ("SELECT '张三", "SELECT"),
        ("", ""),
    ],
)
def test_literals_comments_and_made_up_names_are_not_kept(words: Words, sql: str, kept: str) -> None:
    shown = masked(sql, words)
    assert "张" not in shown and "李" not in shown
    if sql != "SELECT '张三":
        assert shown.replace("? 1", "?") == kept


PLACES = (
    "SELECT '{}'", 'SELECT "{}" FROM offers', "SELECT {} FROM offers", "SELECT phone AS {} FROM offers", "SELECT 1 -- {}",
    "SELECT 1 /* {} */", "SELECT * FROM {}", "SELECT * FROM offers {}", "SELECT $${}$$", "SELECT ${}", "SELECT {}(1)",
    "SELECT phone.{} FROM offers", "SELECT '{}", 'SELECT "{}', "SELECT E'\\'{}", "{}", "SELECT 1; {}", "SELECT {{'{}': 1}}",
    "SELECT lambda {}: {}", "PREPARE {} AS SELECT 1", "SELECT 1::{}", "SELECT [x FOR x IN ['{}']]", "SELECT /* /* {} */ 1",
    "SELECT @{}", "SELECT #{}", "SELECT 1\0{}", "SELECT U&'{}'", "SELECT 1 {}1 {}_2",
)  # fmt: skip
NAMES = st.sampled_from(["zhangsan", "ZhangSan", "张三", "张三丰", "zhang_san", "319999199001011234", "1380013800"])


@settings(max_examples=200)
@given(st.lists(st.tuples(st.sampled_from(PLACES), NAMES), min_size=1, max_size=3))
@example([("SELECT '{}", "zhangsan"), ('SELECT "{}', "zhangsan")])
def test_no_name_that_a_reader_wrote_is_kept_wherever_it_stands(parts: list[tuple[str, str]]) -> None:
    shown = masked(" ".join(place.replace("{}", name) for place, name in parts), words_of(None)).lower()
    assert [name for _, name in parts if name.lower() in shown] == []


@settings(max_examples=300)
@given(st.text(max_size=60))
def test_any_text_is_masked_into_known_words_alone(text: str) -> None:
    shown = masked(text, words_of(None))
    assert len(shown) <= LIMIT
    assert not any(ord(c) > 127 and c.isalnum() for c in shown)
    assert not any(c.isdigit() for part in shown.split() if not part.startswith("word") for c in part if part.isdigit())


def test_a_name_of_the_base_is_kept_as_the_control(words: Words) -> None:
    """The control of the tests above: what is the base's own is found where names would be."""
    assert "site_name" in masked("SELECT site_name AS x FROM supply_current", words)


@pytest.mark.parametrize(
    ("sql", "tables", "columns"),
    [
        ("SELECT phone, site_name FROM supply_current", ["supply_current"], ["phone", "site_name"]),
        ("SELECT * FROM change_log('x')", ["change_log"], ["*"]),
        ("SELECT s.phone FROM supply_asof('2026-01-01', NULL) s JOIN offers USING (entity_id)", ["offers", "supply_asof"], ["phone"]),
        ("SELECT offers[1].capacity FROM supply_history", ["supply_history"], ["offers"]),
        ("WITH phone AS (SELECT grade FROM supply_current) SELECT made_up FROM phone", ["supply_current"], ["grade"]),
        ("SELECT 1", [], []),
        ("DROP TABLE supply_history", [], []),
        ("SELECT * FROM \"张三\"", [], ["*"]),
        ("not sql", [], []),
        ("SELECT " + "(" * 5000 + "1" + ")" * 5000, [], []),
    ],
)  # fmt: skip
def test_tables_and_columns_are_named(
    base: duckdb.DuckDBPyConnection, words: Words, sql: str, tables: list[str], columns: list[str]
) -> None:
    assert named(base, sql, words) == (tables, columns)


def test_a_result_names_its_columns_as_far_as_the_base_has_them(words: Words) -> None:
    assert known_columns(["PHONE", "张三", "capacity", "count_star()"], words) == ["capacity", "phone"]


def test_a_statement_that_is_too_long_is_not_read(words: Words) -> None:
    assert masked("SELECT " + "1," * 20_000, words) == "(40007 characters, not kept)"
    assert len(masked("SELECT " + "phone," * 2_000, words)) == LIMIT
