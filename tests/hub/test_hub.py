"""The hub: one process owns the base, projects and answers; others ask it, whoever it is, and whether or not it is there."""

import json
import signal
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from random import Random
from threading import Event, Thread
from typing import Any

import pytest

from connectors.access.refused import ReadRefused
from connectors.home.folder import Busy, Home
from connectors.hub import hub
from connectors.hub.owner import BASE_LOCK
from connectors.publishing.reporting import report_lines
from tests.support.dumps_for_tests import (
    JUNE,
    MAY,
    asked,
    begun,
    command,
    dump,
    following,
    imported,
    many,
    profile,
    projected,
    publishing,
    region,
)
from tests.support.suites import many_times
from tests.support.waiting import PATIENCE_S, eventually


def supplies(home: Home) -> int:
    return int(asked(home, "SELECT count(*) AS n FROM supply_history")[0]["n"])


def reported(home: Home, key: str, **fields: object) -> None:
    with publishing(home) as persons:
        (answer,) = report_lines(persons, "supply", [json.dumps({"business_key": key} | fields)], "live")
    assert answer["result"] == "new", answer


@pytest.mark.long
def test_a_follower_shows_what_comes_while_imports_and_reports_go_on(tmp_path: Path) -> None:
    home, source = region(tmp_path), profile(tmp_path)
    with following(home):
        assert supplies(home) == 0
        reported(home, "a", phone="1")
        eventually(lambda: supplies(home) == 1)
        imported(home, source, many(tmp_path, 300), publisher="33")
        reported(home, "b", phone="1")
        eventually(lambda: supplies(home) == 302)
        imported(home, source, many(tmp_path, 300, phone="2"), publisher="33", as_of=JUNE)
        eventually(lambda: supplies(home) == 602)
        status = hub.perform(home, "status")
        assert [p["lag"] for p in status["partitions"] if p["topic"] in ("yrd.31", "yrd.33")] == [0, 0]  # type: ignore[attr-defined]
        assert status["entities"] == {"service_object": 0, "supply": 302, "standard": 0}
        assert (status["service_objects"], status["supplies"], status["standards"]) == (0, 302, 0)
    assert projected(home)["events"] == 0


@pytest.mark.long
def test_a_follower_sees_publishers_that_begin_after_it(tmp_path: Path) -> None:
    home = region(tmp_path)
    with following(home):
        assert not home.store_file("34").exists() or supplies(home) == 0
        with publishing(home, "34") as persons:
            assert [a["result"] for a in report_lines(persons, "supply", ['{"business_key": "k"}'], "live")] == ["new"]
        eventually(lambda: supplies(home) == 1)


@pytest.mark.long
def test_operations_go_to_the_follower(tmp_path: Path) -> None:
    home = region(tmp_path)
    imported(home, profile(tmp_path), many(tmp_path, 200))
    with following(home) as process:
        eventually(lambda: supplies(home) == 200)
        digest = projected(home)["digest"]
        done = hub.rebuild(home, False, lambda _number: None)
        assert (done.switched, done.new_digest, done.file) == (True, digest, "base-000002.duckdb")
        reported(home, "a", phone="1")
        eventually(lambda: supplies(home) == 201)
        with pytest.raises(ReadRefused, match="No held record has the number 5"):
            hub.perform(home, "quarantine_skip", number=5, reason="x")
        assert process.poll() is None


@pytest.mark.long
def test_a_second_follower_refuses_with_a_sentence(tmp_path: Path) -> None:
    home = region(tmp_path)
    with following(home) as first:
        second = command(home, "project", "--follow")
        assert second.returncode == 1
        assert second.stderr.count("\n") == 1 and f"process {first.pid}" in second.stderr
        assert "end that first" in second.stderr
        assert supplies(home) == 0


@pytest.mark.long
def test_a_reader_that_goes_wrong_leaves_the_follower_alive(tmp_path: Path) -> None:
    home = region(tmp_path, read_time_limit_s=1, read_row_limit=1000)
    reported(home, "a", phone="1")
    with following(home) as process:
        for sql in (
            "SELEC 1",
            "SELECT * FROM nowhere",
            "DROP TABLE supply_history",
            "SELECT sum(a.i * b.i) FROM range(10000000) a(i), range(1000000) b(i)",
            "SELECT * FROM range(100000)",
            "SELECT 'x'::INTEGER",
            "COPY supply_history TO '/tmp/stolen.csv'",
            "SELECT * FROM read_csv('/etc/passwd')",
        ):
            with pytest.raises(ReadRefused) as refusal:
                asked(home, sql)
            assert "\n" not in str(refusal.value)
        assert process.poll() is None and supplies(home) == 1


@pytest.mark.long
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_the_follower_cleanly(tmp_path: Path, number: signal.Signals) -> None:
    home = region(tmp_path)
    imported(home, profile(tmp_path), many(tmp_path, 50))
    with following(home) as process:
        eventually(lambda: supplies(home) == 50)
        process.send_signal(number)
        assert process.wait(PATIENCE_S) == 0
        assert not (home.folder / "hub.sock").exists()
        assert process.stderr is not None and "Traceback" not in process.stderr.read()
    assert supplies(home) == 50


@pytest.mark.long
def test_what_is_asked_of_an_ending_owner_is_answered_or_refused_at_once(tmp_path: Path) -> None:
    home = region(tmp_path)
    for _ in range(3):
        with following(home) as process, ThreadPoolExecutor(4) as pool:
            asking = [pool.submit(_status_or_refusal, home) for _ in range(12)]
            process.send_signal(signal.SIGTERM)
            assert process.wait(PATIENCE_S) == 0
            assert all(isinstance(each.result(PATIENCE_S), str) for each in asking)


def _status_or_refusal(home: Home) -> str:
    try:
        return str(hub.perform(home, "status")["digest"])
    except ReadRefused as refusal:
        return str(refusal)


@pytest.mark.long
def test_readers_beside_commits_see_whole_commits(tmp_path: Path) -> None:
    home = region(tmp_path, batch_records=200)
    source = profile(tmp_path)
    whole = """
        SELECT (SELECT count(*) FROM supply_history) AS supplies,
               (SELECT count(*) FROM batch_history) AS batches,
               (SELECT count(*) FROM supply_timeline WHERE valid_to IS NULL) AS open,
               (SELECT count(DISTINCT entity_id) FROM supply_history) AS entities,
               (SELECT coalesce(sum(next_offset - 1), 0) FROM checkpoints) AS below
    """
    stop = Event()

    def reading(_: int) -> int:
        seen, last = 0, 0
        while not stop.wait(0.01):
            (row,) = asked(home, whole)
            assert row["supplies"] + row["batches"] == row["below"], row
            assert row["open"] == row["entities"], row
            assert row["below"] >= last
            last, seen = row["below"], seen + 1
        return seen

    with following(home), ThreadPoolExecutor(16) as pool:
        readers = [pool.submit(reading, number) for number in range(16)]
        try:
            for phone, day in (("1", MAY), ("2", JUNE)):
                imported(home, source, many(tmp_path, 1000, phone=phone), as_of=day)
            eventually(lambda: supplies(home) == 2000)
        finally:
            stop.set()
        assert all(reader.result(PATIENCE_S) > 0 for reader in readers)


@pytest.mark.long
def test_commands_in_several_processes_are_all_answered(tmp_path: Path) -> None:
    home = region(tmp_path)
    imported(home, profile(tmp_path), many(tmp_path, 50))
    with following(home):
        eventually(lambda: supplies(home) == 50)
        processes = [begun(home, "query", "SELECT count(*) AS n FROM supply_history", "--format", "csv") for _ in range(4)]
        for process in processes:
            out, err = process.communicate()
            assert (process.returncode, out) == (0, "n\n50\n"), err


@pytest.mark.long
def test_queries_are_answered_with_and_without_a_follower_and_in_between(tmp_path: Path) -> None:
    home = region(tmp_path)
    imported(home, profile(tmp_path), many(tmp_path, 50))
    projected(home)
    stop, failures = Event(), []

    def reading() -> None:
        # Readers who never paused could keep the base from every follower for ever.
        while not stop.wait(0.05):
            try:
                assert supplies(home) == 50
            except Exception as error:  # noqa: BLE001 - whatever it is, it is what the test is about
                failures.append(error)

    threads = [Thread(target=reading) for _ in range(2)]
    for thread in threads:
        thread.start()
    try:
        for round_ in range(3):
            process = _follower_among_readers(home)
            time.sleep(0.2)
            process.send_signal(signal.SIGTERM if round_ % 2 == 0 else signal.SIGKILL)
            process.communicate(timeout=PATIENCE_S)
    finally:
        stop.set()
        for thread in threads:
            thread.join()
    assert failures == []


def _follower_among_readers(home: Home) -> subprocess.Popen[str]:
    """A follower that started beside readers, who hold the base for short times."""
    while True:
        process = begun(home, "project", "--follow")
        assert process.stderr is not None
        if "Following" in process.stderr.readline():
            return process
        process.communicate()


@many_times("rounds", 20)
def test_a_follower_killed_at_any_moment_loses_and_repeats_nothing(tmp_path: Path, rounds: int) -> None:
    home, source = region(tmp_path, batch_records=300), profile(tmp_path)
    imported(home, source, many(tmp_path, 6000))
    imported(home, source, many(tmp_path, 6000, phone="2"), as_of=JUNE)
    random = Random(17)
    for _ in range(rounds):
        process = begun(home, "project", "--follow")
        time.sleep(random.uniform(0.5, 1.6))
        process.send_signal(signal.SIGKILL)
        process.communicate()
        (row,) = asked(
            home,
            "SELECT (SELECT count(*) FROM supply_history) + (SELECT count(*) FROM batch_history) AS applied, "
            "(SELECT count(DISTINCT event_id) FROM supply_history) + (SELECT count(*) FROM batch_history) AS events, "
            "(SELECT coalesce(sum(next_offset - 1), 0) FROM checkpoints) AS below",
        )
        assert row["applied"] == row["events"] == row["below"]
        reported(home, f"k{random.random()}", phone="1")
    done = projected(home)
    assert done["duplicates"] == 0 and supplies(home) == 12_000 + rounds
    assert hub.rebuild(home, False, lambda _number: None).new_digest == done["digest"]


def test_who_waits_too_long_for_the_base_is_told_for_whom(tmp_path: Path) -> None:
    home = region(tmp_path, lock_wait_s=1)
    with home.lock(BASE_LOCK, "a long rebuild"), pytest.raises(Busy, match=r"a query has to wait for process .*a long rebuild"):
        asked(home, "SELECT 1")


def test_a_query_waits_for_a_short_owner_without_socket(tmp_path: Path) -> None:
    home = region(tmp_path)
    answers: list[Any] = []
    with home.lock(BASE_LOCK, "somebody"):
        thread = Thread(target=lambda: answers.append(asked(home, "SELECT 1 AS one")))
        thread.start()
        time.sleep(0.3)
        assert answers == []
    thread.join(PATIENCE_S)
    assert answers == [[{"one": 1}]]


@pytest.mark.long
def test_a_socket_that_a_killed_owner_left_is_no_obstacle(tmp_path: Path) -> None:
    home = region(tmp_path)
    with following(home) as process:
        process.kill()
        process.wait()
        assert (home.folder / "hub.sock").exists()
    assert asked(home, "SELECT 1 AS one") == [{"one": 1}]
    with following(home):
        assert asked(home, "SELECT 1 AS one") == [{"one": 1}]


def test_a_home_in_a_deep_folder_works(tmp_path: Path) -> None:
    home = region(tmp_path / ("a" * 60) / ("b" * 60))
    with following(home):
        imported(home, profile(tmp_path), dump(tmp_path, [("甲", "1", 1)]))
        eventually(lambda: supplies(home) == 1)
