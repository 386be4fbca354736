"""Erasure and restriction in the base: whatever the order of arrival, the same rows; and totals and digest stay."""

from collections.abc import Sequence
from datetime import date
from itertools import pairwise
from pathlib import Path
from typing import Any

import duckdb
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from projections import tables
from projections.guard import QueryRefused, check
from projections.projector import Projector, content_digest
from repository.controls.subject_measure import ERASURE, FREE, HOLD, RESTRICTION, MeasureRefused, decide, standings
from repository.decisions.entity import Entity, Recording, report
from repository.decisions.facts import Fact
from repository.store.log import Record
from repository.store.publisher import stored
from tests.support.bases import NOON, empty_base
from tests.support.controls import PERSON_A, PERSON_B, RESIDENT_MEDICAL, counted, enrolled
from tests.support.suites import few_and_many

BLOBS = {number: f"ciphertext {number}".encode() for number in range(1, 9)}
SHOWN = (
    "SELECT entity_id, version, business_key, subject_token, personal, division_code, status FROM service_object_{0} ORDER BY ALL"
)


class Log:
    """A publisher's log in memory: facts with ciphertext of a kind, and measures, in one order of positions."""

    def __init__(self) -> None:
        self.records: list[Record] = []
        self.measures: list[dict[str, Any]] = []
        self.entities: dict[str, Entity] = {}

    def fact(self, token: str, division: str, since: date) -> None:
        entity = self.entities.setdefault(token, Entity.unknown("service_object", "31", token))
        events = report(entity, enrolled(token, division, {RESIDENT_MEDICAL: "310000"}, since), Recording("31", NOON))
        for event in events:
            event["personal"] = BLOBS[event["version"]]
            entity.records.append(event)
            self._append("service_object", event)

    def count(self, fact: Fact) -> None:
        entity = Entity.unknown("service_object", "31", fact.business_key)
        for event in report(entity, fact, Recording("31", NOON)):
            self._append("service_object", event)

    def measure(self, token: str, measure: str, in_force: bool) -> None:
        subject = self.entities[token]
        standing = standings(self.measures).get(subject.id, FREE)
        version = sum(m["subject_id"] == subject.id and m["measure"] == measure for m in self.measures)
        said = {"reason": "asked", "basis": "PIPL art. 47"}
        record = decide(subject, measure, in_force, standing, version, said, NOON, date(2026, 9, 1))
        self.measures.append(record)
        self._append("measure", record)

    def _append(self, kind: str, record: dict[str, Any]) -> None:
        event, place = stored(kind, record), len(self.records) + 1
        self.records.append(Record("yrd.31", 0, place, place, str(event.originator_id), event.topic, event.state, None))


def applied(records: Sequence[Record], batch: int = 1000, foreseen: bool = False) -> duckdb.DuckDBPyConnection:
    # Without the questions, which take most of the making of a base.
    connection = duckdb.connect()
    tables.create(connection)
    projector = Projector(connection)
    if foreseen:
        projector.foresee([r for r in records if r.event_type.startswith("measure.")])
    for start, stop in pairwise([*range(0, len(records), batch), len(records)]):
        assert projector.apply(records[start:stop], NOON).quarantined == 0
    return connection


def rows(connection: duckdb.DuckDBPyConnection) -> list[Any]:
    return [connection.execute(SHOWN.format(table)).fetchall() for table in ("history", "timeline")]


def erased_log(readmitted: bool = False) -> Log:
    log = Log()
    log.count(counted("310000", "total", 24_000_000))
    log.fact(PERSON_A, "310101", date(2026, 1, 1))
    log.fact(PERSON_B, "310101", date(2026, 1, 1))
    log.fact(PERSON_A, "310104", date(2026, 3, 1))
    log.measure(PERSON_A, ERASURE, True)
    if readmitted:
        log.measure(PERSON_A, ERASURE, False)
        log.fact(PERSON_A, "310105", date(2026, 6, 1))
    return log


@pytest.mark.parametrize("foreseen", [False, True])
def test_an_erased_subject_has_neither_pseudonym_nor_personal_fields(foreseen: bool) -> None:
    connection = applied(erased_log().records, foreseen=foreseen)
    found = connection.execute("SELECT subject_token, personal, business_key FROM service_object_history").fetchall()
    assert sorted(token or "" for token, _, _ in found) == ["", "", "", PERSON_B]
    assert PERSON_A not in str(rows(connection)) and "withheld:" in str(rows(connection))
    assert connection.execute("SELECT count(*) FROM service_object_timeline WHERE subject_type = 'person'").fetchall() == [(3,)]


def test_totals_and_digest_are_those_of_a_base_that_never_heard_of_the_erasure() -> None:
    log = erased_log()
    erased, without = applied(log.records), applied([r for r in log.records if not r.event_type.startswith("measure.")])
    assert content_digest(erased) == content_digest(without)
    total = (
        "SELECT division_code, count(*), count(*) FILTER (status = 'active') FROM service_object_timeline GROUP BY 1 ORDER BY 1"
    )
    assert erased.execute(total).fetchall() == without.execute(total).fetchall()


def test_a_readmitted_subject_shows_what_was_recorded_since_and_nothing_before() -> None:
    connection = applied(erased_log(readmitted=True).records)
    found = connection.execute(
        "SELECT version, subject_token, personal FROM service_object_history WHERE subject_token IS DISTINCT FROM ? "
        "AND subject_type = 'person' ORDER BY version",
        [PERSON_B],
    ).fetchall()
    assert found == [(1, None, None), (2, None, None), (3, PERSON_A, BLOBS[3])]


def test_a_restricted_subject_is_set_aside_and_comes_back_as_it_was() -> None:
    log = erased_log(readmitted=True)
    log.fact(PERSON_B, "310106", date(2026, 4, 1))
    free = rows(applied(log.records))
    log.measure(PERSON_B, RESTRICTION, True)
    restricted = applied(log.records)
    assert PERSON_B not in str(rows(restricted))
    assert restricted.execute("SELECT count(*) FROM set_aside").fetchall() == [(2,)]
    with pytest.raises(QueryRefused, match="not open to readers"):
        check(restricted, "SELECT * FROM set_aside")
    log.measure(PERSON_B, RESTRICTION, False)
    lifted = applied(log.records)
    assert rows(lifted) == free and lifted.execute("SELECT count(*) FROM set_aside").fetchall() == [(0,)]


def test_a_measure_about_another_publishers_subject_changes_nothing() -> None:
    log = erased_log()
    foreign = [r._replace(topic="yrd.33") for r in log.records if r.event_type.startswith("measure.")]
    connection = empty_base()
    projector = Projector(connection)
    projector.apply([r for r in log.records if r not in foreign and not r.event_type.startswith("measure.")], NOON)
    assert projector.apply(foreign, NOON).quarantined == len(foreign)
    projector.foresee(foreign)
    assert PERSON_A in str(rows(connection))


def test_held_bytes_of_an_erased_subject_are_taken_out_of_the_quarantine_whenever_they_come() -> None:
    log = erased_log()
    first = next(r for r in log.records if r.event_type.startswith("service_object.SubjectRegistered"))
    other = log.entities[PERSON_A].records[0] | {"division_code": "310109"}
    conflict = first._replace(value=stored("service_object", other).state, offset=90, position=90)
    for records in ([*log.records[:4], conflict, *log.records[4:]], [*log.records, conflict]):
        connection = empty_base()
        assert (
            Projector(connection).apply(records[:5], NOON).quarantined
            + Projector(connection).apply(records[5:], NOON).quarantined
            == 1
        )
        assert connection.execute("SELECT value, state, note FROM quarantine").fetchall() == [
            (None, "skipped", "the subject was erased")
        ]


measures = st.tuples(st.sampled_from([PERSON_A, PERSON_B]), st.sampled_from([ERASURE, RESTRICTION, HOLD]), st.booleans())
facts = st.tuples(st.sampled_from([PERSON_A, PERSON_B]), st.sampled_from(["310101", "310104", "310105"]), st.integers(1, 9))


@few_and_many("examples", 6, 60)
def test_any_order_of_arrival_gives_the_same_rows_and_shows_nothing_withheld(examples: int) -> None:
    @settings(max_examples=examples)
    @given(st.lists(st.one_of(measures, facts), max_size=9), st.randoms(use_true_random=False), st.integers(1, 5))
    def holds(steps: list[Any], random: Any, batch: int) -> None:
        log = Log()
        for token in (PERSON_A, PERSON_B):
            log.fact(token, "310101", date(2026, 1, 1))
        for token, what, more in steps:
            try:
                if isinstance(more, bool):
                    log.measure(token, what, more)
                elif (
                    not (standing := standings(log.measures).get(log.entities[token].id, FREE)).erased and not standing.restricted
                ):
                    log.fact(token, what, date(2026, more, 2))
            except MeasureRefused:
                continue
        plain = applied(log.records)
        in_order = rows(plain)
        shuffled = random.sample(log.records, len(log.records))
        late = applied(shuffled, batch)
        assert rows(late) == in_order == rows(applied(shuffled, batch, foreseen=True))
        assert content_digest(late) == content_digest(plain)
        for token in (PERSON_A, PERSON_B):
            standing = standings(log.measures).get(log.entities[token].id, FREE)
            if standing.erased or standing.restricted:
                assert token not in str(in_order)

    holds()


@pytest.mark.parametrize(
    ("before", "measure", "in_force", "words"),
    [
        ([(HOLD, True)], ERASURE, True, "under a legal hold"),
        ([(ERASURE, True)], ERASURE, True, "in force already"),
        ([(ERASURE, True)], RESTRICTION, True, "was erased already"),
        ([(ERASURE, True)], HOLD, True, "was erased already"),
        ([], RESTRICTION, False, "not in force already"),
        ([(HOLD, True), (HOLD, False), (ERASURE, True)], HOLD, False, "was erased already"),
    ],
)
def test_a_measure_that_cannot_be_is_a_sentence(before: list[tuple[str, bool]], measure: str, in_force: bool, words: str) -> None:
    log = Log()
    log.fact(PERSON_A, "310101", date(2026, 1, 1))
    for each in before:
        log.measure(PERSON_A, *each)
    with pytest.raises(MeasureRefused, match=words):
        log.measure(PERSON_A, measure, in_force)


def test_only_persons_are_measured(tmp_path: Path) -> None:
    group = Entity.unknown("service_object", "31", "g")
    group.records += report(group, counted("310000", "total", 1), Recording("31", NOON))
    with pytest.raises(MeasureRefused, match="No person"):
        decide(group, ERASURE, True, FREE, 0, {}, NOON, date(2026, 9, 1))


def test_every_table_of_measures_is_laid_out() -> None:
    connection = empty_base()
    names = {name for (name,) in connection.execute("SELECT table_name FROM duckdb_tables()").fetchall()}
    assert {"measure_history", "grant_history", "subject_measures", "grants", "set_aside"} <= names


def test_no_table_has_what_writing_it_anew_would_lose() -> None:
    connection = empty_base()
    assert connection.execute("SELECT table_name, constraint_text FROM duckdb_constraints()").fetchall() == []
    assert connection.execute("SELECT index_name FROM duckdb_indexes()").fetchall() == []
    assert (
        connection.execute(
            "SELECT column_name FROM duckdb_columns() WHERE NOT internal AND column_default IS NOT NULL"
        ).fetchall()
        == []
    )
