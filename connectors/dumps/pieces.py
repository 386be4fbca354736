"""A piece of a dump as every format hands it over: a table of text, the line of each record, the rejected ones."""

import re
from array import array
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol, TypeAlias

import polars as pl

from connectors.dumps.encoding import marked_byte
from connectors.dumps.layout import CELL_LIMIT, is_blank, shortened

SUSPECT = re.compile("[\0\ud800-\udfff]")
"""NUL, and the halves of surrogate pairs, as which undecodable bytes are marked."""
Lines: TypeAlias = "range | array[int] | pl.Series"
"""The line of each record, in the cheapest form: most dumps have one record per line."""


@dataclass(frozen=True)
class Refusal:
    """One rejected record; `place` counts the records of its piece from 0."""

    place: int
    line: int
    text: str
    reason: str


@dataclass(frozen=True)
class Piece:
    """Consecutive records: the accepted ones in `table`, the line of every one, accepted or rejected, in `lines`."""

    table: pl.DataFrame
    lines: Lines
    refused: Sequence[Refusal] = ()


class Reader(Protocol):
    """What a format offers: the column names, known before any row is read, and the rows from the first on."""

    @property
    def columns(self) -> tuple[str, ...]: ...

    def pieces(self) -> Iterator[Piece]: ...


class Rows:
    """Collects records that come one at a time and makes a piece of them."""

    def __init__(self, columns: tuple[str, ...]) -> None:
        self._columns = columns
        self._accepted: list[Sequence[str | None]] = []
        self._lines = array("q")
        self._refused: list[Refusal] = []

    def __len__(self) -> int:
        return len(self._lines)

    def fitted(self, cells: list[str]) -> list[str]:
        """The cells, without those beyond the last column where they are all blank."""
        width = len(self._columns)
        return cells[:width] if len(cells) > width and is_blank(cells[width:]) else cells

    def accept(self, line: int, cells: Sequence[str | None]) -> None:
        """Takes a record of as many cells as there are columns; an empty text becomes null."""
        self._accepted.append(cells)
        self._lines.append(line)

    def refuse(self, line: int, text: str, reason: str) -> None:
        self._refused.append(Refusal(len(self._lines), line, shortened(text), reason))
        self._lines.append(line)

    def check(self, line: int, cells: Sequence[str | None], encoding: str | None = None) -> None:
        """Accepts the record, skips a blank one, and rejects one of which a cell holds NUL, half a character or more than
        CELL_LIMIT bytes. `encoding` is what undecodable bytes were read as, where the cells come from marked text."""
        if is_blank(cells):
            return
        found = _first_fault(cells, encoding)
        if found is None:
            self.accept(line, cells)
        else:
            self.refuse(line, "\t".join(cell or "" for cell in cells), f"cell {found[0]} of line {line} {found[1]}")

    def piece(self) -> Piece:
        return Piece(text_table(self._columns, self._accepted), self._lines, self._refused)


def text_table(columns: tuple[str, ...], rows: Sequence[Sequence[str | None]]) -> pl.DataFrame:
    """Rows of cells as columns of text, empty cells null."""
    cells = zip(*rows, strict=True) if rows else ((),) * len(columns)
    table = pl.DataFrame([pl.Series(name, values, pl.String) for name, values in zip(columns, cells, strict=True)])
    return table.with_columns(pl.when(pl.all() != "").then(pl.all()))


def ragged(line: int, cells: int, width: int) -> str:
    """Why a row of too many or too few cells is rejected."""
    return f"line {line} has {cells} cell{'' if cells == 1 else 's'}, the header has {width}"


def _first_fault(cells: Sequence[str | None], encoding: str | None) -> tuple[int, str] | None:
    """The place, from 1, and the fault of the first cell that holds what no table should."""
    text = "".join(filter(None, cells))
    if len(text) * 4 <= CELL_LIMIT and not SUSPECT.search(text):
        return None  # Nearly every record: one search instead of one per cell.
    faults = ((place, _fault(cell, encoding)) for place, cell in enumerate(cells, 1) if cell)
    return next(((place, fault) for place, fault in faults if fault), None)


def _fault(cell: str, encoding: str | None) -> str | None:
    if "\0" in cell:
        return f"holds a NUL byte after {cell.index(chr(0))} characters"
    if not cell.isascii() and (marked := marked_byte(cell)):
        what = f"byte 0x{marked[0]:02X}, which is not {encoding}," if encoding else "half a surrogate pair"
        return f"holds {what} after {marked[1]} characters"
    if len(cell) * 4 > CELL_LIMIT and len(cell.encode()) > CELL_LIMIT:
        return f"is longer than {CELL_LIMIT} bytes"
    return None
