"""Reading csv and tsv: in columns with pyarrow where the text is clean, row by row where it is not.

The text is cut into portions of about a megabyte at ends of records. A portion whose quoting follows RFC 4180 to the
letter means the same to both readers; pyarrow reads it, two portions at a time. A portion that is anything else, or
that pyarrow refuses, is read the exact way, alone.
"""

from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import polars as pl
import pyarrow as pa
from pyarrow import csv as columnar

from connectors.dumps.encoding import BLOCK, Encoding, blocks, marked_byte
from connectors.dumps.exact import Shape, exact_piece, split_rows
from connectors.dumps.layout import (
    BLANKS,
    CELL_LIMIT,
    RECORD_LIMIT,
    DumpUnreadable,
    Layout,
    header_names,
    is_blank,
    names_by_position,
)
from connectors.dumps.pieces import Lines, Piece

DELIMITERS = (",", "\t", ";", "|")
HEAD = 1 << 20
"""Bytes within which the header must lie."""
WORKERS = 2
"""Portions read at once; pyarrow and polars leave the interpreter to others meanwhile. Four portions are kept at most."""
SMALL = 1 << 16
"""Bytes of a faulty portion that are not worth halving any more."""
UTF8_MARK = b"\xef\xbb\xbf"


@dataclass(frozen=True)
class Portion:
    """Whole records of UTF-8 text: `count` lines, the first of them line `line`."""

    data: bytes
    line: int
    count: int


class Delimited:
    """The reader of one csv or tsv file."""

    def __init__(self, path: Path, layout: Layout, encoding: Encoding, tabs: bool = False, block: int = BLOCK) -> None:
        self._path, self._block, self._encoding = path, block, encoding
        head = _head(path, encoding)
        lines = head.splitlines(keepends=True)
        texts = [line.decode("utf-8", encoding.marks) for line in lines]
        start = _first_line(path, layout, texts)
        delimiter = layout.delimiter or ("\t" if tabs else _delimiter(texts[start]))
        row = next(split_rows(texts[start:], delimiter))
        if row.fault:
            raise DumpUnreadable(f"{path.name} has a quote in line {start + 1} that is not closed: is this the first row?")
        names = _names(path, layout, row.cells, start + 1, encoding)
        self._shape = Shape(names, delimiter, encoding)
        self._skipped = 0 if layout.header is None else start + row.stop
        self._offset = sum(map(len, lines[: self._skipped]))

    @property
    def columns(self) -> tuple[str, ...]:
        return self._shape.columns

    def pieces(self) -> Iterator[Piece]:
        """The rows in file order; memory is bounded by a few blocks."""
        with ThreadPoolExecutor(WORKERS) as pool:
            waiting: deque[Piece | Future[list[Piece]]] = deque()
            for part in self._parts():
                waiting.append(pool.submit(portion_pieces, part, self._shape) if isinstance(part, Portion) else part)
                if len(waiting) > 2 * WORKERS:
                    yield from _result(waiting.popleft())
            while waiting:
                yield from _result(waiting.popleft())

    def _parts(self) -> Iterator[Portion | Piece]:
        """Cuts the text into clean portions; what is not clean is read here, for only reading it shows where it ends."""
        line, rest = self._skipped + 1, b""
        for block in self._body():
            data, at_end = rest + block, not block
            taken = whole_records(data, self._shape.delimiter, at_end)
            exact = None
            if taken is None or data.find(b"\0", 0, taken) >= 0:  # Pyarrow would take NUL, which no table should hold.
                exact, taken = exact_piece(data, line, self._shape, at_end)
            whole, rest = data[:taken], data[taken:]
            count = count_lines(whole)
            if exact or whole:
                yield exact or Portion(whole, line, count)
            line += count
            if len(rest) > RECORD_LIMIT:
                raise DumpUnreadable(
                    f"{self._path.name} has a record of more than {RECORD_LIMIT} bytes in line {line}: is this delimited text?"
                )

    def _body(self) -> Iterator[bytes]:
        """The text after the header, then an empty block."""
        skip = self._offset
        for block in blocks(self._path, self._encoding, self._block):
            if len(block) > skip:
                yield block[skip:]
            skip = max(0, skip - len(block))
        yield b""


def portion_pieces(portion: Portion, shape: Shape) -> list[Piece]:
    """Reads a portion in columns. Where pyarrow refuses it, or its lines do not add up, it is halved, until what is wrong is
    in a small part that is read the exact way."""
    try:
        piece = _columnar_piece(portion, shape)
    except pa.ArrowInvalid:
        piece = None  # A ragged row or an undecodable byte: the exact way finds it, and names it.
    if piece:
        return [piece]
    halves = _halves(portion, shape.delimiter)
    if halves:
        return [piece for half in halves for piece in portion_pieces(half, shape)]
    return [exact_piece(portion.data, portion.line, shape, at_end=True)[0]]


def whole_records(data: bytes, delimiter: str, at_end: bool) -> int | None:
    """How many bytes of text that begins at a record are whole records; None where the quoting is not RFC 4180.

    Strict quoting makes every other quote an opening one: it stands at the beginning of a cell, the next at the end of
    one, or both are an escaped quote. As long as that holds, a line break with an even number of quotes before it ends a
    record; once it does not hold, nobody can tell from the counts.
    """
    if b'"' not in data:
        return len(data) if at_end else _last_break(data, len(data), at_end)
    framed = _codes(b"\n" + data + b"\n")
    quotes = (framed == ord('"')).arg_true()
    cut = _cut(data, quotes, at_end)
    if not cut and len(data) > CELL_LIMIT:
        return None  # A quote may never be closed.
    quotes = quotes.head(quotes.search_sorted(cut, side="right"))
    if len(quotes) % 2:
        return None
    opening, closing = quotes.gather_every(2), quotes.gather_every(2, 1)
    ends = [ord(delimiter), ord("\n"), ord("\r")]
    escaped = opening.shift(-1) == closing + 1
    closes_well = framed.gather(closing + 1).is_in(ends) | escaped.fill_null(False)
    opens_well = framed.gather(opening - 1).is_in(ends) | escaped.shift(1).fill_null(False)
    return cut if closes_well.all() and opens_well.all() else None


def count_lines(data: bytes) -> int:
    """Lines of text, a last one without an end included; \\n, \\r\\n and \\r each end a line."""
    codes = _codes(data)
    ends = _count(codes == ord("\n"))
    if b"\r" in data:
        ends += _count((codes == ord("\r")) & (codes.shift(-1, fill_value=0) != ord("\n")))
    return ends + (data != b"" and not data.endswith((b"\n", b"\r")))


def _halves(portion: Portion, delimiter: str) -> tuple[Portion, Portion] | None:
    """Two parts of the portion, cut where a record ends; None where it is small enough, or cannot be cut."""
    data = portion.data
    cut = whole_records(data[: len(data) // 2], delimiter, at_end=False) if len(data) > SMALL else None
    if not cut:
        return None
    count = count_lines(data[:cut])
    return Portion(data[:cut], portion.line, count), Portion(data[cut:], portion.line + count, portion.count - count)


def _columnar_piece(portion: Portion, shape: Shape) -> Piece | None:
    if portion.data.startswith(UTF8_MARK):
        return None  # A value here, which pyarrow would strip.
    quoted = b'"' in portion.data
    table = _read_columns(portion.data, shape, quoted)
    if len(portion.data) > CELL_LIMIT and _has_long_cell(table):
        return None
    lines: Lines = range(portion.line, portion.line + table.height)
    if table.height != portion.count:
        starts = _starts(table, portion.line)
        if not quoted or starts[-1] != portion.line + portion.count:
            return None  # Lines were passed over as empty; the exact way counts them.
        lines = starts.head(table.height)
    return _without_blank_rows(table, lines)


def _read_columns(data: bytes, shape: Shape, quoted: bool) -> pl.DataFrame:
    table = columnar.read_csv(
        pa.BufferReader(data),
        read_options=columnar.ReadOptions(column_names=shape.columns, use_threads=False, block_size=len(data) + 1),
        parse_options=columnar.ParseOptions(delimiter=shape.delimiter, newlines_in_values=quoted),
        convert_options=columnar.ConvertOptions(
            column_types=dict.fromkeys(shape.columns, pa.string()), null_values=[""], strings_can_be_null=True
        ),
    )
    frame = pl.from_arrow(table)
    assert isinstance(frame, pl.DataFrame)
    return frame


def _has_long_cell(table: pl.DataFrame) -> bool:
    return bool(table.select(pl.max_horizontal(pl.all().str.len_bytes().max()) > CELL_LIMIT).item())


def _starts(table: pl.DataFrame, first: int) -> pl.Series:
    """The line of each row, and the one after the last, from the line breaks inside the cells."""
    breaks = pl.sum_horizontal(pl.all().str.count_matches("\r\n|\n|\r").fill_null(0)).cast(pl.Int64) + 1
    return pl.concat([pl.Series([first]), first + table.select(breaks.cum_sum()).to_series()])


def _without_blank_rows(table: pl.DataFrame, lines: Lines) -> Piece:
    """A row of nothing but blanks is no record. Few rows begin with a blank cell, so the others are not looked at."""
    if not table.select(_blank(pl.nth(0)).any()).item():
        return Piece(table, lines)
    keep = ~table.select(pl.all_horizontal(_blank(pl.all()))).to_series()
    return Piece(table.filter(keep), pl.Series(lines, dtype=pl.Int64).filter(keep))


def _blank(column: pl.Expr) -> pl.Expr:
    return column.is_null() | (column.str.strip_chars(BLANKS) == "")


def _codes(data: bytes) -> pl.Series:
    """The bytes as a column of numbers, not copied; counting in it takes a tenth of what bytes.count does."""
    column = pl.from_arrow(pa.Array.from_buffers(pa.uint8(), len(data), [None, pa.py_buffer(data)]))
    assert isinstance(column, pl.Series)
    return column


def _count(mask: pl.Series) -> int:
    return int(mask.sum())


def _cut(data: bytes, quotes: pl.Series, at_end: bool) -> int:
    """The end of the last record, provided that every other quote opens a cell."""
    stop = len(data)
    if at_end:
        return stop
    while stop := _last_break(data, stop, at_end=stop < len(data)):
        before = int(quotes.search_sorted(stop, side="right"))  # Framed text: each place is one further on.
        if before % 2 == 0:
            return stop
        stop = int(quotes[before - 1]) - 1
    return 0


def _last_break(data: bytes, stop: int, at_end: bool) -> int:
    """Where the last line that ends before `stop` ends; 0 where none does. A \\r at the end may be half of \\r\\n."""
    return max(data.rfind(b"\n", 0, stop), data.rfind(b"\r", 0, stop if at_end else max(0, stop - 1))) + 1


def _result(part: Piece | Future[list[Piece]]) -> list[Piece]:
    return [part] if isinstance(part, Piece) else part.result()


def _head(path: Path, encoding: Encoding) -> bytes:
    head = b""
    for block in blocks(path, encoding):
        head += block
        if len(head) >= HEAD:
            break
    return head


def _first_line(path: Path, layout: Layout, texts: list[str]) -> int:
    """Place, from 0, of the line that is the header, or of the first row where there is none."""
    if layout.header is None:
        start = next((place for place, text in enumerate(texts) if not is_blank([text])), None)
        if start is None:
            raise DumpUnreadable(f"{path.name} holds nothing but blank lines: ask for the dump again")
        return start
    if layout.header > len(texts):
        raise DumpUnreadable(
            f"{path.name} has {len(texts)} lines, the profile says that line {layout.header} is the header: correct it"
        )
    if is_blank([texts[layout.header - 1]]):
        raise DumpUnreadable(f"{path.name} is blank in line {layout.header}, where the profile expects the header: correct it")
    return layout.header - 1


def _names(path: Path, layout: Layout, cells: list[str], line: int, encoding: Encoding) -> tuple[str, ...]:
    if layout.header is None:
        return names_by_position(path, layout, cells)
    for place, cell in enumerate(cells, 1):
        if marked := marked_byte(cell):
            raise DumpUnreadable(
                f"{path.name} holds byte 0x{marked[0]:02X} in cell {place} of its header, line {line}, "
                f"which is not {encoding.name}: set the right encoding"
            )
    return header_names(path, cells)


def _delimiter(text: str) -> str:
    """The one of DELIMITERS that is most frequent outside quotes; the first where there is none."""
    outside = "".join(text.split('"')[::2])
    return max(DELIMITERS, key=outside.count)
