"""Importing while others report: an import takes what is known as of its beginning, and decides anew on what changed since."""

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import count
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory
from threading import Event, Thread
from typing import Any
from uuid import UUID, uuid4

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from connectors.home.folder import Home
from connectors.profiles.profile import Profile, load
from connectors.publishing.importing import Imported
from connectors.publishing.reporting import link, report_lines, retract_fact
from repository.decisions.entity import Entity, Recording, report
from repository.decisions.facts import Fact
from repository.decisions.state import state_of
from repository.store.publisher import Publisher
from tests.support.dumps_for_tests import (
    BEDS,
    JUNE,
    asked,
    dump,
    facts,
    imported,
    many,
    profile,
    projected,
    publishing,
    recorded,
    region,
    told,
)

LIMIT_S = 240
"""How long anything here may take at most; nothing asserts how long it takes."""


def reported(home: Home, **line: object) -> list[dict[str, Any]]:
    text = json.dumps({"valid_from": "2026-05-01", **line}, ensure_ascii=False)
    with publishing(home) as persons:
        return list(report_lines(persons, "supply", [text], "live"))


@pytest.fixture(params=["while the dump is read", "just before recording"])
def meanwhile(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Imported]:
    """Import a dump, and do something once while it is under way: `meanwhile(what, home, source, path, ...)`."""

    def run(what: Callable[[], object], *given: Any, **rest: Any) -> Imported:
        pending = [what]

        def happen() -> None:
            while pending:
                pending.pop()()

        def progress(step: str, _number: int) -> None:
            if step == "reading":
                happen()

        original = Publisher.bulk

        @contextmanager
        def bulk(store: Publisher) -> Iterator[Any]:
            happen()
            with original(store) as append:
                yield append

        if request.param == "while the dump is read":
            return imported(*given, progress=progress, **rest)
        with monkeypatch.context() as patched:
            patched.setattr(Publisher, "bulk", bulk)
            return imported(*given, **rest)

    return run


def test_what_was_known_and_has_changed_since_is_decided_on_anew(tmp_path: Path, meanwhile: Callable[..., Imported]) -> None:
    home, source = region(tmp_path), profile(tmp_path)
    other = _of_source(profile(tmp_path, name="other"), "other register")
    imported(home, source, dump(tmp_path, [("甲", "1", 10), ("乙", "1", 10)]))
    rows = dump(tmp_path, [("甲", "1", 10), ("乙", "1", 10)])
    done = meanwhile(lambda: reported(home, business_key="甲", phone="9"), home, other, rows)
    assert [(e["business_key"], e["phone"], e["source"]) for e in facts(home)[2:]] == [
        ("甲", "9", "live"),
        ("甲", "1", "other register"),
    ]
    assert (done.counts.facts_changed, done.counts.facts_unchanged) == (1, 1)


def _of_source(source: Profile, name: str) -> Profile:
    text = source.path.read_text("utf-8").replace('source = "register of homes"', f'source = "{name}"')
    source.path.write_text(text, "utf-8")
    return load(source.path)


def test_what_came_into_being_since_goes_on_under_its_identity(tmp_path: Path, meanwhile: Callable[..., Imported]) -> None:
    home, source = region(tmp_path), profile(tmp_path)
    rows = dump(tmp_path, [("甲", "1", 10), ("乙", "1", 10)])
    done = meanwhile(lambda: reported(home, business_key="甲", phone="9"), home, source, rows)
    assert [(e["business_key"], e["version"], e["source"]) for e in facts(home)] == [
        ("甲", 1, "live"),
        ("乙", 1, source.source),
        ("甲", 2, source.source),
    ]
    assert (done.counts.facts_new, done.counts.facts_changed) == (1, 1)


def test_a_key_that_was_given_to_another_entity_since_leads_to_that(tmp_path: Path, meanwhile: Callable[..., Imported]) -> None:
    home, source = region(tmp_path), profile(tmp_path)
    imported(home, source, dump(tmp_path, [("甲", "1", 10)]))

    def renamed() -> None:
        with publishing(home) as persons:
            assert [a["result"] for a in link(persons, "supply", [("甲", "新甲")], JUNE, "live", None)] == ["new"]

    meanwhile(renamed, home, source, dump(tmp_path, [("新甲", "2", 10)]), as_of=JUNE)
    assert len({e["entity_id"] for e in facts(home)}) == 1
    assert told(home)[-1] == ("新甲", "DetailsChanged")


def test_what_was_reported_since_is_not_closed_by_absence(tmp_path: Path, meanwhile: Callable[..., Imported]) -> None:
    home, source = region(tmp_path), profile(tmp_path, "complete")
    imported(home, source, dump(tmp_path, [("甲", "1", 10), ("乙", "1", 10), ("丙", "1", 10)]))
    done = meanwhile(
        lambda: reported(home, business_key="乙", phone="9"), home, source, dump(tmp_path, [("甲", "1", 10)]), as_of=JUNE
    )
    assert done.counts.closed == 1 and told(home)[-1] == ("丙", "ServicePointClosed")


def test_what_became_the_lists_own_since_is_closed_by_absence(tmp_path: Path, meanwhile: Callable[..., Imported]) -> None:
    home, source = region(tmp_path), profile(tmp_path, "complete")
    imported(home, source, dump(tmp_path, [("甲", "1", 10), ("乙", "1", 10)]))
    reported(home, business_key="乙", phone="9")

    def retracted() -> None:
        with publishing(home) as persons:
            entity = persons.store.entity("supply", "乙")
            assert retract_fact(persons, entity, UUID(str(entity.records[-1]["event_id"])), None, "never so")

    done = meanwhile(retracted, home, source, dump(tmp_path, [("甲", "1", 10)]), as_of=JUNE)
    assert done.counts.closed == 1 and told(home)[-1] == ("乙", "ServicePointClosed")


def test_reports_wait_while_an_import_records_and_no_longer(tmp_path: Path) -> None:
    home, source = region(tmp_path), profile(tmp_path)
    imported(home, source, many(tmp_path, 100))
    answers: list[dict[str, Any]] = []
    begins = Event()

    def reporting() -> None:
        begins.set()
        answers.extend(reported(home, business_key="新", phone="1"))

    reporter = Thread(target=reporting, daemon=True)

    def progress(step: str, _number: int) -> None:
        if step == "reading":
            # Nobody waits yet.
            assert reported(home, business_key=f"早{uuid4()}", phone="1")[0]["result"] == "new"
        if step == "recording" and not begins.is_set():
            reporter.start()
            assert begins.wait(LIMIT_S)

    done = imported(home, source, many(tmp_path, 100, phone="2"), as_of=JUNE, progress=progress)
    reporter.join(LIMIT_S)
    assert [a["result"] for a in answers] == ["new"]
    events = recorded(home)
    last = max(n for n, e in enumerate(events) if e.get("batch_id") == done.batch_id)
    assert [e["business_key"] for e in events[last + 1 :]] == [source.source, "新"]


# -- reporters that don't stop -------------------------------------------------------------------------------------


@dataclass
class Reporter:
    """Reports without end until it is told to stop: homes of the dump, and ones that only it knows."""

    home: Home
    keys: list[str]
    seed: int
    stopped: Event = field(default_factory=Event)
    first: Event = field(default_factory=Event)
    said: list[dict[str, Any]] = field(default_factory=list)

    def run(self) -> None:
        random = Random(self.seed)
        with publishing(self.home) as persons:
            for number in count():
                if self.stopped.is_set():
                    return
                key = random.choice([*self.keys, f"别院{self.seed}-{number}"])
                line = {"business_key": key, "valid_from": "2026-06-01", "phone": f"{self.seed}{number}"}
                self.said += report_lines(persons, "supply", [json.dumps(line, ensure_ascii=False)], "live")
                self.first.set()


@contextmanager
def reporting(home: Home, keys: list[str], seeds: tuple[int, ...]) -> Iterator[list[Reporter]]:
    """Reporters at work in threads of their own."""
    reporters = [Reporter(home, keys, seed) for seed in seeds]
    threads = [Thread(target=each.run, daemon=True) for each in reporters]
    for thread in threads:
        thread.start()
    try:
        assert all(each.first.wait(LIMIT_S) for each in reporters)
        yield reporters
    finally:
        for each in reporters:
            each.stopped.set()
        for thread in threads:
            thread.join(LIMIT_S)
    assert not any(thread.is_alive() for thread in threads)


def _imported_beside(home: Home, source: Profile, path: Path) -> Imported:
    """The outcome of an import in a thread, so that one that does not end fails the test."""
    outcome: list[Imported] = []
    importer = Thread(target=lambda: outcome.append(imported(home, source, path, as_of=JUNE)), daemon=True)
    importer.start()
    importer.join(LIMIT_S)
    assert not importer.is_alive(), "the import goes on for as long as others report"
    return outcome[0]


@dataclass(frozen=True)
class Homes:
    """A complete list of May, and the one of June: some unchanged, some changed, some gone, some new."""

    unchanged: int
    changed: int
    gone: int
    new: int

    def may(self) -> list[tuple[str, str, int]]:
        return [(f"{what}{n}", "1", 10) for what in ("同", "改", "去") for n in range(self._many[what])]

    def june(self) -> list[tuple[str, str, int]]:
        phones = {"同": "1", "改": "2", "新": "1"}
        return [(f"{what}{n}", phone, 10) for what, phone in phones.items() for n in range(self._many[what])]

    @property
    def keys(self) -> list[str]:
        return [row[0] for row in (*self.may(), *self.june())]

    @property
    def _many(self) -> dict[str, int]:
        return {"同": self.unchanged, "改": self.changed, "去": self.gone, "新": self.new}


def _said_by(source: Profile, row: tuple[str, str, int]) -> Fact:
    """What a row of June's list states."""
    key, phone, beds = row
    stated = {"provider_name": key, "category": "nursing_home", "phone": phone, BEDS: beds, "offers[YRD050101].unit": "bed"}
    return Fact("supply", key, JUNE, {**stated, "status": "active"}, source.source)


def _what(events: list[dict[str, Any]]) -> list[tuple[object, ...]]:
    names = ("event_type", "version", "valid_from", "valid_to", "changed")
    return [(*(e[name] for name in names), state_of("supply", e)) for e in events]


def _decided(history: list[dict[str, Any]], key: str, fact: Fact, batch: UUID) -> list[tuple[object, ...]]:
    """What is decided about a fact after a history."""
    entity = Entity.of("supply", history) if history else Entity.unknown("supply", "31", key)
    return _what(report(entity, fact, Recording("31", datetime.now(UTC), batch)))


def _is_a_serial_order(history: list[dict[str, Any]], key: str, fact: Fact | None, done: Imported) -> bool:
    """Whether an entity's history is one that the import, as a whole, and the reports give one after the other."""
    own = [n for n, e in enumerate(history) if e["batch_id"] == done.batch_id]
    rest = [e for e in history if e["batch_id"] != done.batch_id]
    if fact is None:
        # A home that is no longer listed: closed, or reported by others first.
        if own:
            last = history[own[0] - 1]
            return [history[n]["event_type"] for n in own] == ["ServicePointClosed"] and last["source"] == done.profile.source
        return any(e["source"] == "live" for e in rest)
    if own:
        assert own == list(range(own[0], own[-1] + 1))
        return _decided(history[: own[0]], key, fact, done.batch_id) == _what([history[n] for n in own])
    return any(not _decided(rest[:n], key, fact, done.batch_id) for n in range(len(rest) + 1))


def _check(home: Home, source: Profile, homes: Homes, done: Imported, reporters: list[Reporter]) -> None:
    said = [answer for each in reporters for answer in each.said]
    assert {answer["result"] for answer in said} <= {"new", "unchanged"}, said
    events = facts(home)
    assert len([e for e in events if e["source"] == "live"]) == sum(len(a["events"]) for a in said)
    histories: dict[UUID, list[dict[str, Any]]] = {}
    for event in events:
        histories.setdefault(event["entity_id"], []).append(event)
    by_key = {history[0]["business_key"]: history for history in histories.values()}
    for history in histories.values():
        assert [e["version"] for e in history] == list(range(1, len(history) + 1))
    stated = {row[0]: _said_by(source, row) for row in homes.june()}
    for key in homes.keys:
        assert _is_a_serial_order(by_key[key], key, stated.get(key), done), by_key[key]
    projected(home)
    assert asked(home, "SELECT DISTINCT verdict FROM reconciliation") == [{"verdict": "balanced"}]
    assert asked(home, "SELECT count(*) AS n FROM supply_history") == [{"n": len(events)}]
    counts = done.counts
    assert counts.facts_new + counts.facts_changed + counts.facts_unchanged == len(homes.june())


@given(
    st.builds(Homes, st.integers(0, 20), st.integers(1, 20), st.integers(0, 10), st.integers(0, 20)),
    st.integers(1, 20),
    st.integers(0, 1000),
)
@settings(deadline=None, max_examples=2)
def test_an_import_beside_reporters_that_do_not_stop_ends_and_is_a_serial_order(homes: Homes, chunk_rows: int, seed: int) -> None:
    with TemporaryDirectory() as folder:
        home, source = region(Path(folder), import_chunk_rows=chunk_rows), profile(Path(folder), "complete")
        imported(home, source, dump(Path(folder), homes.may()))
        june = dump(Path(folder), homes.june(), name="june.csv")
        with reporting(home, homes.keys, (2 * seed, 2 * seed + 1)) as reporters:
            done = _imported_beside(home, source, june)
        _check(home, source, homes, done, reporters)


@pytest.mark.long
def test_in_postgres_too(tmp_path: Path, database: str) -> None:
    homes = Homes(30, 30, 10, 30)
    home, source = region(tmp_path, store_url=database, import_chunk_rows=20), profile(tmp_path, "complete")
    imported(home, source, dump(tmp_path, homes.may()))
    june = dump(tmp_path, homes.june(), name="june.csv")
    with reporting(home, homes.keys, (1, 2)) as reporters:
        done = _imported_beside(home, source, june)
    _check(home, source, homes, done, reporters)
