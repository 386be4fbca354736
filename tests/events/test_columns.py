"""The short cuts in columns decide what the entities would: byte for byte for new ones, event for event for known ones."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple
from uuid import UUID

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from repository.decisions.entity import Entity, Recording, Superseded, report
from repository.decisions.facts import Authority, Fact
from repository.decisions.state import NotAState
from repository.kinds.rules import Violation
from repository.store.bulk import FirstEvents
from repository.store.publisher import StoredRow, stored_row
from schemas.contracts import FieldType, codes, field_at, state_fields
from tests.support.dumps_for_tests import BEDS, dump, facts, imported, profile, region
from tests.support.histories import physical
from tests.support.suites import few_and_many

MOMENT = datetime(2026, 5, 1, 4, tzinfo=UTC)
BATCH = UUID(int=7)
ARRAYS = {"supply": "offers", "service_object": "enrolments", "standard": ""}
NOT_REPORTED = ("personal", "subject_token")

# -- new entities --------------------------------------------------------------------------------------------------

TEXT = st.text(st.characters(codec="utf-8"), max_size=5)
VALUES: dict[str, st.SearchStrategy[Any]] = {
    "string": TEXT,
    "int": st.integers(-2, 2**31 - 1),
    "long": st.integers(-2, 2**63 - 1),
    "double": st.floats(-200, 200),
    "boolean": st.booleans(),
    "date": st.dates(),
    "decimal": st.integers(-(10**6), 10**17).map(lambda n: Decimal(n).scaleb(-4)),
}


def _values(kind: str, path: str) -> st.SearchStrategy[Any]:
    type_: FieldType = field_at(kind, path)
    allowed = codes(kind, path)
    if type_.word == "strings":
        return st.none() | st.lists(TEXT, max_size=2)
    return st.none() | (st.sampled_from(sorted(allowed)) if allowed else VALUES[type_.word])


def _paths(kind: str) -> list[str]:
    plain = [n for n, t in state_fields(kind).items() if t.word in (*VALUES, "strings") and n not in NOT_REPORTED]
    array = ARRAYS[kind]
    cells = [c for c in state_fields(kind)[array].entry if c != "item_code"] if array else []
    return plain + [f"{array}[{item}].{cell}" for item in ("YRD050101", "NBPS040202") for cell in cells]


@st.composite
def _new_facts(draw: st.DrawFn, kind: str) -> list[Fact]:
    """Facts of one source about entities that nobody knows, all mentioning the same paths."""
    paths = draw(st.lists(st.sampled_from(_paths(kind)), unique=True, max_size=8))
    days = st.none() | st.dates(date(1990, 1, 1), date(2040, 1, 1))
    made = []
    for number in range(draw(st.integers(1, 4))):
        start, length = draw(days), draw(st.none() | st.integers(1, 1000))
        rests = Authority(draw(st.none() | TEXT), draw(st.none() | TEXT), draw(days))
        made.append(
            Fact(
                kind,
                f"{draw(TEXT)}|{number}",
                start,
                {path: draw(_values(kind, path)) for path in paths},
                "list",
                stated_to=None if length is None else (start or date(2000, 1, 1)) + timedelta(length),
                rests_on=rests,
                reason=draw(st.none() | TEXT),
                data_level=2,
                flags=tuple(draw(st.lists(st.sampled_from(["uscc_check_digit", "division_by_address"]), unique=True))),
            )
        )
    return made


def _columns(kind: str, told: Sequence[Fact]) -> dict[str, list[Any]]:
    whole: dict[str, list[Any]] = {
        "business_key": [f.business_key for f in told],
        "doc_no": [f.rests_on.doc_no for f in told],
        "authority": [f.rests_on.authority for f in told],
        "reason": [f.reason for f in told],
        "flags": [list(f.flags) for f in told],
    }
    days = {
        "valid_from": [f.valid_from for f in told],
        "stated_to": [f.stated_to for f in told],
        "published_on": [f.rests_on.published_on for f in told],
    }
    whole |= {name: [None if v is None else (v - date(1970, 1, 1)).days for v in values] for name, values in days.items()}
    return whole | {p: [physical(field_at(kind, p), f.fields[p]) for f in told] for p in told[0].fields}


def _one_by_one(told: Sequence[Fact]) -> tuple[list[StoredRow], list[tuple[int, str]]]:
    rows, refused = [], []
    for number, fact in enumerate(told):
        entity = Entity.unknown(fact.kind, "31", fact.business_key)
        try:
            rows += [stored_row(fact.kind, e) for e in report(entity, fact, Recording("31", MOMENT, BATCH))]
        except Violation as error:
            refused.append((number, str(error)))
    return rows, refused


@pytest.mark.parametrize("kind", ["supply", "standard", "service_object"])
@settings(max_examples=60)
@given(data=st.data())
def test_first_events_in_columns_are_byte_for_byte_those_of_the_entities(kind: str, data: st.DataObject) -> None:
    told = data.draw(_new_facts(kind))
    envelope = {"source": "list", "batch_id": str(BATCH), "data_level": 2}
    rows, refused = FirstEvents(kind, "31", len(told), _columns(kind, told), envelope, MOMENT).stored()
    assert (rows, [tuple(r) for r in refused]) == _one_by_one(told)


# -- known entities ------------------------------------------------------------------------------------------------

DAYS = [date(2026, month, 1) for month in (1, 2, 3, 4)]
COLUMNS = "名称,电话,床位,价格,起,止,发文"
VALID = 'from = "起"\nto = { column = "止", inclusive = false }\n[authority]\npublished_on = "发文"'
PRICE = '"offers[YRD050101].price" = "价格"'


class Line(NamedTuple):
    """A row of a dump that states ends and publication days."""

    name: str
    phone: str | None
    beds: int | None
    price: int | None
    start: date
    end: date | None
    published: date | None

    def fact(self, source: str) -> Fact:
        fields = {
            "provider_name": self.name,
            "category": "nursing_home",
            "phone": self.phone,
            BEDS: self.beds,
            "offers[YRD050101].unit": "bed",
            "offers[YRD050101].price": None if self.price is None else Decimal(self.price),
            "status": "active",
        }
        rests = Authority(published_on=self.published)
        return Fact("supply", self.name, self.start, fields, source, stated_to=self.end, rests_on=rests)


@st.composite
def _lines(draw: st.DrawFn) -> list[Line]:
    """Rows of one dump, one for each key and day, in the order in which they are decided."""
    made = {}
    for _ in range(draw(st.integers(1, 8))):
        start = draw(st.sampled_from(DAYS))
        end = draw(st.none() | st.sampled_from([d + timedelta(15) for d in DAYS]))
        line = Line(
            draw(st.sampled_from("甲乙")),
            draw(st.sampled_from([None, "1", "2"])),
            draw(st.sampled_from([None, 0, 5])),
            draw(st.sampled_from([None, 0])),
            start,
            end if end is not None and end > start else None,
            draw(st.none() | st.sampled_from(DAYS[:2])),
        )
        made[line.name, line.start] = line
    return [made[key] for key in sorted(made)]


LONG = Line("甲", "1", 0, 0, DAYS[0], DAYS[3] + timedelta(15), None)
LAST = LONG._replace(start=DAYS[3])
"""What a known interval shows on its last days; a fact in the same dump may cover it."""


def _decided(known: dict[str, Entity], lines: Sequence[Line], source: str, repeated: frozenset[str]) -> None:
    """What the entities decide of the same rows, one by one."""
    batch = UUID(int=len(known["batches"].records) + 1)
    known["batches"].records.append({})
    for line in lines:
        entity = known.setdefault(line.name, Entity.unknown("supply", "31", line.name))
        try:
            entity.records.extend(report(entity, line.fact(source), Recording("31", MOMENT, batch, repeated)))
        except (Superseded, Violation, NotAState):
            continue


def _essence(records: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    apart = ("kind", "recorded_at", "batch_id", "event_id", "entity_id", "corrects_event_id")
    plain = [{n: v for n, v in r.items() if n not in apart} for r in records]
    return sorted(plain, key=lambda r: (r["business_key"], r["version"]))


@few_and_many("examples", 5, 25)
def test_a_dump_that_is_compared_in_columns_records_what_the_entities_decide(examples: int) -> None:
    @settings(max_examples=examples)
    @example([("one", [LONG]), ("one", [Line("甲", None, None, None, DAYS[0], None, None), LAST])])
    @given(st.lists(st.tuples(st.sampled_from(["one", "two"]), _lines()), min_size=2, max_size=3))
    def holds(dumps: list[tuple[str, list[Line]]]) -> None:
        known = {"batches": Entity.unknown("supply", "31", "batches")}
        with TemporaryDirectory() as name:
            folder = Path(name)
            home = region(folder)
            plain = profile(folder, valid=VALID, fields=PRICE)
            for number, (source, lines) in enumerate(dumps):
                path = dump(folder, lines, COLUMNS)
                same = frozenset(str(UUID(int=n + 1)) for n, earlier in enumerate(dumps[:number]) if earlier == (source, lines))
                _decided(known, lines, source, same)
                done = imported(home, replace(plain, source=source), path, as_of=None)
                told = done.counts
                assert len(lines) == sum(
                    (told.facts_new, told.facts_changed, told.facts_unchanged, told.facts_duplicate, told.facts_rejected)
                )
            decided = [r for key, entity in known.items() if key != "batches" for r in entity.records]
            assert _essence(facts(home)) == _essence(decided)

    holds()
