"""The first events of many new entities at once: the same events that `entity.report` decides one by one.

An entity of which nothing is known and of which a dump states one fact needs no decision: one event, version 1, over the
fact's whole interval. A dump that is imported for the first time consists of these.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, NamedTuple

from repository.application import StoredRow
from repository.encoding import EVENT_LIMIT_BYTES, Column, Constant, encode_columns, microseconds
from repository.entity import RULES
from repository.facts import PATH
from repository.identity import NAMESPACE, entity_id_text, event_id_text
from repository.rules import Violation
from repository.state import State, default_of, empty
from schemas.contracts import FieldType, state_fields


class Refusal(NamedTuple):
    """A fact that can't be recorded: its row in the batch and the reason."""

    row: int
    reason: str


def first_events(
    kind: str,
    publisher: str,
    rows: int,
    columns: Mapping[str, Sequence[Any]],
    envelope: Mapping[str, object],
    recorded_at: datetime,
) -> tuple[list[StoredRow], list[Refusal]]:
    """Stored rows for `rows` facts about unknown entities, and the refused ones.

    `columns` holds business_key, valid_from, stated_to (days since 1970-01-01), doc_no, authority, published_on, reason,
    flags, and one column per state path; `envelope` what is the same for all: source, operator, batch_id, data_level.
    """
    states, refused = _states(kind, columns, rows)
    gone = {refusal.row for refusal in refused}
    kept = [row for row in range(rows) if row not in gone] if gone else range(rows)
    if gone:
        columns = {name: [values[row] for row in kept] for name, values in columns.items()}
        states = [states[row] for row in kept]
    stored = _encode(kind, publisher, columns, states, envelope, recorded_at)
    too_long = [Refusal(kept[i], _too_long(row)) for i, row in enumerate(stored) if len(row[3]) > EVENT_LIMIT_BYTES]
    return [row for row in stored if len(row[3]) <= EVENT_LIMIT_BYTES], refused + too_long


def _too_long(row: StoredRow) -> str:
    return f"The event has {len(row[3])} bytes and the limit is {EVENT_LIMIT_BYTES}; shorten its text."


def _states(kind: str, columns: Mapping[str, Sequence[Any]], rows: int) -> tuple[list[State], list[Refusal]]:
    """The state of each row, checked by the kind's rules."""
    template = empty(kind)
    plain = [name for name in columns if name in template]
    check = RULES[kind].check
    states: list[State] = []
    refused: list[Refusal] = []
    arrays = _entries(kind, columns, rows)
    cells = zip(*(columns[name] for name in plain), strict=True) if plain else (() for _ in range(rows))
    for row, values in enumerate(cells):
        state = template | {n: template[n] if v is None else v for n, v in zip(plain, values, strict=True)}
        for name, entries in arrays.items():
            state[name] = entries[row]
        try:
            check(state)
        except Violation as error:
            refused.append(Refusal(row, str(error)))
        states.append(state)
    return states, refused


def _entries(kind: str, columns: Mapping[str, Sequence[Any]], rows: int) -> dict[str, list[list[dict[str, Any]]]]:
    """Array fields that the columns address by item and cell: for each row the entries, in the order of item code."""
    items: dict[str, dict[str, dict[str, str]]] = {}
    for path in columns:
        match = PATH.match(path)
        if match is not None and match["cell"] is not None:
            items.setdefault(match["array"], {}).setdefault(match["item"], {})[match["cell"]] = path
    types = state_fields(kind)
    return {array: _rows_of(types[array], sorted(by_item.items()), columns, rows) for array, by_item in items.items()}


def _rows_of(
    type_: FieldType, items: Sequence[tuple[str, Mapping[str, str]]], columns: Mapping[str, Sequence[Any]], rows: int
) -> list[list[dict[str, Any]]]:
    made: list[list[dict[str, Any]]] = [[] for _ in range(rows)]
    for item, paths in items:
        blank = _blank_entry(type_, item)
        for row, values in enumerate(zip(*(columns[p] for p in paths.values()), strict=True)):
            entry = blank | {c: blank[c] if v is None else v for c, v in zip(paths, values, strict=True)}
            made[row].append(entry)
    return made


def _blank_entry(type_: FieldType, item: str) -> dict[str, Any]:
    return {cell: default_of(t) for cell, t in type_.entry.items()} | {"item_code": item}


def _encode(
    kind: str,
    publisher: str,
    columns: Mapping[str, Sequence[Any]],
    states: Sequence[State],
    envelope: Mapping[str, object],
    recorded_at: datetime,
) -> list[StoredRow]:
    prefix = NAMESPACE.bytes + f"{publisher}|{kind}|".encode()
    entities = [entity_id_text(prefix, key) for key in columns["business_key"]]
    first = RULES[kind].first
    types = [first(state) for state in states]
    cells: dict[str, Column] = {name: _constant_or(columns[name]) for name in ENVELOPE_COLUMNS if name in columns}
    cells |= {name: Constant(value) for name, value in envelope.items()}
    cells |= {
        "event_id": [event_id_text(entity, 1) for entity in entities],
        "event_type": _constant_or(types),
        "operation": Constant("assert"),
        "publisher": Constant(publisher),
        "entity_id": entities,
        "version": Constant(1),
        "valid_to": _constant_or(columns["stated_to"]),
        "recorded_at": Constant(microseconds(recorded_at)),
    }
    cells |= {name: _constant_or([s[name] for s in states]) for name in (states[0] if states else ())}
    bodies = encode_columns(kind, cells, len(states))
    return [
        StoredRow(entity.replace("-", ""), 1, f"{kind}.{type_}", body)
        for entity, type_, body in zip(entities, types, bodies, strict=True)
    ]


def _constant_or(values: Sequence[Any]) -> Column:
    """The column, folded where it holds one value: comparing is much cheaper than encoding."""
    if values and values.count(values[0]) == len(values):
        return Constant(values[0])
    return values


ENVELOPE_COLUMNS = ("business_key", "valid_from", "stated_to", "doc_no", "authority", "published_on", "reason", "flags")
