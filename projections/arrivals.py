"""A batch of log records as arriving events: decoded, checked against who may say what, and placed in the log.

Nothing here touches the database, so it can run ahead of it. What can't be applied is refused with its reason.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import polars as pl

from projections.decoding import ROW, decode_batch
from repository.identity import NAMESPACE, entity_id_text, event_hash, event_id_text
from repository.log import Record
from schemas.contracts import codes

OPERATIONS = codes("supply", "operation") or frozenset()


class Refused(NamedTuple):
    """A record that can't be applied: its place in the batch and why, in one sentence."""

    row: int
    reason: str


@dataclass
class Arrivals:
    """A checked batch: per kind a frame of the schema's columns and the log's, and the refused records."""

    records: Sequence[Record]
    frames: dict[str, pl.DataFrame] = field(default_factory=dict)
    refused: list[Refused] = field(default_factory=list)


def arrivals(records: Sequence[Record], members: Collection[str] | None) -> Arrivals:
    """Decode and check records. `members` are the publishers whose topics count; None: any."""
    decoded = decode_batch([record.value for record in records])
    batch = Arrivals(records, refused=[Refused(*each) for each in decoded.refused])
    for kind, frame in decoded.frames.items():
        placed = _placed(frame, records)
        refused = _refusals(kind, placed, members)
        if refused:
            batch.refused += refused
            placed = placed.filter(~pl.col(ROW).is_in([r.row for r in refused]))
        if placed.height:
            batch.frames[kind] = placed
    return batch


def _placed(frame: pl.DataFrame, records: Sequence[Record]) -> pl.DataFrame:
    """The frame with the columns of the log: topic, partition, position, received_at, event_hash, and the record's key."""
    chosen = records if frame.height == len(records) else [records[row] for row in frame[ROW]]
    topics, partitions, _, positions, keys, _, values, received = zip(*chosen, strict=True)
    placed = frame.with_columns(
        _column("topic", topics, pl.String),
        _column("partition", partitions, pl.Int32),
        pl.Series("position", positions, dtype=pl.Int64),
        _column("received_us", received, pl.Int64),
        pl.Series("event_hash", list(map(event_hash, values)), dtype=pl.Int64),
        _column("_key", keys, pl.String),
    )
    return placed.with_columns(_received()).drop("received_us")


def _column(name: str, values: Sequence[object], dtype: type[pl.DataType]) -> pl.Expr | pl.Series:
    """A column; one value throughout is a literal, which costs nothing."""
    same = values[0] == values[-1] and len(set(values)) == 1
    return pl.lit(values[0], dtype=dtype).alias(name) if same else pl.Series(name, values, dtype=dtype)


def _received() -> pl.Expr:
    """When the log received the event, made non-decreasing per partition; where it keeps no time, when it was recorded."""
    own = pl.col("received_us").cast(pl.Datetime("us", "UTC"))
    return pl.coalesce(own, pl.col("recorded_at")).cum_max().over("topic", "partition").alias("received_at")


def _refusals(kind: str, frame: pl.DataFrame, members: Collection[str] | None) -> list[Refused]:
    """What is decodable but illegal: another publisher's entity, a forged identity, an interval without days."""
    topic = pl.col("topic").str.split(".")
    owner = topic.list.get(1, null_on_oob=True)
    checked = frame.select(
        ROW, "topic", "publisher", "entity_id", "event_id", "business_key", "version", "operation",
        owner.alias("owner"),
        topic.list.get(2, null_on_oob=True).replace("service-object", "service_object").alias("topic_kind"),
        pl.col("_key"),
        (pl.col("valid_from") >= pl.col("valid_to")).fill_null(False).alias("empty_interval"),
    )  # fmt: skip
    listed = pl.lit(True) if members is None else pl.col("owner").is_in(list(members))
    plain = (
        listed
        & (pl.col("owner") == pl.col("publisher"))
        & pl.col("topic_kind").is_in([kind]).fill_null(True)
        & (pl.col("_key").is_in(["", None], nulls_equal=True) | (pl.col("_key") == pl.col("entity_id")))
        & ~pl.col("empty_interval")
        & pl.col("operation").is_in(list(OPERATIONS))
    )
    odd = checked.filter(~plain | _forged(kind, checked))
    return [Refused(row[ROW], _reason(kind, row, members)) for row in odd.iter_rows(named=True)]


def _forged(kind: str, frame: pl.DataFrame) -> pl.Series:
    """Whether identities are not what publisher, kind, first key and version make them."""
    events = list(map(event_id_text, frame["entity_id"], frame["version"]))
    forged = pl.Series(events) != frame["event_id"]
    first = frame.with_row_index("_i").filter(pl.col("version") == 1)
    prefixes = {p: NAMESPACE.bytes + f"{p}|{kind}|".encode() for p in first["publisher"].unique()}
    made = [entity_id_text(prefixes[p], k) for p, k in zip(first["publisher"], first["business_key"], strict=True)]
    wrong = first.filter(pl.Series(made, dtype=pl.String) != first["entity_id"])["_i"]
    return forged | pl.Series(range(frame.height)).is_in(wrong.cast(pl.Int64).implode()) if wrong.len() else forged


def _reason(kind: str, row: dict[str, object], members: Collection[str] | None) -> str:
    if members is not None and row["owner"] not in members:
        return f"Topic {row['topic']} is of no listed member; members are {', '.join(sorted(members))}."
    if row["owner"] != row["publisher"]:
        return f"The event says publisher {row['publisher']} but stands in {row['topic']}; a publisher records only its own."
    if row["topic_kind"] is not None and row["topic_kind"] != kind:
        return f"An event of kind {kind} stands in {row['topic']}; each kind has its own topic."
    if row["_key"] and row["_key"] != row["entity_id"]:
        return f"The record's key {row['_key']} is not the event's entity {row['entity_id']}."
    if row["empty_interval"]:
        return "The event's interval holds no day; valid_to must lie after valid_from."
    if row["operation"] not in OPERATIONS:
        return f'"{row["operation"]}" is no operation; known are {", ".join(sorted(OPERATIONS))}.'
    return f"The identity {row['event_id']} is not made of publisher, kind, first key and version {row['version']}; it is forged or damaged."
