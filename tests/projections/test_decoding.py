"""Batches of stored bytes in columns: the same rows as one by one, whatever stands among them."""

import copy
import json
import random
from collections.abc import Iterator
from hashlib import sha256
from typing import Any

import polars as pl
import pytest
from fastavro import parse_schema
from hypothesis import given, settings
from hypothesis import strategies as st

from projections import decoding
from projections.decoding import ROW, decode_batch
from repository.events.columns import encode_columns
from repository.events.encoding import NotAnEvent, decode, encode
from schemas.contracts import KINDS, Contract, contract, fields
from tests.events.test_encoding import mutated
from tests.support.histories import physical, plain_record, records
from tests.support.hostile import GOOD, HOSTILE, OFFER, RECORD
from tests.support.suites import few_and_many

FEW = decoding.FAST_FROM - 1


def one_by_one(values: list[bytes]) -> dict[str, pl.DataFrame]:
    """The frames of a batch decoded in portions too small for the column reader."""
    parts: dict[str, list[pl.DataFrame]] = {}
    for start in range(0, len(values), FEW):
        decoded = decode_batch(values[start : start + FEW])
        assert not decoded.refused
        for kind, frame in decoded.frames.items():
            parts.setdefault(kind, []).append(frame.with_columns(pl.col(ROW) + start))
    return {kind: pl.concat(frames) for kind, frames in parts.items()}


def assert_same(one: dict[str, pl.DataFrame], other: dict[str, pl.DataFrame]) -> None:
    assert one.keys() == other.keys()
    for kind, frame in one.items():
        assert frame.schema == other[kind].schema
        assert frame.equals(other[kind])


@pytest.mark.parametrize("kind", KINDS)
@settings(max_examples=30)
@given(data=st.data())
def test_columns_and_records_give_the_same_frame(kind: str, data: st.DataObject) -> None:
    rows = data.draw(st.lists(records(kind), min_size=decoding.FAST_FROM, max_size=decoding.FAST_FROM + 4))
    values = [encode(kind, row) for row in rows]
    known = contract(kind)
    in_columns = decoding._columns(known, values, list(range(len(values))))
    assert in_columns is not None, "the column reader gave up on good records"
    assert_same({kind: in_columns}, one_by_one(values))


def test_kinds_may_be_mixed() -> None:
    values = [encode(kind, plain_record(kind, n)) for n in range(20) for kind in KINDS]
    decoded = decode_batch(values)
    assert not decoded.refused
    assert {kind: frame[ROW].to_list() for kind, frame in decoded.frames.items()} == {
        kind: list(range(place, 20 * len(KINDS), len(KINDS))) for place, kind in enumerate(KINDS)
    }
    assert_same(decoded.frames, one_by_one(values))


def test_an_empty_batch_has_no_frames() -> None:
    assert decode_batch([]) == decoding.Decoded()


# -- bad ones among good ones ---------------------------------------------------------------------------------------------


def reason(data: bytes) -> str:
    with pytest.raises(NotAnEvent) as refused:
        decode(data)
    return str(refused.value)


@pytest.mark.parametrize("name", HOSTILE)
def test_only_the_bad_record_is_refused_with_its_reason(name: str, capfd: pytest.CaptureFixture[str]) -> None:
    values = [GOOD] * 10
    decoded = decode_batch([*values, HOSTILE[name], *values])
    assert decoded.refused == [(10, reason(HOSTILE[name]))]
    assert decoded.frames["supply"][ROW].to_list() == [n for n in range(21) if n != 10]
    assert decoded.frames["supply"].drop(ROW).unique(maintain_order=True).height == 1
    assert capfd.readouterr() == ("", "")


def test_one_bad_record_among_a_thousand_good_ones_is_found() -> None:
    good = [encode("supply", plain_record("supply", n, offers=[OFFER | {"capacity": n}])) for n in range(1000)]
    chance = random.Random(2)
    for name in chance.sample(sorted(HOSTILE), 6):
        place = chance.randrange(1000)
        decoded = decode_batch([*good[:place], HOSTILE[name], *good[place:]])
        assert decoded.refused == [(place, reason(HOSTILE[name]))]
        assert decoded.frames["supply"].height == 1000


def test_all_hostile_records_at_once_are_each_refused() -> None:
    decoded = decode_batch([GOOD, *HOSTILE.values(), GOOD])
    assert sorted(row for row, _ in decoded.refused) == list(range(1, len(HOSTILE) + 1))
    assert decoded.frames["supply"][ROW].to_list() == [0, len(HOSTILE) + 1]


@few_and_many("mutations", 15, 300)
def test_mutated_records_are_read_in_columns_exactly_as_one_by_one(mutations: int) -> None:
    chance = random.Random(3)
    for _ in range(mutations):
        values = [GOOD] * 9
        values[chance.randrange(9)] = mutated(GOOD, chance)
        whole, single = decode_batch(values), [decode_batch([value]) for value in values]
        assert [row for row, _ in whole.refused] == [row for row, one in enumerate(single) if one.refused]
        alone = pl.concat([one.frames["supply"].drop(ROW) for one in single if one.frames])
        assert whole.frames["supply"].drop(ROW).equals(alone)


# -- earlier versions of a schema -------------------------------------------------------------------------------------


def earlier(kind: str, schema: dict[str, Any]) -> Contract:
    """A version of a contract that differs from the current one."""
    text = json.dumps(schema)
    return Contract(kind, 0, text, schema, parse_schema(copy.deepcopy(schema)), sha256(text.encode()).digest()[:8])


@pytest.fixture
def versions(monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[bytes, Contract]]:
    """The contracts by fingerprint, with room for a version that the test makes up."""
    from schemas import contracts

    contract("supply")
    known = contracts._all_by_fingerprint()
    before = dict(known)
    yield known
    known.clear()
    known.update(before)


@pytest.mark.parametrize("rows", [3, 12])
@pytest.mark.parametrize("kind", KINDS)
def test_an_earlier_version_without_the_state_is_read_with_defaults(
    kind: str, rows: int, versions: dict[bytes, Contract]
) -> None:
    schema = copy.deepcopy(contract(kind).schema)
    names = [each["name"] for each in schema["fields"]]
    del schema["fields"][names.index("flags") :]
    old = earlier(kind, schema)
    versions[old.fingerprint] = old
    plain = [plain_record(kind, n, valid_from=None, doc_no="一号") for n in range(rows)]
    columns = {each["name"]: [physical(fields(kind)[each["name"]], r[each["name"]]) for r in plain] for each in schema["fields"]}
    decoded = decode_batch(encode_columns(kind, columns, rows, old))
    now = decode_batch([encode(kind, r) for r in plain])
    assert_same(decoded.frames, now.frames)


@pytest.mark.parametrize("rows", [3, 12])
def test_an_earlier_version_of_an_entry_is_read_with_its_defaults(rows: int, versions: dict[bytes, Contract]) -> None:
    schema = copy.deepcopy(contract("supply").schema)
    entry = schema["fields"][-1]["type"]["items"]
    entry["fields"] = [cell for cell in entry["fields"] if cell["name"] not in ("price", "accepts_from")]
    old = earlier("supply", schema)
    versions[old.fingerprint] = old
    offer = OFFER | {"price": None, "accepts_from": []}
    plain = [RECORD | {"offers": [offer] * (n % 3)} for n in range(rows)]
    columns = {name: [physical(type_, p[name]) for p in plain] for name, type_ in fields("supply").items()}
    decoded = decode_batch(encode_columns("supply", columns, rows, old))
    assert_same(decoded.frames, decode_batch([encode("supply", p) for p in plain]).frames)


@pytest.mark.parametrize("rows", [3, 12])
def test_a_field_that_was_taken_away_is_read_over(rows: int, versions: dict[bytes, Contract]) -> None:
    schema = copy.deepcopy(contract("supply").schema)
    schema["fields"].append({"name": "motto", "type": ["null", "string"], "default": None})
    schema["fields"][-2]["type"]["items"]["fields"].append({"name": "stars", "type": ["null", "int"], "default": None})
    old = earlier("supply", schema)
    versions[old.fingerprint] = old
    offers = [OFFER | {"stars": 5}]
    columns: dict[str, Any] = {n: [physical(t, RECORD[n])] * rows for n, t in fields("supply").items()}
    columns |= {"offers": [offers] * rows, "motto": ["慢"] * rows}
    decoded = decode_batch(encode_columns("supply", columns, rows, old))
    assert_same(decoded.frames, decode_batch([encode("supply", RECORD)] * rows).frames)
