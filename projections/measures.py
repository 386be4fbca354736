"""Measures in the base: whose pseudonym and personal fields are taken out, and whose are set aside.

Rows of an erased subject, up to the version that the erasure names, lose `subject_token`, `personal` and the pseudonym in
`business_key`; those of a restricted one, and later ones of an erased one, lose them to `set_aside` and get them back when the
restriction ends or the subject is admitted again. Both hold for rows that stand and for rows that arrive later, so any order of
arrival gives the same rows. What is said of the world stays: totals and the content digest do not change.
"""

from collections.abc import Mapping
from typing import Final

import duckdb
import polars as pl

from repository.controls.subject_measure import ERASURE, KIND, RESTRICTION, WITHHELD
from repository.kinds.service_object import KIND as SERVICE_OBJECT
from schemas.contracts import fields

GRANT: Final = "grant"
CONTROLS: Final = (KIND, GRANT)
TABLES: Final = (f"{SERVICE_OBJECT}_history", f"{SERVICE_OBJECT}_timeline")
ALL_TABLES: Final = "SELECT table_name FROM duckdb_tables() WHERE NOT temporary AND NOT internal ORDER BY table_name"
WITHOUT: Final = f"subject_token = NULL, personal = NULL, business_key = '{WITHHELD}' || h.entity_id::VARCHAR"
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
OF_SUBJECT: Final = "h.publisher = m.publisher AND h.entity_id = m.subject_id AND h.subject_type = 'person'"
STATES_PERSON: Final = "(h.subject_token IS NOT NULL OR h.personal IS NOT NULL)"


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
    for table in TABLES:
        erased += _count(
            connection,
            f"UPDATE {table} AS h SET {WITHOUT} FROM ({ERASED}) AS m WHERE {OF_SUBJECT} AND {IS_ERASED} AND {STATES_PERSON}",
        )
    gone = f"DELETE FROM set_aside AS h USING ({ERASED}) AS m WHERE h.entity_id = m.subject_id AND {IS_ERASED}"
    erased += _count(connection, gone)
    erased += forget_quarantined(connection)
    _set_aside(connection)
    _put_back(connection)
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


def _set_aside(connection: duckdb.DuckDBPyConnection) -> None:
    chosen = f"({NOT_USED}) AS m WHERE {OF_SUBJECT} AND h.version > m.above AND {STATES_PERSON}"
    cells = "h.event_id, h.entity_id, h.version, h.business_key, h.subject_token, h.personal"
    connection.execute(f"INSERT INTO set_aside SELECT {cells} FROM {SERVICE_OBJECT}_history AS h, {chosen}")
    for table in TABLES:
        connection.execute(f"UPDATE {table} AS h SET {WITHOUT} FROM {chosen}")


def _put_back(connection: duckdb.DuckDBPyConnection) -> None:
    free = f"s.entity_id NOT IN (SELECT subject_id FROM ({NOT_USED}))"
    back = "subject_token = s.subject_token, personal = s.personal, business_key = s.business_key"
    for table in TABLES:
        connection.execute(f"UPDATE {table} AS h SET {back} FROM set_aside AS s WHERE h.event_id = s.event_id AND {free}")
    connection.execute(f"DELETE FROM set_aside AS s WHERE {free}")


def _count(connection: duckdb.DuckDBPyConnection, sql: str) -> int:
    return int(connection.execute(sql).fetchall()[0][0])


def without_withheld(connection: duckdb.DuckDBPyConnection, frame: pl.DataFrame) -> pl.DataFrame:
    """Arriving events of service objects as they may be written: what was erased never reaches the file."""
    if not connection.execute("SELECT 1 FROM subject_measures LIMIT 1").fetchall():
        return frame
    measures = connection.execute(
        "SELECT publisher, subject_id::VARCHAR AS entity_id, measure, in_force, erased_to FROM subject_measures "
        f"WHERE measure IN ('{ERASURE}', '{RESTRICTION}')"
    ).pl()
    placed = frame.join(_per_subject(measures), on=["publisher", "entity_id"], how="left", maintain_order="left")
    person = pl.col("subject_type") == "person"
    erased = person & (pl.col("version") <= pl.col("_erased_to")).fill_null(False)
    unused = person & pl.col("_unused").fill_null(False) & ~erased
    states = pl.col("subject_token").is_not_null() | pl.col("personal").is_not_null()
    _keep_aside(connection, placed.filter(unused & states))
    withheld = erased | unused
    return placed.with_columns(
        pl.when(~withheld).then("subject_token").alias("subject_token"),
        pl.when(~withheld).then("personal").alias("personal"),
        pl.when(withheld).then(pl.lit(WITHHELD) + pl.col("entity_id")).otherwise("business_key").alias("business_key"),
    ).drop("_erased_to", "_unused")


def _per_subject(measures: pl.DataFrame) -> pl.DataFrame:
    return measures.group_by("publisher", "entity_id").agg(
        pl.col("erased_to").max().alias("_erased_to"), pl.col("in_force").any().alias("_unused")
    )


def _keep_aside(connection: duckdb.DuckDBPyConnection, rows: pl.DataFrame) -> None:
    if rows.height:
        cells = ("event_id", "entity_id", "version", "business_key", "subject_token", "personal")
        connection.register("arriving_aside", rows.select(cells).to_arrow())
        connection.execute("INSERT INTO set_aside SELECT * FROM arriving_aside")
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
