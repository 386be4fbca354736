"""The state of an entity over one interval: plain fields, and arrays of entries addressed by their item code."""

from collections.abc import Iterator, Mapping
from typing import Any

from repository.decisions.facts import PATH
from repository.kinds.rules import Entry
from repository.persons.personal import Plain
from schemas.contracts import FieldType, codes, state_fields

State = dict[str, Any]


class NotAState(ValueError):
    """A field or value that the kind does not have; the message names it and what is allowed."""


def empty(kind: str) -> State:
    """The state that states nothing: every field holds its schema's default."""
    return {name: default_of(type_) for name, type_ in state_fields(kind).items()}


def default_of(type_: FieldType) -> Any:
    return [] if type_.word in ("strings", "records") else type_.default


def state_of(kind: str, record: Mapping[str, Any]) -> State:
    """The state fields of an event record."""
    return {name: record[name] for name in state_fields(kind)}


def stated(kind: str, before: Mapping[str, Any], fields: Mapping[str, object]) -> State:
    """`before` with the mentioned fields put in. Raises NotAState for a path or code the kind does not have."""
    after = dict(before)
    for path, value in fields.items():
        check_path(kind, path)
        match = PATH.match(path)
        if isinstance(value, Plain):
            after[path] = (before[path] or Plain()).with_stated(value)
        elif match is None:
            after[path] = _whole(kind, path, value)
        else:
            after[match["array"]] = _with_cell(kind, after[match["array"]], match["array"], match["item"], match["cell"], value)
    return after


def _whole(kind: str, name: str, value: object) -> object:
    type_ = state_fields(kind)[name]
    if value is None and not type_.nullable:
        return default_of(type_)
    if type_.word == "records" and isinstance(value, list | tuple):
        return sorted((_entry(kind, name, type_, e) for e in value), key=lambda e: str(e["item_code"]))
    if type_.word == "strings" and isinstance(value, list | tuple):
        return list(value)
    check_code(kind, name, value)
    return value


def _entry(kind: str, name: str, type_: FieldType, given: object) -> Entry:
    if not isinstance(given, Mapping) or not given.get("item_code"):
        raise NotAState(f'Every entry of "{name}" needs an item_code; got {given!r}.')
    unknown = set(given) - set(type_.entry)
    if unknown:
        raise NotAState(f'"{name}" has no cell "{min(unknown)}"; it has {", ".join(type_.entry)}.')
    for cell, value in given.items():
        check_code(kind, f"{name}.{cell}", value)
    return {cell: _cell_value(t, given.get(cell)) for cell, t in type_.entry.items()}


def _cell_value(type_: FieldType, value: Any) -> Any:
    return default_of(type_) if value is None and not type_.nullable else value


def _with_cell(kind: str, entries: list[Entry], array: str, item: str, cell: str | None, value: object) -> list[Entry]:
    """The entries with one cell changed; an entry whose path has no cell and the value None is taken away."""
    type_ = state_fields(kind)[array]
    others = [e for e in entries if e["item_code"] != item]
    if cell is None:
        if value is None:
            return others
        given = value if isinstance(value, Mapping) else {}
        return sorted([*others, _entry(kind, array, type_, {**given, "item_code": item})], key=_by_item)
    check_code(kind, f"{array}.{cell}", value)
    known = next((e for e in entries if e["item_code"] == item), None)
    entry = dict(known) if known is not None else {c: default_of(t) for c, t in type_.entry.items()} | {"item_code": item}
    entry[cell] = _cell_value(type_.entry[cell], value)
    return sorted([*others, entry], key=_by_item)


def _by_item(entry: Entry) -> str:
    return str(entry["item_code"])


def check_path(kind: str, path: str) -> None:
    """Raise NotAState where `path` is no state path of the kind."""
    known = state_fields(kind)
    match = PATH.match(path)
    name, cell = (path, None) if match is None else (match["array"], match["cell"])
    if name not in known or (match is not None and known[name].word != "records"):
        raise NotAState(f'{kind} has no field "{path}"; known are {", ".join(known)}.')
    if cell is not None and (cell not in known[name].entry or cell == "item_code"):
        raise NotAState(f'"{name}" has no cell "{cell}"; it has {", ".join(c for c in known[name].entry if c != "item_code")}.')


def check_code(kind: str, path: str, value: object) -> None:
    """Raise NotAState where a value is not in the code list of its field."""
    allowed = codes(kind, path)
    if allowed is not None and value is not None and value not in allowed:
        raise NotAState(f'"{value}" is no code of {path}; use one of {", ".join(sorted(allowed))}.')


def differences(kind: str, before: Mapping[str, Any], after: Mapping[str, Any]) -> list[str]:
    """Paths that differ, in the order of the schema: `status`, `offers[YRD050101].capacity`, `offers[YRD050101]`."""
    paths: list[str] = []
    for name, type_ in state_fields(kind).items():
        if before[name] == after[name]:
            continue
        paths += _entry_paths(name, before[name], after[name]) if type_.word == "records" else [name]
    return paths


def _entry_paths(name: str, before: list[Entry], after: list[Entry]) -> Iterator[str]:
    old, new = ({e["item_code"]: e for e in entries} for entries in (before, after))
    for item in sorted(old.keys() | new.keys()):
        if item in old and item in new:
            yield from (f"{name}[{item}].{c}" for c in new[item] if old[item][c] != new[item][c])
        else:
            yield f"{name}[{item}]"


def value_at(state: Mapping[str, Any], path: str) -> object:
    """The value at a state path; None where the entry is absent."""
    match = PATH.match(path)
    if match is None:
        return state.get(path)
    entry = next((e for e in state.get(match["array"], []) if e["item_code"] == match["item"]), None)
    return entry if entry is None or match["cell"] is None else entry[match["cell"]]
