"""Reporting: one answer for every line, what is refused says why, and the other lines go on."""

import json
from collections.abc import Sequence
from datetime import date
from decimal import Decimal
from pathlib import Path
from threading import Thread
from typing import Any

import pytest

from connectors.home.folder import Home
from connectors.publishing.reporting import correct_fact, report_lines, retract_fact, shown_event
from repository.decisions.entity import NotCorrectable
from repository.decisions.state import NotAState
from tests.support.dumps_for_tests import BEDS, facts, publishing, region, said, told
from tests.support.dumps_for_tests import Yrd as CommandLine


def reported(home: Home, *lines: dict[str, Any] | str, kind: str = "supply") -> list[dict[str, Any]]:
    given = [line if isinstance(line, str) else json.dumps(line, ensure_ascii=False) for line in lines]
    with publishing(home) as persons:
        return list(report_lines(persons, kind, given, "live"))


def homes(**fields: object) -> dict[str, Any]:
    return {"business_key": "甲", "valid_from": "2026-05-01", **fields}


def reason(home: Home, line: dict[str, Any] | str, kind: str = "supply") -> str:
    (answer,) = reported(home, line, kind=kind)
    assert answer["result"] == "refused", answer
    return str(answer["reason"])


def test_every_line_gets_one_answer_and_bad_ones_stop_nothing(tmp_path: Path) -> None:
    home = region(tmp_path)
    answers = reported(home, homes(phone="1"), "{", "", '["no object"]', homes(phone="1"), homes(phone="2"), {"phone": "3"})
    assert [(a["line"], a["result"]) for a in answers] == [
        (1, "new"), (2, "refused"), (4, "refused"), (5, "unchanged"), (6, "new"), (7, "refused")
    ]  # fmt: skip
    assert "no JSON" in answers[1]["reason"] and "business_key" in answers[5]["reason"]
    assert told(home) == [("甲", "ServicePointRegistered"), ("甲", "DetailsChanged")]


def test_nothing_new_records_nothing(tmp_path: Path) -> None:
    home = region(tmp_path)
    line = homes(provider_name="甲 院", **{BEDS: 10, "offers[YRD050101].price": "2340.50"})
    assert [a["result"] for a in reported(home, line, line)] == ["new", "unchanged"]
    assert len(facts(home)) == 1


def test_values_take_the_type_of_their_field(tmp_path: Path) -> None:
    home = region(tmp_path)
    offer = {BEDS: "12", "offers[YRD050101].price": "2340.5", "offers[YRD050101].direct_settlement": True}
    reported(home, homes(longitude=121.5, latitude="31.2", provider_name="  甲（院） ", **offer))
    event = facts(home)[0]
    assert said(event, "longitude latitude provider_name") == (121.5, 31.2, "甲(院)")
    assert said(event["offers"][0], "capacity price direct_settlement") == (12, Decimal("2340.5000"), True)


def test_an_amount_is_never_rounded_on_the_way(tmp_path: Path) -> None:
    home = region(tmp_path)
    (answer,) = reported(home, '{"business_key": "k", "value": 12345678901234.5678}', kind="standard")
    assert answer["result"] == "new"
    assert facts(home)[0]["value"] == Decimal("12345678901234.5678")


@pytest.mark.parametrize(
    ("fields", "why"),
    [
        ({BEDS: 31.5}, f'"{BEDS}" takes a whole number, not'),
        ({BEDS: "many"}, "takes a whole number"),
        ({BEDS: True}, "takes a whole number"),
        ({BEDS: -1}, "can't be below 0"),
        ({BEDS: 2**70}, "whole number of 64 bits"),
        ({BEDS: float("inf")}, "takes a whole number"),
        ({BEDS: [0, [3, 5, 8], 0]}, "not a list or an object"),
        ({"longitude": [0, [1, 2], 0], "latitude": 31.2}, "not a list or an object"),
        ({"site_name": {"a": 1}}, "not a list or an object"),
        ({BEDS: "1e5000"}, "takes a whole number"),
        ({"longitude": float("inf"), "latitude": 31.2}, "longitude"),
        ({"longitude": float("nan"), "latitude": 31.2}, "longitude"),
        ({"offers[YRD050101].price": float("inf")}, "takes an amount"),
        ({"offers[YRD050101].price": "cheap"}, "takes an amount"),
        ({"offers[YRD050101].price": "NaN"}, "takes an amount"),
        ({"offers[YRD050101].price": "1e30"}, "money"),
        ({"offers[YRD050101].price": 0.00001}, "4 after the point"),
        ({"offers[YRD050101].colour": "red"}, 'no cell "colour"'),
        ({"colour": "red"}, 'supply has no field "colour"'),
        ({"status": "asleep"}, '"asleep" is no code of status'),
        ({"longitude": 121.5}, "go together"),
        ({"longitude": "east", "latitude": 1}, "takes a number"),
        ({"valid_to": "2026-04-29"}, "holds no day"),
        ({"valid_from": "tomorrow"}, "valid_from"),
        ({"valid_from": "2026-02-30"}, "valid_from"),
        ({"offers": "all"}, "takes a list"),
        ({"offers": ["all"]}, "entry"),
        ({"offers": [{"capacity": 3}]}, "needs an item_code"),
        ({"offers": [{"item_code": "YRD050101", "colour": "red"}]}, "colour"),
        ({"business_key": "  "}, "business_key"),
        ({"valid_to": "9999-12-31"}, "valid_to"),
    ],
)
def test_a_value_that_does_not_fit_is_refused_with_the_reason(tmp_path: Path, fields: dict[str, Any], why: str) -> None:
    home = region(tmp_path)
    assert why in reason(home, homes(**fields))
    assert facts(home) == []


def test_a_field_that_is_stated_twice_is_refused(tmp_path: Path) -> None:
    home = region(tmp_path)
    assert '"phone" stands twice' in reason(home, '{"business_key": "甲", "phone": "1", "phone": "2"}')


@pytest.mark.parametrize(
    "line", ['{"business_key": "甲", "phone": "\\ud800"}', "[" * 100_000, '{"business_key": "甲", "x": 1' + "0" * 5000 + "}"]
)
def test_hostile_lines_are_refused(tmp_path: Path, line: str) -> None:
    home = region(tmp_path)
    first, second = reported(home, line, homes(phone="1"))
    assert (first["result"], second["result"]) == ("refused", "new")


def test_a_whole_list_of_offers_is_taken_as_it_is(tmp_path: Path) -> None:
    home = region(tmp_path)
    reported(home, homes(offers=[{"item_code": "YRD050101", "capacity": 5, "unit": "bed"}]), homes(offers=[]))
    assert [name for _, name in told(home)] == ["ServicePointRegistered", "OfferClosed"]


def test_a_day_that_ends_a_fact_is_its_last(tmp_path: Path) -> None:
    home = region(tmp_path)
    reported(home, homes(phone="1", valid_to="2026-06-30", published_on="2026-04-30", doc_no="文号1"))
    assert said(facts(home)[0], "stated_to published_on doc_no") == (date(2026, 7, 1), date(2026, 4, 30), "文号1")


def test_outside_synthetic_homes_persons_stand_under_a_token_alone(tmp_path: Path) -> None:
    person = {"business_key": f"t1:{'a' * 64}", "subject_type": "person", "subject_token": f"t1:{'a' * 64}"}
    assert "token of the regional key alone" in reason(region(tmp_path / "real"), person, "service_object")
    home = region(tmp_path / "invented", synthetic=True)
    (answer,) = reported(home, person, kind="service_object")
    assert answer["result"] == "new"


def test_a_person_can_not_be_made_of_a_group_afterwards(tmp_path: Path) -> None:
    home = region(tmp_path)
    group = {"business_key": "g", "subject_type": "population_group", "group_code": "total", "persons": 1}
    reported(home, group, kind="service_object")
    person = {"business_key": "h", "enrolments": [{"item_code": "NBPS041101"}]}
    for line in (group | {"subject_type": "person"}, {"business_key": "g", "subject_token": f"t1:{'a' * 64}"}, person):
        assert any(word in reason(home, line, "service_object") for word in ("the token of", "subject_token", "group code"))
    assert len(facts(home)) == 1


def test_personal_fields_are_refused_and_not_repeated(tmp_path: Path) -> None:
    line = {"business_key": "甲", "valid_from": "2026-01-01", "personal": "王某"}
    why = reason(region(tmp_path), line, "service_object")
    assert why.startswith('"personal" takes an object of personal fields: id_type, ')


def test_identity_numbers_in_a_refused_line_are_masked(tmp_path: Path) -> None:
    why = reason(region(tmp_path), homes(status="31999919491231002X"))
    assert "31999919491231002X" not in why


def test_reports_of_two_writers_are_all_recorded(tmp_path: Path) -> None:
    home = region(tmp_path)
    answers: list[dict[str, Any]] = []

    def telling(start: int) -> None:
        answers.extend(reported(home, *(homes(phone=str(n)) for n in range(start, start + 40))))

    threads = [Thread(target=telling, args=(start,)) for start in (0, 1000)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [a for a in answers if a["result"] != "new"] == []
    assert [e["version"] for e in facts(home)] == list(range(1, 81))


# -- putting right -------------------------------------------------------------------------------------------------


def _history(home: Home) -> None:
    reported(home, homes(phone="1", **{BEDS: 10}), homes(valid_from="2026-06-01", phone="2"))


def test_a_correction_reaches_what_inherited_the_error(tmp_path: Path) -> None:
    home = region(tmp_path)
    _history(home)
    with publishing(home) as persons:
        entity = persons.store.entity("supply", "甲")
        events = correct_fact(persons, entity, shown_event(entity, date(2026, 5, 10)), {BEDS: "12"}, "clerk 7", "typed wrongly")
    assert [said(e, "event_type operation valid_from operator reason") for e in events] == [
        ("FactCorrected", "correct", date(2026, 5, 1), "clerk 7", "typed wrongly"),
        ("FactCorrected", "correct", date(2026, 6, 1), "clerk 7", "typed wrongly"),
    ]
    assert facts(home)[-1]["offers"][0]["capacity"] == 12


def test_a_correction_to_what_is_known_records_nothing(tmp_path: Path) -> None:
    home = region(tmp_path)
    _history(home)
    with publishing(home) as persons:
        entity = persons.store.entity("supply", "甲")
        assert correct_fact(persons, entity, shown_event(entity, None), {BEDS: 10}, None, "again") == []
        with pytest.raises(NotAState):
            correct_fact(persons, entity, shown_event(entity, None), {"colour": "red"}, None, "no")
        with pytest.raises(NotCorrectable, match="Nothing is known of 甲 on 2020-01-01"):
            shown_event(entity, date(2020, 1, 1))
    assert len(facts(home)) == 2


def test_a_retraction_lets_reappear_what_was_known_before(tmp_path: Path) -> None:
    home = region(tmp_path)
    _history(home)
    with publishing(home) as persons:
        entity = persons.store.entity("supply", "甲")
        (event,) = retract_fact(persons, entity, shown_event(entity, None), None, "never so")
        assert said(event, "event_type operation") == ("FactRetracted", "retract")
        assert [s.statement.state["phone"] for s in persons.store.entity("supply", "甲").timeline] == ["1"]


@pytest.fixture
def yrd(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> CommandLine:
    return CommandLine(region(tmp_path).folder, capsys)


def _told(home: Path, *lines: dict[str, Any]) -> Path:
    path = home.parent / "facts.jsonl"
    path.write_text("\n".join(json.dumps(line, ensure_ascii=False) for line in lines), "utf-8")
    return path


def test_the_command_prints_one_answer_per_line_and_fails_where_one_is_refused(yrd: CommandLine) -> None:
    path = _told(yrd.home, homes(phone="1"), homes(colour="red"), homes(phone="2"))
    assert yrd("report", "supply", path, "--publisher", "31") == 1
    answers = [json.loads(line) for line in yrd.out.splitlines()]
    assert [a["result"] for a in answers] == ["new", "refused", "new"]
    assert yrd("report", "supply", _told(yrd.home, homes(phone="2")), "--publisher", "31") == 0


def _commands(*options: str) -> Sequence[str]:
    return ("--publisher", "31", "--kind", "supply", "--key", "甲", "--reason", "typed wrongly", *options)


def test_the_commands_correct_and_retract(yrd: CommandLine) -> None:
    yrd("report", "supply", _told(yrd.home, homes(phone="1", **{BEDS: 10})), "--publisher", "31")
    corrected = yrd.json("correct", f"{BEDS}=12", "phone=0571-1", *_commands())
    assert [e["event_type"] for e in corrected["events"]] == ["FactCorrected"]
    assert corrected["events"][0]["changed"] == ["phone", BEDS]
    again = yrd.json("correct", f"{BEDS}=12", *_commands())
    assert again == {"events": []}
    retracted = yrd.json("retract", *_commands("--event", corrected["events"][0]["event_id"]))
    assert retracted["events"][0]["event_type"] == "FactRetracted"
    home = Home(yrd.home)
    with home.store("31") as store:
        assert store.entity("supply", "甲").timeline[-1].statement.state["phone"] == "1"


def test_a_text_that_looks_like_a_number_may_be_corrected(yrd: CommandLine) -> None:
    yrd("report", "supply", _told(yrd.home, homes(phone="1")), "--publisher", "31")
    yrd.json("correct", "phone=057185001234", *_commands())
    assert facts(Home(yrd.home))[-1]["phone"] == "057185001234"


def test_an_amount_is_never_rounded_by_a_correction(yrd: CommandLine) -> None:
    """A number that JSON would read as binary keeps all the digits that were typed."""
    price = "offers[YRD050101].price"
    yrd("report", "supply", _told(yrd.home, homes(**{price: "1"})), "--publisher", "31")
    yrd.json("correct", f"{price}=12345678901234.5678", *_commands())
    assert facts(Home(yrd.home))[-1]["offers"][0]["price"] == Decimal("12345678901234.5678")


def test_the_commands_refuse_what_can_not_be_put_right(yrd: CommandLine) -> None:
    assert "has recorded nothing under 甲" in yrd.failure("correct", "phone=2", *_commands())
    yrd("report", "supply", _told(yrd.home, homes(phone="1")), "--publisher", "31")
    assert 'no field "colour"' in yrd.failure("correct", "colour=red", *_commands())
    assert "has no event" in yrd.failure("retract", *_commands("--event", "00000000-0000-0000-0000-000000000000"))
    assert "Nothing is known" in yrd.failure("retract", *_commands("--on", "2020-01-01"))
    assert yrd("correct", "nonsense", *_commands()) == 2
