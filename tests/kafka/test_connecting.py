"""Clients that find no broker: who follows Kafka tries again and again, so nothing of them may be left."""

import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from connectors.home.settings import Settings
from connectors.kafka.connecting import admin
from connectors.kafka.reading import KafkaPythonReader
from repository.store.log import LogUnavailable
from tests.support.dumps_for_tests import region


def administrated(settings: Settings) -> None:
    with admin(settings):
        pass


@pytest.mark.parametrize("ask", [administrated, KafkaPythonReader])
def test_a_client_that_finds_no_broker_leaves_no_thread(tmp_path: Path, ask: Callable[[Settings], object]) -> None:
    settings = replace(region(tmp_path).settings, kafka_bootstrap="127.0.0.1:1", kafka_security="PLAINTEXT", kafka_wait_s=1)
    before = threading.active_count()
    for _ in range(2):
        with pytest.raises(LogUnavailable, match="does not answer"):
            ask(settings)
    assert threading.active_count() == before
