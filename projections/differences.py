"""What differs: between what was known at two moments, field by field; and between two bases, table by table.

Both work on a database of their own, into which tables were taken from a base; nothing here reads a base in use.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import duckdb

from projections import tables
from projections.projector import RESOLVE
from repository.decisions.state import differences, value_at
from schemas.contracts import FACT_KINDS, KINDS, state_fields

DIFFERENCES = (tables.FOLDER / "differences.sql").read_text("utf-8")
PROVENANCE = ("business_key", "doc_no", "authority", "published_on")
"""Fields of the envelope that are compared besides the state: the key, and the document a fact rests on."""
APPEARED, CHANGED, DISAPPEARED = "appeared", "changed", "disappeared"
ENCRYPTED = "(encrypted)"
FETCHED = 5_000
CELLS = ("valid_from", "valid_to", "publisher", "business_key", "entity_id", "event_before", "event_after")
"""What differences.sql says of every stretch, before the two rows."""
TableRow = dict[str, Any]


def resolve_all(connection: duckdb.DuckDBPyConnection, kind: str, table: str) -> None:
    """Make `table` the timeline of all that {kind}_history holds, by the projector's own rule."""
    connection.execute(f"CREATE OR REPLACE TABLE {kind}_timeline AS FROM {kind}_history LIMIT 0")
    connection.execute(f"CREATE OR REPLACE TEMP TABLE touched_entities AS SELECT DISTINCT entity_id FROM {kind}_history")
    connection.execute(RESOLVE.replace("{kind}", kind))
    if table != f"{kind}_timeline":
        connection.execute(f"ALTER TABLE {kind}_timeline RENAME TO {table}")


# -- between two moments -------------------------------------------------------------------------------------------


def between(connection: duckdb.DuckDBPyConnection, first: str, valid: str | None = None) -> Iterator[TableRow]:
    """One row per entity, stretch of valid time and field that differs between what was known at `first` and later.

    The connection holds the histories of the entities concerned, up to the later moment; `first` is ISO 8601. `valid`
    leaves only stretches that hold that day. What appeared or disappeared has one row, with the field None.
    """
    for kind in FACT_KINDS:
        _two_timelines(connection, kind, first)
        cursor = connection.execute(DIFFERENCES.replace("{kind}", kind), [valid])
        while rows := cursor.fetchmany(FETCHED):
            for *cells, before, after in rows:
                yield from _differing(kind, dict(zip(CELLS, cells, strict=True)), before, after)


def _two_timelines(connection: duckdb.DuckDBPyConnection, kind: str, first: str) -> None:
    resolve_all(connection, kind, f"{kind}_later")
    connection.execute(f"CREATE TABLE {kind}_all AS FROM {kind}_history")
    connection.execute(f"DELETE FROM {kind}_history WHERE received_at > ?::TIMESTAMPTZ", [first])
    resolve_all(connection, kind, f"{kind}_earlier")
    connection.execute(f"DROP TABLE {kind}_history")
    connection.execute(f"ALTER TABLE {kind}_all RENAME TO {kind}_history")


def _differing(kind: str, cells: TableRow, before: TableRow | None, after: TableRow | None) -> Iterator[TableRow]:
    row = {"kind": kind, **cells}
    if before is None or after is None:
        change = APPEARED if row["event_before"] is None else DISAPPEARED
        yield {**row, "change": change, "field": None, "before": None, "after": None}
        return
    for path in [*(n for n in PROVENANCE if before[n] != after[n]), *differences(kind, before, after)]:
        said = {"before": text_of(value_at(before, path)), "after": text_of(value_at(after, path))}
        yield {**row, "change": CHANGED, "field": path, **said}


def stated(kind: str, record: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Path and value, as text, of everything that an event's state says; null, and empty lists, say nothing."""
    for name, type_ in state_fields(kind).items():
        if type_.word != "records":
            if record[name] not in (None, []):
                yield name, text_of(record[name]) or ""
            continue
        for entry in record[name]:
            for cell in type_.entry:
                if cell != "item_code" and entry[cell] not in (None, []):
                    yield f"{name}[{entry['item_code']}].{cell}", text_of(entry[cell]) or ""


def text_of(value: Any) -> str | None:
    """A value for people; of ciphertext only that it is one."""
    if isinstance(value, bytes | bytearray):
        return ENCRYPTED
    if isinstance(value, Mapping):
        return ", ".join(f"{name} {text_of(each)}" for name, each in value.items() if each not in (None, []))
    if isinstance(value, list):
        return "; ".join(text_of(each) or "" for each in value)
    return None if value is None else str(value)


# -- between two bases ---------------------------------------------------------------------------------------------


KEYS: Mapping[str, Sequence[str]] = {
    **{f"{kind}_history": ("entity_id", "version") for kind in KINDS},
    **{f"{kind}_{what}": ("entity_id", "valid_from") for kind in FACT_KINDS for what in ("timeline", "current")},
    "quarantine": ("topic", "partition", "log_offset"),
    "checkpoints": ("topic", "partition"),
}
"""The tables that the log alone determines, in the order of comparison, and what tells their rows apart."""


@dataclass(frozen=True, slots=True)
class Difference:
    """The first cell that differs: the row's key, the column (None: the row is in one base only), and both values."""

    table: str
    key: TableRow
    column: str | None
    live: object
    replayed: object


@dataclass(frozen=True, slots=True)
class Compared:
    """One table in both bases: how many rows each has, and the first difference, where there is one."""

    table: str
    live_rows: int
    replayed_rows: int
    difference: Difference | None


def compare(connection: duckdb.DuckDBPyConnection, table: str, live: str, replayed: str) -> Compared:
    """Compare a table of the attached databases `live` and `replayed`, row by row and cell by cell."""
    one, other = (connection.execute(f"SELECT count(*) FROM {base}.{table}").fetchall()[0][0] for base in (live, replayed))
    keys = KEYS[table]
    same = " AND ".join(f"l.{key} IS NOT DISTINCT FROM r.{key}" for key in keys)
    order = ", ".join(f"coalesce(l.{key}, r.{key}) NULLS FIRST" for key in keys)
    listed = ", ".join(f'"{name}"' for name in _shared_columns(connection, table, live, replayed))
    found = connection.execute(
        f"""
        SELECT l, r
        FROM (SELECT {listed} FROM {live}.{table}) AS l
        FULL JOIN (SELECT {listed} FROM {replayed}.{table}) AS r ON {same}
        WHERE l IS DISTINCT FROM r
        ORDER BY {order}
        LIMIT 1
        """
    ).fetchall()
    if found:
        return Compared(table, one, other, _first_cell(table, *found[0]))
    if one != other:
        return Compared(table, one, other, _repeated(connection, table, live, replayed))
    return Compared(table, one, other, None)


def _repeated(connection: duckdb.DuckDBPyConnection, table: str, live: str, replayed: str) -> Difference:
    """The first row of which one base has more copies than the other."""
    keys = KEYS[table]
    listed = ", ".join(keys)
    same = " AND ".join(f"l.{key} IS NOT DISTINCT FROM r.{key}" for key in keys)
    *key, one, other = connection.execute(
        f"""
        SELECT {", ".join(f"l.{key}" for key in keys)}, l.copies, r.copies
        FROM (SELECT {listed}, count(*) AS copies FROM {live}.{table} GROUP BY ALL) AS l
        JOIN (SELECT {listed}, count(*) AS copies FROM {replayed}.{table} GROUP BY ALL) AS r ON {same}
        WHERE l.copies <> r.copies
        ORDER BY {", ".join(f"l.{key}" for key in keys)}
        LIMIT 1
        """
    ).fetchall()[0]
    named = dict(zip(keys, map(text_of, key), strict=True))
    return Difference(table, named, None, f"{one} times", f"{other} times")


def _shared_columns(connection: duckdb.DuckDBPyConnection, table: str, live: str, replayed: str) -> list[str]:
    """The columns of both; a base of one layout has the same, and what was taken away may lack some."""

    def of(base: str) -> list[str]:
        return [row[0] for row in connection.execute(f"DESCRIBE {base}.{table}").fetchall()]

    others = set(of(replayed))
    return [name for name in of(live) if name in others]


def _first_cell(table: str, live: TableRow | None, replayed: TableRow | None) -> Difference:
    keys = KEYS[table]
    one, other = (row if row and row[keys[0]] is not None else None for row in (live, replayed))
    shown = one or other
    assert shown is not None
    key = {name: text_of(shown[name]) for name in keys}
    if one is None or other is None:
        return Difference(table, key, None, "there" if one else "missing", "there" if other else "missing")
    column = next(name for name in one if one[name] != other[name])
    return Difference(table, key, column, text_of(one[column]), text_of(other[column]))
