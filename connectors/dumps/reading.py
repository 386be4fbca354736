"""A dump: its format, its columns, its records in numbered chunks, and where in the file each record stands."""

import hashlib
from bisect import bisect_right
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import polars as pl

from connectors.dumps.delimited import Delimited
from connectors.dumps.documents import Document, JsonLines
from connectors.dumps.encoding import Encoding, recognise
from connectors.dumps.layout import DumpUnreadable, Layout
from connectors.dumps.parquet import Parquet
from connectors.dumps.pieces import Lines, Piece, Reader
from connectors.dumps.recognition import recognise_format
from connectors.dumps.sheets import Sheet

TEXT_FORMATS = ("csv", "tsv", "json", "jsonl")
OWN_NAMES = ("json", "jsonl", "parquet")


@dataclass(frozen=True)
class RowRejection:
    """A record that could not be read: its ordinal, its line, the beginning of its text, and why."""

    record: int
    line: int
    text: str
    reason: str


@dataclass(frozen=True)
class Chunk:
    """Consecutive records of a dump.

    `table` has every column as text (pl.String) in file order, exactly as in the file, an empty cell null.
    `records` (Int64, one per row of the table) is the ordinal of each record in the dump, counted from 1 over accepted
    and rejected ones; headers and blank lines are not counted.
    """

    table: pl.DataFrame
    records: pl.Series
    rejected: list[RowRejection]


class Dump:
    """One readable file. It holds no file open between calls, and can be read any number of times."""

    def __init__(self, path: Path, kind: str, encoding: str | None, reader: Reader, chunk_rows: int) -> None:
        self.path = path
        self.format = kind
        self.encoding = encoding
        self._reader, self._chunk_rows = reader, chunk_rows
        self._firsts: list[int] = []
        self._lines: list[Lines] = []
        self._count: int | None = None

    @property
    def columns(self) -> tuple[str, ...]:
        """The column names, in file order."""
        return self._reader.columns

    @cached_property
    def sha256(self) -> str:
        """SHA-256 (FIPS 180-4) of the bytes of the file, in hex; computed when first asked for."""
        with self.path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()

    def chunks(self) -> Iterator[Chunk]:
        """The records from the first on, `chunk_rows` to a chunk; a rejected record counts as one.

        Raises DumpUnreadable where the file turns out to be damaged further on.
        """
        waiting = _Waiting(self.columns)
        for first, piece in self._numbered():
            waiting.add(first, piece)
            while waiting.records >= self._chunk_rows:
                yield waiting.take(self._chunk_rows)
        if waiting.records:
            yield waiting.take(waiting.records)

    def lines(self, records: Iterable[int]) -> dict[int, int]:
        """Where each record stands: the line it begins in (csv, tsv, jsonl), the row of the sheet (xls, xlsx) or of the
        table (parquet), the place in the list (json); all from 1, a header included.

        Raises ValueError for an ordinal that the dump does not have.
        """
        wanted = list(records)
        if self._count is None and any(record >= self._known_until() for record in wanted):
            for _ in self._numbered():
                pass
        return {record: self._line(record) for record in wanted}

    def _numbered(self) -> Iterator[tuple[int, Piece]]:
        """Pieces with the ordinal of their first record; keeps where the lines are."""
        self._firsts, self._lines, self._count = [], [], None
        firsts, lines, first = self._firsts, self._lines, 1
        for piece in self._reader.pieces():
            if len(piece.lines):
                firsts.append(first)
                lines.append(piece.lines)
                yield first, piece
                first += len(piece.lines)
        self._count = first - 1

    def _known_until(self) -> int:
        return self._firsts[-1] + len(self._lines[-1]) if self._firsts else 1

    def _line(self, record: int) -> int:
        if not 1 <= record < self._known_until():
            raise ValueError(f"{self.path.name} has {self._known_until() - 1} records, there is no record {record}")
        place = bisect_right(self._firsts, record) - 1
        return int(self._lines[place][record - self._firsts[place]])


def open_dump(path: Path, layout: Layout | None = None, chunk_rows: int = 100_000) -> Dump:
    """Finds out what the file is and reads its column names.

    `chunk_rows` is the most records in a chunk. Raises DumpUnreadable for a file that cannot be read as a whole: empty,
    of no known format or encoding, damaged, or not as the layout says.
    """
    layout = layout or Layout()
    if chunk_rows < 1:
        raise ValueError(f"a chunk of {chunk_rows} records is impossible: ask for 1 or more")
    if not path.is_file():
        raise DumpUnreadable(f"{path} is no file: correct the path of the dump")
    kind = recognise_format(path, layout.format)
    if layout.columns and kind in OWN_NAMES:
        raise DumpUnreadable(f"{path.name} is {kind} and carries its own column names: leave `columns` out of the profile")
    if kind in TEXT_FORMATS:
        encoding = recognise(path, layout.encoding)
        return Dump(path, kind, encoding.name, _text_reader(path, layout, kind, encoding), chunk_rows)
    return Dump(path, kind, None, Parquet(path) if kind == "parquet" else Sheet(path, layout), chunk_rows)


def _text_reader(path: Path, layout: Layout, kind: str, encoding: Encoding) -> Reader:
    if kind == "json":
        return Document(path, layout, encoding)
    if kind == "jsonl":
        return JsonLines(path, encoding)
    return Delimited(path, layout, encoding, tabs=kind == "tsv")


class _Waiting:
    """Records that have been read and not yet handed out."""

    def __init__(self, columns: tuple[str, ...]) -> None:
        self._tables = [pl.DataFrame(schema=dict.fromkeys(columns, pl.String))]
        self._ordinals = [pl.Series("record", dtype=pl.Int64)]
        self._rejected: list[RowRejection] = []
        self._first = 1
        self.records = 0

    def add(self, first: int, piece: Piece) -> None:
        ordinals = pl.int_range(first, first + len(piece.lines), eager=True).alias("record")
        if piece.refused:
            gone = pl.Series([first + refusal.place for refusal in piece.refused], dtype=pl.Int64)
            ordinals = ordinals.filter(~ordinals.is_in(gone.implode()))
            self._rejected += [RowRejection(first + each.place, each.line, each.text, each.reason) for each in piece.refused]
        self._tables.append(piece.table)
        self._ordinals.append(ordinals)
        self.records += len(piece.lines)

    def take(self, count: int) -> Chunk:
        """The next `count` records, accepted or rejected."""
        table, ordinals, end = pl.concat(self._tables), pl.concat(self._ordinals), self._first + count
        height = int(ordinals.search_sorted(end))
        out = [each for each in self._rejected if each.record < end]
        self._tables, self._ordinals = [table[height:]], [ordinals[height:]]
        self._rejected = self._rejected[len(out) :]
        self._first, self.records = end, self.records - count
        return Chunk(table[:height], ordinals[:height], out)
