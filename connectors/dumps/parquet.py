"""Reading parquet: batch by batch, every value as the text that a person would write for it."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow as pa
from pyarrow import parquet

from connectors.dumps.documents import Number, compact
from connectors.dumps.layout import BLANKS, CELL_LIMIT, DumpUnreadable, header_names, shortened
from connectors.dumps.pieces import Piece, Refusal
from connectors.dumps.sheets import number_text

BATCH_ROWS = 50_000
WHOLE_LIMIT = 1e15
"""Floats below it are written as whole numbers by way of Int64, exactly."""


class Parquet:
    """The reader of one parquet file."""

    def __init__(self, path: Path) -> None:
        self._path = path
        with self._open() as file:
            self._columns = header_names(path, file.schema_arrow.names)
        if not self._columns:
            raise DumpUnreadable(f"{path.name} has no columns: ask for the dump again")

    @property
    def columns(self) -> tuple[str, ...]:
        return self._columns

    def pieces(self) -> Iterator[Piece]:
        """The rows in file order; the line of a record is its row, counted from 1."""
        first = 1
        with self._open() as file:
            for batch in self._batches(file):
                yield self._piece(batch, first)
                first += batch.height

    def _open(self) -> Any:
        try:
            return parquet.ParquetFile(self._path)
        except (pa.ArrowException, OSError) as error:
            raise self._damaged(error) from error

    def _batches(self, file: Any) -> Iterator[pl.DataFrame]:
        try:
            for batch in file.iter_batches(batch_size=BATCH_ROWS):
                frame = pl.from_arrow(batch.rename_columns(list(self._columns)))
                assert isinstance(frame, pl.DataFrame)
                yield frame
        except (pa.ArrowException, OSError) as error:
            raise self._damaged(error) from error

    def _damaged(self, error: Exception) -> DumpUnreadable:
        return DumpUnreadable(f"{self._path.name} is no parquet file that can be read ({error}): ask for the dump again")

    def _piece(self, batch: pl.DataFrame, first: int) -> Piece:
        table = pl.DataFrame([text_column(column) for column in batch.iter_columns()])
        lines = pl.int_range(first, first + batch.height, eager=True)
        reasons = _reasons(batch, table)
        blank = table.select(pl.all_horizontal(pl.all().str.strip_chars(BLANKS).replace("", None).is_null())).to_series()
        blank &= reasons.is_null()
        table, lines, reasons = table.filter(~blank), lines.filter(~blank), reasons.filter(~blank)
        refused = [
            Refusal(
                place,
                int(lines[place]),
                shortened("\t".join(cell or "" for cell in table.row(place))),
                f"{reasons[place]} in row {lines[place]}",
            )
            for place in reasons.is_not_null().arg_true()
        ]
        return Piece(table.filter(reasons.is_null()), lines, refused)


def text_column(column: pl.Series) -> pl.Series:
    """The values as text, an empty one null: floats in the fewest digits and whole ones without a fraction, decimals with
    all their places, times as ISO 8601, lists and structures as JSON."""
    return _texts(column).cast(pl.String).replace("", None)


def _texts(column: pl.Series) -> pl.Series:
    kind = column.dtype
    if kind.is_float():
        return _floats(column)
    if kind.is_nested():
        return pl.Series(column.name, [None if each is None else compact(_plain(each)) for each in column.to_list()], pl.String)
    if isinstance(kind, pl.Datetime):
        return column.dt.to_string("%Y-%m-%dT%H:%M:%S%.f" + ("%:z" if kind.time_zone else ""))
    if isinstance(kind, pl.Time | pl.Duration):
        return column.dt.to_string("iso")
    if kind == pl.Binary:
        return pl.Series(column.name, [None if each is None else _decoded(each) for each in column.to_list()], pl.String)
    return column.cast(pl.String)


def _decoded(data: bytes) -> str | None:
    try:
        return data.decode()
    except UnicodeDecodeError:
        return None


def _floats(column: pl.Series) -> pl.Series:
    """Polars writes 385.0 and 1e20 where we write 385 and 100000000000000000000."""
    texts = column.cast(pl.String)
    whole = (column == column.floor()) & (column.abs() < WHOLE_LIMIT)
    texts = (
        texts.to_frame("text")
        .select(pl.when(whole).then(column.cast(pl.Int64, strict=False).cast(pl.String)).otherwise(pl.col("text")))
        .to_series()
    )
    odd = texts.str.contains("[e]", literal=False).fill_null(False)
    return texts.scatter(odd.arg_true(), [number_text(float(text)) for text in texts.filter(odd)]) if odd.any() else texts


def _plain(value: Any) -> Any:
    """A nested value in terms of JSON; what JSON has no word for becomes text."""
    if isinstance(value, dict):
        return {key: _plain(each) for key, each in value.items()}
    if isinstance(value, list):
        return [_plain(each) for each in value]
    if isinstance(value, float):
        return Number(number_text(value))
    return value if value is None or isinstance(value, bool | int | str) else str(value)


def _reasons(batch: pl.DataFrame, table: pl.DataFrame) -> pl.Series:
    """Why each row is rejected, null where it is not."""
    faults: list[pl.Series] = []
    for place, (given, text) in enumerate(zip(batch.iter_columns(), table.iter_columns(), strict=True), 1):
        if given.dtype == pl.Binary:
            undecodable = text.is_null() & (given.bin.size() > 0).fill_null(False)
            faults.append(_named(undecodable, f"cell {place} holds bytes that are not UTF-8"))
        if given.dtype in (pl.Binary, pl.String) or given.dtype.is_nested():
            faults.append(_named(text.str.contains("\0", literal=True), f"cell {place} holds a NUL byte"))
            faults.append(_named(text.str.len_bytes() > CELL_LIMIT, f"cell {place} is longer than {CELL_LIMIT} bytes"))
    none = pl.Series("reason", [None] * batch.height, pl.String)
    found = [fault for fault in faults if fault.null_count() < len(fault)]
    return pl.select(pl.coalesce(*found, none)).to_series()


def _named(mask: pl.Series, reason: str) -> pl.Series:
    return pl.select(pl.when(mask).then(pl.lit(reason))).to_series()
