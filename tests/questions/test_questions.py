"""The list of questions: each says what it asks and runs on an empty base."""

import duckdb
import pytest

from projections.questions import Question, load_catalogue, macros, questions
from repository.registers import divisions
from tests.support import controls
from tests.support.bases import NOON, ask, empty_base, picked
from tests.support.controls import OCTOBER, SHANGHAI

EXAMPLES = {
    "on_date": OCTOBER, "of_group": "total", "item": controls.BEDS, "item_pattern": "%", "known_at": None,
    "as_of": NOON, "entity": "none", "months": 6,
}  # fmt: skip


@pytest.fixture(scope="module")
def asked() -> duckdb.DuckDBPyConnection:
    """An empty base, for tests that only ask."""
    return empty_base()


@pytest.mark.parametrize("question", questions(), ids=lambda q: q.name)
def test_every_question_says_what_it_asks_and_runs_on_an_empty_base(asked: duckdb.DuckDBPyConnection, question: Question) -> None:
    names = [p.split(" ")[0] for p in question.parameters]
    call = question.name + (f"({', '.join('?' * len(names))})" if names else "")
    rows = ask(asked, call, *[EXAMPLES[name] for name in names])
    assert question.text.endswith("?") and any("\u4e00" <= c <= "\u9fff" for c in question.text + question.notes)
    if question.name == "all_divisions":
        return
    assert len({row.get("city_code") for row in rows}) in (0, 41)


def test_catalogue_lists_each_question_with_its_parameters() -> None:
    connection = empty_base()
    load_catalogue(connection)
    found = {row["name"]: row["parameters"] for row in ask(connection, "catalogue")}
    assert found["standards_in_force"] == ["on_date", "known_at"] and found["cut_short"] == []
    assert {"freshness", "bd09_to_gcj02_lng", "text_at"} <= macros()


def test_divisions_are_those_of_the_register_and_shanghai_is_the_41st_city() -> None:
    connection = empty_base()
    known = [picked(row, "city_code city") for row in ask(connection, "SELECT * FROM cities ORDER BY city_code")]
    assert known == divisions.cities() and (SHANGHAI, "上海市") in known
    assert ask(connection, "SELECT city_code, city_today FROM all_divisions WHERE code = '332525'") == [
        {"city_code": "332500", "city_today": "331100"}
    ]
    assert ask(connection, "SELECT code FROM all_divisions GROUP BY code HAVING count(*) > 1") == []
