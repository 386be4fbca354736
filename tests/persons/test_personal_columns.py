"""Personal fields packed as columns: byte for byte what is packed row by row."""

from datetime import date
from typing import Any

import polars as pl
from hypothesis import given
from hypothesis import strategies as st

from connectors.persons.columns import packed_columns
from repository.persons.personal import encode_groups, packed
from schemas.contracts import PERSONAL, fields

CELLS = {
    name: st.dates(date(1, 1, 1)) if type_.word == "date" else st.text(st.characters(codec="utf-8"), max_size=100)
    for name, type_ in fields(PERSONAL).items()
}
TYPES = {name: pl.Date if type_.word == "date" else pl.String for name, type_ in fields(PERSONAL).items()}


@given(
    st.sets(st.sampled_from(sorted(CELLS))).flatmap(
        lambda names: st.lists(st.fixed_dictionaries({name: st.none() | CELLS[name] for name in sorted(names)}), max_size=20)
    )
)
def test_columns_and_rows_give_the_same_bytes(rows: list[dict[str, Any]]) -> None:
    names = list(rows[0]) if rows else []
    columns = {name: [row[name] for row in rows] for name in names}
    series = {name: pl.Series(values, dtype=TYPES[name]) for name, values in columns.items()}
    assert packed_columns(series, len(rows)).to_pylist() == packed(encode_groups(columns, len(rows)), len(rows))


def test_long_texts_and_repeated_ones_are_packed_too() -> None:
    texts = ["长" * 30_000, "短", None, "短", ""] * 3
    series = {"address": pl.Series(texts), "card_number": pl.Series([None] * 15, dtype=pl.String)}
    given: dict[str, list[Any]] = {"address": texts, "card_number": [None] * 15}
    assert packed_columns(series, 15).to_pylist() == packed(encode_groups(given, 15), 15)
