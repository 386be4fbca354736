"""Topics: made, grown, and checked. A log that may be compacted, expires, or keeps the sender's clock is refused."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from kafka import KafkaAdminClient
from kafka.admin import ConfigResource, NewTopic

from connectors.home.settings import Settings
from connectors.kafka import names
from connectors.kafka.connecting import KafkaRefused, admin
from repository.events.encoding import EVENT_LIMIT_BYTES

MESSAGE_LIMIT_BYTES = EVENT_LIMIT_BYTES + (1 << 16)
"""Largest record on a topic: the largest stored event, and room for key, headers and the batch around it."""
CONFIGURATION = {
    "cleanup.policy": "delete",
    "retention.ms": "-1",
    "retention.bytes": "-1",
    "message.timestamp.type": "LogAppendTime",
    "max.message.bytes": str(MESSAGE_LIMIT_BYTES),
}
"""What every topic must say: never compacted, kept for ever, stamped by the broker, with room for the largest event."""


@dataclass(frozen=True, slots=True)
class Topic:
    """A topic as the brokers describe it: `identity` changes when it is deleted and made anew."""

    name: str
    identity: str
    partitions: int


@dataclass(frozen=True, slots=True)
class Prepared:
    """What `prepare` did: topics made, grown (with their new number of partitions), and found as they must be."""

    made: tuple[str, ...]
    grown: Mapping[str, int]
    unchanged: tuple[str, ...]


def described(client: KafkaAdminClient, wanted: Iterable[str] | None = None) -> dict[str, Topic]:
    """Topics by name; of all, or of those wanted that exist."""
    found = client.describe_topics(None if wanted is None else list(wanted))
    return {
        each["name"]: Topic(each["name"], str(each["topic_id"]), len(each["partitions"]))
        for each in found
        if not each["error_code"] and each["partitions"]
    }


def prepare(settings: Settings, publishers: Iterable[str]) -> Prepared:
    """Make and grow the topics of some publishers, then check all. Raises KafkaRefused where one differs."""
    wanted = names.topics(publishers)
    with admin(settings) as client:
        there = described(client, wanted)
        _refuse_wider(settings, there.values())
        missing = tuple(name for name in wanted if name not in there)
        growing = {each.name: settings.kafka_partitions for each in there.values() if each.partitions < settings.kafka_partitions}
        if missing:
            client.create_topics([_new(name, settings) for name in missing])
            client.wait_for_topics(list(missing))
        if growing:
            client.create_partitions(growing)
        _check(client, wanted)
    return Prepared(missing, growing, tuple(name for name in wanted if name in there and name not in growing))


def _refuse_wider(settings: Settings, there: Iterable[Topic]) -> None:
    for each in there:
        if each.partitions > settings.kafka_partitions:
            raise KafkaRefused(
                f"{each.name} has {each.partitions} partitions and the setting kafka_partitions is "
                f"{settings.kafka_partitions}; partitions are never taken away: raise the setting."
            )


def check(settings: Settings, publishers: Iterable[str]) -> None:
    """Raise KafkaRefused where a topic of these publishers is missing or is not as it must be."""
    wanted = names.topics(publishers)
    with admin(settings) as client:
        missing = set(wanted) - described(client, wanted).keys()
        if missing:
            raise KafkaRefused(f"There is no topic {min(missing)} that this account may see; make it with `yrd kafka init`.")
        _check(client, wanted)


def _new(name: str, settings: Settings) -> NewTopic:
    copies = {"min.insync.replicas": str(max(1, settings.kafka_replication - 1))}
    return NewTopic(name, settings.kafka_partitions, settings.kafka_replication, topic_configs=CONFIGURATION | copies)


def _check(client: KafkaAdminClient, wanted: Iterable[str]) -> None:
    for name, found in _configurations(client, wanted).items():
        for key, value in CONFIGURATION.items():
            given = found.get(key)
            if given != value and not (key == "max.message.bytes" and int(given or 0) > int(value)):
                raise KafkaRefused(
                    f"{name} has {key}={given} and must have {value}, or events could be lost or misdated; set it with "
                    "kafka-configs.sh, or delete the topic while it is empty and run `yrd kafka init`."
                )


def _configurations(client: KafkaAdminClient, wanted: Iterable[str]) -> dict[str, dict[str, str]]:
    resources = [ConfigResource("TOPIC", name) for name in wanted]
    found: dict[str, Any] = client.describe_configs(resources, config_filter="all")
    topics = found.get("topic") or found.get("TOPIC") or found
    return {name: {key: _value(entry) for key, entry in entries.items()} for name, entries in topics.items()}


def _value(entry: Any) -> str:
    return str(entry["value"] if isinstance(entry, dict) else entry)
