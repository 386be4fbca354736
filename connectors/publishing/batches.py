"""Batch records: what an import read, refused and changed, and the heartbeat that says nothing changed."""

from collections import Counter
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import Any
from uuid import UUID

import duckdb

from connectors.profiles.profile import Profile
from repository.events.identity import entity_id, event_id, hash_of_leaf, leaf_hash
from repository.store.publisher import Publisher, StoredRow, stored_row

IMPORTED, UNCHANGED, HEARTBEAT = "DumpImported", "DumpUnchanged", "HeartbeatSent"


@dataclass
class Counts:
    """What an import came to (unit: rows, facts, events). `events` is without the batch record."""

    rows_read: int = 0
    rows_mapped: int = 0
    rows_rejected: int = 0
    rows_skipped: int = 0
    facts_new: int = 0
    facts_changed: int = 0
    facts_unchanged: int = 0
    facts_duplicate: int = 0
    facts_rejected: int = 0
    closed: int = 0
    events: int = 0
    events_xor: int = 0
    events_by_type: Counter[str] = field(default_factory=Counter)

    def recorded(self, rows: list[StoredRow]) -> list[bytes]:
        """Count stored events in; the leaf hash of each, of which the total takes the first bytes."""
        self.events += len(rows)
        leaves = [leaf_hash(row.state) for row in rows]
        for row, leaf in zip(rows, leaves, strict=True):
            self.events_xor ^= hash_of_leaf(leaf)
            self.events_by_type[row.topic.partition(".")[2]] += 1
        return leaves


@dataclass(frozen=True, slots=True)
class BatchIdentity:
    """Which batch record an import will write: the next of its source's stream. Its event id is the batch id."""

    entity: UUID
    version: int

    @property
    def id(self) -> UUID:
        return event_id(self.entity, self.version)


def next_batch(store: Publisher, source: str) -> BatchIdentity:
    """The batch that an import of this source makes next; the same one again after a crash."""
    entity = entity_id(store.code, "batch", source)
    return BatchIdentity(entity, store.last_version(entity) + 1)


def same_file(connection: duckdb.DuckDBPyConnection, source: str, sha256: str) -> frozenset[str]:
    """Earlier batches of this source that came from the very same file."""
    rows = connection.execute(
        "SELECT event_id::VARCHAR FROM batch_history WHERE source = ? AND file_sha256 = ?", [source, sha256]
    ).fetchall()
    return frozenset(batch_id for (batch_id,) in rows)


def batch_row(
    store: Publisher,
    batch: BatchIdentity,
    source: str,
    event_type: str,
    as_of: date | None,
    recorded_at: datetime,
    details: dict[str, Any],
) -> StoredRow:
    """The stored row of a batch record; `details` are the fields of the batch schema after the envelope."""
    record = {
        "event_id": batch.id,
        "event_type": event_type,
        "operation": "assert",
        "publisher": store.code,
        "entity_id": batch.entity,
        "business_key": source,
        "version": batch.version,
        "valid_from": as_of,
        "recorded_at": recorded_at,
        "source": source,
        **details,
    }
    return stored_row("batch", record)


def import_details(
    profile: Profile, counts: Counts, file_name: str, sha256: str, started: datetime, finished: datetime
) -> dict[str, Any]:
    """The batch fields of an import."""
    by_type = [{"event_type": name, "count": number} for name, number in sorted(counts.events_by_type.items())]
    numbers = {name: value for name, value in vars(counts).items() if name != "events_by_type"}
    return {
        "scope": profile.scope,
        "profile": profile.name,
        "file_name": file_name,
        "file_sha256": sha256,
        "completeness": profile.completeness,
        "fact_kind": profile.kind,
        **numbers,
        "events_by_type": by_type,
        "expected_every_days": profile.expected_every,
        "started_at": started,
        "finished_at": finished,
    }
