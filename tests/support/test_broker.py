"""The broker of the tests is a real one: it keeps its data, knows its users, and refuses what no ACL allows."""

from collections.abc import Iterator
from typing import Any
from uuid import uuid4

import pytest
from kafka import KafkaAdminClient, KafkaConsumer, KafkaProducer, TopicPartition
from kafka.admin import ACL, ACLOperation, ACLPermissionType, NewTopic, ResourcePattern, ResourceType
from kafka.errors import KafkaTimeoutError, TopicAuthorizationFailedError

from tests.support.broker import SETTING, Broker
from tests.support.waiting import PATIENCE_S

PASSWORD = "a-password-in-tests"


@pytest.fixture
def topic(kafka: Broker) -> str:
    """A topic of one partition that no other test has."""
    name = f"broker.{uuid4().hex}"
    with_admin(
        kafka, lambda admin: admin.create_topics([NewTopic(name, num_partitions=1, replication_factor=1)], wait_for_metadata=True)
    )
    return name


@pytest.fixture
def own(kafka: Broker) -> Iterator[Broker]:
    """A broker that may be stopped; it runs again afterwards, whatever the test did."""
    yield kafka
    kafka.start()


def with_admin(kafka: Broker, do: Any) -> Any:
    admin = KafkaAdminClient(bootstrap_servers=kafka.bootstrap)
    try:
        return do(admin)
    finally:
        admin.close()


def send(bootstrap: str, topic: str, *values: bytes, **settings: Any) -> None:
    producer = KafkaProducer(bootstrap_servers=bootstrap, acks="all", **settings)
    try:
        for value in values:
            producer.send(topic, value).get(timeout=PATIENCE_S)
    finally:
        producer.close()


def held(bootstrap: str, topic: str) -> list[bytes]:
    """All that the first partition holds."""
    partition = TopicPartition(topic, 0)
    consumer = KafkaConsumer(bootstrap_servers=bootstrap, enable_auto_commit=False, isolation_level="read_committed")
    consumer.assign([partition])
    consumer.seek_to_beginning(partition)
    end, values = consumer.end_offsets([partition])[partition], []
    while consumer.position(partition) < end:
        values += [record.value for records in consumer.poll(timeout_ms=1000).values() for record in records]
    consumer.close()
    return values


def login(name: str, protocol: str = "SASL_PLAINTEXT", password: str = PASSWORD, **settings: Any) -> dict[str, Any]:
    return settings | {
        "security_protocol": protocol,
        "sasl_mechanism": "SCRAM-SHA-512",
        "sasl_plain_username": name,
        "sasl_plain_password": password,
    }


def may_write(kafka: Broker, name: str, topic: str) -> None:
    resource = ResourcePattern(ResourceType.TOPIC, topic)
    rules = [
        ACL(f"User:{name}", "*", operation, ACLPermissionType.ALLOW, resource)
        for operation in (ACLOperation.WRITE, ACLOperation.DESCRIBE)
    ]
    made = with_admin(kafka, lambda admin: admin.create_acls(rules))
    assert made["failed"] == []


@pytest.mark.long
def test_it_keeps_what_it_was_sent_over_a_restart(own: Broker, topic: str) -> None:
    send(own.bootstrap, topic, b"one", b"two")
    own.stop()
    own.start()
    send(own.bootstrap, topic, b"three")
    assert held(own.bootstrap, topic) == [b"one", b"two", b"three"]


@pytest.mark.long
def test_what_it_acknowledged_outlives_its_being_killed(own: Broker, topic: str) -> None:
    send(own.bootstrap, topic, b"one")
    own.kill()
    own.start()
    assert held(own.bootstrap, topic) == [b"one"]


@pytest.mark.long
def test_stopped_it_is_not_reached(own: Broker) -> None:
    own.stop()
    with pytest.raises(KafkaTimeoutError):
        KafkaAdminClient(bootstrap_servers=own.bootstrap, bootstrap_timeout_ms=500)


def test_segments_lie_in_its_folder(kafka: Broker, topic: str) -> None:
    send(kafka.bootstrap, topic, b"a line to look for")
    segments = list((kafka.log_dir / f"{topic}-0").glob("*.log"))
    assert b"a line to look for" in b"".join(path.read_bytes() for path in segments)


def test_a_user_without_acl_is_refused(kafka: Broker, topic: str) -> None:
    kafka.user("stranger", PASSWORD)
    with pytest.raises(TopicAuthorizationFailedError):
        send(kafka.sasl_bootstrap, topic, b"no", **login("stranger"))
    assert held(kafka.bootstrap, topic) == []


def test_a_user_with_an_acl_may_do_what_it_allows_and_no_more(kafka: Broker, topic: str) -> None:
    kafka.user("writer", PASSWORD)
    may_write(kafka, "writer", topic)
    send(kafka.sasl_bootstrap, topic, b"yes", **login("writer"))
    assert held(kafka.bootstrap, topic) == [b"yes"]
    consumer = KafkaConsumer(bootstrap_servers=kafka.sasl_bootstrap, **login("writer"))
    consumer.assign([TopicPartition(topic, 0)])
    consumer.seek(TopicPartition(topic, 0), 0)
    with pytest.raises(TopicAuthorizationFailedError):
        consumer.poll(timeout_ms=1000 * PATIENCE_S)
    consumer.close()


@pytest.mark.parametrize("name", ["clerk", "nobody"])
def test_a_wrong_password_and_an_unknown_name_are_refused(kafka: Broker, name: str) -> None:
    kafka.user("clerk", PASSWORD)
    KafkaAdminClient(bootstrap_servers=kafka.sasl_bootstrap, **login("clerk")).close()
    with pytest.raises(KafkaTimeoutError):
        KafkaAdminClient(bootstrap_servers=kafka.sasl_bootstrap, bootstrap_timeout_ms=1500, **login(name, password="guessed"))


def test_the_same_user_comes_in_over_tls(kafka: Broker, topic: str) -> None:
    kafka.user("envoy", PASSWORD)
    may_write(kafka, "envoy", topic)
    send(kafka.tls_bootstrap, topic, b"sealed", **login("envoy", "SASL_SSL", ssl_cafile=str(kafka.authority)))
    assert held(kafka.bootstrap, topic) == [b"sealed"]


def test_over_tls_it_is_not_believed_without_its_authority(kafka: Broker) -> None:
    kafka.user("envoy", PASSWORD)
    with pytest.raises(KafkaTimeoutError):
        KafkaAdminClient(bootstrap_servers=kafka.tls_bootstrap, bootstrap_timeout_ms=2000, **login("envoy", "SASL_SSL"))


def test_a_broker_of_others_is_not_disturbed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("YRD_REQUIRE_KAFKA", raising=False)
    foreign = Broker("127.0.0.1:9092")
    for disturb in (foreign.stop, foreign.start, foreign.kill, lambda: foreign.user("x", "y"), lambda: foreign.sasl_bootstrap):
        with pytest.raises(pytest.skip.Exception, match=SETTING):
            disturb()
