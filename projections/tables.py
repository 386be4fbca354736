"""The base's tables, laid out from the contracts: a history and a timeline per kind, in the schema's own columns.

Nothing here knows a kind by name. What all kinds have in common is asked through three views: `all_events` (every event of
every kind), `all_facts` (those of facts) and `all_current` (what is known now and holds today), with the kind, the envelope,
the place in the log, division and status, and the whole event as JSON. A kind's own views stand in kinds/<kind>.sql.
"""

from collections.abc import Iterator, Sequence
from functools import cache
from hashlib import sha256
from pathlib import Path

import duckdb

from projections.questions import load_catalogue, questions
from projections.reference import load_divisions, rows
from repository.kinds.register import PERSONS
from repository.kinds.rules import Person
from schemas.contracts import ENVELOPE, FACT_KINDS, KINDS, PERSONAL, PERSONAL_FIELD, FieldType, fields

FOLDER = Path(__file__).resolve().parent
PLACE = {
    "topic": "VARCHAR",
    "partition": "INTEGER",
    "position": "BIGINT",
    "received_at": "TIMESTAMPTZ",
    "event_hash": "BIGINT",
}
"""Columns that say where an event stood in which log, when the log received it, and the total-hash of its bytes."""
TYPES = {
    "string": "VARCHAR",
    "uuid": "UUID",
    "int": "INTEGER",
    "long": "BIGINT",
    "double": "DOUBLE",
    "boolean": "BOOLEAN",
    "bytes": "BLOB",
    "date": "DATE",
    "timestamp": "TIMESTAMPTZ",
    "decimal": "DECIMAL(18,4)",
}
SHARED = {**dict.fromkeys((*ENVELOPE, *PLACE), ""), "division_code": "VARCHAR", "status": "VARCHAR"}
"""Columns of the views over every kind, with the type of those that a kind may lack: it has NULL there."""
NOT_IN_DIGEST = {
    "recorded_at", "doc_no", "authority", "published_on", "operator", "reason", "source", "batch_id", "data_level", "flags",
    "publisher", PERSONAL_FIELD,
}  # fmt: skip
"""What the content digest leaves out: clocks, batches, provenance, ciphertext. event_id covers the publisher."""


def sql_type(type_: FieldType) -> str:
    """The DuckDB type of a field."""
    if type_.word == "strings":
        return f"{TYPES[type_.item]}[]"
    if type_.word == "records":
        return f"STRUCT({', '.join(f'{n} {sql_type(t)}' for n, t in type_.entry.items())})[]"
    return TYPES[type_.word]


@cache
def columns(kind: str) -> dict[str, str]:
    """Column name -> DuckDB type of a kind's history, the log's columns last."""
    return {name: sql_type(type_) for name, type_ in fields(kind).items()} | PLACE


# -- laying out ----------------------------------------------------------------------------------------------------


def create(connection: duckdb.DuckDBPyConnection) -> None:
    """Create what the projector writes, and the views beside it, in an empty database."""
    connection.execute(_layout_sql())
    connection.execute("INSERT INTO layout VALUES (?)", [layout()])


def create_questions(connection: duckdb.DuckDBPyConnection) -> None:
    """Create the questions, and what they refer to: the register of divisions and the catalogue of the questions."""
    for question in questions():
        connection.execute(question.sql)
    load_divisions(connection)
    load_catalogue(connection)


@cache
def layout() -> str:
    """The checksum of what a derived file is laid out and filled by: contracts, SQL, rules of persons, and registers.

    A file with another one is made anew from the log, never migrated. Contracts count by their columns, not by their docs.
    """
    parts = [_layout_sql(), _sql("resolve.sql"), *(digest_sql(kind) for kind in FACT_KINDS)]
    parts += [question.sql for question in questions()] + [repr(list(rows()))]
    return sha256("\n".join(parts).encode()).hexdigest()


def is_fit(connection: duckdb.DuckDBPyConnection) -> bool:
    """Whether an opened file has this release's layout."""
    try:
        return connection.execute("SELECT checksum FROM layout").fetchall() == [(layout(),)]
    except (duckdb.CatalogException, duckdb.BinderException):
        # A file of a release that numbered its layouts, or of something else altogether.
        return False


def _layout_sql() -> str:
    """Everything that `create` executes, in order."""
    parts = [_tables_of(kind) for kind in KINDS]
    parts += [f"CREATE VIEW all_events AS {union(KINDS, '{kind}_history')};"]
    parts += [f"CREATE VIEW all_facts AS {union(FACT_KINDS, '{kind}_history')};", _sql("tables.sql")]
    parts += [_sql("kind_views.sql").replace("{kind}", kind) for kind in FACT_KINDS]
    parts += [f"CREATE VIEW all_current AS {union(FACT_KINDS, '{kind}_current')};", _sql("views.sql")]
    own = [path for kind in FACT_KINDS if (path := FOLDER / "kinds" / f"{kind}.sql").exists()]
    parts += [path.read_text("utf-8").replace("{personal_fields}", _personal_fields()) for path in own]
    return "\n".join(parts)


def _sql(name: str) -> str:
    return (FOLDER / name).read_text("utf-8")


def _tables_of(kind: str) -> str:
    listing = ", ".join(f'"{n}" {t}' for n, t in columns(kind).items())
    tables = (f"{kind}_history", f"{kind}_timeline") if kind in FACT_KINDS else (f"{kind}_history",)
    return "\n".join(f"CREATE TABLE {table} ({listing});" for table in tables)


def _personal_fields() -> str:
    cells = (f"personal_field('{name}', publisher, entity_id, event_id, personal) AS {name}" for name in fields(PERSONAL))
    return ",\n       ".join(cells)


# -- all kinds at once ---------------------------------------------------------------------------------------------


def union(kinds: Sequence[str], table: str) -> str:
    """One SELECT over the same columns of every kind; `state` is the whole event as JSON."""
    return "\nUNION ALL ".join(
        f"SELECT '{kind}' AS kind, {', '.join(_shared(kind))}, {_as_json(kind)} AS state FROM {table.format(kind=kind)} AS h"
        for kind in kinds
    )


def _shared(kind: str) -> Iterator[str]:
    known = columns(kind)
    return (f'h."{name}"' if name in known else f'NULL::{missing} AS "{name}"' for name, missing in SHARED.items())


def _as_json(kind: str) -> str:
    cells = (f'"{name}" := {_as_told(name, type_)}' for name, type_ in fields(kind).items())
    return f"to_json(struct_pack({', '.join(cells)}))"


def _as_told(name: str, type_: FieldType) -> str:
    """A cell for JSON: decimals as text, since as numbers they would pass through floating point; ciphertext is not shown."""
    exact = [cell for cell, each in type_.entry.items() if each.word == "decimal"]
    if type_.word == "decimal":
        return f'h."{name}"::VARCHAR'
    if type_.word == "bytes":
        return f"CASE WHEN h.\"{name}\" IS NOT NULL THEN '(encrypted)' END"
    if exact:
        texts = ", ".join(f'"{cell}" := e."{cell}"::VARCHAR' for cell in exact)
        return f'list_transform(h."{name}", lambda e: struct_update(e, {texts}))'
    return f'h."{name}"'


# -- the content digest --------------------------------------------------------------------------------------------


def digest_sql(kind: str, table: str = "{kind}_history") -> str:
    """Count and total of a kind's events, whatever their order: what the content digest is made of. `table` holds them."""
    person = PERSONS.get(kind)
    cells = [cell for name in fields(kind) if name not in NOT_IN_DIGEST and (cell := _digest_cell(person, name))]
    row = f"md5_number(to_json(struct_pack({', '.join(cells)}))::VARCHAR)"
    return f"SELECT count(*), coalesce(bit_xor({row}), 0)::VARCHAR FROM {table.format(kind=kind)}"


def _digest_cell(person: Person | None, name: str) -> str:
    """One field's cell; none for a field that leads to a person, which erasure empties: the digest must outlive that."""
    if person is None:
        return f'"{name}" := "{name}"'
    if name in (person.token, *person.others):
        return ""
    if name == "business_key":
        return f"business_key := CASE WHEN {of_person(person)} THEN NULL ELSE business_key END"
    return f'"{name}" := "{name}"'


def of_person(person: Person, row: str = "") -> str:
    """SQL: whether a row is a person's; `row` is the row's name and a dot, where it has one."""
    return "true" if person.only is None else f"{row}\"{person.only[0]}\" = '{person.only[1]}'"
