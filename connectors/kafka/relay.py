"""The relay: a publisher's notification log, sent to its topics in order, and how far that got recorded in its store.

What it records is the highest position with everything before it acknowledged by all in-sync copies. After a crash, an
outage or a restart it goes on from there, so records may come again; the projector absorbs them. Within one run, no event
is sent before an earlier one of its entity: one producer, idempotent, which never gives a batch up.
"""

import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, nullcontext, suppress
from dataclasses import dataclass

from eventsourcing.persistence import Notification, OperationalError
from kafka import KafkaProducer
from kafka import errors as kafka_errors
from kafka.producer.future import FutureRecordMetadata

from connectors.home.folder import Busy, Home
from connectors.home.settings import Settings
from connectors.kafka import topics
from connectors.kafka.connecting import FOREVER_MS, KafkaRefused, NotLetIn, admin, connection, sentences, unavailable, verdict
from connectors.kafka.framing import Framing
from connectors.kafka.registry import schema_numbers
from repository.proof.seal import KIND as SEAL
from repository.store.log import LogUnavailable
from repository.store.publisher import Publisher, Tracked

CHUNK = 2_000
"""Events read from the store at once."""
WINDOW_RECORDS = 20_000
WINDOW_BYTES = 64 << 20
"""Most that may be sent and not yet acknowledged: it bounds the relay's memory and what comes again after a crash."""
RECORD_EVERY_S = 1.0
ACK_POLL_S = 0.05
LAST_WAIT_S = 2.0
"""How long a follower that ends waits for acknowledgements."""
PAUSE_S = 1.0
"""Before a new attempt after something failed."""
LINGER_MS = 5
SEALED = f"{SEAL}."
BATCH_BYTES = 256 << 10
REFUSALS = (
    kafka_errors.MessageSizeTooLargeError,
    kafka_errors.UnknownTopicOrPartitionError,
    kafka_errors.InvalidTopicError,
    kafka_errors.InvalidRecordError,
)
"""Errors of a record or a topic, which come again however often it is tried."""


@dataclass(slots=True)
class Standing:
    """Where a relay stands: last position sent, last acknowledged with all before it, and what is in the way."""

    sent: int = 0
    acknowledged: int = 0
    recorded: int = 0
    events: int = 0
    trouble: str = ""


class Relay:
    """Sends one publisher's events. `tell` is given sentences about what is in the way, and that it no longer is."""

    def __init__(self, store: Publisher, settings: Settings, tell: Callable[[str], None]) -> None:
        self.store, self.settings, self.tell = store, settings, tell
        self.standing = Standing()
        numbers = schema_numbers(settings.schema_registry_url)
        self._framing = Framing(store.code, numbers.number_of, settings.kafka_headers)
        self._pending: deque[tuple[int, int, FutureRecordMetadata]] = deque()
        self._pending_bytes = 0
        self._recorded_at = self._moved_at = 0.0
        self._tracked: Tracked | None = None

    def run(self, stop: threading.Event, follow: bool, start: int | None = None) -> Standing:
        """Send what is recorded behind the position, or from `start`, when this begins; with `follow`, also what comes later.

        Raises KafkaRefused, and without `follow` LogUnavailable where brokers or registry don't answer for kafka_wait_s.
        """
        while True:
            try:
                self._session(stop, follow, start)
            except LogUnavailable as error:
                if not follow:
                    raise
                self._hindered(str(error))
            else:
                return self.standing
            # Behind what is acknowledged nothing is lost by starting over; a `start` that was asked for is passed by then.
            start = self.standing.acknowledged + 1 if start is not None and self.standing.acknowledged else start
            if stop.wait(PAUSE_S):
                return self.standing

    def _session(self, stop: threading.Event, follow: bool, start: int | None) -> None:
        """One producer from its making to its end."""
        tracked = self._prepared()
        self.standing.recorded = tracked.position
        position = tracked.position if start is None else start - 1
        self.standing.sent = self.standing.acknowledged = position
        self._pending.clear()
        self._pending_bytes, self._moved_at = 0, time.monotonic()
        with _producer(self.settings) as producer:
            self._pump(producer, stop, follow)
            # A follower that is told to end leaves what is not acknowledged soon to the next one.
            with suppress(LogUnavailable) if stop.is_set() else nullcontext():
                self._settle(LAST_WAIT_S if stop.is_set() else self.settings.kafka_wait_s)
            self._record(always=True)

    def _prepared(self) -> Tracked:
        """The tracking of this cluster, once topics are there and as they must be."""
        if self._tracked is None:
            topics.check(self.settings, [self.store.code])
            try:
                self._tracked = tracked(self.store, self.settings)
            except OperationalError as error:
                raise LogUnavailable(
                    f"The store of publisher {self.store.code} is held by an import ({error}); the relay starts when that "
                    "is done."
                ) from error
        return self._tracked

    # -- sending --

    def _pump(self, producer: KafkaProducer, stop: threading.Event, follow: bool) -> None:
        # Who does not follow has an end: who goes on reporting meanwhile is not chased.
        newest = self.store.newest_position()
        while not stop.is_set():
            events = self.store.notifications(self.standing.sent, CHUNK)
            self._send(producer, events)
            self._collect()
            self._record(always=not events and not self._pending)
            if not follow and (not events or self.standing.sent >= newest):
                return
            if events:
                continue
            self._watch()
            stop.wait(self.settings.poll_interval_ms / 1000)

    def _send(self, producer: KafkaProducer, events: Sequence[Notification]) -> None:
        frame, standing, pending = self._framing.frame, self.standing, self._pending
        with sentences(self.settings):
            for event in events:
                if event.topic.startswith(SEALED):
                    # A seal counts what comes before it, so all of that is there before the seal is.
                    self._settle(self.settings.kafka_wait_s)
                topic, key, value, headers = frame(event)
                pending.append((event.id, len(value), producer.send(topic, value, key, headers)))
                self._pending_bytes += len(value)
                standing.sent = event.id
                if self._pending_bytes > WINDOW_BYTES:
                    self._settle(self.settings.kafka_wait_s, down_to=len(pending) // 2)
        standing.events += len(events)
        if len(pending) > WINDOW_RECORDS:
            self._settle(self.settings.kafka_wait_s, down_to=WINDOW_RECORDS // 2)

    # -- acknowledgements --

    def _collect(self) -> None:
        """Take the acknowledgements that have come, in order."""
        while self._pending and self._pending[0][2].is_done:
            position, size, future = self._pending.popleft()
            self._pending_bytes -= size
            if future.failed():
                raise self._failed(position, future.exception)
            self.standing.acknowledged, self._moved_at = position, time.monotonic()

    def _settle(self, patience_s: float, down_to: int = 0) -> None:
        """Wait until no more than `down_to` records are unacknowledged. Raises LogUnavailable where none is for `patience_s`."""
        while len(self._pending) > down_to:
            with suppress(kafka_errors.KafkaError):
                # Whether and how it failed is found when it is collected.
                self._pending[0][2].get(timeout=ACK_POLL_S)
            self._collect()
            self._record()
            if self._pending and time.monotonic() > self._moved_at + patience_s:
                raise unavailable(self.settings, f"{len(self._pending)} records are not acknowledged")

    def _failed(self, position: int, error: BaseException | None) -> RuntimeError:
        if isinstance(error, REFUSALS):
            return KafkaRefused(
                f"Kafka at {self.settings.kafka_bootstrap} does not take the event at position {position} of publisher "
                f"{self.store.code} ({type(error).__name__}: {error}); check its topics with `yrd kafka init`."
            )
        found = verdict(self.settings, error or RuntimeError("no reason given"))
        # What is fatal to one producer (a lost sequence, an expired identity) is nothing to the next one.
        return found if isinstance(found, NotLetIn) else unavailable(self.settings, str(error) or type(error).__name__)

    def _record(self, always: bool = False) -> None:
        """Record how far everything is acknowledged: about once a second, and when all of it is."""
        now = time.monotonic()
        standing, tracked = self.standing, self._tracked
        if standing.acknowledged <= standing.recorded or (now < self._recorded_at + RECORD_EVERY_S and not always):
            return
        if tracked is not None and tracked.advance(standing.acknowledged):
            standing.recorded = standing.acknowledged
        self._recorded_at = now

    # -- what is in the way --

    def _watch(self) -> None:
        """Say that nothing is acknowledged any more, or that it is again. Nothing is given up meanwhile."""
        now = time.monotonic()
        if not self._pending:
            self._moved_at = now
        if now > self._moved_at + self.settings.kafka_wait_s:
            self._hindered(str(unavailable(self.settings, f"{len(self._pending)} records are not acknowledged")))
        elif self.standing.trouble and not self._pending:
            self.tell(f"Relaying publisher {self.store.code} goes on; all up to position {self.standing.acknowledged} is there.")
            self.standing.trouble = ""

    def _hindered(self, sentence: str) -> None:
        if not self.standing.trouble:
            self.tell(sentence)
        self.standing.trouble = sentence


def tracked(store: Publisher, settings: Settings) -> Tracked:
    """How far a publisher's events are at the cluster of the settings. Raises LogUnavailable, KafkaRefused."""
    with admin(settings) as client:
        cluster = client.describe_cluster()["cluster_id"]
    # Another cluster has other topics: how far events got at an earlier one says nothing about it.
    return Tracked(store, f"kafka {cluster}")


@contextmanager
def _producer(settings: Settings) -> Iterator[KafkaProducer]:
    """A producer that never gives a batch up, so that nothing overtakes what failed; closed at once at the end."""
    compression = None if settings.kafka_compression == "none" else settings.kafka_compression
    with sentences(settings):
        producer = KafkaProducer(
            acks="all",
            enable_idempotence=True,
            delivery_timeout_ms=FOREVER_MS,
            max_block_ms=settings.kafka_wait_s * 1000,
            max_request_size=2 * topics.MESSAGE_LIMIT_BYTES,
            linger_ms=LINGER_MS,
            batch_size=BATCH_BYTES,
            compression_type=compression,
            metrics_enabled=False,
            **connection(settings),
        )
    try:
        yield producer
    finally:
        # What it still holds is sent again by the next one; it need not be waited for.
        with suppress(kafka_errors.KafkaTimeoutError):
            producer.close(timeout=0)


# -- alone ---------------------------------------------------------------------------------------------------------


@contextmanager
def alone(home: Home, publisher: str) -> Iterator[None]:
    """Be the one relay of a publisher: by a lock file, and where stores are in PostgreSQL by a lock there too. Raises Busy."""
    with ExitStack() as held:
        held.enter_context(home.lock(f"relay-{publisher}", f"yrd relay --publisher {publisher}", wait_s=0))
        if home.settings.store_url:
            held.enter_context(_alone_in_postgres(home, publisher))
        yield


@contextmanager
def _alone_in_postgres(home: Home, publisher: str) -> Iterator[None]:
    import psycopg

    with psycopg.connect(home.settings.store_url, password=home.store_password, autocommit=True) as store:
        got = store.execute("SELECT pg_try_advisory_lock(hashtext('yrd relay'), %s)", [int(publisher)]).fetchall()
        if not got[0][0]:
            raise Busy(f"Another relay of publisher {publisher} runs on this PostgreSQL; end that first.")
        yield
