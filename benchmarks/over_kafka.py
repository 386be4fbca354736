"""`make bench-kafka`: relay, projector and freshness over a real broker, each against a bare client loop on the same bytes.

Writes benchmarks/RESULTS-KAFKA.md. The broker is that of the tests, on this machine beside the work, as the targets have it.
"""

import argparse
import resource
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from kafka import KafkaConsumer, KafkaProducer, TopicPartition

from benchmarks.scenarios import BATCH, CODE, _empty, first_import, home_of
from benchmarks.timing import Timed, Work, in_a_process, machine, report_one
from connectors.collecting import collect_rarely
from connectors.home.folder import Home
from connectors.hub import hub
from connectors.hub.owner import serving
from connectors.kafka import topics
from connectors.kafka.connecting import connection
from connectors.kafka.framing import Framing
from connectors.kafka.log import KafkaLog
from connectors.kafka.reading import FETCH_ALL_BYTES, FETCH_BYTES
from connectors.kafka.registry import LockedNumbers
from connectors.kafka.relay import BATCH_BYTES, LINGER_MS, Relay
from connectors.persons.recording import Persons, persons
from connectors.publishing.reporting import report_lines
from projections.projector import Projector
from projections.reading_ahead import read_ahead
from tests.support.broker import broker

RESULTS = Path(__file__).with_name("RESULTS-KAFKA.md")
FRESH = "34"
SUPPLY = f"yrd.{CODE}.supply"
CHUNK = 2_000
PER_SECOND = 1_000
JVM = ("-Xms512m", "-Xmx1g")
"""Of the broker: as it comes, not as the tests have it for quick starts."""
LITTLE_BATCH, LITTLE_MIB = 5_000, 96
LOOK_EVERY_S = 0.02
"""A query costs the projector's process some milliseconds; looking more often would time the looking."""
Said = Mapping[str, Any]


def prepared(folder: Path, size: int) -> Said:
    """A store with the events, and topics."""
    first_import(folder, size)
    topics.prepare(home_of(folder).settings, [CODE])
    return {}


# -- sending -------------------------------------------------------------------------------------------------------


def bare_produce(folder: Path, _size: int) -> Said:
    """Baseline of the relay: the same records, framed beforehand, sent in a loop by the same client with the same settings."""
    home, framing = home_of(folder), Framing(CODE, LockedNumbers().number_of)
    with home.store(CODE) as store:
        framed = [
            framing.frame(event)
            for start in range(0, store.newest_position(), CHUNK)
            for event in store.notifications(start, CHUNK)
        ]
    producer = KafkaProducer(
        acks="all", linger_ms=LINGER_MS, batch_size=BATCH_BYTES, max_request_size=1 << 22, metrics_enabled=False,
        **connection(home.settings),
    )  # fmt: skip
    started = time.perf_counter()
    for each in framed:
        producer.send(each.topic, each.value, each.key, each.headers)
    producer.flush()
    wall = time.perf_counter() - started
    producer.close()
    return {"wall_s": wall, "events": len(framed)}


def relay(folder: Path, size: int, headers: str = "short") -> Said:
    """The relay over the whole store; besides, its peak memory after a fifth of the events."""
    home = home_of(folder)
    object.__setattr__(home.settings, "kafka_headers", headers)
    collect_rarely()
    with home.store(CODE) as store:
        sender, early = Relay(store, home.settings, print), [0]
        watching = threading.Thread(target=_peak_when, args=(lambda: sender.standing.events >= size // 5, early), daemon=True)
        started = time.perf_counter()
        watching.start()
        done = sender.run(threading.Event(), False, 1)
    return {"wall_s": time.perf_counter() - started, "events": done.events, "early_mib": early[0]}


def _peak_when(reached: Callable[[], bool], peak: list[int]) -> None:
    """Put this process's peak memory in MiB so far into `peak`, once something is reached."""
    while not reached():
        time.sleep(0.05)
    peak[0] = _peak_mib()


def _peak_mib() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024


def relay_cloudevents(folder: Path, size: int) -> Said:
    """The relay with all headers of CloudEvents."""
    return relay(folder, size, "cloudevents")


# -- reading -------------------------------------------------------------------------------------------------------


def bare_poll(folder: Path, _size: int) -> Said:
    """Baseline of the projector: a poll loop of kafka-python that does nothing with the records."""
    consumer = KafkaConsumer(
        auto_offset_reset="none", isolation_level="read_committed", max_partition_fetch_bytes=FETCH_BYTES,
        fetch_max_bytes=FETCH_ALL_BYTES, metrics_enabled=False, **connection(home_of(folder).settings),
    )  # fmt: skip
    places = [TopicPartition(SUPPLY, number) for number in sorted(consumer.partitions_for_topic(SUPPLY) or ())]
    consumer.assign(places)
    for place in places:
        consumer.seek(place, 0)
    wanted, seen = sum(consumer.end_offsets(places).values()), 0
    started = time.perf_counter()
    while seen < wanted:
        seen += sum(map(len, consumer.poll(1000, BATCH).values()))
    wall = time.perf_counter() - started
    consumer.close()
    return {"wall_s": wall, "events": seen}


def _projected(folder: Path, client: str, events_only: bool = False) -> Said:
    home = home_of(folder)
    object.__setattr__(home.settings, "kafka_client", client)
    collect_rarely()
    connection_ = _empty(folder, home, f"kafka-{client}")
    projector, log, events = Projector(connection_, {CODE}), KafkaLog(home.settings, [CODE]), 0
    started = time.perf_counter()
    if events_only:
        reached: dict[Any, Any] = {}
        while records := log.read(reached, BATCH):
            events += len(records)
            reached |= {(r.topic, r.partition): _Place(r.offset + 1) for r in records}
    else:
        for batch in read_ahead(projector, log, home.settings.batch_records):
            applied = projector.apply_prepared(batch, datetime.now(UTC))
            events += applied.events + applied.duplicates
    wall = time.perf_counter() - started
    log.close()
    connection_.close()
    return {"wall_s": wall, "events": events}


def project_in_little_memory(folder: Path, size: int) -> Said:
    """From broker to committed rows with small batches and little memory for DuckDB; its peak memory after a fifth."""
    home = home_of(folder)
    object.__setattr__(home.settings, "memory_limit_mib", LITTLE_MIB)
    collect_rarely()
    connection_ = _empty(folder, home, "kafka-little")
    projector, log, events, early = Projector(connection_, {CODE}), KafkaLog(home.settings, [CODE]), 0, 0
    started = time.perf_counter()
    for batch in read_ahead(projector, log, LITTLE_BATCH):
        applied = projector.apply_prepared(batch, datetime.now(UTC))
        events += applied.events + applied.duplicates
        early = early or (_peak_mib() if events >= size // 5 else 0)
    wall = time.perf_counter() - started
    log.close()
    connection_.close()
    return {"wall_s": wall, "events": events, "early_mib": early}


class _Place:
    """As much of a checkpoint as reading needs."""

    def __init__(self, next_offset: int) -> None:
        self.next_offset = next_offset


def read_kafka_python(folder: Path, _size: int) -> Said:
    """The Kafka log alone, records in stored form, nothing done with them; kafka-python."""
    return _projected(folder, "kafka-python", events_only=True)


def read_librdkafka(folder: Path, _size: int) -> Said:
    """The same with librdkafka."""
    return _projected(folder, "librdkafka", events_only=True)


def project_kafka_python(folder: Path, _size: int) -> Said:
    """From broker to committed rows, kafka-python."""
    return _projected(folder, "kafka-python")


def project_librdkafka(folder: Path, _size: int) -> Said:
    """From broker to committed rows, librdkafka."""
    return _projected(folder, "librdkafka")


# -- freshness -----------------------------------------------------------------------------------------------------


@contextmanager
def _followers(home: Home) -> Iterator[None]:
    commands = (["relay", "--publisher", FRESH, "--follow"], ["project", "--follow", "--log", "kafka"])
    started = [
        subprocess.Popen([sys.executable, "-W", "ignore", "-m", "connectors.command_line", *each, "--home", str(home.folder)])
        for each in commands
    ]
    try:
        while not serving(home):
            time.sleep(0.1)
        yield
    finally:
        for process in started:
            process.terminate()
        for process in started:
            process.wait(60)


def freshness(folder: Path, size: int) -> Said:
    """From a report's commit to its being visible to a query, relay and projector following, at a steady rate; `size` events."""
    # A publisher of its own: the other one's topics are full.
    home = Home.create(folder / "fresh", (FRESH,), synthetic=False)
    topics.prepare(home.settings, [FRESH])
    committed: list[float] = []
    with home.store(FRESH) as store, persons(home, store) as known_persons, _followers(home):
        reporting = threading.Thread(target=_reporting, args=(known_persons, size, committed))
        reporting.start()
        seen = _watched(home, size)
        reporting.join()
    waits = sorted(seen[position] - at for position, at in enumerate(committed, 1))
    rate = len(committed) / (committed[-1] - committed[0])
    return {"p50_ms": waits[len(waits) // 2] * 1000, "p99_ms": waits[int(len(waits) * 0.99)] * 1000, "rate": rate}


def _reporting(known_persons: Persons, size: int, committed: list[float]) -> None:
    begun = time.perf_counter()
    for number in range(size):
        line = f'{{"business_key": "fresh {number}", "valid_from": "2026-01-01", "grade": "1"}}'
        list(report_lines(known_persons, "supply", [line], "live"))
        committed.append(time.perf_counter())
        time.sleep(max(0.0, begun + (number + 1) / PER_SECOND - time.perf_counter()))


def _watched(home: Home, size: int) -> dict[int, float]:
    """When each position was first visible."""
    seen: dict[int, float] = {}
    while len(seen) < size:
        newest = hub.read(home, "SELECT max(position) FROM supply_history").column(0)[0].as_py() or 0
        now = time.perf_counter()
        for position in range(len(seen) + 1, newest + 1):
            seen[position] = now
        time.sleep(LOOK_EVERY_S)
    return seen


SCENARIOS: dict[str, Work] = {
    work.__name__: work
    for work in (
        prepared, bare_produce, relay, relay_cloudevents, bare_poll, read_kafka_python, read_librdkafka,
        project_kafka_python, project_librdkafka, project_in_little_memory, freshness,
    )
}  # fmt: skip
CELLS = (
    ("baseline: bare producer loop", "bare_produce", "bare_produce", ""),
    ("relay", "relay", "bare_produce", "0.80 of the baseline"),
    ("relay, all headers of CloudEvents", "relay_cloudevents", "bare_produce", ""),
    ("baseline: bare poll loop", "bare_poll", "bare_poll", ""),
    ("Kafka log read, kafka-python", "read_kafka_python", "bare_poll", ""),
    ("Kafka log read, librdkafka", "read_librdkafka", "bare_poll", ""),
    ("broker to committed rows, kafka-python", "project_kafka_python", "bare_poll", "0.60 of the baseline; 33,000/s"),
    ("broker to committed rows, librdkafka", "project_librdkafka", "bare_poll", "80,000/s"),
)


MEMORY = (
    ("relay", "relay"),
    (f"projector with batches of {LITTLE_BATCH:,} and {LITTLE_MIB} MiB for DuckDB", "project_in_little_memory"),
)


def _memory(what: str, one: Timed) -> str:
    early, events = one.said["early_mib"], one.said["events"]
    return (
        f"- peak memory of the {what}: {early:,} MiB after a fifth of {events:,} events, {one.peak_mib:,} MiB at the end "
        f"({_rate(one):,.0f} events/s; target: under 400 MiB, flat)."
    )


def _rate(one: Timed) -> float:
    return float(one.said["events"]) / one.wall_s


def _table(found: dict[str, Timed], rows: int) -> str:
    lines = [
        "# Results over Kafka",
        "",
        f"{datetime.now(UTC):%Y-%m-%d}, {machine()}, the broker beside the work; {rows:,} supply events of 20 filled columns.",
        "Each in a process of its own, once; ratios are to the bare loop of kafka-python on the same bytes in the same run.",
        "",
        "| what | rate | ratio | target | peak memory |",
        "|---|---|---|---|---|",
    ]
    for what, name, baseline, target in CELLS:
        ratio = _rate(found[name]) / _rate(found[baseline])
        lines.append(f"| {what} | {_rate(found[name]):,.0f}/s | {ratio:.2f} | {target} | {found[name].peak_mib:,} MiB |")
    fresh = found["freshness"].said
    lines += [
        "",
        *(_memory(what, found[name]) for what, name in MEMORY),
        "",
        f"Freshness with relay and projector following, at {fresh['rate']:,.0f} events/s: p50 {fresh['p50_ms']:.0f} ms, "
        f"p99 {fresh['p99_ms']:.0f} ms (targets 150 and 500 ms).",
        "",
    ]
    return "\n".join(lines)


def main() -> None:
    """Run all scenarios beside a broker, or the one that a child process was started for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=500_000, help="events (default 500,000)")
    parser.add_argument("--fresh", type=int, default=10_000, help="events whose freshness is timed")
    parser.add_argument("--one", nargs=3, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.one:
        name, folder, size = given.one
        report_one(SCENARIOS[name], Path(folder), int(size))
        return
    with broker(JVM) as running, tempfile.TemporaryDirectory(prefix="yrd-bench-") as folder:
        beside = {"YRD_KAFKA_BOOTSTRAP": running.bootstrap, "YRD_KAFKA_SECURITY": "PLAINTEXT", "YRD_KAFKA_REPLICATION": "1"}
        sizes = dict.fromkeys(SCENARIOS, given.rows) | {"freshness": given.fresh}
        found = {name: in_a_process(name, Path(folder), size, "benchmarks.over_kafka", beside) for name, size in sizes.items()}
    text = _table(found, given.rows)
    RESULTS.write_text(text, "utf-8")
    print(text)  # noqa: T201


if __name__ == "__main__":
    main()
