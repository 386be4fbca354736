"""The exact way to read delimited text: row by row with Python's csv module (RFC 4180, quoting strict).

It is slow and names every fault. A quote in the middle of an unquoted cell is part of the cell. A record whose quoting
is broken is rejected with its first line only, and reading goes on at the next line: one quote that was never closed
does not swallow the rows after it.
"""

import csv
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from connectors.dumps.encoding import Encoding
from connectors.dumps.layout import CELL_LIMIT, is_blank
from connectors.dumps.pieces import Piece, Rows, ragged

# The limit belongs to the whole process; its default of 128 Ki characters would refuse cells that are allowed here.
csv.field_size_limit(max(csv.field_size_limit(), CELL_LIMIT + 1))


@dataclass(frozen=True)
class Shape:
    """What must be known to read the rows of delimited text."""

    columns: tuple[str, ...]
    delimiter: str
    encoding: Encoding


@dataclass(frozen=True)
class Row:
    """Lines `start` up to `stop` (exclusive) of a text: the cells of the record there, or why it is none."""

    start: int
    stop: int
    cells: list[str]
    fault: str | None = None


def exact_piece(data: bytes, first_line: int, shape: Shape, at_end: bool) -> tuple[Piece, int]:
    """Reads the whole records of UTF-8 text that begins at a record in line `first_line`; returns them and the bytes
    that they take. What may go on beyond the text is left, unless the dump is `at_end`."""
    texts = _lines(data, shape.encoding, at_end)
    suspect = _is_suspect(data)
    rows, taken = Rows(shape.columns), len(texts)
    for row in split_rows(texts, shape.delimiter):
        if row.fault and row.stop == len(texts) and not at_end:
            taken = row.start
            break
        _add(rows, row, texts, first_line, shape=shape, suspect=suspect)
    return rows.piece(), sum(map(len, data.splitlines(keepends=True)[:taken]))


def split_rows(texts: Sequence[str], delimiter: str) -> Iterator[Row]:
    """The records in these lines, each with the lines that it takes."""
    start = 0
    while start < len(texts):
        base = start
        reader = csv.reader(map(texts.__getitem__, range(base, len(texts))), delimiter=delimiter, strict=True)
        try:
            for cells in reader:
                yield Row(start, base + reader.line_num, cells)
                start = base + reader.line_num
        except csv.Error as error:
            yield Row(start, base + reader.line_num, [], str(error))
            start += 1


def _lines(data: bytes, encoding: Encoding, at_end: bool) -> list[str]:
    """The lines of marked text, without a last one that may go on: \\n, \\r\\n and \\r each end a line."""
    lines = data.splitlines(keepends=True)
    if lines and not at_end and not lines[-1].endswith(b"\n"):
        lines.pop()
    return [line.decode("utf-8", encoding.marks) for line in lines]


def _is_suspect(data: bytes) -> bool:
    """Whether a row may hold a NUL, an undecodable byte or a cell that is too long."""
    try:
        data.decode()
    except UnicodeDecodeError:
        return True
    return b"\0" in data or len(data) > CELL_LIMIT


def _add(rows: Rows, row: Row, texts: Sequence[str], first_line: int, *, shape: Shape, suspect: bool) -> None:
    line, cells = first_line + row.start, rows.fitted(row.cells)
    if row.fault:
        rows.refuse(line, texts[row.start], _broken(row, first_line))
    elif is_blank(cells):
        pass  # No record, whatever its width.
    elif len(cells) != len(shape.columns):
        rows.refuse(line, "".join(texts[row.start : row.stop]), ragged(line, len(cells), len(shape.columns)))
    elif suspect:
        rows.check(line, cells, shape.encoding.name)
    else:
        rows.accept(line, cells)


def _broken(row: Row, first_line: int) -> str:
    line, last = first_line + row.start, first_line + row.stop - 1
    fault = row.fault or ""
    if "field limit" in fault:
        return f"a cell of line {line} is longer than {CELL_LIMIT} bytes: a quote may never be closed"
    if "end of data" in fault:
        return f"a quote opened in line {line} is never closed"
    if "expected after" in fault:
        return f"in the record of line {line}, text follows a closing quote in line {last}: double the quotes inside a cell"
    return f"line {line} is no row of delimited text: {fault}"
