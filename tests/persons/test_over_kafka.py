"""Persons over Kafka: nothing in clear in the log's segments, and an erasure that reaches the hub by its topic."""

import shutil
from pathlib import Path

import pytest

from connectors.home.folder import Home
from connectors.home.regional_key import tokeniser
from connectors.hub import hub
from connectors.kafka import topics
from connectors.persons.subject_rights import take_measure
from repository.store.log import LogUnavailable
from tests.persons.test_leaks import BASIS, CANARY, planted
from tests.support.broker import Broker
from tests.support.dumps_for_tests import JUNE, asked, projected
from tests.support.kafka_region import embedded_digest, on_topic, relayed, settings_for, with_settings, without_topics
from tests.support.leaks import holds, raw_files
from tests.support.persons_for_tests import EVERYBODY, REED, ROSE, home_of_persons, insured, token_of
from tests.support.waiting import eventually


def persons_region(folder: Path, kafka: Broker) -> Home:
    """A region over Kafka in which persons were recorded and relayed."""
    without_topics(kafka)
    home = home_of_persons(folder, **settings_for(kafka))
    topics.prepare(home.settings, home.settings.publishers)
    insured(home, folder, *(each.row(CANARY) for each in EVERYBODY))
    insured(home, folder, ROSE.row(CANARY, "310104"), as_of=JUNE)
    relayed(home)
    return home


def tokens_shown(home: Home) -> set[str]:
    return {row["t"] for row in asked(home, "SELECT DISTINCT subject_token AS t FROM service_object_history") if row["t"]}


@pytest.mark.long
def test_nothing_personal_is_in_clear_in_the_logs_segments(tmp_path: Path, kafka: Broker) -> None:
    home = persons_region(tmp_path, kafka)
    segments = {path: content for path, content in raw_files(kafka.log_dir).items() if "yrd.31." in str(path)}
    eventually(lambda: any(holds(path.read_bytes(), CANARY) for path in segments))
    for text in planted(*EVERYBODY):
        assert not [path for path in segments if holds(path.read_bytes(), text)], text
    records = on_topic(kafka, "yrd.31.service-object")
    assert any(holds(r.value, CANARY) for r in records)
    for text in planted(*EVERYBODY):
        assert not any(holds(part, text) for r in records for part in (r.value, r.key, *dict(r.headers).values()))
    assert projected(home)["digest"] == embedded_digest(home)


@pytest.mark.long
def test_an_erasure_reaches_the_hub_and_an_old_base_brings_nothing_back(tmp_path: Path, kafka: Broker) -> None:
    home = persons_region(tmp_path, kafka)
    before = projected(home)
    rose, reed = token_of(home, ROSE), token_of(home, REED)
    assert {rose, reed} <= tokens_shown(home)
    shutil.copytree(home.folder / "base", tmp_path / "old")
    take_measure(home, "31", rose, "erasure", True, BASIS, tokeniser(home))
    assert rose in tokens_shown(home)
    relayed(home)
    after = projected(home)
    assert after["digest"] == before["digest"]
    assert rose not in tokens_shown(home) and reed in tokens_shown(home)
    shutil.rmtree(home.folder / "base")
    shutil.copytree(tmp_path / "old", home.folder / "base")
    assert rose not in tokens_shown(home) and reed in tokens_shown(home)
    projected(home)
    assert hub.rebuild(home, False, lambda _: None).new_digest == before["digest"]
    assert rose not in tokens_shown(home)


@pytest.mark.long
def test_what_may_have_been_erased_is_not_shown_while_the_brokers_are_silent(tmp_path: Path, kafka: Broker) -> None:
    home = persons_region(tmp_path, kafka)
    projected(home)
    impatient = with_settings(home, kafka_wait_s=1)
    kafka.stop()
    try:
        with pytest.raises(LogUnavailable, match="does not answer"):
            asked(impatient, "SELECT count(*) AS n FROM service_object_history")
    finally:
        kafka.start()
    assert tokens_shown(with_settings(home, kafka_wait_s=60))
