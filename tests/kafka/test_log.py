"""Kafka as the projector's log: the same records as embedded, read from where the base says, and nothing skipped in silence."""

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from kafka import KafkaConsumer, KafkaProducer, TopicPartition
from kafka.errors import UnknownBrokerIdError
from kafka.structs import OffsetAndMetadata

from connectors.home.folder import Home
from connectors.home.settings import Settings
from connectors.hub import hub
from connectors.hub.owner import serving
from connectors.kafka import log as kafka_log
from connectors.kafka import topics
from connectors.kafka.connecting import verdict
from connectors.kafka.log import KafkaLog
from connectors.kafka.registry import LockedNumbers
from connectors.publishing.reporting import report_lines
from repository.store.log import Checkpoint, EmbeddedLog, LogChanged, LogUnavailable, Record, body_hash
from tests.support.broker import Broker
from tests.support.dumps_for_tests import JUNE, asked, begun, command, following, imported, many, profile, projected, publishing
from tests.support.kafka_region import (
    administrating,
    configured,
    embedded_digest,
    kafka_region,
    on_topic,
    put,
    relayed,
    with_settings,
    without_topics,
)
from tests.support.waiting import PATIENCE_S, eventually

CLIENTS = ("kafka-python", "librdkafka")


@contextmanager
def log_of(home: Home) -> Iterator[KafkaLog]:
    log = KafkaLog(home.settings, home.settings.publishers)
    try:
        yield log
    finally:
        log.close()


def reported(home: Home, key: str, publisher: str = "31", **fields: object) -> None:
    with publishing(home, publisher) as persons:
        (answer,) = report_lines(persons, "supply", [json.dumps({"business_key": key} | fields)], "live")
    assert answer["result"] == "new", answer


def filled(folder: Path, kafka: Broker, number: int = 120, **settings: Any) -> Home:
    """A region whose publishers 31 and 33 have imported twice and relayed everything."""
    home, source = kafka_region(folder, kafka, **settings), profile(folder)
    for publisher in ("31", "33"):
        imported(home, source, many(folder, number), publisher)
        imported(home, source, many(folder, number, phone="2"), publisher, as_of=JUNE)
    relayed(home, "31", "33")
    return home


def status_of(home: Home) -> Any:
    return hub.perform(home, "status")


def held(home: Home) -> list[dict[str, Any]]:
    return asked(home, "SELECT topic, position, reason, state FROM quarantine ORDER BY quarantine_no")


# -- the same as embedded ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("client", [CLIENTS[0], pytest.param(CLIENTS[1], marks=pytest.mark.long)])
def test_the_base_is_the_same_as_embedded(tmp_path: Path, kafka: Broker, client: str) -> None:
    home = filled(tmp_path, kafka, kafka_client=client)
    done = projected(home)
    assert (done["events"], done["duplicates"], done["quarantined"]) == (484, 0, 0)
    assert done["digest"] == embedded_digest(home)
    assert projected(home)["events"] == 0
    assert hub.rebuild(home, False, lambda _: None).new_digest == done["digest"]


@pytest.mark.parametrize("client", CLIENTS)
def test_records_are_those_of_the_stores(tmp_path: Path, kafka: Broker, client: str) -> None:
    home = filled(tmp_path, kafka, 20, kafka_client=client)
    with home.stores() as stores:
        stored = EmbeddedLog(stores).read({}, 1000)
    with log_of(home) as log:
        read = drained(log, 1000)

    def known(records: list[Record]) -> set[Any]:
        return {(r.topic[:6], r.position, r.entity_id.replace("-", ""), r.event_type, r.value, r.problem) for r in records}

    assert known(read) == known(stored) and len(read) == len(stored)
    assert all(record.received_us is not None for record in read)


def reached(records: list[Record], partition: tuple[str, int]) -> Checkpoint:
    last = max((r for r in records if (r.topic, r.partition) == partition), key=lambda r: r.offset, default=None)
    return Checkpoint(0, 0, 0) if last is None else Checkpoint(last.offset + 1, last.position, body_hash(last.value))


def drained(log: KafkaLog, limit: int) -> list[Record]:
    """Everything from the beginning, read as a projector reads: on from the last record of each partition, until there is nothing."""
    found: list[Record] = []
    while some := log.read({(r.topic, r.partition): reached(found, (r.topic, r.partition)) for r in found}, limit):
        found += some
    return found


@pytest.mark.long
@pytest.mark.parametrize("client", CLIENTS)
def test_what_is_asked_again_is_given_again(tmp_path: Path, kafka: Broker, client: str) -> None:
    home = filled(tmp_path, kafka, 30, kafka_client=client)
    with log_of(home) as log:
        assert log.read({}, 50)
        for limit in (10_000, 17):
            everything = drained(log, limit)
            assert len(everything) == 124 and len({r[:3] for r in everything}) == 124
            for partition in {(r.topic, r.partition) for r in everything}:
                offsets = [r.offset for r in everything if (r.topic, r.partition) == partition]
                assert offsets == list(range(len(offsets)))


@pytest.mark.long
def test_repeated_records_have_one_effect(tmp_path: Path, kafka: Broker) -> None:
    home = filled(tmp_path, kafka, 20)
    relayed(home, "31", start=1)
    relayed(home, "31", start=20)
    done = projected(home)
    assert done["duplicates"] == 42 + 23 and done["digest"] == embedded_digest(home)


@pytest.mark.long
def test_a_follower_shows_what_comes(tmp_path: Path, kafka: Broker) -> None:
    home = kafka_region(tmp_path, kafka)
    with following(home), following(home, "relay", "--publisher", "31", "--follow"):
        for number in range(5):
            reported(home, f"k{number}", phone="1")
            eventually(lambda n=number: asked(home, "SELECT count(*) AS n FROM supply_history")[0]["n"] == n + 1)  # type: ignore[misc]
        status = status_of(home)
        assert sum(p["lag"] for p in status["partitions"]) == 0
        assert status["follower"]["trouble"] == "" and status["log"] == "kafka"
    assert projected(home)["digest"] == embedded_digest(home)


# -- who decides where reading goes on -----------------------------------------------------------------------------


@pytest.mark.long
def test_offsets_that_a_group_committed_mean_nothing(tmp_path: Path, kafka: Broker) -> None:
    home = filled(tmp_path, kafka, 20)
    for group in ("yrd", "yrd-unused", "hub"):
        consumer = KafkaConsumer(bootstrap_servers=kafka.bootstrap, group_id=group, enable_auto_commit=False)
        place = TopicPartition("yrd.31.supply", 0)
        consumer.assign([place])
        consumer.commit({place: OffsetAndMetadata(10, "", -1)})
        consumer.close()
    for client in CLIENTS:
        with log_of(with_settings(home, kafka_client=client)) as log:
            assert len(drained(log, 1000)) == 84
    assert projected(home)["events"] == 84


@pytest.mark.long
def test_a_second_projector_refuses(tmp_path: Path, kafka: Broker) -> None:
    home = filled(tmp_path, kafka, 20)
    with following(home) as first:
        eventually(lambda: asked(home, "SELECT count(*) AS n FROM supply_history")[0]["n"] == 80)
        second = command(home, "project", "--follow")
        assert second.returncode == 1 and second.stderr.count("\n") == 1 and f"process {first.pid}" in second.stderr
    assert projected(home)["duplicates"] == 0


@pytest.mark.long
def test_an_owner_that_stood_still_goes_on_as_the_only_one(tmp_path: Path, kafka: Broker) -> None:
    home = filled(tmp_path, kafka, 20)
    with following(home) as owner:
        eventually(lambda: asked(home, "SELECT count(*) AS n FROM supply_history")[0]["n"] == 80)
        owner.send_signal(19)
        reported(home, "meanwhile", phone="1")
        relayed(home)
        refused = command(home, "project", "--follow")
        assert refused.returncode == 1 and f"process {owner.pid}" in refused.stderr
        owner.send_signal(18)
        eventually(lambda: asked(home, "SELECT count(*) AS n FROM supply_history")[0]["n"] == 81)
    done = projected(home)
    assert done["duplicates"] == 0 and done["digest"] == embedded_digest(home)


@pytest.mark.long
def test_new_partitions_and_new_members_topics_appear_without_a_restart(tmp_path: Path, kafka: Broker) -> None:
    home = kafka_region(tmp_path, kafka, prepared=False)
    topics.prepare(home.settings, ["31"])
    with following(home):
        reported(home, "first", phone="1")
        relayed(home, "31")
        eventually(lambda: asked(home, "SELECT count(*) AS n FROM supply_history")[0]["n"] == 1)
        wider = with_settings(home, kafka_partitions=6)
        topics.prepare(wider.settings, ["31", "34"])
        for number in range(30):
            reported(home, f"k{number}", phone="1")
        reported(home, "another member", publisher="34", phone="1")
        relayed(home, "31", "34")
        eventually(lambda: asked(home, "SELECT count(*) AS n FROM supply_history")[0]["n"] == 32)
        used = asked(home, "SELECT count(DISTINCT partition) AS n FROM supply_history WHERE publisher = '31'")
        assert used[0]["n"] > 2


# -- logs that are not what they were ------------------------------------------------------------------------------


def remade(kafka: Broker, home: Home, send: Callable[[], object]) -> None:
    """Delete all topics, make them anew, and send to them."""
    without_topics(kafka)
    topics.prepare(home.settings, home.settings.publishers)
    send()


@pytest.mark.long
@pytest.mark.parametrize("again", [0, 1, 3], ids=["empty", "as long", "longer than the checkpoint"])
def test_a_topic_made_anew_halts_and_a_rebuild_helps(tmp_path: Path, kafka: Broker, again: int) -> None:
    home = filled(tmp_path, kafka, 20)
    before = projected(home)
    remade(kafka, home, lambda: [relayed(home, "31", "33", start=1) for _ in range(again)])
    with pytest.raises(LogChanged, match="rebuild the base from the log as it is"):
        projected(home)
    halted = command(home, "project", "--follow")
    assert halted.returncode == 1 and "was deleted and made anew" in halted.stderr and "Traceback" not in halted.stderr
    if again:
        done = hub.rebuild(home, False, lambda _: None)
        assert done.switched is (again == 1) or done.new_digest == before["digest"]


@pytest.mark.long
@pytest.mark.parametrize("client", CLIENTS)
def test_a_topic_made_anew_under_a_follower_halts_it(tmp_path: Path, kafka: Broker, client: str) -> None:
    home = filled(tmp_path, kafka, 20, kafka_client=client)
    with following(home) as process:
        eventually(lambda: asked(home, "SELECT count(*) AS n FROM supply_history")[0]["n"] == 80)
        remade(kafka, home, lambda: [relayed(home, "31", "33", start=1) for _ in range(3)])
        assert process.wait(PATIENCE_S) == 1
        last = process.stderr.read().splitlines()[-1]
        assert last.startswith("yrd: ") and ("made anew" in last or "was deleted" in last), last
    with pytest.raises(LogChanged, match="made anew"):
        projected(home)


@pytest.mark.long
@pytest.mark.parametrize("client", CLIENTS)
def test_history_that_retention_removed_is_a_hard_error(tmp_path: Path, kafka: Broker, client: str) -> None:
    home = filled(tmp_path, kafka, 20, kafka_client=client)
    with administrating(kafka) as admin:
        admin.delete_records({TopicPartition("yrd.31.supply", 0): 5})
    with pytest.raises(
        LogChanged, match=r"History is missing: yrd.31.supply partition 0 begins at offset 5 and offset 0 comes next"
    ):
        projected(home)
    failed = command(home, "project", "--follow")
    assert failed.returncode == 1 and "History is missing" in failed.stderr


@pytest.mark.long
def test_history_removed_behind_the_checkpoint_is_noticed_too(tmp_path: Path, kafka: Broker) -> None:
    home = filled(tmp_path, kafka, 20)
    projected(home)
    configured(kafka, "yrd.31.supply", segment__bytes="1048576", retention__ms="1")
    eventually(lambda: len(on_topic(kafka, "yrd.31.supply")) == 0)
    with pytest.raises(LogChanged, match=r"yrd.31.supply partition \d no longer has offset"):
        projected(home)


# -- records ---------------------------------------------------------------------------------------------------------


@pytest.mark.long
def test_aborted_transactions_are_invisible_and_leave_no_lag(tmp_path: Path, kafka: Broker) -> None:
    home = filled(tmp_path, kafka, 10)
    (record,) = on_topic(kafka, "yrd.33.batch")[:1]
    producer = KafkaProducer(bootstrap_servers=kafka.bootstrap, transactional_id="stray")
    producer.init_transactions()
    producer.begin_transaction()
    for number in range(2):
        producer.send("yrd.31.supply", b"never", partition=number, headers=[("position", b"1")]).get(PATIENCE_S)
    producer.abort_transaction()
    producer.begin_transaction()
    producer.send(record.topic, record.value, record.key, record.headers, record.partition).get(PATIENCE_S)
    producer.commit_transaction()
    producer.close()
    for client in CLIENTS:
        again = with_settings(home, kafka_client=client)
        with log_of(again) as log:
            assert not [r for r in drained(log, 1000) if r.problem]
    done = projected(home)
    assert (done["events"], done["duplicates"], done["quarantined"]) == (44, 1, 0)
    reported(home, "after", phone="1")
    relayed(home)
    assert projected(home)["events"] == 1
    with following(home):
        eventually(lambda: sum(p["lag"] for p in status_of(home)["partitions"]) == 0)


def test_poison_is_quarantined_and_the_rest_is_visible(tmp_path: Path, kafka: Broker) -> None:
    home = filled(tmp_path, kafka, 20)
    good = on_topic(kafka, "yrd.31.supply")
    theirs = on_topic(kafka, "yrd.33.supply")
    with following(home):
        eventually(lambda: asked(home, "SELECT count(*) AS n FROM supply_history")[0]["n"] == 80)
        put(kafka, good[:1], value=None, partition=0)
        put(kafka, good[:1], value=b"no such thing", partition=0)
        put(kafka, good[:1], value=good[0].value[:40], partition=0)
        put(kafka, good[:1], value=b"\x00\x00\x00\x00\x63" + good[0].value[5:], partition=0)
        put(kafka, good[:1], headers=[], partition=0)
        put(kafka, good[:1], key=theirs[0].key, partition=0)
        put(kafka, theirs[:1], topic="yrd.31.supply", partition=0)
        put(kafka, good[:1], topic="yrd.31.standard", partition=0)
        reported(home, "after", phone="1")
        relayed(home)
        eventually(lambda: asked(home, "SELECT count(*) AS n FROM supply_history")[0]["n"] == 81)
        reasons = [row["reason"] for row in held(home)]
        for said in (
            "begins with nothing", "begins with 6e and not with 00", "The body is not supply", "schema number 99",
            'header "position"', "is not the event's entity", "publisher 33 but stands in yrd.31.supply",
            "kind supply stands in yrd.31.standard",
        ):  # fmt: skip
            assert sum(said in reason for reason in reasons) == 1, (said, reasons)
        assert len(reasons) == 8
        partitions = status_of(home)["partitions"]
        assert sum(p["quarantined"] for p in partitions) == 8
    assert projected(home)["digest"] == embedded_digest(home)


@pytest.mark.long
def test_a_record_with_a_number_nobody_knew_is_applied_once_it_is_known(
    tmp_path: Path, kafka: Broker, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = filled(tmp_path, kafka, 10)

    class Forgetful(LockedNumbers):
        def contract_of(self, number: int) -> None:
            return None

    with monkeypatch.context() as patched:
        patched.setattr(kafka_log, "schema_numbers", lambda _url: Forgetful())
        assert projected(home)["quarantined"] == 44
        assert {row["state"] for row in held(home)} == {"held"}
    assert projected(home)["events"] == 0
    done = hub.perform(home, "quarantine_retry")
    assert (done["events"], done["quarantined"]) == (44, 0)
    assert projected(home)["digest"] == embedded_digest(home)


@pytest.mark.long
def test_topics_of_no_listed_member_are_not_read_and_shown(tmp_path: Path, kafka: Broker) -> None:
    home = filled(tmp_path, kafka, 10)
    stranger = with_settings(home, publishers=["31"])
    done = projected(stranger)
    assert done["events"] == 22
    status = status_of(stranger)
    assert "yrd.33.supply" in status["unlisted_topics"] and {p["topic"][:6] for p in status["partitions"]} == {"yrd.31"}


# -- brokers ---------------------------------------------------------------------------------------------------------


@pytest.mark.long
@pytest.mark.parametrize("client", CLIENTS)
def test_an_outage_is_told_once_and_followed_by_everything(tmp_path: Path, kafka: Broker, client: str) -> None:
    home = with_settings(filled(tmp_path, kafka, 10, kafka_client=client), kafka_wait_s=2)
    with following(home) as process:
        eventually(lambda: asked(home, "SELECT count(*) AS n FROM supply_history")[0]["n"] == 40)
        kafka.stop()
        try:
            line = process.stderr.readline()
            assert "does not answer" in line, line
            assert asked(home, "SELECT count(*) AS n FROM supply_history")[0]["n"] == 40
            reported(home, "during", phone="1")
        finally:
            kafka.start()
        relayed(home)
        eventually(lambda: asked(home, "SELECT count(*) AS n FROM supply_history")[0]["n"] == 41)
        assert "Following goes on." in process.stderr.readline()
        assert process.poll() is None
    assert projected(home)["digest"] == embedded_digest(home)


def test_a_client_that_has_lost_its_brokers_is_tried_again() -> None:
    said = verdict(Settings(), UnknownBrokerIdError(-1))
    assert isinstance(said, LogUnavailable) and "does not answer (UnknownBrokerIdError" in str(said)


@pytest.mark.long
def test_a_follower_that_starts_before_its_brokers_waits_for_them(tmp_path: Path, kafka: Broker) -> None:
    home = with_settings(filled(tmp_path, kafka, 10), kafka_wait_s=1)
    kafka.stop()
    process = begun(home, "project", "--follow")
    try:
        assert process.stderr is not None
        assert "does not answer" in process.stderr.readline()
        assert not serving(home)
        kafka.start()
        assert "end with Ctrl-C" in process.stderr.readline()
        eventually(lambda: asked(home, "SELECT count(*) AS n FROM supply_history")[0]["n"] == 40)
    finally:
        kafka.start()
        process.kill()
        process.communicate()


@pytest.mark.long
def test_no_broker_is_a_sentence(tmp_path: Path, kafka: Broker) -> None:
    home = with_settings(filled(tmp_path, kafka, 5), kafka_bootstrap="127.0.0.1:1", kafka_wait_s=1)
    with pytest.raises(LogUnavailable, match=r"Kafka at 127.0.0.1:1 does not answer"):
        projected(home)
    failed = command(home, "project")
    assert failed.returncode == 1 and failed.stderr.count("\n") == 1 and "does not answer" in failed.stderr


@pytest.mark.long
def test_a_base_projected_from_the_stores_is_not_taken_for_one_from_kafka(tmp_path: Path, kafka: Broker) -> None:
    home = with_settings(filled(tmp_path, kafka, 5), log="embedded")
    projected(home)
    with pytest.raises(LogChanged, match="the setting log names another one"):
        projected(with_settings(home, log="kafka"))
    assert hub.rebuild(home, False, lambda _: None).switched
