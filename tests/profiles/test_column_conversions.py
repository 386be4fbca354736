"""Conversions of whole columns: the fast way gives what the definition, one cell at a time, gives."""

from datetime import date, timedelta

import polars as pl
from hypothesis import given
from hypothesis import strategies as st

from connectors.profiles.column_conversions import convert_column, fast, normalised, stated
from connectors.profiles.conversions import Cell, Place, Target, convert, target_at

LIKELY = st.one_of(
    st.text(max_size=12),
    st.text(alphabet="0123456789.,-+ eE０１２，．－ \t", max_size=22),
    st.integers(-(10**20), 10**20).map(str),
    st.decimals(allow_nan=True, allow_infinity=True, places=5).map(str),
    st.floats().map(repr),
    st.dates(date(1800, 1, 1), date(9999, 12, 31)).map(str),
    st.dates().map(lambda day: f"{day.year}年{day.month}月{day.day}日"),
    st.sampled_from(["hospital", "Hospital", "nursing_home", " hospital", "12310000425000014Y", "91340100MA20003690"]),
    st.sampled_from(["91340100MA20003691", "91340100ma20003690", "000000000000000000", "2026-02-29", "2024-02-29", "0000-00-00"]),
    st.text(alphabet="0123456789ABCDEFGHJKLMNPQRTUWXYIOSVZ", min_size=17, max_size=19),
)
TARGETS = [
    *(target_at("supply", path) for path in ("grade", "uscc", "category", "longitude")),
    Target("count", "long"),
    Target("day", "date"),
    target_at("supply", "offers[X].price"),
    target_at("supply", "offers[X].direct_settlement"),
    target_at("service_object", "group_code"),
]


@given(texts=st.lists(st.none() | LIKELY, max_size=8), target=st.sampled_from(TARGETS), nulls=st.sets(LIKELY, max_size=2))
def test_the_column_conversion_gives_what_the_definition_gives(texts: list[str | None], target: Target, nulls: set[str]) -> None:
    cell = Cell(columns=("c",), nulls=frozenset(nulls))
    clean = normalised(pl.DataFrame({"c": pl.Series(texts, dtype=pl.String)}))
    source = clean.select(stated(cell, pl.col("c")).alias("c"))
    settled = fast(cell, target, pl.col("c"))
    ready = source.select(settled).to_series() if settled is not None else None
    found = convert_column(cell, target, source["c"], settled=ready)
    bad, flags = dict(found.bad.rows()), dict(found.flags.rows())
    assert found.values.dtype == target.dtype
    for row, each in enumerate(texts):
        try:
            expected = convert(cell, target, each)
        except ValueError as error:
            assert (found.values[row], bad[row]) == (None, str(error))
        else:
            assert found.values[row] == expected.value
            assert type(found.values[row]) is type(expected.value)
            assert row not in bad
            assert flags.get(row) == (expected.flags[0] if expected.flags else None)


@given(
    names=st.lists(st.sampled_from(["徐汇区", "普陀区", "卢湾区", "余杭区", "乌有区", " 西湖区"]), min_size=1, max_size=5),
    within=st.sampled_from([None, "310000", "330000"]),
    first=st.dates(date(1990, 1, 1), date(2026, 1, 1)),
)
def test_divisions_of_a_column_are_those_of_the_definition(names: list[str], within: str | None, first: date) -> None:
    cell, target = Cell(columns=("c",), division="name"), target_at("supply", "division_code")
    source = normalised(pl.DataFrame({"c": names}))["c"]
    days = [first + timedelta(days=400 * number) for number in range(len(names))]
    nearby = pl.Series([within] * len(names), dtype=pl.String)
    found = convert_column(cell, target, source, within=nearby, on=pl.Series(days))
    bad = dict(found.bad.rows())
    for row, name in enumerate(names):
        try:
            expected = convert(cell, target, name, Place(within, days[row])).value
        except ValueError as error:
            assert bad[row] == str(error)
        else:
            assert found.values[row] == expected
