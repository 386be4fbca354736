"""A region over a real Kafka for a test: topics of its own, homes that know the broker, relays run to their end."""

import json
import threading
import time
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import UUID

import duckdb
from kafka import KafkaAdminClient, KafkaConsumer, KafkaProducer, TopicPartition
from kafka.admin import ConfigResource

from connectors.home.folder import Home
from connectors.kafka import topics
from connectors.kafka.relay import Relay, Standing
from projections import tables
from projections.projector import Projector, content_digest
from projections.reading_ahead import read_ahead
from repository.store.log import EmbeddedLog
from tests.support.broker import Broker
from tests.support.dumps_for_tests import region
from tests.support.waiting import PATIENCE_S, eventually


def kafka_region(folder: Path, kafka: Broker, prepared: bool = True, **settings: Any) -> Home:
    """A home of all members that reads from Kafka, its topics new and empty; `settings` replace those of the home."""
    home = region(folder, False, **(settings_for(kafka) | settings))
    without_topics(kafka)
    if prepared:
        topics.prepare(home.settings, home.settings.publishers)
    return home


def with_settings(home: Home, **changed: Any) -> Home:
    """The home with some settings changed in its file."""
    path = home.folder / "yrd.toml"
    kept = [line for line in path.read_text("utf-8").splitlines() if line.split(" = ")[0] not in changed]
    path.write_text("\n".join([*kept, *(f"{name} = {json.dumps(value)}" for name, value in changed.items())]) + "\n", "utf-8")
    return Home(home.folder)


def settings_for(kafka: Broker) -> dict[str, Any]:
    """Settings of a home that reads from this broker."""
    return {
        "log": "kafka", "kafka_bootstrap": kafka.bootstrap, "kafka_security": "PLAINTEXT", "kafka_replication": 1,
        "kafka_partitions": 2, "kafka_discovery_s": 1, "kafka_wait_s": 60,
    }  # fmt: skip


def without_topics(kafka: Broker) -> None:
    """Delete every topic of a region, and wait until they are gone."""
    with administrating(kafka) as admin:
        found = [name for name in admin.list_topics() if name.startswith("yrd.")]
        if found:
            admin.delete_topics(found)
            eventually(lambda: not any(name.startswith("yrd.") for name in admin.list_topics()))


def administrating(kafka: Broker) -> Any:
    """An administrating client; close it by `with`."""
    return _Closing(KafkaAdminClient(bootstrap_servers=kafka.bootstrap))


def configured(kafka: Broker, topic: str, **changed: str) -> None:
    """Change a topic's configuration (dots as double underscores), and wait until the broker goes by it."""
    wanted = {name.replace("__", "."): value for name, value in changed.items()}
    place = ConfigResource("TOPIC", topic)
    with administrating(kafka) as admin:
        admin.alter_configs([ConfigResource("TOPIC", topic, wanted)])

        def known() -> bool:
            entries = admin.describe_configs([place], config_filter="all")["topic"][topic]
            return all(entries[name]["value"] == value for name, value in wanted.items())

        eventually(known)


class _Closing:
    def __init__(self, client: Any) -> None:
        self.client = client

    def __enter__(self) -> Any:
        return self.client

    def __exit__(self, *_: object) -> None:
        self.client.close()


def relayed(home: Home, *publishers: str, start: int | None = None) -> Standing:
    """Relay publishers' events to their end; the standing of the last relay."""
    standing = Standing()
    for code in publishers or ("31",):
        with home.store(code) as store:
            standing = Relay(store, home.settings, _nobody).run(threading.Event(), False, start)
    return standing


def _nobody(_sentence: str) -> None:
    """Nobody listens."""


def embedded_digest(home: Home) -> str:
    """The content digest of the home's stores, read embedded into a base in memory."""
    connection = duckdb.connect()
    tables.create(connection)
    with home.stores() as stores:
        projector = Projector(connection, home.settings.publishers)
        for batch in read_ahead(projector, EmbeddedLog(stores), 5000):
            projector.apply_prepared(batch, datetime.now(UTC))
    return content_digest(connection)


def on_topic(kafka: Broker, topic: str) -> list[Any]:
    """All records of a topic, partition after partition, as kafka-python gives them."""
    consumer = KafkaConsumer(bootstrap_servers=kafka.bootstrap, auto_offset_reset="none", isolation_level="read_uncommitted")
    found: list[Any] = []
    try:
        consumer.partitions_for_topic(topic)
        places = [TopicPartition(topic, number) for number in sorted(consumer.partitions_for_topic(topic) or ())]
        consumer.assign(places)
        for place in places:
            consumer.seek(place, consumer.beginning_offsets([place])[place])
        ends = consumer.end_offsets(places)
        deadline = time.monotonic() + PATIENCE_S
        while any(consumer.position(place) < ends[place] for place in places):
            assert time.monotonic() < deadline, "the topic could not be read to its end"
            for records in consumer.poll(200).values():
                found += records
    finally:
        consumer.close()
    return sorted(found, key=lambda record: (record.partition, record.offset))


def put(kafka: Broker, records: Iterable[Any], **changed: Any) -> None:
    """Send records as they were read, or with some of topic, partition, key, value and headers changed."""
    producer = KafkaProducer(bootstrap_servers=kafka.bootstrap)
    try:
        for record in records:
            given = {name: changed.get(name, getattr(record, name)) for name in ("topic", "partition", "key", "value", "headers")}
            producer.send(**given).get(PATIENCE_S)
    finally:
        producer.close()


def versions_in_order(records: Iterable[Any]) -> bool:
    """Whether the first occurrences of each entity's positions come in order."""
    seen: dict[bytes, list[int]] = {}
    for record in records:
        position = int(dict(record.headers)["position"])
        known = seen.setdefault(record.key, [])
        if position not in known:
            known.append(position)
    return all(known == sorted(known) for known in seen.values())


def identity_of(record: Any) -> UUID:
    """The entity that a record's key names."""
    return UUID(record.key.decode())
