"""The log: where the projector's records come from, and what a record is. Knows no broker and no database of the hub."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol
from uuid import UUID

from repository.events.columns import MARKER
from repository.events.encoding import HEADER_BYTES
from repository.events.identity import event_hash
from repository.store.publisher import Publisher


class Record(NamedTuple):
    """One event in stored form, at its place in a log.

    `topic` is `yrd.<publisher>` or `yrd.<publisher>.<kind>`; `offset` is the place in this partition, `position` the
    publisher's notification id (embedded: the same). `entity_id` is the log's key, with or without hyphens. `received_us` is
    when the log received it, in microseconds UTC, or None where the log keeps no time of its own and the event's
    `recorded_at` stands in. `problem` says why the log could not give the record in stored form; `value` is then what the log
    holds.
    """

    topic: str
    partition: int
    offset: int
    position: int
    entity_id: str
    event_type: str
    value: bytes
    received_us: int | None
    problem: str = ""


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """How far a partition was projected: the next offset, and the last record seen, to recognise the log again.

    `log_id` is the identity of the topic where the log has one: a topic deleted and made anew has another.
    """

    next_offset: int
    last_position: int
    last_body_hash: int
    log_id: str = ""


Partition = tuple[str, int]


FRAME_BYTES = 5


def body_hash(value: bytes) -> int:
    """Hash by which a record is recognised: of its body, which is the same whichever header the log keeps before it."""
    return event_hash(value[HEADER_BYTES if value[:2] == MARKER else FRAME_BYTES :])


class LogUnavailable(RuntimeError):
    """The log does not answer now; the message says which and what to look at. Worth trying again."""


class LogChanged(RuntimeError):
    """The log is not the one that was projected before; the message says where and what to do. Never retried."""


class Log(Protocol):
    """What the projector needs of any log. `first_offset` is where its partitions begin."""

    first_offset: int

    def read(self, after: Mapping[Partition, Checkpoint], limit: int, wait_s: float = 0) -> list[Record]:
        """Up to about `limit` records behind the checkpoints, in order within each partition; empty when there are none.

        With `wait_s`, waits that long for the next ones and may then give none though some are on their way. Raises
        LogUnavailable where the log does not answer, LogChanged where it is another or lacks what comes next.
        """

    def last_read(self, partition: Partition, checkpoint: Checkpoint) -> Record | None:
        """The record just before the checkpoint, read again; None where the log no longer has it."""

    def ends(self) -> dict[Partition, int]:
        """Offset one past the newest record, per partition."""

    def identities(self) -> Mapping[str, str]:
        """Topic -> its identity, where the log gives topics one. The log goes on changing it as topics appear."""

    def restore(self, record: Record) -> Record:
        """A record that waited in quarantine, in stored form where the log could not give it then and can now."""

    def unlisted(self) -> list[str]:
        """Topics that look like a publisher's and are of no listed member; nothing of them is read."""

    def controls(self) -> list[Record]:
        """Every measure and grant of all publishers, from the beginning: known before anything of the log is shown."""


class EmbeddedLog:
    """The publishers' own notification logs, read in place: one topic `yrd.<publisher>` with one partition each."""

    first_offset = 1

    def __init__(self, publishers: Sequence[Publisher]) -> None:
        self.publishers = {f"yrd.{p.code}": p for p in publishers}

    def read(self, after: Mapping[Partition, Checkpoint], limit: int, wait_s: float = 0) -> list[Record]:
        records: list[Record] = []
        for topic, publisher in self.publishers.items():
            checkpoint = after.get((topic, 0))
            start = 0 if checkpoint is None else checkpoint.next_offset - 1
            if len(records) < limit:
                records += _records(topic, publisher, start, limit - len(records))
        if not records:
            time.sleep(wait_s)
        return records

    def last_read(self, partition: Partition, checkpoint: Checkpoint) -> Record | None:
        topic, _ = partition
        if topic not in self.publishers:
            return None
        found = _records(topic, self.publishers[topic], checkpoint.next_offset - 2, 1)
        return found[0] if found and found[0].offset == checkpoint.next_offset - 1 else None

    def ends(self) -> dict[Partition, int]:
        return {(t, 0): (p.recorder.max_notification_id() or 0) + 1 for t, p in self.publishers.items()}

    def identities(self) -> Mapping[str, str]:
        return {}

    def restore(self, record: Record) -> Record:
        return record

    def unlisted(self) -> list[str]:
        return []

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
