"""The leaves: every record's hash at its place in its publisher's log, whatever became of the record itself.

A record that is refused is a leaf as well: withheld is not the same as refused. The same record delivered again changes
nothing. Another record at a position that is taken is kept beside the first, so that which of the two came first makes no
difference to what is said of them.
"""

from collections.abc import Sequence
from typing import Final

import duckdb
import polars as pl

from repository.proof.merkle import SHA_256, SM3, hashing
from repository.store.log import Record

COLUMNS: Final = {
    "publisher": pl.String,
    "position": pl.Int64,
    "kind": pl.String,
    "topic": pl.String,
    "partition": pl.Int32,
    "log_offset": pl.Int64,
    "leaf": pl.Binary,
    "leaf_sm3": pl.Binary,
}
LEAF_COLUMN: Final = {SHA_256: "leaf", SM3: "leaf_sm3"}
"""Column of the leaf hashes by algorithm. SM3 is computed where the region seals with it."""
SAME_PLACE: Final = "l.publisher = a.publisher AND l.position = a.position"


def kind_of(record: Record) -> str:
    """The kind that a record's place says it has: that of its topic, or of its stored event type."""
    parts = record.topic.split(".")
    return parts[2].replace("-", "_") if len(parts) > 2 else record.event_type.partition(".")[0]


def append_leaves(
    connection: duckdb.DuckDBPyConnection, records: Sequence[Record], leaves: Sequence[bytes], algorithm: str
) -> None:
    """Append the leaves of a batch in the caller's transaction. `leaves` are SHA-256; `algorithm` is what is kept besides.

    A record that its log could not give in stored form is no leaf yet: its bytes are not those that were sealed.
    """
    if any(record.problem for record in records):
        whole = [(record, leaf) for record, leaf in zip(records, leaves, strict=True) if not record.problem]
        records, leaves = [record for record, _ in whole], [leaf for _, leaf in whole]
    if not records:
        return
    sm3 = hashing(SM3).leaf if algorithm == SM3 else lambda _: None
    columns = zip(*records, strict=True)
    topics, partitions, offsets, positions, _, _, values, *_ = columns
    frame = pl.DataFrame(
        {
            "publisher": [topic.split(".")[1] if "." in topic else topic for topic in topics],
            "position": positions,
            "kind": list(map(kind_of, records)),
            "topic": topics,
            "partition": partitions,
            "log_offset": offsets,
            "leaf": leaves,
            "leaf_sm3": list(map(sm3, values)),
        },
        schema=COLUMNS,
    )
    connection.register("arriving_leaves", frame.to_arrow())
    if _plainly_new(connection, frame):
        connection.execute("INSERT INTO leaves SELECT * FROM arriving_leaves")
    else:
        _append_beside(connection)
    connection.unregister("arriving_leaves")


def _plainly_new(connection: duckdb.DuckDBPyConnection, frame: pl.DataFrame) -> bool:
    """Whether every place is new; told by the least position, which the table's own summaries answer without a scan."""
    if frame.select("publisher", "position").is_duplicated().any():
        return False
    least = frame.group_by("publisher").agg(pl.col("position").min()).rows()
    sql = "SELECT 1 FROM leaves WHERE publisher = ? AND position >= ? LIMIT 1"
    return not any(connection.execute(sql, list(place)).fetchall() for place in least)


def _append_beside(connection: duckdb.DuckDBPyConnection) -> None:
    connection.execute(
        f"""
        INSERT INTO leaves
        SELECT a.* FROM arriving_leaves AS a ANTI JOIN leaves AS l ON {SAME_PLACE}
        QUALIFY row_number() OVER (PARTITION BY a.publisher, a.position ORDER BY a.leaf) = 1
        """
    )
    connection.execute(
        f"""
        INSERT INTO leaf_conflicts
        SELECT DISTINCT ON (a.publisher, a.position, a.leaf) a.*
        FROM arriving_leaves AS a
        JOIN leaves AS l ON {SAME_PLACE} AND l.leaf <> a.leaf
        ANTI JOIN leaf_conflicts AS c ON c.publisher = a.publisher AND c.position = a.position AND c.leaf = a.leaf
        """
    )
