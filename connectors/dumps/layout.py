"""What is known about a dump before it is read, the limits put on every dump, and how column names are made."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

FORMATS = ("csv", "tsv", "xls", "xlsx", "json", "jsonl", "parquet")

COLUMNS_LIMIT = 2_000
"""Most columns of a dump; the widest public table we know of (a census by county) has 169."""
CELL_LIMIT = 1 << 20
"""Most bytes of one cell, as UTF-8. A quote that is never closed is noticed after this much text."""
RECORD_LIMIT = 16 << 20
"""Most bytes of one record, as UTF-8; beyond it the file is taken to be no table."""
TEXT_LIMIT = 200
"""Characters of a rejected row that are kept."""
BLANKS = " \t\r\n\v\f\u00a0\u3000\ufeff"
"""What a blank cell may hold; spelled out, so that Python and polars agree on it."""


class DumpUnreadable(ValueError):  # noqa: N818 - it says what is the matter with the dump
    """The whole file is refused; the message names the file, the value and the way out."""


@dataclass(frozen=True)
class Layout:
    """What a source profile says about its file; None means: find out.

    `header` is the line (csv, tsv) or sheet row (xls, xlsx) of the column names, counted from 1, None where there is
    none; the formats that carry their own names ignore it. `columns` names them by position where there is no header.
    `records` is where a json text keeps its records, e.g. `data.data` or `provinces[].cities[].hospitals[]`.
    """

    format: str | None = None
    encoding: str | None = None
    delimiter: str | None = None
    header: int | None = 1
    columns: tuple[str, ...] = ()
    sheet: str | None = None
    records: str | None = None

    def __post_init__(self) -> None:
        if self.format is not None and self.format not in FORMATS:
            raise ValueError(f"unknown dump format {self.format!r}: use one of {', '.join(FORMATS)}")
        one = self.delimiter is None or (len(self.delimiter) == 1 and self.delimiter.isascii())
        if not one or self.delimiter in ('"', "\n", "\r", "\0", " "):
            raise ValueError(f"the delimiter {self.delimiter!r} must be one ASCII character, no quote, blank or line end")
        if self.header is not None and self.header < 1:
            raise ValueError(f"the header cannot be in line {self.header}: lines count from 1, None means no header")
        if self.columns and self.header is not None:
            raise ValueError(f"columns are given by position although line {self.header} is the header: set header to None")


def header_names(path: Path, cells: Sequence[str]) -> tuple[str, ...]:
    """Column names from the cells of a header: blanks stripped, `column_<n>` (from 1) where nothing is left."""
    if len(cells) > COLUMNS_LIMIT:
        raise DumpUnreadable(f"{path.name} has {len(cells)} columns, the limit is {COLUMNS_LIMIT}: is the delimiter right?")
    names = [cell.strip(BLANKS) or f"column_{place}" for place, cell in enumerate(cells, 1)]
    first: dict[str, int] = {}
    for place, name in enumerate(names, 1):
        if name in first:
            raise DumpUnreadable(f"{path.name} names column {name!r} twice, at {first[name]} and {place}: rename one of them")
        first[name] = place
    return tuple(names)


def names_by_position(path: Path, layout: Layout, cells: Sequence[str]) -> tuple[str, ...]:
    """Column names of a dump without a header whose first row is `cells`: the given ones, else `column_<n>`."""
    given = layout.columns
    if not given:
        return header_names(path, [""] * len(cells))
    if len(cells) < len(given) or not is_blank(cells[len(given) :]):
        raise DumpUnreadable(
            f"{path.name} has {len(cells)} columns in its first row, the profile names {len(given)}: correct the profile"
        )
    return header_names(path, given)


def is_blank(cells: Sequence[str | None]) -> bool:
    """Whether no cell holds anything but blanks."""
    return not any(cell and cell.strip(BLANKS) for cell in cells)


def shortened(text: str) -> str:
    """At most TEXT_LIMIT characters of a rejected row, undecodable bytes shown as U+FFFD, for people to read."""
    clean = text.strip("\r\n")[: TEXT_LIMIT + 1].encode("utf-8", "surrogatepass").decode("utf-8", "replace")
    return clean if len(clean) <= TEXT_LIMIT else clean[: TEXT_LIMIT - 1] + "…"
