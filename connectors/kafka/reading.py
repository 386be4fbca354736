"""What the Kafka log needs of a client: to be given records from chosen offsets on, only those of committed transactions.

kafka-python is the named client. librdkafka, where that extra is installed, does the same work in C; one setting chooses.
Partitions are assigned by the log, never by a consumer group: where reading goes on is what the base says.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from operator import itemgetter
from typing import Any, Protocol

from kafka import KafkaConsumer, TopicPartition
from kafka import errors as kafka_errors
from kafka.consumer.fetcher import ConsumerRecord

from connectors.home.settings import SettingError, Settings
from connectors.kafka.connecting import connection, librdkafka_connection, refusal, sentences, started, unavailable
from connectors.kafka.framing import Arrived
from repository.store.log import LogChanged, Partition

FETCH_BYTES = 16 << 20
"""Most that one partition gives at once."""
FETCH_ALL_BYTES = 64 << 20


class OutOfRange(LogChanged):
    """A partition does not have the offset that comes next: it was cut, or made anew."""


class Reader(Protocol):
    """A client that reads. Raises OutOfRange, LogUnavailable and KafkaRefused."""

    def place(self, positions: Mapping[Partition, int]) -> None:
        """Read these partitions and no others, each from an offset on."""

    def seek(self, partition: Partition, offset: int) -> None:
        """Go on reading a placed partition from another offset."""

    def poll(self, wait_s: float, limit: int) -> list[Arrived]:
        """Up to `limit` records; waits up to `wait_s` for the first."""

    def positions(self) -> dict[Partition, int]:
        """Where each placed partition is read next, past what transactions leave between records."""

    def close(self) -> None: ...


class KafkaPythonReader:
    """Reads with kafka-python."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        with sentences(settings):
            given = {
                "group_id": None,
                "enable_auto_commit": False,
                "auto_offset_reset": "none",
                "isolation_level": "read_committed",
                "allow_auto_create_topics": False,
                "max_partition_fetch_bytes": FETCH_BYTES,
                "fetch_max_bytes": FETCH_ALL_BYTES,
                "metadata_max_age_ms": settings.kafka_discovery_s * 1000,
                "metrics_enabled": False,
            }
            self._consumer = started(KafkaConsumer, given | connection(settings))

    def place(self, positions: Mapping[Partition, int]) -> None:
        with self._sentences():
            self._consumer.assign([TopicPartition(*partition) for partition in positions])
            for partition, offset in positions.items():
                self._consumer.seek(TopicPartition(*partition), offset)

    def seek(self, partition: Partition, offset: int) -> None:
        with self._sentences():
            self._consumer.seek(TopicPartition(*partition), offset)

    def poll(self, wait_s: float, limit: int) -> list[Arrived]:
        with self._sentences():
            by_partition = self._consumer.poll(int(wait_s * 1000), limit)
        return [_arrived(record) for records in by_partition.values() for record in records]

    def positions(self) -> dict[Partition, int]:
        # Brokers are asked for these as well, where the leader of a partition has changed.
        with self._sentences():
            placed = self._consumer.assignment()
            return {(each.topic, each.partition): self._consumer.position(each, timeout_ms=1000) or 0 for each in placed}

    @contextmanager
    def _sentences(self) -> Iterator[None]:
        try:
            with sentences(self.settings):
                yield
        except RuntimeError as error:
            if isinstance(error.__cause__, kafka_errors.OffsetOutOfRangeError | kafka_errors.LogTruncationError):
                raise OutOfRange(str(error.__cause__)) from error
            raise

    def close(self) -> None:
        self._consumer.close(autocommit=False, timeout_ms=1000)


# Fields of a consumer record by place: by name, one after another, this would be a tenth of reading it.
_fields = itemgetter(*map(ConsumerRecord._fields.index, ("topic", "partition", "offset", "key", "value", "headers", "timestamp")))


def _arrived(record: ConsumerRecord) -> Arrived:
    return tuple.__new__(Arrived, _fields(record))


class LibrdkafkaReader:
    """Reads with librdkafka, through the package confluent-kafka."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        try:
            import confluent_kafka
        except ImportError as error:
            raise SettingError(
                'The setting kafka_client is "librdkafka" and that client is not installed; install it with '
                "`pip install 'yrd-repository[librdkafka]'`, or set it to kafka-python."
            ) from error
        self._library = confluent_kafka
        # Of a group that is never joined nothing is needed, permission included.
        self._unheeded = {confluent_kafka.KafkaError.GROUP_AUTHORIZATION_FAILED}
        self._error: Any = None
        self._consumer = confluent_kafka.Consumer(
            {
                **librdkafka_connection(settings),
                # The client insists on a name of a group; it is never joined, and no offset is committed to it.
                "group.id": "yrd-unused",
                "enable.auto.commit": False,
                "enable.auto.offset.store": False,
                "auto.offset.reset": "error",
                "isolation.level": "read_committed",
                "allow.auto.create.topics": False,
                "max.partition.fetch.bytes": FETCH_BYTES,
                "fetch.max.bytes": FETCH_ALL_BYTES,
                "queued.max.messages.kbytes": FETCH_ALL_BYTES // 1024,
                "topic.metadata.refresh.interval.ms": settings.kafka_discovery_s * 1000,
                "check.crcs": True,
                "error_cb": self._failed,
            }
        )

    def _failed(self, error: Any) -> None:
        if error.code() not in self._unheeded:
            self._error = error

    def _each(self, positions: Iterable[tuple[Partition, int]]) -> list[Any]:
        return [self._library.TopicPartition(topic, number, offset) for (topic, number), offset in positions]

    def place(self, positions: Mapping[Partition, int]) -> None:
        self._consumer.assign(self._each(positions.items()))

    def seek(self, partition: Partition, offset: int) -> None:
        # Seeking waits for the partition to be fetched; assigning anew does not.
        placed = dict(self._placed()) | {partition: offset}
        self._consumer.assign(self._each(placed.items()))

    def _placed(self) -> Iterable[tuple[Partition, int]]:
        known = self._consumer.position(self._consumer.assignment())
        asked = {(each.topic, each.partition): each.offset for each in self._consumer.assignment()}
        for each in known:
            partition = (each.topic, each.partition)
            yield partition, each.offset if each.offset >= 0 else asked[partition]

    def poll(self, wait_s: float, limit: int) -> list[Arrived]:
        messages = self._consumer.consume(min(limit, 10_000), wait_s)
        good = [message for message in messages if message.error() is None]
        bad = [error for m in messages if (error := m.error()) is not None and error.code() not in self._unheeded]
        self._error = bad[0] if bad else None if good else self._error
        if self._error is not None and not good:
            error, self._error = self._error, None
            raise self._sentence(error)
        return [_given(message) for message in good]

    def _sentence(self, error: Any) -> RuntimeError:
        codes = self._library.KafkaError
        if error.code() in (codes._AUTO_OFFSET_RESET, codes.OFFSET_OUT_OF_RANGE, codes._LOG_TRUNCATION):
            return OutOfRange(error.str())
        if error.code() in (codes.TOPIC_AUTHORIZATION_FAILED, codes._AUTHENTICATION, codes.SASL_AUTHENTICATION_FAILED):
            return refusal(self.settings, error.str())
        return unavailable(self.settings, error.str())

    def positions(self) -> dict[Partition, int]:
        return dict(self._placed())

    def close(self) -> None:
        self._consumer.close()


def _given(message: Any) -> Arrived:
    place = (message.topic(), message.partition(), message.offset())
    return Arrived(*place, message.key(), message.value(), message.headers() or [], message.timestamp()[1])


READERS: dict[str, Callable[[Settings], Reader]] = {"kafka-python": KafkaPythonReader, "librdkafka": LibrdkafkaReader}


def reader(settings: Settings) -> Reader:
    """The client that the setting names. Raises SettingError, LogUnavailable, KafkaRefused."""
    return READERS[settings.kafka_client](settings)
