"""The base's tables, laid out from the contracts: a history and a timeline per kind, in the schema's own columns."""

from functools import cache
from pathlib import Path

import duckdb

from projections.questions import load_catalogue
from projections.reference import load_divisions
from schemas.contracts import FACT_KINDS, KINDS, PERSONAL, FieldType, fields

FOLDER = Path(__file__).resolve().parent
LAYOUT = 4
"""Number of this table layout. A base of another layout is rebuilt from the log, never migrated."""
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
NOT_IN_DIGEST = {
    "recorded_at", "doc_no", "authority", "published_on", "operator", "reason", "source", "batch_id", "data_level", "flags",
    "personal", "subject_token", "publisher",
}  # fmt: skip
"""What the content digest leaves out: clocks, batches, provenance and personal information; event_id covers the publisher."""


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


def create(connection: duckdb.DuckDBPyConnection) -> None:
    """Create what the projector writes, and the views beside it, in an empty database."""
    for kind in KINDS:
        listing = ", ".join(f'"{n}" {t}' for n, t in columns(kind).items())
        connection.execute(f"CREATE TABLE {kind}_history ({listing})")
        if kind in FACT_KINDS:
            connection.execute(f"CREATE TABLE {kind}_timeline ({listing})")
    connection.execute((FOLDER / "tables.sql").read_text("utf-8"))
    connection.execute("INSERT INTO layout VALUES (?)", [LAYOUT])
    for kind in FACT_KINDS:
        connection.execute((FOLDER / "kind_views.sql").read_text("utf-8").replace("{kind}", kind))
    connection.execute((FOLDER / "views.sql").read_text("utf-8"))
    connection.execute(_persons_sql())


def _persons_sql() -> str:
    cells = (f"personal_field('{name}', publisher, entity_id, event_id, personal) AS {name}" for name in fields(PERSONAL))
    return (FOLDER / "persons.sql").read_text("utf-8").replace("{personal_fields}", ",\n       ".join(cells))


def create_questions(connection: duckdb.DuckDBPyConnection) -> None:
    """Create the questions, and what they refer to: the register of divisions and the catalogue of the questions."""
    for file in sorted((FOLDER / "questions").glob("*.sql")):
        connection.execute(file.read_text("utf-8"))
    load_divisions(connection)
    load_catalogue(connection)


def digest_sql(kind: str, table: str = "{kind}_history") -> str:
    """Count and total of a kind's events, whatever their order: what the content digest is made of. `table` holds them."""
    cells = [_digest_cell(kind, name) for name in fields(kind) if name not in NOT_IN_DIGEST]
    row = f"md5_number(to_json(struct_pack({', '.join(cells)}))::VARCHAR)"
    return f"SELECT count(*), coalesce(bit_xor({row}), 0)::VARCHAR FROM {table.format(kind=kind)}"


def _digest_cell(kind: str, name: str) -> str:
    if kind == "service_object" and name == "business_key":
        # A person's business key is the pseudonym, which erasure removes; the digest must outlive that.
        return "business_key := CASE WHEN subject_type = 'person' THEN NULL ELSE business_key END"
    return f'"{name}" := "{name}"'
