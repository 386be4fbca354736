"""The parts of a source profile: what each says, and how it is read from its table. ProfileError for what cannot be right."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date
from typing import Final

from connectors.dumps import Layout
from connectors.profiles.cells import Alternatives, alternatives, field_target, one_cell
from connectors.profiles.conversions import Cell, Target, convert
from connectors.profiles.toml_tables import ProfileError, Table
from repository.registers import text

ENVELOPE_TARGETS: Final = {
    "doc_no": Target("doc_no", "string"),
    "authority": Target("authority", "string"),
    "published_on": Target("published_on", "date"),
    "reason": Target("reason", "string"),
}
KEY: Final = Target("key", "string")
VALID_FROM: Final = Target("valid_from", "date")
STATED_TO: Final = Target("stated_to", "date")
ID_TYPES: Final = ("citizen_number", "hmt_residence_permit", "foreign_permanent_resident", "other")
AS_OF: Final = "as_of"


def read_layout(table: Table) -> Layout:
    """How the file is read."""
    given = {key: table.text(key, "") or None for key in ("format", "encoding", "delimiter", "sheet", "records")}
    columns = table.texts("columns")
    header = int(table.number("header", 0, 1000, 0 if columns else 1)) or None
    table.done()
    try:
        return Layout(**given, columns=columns, header=header)
    except ValueError as error:
        raise ProfileError(table.file, table.where, None, f"{error}.") from None


# -- the file, and which of its rows ------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Publisher:
    """Rows of other publishers are skipped. `by` is code or name; `unresolved` (skip, reject) is for unknown places."""

    column: str
    by: str
    unresolved: str


def read_publisher(top: Table) -> Publisher | None:
    """The rule by which rows of other publishers are skipped; None where there is none."""
    table = top.table_if_given("publisher")
    if table is None:
        return None
    found = Publisher(
        table.text("column"),
        table.choice("division", ("code", "name")),
        table.choice("unresolved", ("skip", "reject"), "skip"),
    )
    table.done()
    return found


@dataclass(frozen=True, slots=True)
class Person:
    """Rows about persons: the column of the identity number and its type. Only the token of it is kept."""

    column: str
    id_type: str


def read_person(top: Table) -> Person | None:
    """The column of the identity number; None where the rows are not about persons."""
    table = top.table_if_given("person")
    if table is None:
        return None
    found = Person(table.text("column"), table.choice("id_type", ID_TYPES))
    table.done()
    return found


@dataclass(frozen=True, slots=True)
class Skip:
    """Rows to pass over: those whose cell is empty, is one of `values`, or matches `pattern`."""

    column: str
    because: str
    empty: bool = False
    values: frozenset[str] = frozenset()
    pattern: str = ""


def read_skip(table: Table) -> Skip:
    """One rule by which rows are passed over."""
    pattern = table.pattern("pattern")
    found = Skip(
        column=table.text("column"),
        because=table.text("because"),
        empty=table.truth("empty", False),
        values=frozenset(text.normalise(each) for each in table.texts("values")),
        pattern=pattern.pattern if pattern else "",
    )
    if not (found.empty or found.values or found.pattern):
        raise table.wrong("column", found.column, "needs empty = true, values = [...] or pattern = '...' beside it.")
    table.done()
    return found


# -- what a row gives ---------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class KeyPart:
    """One part of a business key: the first stated cell, or the value of a mapped `field` (a state path)."""

    cells: Alternatives = ()
    field: str = ""


def read_key(top: Table, key: str, nulls: tuple[str, ...]) -> tuple[KeyPart, ...]:
    """The parts of a business key, the one under `key`."""
    listed = top.take(key, [])
    if not isinstance(listed, list):
        raise top.wrong(key, listed, 'must be a list of parts, such as ["城市", "名称"].')
    parts = []
    for number, each in enumerate(listed, 1):
        if isinstance(each, dict) and "field" in each:
            table = Table(top.file, f"{key}[{number}]", each)
            parts.append(KeyPart(field=table.text("field")))
            table.done()
        else:
            holder = Table(top.file, "", {f"{key}[{number}]": each})
            parts.append(KeyPart(alternatives(holder, f"{key}[{number}]", KEY, nulls)))
    return tuple(parts)


@dataclass(frozen=True, slots=True)
class Unpivot:
    """One column, or every column whose name matches `pattern`, that gives one fact per row.

    `path` is the field that takes the cell, `constants` go into others, by state path; with a pattern, they are
    templates over its named groups, each translated by `words` first. `valid_from` None: the row's own.
    """

    cell: Cell
    path: str
    constants: Mapping[str, str]
    pattern: re.Pattern[str] | None = None
    words: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    valid_from: date | None = None


def read_unpivot(table: Table, kind: str, nulls: tuple[str, ...]) -> Unpivot:
    """One column, or all that match a pattern, that give a fact of their own."""
    path = table.text("field")
    value_target = field_target(Table(table.file, f"{table.where}.field", {}), kind, path)
    pattern = table.pattern("pattern")
    column = "" if pattern else table.text("column")
    constants = table.words("set")
    words = table.take("words", {})
    for name, constant in constants.items():
        target = field_target(Table(table.file, f"{table.where}.set", {}), kind, name)
        if pattern is None:
            _checked(table, name, constant, target)
    found = Unpivot(
        cell=one_cell(table, value_target, nulls, (column,) if column else ()),
        path=path,
        constants=constants,
        pattern=pattern,
        words=words,
        valid_from=table.day("valid_from"),
    )
    table.done()
    return found


def _checked(table: Table, name: str, constant: str, target: Target) -> None:
    try:
        convert(Cell(), target, constant)
    except ValueError as error:
        raise table.wrong(f"set.{name}", constant, str(error)) from None


@dataclass(frozen=True, slots=True)
class Valid:
    """From and to when a fact holds. Without `start` cells the day is `as_of` (start_as_of) or not stated (undated)."""

    start: Alternatives = ()
    start_as_of: bool = False
    undated: bool = False
    end: Alternatives = ()
    end_inclusive: bool = True


def read_valid(table: Table, unpivot: tuple[Unpivot, ...], nulls: tuple[str, ...]) -> Valid:
    """From and to when the facts hold."""
    undated = table.choice("from_missing", ("reject", "undated"), "reject") == "undated"
    as_of = table.left.get("from") == AS_OF
    if as_of:
        table.take("from")
    start = alternatives(table, "from", VALID_FROM, nulls) if "from" in table.left else ()
    inclusive = True
    if isinstance(table.left.get("to"), dict):
        inner = Table(table.file, f"{table.where}.to", table.left["to"])
        inclusive = inner.truth("inclusive", True)
        table.left["to"] = inner.left
    end = alternatives(table, "to", STATED_TO, nulls) if "to" in table.left else ()
    dated = bool(unpivot) and all(entry.valid_from for entry in unpivot)
    if not (start or as_of or undated or dated):
        way_out = 'is missing: say from when the facts hold, as a column, a constant or "as_of", or set from_missing.'
        raise table.wrong("from", None, way_out)
    table.asked += ["from", "to"]
    table.done()
    return Valid(start, as_of, undated, end, inclusive)


def read_authority(table: Table, nulls: tuple[str, ...]) -> dict[str, Alternatives]:
    """The cells of document, authority, day and reason."""
    found = {name: alternatives(table, name, target, nulls) for name, target in ENVELOPE_TARGETS.items() if name in table.left}
    table.asked += list(ENVELOPE_TARGETS)
    table.done()
    return found
