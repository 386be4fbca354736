"""Cell conversions for whole columns, with the same answers as `conversions.convert` gives for each cell.

`fast` settles in polars every text of which it is certain; the distinct texts that are left go through
`convert`, once each. A property test holds the two equal.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import date
from functools import cache
from typing import Final

import polars as pl

from connectors.profiles.conversions import USCC_SHAPE, Cell, Place, Scalar, Target, convert
from repository.registers import text

_DOUBTFUL: Final = rf"^$|{text.NEEDS_NORMALISING}"
_INTEGER: Final = r"^[+-]?[0-9]{1,18}$"
_DECIMAL: Final = r"^[+-]?[0-9]{1,14}(\.[0-9]{1,4})?$"
_NUMBER: Final = r"^[+-]?[0-9]{1,15}(\.[0-9]{1,17})?$"
_DAY: Final = r"^(19|20)[0-9]{2}-[0-9]{2}-[0-9]{2}$"


@dataclass(frozen=True, slots=True)
class ConvertedColumn:
    """Values of one column in the order of its rows; `bad` (row, reason) and `flags` (row, flag) name exceptions."""

    values: pl.Series
    bad: pl.DataFrame
    flags: pl.DataFrame


BAD: Final = {"row": pl.UInt32(), "reason": pl.String()}
FLAGS: Final = {"row": pl.UInt32(), "flag": pl.String()}


def fast(cell: Cell, target: Target, source: pl.Expr) -> pl.Expr | None:
    """Values of the texts that polars is certain of, null for the rest; None where it is certain of none.

    `source` is already normalised, and null where the cell states nothing.
    """
    if not cell.plain:
        return None
    if target.path == "uscc":
        return _fast_credit_code(source)
    if target.word == "string" and target.judged is None:
        return source if target.codes is None else pl.when(source.is_in(sorted(target.codes))).then(source)
    guarded = _GUARDED.get(target.word)
    return guarded(source) if guarded is not None else None


def _cast_where(pattern: str, dtype: pl.DataType) -> Callable[[pl.Expr], pl.Expr]:
    def cast(source: pl.Expr) -> pl.Expr:
        return pl.when(source.str.contains(pattern)).then(source.cast(dtype, strict=False))

    return cast


def _fast_day(source: pl.Expr) -> pl.Expr:
    return pl.when(source.str.contains(_DAY)).then(source.str.to_date("%Y-%m-%d", strict=False, cache=False))


_GUARDED: Final[Mapping[str, Callable[[pl.Expr], pl.Expr]]] = {
    "int": _cast_where(_INTEGER, pl.Int64()),
    "long": _cast_where(_INTEGER, pl.Int64()),
    "double": _cast_where(_NUMBER, pl.Float64()),
    "decimal": _cast_where(_DECIMAL, pl.Decimal(18, 4)),
    "date": _fast_day,
}


@cache
def _uscc_values() -> pl.Series:
    """Value of each byte in the alphabet of GB 32100-2015, 0 elsewhere."""
    alphabet = "0123456789ABCDEFGHJKLMNPQRTUWXY"
    return pl.Series([max(alphabet.find(chr(byte)), 0) for byte in range(256)], dtype=pl.UInt16)


def _fast_credit_code(source: pl.Expr) -> pl.Expr:
    shaped = pl.when(source.str.contains(USCC_SHAPE)).then(source)
    # Rows without a code of the right form get eighteen zeros, whose sum is 0; `then(shaped)` leaves them null.
    sums = shaped.fill_null("0" * 18).map_batches(_credit_sums, return_dtype=pl.Int64)
    return pl.when(sums % 31 == 0).then(shaped)


def _credit_sums(codes: pl.Series) -> pl.Series:
    """Weighted sum (3^i mod 31, GB 32100-2015) of 18 characters, the last one with weight 1; right: a multiple of 31."""
    octets = codes.cast(pl.Binary).bin.reinterpret(dtype=pl.Array(pl.UInt8, 18)).explode()
    weights = pl.Series([[pow(3, place, 31) for place in range(17)] + [1]], dtype=pl.Array(pl.UInt16, 18))
    return (_uscc_values().gather(octets).reshape((-1, 18)) * weights).arr.sum()


def normalised(table: pl.DataFrame) -> pl.DataFrame:
    """Columns of text as repository.registers.text.normalise leaves them; null where nothing is left."""
    doubtful = table.select((pl.all().str.contains(text.NEEDS_NORMALISING) | (pl.all() == "")).any(ignore_nulls=True))
    names = [name for name in table.columns if doubtful[name].item()]
    return table.with_columns(_normalised(table[name]) for name in names)


def _normalised(column: pl.Series) -> pl.Series:
    # Most doubtful cells only begin or end in blanks, which polars strips faster than Python.
    column = column.str.strip_chars()
    distinct = column.filter(column.str.contains(_DOUBTFUL).fill_null(False)).unique()
    if len(distinct):
        cleaned = pl.Series([text.normalise(each) for each in distinct], dtype=pl.String)
        column = column.replace(distinct, cleaned)
    return column.set(column == "", None)


def stated(cell: Cell, source: pl.Expr) -> pl.Expr:
    """Normalised texts without those that the profile calls null."""
    if not cell.nulls:
        return source
    return pl.when(source.is_in(sorted(cell.nulls))).then(None).otherwise(source)


def convert_column(
    cell: Cell,
    target: Target,
    source: pl.Series,
    *,
    settled: pl.Series | None = None,
    within: pl.Series | None = None,
    on: pl.Series | date | None = None,
) -> ConvertedColumn:
    """Values of one column of normalised texts (null: nothing stated).

    `settled` is what `fast` gave for it. `within` and `on` are for divisions, one per row; `on` may be one day.
    """
    if settled is not None and settled.null_count() == source.null_count():
        return ConvertedColumn(settled, pl.DataFrame(schema=BAD), pl.DataFrame(schema=FLAGS))
    left = source if settled is None else source.set(settled.is_not_null(), None)
    asked = _asked(cell, left, within, on)
    answers = _answers(cell, target, asked, on if isinstance(on, date) else None)
    values = _looked_up(asked, answers, "value")
    if settled is not None:
        values = settled.zip_with(settled.is_not_null(), values)
    return ConvertedColumn(values, _exceptions(asked, answers, "reason"), _exceptions(asked, answers, "flag"))


def _asked(cell: Cell, left: pl.Series, within: pl.Series | None, on: pl.Series | date | None) -> pl.DataFrame:
    """Columns that an answer depends on: text, for divisions also within and year where these differ by row."""
    asked = pl.DataFrame({"text": left})
    if cell.division and within is not None:
        asked = asked.with_columns(within=within)
    if cell.division and isinstance(on, pl.Series):
        # The register knows years only, so all days of a year are one question.
        asked = asked.with_columns(year=on.dt.year())
    return asked


def _answers(cell: Cell, target: Target, asked: pl.DataFrame, on: date | None) -> pl.DataFrame:
    """One row for each distinct question: its columns, then value, reason, flag (a list)."""
    questions = asked.unique().filter(pl.col("text").is_not_null())
    rows = [_answer(cell, target, on, **question) for question in questions.iter_rows(named=True)]
    values, reasons, flags = zip(*rows, strict=True) if rows else ((), (), ())
    return questions.with_columns(
        pl.Series("value", values, target.dtype),
        pl.Series("reason", reasons, pl.String),
        pl.Series("flag", flags, pl.List(pl.String)),
    )


def _answer(
    cell: Cell, target: Target, on: date | None, *, text: str, within: str | None = None, year: int | None = None
) -> tuple[Scalar | None, str | None, tuple[str, ...] | None]:
    place = Place(within, on if year is None else date(year, 1, 1))
    try:
        converted = convert(cell, target, text, place)
    except ValueError as error:
        return None, str(error), None
    return converted.value, None, converted.flags or None


def _looked_up(asked: pl.DataFrame, answers: pl.DataFrame, column: str) -> pl.Series:
    """One column of the answers for every row."""
    questions = asked.columns
    if questions == ["text"] and not isinstance(answers[column].dtype, pl.List):
        known, found = answers["text"], answers[column]
        return asked["text"].replace_strict(known, found, default=None, return_dtype=found.dtype)
    answered = answers.select(*questions, column)
    return asked.join(answered, on=questions, how="left", nulls_equal=True, maintain_order="left")[column]


def _exceptions(asked: pl.DataFrame, answers: pl.DataFrame, column: str) -> pl.DataFrame:
    """Rows with a reason, or with flags, of which there are few: columns row and reason, or row and flag."""
    schema = BAD if column == "reason" else FLAGS
    if answers[column].null_count() == answers.height:
        return pl.DataFrame(schema=schema)
    found = _looked_up(asked, answers, column).alias(column).to_frame().with_row_index("row").drop_nulls()
    return found.explode(column) if column == "flag" else found
