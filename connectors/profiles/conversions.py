"""Cell conversions: from the text of one cell to the value of one schema field.

`convert` is the definition, one cell at a time; column_conversions.py gives the same answers for whole columns.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import date
from decimal import Context, Decimal, Inexact, InvalidOperation, Overflow
from typing import Final, TypeAlias

import polars as pl

from repository.kinds.register import RULES
from repository.registers import divisions, identifiers, text
from schemas import contracts

Scalar: TypeAlias = str | int | float | bool | date | Decimal | list[str]

POLARS: Final[Mapping[str, pl.DataType]] = {
    "string": pl.String(),
    "int": pl.Int64(),
    "long": pl.Int64(),
    "double": pl.Float64(),
    "decimal": pl.Decimal(18, 4),
    "date": pl.Date(),
    "boolean": pl.Boolean(),
    "strings": pl.List(pl.String()),
}
"""Column type for each word of a schema type that a profile may map to."""

DECIMAL_LIMIT: Final = Decimal(10) ** 14
LONG_LIMIT: Final = 2**63
TRUE: Final = ("true", "1", "是", "有", "y", "yes")
FALSE: Final = ("false", "0", "否", "无", "n", "no")

USCC_SHAPE: Final = r"^[0-9A-HJ-NPQRTUWXY]{2}[0-9]{6}[0-9A-HJ-NPQRTUWXY]{10}$"

_ENDS: Final = re.compile(r"(?P<low>[+-]?[\d.,]*?\d)(?:\.\.+|[-~–—至])(?P<high>\d[\d.,]*)")
_BOUNDS: Final = (
    ("ge", re.compile(r"(?:不低于|不少于|至少|≥|>=)(.+)|(.+?)(?:及以上|以上)")),
    ("le", re.compile(r"(?:不超过|不高于|最高|至多|≤|<=)(.+)|(.+?)(?:及以下|以下|以内)")),
    ("gt", re.compile(r"(?:超过|高于|>)(.+)")),
    ("lt", re.compile(r"(?:不满|少于|低于|<)(.+)")),
)
"""How a bound is written; 以上 and 以下 include the number, 超过 and 不满 exclude it (Civil Code art. 1259)."""


@dataclass(frozen=True, slots=True)
class Cell:
    """How one cell becomes a value; the options are those of docs/source-profiles.md, in the order they apply.

    Without `columns` the value is `constant`. Several columns are one text, joined by `join`. `unmatched`
    (reject, null, keep) is for `extract`, `other` (reject, null, keep, or a text in `other_text`) for `values`,
    `unresolved` (reject, null) for `division`. `within` names a division, `within_column` the column that does;
    `on` is the day as of which divisions are understood (None: the row's first valid day).
    """

    columns: tuple[str, ...] = ()
    constant: Scalar | None = None
    join: str = ""
    nulls: frozenset[str] = frozenset()
    extract: re.Pattern[str] | None = None
    unmatched: str = "reject"
    values: Mapping[str, str] = field(default_factory=dict)
    other: str = "reject"
    other_text: str = ""
    multiply: Decimal | None = None
    range: str = ""
    division: str = ""
    within: str = ""
    within_column: str = ""
    on: date | None = None
    unresolved: str = "reject"
    split: tuple[str, ...] = ()
    true: tuple[str, ...] = TRUE
    false: tuple[str, ...] = FALSE

    @property
    def plain(self) -> bool:
        """Whether only the schema's type says what the text means."""
        given = (self.extract, self.values, self.multiply, self.range, self.division, self.split)
        return not any(given)


@dataclass(frozen=True, slots=True)
class Target:
    """The field that a value is for: its state path, the word of its type, and the codes it allows (None: any).

    `judged` is for a list of codes that only the kind's rules can judge: whether a text is one, and an example.
    """

    path: str
    word: str
    codes: frozenset[str] | None = None
    judged: tuple[Callable[[str], bool], str] | None = None

    @property
    def dtype(self) -> pl.DataType:
        """Type of the column of values."""
        return POLARS[self.word]


@dataclass(frozen=True, slots=True)
class Place:
    """What a division is resolved against: text of the division it lies within, and the day."""

    within: str | None = None
    on: date | None = None


NOWHERE: Final = Place()


@dataclass(frozen=True, slots=True)
class Converted:
    """A value (None: stated as unknown) and the doubts about it."""

    value: Scalar | None
    flags: tuple[str, ...] = ()


UNKNOWN: Final = Converted(None)


def target_at(kind: str, path: str) -> Target:
    """Target for a state path of a kind. KeyError where the schema has no such field."""
    judged = RULES[kind].codes.get(path) if kind in RULES else None
    return Target(path, contracts.field_at(kind, path).word, contracts.codes(kind, path), judged)


def convert(cell: Cell, target: Target, raw: str | None, place: Place = NOWHERE) -> Converted:
    """Value of one cell. ValueError, one sentence for people, where the text cannot be accepted."""
    cleaned = text.normalise(raw) if raw is not None else ""
    found = _chosen(cell, cleaned)
    if not found:
        return UNKNOWN
    if cell.division:
        return _division(cell, found, place)
    if target.path == "uscc":
        return _credit_code(found)
    value = _split(cell, found) if target.word == "strings" else _typed(cell, target, found)
    return Converted(value)


def _chosen(cell: Cell, cleaned: str) -> str | None:
    """The text that counts, after extract and values; None where the cell states nothing."""
    if not cleaned or cleaned in cell.nulls:
        return None
    found = _extracted(cell, cleaned)
    if found is None or not found or found in cell.nulls:
        return None
    return _mapped(cell, found)


def _extracted(cell: Cell, cleaned: str) -> str | None:
    if cell.extract is None:
        return cleaned
    match = cell.extract.search(cleaned)
    if match is not None and match[1] is not None:
        return match[1].strip()
    if cell.unmatched == "reject":
        raise ValueError(
            f"{cleaned!r} does not match the pattern {cell.extract.pattern}; correct the cell, name it in nulls, "
            'or set unmatched = "null" or "keep".'
        )
    return cleaned if cell.unmatched == "keep" else None


def _mapped(cell: Cell, found: str) -> str | None:
    if not cell.values or found in cell.values:
        return cell.values.get(found, found)
    if cell.other == "reject":
        known = ", ".join(cell.values)
        raise ValueError(f"{found!r} is not among the profile's values ({known}); add it there, or set other.")
    return {"keep": found, "null": None}.get(cell.other, cell.other_text)


def _typed(cell: Cell, target: Target, found: str) -> Scalar | None:
    if cell.range:
        part = range_part(found, cell.range)
        if part is None or cell.range == "comparator":
            return part
        found = part
    if target.word == "string":
        return _coded(target, found)
    if target.word == "date":
        return text.day(found)
    if target.word == "boolean":
        return _boolean(cell, found)
    value = text.number(found)
    return _number(target, value if cell.multiply is None else _product(value, cell.multiply))


def _product(value: Decimal, factor: Decimal) -> Decimal:
    exact = Context(prec=200, traps=[Inexact, InvalidOperation, Overflow])
    try:
        return exact.multiply(value, factor)
    except ArithmeticError:
        raise ValueError(f"{value} times {factor} has more than 200 digits; correct the cell.") from None


def _coded(target: Target, found: str) -> str:
    unknown = target.codes is not None and found not in target.codes
    if unknown or (target.judged is not None and not target.judged[0](found)):
        allowed = ", ".join(sorted(target.codes or ())) if target.judged is None else target.judged[1]
        raise ValueError(f"{found!r} is not a code of {target.path}, which allows {allowed}; map it with values.")
    return found


def _boolean(cell: Cell, found: str) -> bool:
    word = found.casefold()
    if word in cell.true or word in cell.false:
        return word in cell.true
    raise ValueError(
        f"{found!r} is neither true ({', '.join(cell.true)}) nor false ({', '.join(cell.false)}); "
        "name it in true, false or nulls."
    )


def _number(target: Target, value: Decimal) -> Scalar:
    if target.word == "double":
        return float(value)
    if target.word in ("long", "int"):
        if value != value.to_integral_value():
            raise ValueError(f"{value} is not a whole number, as {target.path} must be; it is not rounded.")
        if abs(value) >= LONG_LIMIT:
            raise ValueError(f"{value} is too large for {target.path}, which ends below {LONG_LIMIT}.")
        return int(value)
    return to_decimal(value, target.path)


def to_decimal(value: Decimal, path: str) -> Decimal:
    """The same number as decimal(18,4). ValueError where it has more decimals or is too large: never rounded."""
    if abs(value) >= DECIMAL_LIMIT:
        raise ValueError(f"{value} is too large for {path}, which ends below {DECIMAL_LIMIT}.")
    # Quantising to 4 decimals under a wide context is exact exactly when the value has no more than 4.
    exact = value.quantize(Decimal("0.0001"))
    if exact != value:
        raise ValueError(f"{value} has more than the 4 decimals that {path} can hold; it is not rounded.")
    return exact


def range_part(found: str, part: str) -> str | None:
    """low, high or comparator of a text such as 0.002-0.019, 2..24, 不低于1600 or 2255.

    `high` is None where the text is no range.
    """
    bare = found.replace(" ", "")
    ends = _ENDS.fullmatch(bare)
    if ends is not None:
        return {"low": ends["low"], "high": ends["high"], "comparator": "range"}[part]
    for comparator, pattern in _BOUNDS:
        if bound := pattern.fullmatch(bare):
            inner = next(group for group in bound.groups() if group)
            return {"low": inner, "high": None, "comparator": comparator}[part]
    return {"low": bare, "high": None, "comparator": "eq"}[part]


def _split(cell: Cell, found: str) -> list[str]:
    pattern = "|".join(re.escape(mark) for mark in cell.split)
    parts = re.split(pattern, found) if pattern else [found]
    return [part.strip() for part in parts if part.strip()]


def _division(cell: Cell, found: str, place: Place) -> Converted:
    try:
        resolved = _resolved(cell, found, place)
    except ValueError:
        if cell.unresolved == "reject":
            raise
        resolved = None
    if resolved is not None:
        return Converted(resolved.code, tuple(resolved.flags))
    if cell.unresolved == "reject":
        raise ValueError(f"{found!r} names no division of the register; correct it, or give a further choice in first.")
    return UNKNOWN


def _resolved(cell: Cell, found: str, place: Place) -> divisions.Resolved | None:
    within, on = cell.within or place.within, cell.on or place.on
    if cell.division == "address":
        return divisions.locate(found, within=within, on=on) if within else None
    return divisions.resolve(_code(found) if cell.division == "code" else found, on=on, within=within)


def _code(found: str) -> str:
    # A spreadsheet that turned codes into numbers wrote 330102 as 330102.0.
    bare = found.removesuffix(".0")
    if not re.fullmatch(r"\d{6}|\d{9}|\d{12}", bare):
        raise ValueError(f"{found!r} is not a division code, which has 6 digits (GB/T 2260); correct the cell.")
    return bare


def _credit_code(found: str) -> Converted:
    """A code of the right form whose check character is wrong is kept and flagged: some genuine codes fail it."""
    try:
        return Converted(identifiers.credit_code(found))
    except identifiers.WrongCheckCharacter as doubt:
        return Converted(doubt.code, ("uscc_check_digit",))
