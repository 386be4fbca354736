"""Who may write what: accounts, permissions and TLS on a real broker; and a projector that does not rely on them."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from connectors.home.folder import Home
from connectors.home.settings import SettingError
from connectors.kafka import permissions, topics
from connectors.kafka.connecting import KafkaRefused
from repository.store.log import LogUnavailable
from tests.support.broker import Broker
from tests.support.dumps_for_tests import Yrd, command, imported, many, profile, projected
from tests.support.kafka_region import embedded_digest, kafka_region, on_topic, relayed, with_settings

PASSWORD = "only-for-tests"


def prepared(folder: Path, kafka: Broker) -> Home:
    """A region with topics, permissions and accounts for all, and events of two publishers."""
    home = kafka_region(folder, kafka)
    permissions.apply(home.settings, home.settings.publishers)
    for name in ("publisher-31", "publisher-33", "hub", "stranger"):
        kafka.user(name, PASSWORD)
    (folder / "password").write_text(f"{PASSWORD}\n", "utf-8")
    source = profile(folder)
    for publisher in ("31", "33"):
        imported(home, source, many(folder, 20), publisher)
    return home


def as_account(home: Home, name: str, kafka: Broker, tls: bool = False, **changed: str | int) -> Home:
    """The same home under an account, over SASL alone or over TLS."""
    given: dict[str, Any] = {
        "kafka_wait_s": 60,
        "kafka_bootstrap": kafka.tls_bootstrap if tls else kafka.sasl_bootstrap,
        "kafka_security": "SASL_SSL" if tls else "SASL_PLAINTEXT",
        "kafka_username": name,
        "kafka_password_file": str(home.folder.parent / "password"),
        "kafka_ca_file": str(kafka.authority) if tls else "",
    } | changed  # fmt: skip
    return with_settings(home, **given)


@pytest.mark.parametrize("tls", [False, True], ids=["SASL", "TLS"])
@pytest.mark.parametrize("client", ["kafka-python", pytest.param("librdkafka", marks=pytest.mark.long)])
def test_each_account_does_its_own_work(tmp_path: Path, kafka: Broker, tls: bool, client: str) -> None:
    home = prepared(tmp_path, kafka)
    for publisher in ("31", "33"):
        assert relayed(as_account(home, f"publisher-{publisher}", kafka, tls), publisher).acknowledged == 21
    done = projected(as_account(home, "hub", kafka, tls, kafka_client=client))
    assert (done["events"], done["quarantined"], done["digest"]) == (42, 0, embedded_digest(home))


@pytest.mark.parametrize(("account", "publisher"), [("publisher-31", "33"), ("hub", "31"), ("stranger", "31")])
def test_no_account_writes_to_anothers_topics(tmp_path: Path, kafka: Broker, account: str, publisher: str) -> None:
    home = prepared(tmp_path, kafka)
    with pytest.raises(KafkaRefused) as refusal:
        relayed(as_account(home, account, kafka), publisher)
    assert "does not let" in str(refusal.value) or "no topic" in str(refusal.value)
    assert on_topic(kafka, f"yrd.{publisher}.supply") == []


def test_a_publisher_does_not_read_and_the_hub_makes_no_topics(tmp_path: Path, kafka: Broker) -> None:
    home = prepared(tmp_path, kafka)
    relayed(as_account(home, "publisher-31", kafka), "31")
    for client in ("kafka-python", "librdkafka"):
        with pytest.raises(KafkaRefused, match="does not let publisher-31 do this"):
            projected(as_account(home, "publisher-31", kafka, kafka_client=client))
    wider = replace(as_account(home, "hub", kafka).settings, kafka_partitions=9)
    with pytest.raises(KafkaRefused, match="does not let hub do this"):
        topics.prepare(wider, ["31"])


def test_an_account_that_sees_no_topics_is_told_so(tmp_path: Path, kafka: Broker) -> None:
    home = as_account(prepared(tmp_path, kafka), "stranger", kafka)
    with pytest.raises(
        LogUnavailable, match=r"shows no topic of 00, 31, 32, 33, 34; make them with `yrd kafka init`, or see whether"
    ):
        projected(home)


@pytest.mark.long
def test_a_wrong_password_is_a_sentence(tmp_path: Path, kafka: Broker) -> None:
    home = as_account(prepared(tmp_path, kafka), "publisher-31", kafka)
    (tmp_path / "password").write_text("another", "utf-8")
    for arguments in (("relay", "--publisher", "31"), ("project",), ("relay", "--publisher", "31", "--follow")):
        failed = command(home, *arguments)
        assert failed.returncode == 1 and "Traceback" not in failed.stderr
        assert "does not let publisher-31 do this" in failed.stderr.splitlines()[-1]
        assert PASSWORD not in failed.stderr and "another" not in failed.stderr


@pytest.mark.long
def test_a_broker_that_nobody_vouches_for_is_not_talked_to(tmp_path: Path, kafka: Broker) -> None:
    home = as_account(prepared(tmp_path, kafka), "publisher-31", kafka, tls=True, kafka_ca_file="")
    failed = command(home, "relay", "--publisher", "31")
    assert failed.returncode == 1 and failed.stderr.count("\n") == 1 and "certificate verify failed" in failed.stderr


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({}, r"kafka_username is not set; set YRD_KAFKA_USERNAME"),
        ({"kafka_username": "hub"}, r'kafka_password_file is "", and there is no such file'),
        ({"kafka_username": "hub", "kafka_password_file": "/nowhere"}, r'is "/nowhere", and there is no such file'),
    ],
)
def test_an_account_half_set_is_a_sentence(tmp_path: Path, settings: dict[str, Any], sentence: str) -> None:
    home = Home.create(tmp_path / "home", ("31",), False)
    with pytest.raises(SettingError, match=sentence):
        topics.prepare(replace(home.settings, **settings), ["31"])


def test_the_permissions_are_printed_as_kafkas_own_commands(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    home = Home.create(tmp_path / "home", ("31", "33"), False)
    yrd = Yrd(home.folder, capsys)
    assert yrd("kafka", "acl") == 0
    lines = yrd.out.splitlines()
    assert len(lines) == 9 and all(line.startswith("kafka-acls.sh --bootstrap-server 127.0.0.1:9092 --add ") for line in lines)
    writing = [line for line in lines if "--operation Write" in line]
    assert [line.split("--topic ")[1] for line in writing] == [
        "yrd.31. --resource-pattern-type prefixed",
        "yrd.33. --resource-pattern-type prefixed",
    ]
    assert [rule["principal"] for rule in yrd.json("kafka", "acl") if rule["operation"] == "READ"] == ["User:hub"]
