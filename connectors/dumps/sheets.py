"""Reading xls and xlsx workbooks (ECMA-376, MS-XLS) with calamine, after checks that keep a hostile one from harm."""

import io
import re
import zipfile
from collections.abc import Iterator
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from pathlib import Path

import python_calamine as calamine

from connectors.dumps.layout import DumpUnreadable, Layout, header_names, is_blank, names_by_position
from connectors.dumps.pieces import Piece, Rows, ragged

UNPACKED_LIMIT = 2 << 30
"""Most bytes of an unpacked xlsx."""
AREA_LIMIT = 50_000_000
"""Most cells between the first and the last one in use: all of them take memory, however few are filled."""
PIECE_ROWS = 20_000
BLOCK = 1 << 20
CELL_REFERENCE = re.compile(rb"""\sr\s*=\s*["']([A-Z]{1,7})([0-9]{1,12})["']""")
REFERENCE_BYTES = 64
ENCRYPTED = "EncryptedPackage".encode("utf-16-le")
"""The stream that holds an encrypted xlsx inside a compound file (MS-OFFCRYPTO)."""

Value = int | float | str | bool | time | date | datetime | timedelta


class Sheet:
    """The reader of one sheet of a workbook: the one named in the layout, else the only one that holds anything."""

    def __init__(self, path: Path, layout: Layout) -> None:
        self._path = path
        self._sheet = _sheet(path, layout.sheet)
        self._indent = (self._sheet.start or (0, 0))[1]
        header = layout.header
        self._after = 0 if header is None else header
        cells = self._row(header)
        self._columns = header_names(path, cells) if header else names_by_position(path, layout, cells)

    @property
    def columns(self) -> tuple[str, ...]:
        return self._columns

    def pieces(self) -> Iterator[Piece]:
        """The rows after the header; the line of a record is its row in the sheet."""
        rows = Rows(self._columns)
        for number, cells in self._rows():
            if number > self._after:
                self._add(rows, number, rows.fitted(cells))
            if len(rows) == PIECE_ROWS:
                yield rows.piece()
                rows = Rows(self._columns)
        yield rows.piece()

    def _add(self, rows: Rows, number: int, cells: list[str]) -> None:
        if len(cells) == len(self._columns):
            rows.check(number, cells)
        else:
            rows.refuse(number, "\t".join(cells), ragged(number, len(cells), len(self._columns)))

    def _rows(self) -> Iterator[tuple[int, list[str]]]:
        """Rows with their number in the sheet, counted from 1, every one from column A on. Calamine gives the empty rows
        above the first cell in use, and leaves out the empty columns to its left."""
        before = [""] * self._indent
        for number, row in enumerate(self._sheet.iter_rows(), 1):
            yield number, before + [cell_text(value) for value in row]

    def _row(self, number: int | None) -> list[str]:
        """The header, or without one the first row that is not blank."""
        for at, cells in self._rows():
            if number in (None, at) and not is_blank(cells):
                return cells
        where = "any row" if number is None else f"row {number}"
        raise DumpUnreadable(
            f"{self._path.name} holds nothing in {where} of sheet {self._sheet.name!r}, where the profile "
            "expects it: correct the header in the profile"
        )


def cell_text(value: Value) -> str:
    """What the cell says: whole numbers without a fraction, other numbers in the fewest digits that give them back and
    without exponent, dates and times as ISO 8601, `true` and `false`. Error values (#N/A) come as nothing."""
    if isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        return number_text(value)
    return _elapsed(value) if isinstance(value, timedelta) else value.isoformat()


def number_text(value: float) -> str:
    """385.0 is `385`, 1e-05 is `0.00001`; shortest digits, no exponent."""
    text = repr(value)
    if "e" in text:
        text = format(Decimal(text), "f")
    return text.removesuffix(".0")


def _elapsed(value: timedelta) -> str:
    """Hours may exceed 24, as in the format [h]:mm:ss."""
    seconds = round(value.total_seconds())
    sign, seconds = ("-", -seconds) if seconds < 0 else ("", seconds)
    return f"{sign}{seconds // 3600:02d}:{seconds // 60 % 60:02d}:{seconds % 60:02d}"


def _sheet(path: Path, name: str | None) -> calamine.CalamineSheet:
    book = _book(path)
    if name is not None and name not in book.sheet_names:
        raise DumpUnreadable(f"{path.name} has no sheet {name!r}: choose one of {', '.join(map(repr, book.sheet_names))}")
    try:
        sheets = [book.get_sheet_by_name(each) for each in ([name] if name else book.sheet_names)]
    except calamine.CalamineError as error:
        raise _corrupt(path, error) from error
    filled = [sheet for sheet in sheets if sheet.start is not None]
    if len(filled) == 1:
        return filled[0]
    if not filled:
        raise DumpUnreadable(
            f"{path.name} holds nothing in {'any sheet' if name is None else f'sheet {name!r}'}: ask for the dump again"
        )
    names = ", ".join(repr(sheet.name) for sheet in filled)
    raise DumpUnreadable(f"{path.name} has data in several sheets ({names}): name one of them in the profile")


def _book(path: Path) -> calamine.CalamineWorkbook:
    data = path.read_bytes()
    is_archive = data.startswith(b"PK")
    if is_archive:
        _check_archive(path)
    elif ENCRYPTED in data:
        raise _locked(path)
    try:
        if path.suffix.lower() == (".xlsx" if is_archive else ".xls"):
            return calamine.CalamineWorkbook.from_path(path)
        return calamine.CalamineWorkbook.from_filelike(io.BytesIO(data))  # Goes by the content, not by a wrong name.
    except calamine.PasswordError:
        raise _locked(path) from None
    except calamine.CalamineError as error:
        raise _corrupt(path, error) from error


def _locked(path: Path) -> DumpUnreadable:
    return DumpUnreadable(f"{path.name} is protected by a password: ask for it without one")


def _corrupt(path: Path, error: Exception) -> DumpUnreadable:
    return DumpUnreadable(f"{path.name} is damaged and no workbook that can be read ({error}): ask for the dump again")


def _check_archive(path: Path) -> None:
    """Refuses an archive that unpacks to too much, is damaged, or whose cells lie too far apart to be held."""
    try:
        with zipfile.ZipFile(path) as archive:
            size = sum(entry.file_size for entry in archive.infolist())
            if size > UNPACKED_LIMIT:
                raise DumpUnreadable(f"{path.name} unpacks to {size} bytes, the limit is {UNPACKED_LIMIT}: ask for csv instead")
            if "xl/workbook.xml" not in archive.namelist():
                raise DumpUnreadable(f"{path.name} is an archive without a workbook: unpack it, or save it as xlsx")
            for entry in archive.infolist():
                _check_entry(path, archive, entry)
    except (zipfile.BadZipFile, NotImplementedError, RuntimeError, EOFError, OSError) as error:
        raise _corrupt(path, error) from error


def _check_entry(path: Path, archive: zipfile.ZipFile, entry: zipfile.ZipInfo) -> None:
    """Reads one entry to its end, which checks its size and CRC, and measures the area of the cells in it, if it has any:
    a sheet may have any name."""
    columns: set[bytes] = set()
    rows, rest = 1, b""
    with archive.open(entry) as file:
        while block := file.read(BLOCK):
            found = CELL_REFERENCE.findall(rest + block)
            columns.update(letters for letters, _ in found)
            rows = max(rows, *(int(number) for _, number in found), rows)
            rest = block[-REFERENCE_BYTES:]
    width = max(map(_column_number, columns), default=1)
    if rows * width > AREA_LIMIT:
        raise DumpUnreadable(
            f"{path.name} spreads its cells over {rows} rows and {width} columns, "
            f"the limit is {AREA_LIMIT} cells: delete the stray ones, or ask for csv"
        )


def _column_number(letters: bytes) -> int:
    """A is 1, Z is 26, AA is 27."""
    number = 0
    for letter in letters:
        number = number * 26 + letter - ord("A") + 1
    return number
