"""What commands print: tables for people, one JSON object for programs. Data to standard output, talk to standard error."""

import json
import os
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from connectors.reading.plain import plain

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


def warn(sentence: str) -> None:
    """A sentence on standard error, as it is: what was found wrong."""
    talk.print(sentence, soft_wrap=True, markup=False)


def ago(seconds: float | None) -> str:
    """A time that has passed, in its largest unit; nothing for None."""
    if seconds is None:
        return ""
    for unit, size in (("d", 86_400), ("h", 3600), ("min", 60)):
        if seconds >= size:
            return f"{seconds / size:.0f} {unit} ago"
    return f"{max(0.0, seconds):.0f} s ago"


def print_json(value: Any) -> None:
    """One JSON value on one line."""
    sys.stdout.write(json.dumps(plain(value), ensure_ascii=False) + "\n")


def print_outcome(as_json: bool, value: Any, sentence: str) -> None:
    """What came of a command: the value as JSON for programs, or the sentence for people."""
    if as_json:
        print_json(value)
    else:
        say(sentence)


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


@contextmanager
def progress_bar(doing: str) -> Iterator[Any]:
    """A function (step, number) that moves a progress display, shown only where a terminal watches."""
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

    columns = (SpinnerColumn(), TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=talk, transient=True, disable=not talk.is_terminal) as progress:
        tasks: dict[str, Any] = {}

        def moved(step: str, number: int) -> None:
            if step not in tasks:
                tasks[step] = progress.add_task(f"{doing}: {step}", total=None)
            progress.advance(tasks[step], number)

        yield moved
