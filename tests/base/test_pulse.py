"""The pulse: a follower that stops moving says so, once, and says when it goes on; metrics tell the same."""

import urllib.request
from pathlib import Path

import pytest

from connectors.base import pulse
from connectors.base.pulse import Pulse
from connectors.home.settings import Settings
from connectors.hub import metrics
from connectors.kafka.relay import Standing
from tests.support.dumps_for_tests import following, imported, many, profile, region
from tests.support.processes import free_ports
from tests.support.waiting import PATIENCE_S

HERE = ("yrd.31.supply", 0)


class Clock:
    """A clock that a test moves."""

    def __init__(self) -> None:
        self.now = 1000.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    made = Clock()
    monkeypatch.setattr(pulse, "time", made)
    return made


def test_a_partition_that_stands_still_with_records_before_it_is_told_once(clock: Clock) -> None:
    told: list[str] = []
    beat = Pulse(told.append, stalled_after_s=60)
    for _ in range(5):
        beat.measured({HERE: 10}, {HERE: 4})
        clock.now += 30
    assert len(told) == 1 and "yrd.31.supply partition 0 stands still at offset 4 with 6 records before it" in told[0]
    assert beat.trouble and beat.lags == {HERE: 6}
    beat.measured({HERE: 10}, {HERE: 10})
    assert told[1:] == ["Following goes on."] and beat.trouble == ""


def test_one_that_moves_or_has_nothing_before_it_is_alive(clock: Clock) -> None:
    told: list[str] = []
    beat = Pulse(told.append, stalled_after_s=60)
    for place in range(5):
        beat.measured({HERE: 100, ("yrd.33.supply", 0): 7}, {HERE: place, ("yrd.33.supply", 0): 7})
        clock.now += 50
    assert told == []


def test_it_is_measured_about_once_a_second(clock: Clock) -> None:
    beat = Pulse(lambda _: None, stalled_after_s=60)
    assert beat.due()
    beat.measured({}, {})
    assert not beat.due()
    clock.now += 1.5
    assert beat.due()


def scraped(port: int) -> dict[str, float]:
    """Metric name with labels -> value."""
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=PATIENCE_S) as answer:
        lines = answer.read().decode().splitlines()
    return {name: float(value) for name, _, value in (line.rpartition(" ") for line in lines if not line.startswith("#"))}


def test_metrics_say_what_the_pulse_says() -> None:
    (port,) = free_ports(1)
    beat = Pulse(lambda _: None, stalled_after_s=60)
    beat.moved(3)
    beat.measured({HERE: 10}, {HERE: 4})
    beat.hindered("Kafka does not answer.")
    with metrics.served(Settings(metrics_port=port), lambda: metrics.of_projector(beat)):
        found = scraped(port)
    assert found["yrd_projected_events_total"] == 3 and found["yrd_hindered"] == 1
    assert found['yrd_lag_records{partition="0",topic="yrd.31.supply"}'] == 6
    assert found["yrd_moved_timestamp_seconds"] == pytest.approx(beat.moved_at.timestamp())


def test_metrics_of_a_relay_are_its_standing() -> None:
    (port,) = free_ports(1)
    standing = Standing(sent=12, acknowledged=9, events=12)
    with metrics.served(Settings(metrics_port=port), lambda: metrics.of_relay("33", standing)):
        found = scraped(port)
        standing.acknowledged = 12
        later = scraped(port)
    assert found['yrd_relay_acknowledged_position{publisher="33"}'] == 9
    assert later['yrd_relay_acknowledged_position{publisher="33"}'] == 12
    assert found['yrd_relayed_events_total{publisher="33"}'] == 12 and found['yrd_hindered{publisher="33"}'] == 0


def test_a_port_that_is_taken_is_a_sentence_and_none_is_no_server() -> None:
    (port,) = free_ports(1)
    settings = Settings(metrics_port=port)
    with metrics.served(settings, tuple), pytest.raises(OSError, match="in use"), metrics.served(settings, tuple):
        pass
    with metrics.served(Settings(), tuple):
        pass


def test_a_follower_serves_metrics_by_setting(tmp_path: Path) -> None:
    (port,) = free_ports(1)
    home = region(tmp_path, metrics_port=port)
    imported(home, profile(tmp_path), many(tmp_path, 20))
    with following(home):
        found = scraped(port)
    assert found["yrd_hindered"] == 0 and "yrd_projected_events_total" in found
