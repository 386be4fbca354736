"""Topics: made as logs that keep everything, grown, and refused where they would lose or misdate something."""

from pathlib import Path

import pytest

from connectors.home.folder import Home
from connectors.kafka import topics
from connectors.kafka.connecting import KafkaRefused
from repository.store.log import LogUnavailable
from schemas.contracts import KINDS
from tests.support.broker import Broker
from tests.support.dumps_for_tests import JUNE, imported, many, profile, projected, region
from tests.support.kafka_region import administrating, configured, kafka_region, on_topic, relayed, with_settings


def with_partitions(home: Home, number: int) -> Home:
    """The home with another number of partitions set."""
    return with_settings(home, kafka_partitions=number)


def test_init_makes_one_topic_per_publisher_and_kind(tmp_path: Path, kafka: Broker) -> None:
    home = kafka_region(tmp_path, kafka, prepared=False)
    made = topics.prepare(home.settings, home.settings.publishers)
    assert len(made.made) == 5 * (len(KINDS) - 1) + 1 and not made.grown and not made.unchanged
    repeated = topics.prepare(home.settings, home.settings.publishers)
    assert not repeated.made and not repeated.grown and set(repeated.unchanged) == set(made.made)
    with administrating(kafka) as admin:
        described = topics.described(admin, made.made)
        assert {topic.partitions for topic in described.values()} == {2}
        assert len({topic.identity for topic in described.values()}) == len(made.made)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("cleanup.policy", "compact"),
        ("retention.ms", "60000"),
        ("retention.bytes", "1000"),
        ("message.timestamp.type", "CreateTime"),
        ("max.message.bytes", "1000"),
    ],
)
def test_a_topic_that_would_lose_or_misdate_is_refused_by_init_and_relay(
    tmp_path: Path, kafka: Broker, key: str, value: str
) -> None:
    home = kafka_region(tmp_path, kafka)
    configured(kafka, "yrd.31.supply", **{key.replace(".", "__"): value})
    for refused in (lambda: topics.prepare(home.settings, ["31"]), lambda: relayed(home)):
        with pytest.raises(KafkaRefused, match=rf"yrd.31.supply has {key}={value} and must have"):
            refused()
    topics.prepare(home.settings, ["33"])


@pytest.mark.long
def test_partitions_grow_and_never_shrink(tmp_path: Path, kafka: Broker) -> None:
    home, source = kafka_region(tmp_path, kafka), profile(tmp_path)
    imported(home, source, many(tmp_path, 60))
    relayed(home)
    first = projected(home)
    wider = with_partitions(home, 5)
    assert topics.prepare(wider.settings, ["31"]).grown["yrd.31.supply"] == 5
    imported(wider, source, many(tmp_path, 60, phone="2"), as_of=JUNE)
    relayed(wider)
    done = projected(wider)
    assert (first["events"], done["events"], done["quarantined"]) == (61, 61, 0)
    assert {record.partition for record in on_topic(kafka, "yrd.31.supply")} == set(range(5))
    with pytest.raises(KafkaRefused, match=r"has 5 partitions and the setting kafka_partitions is 3; partitions are never"):
        topics.prepare(with_partitions(home, 3).settings, ["31"])


def test_a_relay_without_topics_says_how_they_are_made(tmp_path: Path, kafka: Broker) -> None:
    home = kafka_region(tmp_path, kafka, prepared=False)
    imported(home, profile(tmp_path), many(tmp_path, 3))
    with pytest.raises(KafkaRefused, match=r"no topic yrd.31.batch .*make it with `yrd kafka init`"):
        relayed(home)


def test_no_broker_is_a_sentence(tmp_path: Path) -> None:
    home = region(tmp_path, kafka_bootstrap="127.0.0.1:1", kafka_security="PLAINTEXT", kafka_wait_s=1, log="kafka")
    with pytest.raises(LogUnavailable, match=r"Kafka at 127.0.0.1:1 does not answer"):
        topics.prepare(home.settings, ["31"])
