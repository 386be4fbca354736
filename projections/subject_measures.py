"""Subject measures in the base: what leads to whom is taken out, and what is set aside.

Rows of an erased subject, up to the version that the erasure names, lose every field that leads to the person (`Rules.person`
of their kind: pseudonym, serial numbers, references, encrypted fields) and their business key; those of a restricted one, and
later ones of an erased one, lose them to `set_aside` and get them back when the restriction ends or the subject is admitted
again. Both hold for rows that stand and for rows that arrive later, so any order of arrival gives the same rows. What is said of
the world stays: totals and the content digest do not change.
"""

from collections.abc import Mapping
from typing import Final

import duckdb
import polars as pl

from projections.tables import columns, of_person
from repository.controls.subject_measure import ERASURE, KIND, RESTRICTION, WITHHELD
from repository.decisions.state import default_of
from repository.kinds.register import PERSONS
from schemas.contracts import PERSONAL_FIELD, fields

GRANT: Final = "grant"
CONTROLS: Final = (KIND, GRANT)
ALL_TABLES: Final = "SELECT table_name FROM duckdb_tables() WHERE NOT temporary AND NOT internal ORDER BY table_name"
TAKE_MEASURES: Final = """
MERGE INTO subject_measures AS known
USING (
    SELECT publisher, subject_id::UUID AS subject_id, measure, max(version) AS version, arg_max(in_force, version) AS in_force,
           max(CASE WHEN measure = 'erasure' THEN subject_version END) AS erased_to
    FROM arriving_measures
    GROUP BY ALL
) AS new ON known.publisher = new.publisher AND known.subject_id = new.subject_id AND known.measure = new.measure
WHEN MATCHED THEN UPDATE SET
    in_force = CASE WHEN new.version > known.version THEN new.in_force ELSE known.in_force END,
    version = greatest(new.version, known.version),
    erased_to = greatest(new.erased_to, known.erased_to)
WHEN NOT MATCHED THEN INSERT VALUES (publisher, subject_id, measure, version, in_force, erased_to)
"""
TAKE_GRANTS: Final = """
MERGE INTO grants AS known
USING (
    SELECT * FROM arriving_grants QUALIFY row_number() OVER (PARTITION BY publisher, business_key ORDER BY version DESC) = 1
) AS new ON known.publisher = new.publisher AND known.grant_name = new.business_key
WHEN MATCHED AND new.version > known.version THEN UPDATE SET
    version = new.version, in_force = new.in_force, grantee = new.grantee, purpose = new.purpose,
    field_groups = new.field_groups, expires_at = new.expires_at
WHEN NOT MATCHED THEN INSERT VALUES
    (publisher, business_key, version, in_force, grantee, purpose, field_groups, expires_at)
"""
FILLING_ROUNDS: Final = 3
ERASED: Final = f"SELECT * FROM subject_measures WHERE measure = '{ERASURE}'"
NOT_USED: Final = f"""
SELECT publisher, subject_id, min(CASE WHEN measure = '{ERASURE}' THEN erased_to ELSE 0 END) AS above
FROM subject_measures
WHERE in_force AND measure IN ('{ERASURE}', '{RESTRICTION}')
GROUP BY ALL
"""
"""Subjects whose events above a version are stored and not used."""
IS_ERASED: Final = "h.version <= m.erased_to"
FREE: Final = f"s.entity_id NOT IN (SELECT subject_id FROM ({NOT_USED}))"


def _identifying(kind: str) -> tuple[str, ...]:
    """The columns of a kind that lead to a person, its business key apart."""
    person = PERSONS[kind]
    return (person.token, *person.others, *((PERSONAL_FIELD,) if PERSONAL_FIELD in fields(kind) else ()))


def _empty(kind: str, name: str) -> str:
    """SQL: what a column holds that states nothing."""
    default = default_of(fields(kind)[name])
    return "NULL" if default is None else "[]" if default == [] else f"'{default}'"


def _without(kind: str) -> str:
    """SQL: the assignments that take a person out of a row `h`."""
    emptied = [f'"{name}" = {_empty(kind, name)}' for name in _identifying(kind)]
    return ", ".join([*emptied, f"business_key = '{WITHHELD}' || h.entity_id::VARCHAR"])


def _of_subject(kind: str) -> str:
    return f"h.publisher = m.publisher AND h.entity_id = m.subject_id AND {of_person(PERSONS[kind], 'h.')}"


def _states_person(kind: str) -> str:
    """SQL: whether anything in a row `h` still leads to a person."""
    stated = [f'h."{name}" IS DISTINCT FROM {_empty(kind, name)}' for name in _identifying(kind)]
    named = f"NOT starts_with(h.business_key, '{WITHHELD}')"
    return f"({' OR '.join([*stated, named])})"


def _aside(kind: str) -> str:
    """SQL: a row `h` as it is set aside."""
    person = PERSONS[kind]
    others = ", ".join(f'"{name}" := {_exact(kind, name)}' for name in person.others)
    cells = (
        f"'{kind}'", "h.event_id::UUID", "h.entity_id::UUID", "h.version", "h.business_key", f'h."{person.token}"',
        f"to_json(struct_pack({others}))::VARCHAR" if others else "NULL",
        f"h.{PERSONAL_FIELD}" if PERSONAL_FIELD in fields(kind) else "NULL",
    )  # fmt: skip
    return ", ".join(cells)


def _given_back(kind: str) -> str:
    """SQL: the assignments that put what was set aside (`s`) back into a row."""
    person = PERSONS[kind]
    types = ", ".join(f'"{name}": {_json_type(columns(kind)[name])}' for name in person.others)
    given = f"json_transform(s.others, '{{{types}}}')"
    others = [f'"{name}" = CAST({given}."{name}" AS {columns(kind)[name]})' for name in person.others]
    cipher = [f"{PERSONAL_FIELD} = s.personal"] if PERSONAL_FIELD in fields(kind) else []
    return ", ".join([f'"{person.token}" = s.token', *others, *cipher, "business_key = s.business_key"])


def _exact(kind: str, name: str) -> str:
    """SQL: a value as it is set aside; as a JSON number it would pass through floating point, so all but lists are text."""
    return f'h."{name}"' if columns(kind)[name].endswith("[]") else f'h."{name}"::VARCHAR'


def _json_type(sql_type: str) -> str:
    return '["VARCHAR"]' if sql_type.endswith("[]") else '"VARCHAR"'


def _tables(kind: str) -> tuple[str, str]:
    return f"{kind}_history", f"{kind}_timeline"


def take(connection: duckdb.DuckDBPyConnection, frames: Mapping[str, pl.DataFrame]) -> None:
    """Take over arrived measures and grants, and do to the rows that stand what the measures say. In the caller's transaction."""
    if GRANT in frames:
        _merge(connection, "arriving_grants", frames[GRANT], TAKE_GRANTS)
    if KIND in frames:
        _merge(connection, "arriving_measures", frames[KIND], TAKE_MEASURES)
        _apply(connection)


def _merge(connection: duckdb.DuckDBPyConnection, name: str, frame: pl.DataFrame, sql: str) -> None:
    kind = GRANT if name == "arriving_grants" else KIND
    connection.register(name, frame.select(list(fields(kind))).to_arrow())
    connection.execute(sql)
    connection.unregister(name)


def _apply(connection: duckdb.DuckDBPyConnection) -> None:
    erased = 0
    for kind in PERSONS:
        whose = f"FROM ({ERASED}) AS m WHERE {_of_subject(kind)} AND {IS_ERASED} AND {_states_person(kind)}"
        erased += sum(_count(connection, f"UPDATE {table} AS h SET {_without(kind)} {whose}") for table in _tables(kind))
    gone = f"DELETE FROM set_aside AS h USING ({ERASED}) AS m WHERE h.entity_id = m.subject_id AND {IS_ERASED}"
    erased += _count(connection, gone)
    erased += forget_quarantined(connection)
    for kind in PERSONS:
        _set_aside(connection, kind)
        _put_back(connection, kind)
    connection.execute(f"DELETE FROM set_aside AS s WHERE {FREE}")
    if erased:
        connection.execute("INSERT INTO unscrubbed SELECT coalesce(max(commit_no), 0) FROM commits")


def forget_quarantined(connection: duckdb.DuckDBPyConnection) -> int:
    """Bytes of held records of erased subjects: they wait for nothing any more, and hold what was erased."""
    return _count(
        connection,
        f"""
        UPDATE quarantine AS q SET value = NULL, state = 'skipped', note = 'the subject was erased'
        FROM ({ERASED}) AS m
        WHERE m.in_force AND q.value IS NOT NULL AND q.topic[1:6] = 'yrd.' || m.publisher
          AND replace(q.entity_id, '-', '') = replace(m.subject_id::VARCHAR, '-', '')
        """,
    )


def _set_aside(connection: duckdb.DuckDBPyConnection, kind: str) -> None:
    history, timeline = _tables(kind)
    chosen = f"({NOT_USED}) AS m WHERE {_of_subject(kind)} AND h.version > m.above AND {_states_person(kind)}"
    connection.execute(f"INSERT INTO set_aside SELECT {_aside(kind)} FROM {history} AS h, {chosen}")
    for table in (history, timeline):
        connection.execute(f"UPDATE {table} AS h SET {_without(kind)} FROM {chosen}")


def _put_back(connection: duckdb.DuckDBPyConnection, kind: str) -> None:
    for table in _tables(kind):
        connection.execute(
            f"UPDATE {table} AS h SET {_given_back(kind)} FROM set_aside AS s "
            f"WHERE h.event_id = s.event_id AND s.kind = '{kind}' AND {FREE}"
        )


def _count(connection: duckdb.DuckDBPyConnection, sql: str) -> int:
    return int(connection.execute(sql).fetchall()[0][0])


def without_withheld(connection: duckdb.DuckDBPyConnection, kind: str, frame: pl.DataFrame) -> pl.DataFrame:
    """Arriving events of a kind as they may be written: what was erased never reaches the file."""
    person = PERSONS.get(kind)
    if person is None or not connection.execute("SELECT 1 FROM subject_measures LIMIT 1").fetchall():
        return frame
    measures = connection.execute(
        "SELECT publisher, subject_id::VARCHAR AS entity_id, measure, in_force, erased_to FROM subject_measures "
        f"WHERE measure IN ('{ERASURE}', '{RESTRICTION}')"
    ).pl()
    placed = frame.join(_per_subject(measures), on=["publisher", "entity_id"], how="left", maintain_order="left")
    of_one = pl.lit(True) if person.only is None else pl.col(person.only[0]) == person.only[1]
    erased = of_one & (pl.col("version") <= pl.col("_erased_to")).fill_null(False)
    unused = of_one & pl.col("_unused").fill_null(False) & ~erased
    _keep_aside(connection, kind, placed.filter(unused))
    withheld = erased | unused
    emptied = [
        pl.when(~withheld).then(name).otherwise(pl.lit(default_of(fields(kind)[name]), dtype=frame.schema[name])).alias(name)
        for name in _identifying(kind)
    ]
    key = pl.when(withheld).then(pl.lit(WITHHELD) + pl.col("entity_id")).otherwise("business_key").alias("business_key")
    return placed.with_columns(*emptied, key).drop("_erased_to", "_unused")


def _per_subject(measures: pl.DataFrame) -> pl.DataFrame:
    return measures.group_by("publisher", "entity_id").agg(
        pl.col("erased_to").max().alias("_erased_to"), pl.col("in_force").any().alias("_unused")
    )


def _keep_aside(connection: duckdb.DuckDBPyConnection, kind: str, rows: pl.DataFrame) -> None:
    if rows.height:
        connection.register("arriving_aside", rows.to_arrow())
        connection.execute(f"INSERT INTO set_aside SELECT {_aside(kind)} FROM arriving_aside AS h WHERE {_states_person(kind)}")
        connection.unregister("arriving_aside")


# -- the file itself -----------------------------------------------------------------------------------------------


def waits_for_scrubbing(connection: duckdb.DuckDBPyConnection) -> bool:
    """Whether erased values may still stand in freed blocks of the file."""
    return bool(connection.execute("SELECT 1 FROM unscrubbed LIMIT 1").fetchall())


def scrub(connection: duckdb.DuckDBPyConnection, force: bool = False) -> bool:
    """Overwrite what the file still holds of erased values. False where readers hold it up: try again, or `force` to wait.

    A checkpoint writes changed columns into new blocks and leaves what the old ones held; one that is shared with a column that
    did not change, of whatever table, is not even freed. So all tables are written anew (none has a key or an index that would be
    lost), and the freed blocks are filled with numbers, as tables that are dropped again. The write-ahead log is emptied by the
    checkpoint. Costs about as much as reading the base once.
    """
    if not waits_for_scrubbing(connection):
        return True
    checkpoint = "FORCE CHECKPOINT" if force else "CHECKPOINT"
    try:
        connection.execute(checkpoint)
        for (table,) in connection.execute(ALL_TABLES).fetchall():
            connection.execute(f'CREATE OR REPLACE TABLE "{table}" AS SELECT * FROM "{table}"')
        connection.execute(checkpoint)
        connection.execute(checkpoint)
        _fill_free_blocks(connection, checkpoint)
        connection.execute("DELETE FROM unscrubbed")
        connection.execute(checkpoint)
    except duckdb.TransactionException:
        return False
    return True


def _fill_free_blocks(connection: duckdb.DuckDBPyConnection, checkpoint: str) -> None:
    """Fill every free block with numbers and free them again. Each checkpoint frees a few more: so in rounds that keep theirs.

    Numbers, because they fill a block to its last byte, where texts leave room between themselves and their offsets.
    """
    compression = connection.execute("SELECT current_setting('force_compression')").fetchall()[0][0]
    connection.execute("SET force_compression = 'uncompressed'")
    names = [f"filling_{number}" for number in range(FILLING_ROUNDS)]
    try:
        for name in names:
            free, block_bytes = connection.execute("SELECT free_blocks, block_size FROM pragma_database_size()").fetchall()[0]
            # Two blocks more than are free, in numbers of eight bytes.
            rows = (free + 2) * (block_bytes // 8)
            connection.execute(f"CREATE OR REPLACE TABLE {name} AS SELECT range AS number FROM range(?)", [rows])
            connection.execute(checkpoint)
    finally:
        for name in names:
            connection.execute(f"DROP TABLE IF EXISTS {name}")
        connection.execute(f"SET force_compression = '{compression}'")
