"""What `yrd query` and the lists print: a result as table, CSV, JSON or Parquet."""

import sys
from itertools import count
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow as pa
import pyarrow.parquet

from connectors.commands.printing import print_table, talk
from connectors.home.refused import Refused
from connectors.reading import forms

SHOWN_ROWS = 200
"""Rows of a result that are printed as a table; the rest is counted. Other formats give all."""
DIFFERENCES = (
    {name: pa.string() for name in ("kind", "publisher", "business_key", "change", "field", "before", "after")}
    | {"valid_from": pa.date32(), "valid_to": pa.date32()}
    | {name: pa.string() for name in ("entity_id", "event_before", "event_after")}
)
"""Columns of `yrd audit diff`."""


def print_result(table: pa.Table, form: str, output: Path | None = None) -> None:
    """A query's result in a form: table, csv, json (one array of objects) or parquet (to a file)."""
    table = table.rename_columns(_told_apart(table.column_names))
    frame = pl.from_arrow(table)
    assert isinstance(frame, pl.DataFrame)
    if form == "parquet":
        if output is None:
            raise Refused("Parquet is written to a file; name it with --output FILE.")
        pa.parquet.write_table(table, output)
    elif form == "json":
        _write(output, forms.as_json(frame))
    elif form == "csv":
        _write(output, forms.as_csv(frame))
    elif form == "table":
        print_table("", frame.columns, frame.head(SHOWN_ROWS).iter_rows())
        if frame.height > SHOWN_ROWS:
            talk.print(f"{frame.height - SHOWN_ROWS:,} further rows; all of them with --format csv, json or parquet.")
    else:
        raise Refused(f'"{form}" is no format; use table, csv, json or parquet.')


def print_listed(table: pa.Table, as_json: bool) -> None:
    """A list that a command asked the base for."""
    print_result(table, "json" if as_json else "table")


def print_differences(rows: list[dict[str, Any]], form: str, output: Path | None) -> None:
    """What differs between two moments. People see the words; the identities are in the forms that programs read."""
    table = pa.Table.from_pylist(rows, pa.schema(list(DIFFERENCES.items())))
    print_result(table.select(list(DIFFERENCES)[1:9]) if form == "table" else table, form, output)


def _write(output: Path | None, content: str) -> None:
    if output is None:
        sys.stdout.write(content)
    else:
        output.write_text(content, "utf-8")


def _told_apart(names: list[str]) -> list[str]:
    """The names of columns, each once: of those that stand twice the later ones are numbered, a, a_1, a_2."""
    found: list[str] = []
    for name in names:
        numbered = (f"{name}_{number}" for number in count(1))
        found.append(name if name not in found else next(each for each in numbered if each not in {*names, *found}))
    return found
