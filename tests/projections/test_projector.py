"""Records of a log become rows of a base: whatever their order, their batches, their damage, and the moment of a crash."""

import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import duckdb
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from projections import tables
from projections.projector import Applied, Projector, content_digest
from repository.decisions.entity import Entity
from repository.decisions.timeline import BEGINNING, FOREVER, at
from repository.events.identity import entity_id, event_id
from repository.store.log import Checkpoint, EmbeddedLog, LogChanged, Partition, Record
from tests.support.histories import CODE, NOW, day, embedded, fact, histories, known, log_of, log_record, plain_record, shuffled
from tests.support.hostile import HOSTILE
from tests.support.project import ROOT
from tests.support.suites import few_and_many, many_times

AT = datetime(2025, 6, 1, tzinfo=UTC)
TIMELINE = (
    "SELECT entity_id::VARCHAR, version, valid_from, valid_to, grade, status, business_key FROM supply_timeline ORDER BY ALL"
)


def base(path: str = ":memory:", members: Sequence[str] | None = None) -> Projector:
    """A projector on a new empty base."""
    connection = duckdb.connect(path, config={"threads": 1})
    tables.create(connection)
    return Projector(connection, members)


@pytest.fixture
def projector() -> Iterator[Projector]:
    made = base(members=["31", "32"])
    yield made
    made.connection.close()


def rows(projector: Projector, sql: str) -> list[tuple[Any, ...]]:
    return projector.connection.execute(sql).fetchall()


def content(projector: Projector) -> tuple[object, ...]:
    return content_digest(projector.connection), rows(projector, TIMELINE), rows(projector, "SELECT count(*) FROM gaps")


def quarantined(projector: Projector) -> list[tuple[Any, ...]]:
    return rows(projector, "SELECT log_offset, reason FROM quarantine ORDER BY log_offset")


def applied_at_once(records: Sequence[Record]) -> Projector:
    projector = base()
    projector.apply(records, AT)
    return projector


def first(number: int, kind: str = "supply", **changed: object) -> Record:
    """The log's record number `number`, the first event of an entity of its own."""
    return log_record(kind, plain_record(kind, number, **changed), number)


def ten(kind: str = "supply") -> list[Record]:
    return [first(number, kind) for number in range(1, 11)]


# -- order, batches, interleaving ---------------------------------------------------------------------------------------


@st.composite
def logs(draw: st.DrawFn) -> list[Record]:
    """Two partitions with the histories of up to four service points."""
    found: list[Record] = []
    for partition in (0, 1):
        entities = [draw(histories(f"{partition}{n}", most=4)) for n in range(draw(st.integers(0, 2)))]
        found += [record._replace(partition=partition) for record in log_of(entities)]
    return found


@few_and_many("examples", 6, 80)
def test_any_order_and_any_batches_end_in_the_same_content(examples: int) -> None:
    @settings(max_examples=examples)
    @given(logs(), st.randoms(use_true_random=False))
    def holds(records: list[Record], chance: random.Random) -> None:
        projector = base()
        waiting = shuffled(records, [chance.randrange(100) for _ in records])
        waiting += chance.sample(waiting, len(waiting) // 3)
        total = Applied()
        while waiting:
            size = chance.randint(1, 6)
            total += projector.apply(waiting[:size], AT)
            waiting = waiting[size:]
        assert content(projector) == content(applied_at_once(records))
        assert total == Applied(len(records), len(records) // 3, 0)

    holds()


@few_and_many("examples", 4, 60)
def test_any_interleaving_of_partitions_ends_in_the_same_base(examples: int) -> None:
    @settings(max_examples=examples)
    @given(logs(), st.randoms(use_true_random=False))
    def holds(told: list[Record], chance: random.Random) -> None:
        records = [r._replace(received_us=chance.randrange(10**15)) for r in told]
        projector = base()
        queues = [[r for r in records if r.partition == number] for number in (0, 1)]
        while any(queues):
            queue = chance.choice([q for q in queues if q])
            projector.apply([queue.pop(0) for _ in range(min(len(queue), chance.randint(1, 4)))], AT)
        whole = applied_at_once(records)
        everything = "SELECT * FROM supply_history ORDER BY partition, position"
        assert rows(projector, everything) == rows(whole, everything)
        assert content(projector) == content(whole)
        checkpoints = "SELECT * FROM checkpoints ORDER BY ALL"
        assert rows(projector, checkpoints) == rows(whole, checkpoints)

    holds()


@settings(max_examples=15)
@given(st.lists(histories(), min_size=1, max_size=2), st.booleans())
def test_the_timeline_is_that_of_the_repository(entities: list[Entity], whole: bool) -> None:
    renamed = [_under(entity, f"点{n}") for n, entity in enumerate(entities)]
    records = [record._replace(partition=n) for n, entity in enumerate(renamed) for record in log_of([entity])]
    projector = base()
    for batch in [records] if whole else [[record] for record in records]:
        projector.apply(batch, AT)
    for entity in renamed:
        segments = [
            (s.statement.version, None if s.start == BEGINNING else s.start, None if s.end == FOREVER else s.end)
            for s in entity.timeline
        ]
        sql = f"SELECT version, valid_from, valid_to FROM supply_timeline WHERE entity_id = '{entity.id}' ORDER BY valid_from NULLS FIRST"
        assert rows(projector, sql) == segments
        for asked in (day(-1), day(4)):
            for heard in (None, NOW + timedelta(seconds=2)):
                moment = "NULL" if heard is None else f"'{heard.isoformat()}'"
                sql = f"SELECT version FROM supply_asof('{asked}', {moment}) WHERE entity_id = '{entity.id}'"
                told = [s for s in entity.statements if heard is None or str(s.state["recorded_at"]) <= str(heard)]
                found = at(told, asked)
                assert rows(projector, sql) == ([] if found is None else [(found.version,)])


def _under(entity: Entity, key: str) -> Entity:
    """The same history of an entity first reported under another key, its moments never going back."""
    identity = entity_id(CODE, "supply", key)
    ids = {r["event_id"]: event_id(identity, r["version"]) for r in entity.records}
    moved: list[dict[str, Any]] = []
    for record in entity.records:
        changed = {
            "entity_id": identity,
            "event_id": ids[record["event_id"]],
            "corrects_event_id": ids.get(record["corrects_event_id"]),
        }
        moved.append(record | changed | {"business_key": key} if record["version"] == 1 else record | changed)
    return Entity(entity.kind, CODE, key, identity, moved)


def test_the_time_of_receipt_never_goes_back_however_records_are_batched() -> None:
    kinds = ["supply", "standard", "supply", "standard"]
    records = [first(n, kind)._replace(received_us=us) for n, (kind, us) in enumerate(zip(kinds, (5, 9, 3, 7), strict=True), 1)]
    times = "SELECT position, epoch_us(received_at) FROM (FROM supply_history SELECT position, received_at UNION ALL FROM standard_history SELECT position, received_at) ORDER BY 1"
    for size in (1, 2, 3, 4):
        projector = base()
        for start in range(0, 4, size):
            projector.apply(records[start : start + size], AT)
        assert rows(projector, times) == [(1, 5), (2, 9), (3, 9), (4, 9)]


# -- duplicates, conflicts, gaps ------------------------------------------------------------------------------------------


def test_the_same_record_again_has_one_effect_and_is_counted(projector: Projector) -> None:
    records = ten()
    assert projector.apply([*records, records[0]], AT) == Applied(10, 1, 0)
    assert projector.apply(records, AT) == Applied(0, 10, 0)
    assert rows(projector, "SELECT topic, partition, sum(records) FROM duplicates GROUP BY ALL") == [("yrd.31", 0, 11)]
    assert rows(projector, "SELECT count(*) FROM supply_history") == [(10,)]


def test_another_payload_under_the_same_identity_is_quarantined_and_the_first_stands(projector: Projector) -> None:
    other = first(1, grade="三级")._replace(offset=11, position=11)
    assert projector.apply([*ten(), other, other._replace(offset=12)], AT) == Applied(10, 0, 2)
    assert projector.apply([other._replace(offset=13)], AT) == Applied(0, 0, 1)
    assert [offset for offset, _ in quarantined(projector)] == [11, 12, 13]
    assert "stands with other bytes already; the first stands" in quarantined(projector)[0][1]
    assert rows(projector, "SELECT grade FROM supply_history WHERE business_key = 'k1'") == [(None,)]
    assert rows(projector, "SELECT value FROM quarantine")[0] == (other.value,)


def test_a_missing_version_is_shown_and_holds_nothing_up(projector: Projector) -> None:
    entity = known(*(fact({"grade": grade}, day(n)) for n, grade in enumerate(("一级", "二级", "三级", "一级"))))
    one, two, three, four = log_of([entity])
    projector.apply([one, four], AT)
    gaps = "SELECT kind, publisher, entity_id::VARCHAR, version FROM gaps ORDER BY version"
    assert rows(projector, gaps) == [("supply", "31", str(entity.id), 2), ("supply", "31", str(entity.id), 3)]
    assert rows(projector, "SELECT version, valid_to FROM supply_timeline ORDER BY version") == [(1, day(3)), (4, None)]
    projector.apply([three], AT)
    projector.connection.execute("INSERT INTO skipped_gaps VALUES (?, 2, 'lost in a fire')", [entity.id])
    assert rows(projector, gaps) == []
    projector.apply([two], AT)
    assert content(projector) == content(applied_at_once([one, two, three, four]))


def test_a_gap_of_two_thousand_million_versions_fills_no_memory(projector: Projector) -> None:
    last = (1 << 31) - 1
    identity = entity_id(CODE, "supply", "k1")
    projector.apply(
        [first(1), log_record("supply", plain_record("supply") | {"version": last, "event_id": event_id(identity, last)}, 2)], AT
    )
    assert rows(projector, "SELECT count(*), min(version) FROM gaps") == [(1000, 2)]


# -- checkpoints ---------------------------------------------------------------------------------------------------------


def test_checkpoints_say_how_far_each_partition_came(projector: Projector) -> None:
    projector.apply(ten(), AT)
    projector.apply([first(11)._replace(partition=1, offset=3)], AT)
    reached = projector.checkpoints()
    assert {partition: c.next_offset for partition, c in reached.items()} == {("yrd.31", 0): 11, ("yrd.31", 1): 4}
    assert rows(projector, "SELECT commit_no, committed_at FROM commits ORDER BY 1") == [(1, AT), (2, AT)]


def test_a_record_delivered_again_late_does_not_take_the_checkpoint_back(projector: Projector) -> None:
    projector.apply(ten(), AT)
    before = projector.checkpoints()
    projector.apply(ten()[:3], AT)
    assert projector.checkpoints() == before


class Kept:
    """A log held in memory."""

    def __init__(self, records: Sequence[Record]) -> None:
        self.records = {(r.topic, r.partition, r.offset): r for r in records}

    first_offset = 1

    def last_read(self, partition: Partition, checkpoint: Checkpoint) -> Record | None:
        return self.records.get((*partition, checkpoint.next_offset - 1))

    def read(self, after: object, limit: int, wait_s: float = 0) -> list[Record]:
        return list(self.records.values())

    def ends(self) -> dict[Partition, int]:
        return {}

    def controls(self) -> list[Record]:
        return []

    def identities(self) -> dict[str, str]:
        return {}

    def restore(self, record: Record) -> Record:
        return record

    def unlisted(self) -> list[str]:
        return []


def test_the_log_that_was_applied_is_recognised(projector: Projector) -> None:
    projector.apply(ten(), AT)
    projector.recognise(Kept(ten()))


@pytest.mark.parametrize(
    ("records", "sentence"),
    [
        (ten()[:9], "yrd.31 partition 0 no longer has offset 10, which the base has applied"),
        ([], "no longer has offset 10"),
        ([*ten()[:9], first(10, grade="三级")], "has another record at offset 10 than the one applied"),
        ([*ten()[:9], ten()[9]._replace(position=99)], "has another record at offset 10 than the one applied"),
    ],
)
def test_a_replaced_or_shortened_log_halts(projector: Projector, records: list[Record], sentence: str) -> None:
    projector.apply(ten(), AT)
    with pytest.raises(LogChanged, match=sentence):
        projector.recognise(Kept(records))


def test_a_publishers_store_is_a_log(projector: Projector, tmp_path: Path) -> None:
    store = embedded(tmp_path)
    entities = [known(fact({"grade": "一级"}, key=f"点{n}"), fact({"grade": "二级"}, day(3), key=f"点{n}")) for n in range(4)]
    for entity in entities:
        store.record("supply", entity.records)
    log = EmbeddedLog([store])
    while batch := log.read(projector.checkpoints(), 3):
        projector.apply(batch, AT)
    projector.recognise(log)
    assert content(projector) == content(applied_at_once(log_of(entities)))
    store.close()
    (tmp_path / "31.sqlite").unlink()
    emptied = embedded(tmp_path)
    with pytest.raises(LogChanged, match="no longer has offset 8"):
        projector.recognise(EmbeddedLog([emptied]))
    emptied.close()


# -- what can't be applied ------------------------------------------------------------------------------------------------


def test_poison_records_are_quarantined_with_bytes_and_reason_and_the_rest_flows(projector: Projector) -> None:
    poison = [Record("yrd.31", 0, 100 + n, 100 + n, "", "", data, 5) for n, data in enumerate(HOSTILE.values())]
    assert projector.apply([*ten()[:5], *poison, *ten()[5:]], AT) == Applied(10, 0, len(HOSTILE))
    held = rows(projector, "SELECT value, state, length(reason) > 20 FROM quarantine ORDER BY quarantine_no")
    assert sorted(held) == sorted((data, "held", True) for data in HOSTILE.values())
    projector.apply(poison, AT)
    assert rows(projector, "SELECT count(*) FROM quarantine") == [(len(HOSTILE),)]


IDENTITY = entity_id(CODE, "supply", "k1")


@pytest.mark.parametrize(
    ("record", "sentence"),
    [
        (first(1, publisher="32"), "The event says publisher 32 but stands in yrd.31; a publisher records only its own."),
        (first(1)._replace(topic="yrd.32"), "The event says publisher 31 but stands in yrd.32"),
        (first(1)._replace(topic="yrd.33.supply"), "Topic yrd.33.supply is of no listed member; members are 31, 32."),
        (first(1)._replace(topic="yrd"), "is of no listed member"),
        (first(1)._replace(topic="yrd.31.standard"), "An event of kind supply stands in yrd.31.standard"),
        (first(1, "service_object")._replace(topic="yrd.31.supply"), "An event of kind service_object stands in yrd.31.supply"),
        (first(1)._replace(entity_id="00"), "The record's key 00 is not the event's entity"),
        (first(1, business_key="k2"), "is not made of publisher, kind, first key and version 1; it is forged or damaged."),
        (first(1, event_id=event_id(IDENTITY, 2)), "is forged or damaged"),
        (first(1, version=2), "is forged or damaged"),
        (first(1, version=0, event_id=event_id(IDENTITY, 0)), "The event has version 0; versions count from 1."),
        (first(1, version=-1, event_id=event_id(IDENTITY, -1)), "The event has version -1; versions count from 1."),
        (first(1, corrects_event_id=event_id(IDENTITY, 1)), "corrects itself"),
        (first(1, operation="invent"), '"invent" is no operation; known are assert, correct'),
        (first(1, valid_from=day(3), valid_to=day(3)), "The event's interval holds no day"),
        (first(1, valid_from=day(3), valid_to=day(2)), "The event's interval holds no day"),
    ],
)
@pytest.mark.parametrize("among", [0, 20])
def test_an_illegal_record_is_refused_with_its_reason(projector: Projector, record: Record, sentence: str, among: int) -> None:
    good = [first(n) for n in range(30, 30 + among)]
    assert projector.apply([*good, record], AT) == Applied(among, 0, 1)
    ((_, reason),) = quarantined(projector)
    assert sentence in reason


def test_a_topic_with_its_kind_is_accepted(projector: Projector) -> None:
    assert projector.apply([first(1, "service_object")._replace(topic="yrd.31.service-object")], AT) == Applied(1, 0, 0)


def test_another_publishers_correction_annuls_nothing(projector: Projector) -> None:
    mine = known(fact({"grade": "一级"}))
    theirs = known(fact({"grade": "二级"}, key="邻"), publisher="32")
    theirs.records[0]["corrects_event_id"] = mine.records[0]["event_id"]
    projector.apply([*log_of([mine]), *log_of([theirs], "yrd.32")], AT)
    assert rows(projector, "SELECT publisher FROM supply_timeline ORDER BY 1") == [("31",), ("32",)]
    assert rows(projector, "SELECT publisher FROM supply_asof('2025-01-01', NULL) ORDER BY 1") == [("31",), ("32",)]


def test_a_record_that_the_database_refuses_is_found_and_the_rest_applied(projector: Projector) -> None:
    projector.connection.execute("ALTER TABLE standard_history ALTER value TYPE DECIMAL(4, 1)")
    records = [first(n, "standard", value=Decimal(123456 if n in (3, 17) else n)) for n in range(1, 30)]
    assert projector.apply(records, AT) == Applied(27, 0, 2)
    assert [offset for offset, _ in quarantined(projector)] == [3, 17]
    assert all("The base refused the record" in reason for _, reason in quarantined(projector))
    assert projector.checkpoints()["yrd.31", 0].next_offset == 30
    projector.connection.execute("ALTER TABLE standard_history ALTER value TYPE DECIMAL(18, 4)")
    assert projector.retry() == Applied(2, 0, 0)
    assert content(projector)[0] == content(applied_at_once(records))[0]


# -- crashes ---------------------------------------------------------------------------------------------------------------

WORKER = """
import os
import sys
from datetime import UTC, datetime
import duckdb
from projections.projector import Projector
from repository.store.log import EmbeddedLog
from tests.support.histories import embedded
from pathlib import Path
folder, stop = Path(sys.argv[1]), int(sys.argv[2])
projector = Projector(duckdb.connect(str(folder / "base.duckdb"), config={"threads": 1}))
projector.connection.execute("SET wal_autocheckpoint = '1GB'")
log = EmbeddedLog([embedded(folder)])
projector.recognise(log)
print("ready", flush=True)
while batch := log.read(projector.checkpoints(), 40):
    projector.apply(batch, datetime.now(UTC))
    print(batch[-1].offset, flush=True)
    if batch[-1].offset >= stop:
        os._exit(0)
"""
EVENTS = 3000


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a store of EVENTS events and an empty base."""
    folder = tmp_path_factory.mktemp("crash")
    store = embedded(folder)
    rows_ = []
    from repository.store.publisher import stored_row

    for number in range(EVENTS // 2):
        entity = known(
            fact({"grade": "一级"}, key=f"点{number}"), fact({"grade": "二级"}, day(number % 9 + 1), key=f"点{number}")
        )
        rows_ += [stored_row("supply", record) for record in entity.records]
    with store.bulk() as append:
        append(rows_)
    store.close()
    projector = base(str(folder / "base.duckdb"))
    projector.connection.close()
    return folder


def catch_up(folder: Path) -> tuple[object, ...]:
    """Project all that is left, without interruption, and say what the base holds."""
    store = embedded(folder)
    log = EmbeddedLog([store])
    projector = Projector(duckdb.connect(str(folder / "base.duckdb"), config={"threads": 1}))
    projector.recognise(log)
    while batch := log.read(projector.checkpoints(), 1000):
        projector.apply(batch, AT)
    found = content(projector)
    projector.connection.close()
    store.close()
    return found


@pytest.fixture(scope="module")
def expected(written: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[object, ...]:
    folder = tmp_path_factory.mktemp("expected")
    for path in written.iterdir():
        shutil.copy(path, folder)
    return catch_up(folder)


def assert_whole(folder: Path) -> int:
    """The rows are exactly the events below the stored offset, and the timeline is theirs. Gives the offset."""
    connection = duckdb.connect(str(folder / "base.duckdb"))
    reached = Projector(connection).checkpoints().get(("yrd.31", 0))
    below = 0 if reached is None else reached.next_offset - 1
    found = connection.execute(
        "SELECT count(*), count(DISTINCT position), coalesce(max(position), 0) FROM supply_history"
    ).fetchall()
    assert found == [(below, below, below)]
    segments = connection.execute("SELECT count(*) FROM supply_timeline").fetchall()
    assert segments == [(below,)]
    connection.close()
    return below


@many_times("rounds", 20)
def test_killed_again_and_again_the_base_holds_the_events_below_its_offset(
    written: Path, expected: tuple[object, ...], tmp_path: Path, rounds: int
) -> None:
    for path in written.iterdir():
        shutil.copy(path, tmp_path)
    chance, interrupted = random.Random(4), 0
    env = os.environ | {"PYTHONPATH": str(ROOT)}
    for _ in range(rounds):
        worker = subprocess.Popen(
            [sys.executable, "-c", WORKER, str(tmp_path), str(EVENTS)], stdout=subprocess.PIPE, env=env, text=True
        )
        assert worker.stdout is not None
        said = [worker.stdout.readline() for _ in range(chance.randint(2, 6))]
        assert said[0] == "ready\n"
        time.sleep(chance.uniform(0, 0.05))
        worker.send_signal(signal.SIGKILL)
        worker.communicate()
        told, reached = int(said[-1]), assert_whole(tmp_path)
        assert told <= reached, "a commit that was told of is lost"
        interrupted += reached < EVENTS
    assert interrupted, "no round was killed before it was done"
    assert catch_up(tmp_path) == expected


@many_times("cuts", 50)
def test_a_write_ahead_log_cut_anywhere_reopens_at_a_whole_commit(
    written: Path, expected: tuple[object, ...], tmp_path: Path, cuts: int
) -> None:
    for path in written.iterdir():
        shutil.copy(path, tmp_path)
    env = os.environ | {"PYTHONPATH": str(ROOT)}
    subprocess.run([sys.executable, "-c", WORKER, str(tmp_path), "1200"], check=True, env=env, stdout=subprocess.DEVNULL)
    whole = (tmp_path / "base.duckdb.wal").read_bytes()
    kept = (tmp_path / "base.duckdb").read_bytes()
    chance = random.Random(5)
    reached = set()
    for _ in range(cuts):
        (tmp_path / "base.duckdb").write_bytes(kept)
        (tmp_path / "base.duckdb.wal").write_bytes(whole[: chance.randrange(len(whole) + 1)])
        reached.add(assert_whole(tmp_path))
    assert len(reached) > cuts // 3
    assert catch_up(tmp_path) == expected
