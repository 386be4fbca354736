"""The relay: everything recorded arrives, in order, under the publisher's topics; how far it got is in its store."""

import json
import signal
import sqlite3
import threading
from collections import deque
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from eventsourcing.persistence import Notification
from hypothesis import given
from hypothesis import strategies as st
from kafka.errors import MessageSizeTooLargeError

from connectors.home.folder import Busy, Home
from connectors.kafka import relay as relaying
from connectors.kafka.connecting import KafkaRefused
from connectors.kafka.names import kind_of
from connectors.kafka.registry import LockedNumbers
from connectors.kafka.relay import Relay, alone, tracked
from connectors.publishing.reporting import report_lines
from repository.store.log import LogUnavailable
from repository.store.publisher import Publisher, Tracked
from schemas.contracts import contract
from tests.support.broker import Broker
from tests.support.dumps_for_tests import JUNE, begun, command, following, imported, many, profile, publishing, recorded
from tests.support.kafka_region import identity_of, kafka_region, on_topic, relayed, versions_in_order, with_settings
from tests.support.waiting import PATIENCE_S, eventually


def reported(home: Home, key: str, publisher: str = "31", **fields: object) -> None:
    with publishing(home, publisher) as persons:
        (answer,) = report_lines(persons, "supply", [json.dumps({"business_key": key} | fields)], "live")
    assert answer["result"] == "new", answer


def position_of(record: Any) -> int:
    return int(dict(record.headers)["position"])


def test_everything_recorded_stands_on_the_topics_once_and_in_order(tmp_path: Path, kafka: Broker) -> None:
    home, source = kafka_region(tmp_path, kafka), profile(tmp_path)
    imported(home, source, many(tmp_path, 500))
    imported(home, source, many(tmp_path, 500, phone="2"), as_of=JUNE)
    done = relayed(home)
    assert (done.events, done.acknowledged, done.recorded) == (1002, 1002, 1002)
    records = on_topic(kafka, "yrd.31.supply") + on_topic(kafka, "yrd.31.batch")
    assert sorted(map(position_of, records)) == list(range(1, 1003))
    assert versions_in_order(records)
    events = dict(enumerate(recorded(home), 1))
    numbers = LockedNumbers()
    for record in records:
        event = events[position_of(record)]
        assert identity_of(record) == event["entity_id"]
        assert dict(record.headers)["ce_type"].decode() == f"{event['kind']}.{event['event_type']}"
        assert int.from_bytes(record.value[1:5]) == numbers.number_of(record.topic, contract(kind_of(record.topic)))
        assert record.timestamp_type == 1
    by_key = {record.key: record.partition for record in records if record.topic.endswith("supply")}
    assert set(by_key.values()) == {0, 1}
    assert all(by_key[r.key] == r.partition for r in records if r.topic.endswith("supply"))


def test_a_second_run_sends_only_what_is_new(tmp_path: Path, kafka: Broker) -> None:
    home = kafka_region(tmp_path, kafka)
    imported(home, profile(tmp_path), many(tmp_path, 20))
    assert relayed(home).events == 21
    assert relayed(home).events == 0
    reported(home, "one more", phone="1")
    assert relayed(home).events == 1


def test_who_goes_on_reporting_is_not_chased(tmp_path: Path, kafka: Broker, monkeypatch: pytest.MonkeyPatch) -> None:
    home = kafka_region(tmp_path, kafka)
    imported(home, profile(tmp_path), many(tmp_path, 20))
    read = Publisher.notifications
    told: list[int] = []

    def notifications(store: Publisher, after: int, limit: int) -> Sequence[Notification]:
        if len(told) < 50:
            told.append(after)
            reported(home, f"new {len(told)}", phone="1")
        return read(store, after, limit)

    monkeypatch.setattr(Publisher, "notifications", notifications)
    assert relayed(home).events < 21 + 50 and len(told) < 50


def test_sending_again_from_a_position_neither_reads_nor_lowers_what_is_recorded(tmp_path: Path, kafka: Broker) -> None:
    home = kafka_region(tmp_path, kafka)
    imported(home, profile(tmp_path), many(tmp_path, 20))
    relayed(home)
    done = relayed(home, start=11)
    assert (done.events, done.acknowledged) == (11, 21)
    assert relayed(home, start=3).events == 19
    with home.store("31") as store:
        assert tracked(store, home.settings).position == 21
    assert relayed(home).events == 0
    records = on_topic(kafka, "yrd.31.supply")
    assert len(records) == 20 + 10 + 18 and versions_in_order(records)


def test_another_cluster_is_sent_everything(tmp_path: Path, kafka: Broker, monkeypatch: pytest.MonkeyPatch) -> None:
    home = kafka_region(tmp_path, kafka)
    imported(home, profile(tmp_path), many(tmp_path, 5))
    relayed(home)
    with home.store("31") as store:
        elsewhere = Tracked(store, "kafka another-cluster")
        assert elsewhere.position == 0 and tracked(store, home.settings).position == 6
        assert elsewhere.advance(4) and not elsewhere.advance(3) and elsewhere.position == 4


@pytest.mark.long
def test_a_store_that_is_held_by_an_import_does_not_stop_the_relay(tmp_path: Path, kafka: Broker) -> None:
    home = kafka_region(tmp_path, kafka)
    imported(home, profile(tmp_path), many(tmp_path, 30))
    with home.store("31", wait_s=1) as store, closing(sqlite3.connect(home.store_file("31"))) as writer:
        sender = Relay(store, home.settings, lambda _: None)
        writer.execute("BEGIN IMMEDIATE")
        with pytest.raises(LogUnavailable, match=r"The store of publisher 31 is held by an import"):
            sender.run(threading.Event(), False)
        writer.rollback()
        tracked(store, home.settings)
        writer.execute("BEGIN IMMEDIATE")
        done = sender.run(threading.Event(), False)
        assert (done.acknowledged, done.recorded) == (31, 0)
        writer.rollback()
        assert sender.run(threading.Event(), False).recorded == 31


def test_a_following_relay_sends_what_comes_and_ends_at_a_signal(tmp_path: Path, kafka: Broker) -> None:
    home = kafka_region(tmp_path, kafka)
    with following(home, "relay", "--publisher", "31", "--follow") as process:
        for number in range(3):
            reported(home, f"k{number}", phone="1")
            eventually(lambda n=number: len(on_topic(kafka, "yrd.31.supply")) == n + 1)  # type: ignore[misc]
        process.send_signal(signal.SIGTERM)
        assert process.wait(PATIENCE_S) == 0
        assert "3 events sent; all up to position 3" in process.stdout.read()
    assert relayed(home).events == 0


def test_a_second_relay_of_a_publisher_refuses_with_a_sentence(tmp_path: Path, kafka: Broker) -> None:
    home = kafka_region(tmp_path, kafka)
    with alone(home, "31"):
        with pytest.raises(Busy, match=r"yrd relay --publisher 31 has to wait for process \d+"), alone(home, "31"):
            pass
        second = command(home, "relay", "--publisher", "31")
        assert second.returncode == 1 and second.stderr.count("\n") == 1 and "end that first" in second.stderr
        with alone(home, "33"):
            pass


def test_an_event_that_the_topic_has_no_room_for_stops_the_relay_by_its_position(tmp_path: Path, kafka: Broker) -> None:
    home = kafka_region(tmp_path, kafka)
    reported(home, "small", phone="1")
    reported(home, "large", phone="1" * 700_000)
    reported(home, "after", phone="1")
    assert relayed(home).events == 3
    assert max(len(record.value) for record in on_topic(kafka, "yrd.31.supply")) > 700_000


def test_brokers_that_do_not_answer_are_a_sentence(tmp_path: Path, kafka: Broker) -> None:
    home = kafka_region(tmp_path, kafka)
    reported(home, "a", phone="1")
    alone_there = with_settings(home, kafka_bootstrap="127.0.0.1:1", kafka_wait_s=1)
    with pytest.raises(LogUnavailable, match=r"Kafka at 127.0.0.1:1 does not answer"):
        relayed(alone_there)


@pytest.mark.long
def test_an_outage_is_told_once_and_ended_without_loss(tmp_path: Path, kafka: Broker) -> None:
    home = with_settings(kafka_region(tmp_path, kafka), kafka_wait_s=2)
    reported(home, "before", phone="1")
    process = begun(home, "relay", "--publisher", "31", "--follow")
    try:
        eventually(lambda: len(on_topic(kafka, "yrd.31.supply")) == 1)
        kafka.stop()
        for number in range(20):
            reported(home, f"during {number}", phone="1")
        assert process.stderr is not None
        lines = [process.stderr.readline()]
        lines.append(process.stderr.readline())
        assert "does not answer" in lines[1], lines
        kafka.start()
        eventually(lambda: len({position_of(r) for r in on_topic(kafka, "yrd.31.supply")}) == 21)
        process.send_signal(signal.SIGTERM)
        _, rest = process.communicate(timeout=PATIENCE_S)
        assert rest.count("does not answer") <= 1 and "Traceback" not in rest
    finally:
        kafka.start()
        process.kill()
        process.communicate()
    assert versions_in_order(on_topic(kafka, "yrd.31.supply"))
    assert relayed(home).events == 0


@given(acknowledged=st.lists(st.booleans(), min_size=1, max_size=30))
def test_what_is_recorded_has_everything_before_it_acknowledged(acknowledged: list[bool]) -> None:
    sender = Relay.__new__(Relay)
    sender.standing = relaying.Standing()
    sender._pending = deque((n, 1, Answer(done)) for n, done in enumerate(acknowledged, 1))
    sender._pending_bytes = len(acknowledged)
    sender._collect()
    first_open = acknowledged.index(False) if False in acknowledged else len(acknowledged)
    assert sender.standing.acknowledged == first_open and sender._pending_bytes == len(acknowledged) - first_open


class Answer:
    """A future of a record that is acknowledged, or not yet."""

    def __init__(self, done: bool) -> None:
        self.is_done = done

    def failed(self) -> bool:
        return False


def test_a_refused_record_stops_the_relay(tmp_path: Path, kafka: Broker) -> None:
    home = kafka_region(tmp_path, kafka)
    reported(home, "a", phone="1")
    with home.store("31") as store:
        sender = Relay(store, home.settings, lambda _: None)
        error = MessageSizeTooLargeError("too large")
        assert isinstance(sender._failed(7, error), KafkaRefused)
        assert "position 7 of publisher 31" in str(sender._failed(7, error))


@pytest.mark.long
def test_relays_on_one_postgresql_exclude_each_other(tmp_path: Path, kafka: Broker, database: str) -> None:
    (tmp_path / "other").mkdir()
    home = kafka_region(tmp_path, kafka, store_url=database)
    imported(home, profile(tmp_path), many(tmp_path, 20))
    assert relayed(home).events == 21 and relayed(home).events == 0
    assert len(on_topic(kafka, "yrd.31.supply")) == 20
    other = kafka_region(tmp_path / "other", kafka, store_url=database)
    taken = pytest.raises(Busy, match="Another relay of publisher 31 runs on this PostgreSQL")
    with alone(home, "31"), taken, alone(other, "31"):
        pass
