"""Relay, projector and broker killed at random moments: in the end every event is there, once, and the digest is the embedded one."""

import signal
import subprocess
import time
from pathlib import Path
from random import Random

from connectors.home.folder import Home
from tests.support.broker import Broker
from tests.support.dumps_for_tests import asked, begun, dump, imported, profile, projected
from tests.support.kafka_region import embedded_digest, kafka_region, on_topic, relayed, versions_in_order
from tests.support.suites import many_times

EVENTS = 400
"""Facts that each round adds, so that there is always something under way to be killed in."""
PUBLISHERS = ("31", "33")
BROKER_EVERY = 12


def slice_of(folder: Path, number: int) -> Path:
    """A dump of homes that no other round has, and of one that every round changes."""
    rows = [(f"院{number:03}-{i:05}", "1", i % 300) for i in range(EVENTS - 1)]
    return dump(folder, [*rows, ("院", f"{number}", 1)], name=f"{number}.csv")


def killed(processes: list[subprocess.Popen[str]]) -> None:
    for process in processes:
        process.send_signal(signal.SIGKILL)
    for process in processes:
        process.communicate()


def of_one_round(home: Home, folder: Path, number: int, kafka: Broker, random: Random) -> None:
    """Both followers started, new facts imported meanwhile, and everything killed at some moment."""
    publisher = PUBLISHERS[number % 2]
    processes = [begun(home, "relay", "--publisher", publisher, "--follow"), begun(home, "project", "--follow")]
    try:
        imported(home, profile(folder), slice_of(folder, number), publisher)
        time.sleep(random.uniform(0.2, 1.6))
        if number % BROKER_EVERY == BROKER_EVERY - 1:
            kafka.kill()
            time.sleep(random.uniform(0, 1))
    finally:
        killed(processes)
        kafka.start()


@many_times("rounds", 50, limit_s=1500)
def test_kills_lose_and_repeat_nothing(tmp_path: Path, kafka: Broker, rounds: int) -> None:
    home, random = kafka_region(tmp_path, kafka, batch_records=100), Random(2026)
    for number in range(rounds):
        of_one_round(home, tmp_path, number, kafka, random)
    relayed(home, *PUBLISHERS)
    for code in PUBLISHERS:
        records = [record for kind in ("supply", "batch") for record in on_topic(kafka, f"yrd.{code}.{kind}")]
        positions = {int(dict(record.headers)["position"]) for record in records}
        with home.store(code) as store:
            assert positions == set(range(1, store.newest_position() + 1))
        assert versions_in_order(records)
    done = projected(home)
    (counted,) = asked(
        home,
        "SELECT count(*) AS events, count(DISTINCT event_id) AS different, "
        "(SELECT count(*) FROM quarantine) AS quarantined, (SELECT count(*) FROM gaps) AS gaps FROM supply_history",
    )
    assert counted == {"events": rounds * EVENTS, "different": rounds * EVENTS, "quarantined": 0, "gaps": 0}
    assert done["digest"] == embedded_digest(home)
