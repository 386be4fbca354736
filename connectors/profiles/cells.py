"""Cells of a source profile: one TOML table becomes the `Cell` that conversions.py understands, or a ProfileError."""

from collections.abc import Callable
from dataclasses import replace
from decimal import Decimal, InvalidOperation
from typing import Final, NamedTuple, TypeAlias

from connectors.profiles.conversions import FALSE, POLARS, TRUE, Cell, Scalar, Target, convert, target_at
from connectors.profiles.toml_tables import Table, did_you_mean
from repository.decisions.facts import PATH
from repository.kinds.register import PERSONS
from repository.registers import text
from schemas import contracts

Alternatives: TypeAlias = tuple[Cell, ...]
"""Cells of which the first that states something counts."""

NUMBERS: Final = ("int", "long", "double", "decimal")


def field_target(table: Table, kind: str, path: str) -> Target:
    """Target of a state path. ProfileError for personal fields, unknown paths, and what no cell can hold."""
    if path in contracts.fields(contracts.PERSONAL) and path not in contracts.state_fields(kind):
        raise table.wrong(path, None, "is a personal field; put it into the table [personal], whose fields are encrypted.")
    state = contracts.state_fields(kind)
    array = PATH.match(path)
    known = state[array["array"]].entry if array and array["array"] in state else {}
    if array and known:
        if array["cell"] in known and array["cell"] != "item_code":
            return target_at(kind, path)
        cells = [f"{array['array']}[{array['item']}].{cell}" for cell in known if cell != "item_code"]
        raise table.wrong(path, None, f"is not a field of {kind}; {did_you_mean(path, cells)}")
    token = PERSONS[kind].token if kind in PERSONS else ""
    plain = {name: found for name, found in state.items() if found.word in POLARS and name != token}
    if path not in plain:
        lists = [f"{name}[ITEM].{cell}" for name, found in state.items() for cell in found.entry if cell != "item_code"]
        raise table.wrong(path, None, f"is not a field of {kind}; {did_you_mean(path, [*plain, *lists])}")
    return target_at(kind, path)


def alternatives(table: Table, key: str, target: Target, nulls: tuple[str, ...]) -> Alternatives:
    """Cells from a column's name, or from a table with column, columns, constant or first."""
    value = table.take(key)
    if isinstance(value, str):
        value = {"column": value}
    if not isinstance(value, dict):
        raise table.wrong(key, value, 'must be the name of a column, or a table such as { column = "床位" }.')
    return _cells(Table(table.file, f"{table.where}.{key}" if table.where else key, value), target, nulls)


def _cells(table: Table, target: Target, nulls: tuple[str, ...]) -> Alternatives:
    if "first" in table.left:
        choices = table.tables("first")
        table.done()
        return tuple(cell for choice in choices for cell in _cells(choice, target, nulls))
    if "constant" in table.left:
        constant = _constant(table, target)
        table.done()
        return (Cell(constant=constant),)
    columns = (table.text("column"),) if "column" in table.left else table.texts("columns")
    if not columns:
        raise table.wrong("column", None, "is missing; give column, columns, constant or first.")
    joined = "join" in table.left
    cell = one_cell(table, target, nulls, columns)
    table.done()
    return (cell,) if joined else tuple(replace(cell, columns=(name,)) for name in columns)


def one_cell(table: Table, target: Target, nulls: tuple[str, ...], columns: tuple[str, ...] = ()) -> Cell:
    """The options of one cell; the caller calls `done`."""
    within = table.take("within", "")
    by_column = isinstance(within, dict)
    other = table.take("other", "reject")
    cell = Cell(
        columns=columns,
        # Normalised between two letters, so that a blank survives.
        join=text.normalise(f"x{table.text('join', '')}x")[1:-1],
        nulls=frozenset((*nulls, *(text.normalise(each) for each in table.texts("nulls")))),
        extract=table.pattern("extract", 1),
        unmatched=table.choice("unmatched", ("reject", "null", "keep"), "reject"),
        values={text.normalise(word): text.normalise(meant) for word, meant in table.words("values").items()},
        other=_other(table, other),
        other_text=_other_text(other),
        multiply=_multiply(table),
        range=table.choice("range", ("", "low", "high", "comparator"), ""),
        division=table.choice("division", ("", "code", "name", "address"), ""),
        within="" if by_column else str(within),
        within_column=Table(table.file, f"{table.where}.within", within).text("column") if by_column else "",
        on=table.day("on"),
        unresolved=table.choice("unresolved", ("reject", "null"), "reject"),
        split=tuple(text.normalise(mark) or mark for mark in table.texts("split")),
        true=tuple(each.casefold() for each in table.texts("true")) or TRUE,
        false=tuple(each.casefold() for each in table.texts("false")) or FALSE,
    )
    _check_cell(table, target, cell)
    return cell


def _other(table: Table, other: object) -> str:
    if other in ("reject", "keep", "null"):
        return str(other)
    if isinstance(other, dict) and isinstance(other.get("constant"), str) and len(other) == 1:
        return "constant"
    raise table.wrong("other", other, 'must be "reject", "keep", "null" or { constant = "..." }.')


def _other_text(other: object) -> str:
    return text.normalise(str(other["constant"])) if isinstance(other, dict) and "constant" in other else ""


def _multiply(table: Table) -> Decimal | None:
    value = table.take("multiply")
    if value is None:
        return None
    try:
        factor = Decimal(str(value))
    except InvalidOperation:
        raise table.wrong("multiply", value, "must be a number, such as 10000.") from None
    if not factor.is_finite() or isinstance(value, bool):
        raise table.wrong("multiply", value, "must be a number, such as 10000.")
    return factor


def _constant(table: Table, target: Target) -> Scalar | None:
    value = table.take("constant")
    try:
        if isinstance(value, list):
            wanted = target.word == "strings"
            parts = [str(text.normalise(str(each))) for each in value]
            return parts if wanted else _refuse_list(value)
        shown = str(value).lower() if isinstance(value, bool) else str(value)
        return convert(Cell(split=("|",)), target, shown).value
    except ValueError as error:
        raise table.wrong("constant", value, str(error)) from None


def _refuse_list(value: object) -> list[str]:
    raise ValueError(f"{value} is a list, but the field holds one value.")


class _Rule(NamedTuple):
    """What an option of a cell needs: where it is broken (cell, word of the field's type), the value to show, the way out."""

    key: str
    broken: Callable[[Cell, str], bool]
    value: Callable[[Cell], object]
    way_out: str


_RULES: Final = (
    _Rule(
        "split", lambda cell, word: word == "strings" and not cell.split,
        lambda cell: None, "{field} is a list: say what separates its entries.",
    ),
    _Rule(
        "split", lambda cell, word: word != "strings" and bool(cell.split),
        lambda cell: ", ".join(cell.split), "{field} holds one value: remove split.",
    ),
    _Rule(
        "multiply", lambda cell, word: cell.multiply is not None and word not in NUMBERS,
        lambda cell: cell.multiply, "{field} is not a number; remove it.",
    ),
    _Rule(
        "range", lambda cell, word: bool(cell.range) and word not in (*NUMBERS, "string"),
        lambda cell: cell.range, "{field} cannot hold a part of a range; remove it.",
    ),
    _Rule(
        "within", lambda cell, word: cell.division == "address" and not (cell.within or cell.within_column),
        lambda cell: None, "is missing: an address needs the province or city it lies in, as 330000.",
    ),
    _Rule(
        "division", lambda cell, word: bool(cell.division) and word != "string",
        lambda cell: cell.division, "{field} cannot hold a division code; remove it.",
    ),
)  # fmt: skip
"""In the order in which they are told."""


def _check_cell(table: Table, target: Target, cell: Cell) -> None:
    """What an option needs of the field's type; that every code it can give is one the schema allows."""
    for rule in _RULES:
        if rule.broken(cell, target.word):
            raise table.wrong(rule.key, rule.value(cell), rule.way_out.format(field=target.path))
    if cell.range or cell.division or cell.multiply:
        return
    for result in (*cell.values.values(), *([cell.other_text] if cell.other == "constant" else [])):
        try:
            convert(Cell(split=("|",), true=cell.true, false=cell.false), target, result)
        except ValueError as error:
            raise table.wrong("values", result, str(error)) from None
