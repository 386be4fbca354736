"""What commands print: tables for people, one JSON object for programs. Data to standard output, talk to standard error."""

import json
import os
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, is_dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow as pa
import pyarrow.parquet
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.table import Table
from rich.text import Text

SHOWN_ROWS = 200
"""Rows of a result that are printed as a table; the rest is counted. Other formats give all."""

WIDTH_IN_PIPES = 160
"""Columns where no terminal says how many it has; a narrow table folds every cell."""

out = Console(highlight=False, width=None if sys.stdout.isatty() or "COLUMNS" in os.environ else WIDTH_IN_PIPES)
talk = Console(stderr=True, highlight=False)


def say(sentence: str) -> None:
    """A sentence on standard output, broken by the terminal alone, so that paths and digests can be copied whole."""
    out.print(sentence, soft_wrap=True)


def tell(sentence: str) -> None:
    """A sentence on standard error, with the moment: what a process that goes on for days has to say."""
    talk.print(f"{datetime.now().astimezone():%Y-%m-%d %H:%M:%S} {sentence}", soft_wrap=True, markup=False)


def ago(seconds: float | None) -> str:
    """A time that has passed, in its largest unit; nothing for None."""
    if seconds is None:
        return ""
    for unit, size in (("d", 86_400), ("h", 3600), ("min", 60)):
        if seconds >= size:
            return f"{seconds / size:.0f} {unit} ago"
    return f"{max(0.0, seconds):.0f} s ago"


def plain(value: Any) -> Any:
    """A value as JSON has it: dates and moments as ISO text, money and identities as text."""
    if is_dataclass(value) and not isinstance(value, type):
        return plain(asdict(value))
    if isinstance(value, Mapping):
        return {str(key): plain(each) for key, each in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [plain(each) for each in value]
    return value if value is None or isinstance(value, str | int | float | bool) else str(value)


def print_json(value: Any) -> None:
    """One JSON value on one line."""
    sys.stdout.write(json.dumps(plain(value), ensure_ascii=False) + "\n")


def print_table(title: str, columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    """A table for people; numbers to the right."""
    table = Table(title=title or None, title_justify="left", title_style="bold", header_style="bold", box=None, pad_edge=False)
    listed = list(rows)
    for number, name in enumerate(columns):
        numeric = all(isinstance(row[number], int | float) or row[number] is None for row in listed) and bool(listed)
        table.add_column(name, justify="right" if numeric else "left", overflow="fold")
    for row in listed:
        # As text, not markup: a pattern such as [a-z] in a cell must not vanish.
        table.add_row(*(Text(shown(value)) for value in row))
    out.print(table)


def shown(value: Any) -> str:
    """A cell for people: nothing for NULL, thousands separated, fractions to four digits."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, float):
        return f"{value:,.4g}" if abs(value) < 1 else f"{value:,.2f}"
    return str(value)


def print_result(table: pa.Table, form: str, output: Path | None) -> None:
    """A query's result in a form: table, csv, json (one array of objects) or parquet (to a file)."""
    frame = pl.from_arrow(table)
    assert isinstance(frame, pl.DataFrame)
    if form == "parquet":
        if output is None:
            raise ValueError("Parquet is written to a file; name it with --output FILE.")
        pa.parquet.write_table(table, output)
    elif form == "json":
        _write(output, json.dumps([plain(row) for row in frame.iter_rows(named=True)], ensure_ascii=False, indent=1) + "\n")
    elif form == "csv":
        _write(output, _flat(frame).write_csv())
    elif form == "table":
        print_table("", frame.columns, frame.head(SHOWN_ROWS).iter_rows())
        if frame.height > SHOWN_ROWS:
            talk.print(f"{frame.height - SHOWN_ROWS:,} further rows; all of them with --format csv, json or parquet.")
    else:
        raise ValueError(f'"{form}" is no format; use table, csv, json or parquet.')


def _flat(frame: pl.DataFrame) -> pl.DataFrame:
    """Lists and records as JSON text, since a CSV cell holds neither."""
    nested = [name for name, dtype in frame.schema.items() if dtype.is_nested() or dtype == pl.Binary]
    texts = [
        pl.Series(
            n, [None if v is None else json.dumps(plain(v), ensure_ascii=False) for v in frame[n].to_list()], dtype=pl.String
        )
        for n in nested
    ]
    return frame.with_columns(texts)


def _write(output: Path | None, content: str) -> None:
    if output is None:
        sys.stdout.write(content)
    else:
        output.write_text(content, "utf-8")


@contextmanager
def progress_bar(doing: str) -> Iterator[Any]:
    """A function (step, number) that moves a progress display, shown only where a terminal watches."""
    columns = (SpinnerColumn(), TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=talk, transient=True, disable=not talk.is_terminal) as progress:
        tasks: dict[str, Any] = {}

        def moved(step: str, number: int) -> None:
            if step not in tasks:
                tasks[step] = progress.add_task(f"{doing}: {step}", total=None)
            progress.advance(tasks[step], number)

        yield moved
