"""Whole logs over Kafka: what the brokers hold, held against all seals at a hub that has no store; and every failure one sentence."""

import shutil
import sqlite3
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from kafka import KafkaProducer

from connectors.command_line import run
from connectors.home.folder import Home
from connectors.kafka import names, topics
from connectors.proof import sealing
from tests.support.broker import Broker
from tests.support.dumps_for_tests import JUNE, Yrd, imported, many, profile, projected
from tests.support.kafka_region import administrating, kafka_region, on_topic, put, relayed
from tests.support.processes import free_ports
from tests.support.sealed_logs import keyed, sealed_now
from tests.support.waiting import PATIENCE_S, eventually

ALL = ("00", "31", "32", "33", "34")
BAD = 4
"""The position at which something is wrong in a log that was spoiled."""
FLIPPED = f"UPDATE stored_events SET state = CAST(replace(state, '院000003', '院000002') AS BLOB) WHERE rowid = {BAD}"
VERIFY = ("audit", "verify", "--all", "--key")


@dataclass
class Region:
    """A home with the publishers' stores, that of the hub alone, and files with public keys."""

    home: Home
    hub: Home
    keys: Path
    office: Path


def sealed_twice(home: Home, folder: Path, publisher: str) -> None:
    """Import and seal, 9 records; then import and seal again, 19 in all."""
    imported(home, profile(folder), many(folder, 8), publisher)
    imported(home, profile(folder), many(folder, 8, phone="2"), publisher, as_of=JUNE)
    sealed_now(home, publisher)


def altered(home: Home, publisher: str, sql: str) -> None:
    """Alter a store behind everybody's back."""
    with sqlite3.connect(home.store_file(publisher)) as file:
        file.execute(sql)
    file.close()


def without(kafka: Broker, *gone: str) -> None:
    """Delete topics, and wait until they are gone."""
    with administrating(kafka) as admin:
        admin.delete_topics(list(gone))
        eventually(lambda: not set(gone) & set(admin.list_topics()))


def a_hub(folder: Path, home: Home, *publishers: str, **settings: str) -> Home:
    """A home of the hub alone, which knows the public keys of publishers, and signs."""
    made = Home.create(folder / "hub", home.settings.publishers, False)
    shutil.copy(home.folder / "yrd.toml", made.folder / "yrd.toml")
    with (made.folder / "yrd.toml").open("a") as file:
        file.writelines(f'{name} = "{value}"\n' for name, value in settings.items())
    for code in publishers:
        shutil.copy(sealing.public_key_file(home, code), sealing.public_key_file(made, code))
    sealing.create_key(made, "hub")
    return Home(made.folder)


def keys_of(home: Home, *publishers: str) -> Path:
    path = home.folder.parent / f"{'-'.join(publishers)}.keys"
    path.write_text("".join(sealing.public_key_file(home, code).read_text("utf-8") for code in publishers), "utf-8")
    return path


@pytest.fixture(scope="module")
def spoiled(tmp_path_factory: pytest.TempPathFactory, kafka: Broker) -> Iterator[Region]:
    """The log of 00 is whole and was sent twice; the others are each spoiled in another way at the brokers."""
    folder = tmp_path_factory.mktemp("spoiled")
    home = keyed(kafka_region(folder, kafka), *ALL)
    for code in ALL[1:]:
        run(["member", "add", code, str(sealing.public_key_file(home, code)), "--home", str(home.folder)])
    for code in ALL:
        sealed_twice(home, folder, code)
    relayed(home, "00", "31", "34")
    relayed(home, "00", start=1)
    hub = a_hub(folder, home, *ALL)
    projected(hub)
    # 31: another record at a position that is taken. 32: a record altered, 33: one withheld, before they were sent.
    altered(home, "31", FLIPPED)
    relayed(home, "31", start=1)
    altered(home, "32", FLIPPED)
    altered(home, "33", f"DELETE FROM stored_events WHERE rowid = {BAD}")
    relayed(home, "32", "33")
    # 34: cut back to its first seal, after the hub has countersigned the second.
    altered(home, "34", "DELETE FROM stored_events WHERE rowid > 10")
    without(kafka, *names.topics(["34"]))
    topics.prepare(home.settings, ["34"])
    relayed(home, "34", start=1)
    yield Region(home, hub, keys_of(home, *ALL), keys_of(home, "00"))


def findings(checked: dict[str, Any]) -> list[tuple[str, int | None]]:
    return [(each["finding"]["verdict"], each["finding"]["first_bad_position"]) for each in checked["findings"]]


@pytest.mark.long
@pytest.mark.parametrize("given", ["the keys of all", "the key of the office"])
def test_whatever_is_done_to_a_log_at_the_brokers_is_found_with_its_position(
    spoiled: Region, given: str, capsys: pytest.CaptureFixture[str]
) -> None:
    key = spoiled.keys if given == "the keys of all" else spoiled.office
    whole, doubled, flipped, withheld, cut = Yrd(spoiled.hub.folder, capsys).json(*VERIFY, key, status=1)
    assert (findings(whole), whole["proved_size"], whole["seals"]) == ([], whole["records"] - 1, 2)
    assert findings(doubled) == [("altered", BAD)] * 2 and doubled["proved_size"] == 0
    assert "leaf" in doubled["findings"][0]["finding"]["found"]
    assert findings(flipped)[0] == ("altered", BAD) and flipped["proved_size"] == 0
    assert findings(withheld)[0] == ("withheld", BAD) and withheld["records"] == 19
    assert (cut["records"], cut["proved_size"]) == (10, 9)
    assert [verdict for verdict, _ in findings(cut)] == ["withheld"] and cut["findings"][0]["seal"] == 2


@pytest.mark.long
def test_each_finding_is_a_sentence_for_people(spoiled: Region, capsys: pytest.CaptureFixture[str]) -> None:
    yrd = Yrd(spoiled.hub.folder, capsys)
    assert yrd(*VERIFY, spoiled.keys) == 1 and "Traceback" not in yrd.err
    assert f"31: altered: seal 1: Different records were read at position {BAD}." in yrd.err
    assert "00: the first" in yrd.out and "34: the first 9 records" in yrd.out


def test_a_home_with_stores_is_asked_for_the_log_that_is_meant(spoiled: Region, capsys: pytest.CaptureFixture[str]) -> None:
    yrd = Yrd(spoiled.home.folder, capsys)
    at_brokers = yrd.json(*VERIFY, spoiled.keys, "--log", "kafka", status=1)
    in_stores = yrd.json(*VERIFY, spoiled.keys, "--log", "embedded", status=1)
    assert at_brokers == yrd.json(*VERIFY, spoiled.keys, status=1), "the setting log decides where nothing is said"
    assert at_brokers[0] == in_stores[0], "a whole log comes to the same"
    assert [len(c["findings"]) for c in in_stores][3:] == [2, 0], "of 34 nothing but its own store is known there"
    assert 'log is "post"' in yrd.failure(*VERIFY, spoiled.keys, "--log", "post")


def test_brokers_that_do_not_answer_are_one_sentence(
    spoiled: Region, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    (port,) = free_ports(1)
    monkeypatch.setenv("YRD_KAFKA_BOOTSTRAP", f"127.0.0.1:{port}")
    monkeypatch.setenv("YRD_KAFKA_WAIT_S", "1")
    assert f"Kafka at 127.0.0.1:{port} does not answer" in Yrd(spoiled.hub.folder, capsys).failure(*VERIFY, spoiled.keys)


@pytest.mark.long
def test_what_is_no_part_of_a_whole_log_is_said(tmp_path: Path, kafka: Broker, capsys: pytest.CaptureFixture[str]) -> None:
    home = keyed(kafka_region(tmp_path, kafka, seal_hash="sm3"), "31")
    sealed_twice(home, tmp_path, "31")
    relayed(home)
    # The hub seals with another hash than the publisher: the topics are read once more.
    hub = a_hub(tmp_path, Home(home.folder), "31")
    text = (hub.folder / "yrd.toml").read_text("utf-8")
    (hub.folder / "yrd.toml").write_text(text.replace("sm3", "sha-256"), "utf-8")
    yrd, key = Yrd(hub.folder, capsys), keys_of(home, "31")
    whole = {"publisher": "31", "records": 20, "seals": 2, "proved_size": 19, "proved_position": 19, "findings": []}
    assert [c for c in yrd.json(*VERIFY, key) if c["records"]] == [whole]

    (record, *_) = on_topic(kafka, "yrd.31.supply")
    put(kafka, [record], value=b"noise")
    put(kafka, [record], headers=[])
    assert [c for c in yrd.json(*VERIFY, key) if c["records"]] == [whole]
    assert yrd(*VERIFY, key) == 0
    assert "31: 2 records were left out, the first at offset" in yrd.err

    assert checked_while_sending(yrd, key, record, kafka) == 0

    imported(home, profile(tmp_path), many(tmp_path, 2), "32")
    relayed(home, "32")
    assert yrd(*VERIFY, key) == 1 and "32: of 3 records nothing is proved; no seal holds." in yrd.out


@pytest.mark.long
def test_a_topic_is_missed_where_a_seal_counts_records_of_it(
    tmp_path: Path, kafka: Broker, capsys: pytest.CaptureFixture[str]
) -> None:
    home = keyed(kafka_region(tmp_path, kafka), "31")
    sealed_twice(home, tmp_path, "31")
    relayed(home)
    hub = a_hub(tmp_path, Home(home.folder), "31")
    yrd, key = Yrd(hub.folder, capsys), keys_of(home, "31")

    # As after a release that knows more kinds than the one that made the topics.
    without(kafka, "yrd.31.grant", "yrd.32.standard")
    assert yrd(*VERIFY, key) == 0
    assert "Not made yet, and no seal counts records of it: yrd.31.grant and 1 more; `yrd kafka init`" in yrd.err

    without(kafka, "yrd.31.batch", "yrd.33.supply", "yrd.33.seal")
    found = {c["publisher"]: findings(c) for c in yrd.json(*VERIFY, key, status=1)}
    assert {code: each[:1] for code, each in found.items() if each} == {"31": [("withheld", None)], "33": [("withheld", None)]}
    assert yrd(*VERIFY, key) == 1
    assert "there is no topic yrd.31.batch that this account may see; see `yrd kafka acl`" in yrd.err
    assert "there is no topic yrd.33.seal that" in yrd.err
    assert "of it: yrd.31.grant and 2 more;" in yrd.err


def checked_while_sending(yrd: Yrd, key: Path, record: Any, kafka: Broker) -> int:
    """The status of a check that has to come to its end while a record is sent again and again."""
    stop, deadline = threading.Event(), time.monotonic() + PATIENCE_S

    def sending() -> None:
        producer = KafkaProducer(bootstrap_servers=kafka.bootstrap)
        while not stop.is_set() and time.monotonic() < deadline:
            producer.send(record.topic, record.value, record.key, record.headers).get(PATIENCE_S)
        producer.close()

    sender = threading.Thread(target=sending)
    sender.start()
    status = yrd(*VERIFY, key)
    assert time.monotonic() < deadline, "it went on for as long as something came"
    stop.set()
    sender.join()
    return status


@pytest.mark.long
def test_only_the_logs_of_listed_members_are_checked(tmp_path: Path, kafka: Broker, capsys: pytest.CaptureFixture[str]) -> None:
    home = keyed(kafka_region(tmp_path, kafka), "00", "31")
    for code in ("31", "32"):
        imported(home, profile(tmp_path), many(tmp_path, 3), code)
    assert Yrd(home.folder, capsys)("member", "add", "31", sealing.public_key_file(home, "31")) == 0
    sealed_now(home, "00")
    relayed(home, "00", "31", "32")
    key = keys_of(home, "00")
    hub = a_hub(tmp_path, home, office_key=key.read_text("utf-8").strip())
    yrd = Yrd(hub.folder, capsys)
    found = yrd.json(*VERIFY, key)
    assert [(c["publisher"], c["proved_size"], c["findings"]) for c in found] == [("00", 1, []), ("31", 4, [])]
    assert yrd(*VERIFY, key) == 0
    assert "Not read, since no listed member has them: yrd.32.batch, yrd.32.supply." in " ".join(yrd.err.split())
    (record, *_) = on_topic(kafka, "yrd.32.supply")
    assert checked_while_sending(yrd, key, record, kafka) == 0
