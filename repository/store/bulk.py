"""The first events of many new entities at once: the same events that `entity.report` decides one by one.

An entity of which nothing is known and of which a dump states one fact needs no decision: one event, version 1, over the
fact's whole interval. A dump that is imported for the first time consists of these.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import date, datetime, timedelta
from itertools import repeat
from typing import Any, NamedTuple

from repository.decisions.facts import PATH, refuse_empty
from repository.decisions.state import default_of, empty
from repository.decisions.timeline import BEGINNING, FOREVER
from repository.events.columns import EPOCH, Column, Constant, Entries, encode_columns, microseconds
from repository.events.encoding import EVENT_LIMIT_BYTES, too_long
from repository.events.identity import NAMESPACE, entity_id_text, event_id_text
from repository.kinds.register import RULES
from repository.kinds.rules import Change, Violation
from repository.store.publisher import StoredRow
from schemas.contracts import FieldType, state_fields

FIRST_DAY, LAST_DAY = (BEGINNING - EPOCH).days, (FOREVER - EPOCH).days


class Refusal(NamedTuple):
    """A fact that can't be recorded: its row in the batch and the reason."""

    row: int
    reason: str


class FirstEvents:
    """The first events of `rows` facts about unknown entities: who they are about is known before they are put together."""

    def __init__(
        self,
        kind: str,
        publisher: str,
        rows: int,
        columns: Mapping[str, Sequence[Any]],
        envelope: Mapping[str, object],
        recorded_at: datetime,
    ) -> None:
        """`columns` holds business_key, valid_from, stated_to (days since 1970-01-01), doc_no, authority, published_on, reason,
        flags, and one column per state path; `envelope` what is the same for all: source, operator, batch_id, data_level.
        """
        self.keys = columns["business_key"]
        """The key of every fact, refused ones too: a refusal's row is a place in this list and not in those of what was kept."""
        self.kind, self.publisher, self.envelope, self.recorded_at = kind, publisher, envelope, recorded_at
        self.refused = _refusals(kind, columns, rows)
        gone = {refusal.row for refusal in self.refused}
        self.kept: Sequence[int] = [row for row in range(rows) if row not in gone] if gone else range(rows)
        if gone:
            columns = {name: [values[row] for row in self.kept] for name, values in columns.items()}
        self.columns = columns
        prefix = NAMESPACE.bytes + f"{publisher}|{kind}|".encode()
        self.entities = [entity_id_text(prefix, key) for key in columns["business_key"]]
        self.events = [event_id_text(entity, 1) for entity in self.entities]

    def stored(self, personal: Sequence[bytes | None] | None = None) -> tuple[list[StoredRow], list[Refusal]]:
        """The stored rows and the refused facts; `personal` is the column of that name as it is stored."""
        columns = self.columns if personal is None else {**self.columns, "personal": personal}
        stored = _encode(self, columns)
        long = [Refusal(self.kept[i], too_long(len(row[3]))) for i, row in enumerate(stored) if len(row[3]) > EVENT_LIMIT_BYTES]
        return [row for row in stored if len(row[3]) <= EVENT_LIMIT_BYTES], self.refused + long


# -- what can't be -------------------------------------------------------------------------------------------------


def _refusals(kind: str, columns: Mapping[str, Sequence[Any]], rows: int) -> list[Refusal]:
    """The rows whose interval is empty or which the kind's rules refuse, in their order.

    Of each state only what the rules read is put together.
    """
    rules, refused = RULES[kind], _empty_intervals(columns)
    judged = _changes(kind, columns, rows) if rules.judge is not None else repeat(None, rows)
    stated = zip(*(_values(kind, columns, name, rows) for name in rules.reads), strict=True) if rules.reads else repeat((), rows)
    for row, (values, change) in enumerate(zip(stated, judged, strict=True)):
        try:
            rules.check(dict(zip(rules.reads, values, strict=True)))
            if rules.judge is not None and change is not None:
                rules.judge(change)
        except Violation as error:
            refused.setdefault(row, str(error))
    return [Refusal(row, refused[row]) for row in sorted(refused)]


def _empty_intervals(columns: Mapping[str, Sequence[Any]]) -> dict[int, str]:
    """Row -> reason, where an interval holds no day. Only those that seem empty as numbers are looked at as days."""
    found: dict[int, str] = {}
    intervals = zip(columns["business_key"], columns["valid_from"], columns["stated_to"], strict=True)
    for row, (key, start, stated) in enumerate(intervals):
        if (FIRST_DAY if start is None else start) < (LAST_DAY if stated is None else stated):
            continue
        try:
            refuse_empty(key, _day(start), _day(stated))
        except Violation as error:
            found[row] = str(error)
    return found


def _changes(kind: str, columns: Mapping[str, Sequence[Any]], rows: int) -> Iterator[Change]:
    """Each row as the change that it is: from nothing known to its whole state, on its document."""
    names = tuple(state_fields(kind))
    states = zip(*(_values(kind, columns, name, rows) for name in names), strict=True)
    documents = zip(*(columns[name] for name in ("doc_no", "authority", "published_on")), strict=True)
    for values, event_type, (doc_no, authority, published_on) in zip(states, _types(kind, columns, rows), documents, strict=True):
        yield Change(None, dict(zip(names, values, strict=True)), (), event_type, doc_no, authority, _day(published_on))


def _values(kind: str, columns: Mapping[str, Sequence[Any]], name: str, rows: int) -> Iterable[Any]:
    """One field's value in each row: as the dump states it, entries put together, or the schema's default."""
    type_ = state_fields(kind)[name]
    items = _items(columns, name)
    if items:
        return _entry_lists(type_, items, columns)
    if name not in columns:
        return repeat(default_of(type_), rows)
    return _as_ruled(type_, _stated(type_, columns[name]))


def _as_ruled(type_: FieldType, values: Sequence[Any]) -> Sequence[Any]:
    """Values as the rules see them, who know days and not their numbers."""
    return list(map(_day, values)) if type_.word == "date" else values


def _day(number: int | None) -> date | None:
    return None if number is None else EPOCH + timedelta(days=number)


def _stated(type_: FieldType, values: Sequence[Any]) -> Sequence[Any]:
    """A field that can't be null holds its default where the source states it as unknown."""
    if type_.nullable or None not in values:
        return values
    default = default_of(type_)
    return [default if value is None else value for value in values]


def _items(columns: Mapping[str, Sequence[Any]], array: str) -> list[tuple[str, dict[str, str]]]:
    """The items of an array that the columns address, in the order of item code, each with its cells' columns."""
    items: dict[str, dict[str, str]] = {}
    for path in columns:
        match = PATH.match(path)
        if match is not None and match["array"] == array and match["cell"] is not None:
            items.setdefault(match["item"], {})[match["cell"]] = path
    return sorted(items.items())


def _entry_lists(
    type_: FieldType, items: Sequence[tuple[str, Mapping[str, str]]], columns: Mapping[str, Sequence[Any]]
) -> Iterable[list[dict[str, Any]]]:
    return map(list, zip(*(_entries_of(type_, item, cells, columns) for item, cells in items), strict=True))


def _entries_of(
    type_: FieldType, item: str, cells: Mapping[str, str], columns: Mapping[str, Sequence[Any]]
) -> Iterator[dict[str, Any]]:
    blank = {cell: default_of(t) for cell, t in type_.entry.items()} | {"item_code": item}
    stated = [_as_ruled(type_.entry[cell], _stated(type_.entry[cell], columns[path])) for cell, path in cells.items()]
    for values in zip(*stated, strict=True):
        yield blank | dict(zip(cells, values, strict=True))


# -- stored rows ---------------------------------------------------------------------------------------------------


def _encode(first: FirstEvents, columns: Mapping[str, Sequence[Any]]) -> list[StoredRow]:
    kind, rows = first.kind, len(first.kept)
    types = _types(kind, columns, rows)
    cells: dict[str, Column] = {name: _constant_or(columns[name]) for name in ENVELOPE_COLUMNS if name in columns}
    cells |= {name: Constant(value) for name, value in first.envelope.items()}
    cells |= {
        "event_id": first.events,
        "event_type": _constant_or(types),
        "operation": Constant("assert"),
        "publisher": Constant(first.publisher),
        "entity_id": first.entities,
        "version": Constant(1),
        "valid_to": _constant_or(columns["stated_to"]),
        "recorded_at": Constant(microseconds(first.recorded_at)),
    }
    cells |= {name: column for name in state_fields(kind) if (column := _state_column(kind, columns, name, rows)) is not None}
    bodies = encode_columns(kind, cells, rows)
    return [
        StoredRow(entity.replace("-", ""), 1, f"{kind}.{type_}", body)
        for entity, type_, body in zip(first.entities, types, bodies, strict=True)
    ]


def _types(kind: str, columns: Mapping[str, Sequence[Any]], rows: int) -> list[str]:
    """The event type of each row: the first fact of the kind, which may depend on fields that the rules name."""
    rules = RULES[kind]
    if not any(name in columns for name in rules.first_reads):
        return [rules.first(empty(kind))] * rows
    read = list(zip(*(_values(kind, columns, name, rows) for name in rules.first_reads), strict=True))
    named = {values: rules.first(empty(kind) | dict(zip(rules.first_reads, values, strict=True))) for values in set(read)}
    return [named[values] for values in read]


def _state_column(kind: str, columns: Mapping[str, Sequence[Any]], name: str, rows: int) -> Column | None:
    """One state field as a column; None where the dump does not mention it, which leaves the default."""
    type_ = state_fields(kind)[name]
    items = _items(columns, name)
    if items:
        return _entries(type_, items, columns, rows)
    return _constant_or(_stated(type_, columns[name])) if name in columns else None


def _entries(
    type_: FieldType, items: Sequence[tuple[str, Mapping[str, str]]], columns: Mapping[str, Sequence[Any]], rows: int
) -> Entries:
    """Arrays with one entry per item in every row; each cell's values follow row after row, item after item."""
    cells: dict[str, Column] = {}
    for cell, cell_type in type_.entry.items():
        if cell == "item_code":
            listed: list[Sequence[Any]] = [[item] * rows for item, _ in items]
        else:
            default = [default_of(cell_type)] * rows
            listed = [_stated(cell_type, columns[paths[cell]]) if cell in paths else default for _, paths in items]
        values = listed[0] if len(listed) == 1 else [value for row in zip(*listed, strict=True) for value in row]
        cells[cell] = _constant_or(values)
    return Entries([len(items)] * rows, cells)


def _constant_or(values: Sequence[Any]) -> Column:
    """The column, folded where it holds one value: comparing is much cheaper than encoding."""
    if values and values.count(values[0]) == len(values):
        return Constant(values[0])
    return values


ENVELOPE_COLUMNS = ("business_key", "valid_from", "stated_to", "doc_no", "authority", "published_on", "reason", "flags")
