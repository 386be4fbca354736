"""The state of an entity: fields and entries put in by path, and the paths that differ."""

import pytest
from hypothesis import given, settings

from repository.decisions.state import NotAState, differences, empty, stated, value_at
from schemas.contracts import KINDS, state_fields
from tests.support.histories import STATES

BEDS = "offers[YRD050101].capacity"


@pytest.mark.parametrize("kind", KINDS)
def test_the_empty_state_holds_every_field(kind: str) -> None:
    assert empty(kind).keys() == state_fields(kind).keys()
    assert differences(kind, empty(kind), empty(kind)) == []


def test_a_cell_makes_its_entry_and_leaves_the_others() -> None:
    one = stated("supply", empty("supply"), {BEDS: 5, "offers[YRD050101].unit": "bed"})
    two = stated("supply", one, {"offers[NBPS040202].capacity": 1, BEDS: 6})
    assert [(o["item_code"], o["capacity"], o["unit"]) for o in two["offers"]] == [
        ("NBPS040202", 1, None),
        ("YRD050101", 6, "bed"),
    ]
    assert value_at(one, BEDS) == 5
    assert differences("supply", one, two) == ["offers[NBPS040202]", BEDS]


def test_an_entry_without_cell_and_value_is_taken_away() -> None:
    one = stated("supply", empty("supply"), {BEDS: 5})
    assert stated("supply", one, {"offers[YRD050101]": None})["offers"] == []
    assert stated("supply", empty("supply"), {"offers[YRD050101]": None})["offers"] == []


def test_a_whole_entry_replaces_what_was_there() -> None:
    one = stated("supply", empty("supply"), {BEDS: 5, "offers[YRD050101].unit": "bed"})
    (offer,) = stated("supply", one, {"offers[YRD050101]": {"capacity": 7}})["offers"]
    assert (offer["capacity"], offer["unit"], offer["accepts_from"]) == (7, None, [])


def test_a_whole_array_is_put_in_the_order_of_item_codes() -> None:
    given_ = [{"item_code": "YRD050102"}, {"item_code": "YRD050101", "capacity": 1}]
    found = stated("supply", empty("supply"), {"offers": given_})["offers"]
    assert [(o["item_code"], o["capacity"]) for o in found] == [("YRD050101", 1), ("YRD050102", None)]


def test_none_is_unknown_where_that_can_be_said_and_the_default_elsewhere() -> None:
    found = stated("supply", empty("supply"), {"grade": None, "status": None, "offers": None})
    assert (found["grade"], found["status"], found["offers"]) == (None, "active", [])


@pytest.mark.parametrize(
    ("fields", "sentence"),
    [
        ({"beds": 1}, 'supply has no field "beds"'),
        ({"version": 1}, 'supply has no field "version"'),
        ({"grade[1]": 1}, r'supply has no field "grade\[1\]"'),
        ({"offers[YRD050101].item_code": "x"}, '"offers" has no cell "item_code"'),
        ({"offers": [{"capacity": 1}]}, 'Every entry of "offers" needs an item_code'),
        ({"offers": [{"item_code": "YRD050101", "beds": 1}]}, '"offers" has no cell "beds"'),
        ({"offers": [{"item_code": "YRD050101", "unit": "room"}]}, '"room" is no code of offers.unit; use one of bed'),
        ({"category": "inn"}, '"inn" is no code of category'),
    ],
)
def test_what_the_kind_does_not_have_is_refused_by_name(fields: dict[str, object], sentence: str) -> None:
    with pytest.raises(NotAState, match=sentence):
        stated("supply", empty("supply"), fields)


@settings(max_examples=80)
@given(STATES, STATES)
def test_the_differences_lead_from_one_state_to_the_other(one: dict[str, object], other: dict[str, object]) -> None:
    before, after = (stated("supply", empty("supply"), fields) for fields in (one, other))
    changed = differences("supply", before, after)
    assert stated("supply", before, {path: value_at(after, path) for path in changed}) == after
    assert (changed == []) == (before == after)
