"""The log: where the projector's records come from, and what a record is. Knows no broker and no database of the hub."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol
from uuid import UUID

from repository.application import Publisher

MICROSECOND = 1_000_000


class Record(NamedTuple):
    """One event in stored form, at its place in a log.

    `topic` is `yrd.<publisher>` or `yrd.<publisher>.<kind>`; `offset` is the place in this partition, `position` the
    publisher's notification id (embedded: the same). `entity_id` is the log's key, with or without hyphens. `received_us` is
    when the log received it, in microseconds UTC, or None where the log keeps no time of its own and the event's
    `recorded_at` stands in.
    """

    topic: str
    partition: int
    offset: int
    position: int
    entity_id: str
    event_type: str
    value: bytes
    received_us: int | None


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """How far a partition was projected: the next offset, and the last record seen, to recognise the log again."""

    next_offset: int
    last_position: int
    last_event_hash: int


Partition = tuple[str, int]


class LogChanged(RuntimeError):
    """The log is not the one that was projected before; the message says where and what to do. Never retried."""


class Log(Protocol):
    """What the projector needs of any log."""

    def read(self, after: Mapping[Partition, Checkpoint], limit: int) -> list[Record]:
        """Up to about `limit` records behind the checkpoints, in order within each partition; empty when there are none."""

    def last_read(self, partition: Partition, checkpoint: Checkpoint) -> Record | None:
        """The record just before the checkpoint, read again; None where the log no longer has it."""

    def ends(self) -> dict[Partition, int]:
        """Offset one past the newest record, per partition."""

    def controls(self) -> list[Record]:
        """Every measure and grant of all publishers, from the beginning: known before anything of the log is shown."""


class EmbeddedLog:
    """The publishers' own notification logs, read in place: one topic `yrd.<publisher>` with one partition each."""

    def __init__(self, publishers: Sequence[Publisher]) -> None:
        self.publishers = {f"yrd.{p.code}": p for p in publishers}

    def read(self, after: Mapping[Partition, Checkpoint], limit: int) -> list[Record]:
        records: list[Record] = []
        for topic, publisher in self.publishers.items():
            checkpoint = after.get((topic, 0))
            start = 0 if checkpoint is None else checkpoint.next_offset - 1
            if len(records) < limit:
                records += _records(topic, publisher, start, limit - len(records))
        return records

    def last_read(self, partition: Partition, checkpoint: Checkpoint) -> Record | None:
        topic, _ = partition
        if topic not in self.publishers:
            return None
        found = _records(topic, self.publishers[topic], checkpoint.next_offset - 2, 1)
        return found[0] if found and found[0].offset == checkpoint.next_offset - 1 else None

    def ends(self) -> dict[Partition, int]:
        return {(t, 0): (p.recorder.max_notification_id() or 0) + 1 for t, p in self.publishers.items()}

    def controls(self) -> list[Record]:
        return [
            Record(topic, 0, n.id, n.id, _hex(n.originator_id), n.topic, n.state, None)
            for topic, publisher in self.publishers.items()
            for n in publisher.controls()
        ]


def _hex(identity: object) -> str:
    """A stored identity in 32 digits: formatting a UUID with its hyphens would be a tenth of reading it."""
    return identity.hex if isinstance(identity, UUID) else str(identity)


def _records(topic: str, publisher: Publisher, after: int, limit: int) -> list[Record]:
    return [
        Record(topic, 0, n.id, n.id, _hex(n.originator_id), n.topic, n.state, None) for n in publisher.notifications(after, limit)
    ]
