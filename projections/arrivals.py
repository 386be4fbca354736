"""A batch of log records as arriving events: decoded, checked against who may say what, and placed in the log.

Nothing here touches the database, so it can run ahead of it. What can't be applied is refused with its reason.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import polars as pl

from projections.decoding import ROW, decode_batch
from repository.events.identity import hash_of_leaf, leaf_hash
from repository.store.log import Record
from schemas.contracts import KINDS, codes

KNOWN_OPERATIONS = codes(KINDS[0], "operation") or frozenset()


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
    leaves: Sequence[bytes] = ()
    """The leaf hash of each record (RFC 9162, section 2.1.1); its first 8 bytes are the event hash."""


def arrivals(records: Sequence[Record], members: Collection[str] | None) -> Arrivals:
    """Decode and check records. `members` are the publishers whose topics count; None: any."""
    # What the log itself could not give whole is not decoded; its reason stands for the decoder's.
    decoded = decode_batch([b"" if record.problem else record.value for record in records])
    leaves = [leaf_hash(record.value) for record in records]
    refused = [Refused(row, records[row].problem or reason) for row, reason in decoded.refused]
    batch = Arrivals(records, refused=refused, leaves=leaves)
    for kind, frame in decoded.frames.items():
        placed = _placed(frame, records, leaves)
        refused = _refusals(kind, placed, members)
        if refused:
            batch.refused += refused
            placed = placed.filter(~pl.col(ROW).is_in([r.row for r in refused]))
        if placed.height:
            batch.frames[kind] = placed
    batch.frames = _never_back(batch.frames)
    return batch


def _never_back(frames: dict[str, pl.DataFrame]) -> dict[str, pl.DataFrame]:
    """The frames with `received_at` non-decreasing per partition, across kinds; the projector goes on from batch to batch."""
    times = [frame.select(ROW, "topic", "partition", "received_at") for frame in frames.values()]
    if not times:
        return frames
    received = pl.concat(times).sort(ROW).select(ROW, pl.col("received_at").cum_max().over("topic", "partition"))
    return {kind: frame.drop("received_at").join(received, on=ROW, maintain_order="left") for kind, frame in frames.items()}


def _placed(frame: pl.DataFrame, records: Sequence[Record], leaves: Sequence[bytes]) -> pl.DataFrame:
    """The frame with the columns of the log: topic, partition, position, received_at, event_hash, and the record's key."""
    chosen = records if frame.height == len(records) else [records[row] for row in frame[ROW]]
    hashes = leaves if frame.height == len(records) else [leaves[row] for row in frame[ROW]]
    topics, partitions, _, positions, keys, _, _, received, _ = zip(*chosen, strict=True)
    placed = frame.with_columns(
        _column("topic", topics, pl.String),
        _column("partition", partitions, pl.Int32),
        pl.Series("position", positions, dtype=pl.Int64),
        _column("received_us", received, pl.Int64),
        pl.Series("event_hash", list(map(hash_of_leaf, hashes)), dtype=pl.Int64),
        _column("_key", keys, pl.String),
    )
    return placed.with_columns(_received()).drop("received_us")


def _column(name: str, values: Sequence[object], dtype: type[pl.DataType]) -> pl.Expr | pl.Series:
    """A column; one value throughout is a literal, which costs nothing."""
    same = values[0] == values[-1] and len(set(values)) == 1
    return pl.lit(values[0], dtype=dtype).alias(name) if same else pl.Series(name, values, dtype=dtype)


def _received() -> pl.Expr:
    """When the log received the event; where it keeps no time, when it was recorded."""
    own = pl.col("received_us").cast(pl.Datetime("us", "UTC"))
    return pl.coalesce(own, pl.col("recorded_at")).alias("received_at")


def _refusals(kind: str, frame: pl.DataFrame, members: Collection[str] | None) -> list[Refused]:
    """What is decodable but illegal: another publisher's entity, another kind's topic, an interval without days."""
    topic = pl.col("topic").str.split(".")
    owner = topic.list.get(1, null_on_oob=True)
    checked = frame.select(
        ROW, "topic", "publisher", "entity_id", "event_id", "business_key", "version", "operation",
        owner.alias("owner"),
        topic.list.get(2, null_on_oob=True).str.replace_all("-", "_", literal=True).alias("topic_kind"),
        pl.col("_key"),
        (pl.col("valid_from") >= pl.col("valid_to")).fill_null(False).alias("empty_interval"),
        (pl.col("corrects_event_id") == pl.col("event_id")).fill_null(False).alias("annuls_itself"),
    )  # fmt: skip
    listed = pl.lit(True) if members is None else pl.col("owner").is_in(list(members))
    plain = (
        listed
        & (pl.col("owner") == pl.col("publisher"))
        & pl.col("topic_kind").is_in([kind]).fill_null(True)
        & (
            pl.col("_key").is_in(["", None], nulls_equal=True)
            | (
                pl.col("_key").str.replace_all("-", "", literal=True)
                == pl.col("entity_id").str.replace_all("-", "", literal=True)
            )
        )
        & ~pl.col("empty_interval")
        & ~pl.col("annuls_itself")
        & (pl.col("version") > 0)
        & pl.col("operation").is_in(list(KNOWN_OPERATIONS))
    )
    odd = checked.filter(~plain.fill_null(False))
    return [Refused(row[ROW], _reason(kind, row, members)) for row in odd.iter_rows(named=True)]


def _reason(kind: str, row: dict[str, object], members: Collection[str] | None) -> str:  # noqa: PLR0911 - one sentence each
    if members is not None and row["owner"] not in members:
        return f"Topic {row['topic']} is of no listed member; members are {', '.join(sorted(members))}."
    if row["owner"] != row["publisher"]:
        return f"The event says publisher {row['publisher']} but stands in {row['topic']}; a publisher records only its own."
    if row["topic_kind"] is not None and row["topic_kind"] != kind:
        return f"An event of kind {kind} stands in {row['topic']}; each kind has its own topic."
    if row["_key"] and str(row["_key"]).replace("-", "") != str(row["entity_id"]).replace("-", ""):
        return f"The record's key {row['_key']} is not the event's entity {row['entity_id']}."
    if row["empty_interval"]:
        return "The event's interval holds no day; valid_to must lie after valid_from."
    if row["annuls_itself"]:
        return f"Event {row['event_id']} corrects itself; a correction names an earlier event."
    if not isinstance(row["version"], int) or row["version"] < 1:
        return f"The event has version {row['version']}; versions count from 1."
    return f'"{row["operation"]}" is no operation; known are {", ".join(sorted(KNOWN_OPERATIONS))}.'
