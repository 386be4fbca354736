"""The status of a base: how far it is behind each partition of the log, what waits for somebody, and whether it moves."""

from collections.abc import Mapping
from typing import Any

from connectors.base.base import Base
from connectors.hub.following_seals import proof_status
from projections.projector import content_digest
from repository.kinds.register import RULES
from repository.store.log import Checkpoint, Log, Partition
from schemas.contracts import FACT_KINDS

PER_PARTITION = """
SELECT topic, partition, epoch(now()) - epoch(last_received_at) AS newest_s,
       (SELECT count(*) FROM quarantine AS q
        WHERE q.topic = c.topic AND q.partition = c.partition AND q.state = 'held') AS quarantined,
       (SELECT count(*) FROM gaps AS g WHERE g.topic = c.topic AND g.partition = c.partition) AS gaps
FROM checkpoints AS c
"""
"""Of each partition: how old its newest fact is, in seconds, what of it waits in quarantine, and versions missing in it."""
TOTALS = {
    "quarantined": "SELECT count(*) FROM quarantine WHERE state = 'held'",
    "gaps": "SELECT count(*) FROM gaps",
    "duplicates": "SELECT coalesce(sum(records), 0)::BIGINT FROM duplicates",
}


def status(base: Base, log: Log) -> dict[str, Any]:
    """Everything `yrd status` shows. `follower` is None where nobody follows; unlisted topics are not read."""
    pulse, entities = base.pulse, _entities(base)
    return {
        "file": base.file.name,
        "log": base.home.settings.log,
        "partitions": _partitions(base, log),
        "follower": pulse and {"moved_at": str(pulse.moved_at), "trouble": pulse.trouble},
        **{name: _number(base, sql) for name, sql in TOTALS.items()},
        "entities": entities,
        **{rules.status_key: entities[kind] for kind, rules in RULES.items() if rules.status_key},
        "digest": content_digest(base.connection),
        **proof_status(base.connection, base.judge.home, log.unlisted()),
    }


def _entities(base: Base) -> dict[str, int]:
    """How many entities of each kind have a timeline."""
    return {kind: _number(base, f"SELECT count(DISTINCT entity_id) FROM {kind}_timeline") for kind in FACT_KINDS}


def _number(base: Base, sql: str) -> int:
    return int(base.connection.execute(sql).fetchall()[0][0])


def _partitions(base: Base, log: Log) -> list[dict[str, Any]]:
    rows = {(t, p): rest for t, p, *rest in base.connection.execute(PER_PARTITION).fetchall()}
    checkpoints = base.projector.checkpoints()
    return [
        _partition(partition, end, checkpoints, log.first_offset, rows.get(partition, [None, 0, 0]))
        for partition, end in sorted(log.ends().items())
    ]


def _partition(
    partition: Partition, end: int, checkpoints: Mapping[Partition, Checkpoint], first: int, row: list[Any]
) -> dict[str, Any]:
    reached = checkpoints[partition].next_offset if partition in checkpoints else None
    return {
        "topic": partition[0],
        "partition": partition[1],
        "end": end,
        "checkpoint": reached,
        "lag": max(0, end - (first if reached is None else reached)),
        **dict(zip(("newest_s", "quarantined", "gaps"), row, strict=True)),
    }
