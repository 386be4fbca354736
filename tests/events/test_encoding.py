"""Stored bytes: two ways to write the same, one way to read them back, and what is refused on either side."""

import math
import random
import tracemalloc
from datetime import UTC, date, datetime
from decimal import Decimal
from time import perf_counter
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from repository.events.columns import Constant, encode_columns
from repository.events.encoding import EVENT_LIMIT_BYTES, NotAnEvent, decode, encode
from schemas.contracts import KINDS, fields
from tests.support.histories import physical, plain_record, records
from tests.support.hostile import GOOD, HOSTILE, OFFER, RECORD
from tests.support.suites import few_and_many

many = settings(max_examples=40)


def columns_of(kind: str, rows: list[dict[str, Any]]) -> dict[str, Any]:
    """Records as the columns that `encode_columns` takes."""
    return {name: [physical(type_, row[name]) for row in rows] for name, type_ in fields(kind).items()}


@pytest.mark.parametrize("kind", KINDS)
@many
@given(data=st.data())
def test_columns_are_encoded_byte_for_byte_like_records(kind: str, data: st.DataObject) -> None:
    rows = data.draw(st.lists(records(kind), min_size=1, max_size=3))
    assert encode_columns(kind, columns_of(kind, rows), len(rows)) == [encode(kind, row) for row in rows]


@pytest.mark.parametrize("kind", KINDS)
@many
@given(data=st.data())
def test_what_was_encoded_is_decoded_to_the_same(kind: str, data: st.DataObject) -> None:
    record = data.draw(records(kind))
    assert decode(encode(kind, record)) == (kind, record)


@pytest.mark.parametrize("kind", KINDS)
def test_a_field_that_is_not_given_holds_its_default(kind: str) -> None:
    plain = plain_record(kind)
    given_ = {name: plain[name] for name in ("event_id", "entity_id", "version", "business_key", "publisher")}
    given_ |= {"recorded_at": plain["recorded_at"], "event_type": plain["event_type"]}
    columns = {name: Constant(physical(fields(kind)[name], value)) for name, value in given_.items()}
    assert encode_columns(kind, columns, 2) == [encode(kind, given_)] * 2 == [encode(kind, plain)] * 2


@pytest.mark.parametrize("number", [-129, -128, -127, -1, 0, 127, 128, -32768, 10**18 - 1, -(10**18) + 1])
def test_money_at_the_edges_of_a_byte_is_encoded_alike(number: int) -> None:
    record = plain_record("standard", value=Decimal(number).scaleb(-4))
    assert encode_columns("standard", columns_of("standard", [record]), 1) == [encode("standard", record)]


def test_many_rows_are_encoded_like_each() -> None:
    chance = random.Random(6)
    few: dict[str, list[object]] = {
        "longitude": [0.0, -0.0],
        "valid_from": [None, date(2020, 1, 1)],
        "phone": ["", None],
        "flags": [[], ["a"]],
    }
    prices = [None, Decimal(0), Decimal("-0.0128"), Decimal("1.5")]
    rows = []
    for number in range(200):
        offers = [OFFER | {"price": chance.choice(prices), "capacity": chance.randrange(3)} for _ in range(chance.randrange(3))]
        chosen = {name: chance.choice(options) for name, options in few.items()}
        rows.append(plain_record("supply", number % 7, remarks=str(number), latitude=number / 3, offers=offers, **chosen))
    assert encode_columns("supply", columns_of("supply", rows), 200) == [encode("supply", row) for row in rows]


# -- refused before it is stored ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changed", "sentence"),
    [
        ({"version": 1.0}, 'The field "version" takes a whole number of 32 bits, not 1.0 (float)'),
        ({"version": True}, "whole number of 32 bits, not True (bool)"),
        ({"version": 1 << 31}, "whole number of 32 bits, not 2147483648"),
        ({"recorded_at": datetime(2025, 1, 1)}, "a moment with its time zone"),  # noqa: DTZ001
        ({"recorded_at": date(2025, 1, 1)}, "a moment with its time zone"),
        ({"valid_from": datetime(2025, 1, 1, tzinfo=UTC)}, 'The field "valid_from" takes a day'),
        ({"valid_from": "2025-01-01"}, 'The field "valid_from" takes a day'),
        ({"beds": 5}, 'The schema of supply has no field "beds"; known are event_id'),
        ({"longitude": math.nan}, "a finite decimal number, not nan"),
        ({"longitude": math.inf}, "a finite decimal number, not inf"),
        ({"longitude": 121}, "a finite decimal number, not 121 (int)"),
        ({"status": None}, 'The field "status" may not be null'),
        ({"status": b"active"}, 'The field "status" takes a text'),
        ({"status": "\ud800"}, 'The field "status" takes a text of whole characters'),
        ({"event_id": "1"}, 'The field "event_id" takes a UUID'),
        ({"event_id": str(RECORD["event_id"]).upper().replace("1", "A")}, "takes a UUID in lower case"),
        ({"related_entity_ids": ["1"]}, 'The field "related_entity_ids" takes a list, each a UUID'),
        ({"flags": "a"}, 'The field "flags" takes a list'),
        ({"flags": [1]}, 'The field "flags" takes a list, each a text'),
        ({"offers": [OFFER | {"beds": 1}]}, 'An entry of "offers" takes the cells item_code, capacity'),
        ({"offers": [OFFER | {"capacity": 1.0}]}, 'The field "offers.capacity" takes a whole number of 64 bits, not 1.0'),
        ({"offers": [OFFER | {"price": 1.5}]}, 'The field "offers.price" takes money'),
        ({"offers": [OFFER | {"price": Decimal("1.00001")}]}, "money of at most 14 digits before and 4 after the point"),
        ({"offers": [OFFER | {"price": Decimal(10) ** 14}]}, "money of at most 14 digits before"),
        ({"offers": [OFFER | {"price": Decimal("NaN")}]}, "takes money"),
        ({"offers": [OFFER | {"direct_settlement": 1}]}, "true or false, not 1"),
        ({"remarks": "长" * EVENT_LIMIT_BYTES}, f"and the limit is {EVENT_LIMIT_BYTES}; split it or shorten its text"),
    ],
)
def test_what_a_writer_would_bend_is_refused(changed: dict[str, object], sentence: str) -> None:
    with pytest.raises(NotAnEvent) as refused:
        encode("supply", RECORD | changed)
    assert sentence in str(refused.value)


# -- refused where it arrives --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", HOSTILE)
def test_bytes_that_are_no_event_are_refused_quickly(name: str) -> None:
    began = perf_counter()
    with pytest.raises(NotAnEvent):
        decode(HOSTILE[name])
    assert perf_counter() - began < 2


def test_no_promised_size_is_believed_before_it_arrived() -> None:
    tracemalloc.start()
    try:
        for data in HOSTILE.values():
            with pytest.raises(NotAnEvent):
                decode(data)
        assert tracemalloc.get_traced_memory()[1] < 200 << 20
    finally:
        tracemalloc.stop()


def test_an_event_cut_anywhere_is_refused() -> None:
    for length in range(len(GOOD)):
        with pytest.raises(NotAnEvent):
            decode(GOOD[:length])


def mutated(data: bytes, chance: random.Random) -> bytes:
    """The bytes after one to four flips, insertions, removals or copies."""
    out = bytearray(data)
    for _ in range(chance.randint(1, 4)):
        place = chance.randrange(10, len(out))
        match chance.randrange(5):
            case 0:
                out[place] = chance.randrange(256)
            case 1:
                out[place] ^= 1 << chance.randrange(8)
            case 2:
                out[place:place] = chance.randbytes(chance.randint(1, 6))
            case 3:
                del out[place : place + chance.randint(1, 6)]
            case _:
                start = chance.randrange(10, len(out))
                out[place:place] = out[start : start + chance.randint(1, 40)]
    return bytes(out)


@few_and_many("events", 500, 10_000)
def test_mutated_events_are_refused_or_read_exactly(events: int) -> None:
    chance = random.Random(1)
    read = 0
    for _ in range(events):
        data = mutated(GOOD, chance)
        try:
            kind, record = decode(data)
        except NotAnEvent:
            continue
        read += 1
        assert encode(kind, record) == data
    assert 0.02 < read / events < 0.98
