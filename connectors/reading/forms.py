"""A result as text for programs: CSV, or one JSON array of objects."""

import json
from typing import Any

import polars as pl

from connectors.reading.plain import plain


def as_json(frame: pl.DataFrame) -> str:
    """One array with an object for each row, and a line end."""
    return json.dumps([plain(row) for row in frame.iter_rows(named=True)], ensure_ascii=False, indent=1) + "\n"


def as_csv(frame: pl.DataFrame) -> str:
    """Rows under a header; lists and records as JSON, since a cell holds neither."""
    nested = [name for name, dtype in frame.schema.items() if dtype.is_nested() or dtype == pl.Binary]
    texts = [pl.Series(name, list(map(_cell, frame[name].to_list())), dtype=pl.String) for name in nested]
    return frame.with_columns(texts).write_csv()


def _cell(value: Any) -> str | None:
    return None if value is None else json.dumps(plain(value), ensure_ascii=False)
