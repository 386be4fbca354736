"""The event store of a publisher: the same bytes however they came in, all or nothing, one writer at a time."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from repository.decisions.entity import Entity, correct, merge, rename, report
from repository.events.encoding import encode
from repository.events.identity import entity_id
from repository.store.publisher import Publisher, StoreChanged, stored_row
from schemas.contracts import KINDS
from tests.support.histories import CODE, STANDARD, SUPPLY, day, fact, known, plain_record, recording
from tests.support.postgres import environment

Opened = Callable[[], Publisher]


@pytest.fixture(params=["sqlite", "postgres"])
def opened(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Opened]:
    """Opens the same empty store, as often as asked."""
    if request.param == "sqlite":
        env = {"PERSISTENCE_MODULE": "eventsourcing.sqlite", "SQLITE_DBNAME": str(tmp_path / "31.sqlite")}
    else:
        env = environment(request.getfixturevalue("postgres")) | {"PUBLISHER_PERSISTENCE_MODULE": "eventsourcing.postgres"}
        env = env | {"POSTGRES_SCHEMA": f"s{uuid4().hex}"}
        _create_schema(env)
    stores: list[Publisher] = []

    def open_one() -> Publisher:
        stores.append(Publisher(CODE, env))
        return stores[-1]

    yield open_one
    for store in stores:
        store.close()


def _create_schema(env: dict[str, str]) -> None:
    import psycopg

    parts = {
        "host": env["POSTGRES_HOST"],
        "port": env["POSTGRES_PORT"],
        "user": env["POSTGRES_USER"],
        "dbname": env["POSTGRES_DBNAME"],
    }
    with psycopg.connect(**parts, password=env["POSTGRES_PASSWORD"], autocommit=True) as connection:  # type: ignore[arg-type]
        connection.execute(f"CREATE SCHEMA {env['POSTGRES_SCHEMA']}".encode())


@pytest.fixture
def store(opened: Opened) -> Publisher:
    return opened()


def everything(store: Publisher) -> list[tuple[Any, ...]]:
    """All stored events, without their positions."""
    return [(n.originator_id, n.originator_version, n.topic, bytes(n.state)) for n in store.notifications(0, 1000)]


def point(key: str) -> Entity:
    return known(fact({"grade": "一级", "offers[YRD050101].capacity": 5}, key=key), fact({"grade": "二级"}, day(3), key=key))


def registered(store: Publisher, key: str) -> Entity:
    store.record(SUPPLY, point(key).records)
    return store.entity(SUPPLY, key)


# -- recording --------------------------------------------------------------------------------------------------------


def test_live_and_bulk_store_the_same_bytes(opened: Opened, store: Publisher) -> None:
    points = [point(f"点{n}") for n in range(5)]
    with store.bulk() as append:
        for each in points:
            append([stored_row(SUPPLY, record) for record in each.records])
    in_bulk = everything(store)
    assert [state for *_, state in in_bulk] == [encode(SUPPLY, r) for each in points for r in each.records]
    live = Publisher(CODE, {"PERSISTENCE_MODULE": "eventsourcing.popo"})
    for each in points:
        live.record(SUPPLY, each.records)
    assert everything(live) == in_bulk


def test_what_was_recorded_is_read_back(opened: Opened, store: Publisher) -> None:
    given = point("点")
    store.record(SUPPLY, given.records)
    for each in (store, opened()):
        found = each.entity(SUPPLY, "点")
        assert (found.id, found.version, found.records) == (given.id, 2, given.records)
        assert each.last_version(given.id) == 2


@pytest.mark.parametrize("kind", KINDS)
def test_stored_topics_name_kind_and_event_only(store: Publisher, kind: str) -> None:
    store.record(kind, [plain_record(kind, event_type="Registered")])
    assert [topic for _, _, topic, _ in everything(store)] == [f"{kind}.Registered"]


def test_positions_grow_without_holes(store: Publisher) -> None:
    for number in range(3):
        registered(store, f"点{number}")
    positions = [n.id for n in store.notifications(0, 100)]
    assert positions == list(range(1, 7))
    assert [n.id for n in store.notifications(2, 3)] == [3, 4, 5]


def test_an_unknown_key_is_an_entity_without_history(store: Publisher) -> None:
    entity = store.entity(SUPPLY, "nirgends")
    assert (entity.id, entity.version) == (entity_id(CODE, SUPPLY, "nirgends"), 0)
    assert store.by_id(entity.id) is None
    assert store.last_version(entity.id) == 0


# -- two writers, failures ------------------------------------------------------------------------------------------------


def test_two_decisions_on_the_same_history_do_not_both_stand(opened: Opened, store: Publisher) -> None:
    registered(store, "点")
    other = opened()
    one, two = store.entity(SUPPLY, "点"), other.entity(SUPPLY, "点")
    store.record(SUPPLY, report(one, fact({"phone": "1"}, day(5)), recording()))
    with pytest.raises(StoreChanged, match="Events of 点 were recorded meanwhile; report it again"):
        other.record(SUPPLY, report(two, fact({"phone": "2"}, day(5)), recording()))
    assert other.entity(SUPPLY, "点").records[-1]["phone"] == "1"


def test_bulk_collides_with_what_was_recorded_meanwhile(store: Publisher) -> None:
    registered(store, "点")
    with pytest.raises(StoreChanged, match="import the dump again"), store.bulk() as append:
        append([stored_row(SUPPLY, record) for record in point("邻").records])
        append([stored_row(SUPPLY, record) for record in point("点").records])
    assert len(everything(store)) == 2


def test_events_of_one_decision_are_saved_together_or_not_at_all(store: Publisher) -> None:
    entity = registered(store, "点")
    events = correct(entity, entity.records[0]["event_id"], {"offers[YRD050101].capacity": 6}, recording(), None, "")
    assert len(events) == 2
    store.record(SUPPLY, events[1:])
    with pytest.raises(StoreChanged):
        store.record(SUPPLY, events)
    assert len(everything(store)) == 3


def test_bulk_that_is_broken_off_leaves_nothing(store: Publisher) -> None:
    registered(store, "点")
    before = everything(store)
    with pytest.raises(RuntimeError, match="the dump ends here"), store.bulk() as append:
        append([stored_row(SUPPLY, record) for record in point("邻").records])
        raise RuntimeError("the dump ends here")
    assert everything(store) == before
    registered(store, "邻")
    assert len(everything(store)) == 4


# -- keys ------------------------------------------------------------------------------------------------------------------


def test_a_renamed_entity_answers_to_both_keys(opened: Opened, store: Publisher) -> None:
    entity = registered(store, "旧")
    store.record(SUPPLY, rename(entity, "新", day(4), recording(), fact({})))
    for each in (store, opened()):
        assert each.entity(SUPPLY, "新").id == each.entity(SUPPLY, "旧").id == entity.id
        assert each.entity(SUPPLY, "旧").business_key == "新"
        assert each.entity(STANDARD, "新").version == 0
        assert each.moved_keys() == {(SUPPLY, "新"): entity.id}


def test_a_key_leads_through_mergers_and_a_new_name_to_the_last_entity(opened: Opened, store: Publisher) -> None:
    one, two, three = (registered(store, key) for key in ("甲", "乙", "丙"))
    store.record(SUPPLY, merge(one, two.id, day(4), recording(), fact({})))
    store.record(SUPPLY, merge(two, three.id, day(5), recording(), fact({})))
    store.record(SUPPLY, rename(three, "丁", day(6), recording(), fact({})))
    for each in (store, opened()):
        assert {each.entity(SUPPLY, key).id for key in ("甲", "乙", "丙", "丁")} == {three.id}
        assert each.moved_keys() == dict.fromkeys([(SUPPLY, "甲"), (SUPPLY, "乙"), (SUPPLY, "丁")], three.id)


def test_mergers_in_a_circle_do_not_hang(store: Publisher) -> None:
    one, two = registered(store, "甲"), registered(store, "乙")
    store.record(SUPPLY, merge(one, two.id, day(4), recording(), fact({})))
    store.record(SUPPLY, merge(two, one.id, day(5), recording(), fact({})))
    assert store.entity(SUPPLY, "甲").id in (one.id, two.id)
    assert store.entity(SUPPLY, "乙").id in (one.id, two.id)
    assert len(store.moved_keys()) == 2


def test_a_report_under_the_old_key_goes_on_with_the_history(store: Publisher) -> None:
    entity = registered(store, "旧")
    store.record(SUPPLY, rename(entity, "新", day(4), recording(), fact({})))
    events = report(store.entity(SUPPLY, "旧"), fact({"phone": "1"}, day(6), key="旧"), recording())
    assert [(e["version"], e["business_key"], e["entity_id"]) for e in events] == [(4, "新", entity.id)]
