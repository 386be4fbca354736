"""What auditors ask: answered from the base or by replay, right at every moment, and no tampering with the base unnoticed."""

import json
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import duckdb
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from connectors.access.refused import ReadRefused
from connectors.audit import replays
from connectors.base.files import current
from connectors.home.folder import Home
from connectors.hub import hub
from connectors.publishing.reporting import correct_fact, report_lines, retract_fact, shown_event
from projections import audit_tables
from projections.differences import PROVENANCE, between
from projections.projector import Projector
from projections.reading_ahead import read_ahead
from repository.decisions.entity import Entity
from repository.decisions.state import differences
from repository.decisions.timeline import at
from repository.store.log import EmbeddedLog, Partition
from repository.store.publisher import stored_row
from tests.support.bases import empty_base
from tests.support.dumps_for_tests import JUNE, MAY, followed, imported, many, profile, projected, publishing, region
from tests.support.histories import NOW, day, embedded, histories, log_of, plain_record

BEDS = "offers[YRD050101].capacity"


def now() -> str:
    return datetime.now(UTC).isoformat()


def told(home: Home, key: str, publisher: str = "31", **fields: object) -> None:
    with publishing(home, publisher) as persons:
        list(report_lines(persons, "supply", [json.dumps({"business_key": key, "valid_from": "2026-05-01"} | fields)], "live"))


@pytest.fixture
def lived(tmp_path: Path) -> tuple[Home, list[tuple[str, str]]]:
    """A home in which four things happened, each projected; and after each the moment and the base's digest then."""
    home, source, seen = region(tmp_path), profile(tmp_path), []

    def shown() -> None:
        seen.append((str(projected(home)["digest"]), now()))

    imported(home, source, many(tmp_path, 6))
    shown()
    imported(home, source, many(tmp_path, 7, phone="2"), as_of=JUNE)
    told(home, "院000001", publisher="33", grade="一级")
    shown()
    with publishing(home) as persons:
        entity = persons.store.entity("supply", "院000003")
        correct_fact(persons, entity, shown_event(entity, None), {BEDS: 333}, "desk 3", "typed wrongly")
    shown()
    with publishing(home) as persons:
        entity = persons.store.entity("supply", "院000006")
        retract_fact(persons, entity, shown_event(entity, None), "desk 3", "never there")
    shown()
    return home, [(moment, digest) for digest, moment in seen]


# -- what the base showed ------------------------------------------------------------------------------------------


@pytest.mark.long
def test_what_the_base_showed_is_what_it_showed_at_every_moment(lived: tuple[Home, list[tuple[str, str]]]) -> None:
    home, seen = lived
    assert len({digest for _, digest in seen}) == 4
    assert [replays.said(home, moment).digest for moment, _ in seen] == [digest for _, digest in seen]


@pytest.mark.long
def test_what_the_base_showed_outlives_a_rebuild(lived: tuple[Home, list[tuple[str, str]]]) -> None:
    home, seen = lived
    assert hub.rebuild(home, False, lambda _: None).switched
    told(home, "new")
    projected(home)
    assert [replays.said(home, moment).digest for moment, _ in seen] == [digest for _, digest in seen]


@pytest.mark.long
def test_before_its_first_commit_the_base_showed_nothing(lived: tuple[Home, list[tuple[str, str]]]) -> None:
    with pytest.raises((ValueError, ReadRefused), match="showed nothing yet"):
        replays.said(lived[0], "2000-01-01T00:00:00+00:00")


@pytest.mark.long
def test_the_file_of_what_was_shown_answers_the_same_questions(lived: tuple[Home, list[tuple[str, str]]], tmp_path: Path) -> None:
    home, seen = lived
    into = tmp_path / "shown.duckdb"
    found = replays.said(home, seen[1][0], into)
    assert (into.stat().st_mode & 0o777, found.rows["batch"]) == (0o600, 2)
    with duckdb.connect(into, read_only=True) as file:
        assert file.execute("SELECT moment, digest FROM said").fetchall() == [(seen[1][0], seen[1][1])]
        assert file.execute("SELECT max(version) FROM change_log('院000003')").fetchall() == [(2,)]
        assert file.execute("SELECT count(*) FROM supply_timeline WHERE business_key = '院000006'").fetchall() == [(1,)]


def test_a_fact_projected_late_was_known_before_it_was_shown(tmp_path: Path) -> None:
    home = region(tmp_path)
    told(home, "early")
    projected(home)
    told(home, "late")
    recorded = now()
    projected(home)
    assert replays.asof(home, "2026-06-01", recorded).rows["supply"] == 2
    assert replays.said(home, recorded).rows["supply"] == 1


# -- what the logs held --------------------------------------------------------------------------------------------


@pytest.mark.long
def test_what_the_logs_held_is_written_with_what_it_is(lived: tuple[Home, list[tuple[str, str]]], tmp_path: Path) -> None:
    home, seen = lived
    into = tmp_path / "held.duckdb"
    found = replays.asof(home, "2026-06-15", seen[2][0], into)
    with duckdb.connect(into, read_only=True) as file:
        ((valid, known, digest, positions),) = file.execute("SELECT valid, known, digest, positions FROM as_of").fetchall()
        capacity = "SELECT offers[1].capacity FROM supply WHERE publisher = '31' AND business_key = '院000003'"
        assert file.execute(capacity).fetchall() == [(333,)]
        assert file.execute("SELECT count(*) FROM supply").fetchall() == [(8,)]
        types = dict(file.execute("SELECT column_name, column_type FROM (DESCRIBE supply)").fetchall())
    assert (valid, known, digest) == ("2026-06-15", seen[2][0], found.digest)
    assert {(p["topic"], p["next_offset"]) for p in json.loads(positions)} == {(t, o) for (t, _), o in found.offsets.items()}
    assert (types["entity_id"], types["valid_from"], types["received_at"]) == ("UUID", "DATE", "TIMESTAMP WITH TIME ZONE")


@pytest.mark.long
def test_it_is_written_as_a_folder_of_parquet_too(lived: tuple[Home, list[tuple[str, str]]], tmp_path: Path) -> None:
    home, seen = lived
    into = tmp_path / "held"
    replays.asof(home, "2026-05-15", seen[0][0], into)
    assert sorted(p.name for p in into.iterdir()) == [f"{n}.parquet" for n in ("as_of", "service_object", "standard", "supply")]
    assert duckdb.read_parquet(str(into / "supply.parquet")).fetchall() and not into.stat().st_mode & 0o077


@pytest.mark.long
def test_nothing_is_overwritten_and_nothing_half_is_left(lived: tuple[Home, list[tuple[str, str]]], tmp_path: Path) -> None:
    home, seen = lived
    into = tmp_path / "mine.duckdb"
    into.write_text("mine")
    with pytest.raises(ValueError, match="exists already"):
        replays.asof(home, "2026-06-15", seen[0][0], into)
    with pytest.raises((ReadRefused, duckdb.Error)):
        replays.asof(home, "no day", seen[0][0], tmp_path / "new.duckdb")
    assert into.read_text() == "mine"
    assert [p.name for p in tmp_path.iterdir() if "taking" in p.name or p.name.startswith("new")] == []


@pytest.mark.long
def test_what_a_follower_serves_is_what_is_found_without_one(lived: tuple[Home, list[tuple[str, str]]]) -> None:
    home, seen = lived
    alone = [replays.asof(home, "2026-06-15", moment).digest for moment, _ in seen]
    changed = replays.difference(home, seen[0][0], seen[3][0])
    with followed(home):
        assert [replays.asof(home, "2026-06-15", moment).digest for moment, _ in seen] == alone
        assert replays.difference(home, seen[0][0], seen[3][0]) == changed
        assert replays.compared(home).same


@pytest.mark.long
def test_who_asks_is_told_of_records_that_the_base_has_not_applied(lived: tuple[Home, list[tuple[str, str]]]) -> None:
    home, seen = lived
    assert replays.asof(home, "2026-06-15", seen[0][0]).behind == 0
    told(home, "new")
    told(home, "new", publisher="34")
    assert replays.asof(home, "2026-06-15", seen[0][0]).behind == 2


# -- history of one entity -----------------------------------------------------------------------------------------


@pytest.mark.long
def test_a_history_says_of_each_event_what_was_and_what_is(lived: tuple[Home, list[tuple[str, str]]]) -> None:
    home, _ = lived
    rows = replays.history(home, "院000003", publisher="31")
    assert [(r["version"], r["event_type"], r["field"], r["before"], r["after"]) for r in rows] == [
        (1, "ServicePointRegistered", "provider_name", None, "院000003"),
        (1, "ServicePointRegistered", "category", None, "nursing_home"),
        (1, "ServicePointRegistered", "phone", None, "1"),
        (1, "ServicePointRegistered", "status", None, "active"),
        (1, "ServicePointRegistered", BEDS, None, "3"),
        (1, "ServicePointRegistered", "offers[YRD050101].unit", None, "bed"),
        (2, "DetailsChanged", "phone", "1", "2"),
        (3, "FactCorrected", BEDS, "3", "333"),
    ]
    assert (rows[-1]["operator"], rows[-1]["reason"], rows[-1]["proof"]) == ("desk 3", "typed wrongly", "not sealed")
    assert rows[-1]["received_at"] >= rows[0]["received_at"] and rows[0]["valid_from"] == MAY


@pytest.mark.long
def test_a_history_is_found_by_identity_and_narrowed(lived: tuple[Home, list[tuple[str, str]]]) -> None:
    home, _ = lived
    both = replays.history(home, "院000001")
    assert {r["publisher"] for r in both} == {"31", "33"}
    (one,) = {str(r["entity_id"]) for r in both if r["publisher"] == "33"}
    assert {r["publisher"] for r in replays.history(home, one)} == {"33"}
    assert replays.history(home, "院000001", kind="standard") == replays.history(home, "nobody") == []


# -- what changed between two moments ------------------------------------------------------------------------------


@pytest.mark.long
def test_a_difference_names_what_appeared_changed_and_disappeared(lived: tuple[Home, list[tuple[str, str]]]) -> None:
    home, seen = lived
    rows = replays.difference(home, seen[1][0], seen[3][0])
    assert [(r["change"], r["business_key"], r["field"], r["before"], r["after"]) for r in rows] == [
        ("changed", "院000003", BEDS, "3", "333"),
        ("disappeared", "院000006", None, None, None),
    ]
    earlier = replays.difference(home, seen[0][0], seen[1][0])
    assert [(r["publisher"], r["business_key"]) for r in earlier if r["change"] == "appeared"] == [
        ("31", "院000006"),
        ("33", "院000001"),
    ]
    assert replays.difference(home, seen[3][0], now()) == []


@pytest.mark.long
def test_a_difference_can_be_asked_of_one_day(lived: tuple[Home, list[tuple[str, str]]]) -> None:
    home, seen = lived
    rows = replays.difference(home, seen[0][0], seen[1][0], valid="2026-05-15")
    assert [(r["publisher"], r["change"]) for r in rows] == [("33", "appeared")]


def _base_of(entities: list[Entity]) -> duckdb.DuckDBPyConnection:
    connection = empty_base()
    assert Projector(connection).apply(log_of(entities), NOW).quarantined == 0
    return connection


def _known_at(entity: Entity, moment: datetime, on: date) -> dict[str, Any] | None:
    known = [record for record in entity.records if record["recorded_at"] <= moment]
    shown = at(Entity.of("supply", [dict(r) for r in known]).statements, on) if known else None
    return None if shown is None else next(dict(r) for r in known if r["version"] == shown.version)


@pytest.mark.long
@settings(max_examples=25)
@given(histories(most=6), st.integers(-1, 8), st.integers(0, 6))
def test_a_difference_is_that_of_the_two_timelines_on_every_day(entity: Entity, start: int, length: int) -> None:
    first, second = (NOW + timedelta(seconds=start + more, milliseconds=500) for more in (0, length))
    taken = duckdb.connect()
    with _base_of([entity]) as base:
        for part in audit_tables.changes({"first": first.isoformat(), "second": second.isoformat()}):
            taken.register("arriving", base.execute(part.sql, part.parameters).to_arrow_table())
            kind = part.table.removesuffix("_history")
            cells = ", ".join(f'"{n}"::{t} AS "{n}"' for n, t in _columns(kind))
            taken.execute(f"CREATE TABLE {part.table} AS SELECT {cells} FROM arriving")
    rows = list(between(taken, first.isoformat()))
    taken.close()
    for on in map(day, range(24)):
        before, after = _known_at(entity, first, on), _known_at(entity, second, on)
        found = {(r["change"], r["field"]) for r in rows if _covers(r, on)}
        assert found == _expected(before, after), (on, before, after)


def _columns(kind: str) -> list[tuple[str, str]]:
    from projections.tables import columns

    return list(columns(kind).items())


def _covers(row: dict[str, Any], on: date) -> bool:
    return (row["valid_from"] is None or row["valid_from"] <= on) and (row["valid_to"] is None or row["valid_to"] > on)


def _expected(before: dict[str, Any] | None, after: dict[str, Any] | None) -> set[tuple[str, str | None]]:
    if before is None or after is None:
        return set() if before is after else {("appeared" if before is None else "disappeared", None)}
    changed = [*(n for n in PROVENANCE if before[n] != after[n]), *differences("supply", before, after)]
    return {("changed", path) for path in changed}


# -- replay and comparison -----------------------------------------------------------------------------------------


def test_the_base_is_what_the_logs_add_up_to(lived: tuple[Home, list[tuple[str, str]]]) -> None:
    home, seen = lived
    found = replays.compared(home)
    assert found.same and found.live_digest == found.replayed_digest == seen[3][1]
    assert {t.table for t in found.tables} >= {
        "supply_history",
        "supply_timeline",
        "supply_current",
        "batch_history",
        "quarantine",
    }
    assert next(t.replayed_rows for t in found.tables if t.table == "supply_history") > 10
    assert current(home) == home.folder / "base" / "base-000001.duckdb"


@pytest.mark.long
def test_an_earlier_moment_is_compared_at_its_positions(lived: tuple[Home, list[tuple[str, str]]], tmp_path: Path) -> None:
    home, seen = lived
    for moment, digest in seen:
        found = replays.compared(home, replays.shown_at(home, moment))
        assert found.same and found.live_digest == found.replayed_digest == digest
    into = tmp_path / "replayed.duckdb"
    found = replays.compared(home, replays.offsets_of("yrd.31=4"), into)
    assert found.same and next(t.live_rows for t in found.tables if t.table == "supply_timeline") == 3
    with duckdb.connect(into, read_only=True) as file:
        assert file.execute("SELECT count(*) FROM supply_history").fetchall() == [(3,)]


TAMPERED = {
    "a cell of a history": (
        "UPDATE supply_history SET phone = '9' WHERE version = 1 AND business_key = '院000002'",
        ("supply_history", "phone", "9", "1"),
    ),
    "a nested cell": (
        "UPDATE supply_history SET offers = [struct_update(offers[1], capacity := 77)] WHERE business_key = '院000002'",
        ("supply_history", "offers", None, None),
    ),
    "a document": ("UPDATE supply_history SET doc_no = '沪〔2026〕1号' WHERE version = 2", ("supply_history", "doc_no", "沪〔2026〕1号", None)),
    "a row gone": (
        "DELETE FROM supply_history WHERE version = 1 AND business_key = '院000005'",
        ("supply_history", None, "missing", "there"),
    ),
    "a row twice": ("INSERT INTO supply_history FROM supply_history LIMIT 1", ("supply_history", None, "2 times", "1 times")),
    "an invented row": (
        "INSERT INTO standard_history (entity_id, version) VALUES (uuid(), 1)",
        ("standard_history", None, "there", "missing"),
    ),
    "a timeline alone": ("UPDATE supply_timeline SET phone = '9' WHERE business_key = '院000002'", ("supply_timeline", "phone", "9", None)),
    "a time of receipt": (
        "UPDATE batch_history SET received_at = received_at - INTERVAL 1 DAY WHERE version = 1",
        ("batch_history", "received_at", None, None),
    ),
    "a checkpoint": ("UPDATE checkpoints SET last_received_at = NULL WHERE topic = 'yrd.33'", ("checkpoints", "last_received_at", None, None)),
    "a held record": (
        "INSERT INTO quarantine (topic, partition, log_offset, position) VALUES ('yrd.31', 0, 1, 1)",
        ("quarantine", None, "there", "missing"),
    ),
}  # fmt: skip


@pytest.mark.long
@pytest.mark.parametrize("what", TAMPERED)
def test_the_first_difference_is_named(lived: tuple[Home, list[tuple[str, str]]], what: str) -> None:
    home, _ = lived
    sql, (table, column, live, replayed) = TAMPERED[what]
    file = current(home)
    assert file is not None
    with duckdb.connect(file) as base:
        assert base.execute(sql).fetchall() != [(0,)]
    first = next(t.difference for t in replays.compared(home).tables if t.difference is not None)
    assert (first.table, first.column) == (table, column)
    assert live is None or first.live == live
    assert replayed is None or first.replayed == replayed
    assert first.key and all(first.key.values())


@pytest.mark.long
def test_tampering_with_the_past_shows_at_earlier_positions_too(lived: tuple[Home, list[tuple[str, str]]]) -> None:
    home, seen = lived
    file = current(home)
    assert file is not None
    with duckdb.connect(file) as base:
        base.execute("UPDATE supply_history SET phone = '9' WHERE business_key = '院000002' AND version = 1")
    found = replays.compared(home, replays.shown_at(home, seen[0][0]))
    assert [t.table for t in found.tables if t.difference] == ["supply_history", "supply_timeline"]
    assert found.live_digest != found.replayed_digest


@pytest.mark.parametrize(
    ("until", "sentence"),
    [
        ("yrd.31=1000000", "ends before offset"),
        ("yrd.99=1", "There is no log yrd.99"),
        ("yrd.31", "is no offset"),
        ("yrd.31=x", "is no offset"),
        ("=3", "is no offset"),
    ],
)
def test_offsets_that_cannot_be_are_refused(lived: tuple[Home, list[tuple[str, str]]], until: str, sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        replays.compared(lived[0], replays.offsets_of(until))


def test_offsets_beyond_the_base_are_refused(lived: tuple[Home, list[tuple[str, str]]]) -> None:
    home, _ = lived
    told(home, "new", publisher="33")
    with pytest.raises(ValueError, match="before 3; run `yrd project`"):
        replays.compared(home, replays.offsets_of("yrd.33=3"))


@pytest.mark.long
@settings(max_examples=30)
@given(
    st.lists(st.integers(0, 9), min_size=3, max_size=3), st.lists(st.integers(0, 11), min_size=3, max_size=3), st.integers(1, 5)
)
def test_a_bounded_replay_reads_every_partition_up_to_its_bound(
    tmp_path_factory: pytest.TempPathFactory, sizes: list[int], bounds: list[int], limit: int
) -> None:
    folder = tmp_path_factory.mktemp("logs")
    stores = [embedded(folder, code) for code in ("31", "32", "33")]
    until: dict[Partition, int] = {(f"yrd.{s.code}", 0): bound for s, bound in zip(stores, bounds, strict=True) if bound != 11}
    for store, size in zip(stores, sizes, strict=True):
        with store.bulk() as append:
            append([stored_row("supply", plain_record("supply", n, publisher=store.code)) for n in range(size)])
    read = [r for batch in read_ahead(Projector(empty_base()), EmbeddedLog(stores), limit, until) for r in batch.records]
    wanted = [(f"yrd.{s.code}", n) for s, size in zip(stores, sizes, strict=True) for n in range(1, size + 1)]
    assert sorted((r.topic, r.offset) for r in read) == sorted((t, n) for t, n in wanted if n < until.get((t, 0), 0))
    for store in stores:
        store.close()


@pytest.mark.long
def test_identities_are_as_the_base_has_them(lived: tuple[Home, list[tuple[str, str]]]) -> None:
    home, seen = lived
    for row in replays.difference(home, seen[0][0], seen[3][0]):
        assert UUID(row["entity_id"]) and (row["event_before"] or row["event_after"])
