"""The projector: records of any log -> rows of the base, each batch with its checkpoints in one transaction.

What was applied is what the checkpoints in the base say, never what a broker or this process remembers. Redelivery, any
batching and any interleaving of partitions end in the same content. What can't be applied goes to `quarantine` with its
bytes and holds nothing up.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from hashlib import sha256

import duckdb
import polars as pl

from projections import subject_measures, tables
from projections.arrivals import Arrivals, Refused, arrivals
from projections.decoding import ROW
from projections.leaves import append_leaves
from repository.events.identity import NAMESPACE
from repository.store.log import Checkpoint, Log, LogChanged, Partition, Record, body_hash
from schemas.contracts import FACT_KINDS

RESOLVE = (tables.FOLDER / "resolve.sql").read_text("utf-8")


def _uuid5(h: str) -> str:
    """SQL for a UUID version 5 as text (RFC 9562, section 5.5), from the column with the SHA-1 of namespace and name."""
    variant = f"substr('89ab89ab89ab89ab', ('0x' || {h}[17])::INTEGER + 1, 1)"
    return f"concat({h}[1:8], '-', {h}[9:12], '-5', {h}[14:16], '-', {variant}, {h}[18:20], '-', {h}[21:32])"


FORGED = f"""
WITH hashed AS MATERIALIZED (
    SELECT *, sha1(unhex(replace(entity_id, '-', '')) || encode(version::VARCHAR)) AS event_sha1,
           CASE WHEN version = 1 THEN sha1(unhex($1) || encode(publisher || '|' || $2 || '|' || business_key)) END AS entity_sha1
    FROM arriving_ids
)
SELECT {ROW}, event_id, version
FROM hashed
WHERE event_id <> {_uuid5("event_sha1")} OR (version = 1 AND entity_id <> {_uuid5("entity_sha1")})
"""
"""Events whose identity, or of a first event its entity's, is not what its parts make it. Same as repository.events.identity."""
NOT_A_RECORDS_FAULT = (
    duckdb.IOException,
    duckdb.OutOfMemoryException,
    duckdb.FatalException,
    duckdb.InternalException,
    duckdb.TransactionException,
    duckdb.InterruptException,
    duckdb.ConnectionException,
)
"""Errors of the machine, not of a record: nothing is quarantined for them, the batch is given up whole."""


@dataclass(frozen=True, slots=True)
class Applied:
    """What one batch came to (unit: records)."""

    events: int = 0
    duplicates: int = 0
    quarantined: int = 0

    def __add__(self, other: "Applied") -> "Applied":
        return Applied(self.events + other.events, self.duplicates + other.duplicates, self.quarantined + other.quarantined)


class Projector:
    """Applies records to one base. The connection is its own; readers use cursors of it.

    `leaves` names the hash algorithm of seals; with it every record's leaf is kept, to hold seals against.
    """

    def __init__(
        self, connection: duckdb.DuckDBPyConnection, members: Collection[str] | None = None, leaves: str | None = None
    ) -> None:
        self.connection = connection
        self.members = members
        self.log_ids: Mapping[str, str] = {}
        self.leaves = leaves

    def checkpoints(self) -> dict[Partition, Checkpoint]:
        """How far each partition was applied, as the base says."""
        rows = self.connection.execute(
            "SELECT topic, partition, next_offset, last_position, last_body_hash, log_id FROM checkpoints"
        ).fetchall()
        return {(topic, partition): Checkpoint(*rest) for topic, partition, *rest in rows}

    def recognise(self, log: Log) -> None:
        """Read the last applied record of each partition again. Raises LogChanged where it is gone or another."""
        identities = log.identities()
        for partition, checkpoint in self.checkpoints().items():
            topic, number = partition
            if checkpoint.log_id and topic in identities and identities[topic] != checkpoint.log_id:
                raise LogChanged(
                    f"{topic} was deleted and made anew after the base had applied offset {checkpoint.next_offset - 1} of it. "
                    "Restore it, or rebuild the base from the log as it is with `yrd rebuild`."
                )
            record = log.last_read(partition, checkpoint)
            if record is None:
                raise LogChanged(
                    f"{topic} partition {number} no longer has offset {checkpoint.next_offset - 1}, which the base has applied; "
                    "the log was replaced or cut, or the setting log names another one now. Restore it, or rebuild the base "
                    "from the log as it is with `yrd rebuild`."
                )
            if body_hash(record.value) != checkpoint.last_body_hash or record.position != checkpoint.last_position:
                raise LogChanged(
                    f"{topic} partition {number} has another record at offset {checkpoint.next_offset - 1} than the one applied; "
                    "the log was replaced or altered. Restore it, or rebuild the base from the log as it is with `yrd rebuild`."
                )

    # -- applying --

    def prepare(self, records: Sequence[Record]) -> Arrivals:
        """The part of applying that needs no database; may run ahead in another thread."""
        return arrivals(records, self.members)

    def apply(self, records: Sequence[Record], committed_at: datetime) -> Applied:
        """Apply a batch of records in one transaction; `committed_at` is the caller's clock, in UTC."""
        return self.apply_prepared(self.prepare(records), committed_at)

    def apply_prepared(self, batch: Arrivals, committed_at: datetime) -> Applied:
        """Apply a prepared batch. A record that the database refuses is found by halving and quarantined."""
        if not batch.records:
            return Applied()
        try:
            return self._in_transaction(batch, committed_at)
        except NOT_A_RECORDS_FAULT:
            raise
        except duckdb.Error as error:
            if len(batch.records) == 1:
                refused = [Refused(0, f"The base refused the record: {str(error).splitlines()[0]}")]
                return self._in_transaction(Arrivals(batch.records, refused=refused, leaves=batch.leaves), committed_at)
            half = len(batch.records) // 2
            first, second = batch.records[:half], batch.records[half:]
            return self.apply(first, committed_at) + self.apply(second, committed_at)

    def _in_transaction(self, batch: Arrivals, committed_at: datetime) -> Applied:
        self.connection.execute("BEGIN TRANSACTION")
        try:
            received = self._last_received()
            frames = {kind: _not_before(frame, received) for kind, frame in batch.frames.items()}
            applied = self._write(replace(batch, frames=frames))
            if self.leaves is not None:
                append_leaves(self.connection, batch.records, batch.leaves, self.leaves)
            self._checkpoint(batch.records, _latest(received, frames), committed_at)
        except BaseException:
            self.connection.execute("ROLLBACK")
            raise
        # Outside the try: when COMMIT raises, whether it took place is unknown, and only the base's checkpoint can tell.
        self.connection.execute("COMMIT")
        return applied

    def _write(self, batch: Arrivals) -> Applied:
        applied = Applied()
        refused = list(batch.refused)
        # Measures and grants first: what they withhold is not written at all.
        for kind, arrived in sorted(batch.frames.items(), key=lambda each: each[0] not in subject_measures.CONTROLS):
            frame, forged = self._genuine(kind, arrived)
            refused += forged
            fresh, duplicates, conflicts, seen = self._unseen(kind, frame)
            self._append(kind, fresh, seen)
            if kind in subject_measures.CONTROLS:
                subject_measures.take(self.connection, {kind: fresh})
            refused += conflicts
            applied += Applied(events=fresh.height)
            applied += self._count(duplicates)
        self._quarantine(batch.records, refused)
        if refused:
            subject_measures.forget_quarantined(self.connection)
        return replace(applied, quarantined=len(refused))

    def _count(self, duplicates: pl.DataFrame) -> Applied:
        if duplicates.height:
            per_partition = duplicates.group_by("topic", "partition").len().rows()
            self.connection.executemany("INSERT INTO duplicates VALUES (?, ?, ?)", per_partition)
        return Applied(duplicates=duplicates.height)

    def _genuine(self, kind: str, frame: pl.DataFrame) -> tuple[pl.DataFrame, list[Refused]]:
        """The events whose identities are made as they must be, and the forged or damaged ones.

        UUID version 5 for every event is dear in Python and cheap in the database, which has two cores for it.
        """
        ids = frame.select(ROW, "event_id", "entity_id", "publisher", "business_key", "version")
        self.connection.register("arriving_ids", ids.to_arrow())
        given = [NAMESPACE.hex, kind]
        rows = self.connection.execute(FORGED, given).fetchall()
        self.connection.unregister("arriving_ids")
        if not rows:
            return frame, []
        refused = [
            Refused(
                row,
                f"The identity {event} is not made of publisher, kind, first key and version {version}; it is forged or damaged.",
            )
            for row, event, version in rows
        ]
        return frame.filter(~pl.col(ROW).is_in([r.row for r in refused])), refused

    def _unseen(self, kind: str, frame: pl.DataFrame) -> tuple[pl.DataFrame, pl.DataFrame, list[Refused], list[str]]:
        """New events, repeated ones, conflicts with what stands, and entities that the base knew before."""
        self.connection.register("arriving_ids", frame.select("entity_id").to_arrow())
        known = self.connection.execute(
            f"""
            SELECT h.entity_id::VARCHAR AS entity_id, h.event_id::VARCHAR AS event_id, h.event_hash AS known_hash
            FROM {kind}_history AS h
            SEMI JOIN (SELECT DISTINCT entity_id::UUID AS entity_id FROM arriving_ids) USING (entity_id)
            """
        ).pl()
        self.connection.unregister("arriving_ids")
        seen = known["entity_id"].unique().to_list()
        if not known.height and frame["event_id"].n_unique() == frame.height:
            return frame, frame.clear(), [], seen
        frame = frame.with_columns(
            pl.col("event_hash").first().over("event_id").alias("_first"), _nth=pl.int_range(pl.len()).over("event_id")
        )
        frame = frame.join(known.select("event_id", "known_hash"), on="event_id", how="left", maintain_order="left")
        standing = pl.coalesce("known_hash", "_first")
        again = pl.col("known_hash").is_not_null() | (pl.col("_nth") > 0)
        repeated = frame.filter(again & (standing == pl.col("event_hash")))
        conflicts = [
            Refused(row, f"Event {event} stands with other bytes already; the first stands, this one was never applied.")
            for row, event in frame.filter(again & (standing != pl.col("event_hash"))).select(ROW, "event_id").iter_rows()
        ]
        return frame.filter(~again).drop("known_hash", "_first", "_nth"), repeated, conflicts, seen

    def _append(self, kind: str, frame: pl.DataFrame, seen: list[str]) -> None:
        if not frame.height:
            return
        frame = subject_measures.without_withheld(self.connection, kind, frame)
        self._insert(f"{kind}_history", kind, frame)
        if kind not in FACT_KINDS:
            return
        alone = pl.col("entity_id").is_in(seen).not_() & (pl.len().over("entity_id") == 1) & (pl.col("operation") != "retract")
        lone = frame.filter(alone)
        if lone.height:
            self._insert(f"{kind}_timeline", kind, lone)
        touched = (
            frame.join(lone.select("entity_id"), on="entity_id", how="anti") if lone.height < frame.height else frame.clear()
        )
        if touched.height:
            self._resolve(kind, touched["entity_id"].unique())

    def _insert(self, table: str, kind: str, frame: pl.DataFrame) -> None:
        cells = ", ".join(f'"{name}"::{type_} AS "{name}"' for name, type_ in tables.columns(kind).items())
        self.connection.register("arriving", frame.to_arrow())
        self.connection.execute(f"INSERT INTO {table} SELECT {cells} FROM arriving")
        self.connection.unregister("arriving")

    def _resolve(self, kind: str, entities: pl.Series) -> None:
        self.connection.register("touched", pl.DataFrame({"entity_id": entities}).to_arrow())
        self.connection.execute(
            "CREATE OR REPLACE TEMP TABLE touched_entities AS SELECT entity_id::UUID AS entity_id FROM touched"
        )
        self.connection.unregister("touched")
        self.connection.execute(f"DELETE FROM {kind}_timeline WHERE entity_id IN (SELECT entity_id FROM touched_entities)")
        self.connection.execute(RESOLVE.replace("{kind}", kind))

    # -- ahead --

    def foresee(self, records: Sequence[Record]) -> None:
        """Take over the logs' measures and grants before their turn: an old base shows nothing that was erased since."""
        batch = self.prepare(records)
        self.connection.execute("BEGIN TRANSACTION")
        try:
            subject_measures.take(self.connection, {kind: self._genuine(kind, frame)[0] for kind, frame in batch.frames.items()})
        except BaseException:
            self.connection.execute("ROLLBACK")
            raise
        self.connection.execute("COMMIT")

    # -- again --

    def retry(self, restored: Callable[[Record], Record] = lambda record: record) -> Applied:
        """Try the held records of the quarantine again, after what was wrong has been put right; one by one.

        `restored` gives a record in stored form that its log could not give so before.
        """
        rows = self.connection.execute(
            "SELECT quarantine_no, topic, partition, log_offset, position, entity_id, event_type, value, "
            "epoch_us(received_at) FROM quarantine WHERE state = 'held' ORDER BY quarantine_no"
        ).fetchall()
        total = Applied()
        for number, *record in rows:
            total += self._retry_one(number, restored(Record(*record)))
        return total

    def _retry_one(self, number: int, record: Record) -> Applied:
        batch = self.prepare([record])
        if batch.refused:
            return Applied(quarantined=1)
        self.connection.execute("BEGIN TRANSACTION")
        try:
            applied = self._write(batch)
            if self.leaves is not None:
                # One that its log could give only now has no leaf yet; to the others this adds nothing.
                append_leaves(self.connection, batch.records, batch.leaves, self.leaves)
            if not applied.quarantined:
                self.connection.execute("UPDATE quarantine SET state = 'applied' WHERE quarantine_no = ?", [number])
        except duckdb.Error:
            self.connection.execute("ROLLBACK")
            return Applied(quarantined=1)
        self.connection.execute("COMMIT")
        return applied

    # -- what is written besides --

    def _quarantine(self, records: Sequence[Record], refused: Sequence[Refused]) -> None:
        if not refused:
            return
        rows = [(records[each.row], each.reason) for each in refused]
        table = pl.DataFrame(
            [(*r[:7], r.received_us, why) for r, why in rows],
            schema=QUARANTINED,
            orient="row",
        )
        self.connection.register("refused", table.to_arrow())
        # A record is refused again when it is delivered again, or its batch is tried by halves: its place identifies it.
        self.connection.execute(
            """
            INSERT INTO quarantine
            SELECT coalesce((SELECT max(quarantine_no) FROM quarantine), 0)
                       + row_number() OVER (ORDER BY topic, partition, log_offset),
                   r.* EXCLUDE (received_us, reason), make_timestamptz(received_us), reason, 'held', NULL
            FROM refused AS r
            ANTI JOIN quarantine USING (topic, partition, log_offset)
            """
        )
        self.connection.unregister("refused")

    def _last_received(self) -> pl.DataFrame:
        rows = self.connection.execute("SELECT topic, partition, epoch_us(last_received_at) FROM checkpoints").fetchall()
        moments = pl.DataFrame(rows, schema={"topic": pl.String, "partition": pl.Int32, "latest": pl.Int64}, orient="row")
        return moments.with_columns(pl.col("latest").cast(pl.Datetime("us", "UTC")))

    def _checkpoint(self, records: Sequence[Record], received: Mapping[Partition, int], committed_at: datetime) -> None:
        # A record that is delivered again late does not take the checkpoint back.
        last = {(record.topic, record.partition): record for record in sorted(records, key=lambda r: r.offset)}
        rows = [
            (r.topic, r.partition, r.offset + 1, r.position, body_hash(r.value), received.get(p), self.log_ids.get(r.topic, ""))
            for p, r in last.items()
        ]
        names = ("topic", "partition", "next_offset", "last_position", "last_body_hash", "received_us", "log_id")
        table = pl.DataFrame(rows, schema=dict(zip(names, CHECKPOINT_TYPES, strict=True)), orient="row")
        self.connection.register("reached", table.to_arrow())
        # One statement per table, never row by row: 40 rows by executemany cost more than the whole batch.
        self.connection.execute(
            "DELETE FROM checkpoints AS c USING reached AS r "
            "WHERE c.topic = r.topic AND c.partition = r.partition AND c.next_offset <= r.next_offset"
        )
        self.connection.execute(
            "INSERT INTO checkpoints SELECT topic, partition, next_offset, last_position, last_body_hash, "
            "make_timestamptz(received_us), log_id FROM reached ANTI JOIN checkpoints USING (topic, partition)"
        )
        self.connection.unregister("reached")
        self.connection.execute(
            """
            INSERT INTO commits
            SELECT coalesce((SELECT max(commit_no) FROM commits), 0) + 1, ?,
                   (SELECT list({'topic': topic, 'partition': partition, 'next_offset': next_offset} ORDER BY topic, partition)
                    FROM checkpoints)
            """,
            [committed_at],
        )


def _not_before(frame: pl.DataFrame, received: pl.DataFrame) -> pl.DataFrame:
    """The frame with no event received before the last one that an earlier batch brought from its partition."""
    if not received.height:
        return frame
    placed = frame.join(received, on=["topic", "partition"], how="left", maintain_order="left")
    return placed.with_columns(pl.max_horizontal("received_at", "latest").alias("received_at")).drop("latest")


def _latest(received: pl.DataFrame, frames: Mapping[str, pl.DataFrame]) -> dict[Partition, int]:
    """When the newest event of each partition was received, in microseconds since 1970-01-01 UTC."""
    arrived = [frame.select("topic", "partition", pl.col("received_at").alias("latest")) for frame in frames.values()]
    newest = pl.concat([received, *arrived]).group_by("topic", "partition").agg(pl.col("latest").max().to_physical())
    return {(topic, partition): latest for topic, partition, latest in newest.iter_rows()}


QUARANTINED = {
    "topic": pl.String,
    "partition": pl.Int32,
    "log_offset": pl.Int64,
    "position": pl.Int64,
    "entity_id": pl.String,
    "event_type": pl.String,
    "value": pl.Binary,
    "received_us": pl.Int64,
    "reason": pl.String,
}
CHECKPOINT_TYPES = (pl.String, pl.Int32, pl.Int64, pl.Int64, pl.Int64, pl.Int64, pl.String)


ALWAYS_COUNTED = FACT_KINDS[:3]
"""The kinds of the first release, whose absence is content. A later kind counts where it has events: a base that holds none of
it has the digest that it had before the kind was known."""


def content_digest(connection: duckdb.DuckDBPyConnection, table: str = "{kind}_history") -> str:
    """SHA-256 over count and total of every kind's events: equal for equal content, however it arrived.

    `table` names the tables that hold the events, the base's histories unless others are asked for.
    """
    parts = []
    for kind in FACT_KINDS:
        events, total = connection.execute(tables.digest_sql(kind, table)).fetchall()[0]
        if events or kind in ALWAYS_COUNTED:
            parts.append(f"{kind} {events} {total}")
    return sha256("\n".join(parts).encode()).hexdigest()
