"""Metrics of the followers for Prometheus: what the pulse of a projector and the standing of a relay say, at each scrape.

The library is the extra `metrics`: it is loaded where metrics are served, and nowhere else.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

from connectors.home.settings import Settings

if TYPE_CHECKING:
    from prometheus_client.core import Metric
    from prometheus_client.registry import Collector

    from connectors.base.pulse import Pulse
    from connectors.kafka.relay import Standing

Collected = Callable[[], "Iterable[Metric]"]


@contextmanager
def served(settings: Settings, collect: Collected) -> Iterator[None]:
    """Serve metrics on metrics_port, where one is set. Raises OSError where the port is taken."""
    if not settings.metrics_port:
        yield
        return
    from prometheus_client import CollectorRegistry, start_http_server

    metrics = CollectorRegistry()
    metrics.register(_collector(collect))
    server, thread = start_http_server(settings.metrics_port, settings.metrics_address, metrics)
    try:
        yield
    finally:
        server.shutdown()
        server.server_close()
        with suppress(RuntimeError):
            thread.join(5)


def _collector(collect: Collected) -> Collector:
    """A function as a collector."""
    from prometheus_client.registry import Collector

    class Collects(Collector):
        def collect(self) -> Iterable[Metric]:
            return collect()

    return Collects()


def of_projector(pulse: Pulse) -> Iterable[Metric]:
    """Metrics of a following projector."""
    from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily

    yield CounterMetricFamily("yrd_projected_events", "Events applied by this follower.", value=pulse.events)
    hindered = "1 while something is in the way of following, else 0."
    yield GaugeMetricFamily("yrd_hindered", hindered, value=int(bool(pulse.trouble)))
    moved = GaugeMetricFamily("yrd_moved_timestamp_seconds", "When the last event was applied, in seconds since 1970.")
    moved.add_metric([], pulse.moved_at.timestamp())
    yield moved
    lag = GaugeMetricFamily("yrd_lag_records", "Records before the base in a partition.", labels=("topic", "partition"))
    for (topic, partition), records in list(pulse.lags.items()):
        lag.add_metric([topic, str(partition)], records)
    yield lag


def of_relay(publisher: str, standing: Standing) -> Iterable[Metric]:
    """Metrics of a following relay."""
    from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily

    label = [publisher]
    sent = CounterMetricFamily("yrd_relayed_events", "Events sent by this relay.", labels=("publisher",))
    sent.add_metric(label, standing.events)
    yield sent
    places = {
        "yrd_relay_sent_position": ("Position of the last event sent.", standing.sent),
        "yrd_relay_acknowledged_position": ("Position up to which everything is acknowledged.", standing.acknowledged),
        "yrd_hindered": ("1 while something is in the way of relaying, else 0.", int(bool(standing.trouble))),
    }
    for name, (meaning, value) in places.items():
        gauge = GaugeMetricFamily(name, meaning, labels=("publisher",))
        gauge.add_metric(label, value)
        yield gauge
