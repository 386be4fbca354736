"""What an entity decides: given what is known of it, a fact is reported, corrected or retracted; then these events."""

from datetime import date
from decimal import Decimal
from typing import Any
from uuid import UUID, uuid4

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from repository.decisions.entity import Entity, NotCorrectable, Superseded, correct, merge, rename, report, retract, split
from repository.decisions.facts import Authority, Fact
from repository.decisions.state import NotAState, value_at
from repository.decisions.timeline import BEGINNING, FOREVER, Segment
from repository.events.identity import entity_id, event_id
from repository.kinds.rules import Violation
from tests.support.histories import CODE, DAY, NOW, STANDARD, STATES, SUBJECT, day, fact, facts, histories, known, recording, tell

BEDS, DAY_CARE = "offers[YRD050101].capacity", "offers[YRD050102].capacity"
PRICE, SETTLES = "offers[YRD050101].price", "offers[YRD050101].direct_settlement"
FUND = "enrolments[NBPS040302].scheme"
RECORDED = recording(60)


def then(entity: Entity, each: Fact) -> list[dict[str, Any]]:
    """The events of a report, not put into the entity."""
    return report(entity, each, RECORDED)


def spans(entity: Entity, path: str = "grade") -> list[tuple[date, date, object]]:
    """The timeline of one field, neighbouring stretches of one value joined."""
    found: list[tuple[date, date, object]] = []
    for segment in entity.timeline:
        value = value_at(segment.statement.state, path)
        if found and found[-1][1:] == (segment.start, value):
            found[-1] = (found[-1][0], segment.end, value)
        else:
            found.append((segment.start, segment.end, value))
    return found


def contents(segments: list[Segment]) -> list[tuple[object, ...]]:
    """What the timeline says, whoever said it: neighbouring stretches of one state joined."""
    said: list[tuple[Any, ...]] = []
    for start, end, statement in segments:
        state = {
            n: v for n, v in statement.state.items() if n in ("grade", "phone", "offers", "status", "doc_no", "published_on")
        }
        if said and said[-1][1:] == (start, state):
            said[-1] = (said[-1][0], end, state)
        else:
            said.append((start, end, state))
    return said


# -- the names of facts ------------------------------------------------------------------------------------------------

WORKING: dict[str, object] = {"provider_name": "甲", BEDS: 10}
OLD = {"subject_type": "person", "subject_token": "t1:00", "division_code": "319999"}


@pytest.mark.parametrize(
    ("before", "reported", "name"),
    [
        (WORKING, {"status": "closed"}, "ServicePointClosed"),
        (WORKING | {"status": "suspended"}, {"status": "closed"}, "ServicePointClosed"),
        (WORKING | {"status": "closed"}, {"status": "active"}, "ServicePointReopened"),
        (WORKING, {"status": "suspended"}, "ServicePointSuspended"),
        (WORKING | {"status": "suspended"}, {"status": "active"}, "ServicePointResumed"),
        (WORKING, {DAY_CARE: 5}, "OfferOpened"),
        (WORKING, {"offers[YRD050101]": None}, "OfferClosed"),
        (WORKING, {SETTLES: True}, "DirectSettlementOpened"),
        (WORKING | {SETTLES: True}, {SETTLES: False}, "OfferChanged"),
        (WORKING, {BEDS: 11}, "CapacityChanged"),
        (WORKING, {BEDS: 11, PRICE: Decimal(5)}, "CapacityChanged"),
        (WORKING, {"offers[YRD050101].available": 3}, "CapacityChanged"),
        (WORKING, {PRICE: Decimal("1200.5")}, "PriceChanged"),
        (WORKING, {"offers[YRD050101].unit": "bed"}, "OfferChanged"),
        (WORKING, {"phone": "021"}, "DetailsChanged"),
        (WORKING, {"phone": "021", BEDS: 11}, "CapacityChanged"),
    ],
)
def test_a_change_of_supply_is_named_by_the_first_applicable_fact(
    before: dict[str, object], reported: dict[str, object], name: str
) -> None:
    (event,) = then(known(fact(before)), fact(reported, day(10)))
    assert event["event_type"] == name
    assert set(event["changed"]) == {path.replace("[YRD050102].capacity", "[YRD050102]") for path in reported}


@pytest.mark.parametrize(
    ("before", "reported", "name"),
    [
        (OLD, {"status": "deregistered"}, "SubjectDeregistered"),
        (OLD | {"status": "deregistered"}, {"status": "active"}, "SubjectRegistered"),
        (OLD, {FUND: "居民医保"}, "EnrolmentOpened"),
        (OLD | {FUND: "居民医保"}, {"enrolments[NBPS040302]": None}, "EnrolmentClosed"),
        (OLD, {"division_code": "329999"}, "SubjectMoved"),
        (OLD, {"division_code": "329999", FUND: "居民医保"}, "EnrolmentOpened"),
        (OLD | {FUND: "居民医保"}, {FUND: "职工医保"}, "SubjectChanged"),
        ({"group_code": "total", "persons": 5}, {"persons": 6}, "PopulationCounted"),
    ],
)
def test_a_change_of_a_subject_is_named_by_the_first_applicable_fact(
    before: dict[str, object], reported: dict[str, object], name: str
) -> None:
    (event,) = then(known(fact(before, kind=SUBJECT)), fact(reported, day(10), kind=SUBJECT))
    assert event["event_type"] == name


@pytest.mark.parametrize(
    ("before", "reported", "name"),
    [
        ({"value": Decimal(5)}, {"value": Decimal(6)}, "StandardRevised"),
        ({"value": Decimal(5)}, {"status": "repealed"}, "StandardRepealed"),
        ({"status": "repealed"}, {"status": "in_force"}, "StandardPublished"),
    ],
)
def test_a_change_of_a_standard_is_named_by_the_first_applicable_fact(
    before: dict[str, object], reported: dict[str, object], name: str
) -> None:
    (event,) = then(known(fact(before, kind=STANDARD)), fact(reported, day(10), kind=STANDARD))
    assert event["event_type"] == name


@pytest.mark.parametrize(
    ("kind", "fields", "name"),
    [
        ("supply", WORKING, "ServicePointRegistered"),
        (STANDARD, {"value": Decimal(5)}, "StandardPublished"),
        (SUBJECT, OLD, "SubjectRegistered"),
        (SUBJECT, {"group_code": "age_60_plus", "persons": 7}, "PopulationCounted"),
    ],
)
def test_the_first_fact_registers(kind: str, fields: dict[str, object], name: str) -> None:
    (event,) = then(Entity.unknown(kind, CODE, "点"), fact(fields, kind=kind))
    identity = entity_id(CODE, kind, "点")
    assert (event["event_type"], event["version"], event["changed"]) == (name, 1, [])
    assert (event["entity_id"], event["event_id"]) == (identity, event_id(identity, 1))
    assert (event["valid_from"], event["valid_to"], event["recorded_at"]) == (DAY, None, RECORDED.recorded_at)


# -- intervals -------------------------------------------------------------------------------------------------------


def test_one_row_over_one_interval_is_one_event() -> None:
    (event,) = then(known(fact(WORKING)), fact({BEDS: 20, "phone": "021", "grade": "三级", PRICE: Decimal(9)}, day(3)))
    assert event["changed"] == ["grade", "phone", BEDS, PRICE]


def test_a_census_imported_late_does_not_hide_the_newer_one() -> None:
    counted = fact({"group_code": "total", "persons": 20}, date(2020, 11, 1), SUBJECT)
    earlier = fact({"group_code": "total", "persons": 10}, date(2010, 11, 1), SUBJECT)
    entity = known(counted, earlier)
    assert [(s.start, s.end, s.statement.state["persons"]) for s in entity.timeline] == [
        (date(2010, 11, 1), date(2020, 11, 1), 10),
        (date(2020, 11, 1), FOREVER, 20),
    ]
    assert entity.records[1]["stated_to"] is None


def test_a_fact_over_several_segments_is_one_event_each_with_what_it_does_not_mention_inherited() -> None:
    entity = known(
        fact({"grade": "一级", "phone": "1"}),
        fact({"phone": "2"}, day(5), published_on=DAY),
        fact({"phone": "3"}, day(8), published_on=DAY),
    )
    events = then(entity, fact({"grade": "二级"}, day(3), stated_to=day(10), published_on=day(1)))
    assert [(e["valid_from"], e["valid_to"], e["phone"]) for e in events] == [
        (day(3), day(5), "1"),
        (day(5), day(8), "2"),
        (day(8), day(10), "3"),
    ]
    assert [e["version"] for e in events] == [4, 5, 6]
    assert all((e["grade"], e["stated_to"], e["changed"]) == ("二级", day(10), ["grade"]) for e in events)


def test_neighbouring_segments_that_end_alike_are_one_event() -> None:
    entity = known(fact({"grade": "一级"}), fact({"grade": "二级"}, day(5), published_on=DAY))
    (event,) = then(entity, fact({"grade": "三级"}, day(3), stated_to=day(10), published_on=day(1)))
    assert (event["valid_from"], event["valid_to"]) == (day(3), day(10))


def test_a_fact_without_stated_start_begins_where_nothing_is_known() -> None:
    (event,) = then(Entity.unknown("supply", CODE, "点"), fact(WORKING, None))
    assert (event["valid_from"], event["valid_to"]) == (None, None)


def test_a_field_stated_as_unknown_is_not_inherited() -> None:
    (event,) = then(known(fact({"grade": "一级", "phone": "1"})), fact({"phone": None}, day(2)))
    assert (event["grade"], event["phone"], event["changed"]) == ("一级", None, ["phone"])


@settings(max_examples=50)
@given(st.lists(st.integers(0, 30), unique=True, min_size=1, max_size=6), st.data())
def test_open_facts_end_in_the_same_timeline_in_any_order(starts: list[int], data: st.DataObject) -> None:
    reported = [fact({"grade": f"{n}级", "phone": str(n)}, day(n)) for n in starts]
    assert contents(known(*data.draw(st.permutations(reported))).timeline) == contents(known(*reported).timeline)


# -- nothing new --------------------------------------------------------------------------------------------------------


@settings(max_examples=80)
@given(histories(), facts())
def test_reporting_again_records_nothing(entity: Entity, again: Fact) -> None:
    tell(entity, again)
    assert tell(entity, again) == []


def test_a_source_repeats_itself_after_another_sources_word() -> None:
    one, other = fact({"grade": "一级"}, source="one"), fact({"grade": "二级"}, source="two")
    assert [len(tell(known(one, other), each)) for each in (one, other)] == [0, 0]


def test_a_source_repeats_itself_after_a_correction() -> None:
    entity = known(fact({"grade": "一级"}))
    entity.records += correct(entity, entity.records[0]["event_id"], {"grade": "二级"}, RECORDED, None, "typed")
    assert then(entity, fact({"grade": "一级"})) == []
    assert [e["grade"] for e in then(entity, fact({"grade": "三级"}))] == ["三级"]


def test_a_source_that_takes_its_word_back_is_heard() -> None:
    one, other = fact({"grade": "一级"}), fact({"grade": "二级"})
    assert [len(tell(known(one, other), each)) for each in (one, other)] == [1, 0]


def test_what_another_source_said_already_is_nothing_new() -> None:
    assert then(known(fact({"grade": "一级", "phone": "1"})), fact({"grade": "一级"}, day(4), source="other")) == []


def test_a_document_named_for_the_first_time_is_new() -> None:
    named = fact({"grade": "一级"}, rests_on=Authority("沪民规〔2020〕1号"))
    (event,) = then(known(fact({"grade": "一级"})), named)
    assert (event["doc_no"], event["changed"]) == ("沪民规〔2020〕1号", [])


# -- correcting -------------------------------------------------------------------------------------------------------


def corrected(entity: Entity, number: int, **fields: object) -> list[dict[str, Any]]:
    """Correct the entity's event of this version, and put the events into the entity."""
    events = correct(entity, entity.records[number - 1]["event_id"], fields, RECORDED, "clerk", "typed wrongly")
    entity.records.extend(events)
    return events


def test_a_correction_restates_later_segments_that_inherited_the_error() -> None:
    entity = known(fact({"grade": "一级", "phone": "1"}), fact({"phone": "2"}, day(3)), fact({"grade": "三级"}, day(6)))
    events = corrected(entity, 1, grade="二级")
    assert [(e["corrects_event_id"], e["valid_from"], e["valid_to"], e["phone"]) for e in events] == [
        (entity.records[0]["event_id"], DAY, day(3), "1"),
        (entity.records[1]["event_id"], day(3), day(6), "2"),
    ]
    assert all((e["event_type"], e["operation"], e["changed"]) == ("FactCorrected", "correct", ["grade"]) for e in events)
    assert spans(entity) == [(DAY, day(6), "二级"), (day(6), FOREVER, "三级")]


def test_a_correction_of_a_correction_reaches_what_the_first_one_reached() -> None:
    entity = known(fact({"grade": "一级", "phone": "1"}), fact({"phone": "2"}, day(3)), fact({"grade": "三级"}, day(6)))
    corrected(entity, 1, grade="二级")
    corrected(entity, 4, grade="四级")
    assert spans(entity) == [(DAY, day(6), "四级"), (day(6), FOREVER, "三级")]


def test_a_correction_spares_what_was_put_right_by_itself() -> None:
    entity = known(fact({"grade": "一级", "phone": "1"}), fact({"phone": "2"}, day(3)))
    entity.records.extend(correct(entity, entity.records[1]["event_id"], {"grade": "二级"}, recording(5), None, "asked there"))
    corrected(entity, 1, grade="四级")
    assert spans(entity) == [(DAY, day(3), "四级"), (day(3), FOREVER, "二级")]


def test_a_correction_of_an_interrupted_statement_reaches_both_sides() -> None:
    entity = known(fact({"grade": "一级"}), fact({"grade": "三级"}, day(3), stated_to=day(5)))
    assert len(corrected(entity, 1, grade="二级")) == 2
    assert spans(entity) == [(DAY, day(3), "二级"), (day(3), day(5), "三级"), (day(5), FOREVER, "二级")]


def test_a_correction_that_changes_nothing_records_nothing() -> None:
    assert corrected(known(fact({"grade": "一级"})), 1, grade="一级") == []


def test_only_what_shows_is_corrected() -> None:
    entity = known(fact({"grade": "一级"}), fact({"grade": "二级"}))
    with pytest.raises(NotCorrectable, match=f"correct one of {entity.records[1]['event_id']}"):
        corrected(entity, 1, grade="三级")
    with pytest.raises(NotCorrectable, match=r"点 has no event 0+-"):
        correct(entity, UUID(int=0), {"grade": "三级"}, RECORDED, None, "")


# -- retracting -------------------------------------------------------------------------------------------------------


def retracted(entity: Entity, gone: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Retract events, the last first, and put what follows into the entity."""
    events: list[dict[str, Any]] = []
    for event in reversed(gone):
        made = retract(entity, event["event_id"], RECORDED, "clerk", "never so")
        entity.records.extend(made)
        events += made
    return events


@settings(max_examples=80)
@given(histories(), facts())
def test_retracting_the_last_report_restores_what_was_known_before(entity: Entity, last: Fact) -> None:
    before = contents(entity.timeline)
    retracted(entity, tell(entity, last, 50))
    assert contents(entity.timeline) == before


@settings(max_examples=80)
@given(histories(), STATES, st.data())
def test_retracting_a_correction_restores_what_was_known_before(
    entity: Entity, fields: dict[str, object], data: st.DataObject
) -> None:
    assume(entity.timeline)
    before = contents(entity.timeline)
    wrong = UUID(str(data.draw(st.sampled_from(entity.timeline)).statement.state["event_id"]))
    made = correct(entity, wrong, fields, recording(50), None, "")
    entity.records.extend(made)
    retracted(entity, made)
    assert contents(entity.timeline) == before


def test_retracting_an_interruption_after_a_correction_leaves_no_hole() -> None:
    entity = known(fact({"grade": "一级"}), fact({"grade": "三级"}, day(3), stated_to=day(5)))
    interruption = entity.records[1]
    corrected(entity, 1, grade="二级")
    retracted(entity, [interruption])
    assert spans(entity) == [(DAY, FOREVER, "二级")]


def test_a_retraction_names_what_it_annuls_and_says_why() -> None:
    entity = known(fact({"grade": "一级"}))
    (event,) = retracted(entity, [entity.records[0]])
    assert (event["event_type"], event["operation"], event["reason"]) == ("FactRetracted", "retract", "never so")
    assert event["corrects_event_id"] == entity.records[0]["event_id"]
    assert entity.timeline == []


def test_nothing_is_retracted_twice() -> None:
    entity = known(fact({"grade": "一级"}))
    (gone,) = retracted(entity, [entity.records[0]])
    with pytest.raises(NotCorrectable, match="was annulled before"):
        retract(entity, entity.records[0]["event_id"], RECORDED, None, "")
    with pytest.raises(NotCorrectable, match=r"no event .* that states something"):
        retract(entity, gone["event_id"], RECORDED, None, "")


def test_what_was_retracted_can_be_reported_anew() -> None:
    entity = known(fact({"grade": "一级"}), fact({"grade": "二级"}))
    retracted(entity, entity.records[:])
    assert entity.timeline == []
    (event,) = then(entity, fact({"grade": "一级"}, source="other"))
    assert event["event_type"] == "ServicePointRegistered"


# -- keys -------------------------------------------------------------------------------------------------------------


def test_a_renamed_entity_keeps_its_identity_and_history() -> None:
    entity = known(fact(WORKING))
    (event,) = rename(entity, "新点", day(4), RECORDED, fact({}))
    assert (event["event_type"], event["business_key"], event["valid_from"]) == ("EntityRenamed", "新点", day(4))
    again = Entity.of("supply", [*entity.records, event])
    assert (again.id, again.business_key, again.version) == (entity.id, "新点", 2)
    assert contents(again.timeline) == contents(entity.timeline)


def test_a_merged_entity_ends_and_names_the_other() -> None:
    into = uuid4()
    (event,) = merge(known(fact(WORKING)), into, day(4), RECORDED, fact({}))
    assert (event["event_type"], event["operation"], event["status"]) == ("EntityMerged", "merge", "closed")
    assert (event["related_entity_ids"], event["valid_from"]) == ([into], day(4))


def test_an_entity_does_not_merge_into_itself() -> None:
    entity = known(fact(WORKING))
    with pytest.raises(Violation, match="点 can't be merged into itself"):
        merge(entity, entity.id, day(4), RECORDED, fact({}))


def test_a_split_entity_ends_unless_it_is_one_of_its_parts() -> None:
    entity, other = known(fact(WORKING)), uuid4()
    (ended,) = split(entity, [other], day(4), RECORDED, fact({}))
    (goes_on,) = split(entity, [entity.id, other], day(4), RECORDED, fact({}))
    assert (ended["event_type"], ended["status"], goes_on["status"]) == ("EntitySplit", "closed", "active")
    assert ended["related_entity_ids"] == goes_on["related_entity_ids"] == [other]


# -- what can't be ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "fields", "sentence"),
    [
        ("supply", {BEDS: -1}, "capacity of YRD050101 is -1; it can't be below 0"),
        ("supply", {BEDS: 5, "offers[YRD050101].available": 6}, "YRD050101 has 6 free of 5"),
        ("supply", {"longitude": 121.5}, "Longitude and latitude go together"),
        ("supply", {"longitude": 31.2, "latitude": 121.5}, r"\(31.2, 121.5\) is no place on earth"),
        (STANDARD, {"comparator": "range", "value": Decimal(5)}, "needs both value and value_max"),
        (STANDARD, {"value": Decimal(6), "value_max": Decimal(5)}, "from 6 to 5 is empty"),
        (STANDARD, {"comparator": "derived"}, "needs derived_from"),
        (SUBJECT, {"subject_type": "person"}, "A person needs a subject_token"),
        (SUBJECT, {"group_code": "everyone"}, '"everyone" is no group code'),
        (SUBJECT, {"group_code": "total", "persons": -3}, "-3 persons in group total"),
        (SUBJECT, {"group_code": "total", "share": Decimal(101)}, "A share of 101 percent"),
    ],
)
def test_a_state_that_cannot_be_is_refused_with_its_value(kind: str, fields: dict[str, object], sentence: str) -> None:
    with pytest.raises(Violation, match=sentence):
        then(Entity.unknown(kind, CODE, "点"), fact(fields, kind=kind))


@pytest.mark.parametrize(
    ("fields", "sentence"),
    [
        ({"beds": 5}, 'supply has no field "beds"; known are provider_name'),
        ({"status": "open"}, '"open" is no code of status; use one of active, closed, suspended'),
        ({"offers[YRD050101].beds": 5}, '"offers" has no cell "beds"; it has capacity'),
        ({"offers[YRD050101].unit": "room"}, '"room" is no code of offers.unit'),
    ],
)
def test_a_field_or_code_that_is_not_there_is_refused_by_name(fields: dict[str, object], sentence: str) -> None:
    with pytest.raises(NotAState, match=sentence):
        then(Entity.unknown("supply", CODE, "点"), fact(fields))


@pytest.mark.parametrize("given_before", [(), (fact(WORKING),), (fact(WORKING, None),)])
@pytest.mark.parametrize("stated_to", [DAY, day(-1), BEGINNING])
def test_an_interval_without_days_is_refused(given_before: tuple[Fact, ...], stated_to: date) -> None:
    entity = known(*given_before) if given_before else Entity.unknown("supply", CODE, "点")
    with pytest.raises(Violation, match=f"from 2020-01-01 to {stated_to} holds no day"):
        then(entity, fact({"phone": "1"}, DAY, stated_to=stated_to))


def test_a_fact_that_a_later_publication_covers_is_superseded() -> None:
    newer = fact({"grade": "二级"}, DAY, stated_to=day(9), rests_on=Authority("新规", published_on=day(1)))
    with pytest.raises(Superseded, match=r"点 states from 2020-01-03 is taken by a later publication \(新规, 2020-01-02\)"):
        then(known(newer), fact({"grade": "一级"}, day(2), stated_to=day(5), published_on=DAY))


def test_a_recording_carries_who_when_and_which_import() -> None:
    batch = uuid4()
    recorded = type(RECORDED)(CODE, NOW, batch)
    (event,) = report(
        Entity.unknown("supply", CODE, "点"), fact(WORKING, operator="clerk", flags=("division_by_address",)), recorded
    )
    assert (event["batch_id"], event["recorded_at"], event["operator"]) == (batch, NOW, "clerk")
    assert (event["flags"], event["source"], event["publisher"]) == (["division_by_address"], "list", CODE)
