"""Proof over Kafka: seals arrive after what they cover, are judged from the topics alone, and events are proved at the hub."""

import shutil
from pathlib import Path
from typing import Any

import pytest

from connectors.audit.proving import prove
from connectors.home.folder import Home
from connectors.hub import hub
from connectors.proof import sealing
from connectors.publishing.reporting import report_lines
from tests.support.broker import Broker
from tests.support.dumps_for_tests import JUNE, Yrd, asked, following, imported, many, profile, projected, publishing
from tests.support.kafka_region import kafka_region, on_topic, put, relayed
from tests.support.sealed_logs import keyed, keys_file, sealed_now
from tests.support.waiting import eventually


def sealed_region(folder: Path, kafka: Broker) -> Home:
    """A region whose publisher 31 has imported and sealed twice, and relayed it all."""
    home, source = keyed(kafka_region(folder, kafka), "31", "hub"), profile(folder)
    imported(home, source, many(folder, 30))
    sealed_now(home)
    imported(home, source, many(folder, 30, phone="2"), as_of=JUNE)
    sealed_now(home)
    relayed(home)
    return home


def seals(home: Home) -> list[dict[str, Any]]:
    found: Any = hub.perform(home, "status")
    return list(found["seals"])


def a_hub(folder: Path, home: Home) -> Home:
    """A home of the hub alone: no store, the public key of the publisher, and the hub's own key."""
    made = Home.create(folder / "hub", home.settings.publishers, False)
    shutil.copy(home.folder / "yrd.toml", made.folder / "yrd.toml")
    shutil.copy(sealing.public_key_file(home, "31"), sealing.public_key_file(made, "31"))
    sealing.create_key(made, "hub")
    return Home(made.folder)


def test_seals_are_judged_from_the_topics_alone(tmp_path: Path, kafka: Broker) -> None:
    home = sealed_region(tmp_path, kafka)
    theirs = a_hub(tmp_path, home)
    projected(theirs)
    (seal,) = seals(theirs)
    assert (seal["publisher"], seal["verdict"], seal["tree_size"], seal["records_after"]) == ("31", "accepted", 63, 1)
    relayed(home, start=1)
    projected(theirs)
    assert [s["verdict"] for s in seals(theirs)] == ["accepted"]
    assert hub.rebuild(theirs, False, lambda _: None).switched
    assert [s["verdict"] for s in seals(theirs)] == ["accepted"]


@pytest.mark.long
def test_a_seal_stands_on_its_topic_after_all_that_it_covers(tmp_path: Path, kafka: Broker) -> None:
    sealed_region(tmp_path, kafka)
    covered = [r for kind in ("supply", "batch") for r in on_topic(kafka, f"yrd.31.{kind}")]
    found = on_topic(kafka, "yrd.31.seal")
    assert len(found) == 2
    for seal in found:
        at = int(dict(seal.headers)["position"])
        before = [r for r in covered if int(dict(r.headers)["position"]) < at]
        assert before and all(r.timestamp <= seal.timestamp for r in before)


@pytest.mark.long
def test_a_following_relay_seals_what_is_due(tmp_path: Path, kafka: Broker) -> None:
    home = keyed(kafka_region(tmp_path, kafka, seal_every_s=1), "31")
    with following(home, "relay", "--publisher", "31", "--follow"):
        with publishing(home, "31") as persons:
            list(report_lines(persons, "supply", ['{"business_key": "one"}'], "live"))
        eventually(lambda: len(on_topic(kafka, "yrd.31.seal")) == 1)


@pytest.mark.long
def test_another_record_in_a_sealed_ones_place_is_found(tmp_path: Path, kafka: Broker) -> None:
    home = sealed_region(tmp_path, kafka)
    theirs = a_hub(tmp_path, home)
    projected(theirs)
    first, second = on_topic(kafka, "yrd.31.supply")[:2]
    position = dict(first.headers)["position"]
    put(kafka, [first], headers=[*second.headers[:2], ("position", position)], value=second.value, key=second.key)
    projected(theirs)
    (seal,) = seals(theirs)
    assert seal["verdict"] == "altered" and seal["first_bad_position"] == int(position)


@pytest.mark.long
def test_an_event_is_proved_at_a_hub_that_has_no_store(tmp_path: Path, kafka: Broker, capsys: pytest.CaptureFixture[str]) -> None:
    home = sealed_region(tmp_path, kafka)
    theirs = a_hub(tmp_path, home)
    projected(theirs)
    (row,) = asked(theirs, "SELECT event_id::VARCHAR AS e FROM supply_history ORDER BY position LIMIT 1")
    (tmp_path / "proof.json").write_text(prove(theirs, row["e"]), "utf-8")
    keys = tmp_path / "keys"
    keys.write_text(keys_file(home, "31").read_text("utf-8") + sealing.public_key_file(theirs, "hub").read_text("utf-8"), "utf-8")
    yrd = Yrd(theirs.folder, capsys)
    assert yrd("audit", "verify", tmp_path / "proof.json", "--key", keys, home=False) == 0
    assert f"Proved: event {row['e']}" in yrd.out and "saw the whole log agree with it" in yrd.out


@pytest.mark.long
def test_only_members_that_the_office_lists_are_read(tmp_path: Path, kafka: Broker, capsys: pytest.CaptureFixture[str]) -> None:
    home = keyed(sealed_region(tmp_path, kafka), "00")
    imported(home, profile(tmp_path), many(tmp_path, 5), "33")
    relayed(home, "33")
    theirs = a_hub(tmp_path, home)
    key = sealing.public_key_file(home, "00").read_text("utf-8").strip()
    with (theirs.folder / "yrd.toml").open("a", encoding="utf-8") as settings:
        settings.write(f'office_key = "{key}"\n')
    theirs = Home(theirs.folder)
    assert projected(theirs)["events"] == 0
    status: Any = hub.perform(theirs, "status")
    assert {"yrd.31.supply", "yrd.33.supply"} <= set(status["unlisted_topics"])
    assert Yrd(home.folder, capsys)("member", "add", "31", sealing.public_key_file(home, "31")) == 0
    relayed(home, "00")
    assert projected(theirs)["events"] == 65
    status = hub.perform(theirs, "status")
    assert "yrd.33.supply" in status["unlisted_topics"] and "yrd.31.supply" not in status["unlisted_topics"]
    assert {s["publisher"]: s["verdict"] for s in status["seals"]} == {"31": "accepted"}
