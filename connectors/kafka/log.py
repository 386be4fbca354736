"""Kafka as the projector's log: the topics of listed members, read from where the base says, in stored form.

It keeps no place of its own. Whatever a broker or a group remembers, the offsets in the base's checkpoints decide; where
the topics no longer have what comes next, or are not the topics that were read, it halts with a sentence and skips nothing.
"""

import threading
import time
from collections.abc import Callable, Collection, Mapping
from functools import partial
from typing import TypeVar

from kafka import KafkaAdminClient, TopicPartition
from kafka.admin import OffsetSpec
from kafka.protocol.consumer import IsolationLevel

from connectors.home.settings import Settings
from connectors.kafka import names
from connectors.kafka.connecting import administrator, sentences, unavailable
from connectors.kafka.discovery import Discovery
from connectors.kafka.framing import Arrived, Restoring, restored
from connectors.kafka.reading import OutOfRange, Reader, reader
from connectors.kafka.registry import RegistryUnavailable, SchemaNumbers, schema_numbers
from repository.events.columns import MARKER
from repository.store.log import Checkpoint, LogChanged, Partition, Record

Told = TypeVar("Told")
POLL_S = 0.05
CONTROLS = ("measure", "grant")
"""Kinds that are known whole before the first read."""
ENDS_AGE_S = 1.0
"""How old the known ends of the partitions may be before silence makes the log ask for them again."""
REREAD_S = 10
"""How long one record that is there may take to be read again."""


class KafkaLog:
    """The topics of `members` (None: of any publisher) at the settings' brokers. Connects at first use; threads take turns."""

    first_offset = 0

    def __init__(self, settings: Settings, members: Collection[str] | None) -> None:
        self.settings = settings
        self._lock = threading.RLock()
        self._numbers: SchemaNumbers = schema_numbers(settings.schema_registry_url)
        self._restoring = Restoring(self._numbers.contract_of)
        self._reader: Reader | None = None
        self._admin: KafkaAdminClient | None = None
        self._found = Discovery(settings, members, self._administrating)
        self._ends_at = float("-inf")
        self._ends: dict[Partition, int] = {}
        self._places: dict[Partition, int] = {}
        """Next offset of each partition that is read, as given out."""

    def close(self) -> None:
        """End the connections."""
        with self._lock:
            for each in (self._reader, self._admin):
                if each is not None:
                    each.close()
            self._reader = self._admin = None

    # -- what the projector needs --

    def read(self, after: Mapping[Partition, Checkpoint], limit: int, wait_s: float = 0) -> list[Record]:
        """See `repository.store.log.Log.read`."""
        with self._lock:
            self._found.look()
            client = self._placed(after)
            records = self._restored(client, self._polled(client, limit, wait_s))
            for record in records:
                self._places[record.topic, record.partition] = record.offset + 1
            return records

    def last_read(self, partition: Partition, checkpoint: Checkpoint) -> Record | None:
        """The record just before the checkpoint, read again; None where the topic no longer has it."""
        with self._lock:
            self._found.look()
            offset = checkpoint.next_offset - 1
            begin, end = self._range(partition)
            if not begin <= offset < end:
                return None
            client = self._connected()
            self._places = {}
            client.place({partition: offset})
            deadline = time.monotonic() + REREAD_S
            while time.monotonic() < deadline:
                found = [each for each in client.poll(POLL_S, 1) if each[:2] == partition]
                if found:
                    return self._restoring.restore(found[0]) if found[0].offset == offset else None
            raise unavailable(self.settings, f"offset {offset} of {partition[0]} partition {partition[1]} did not come")

    def ends(self) -> dict[Partition, int]:
        """Offset one past the newest committed record, per partition."""
        with self._lock:
            self._found.look()
            self._ends, self._ends_at = self._offsets(OffsetSpec.LATEST), time.monotonic()
            # What a transaction leaves at the end of a partition is no record: whoever has read past it is not behind.
            passed = self._told(self._reader.positions) if self._reader is not None else {}
            return {p: self._places[p] if p in self._places and passed.get(p, 0) >= end else end for p, end in self._ends.items()}

    def controls(self) -> list[Record]:
        """Every measure and grant of all publishers, from the beginning of their topics to the end."""
        with self._lock:
            self._found.look()
            ends = {p: end for p, end in self._offsets(OffsetSpec.LATEST).items() if names.kind_of(p[0]) in CONTROLS and end}
            client, found = self._connected(), list[Arrived]()
            self._places = {}
            client.place(dict.fromkeys(ends, 0))
            deadline = time.monotonic() + self.settings.kafka_wait_s
            while any(self._told(client.positions).get(p, 0) < end for p, end in ends.items()):
                if time.monotonic() > deadline:
                    raise unavailable(self.settings, "the topics of measures and grants do not come to their end")
                found += self._told(partial(client.poll, POLL_S, 10_000))
            return [self._restoring.restore(each) for each in found]

    def identities(self) -> Mapping[str, str]:
        """Topic -> its identity at the brokers; goes on changing as topics appear."""
        with self._lock:
            self._found.look()
            return self._found.identities

    def restore(self, record: Record) -> Record:
        """A record of the quarantine in stored form, where its number can be looked up now."""
        if record.value[:2] == MARKER:
            return record
        with self._lock:
            value, problem = restored(record.value, self._numbers.contract_of)
            return record._replace(value=value, problem=problem)

    def unlisted(self) -> list[str]:
        """Topics named like a publisher's that are not read."""
        with self._lock:
            self._found.look()
            return list(self._found.unlisted)

    # -- places --

    def _placed(self, after: Mapping[Partition, Checkpoint]) -> Reader:
        """The client, reading every partition from behind its checkpoint. Raises LogChanged where the beginning is gone."""
        client = self._connected()
        wanted = {p: after[p].next_offset if p in after else 0 for p in self._found.partitions}
        if wanted.keys() != self._places.keys():
            self._refuse_cut(wanted)
            self._places = wanted
            client.place(wanted)
            return client
        for partition, offset in wanted.items():
            if self._places[partition] != offset:
                self._places[partition] = offset
                client.seek(partition, offset)
        return client

    def _refuse_cut(self, wanted: Mapping[Partition, int]) -> None:
        begins, ends = self._offsets(OffsetSpec.EARLIEST), self._offsets(OffsetSpec.LATEST)
        for partition, offset in wanted.items():
            begin, end = begins.get(partition, 0), ends.get(partition, offset)
            if offset < begin:
                raise LogChanged(
                    f"History is missing: {partition[0]} partition {partition[1]} begins at offset {begin} and offset {offset} "
                    "comes next. Restore the topic, or have the publisher send its log again with `yrd relay --from-position 1`."
                )
            if offset > end:
                raise LogChanged(
                    f"{partition[0]} partition {partition[1]} ends at offset {end} and offset {offset} comes next; the topic was "
                    "cut or made anew. Restore it, or rebuild the base from the log as it is with `yrd rebuild`."
                )

    # -- records --

    def _polled(self, client: Reader, limit: int, wait_s: float) -> list[Arrived]:
        """Records up to the limit, or what there is; nothing only at the end of the log, or after `wait_s` without news."""
        arrived: list[Arrived] = []
        quiet_since = time.monotonic()
        while True:
            wait, left = POLL_S if not arrived else 0, limit - len(arrived)
            some = self._told(partial(client.poll, wait, left))
            arrived += some
            if some and len(arrived) < limit:
                continue
            if arrived or self._at_rest(client, wait_s, time.monotonic() - quiet_since):
                return arrived
            self._found.look()

    def _told(self, ask: Callable[[], Told]) -> Told:
        """What the reader answers; where it finds that a topic no longer has what comes next, the sentence that says which."""
        try:
            return ask()
        except OutOfRange as error:
            self._found.look_now()
            self._refuse_cut(self._places)
            raise LogChanged(f"A topic no longer has what comes next ({error}); look at `yrd status`.") from error

    def _at_rest(self, client: Reader, wait_s: float, quiet_s: float) -> bool:
        """Whether nothing more is to be waited for. Raises LogUnavailable where records that are there do not come."""
        if wait_s:
            # Brokers that don't answer are noticed by asking for the ends, since fetching is silent then.
            if time.monotonic() > self._ends_at + ENDS_AGE_S:
                self.ends()
            return quiet_s > wait_s
        self.ends()
        positions = self._told(client.positions)
        if all(positions.get(partition, 0) >= end for partition, end in self._ends.items()):
            return True
        if quiet_s > self.settings.kafka_wait_s:
            raise unavailable(self.settings, "records before the end of the topics do not come")
        return False

    def _restored(self, client: Reader, arrived: list[Arrived]) -> list[Record]:
        """Records in stored form. One whose schema number waits for the registry holds up its own partition alone."""
        records: list[Record] = []
        waiting: set[Partition] = set()
        trouble: RegistryUnavailable | None = None
        restore = self._restoring.restore
        for each in arrived:
            if waiting and each[:2] in waiting:
                continue
            try:
                records.append(restore(each))
            except RegistryUnavailable as error:
                trouble = error
                waiting.add((each.topic, each.partition))
                client.seek((each.topic, each.partition), each.offset)
        if trouble is not None and not records:
            raise trouble
        return records

    # -- brokers --

    def _connected(self) -> Reader:
        if self._reader is None:
            self._reader = reader(self.settings)
            self._places = {}
        return self._reader

    def _administrating(self) -> KafkaAdminClient:
        if self._admin is None:
            self._admin = administrator(self.settings)
        return self._admin

    def _offsets(self, spec: OffsetSpec, partitions: Collection[Partition] | None = None) -> dict[Partition, int]:
        wanted = self._found.partitions if partitions is None else partitions
        if not wanted:
            return {}
        with sentences(self.settings):
            found = self._administrating().list_partition_offsets(
                {TopicPartition(*partition): spec for partition in wanted}, isolation_level=IsolationLevel.READ_COMMITTED
            )
        return {(each.topic, each.partition): place.offset for each, place in found.items()}

    def _range(self, partition: Partition) -> tuple[int, int]:
        """First offset and end of a partition; (0, 0) where it is gone."""
        if partition not in self._found.partitions:
            return 0, 0
        ask = partial(self._offsets, partitions=[partition])
        return ask(OffsetSpec.EARLIEST)[partition], ask(OffsetSpec.LATEST)[partition]
