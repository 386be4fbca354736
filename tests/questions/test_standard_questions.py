"""Questions about what is promised: given standards, then rows."""

from dataclasses import replace
from datetime import UTC, date, datetime
from decimal import Decimal

import pytest

from tests.support import controls
from tests.support.bases import Logs, ask, base, benefit_of_shanghai, of_city, picked
from tests.support.controls import BENEFIT_2024, BENEFIT_2025, BENEFIT_2026, HANGZHOU, NANJING, OCTOBER, SHANGHAI, amount


def test_standard_by_city_inherits_from_the_province_and_ranks_against_the_median() -> None:
    connection = base(
        ("32", amount("320000", "provincial", "900")),
        ("32", amount(NANJING, "city", "1000")),
        ("32", amount("320106", "county", "1100")),
        ("31", amount(SHANGHAI, "provincial", "1500")),
        ("00", amount("000000", "national", "500", comparator="ge")),
    )
    rows = {r["city_code"]: r for r in ask(connection, "standard_by_city(?, ?)", controls.LIVING_ALLOWANCE, OCTOBER)}
    assert len(rows) == 41 and {picked(r, "n_reported n_missing") for r in rows.values()} == {(14, 27)}
    nanjing, suzhou, shanghai, hangzhou = rows[NANJING], rows["320500"], rows[SHANGHAI], rows[HANGZHOU]
    assert picked(nanjing, "level set_by value rank") == ("city", NANJING, 1000, 2)
    assert nanjing["n_counties_own"] == 1 and suzhou["n_counties_own"] == 0
    assert picked(suzhou, "level set_by value ratio_to_median") == ("provincial", "320000", 900, 1.0)
    assert picked(shanghai, "level rank ratio_to_median") == ("provincial", 1, 1.6667)
    assert picked(hangzhou, "value rank ratio_to_median") == (None, None, None)


def test_standard_by_city_compares_tiers_apart_and_finds_items_by_name() -> None:
    second = {**BENEFIT_2024.fields, "variant": "第13-24个月", "value": Decimal(1804)}
    connection = base(("31", BENEFIT_2024), ("31", replace(BENEFIT_2024, business_key="13-24", fields=second)))
    rows = ask(connection, "standard_by_city('失业保险金%', ?)", date(2025, 1, 1))
    assert len(rows) == 82
    assert {r["variant"]: r["value"] for r in of_city(rows, SHANGHAI)} == {"第1-12个月": 2255, "第13-24个月": 1804}
    assert {r["ratio_to_median"] for r in of_city(rows, SHANGHAI)} == {1.0}


def test_below_floor_compares_only_what_compares() -> None:
    floor = amount("000000", "national", "1000", comparator="ge")
    connection = base(
        ("00", floor),
        ("32", amount(NANJING, "city", "950", rests_on=replace(BENEFIT_2025.rests_on, doc_no="宁民〔2026〕1号"))),
        ("32", amount("320500", "city", "1000")),
        ("33", amount(HANGZHOU, "city", "900", unit="CNY")),
        ("33", amount("330200", "city", "12", period="year")),
        ("34", amount("340100", "city", "0.5", metric="ratio", comparator="derived", derived_from="000000|living allowance")),
        ("34", amount("340200", "city", None)),
        ("31", amount(SHANGHAI, "provincial", "990", variant="儿童")),
        ("34", amount("340300", "city", "1", since=date(2027, 1, 1))),
    )
    rows = ask(connection, "below_floor(?)", OCTOBER)
    assert [picked(r, "division_code value short_by") for r in rows] == [(NANJING, 950, 50), (SHANGHAI, 990, 10)]
    assert picked(rows[0], "floor ratio_to_floor doc_no division") == (1000, 0.95, "宁民〔2026〕1号", "南京市")


def test_a_floor_with_a_variant_binds_only_that_variant() -> None:
    connection = base(
        ("00", amount("000000", "national", "1000", comparator="ge", variant="儿童")),
        ("32", amount(NANJING, "city", "950")),
        ("32", amount("320500", "city", "950", variant="儿童")),
        ("32", amount("320200", "city", "950", variant="老人")),
    )
    assert [r["division_code"] for r in ask(connection, "below_floor(?)", OCTOBER)] == ["320500"]


def test_a_cap_is_no_floor_nor_is_what_another_publisher_calls_national() -> None:
    connection = base(
        ("00", amount("000000", "national", "1000", comparator="le")),
        ("33", amount("000000", "national", "1000", comparator="ge")),
        ("32", amount(NANJING, "city", "950")),
    )
    assert ask(connection, "below_floor(?)", OCTOBER) == []


@pytest.mark.parametrize(
    ("on", "value"),
    [
        (date(2024, 6, 30), []),
        (date(2024, 7, 1), [2255]),
        (date(2025, 6, 30), [2255]),
        (date(2025, 7, 1), [2305]),
        (date(2026, 6, 30), [2305]),
        (date(2026, 7, 1), [2340]),
        (date(2028, 6, 30), [2340]),
        (date(2028, 7, 1), []),
    ],
)
def test_standards_in_force_change_on_the_day(on: date, value: list[int]) -> None:
    rows = ask(benefit_of_shanghai(), "standards_in_force(?, NULL)", on)
    assert [r["value"] for r in rows] == value


def test_standards_in_force_are_those_known_at_the_moment() -> None:
    rows = ask(benefit_of_shanghai(), "standards_in_force(?, ?)", date(2026, 7, 1), datetime(2026, 7, 1, 12, tzinfo=UTC))
    assert [picked(r, "value doc_no division") for r in rows] == [(2305, "沪人社规〔2025〕9号", "上海市")]


def test_a_repealed_standard_is_not_in_force_and_an_undated_one_is() -> None:
    repeal = replace(amount(NANJING, "city", None, since=date(2026, 5, 1)), fields={"status": "repealed"})
    connection = base(("32", amount(NANJING, "city", "950")), ("32", repeal), ("32", amount("320500", "city", "960", since=None)))
    assert [r["value"] for r in ask(connection, "standards_in_force(?, NULL)", OCTOBER)] == [960]


def test_cut_short_shows_the_stated_and_the_real_last_day() -> None:
    [row] = ask(benefit_of_shanghai(), "cut_short")
    assert picked(row, "value valid_from") == (2305, date(2025, 7, 1))
    assert picked(row, "last_day_stated last_day_in_force days_cut") == (date(2027, 6, 30), date(2026, 6, 30), 365)
    assert picked(row, "replaced_by_value replaced_by_doc_no replaced_by_event") == (
        2340,
        "沪人社规〔2026〕7号",
        "StandardRevised",
    )


def test_cut_short_follows_a_correction() -> None:
    logs = Logs()
    [_], [wrong], [_] = (logs.report("31", fact) for fact in (BENEFIT_2024, BENEFIT_2025, BENEFIT_2026))
    logs.correct(wrong, {"object_rule": "缴费满一年"}, "left out")
    [row] = ask(logs.base(), "cut_short")
    assert picked(row, "last_day_in_force replaced_by_value") == (date(2026, 6, 30), 2340)


def test_cut_short_by_a_repeal_and_not_by_a_change_beside_the_promise() -> None:
    until = amount(NANJING, "city", "950", since=date(2025, 1, 1), stated_to=date(2028, 1, 1))
    beside = replace(until, valid_from=date(2026, 1, 1), fields={"lead_department": "民政局"})
    repeal = replace(until, valid_from=date(2027, 1, 1), fields={"status": "repealed"}, stated_to=None)
    assert ask(base(("32", until), ("32", beside)), "cut_short") == []
    [row] = ask(base(("32", until), ("32", repeal)), "cut_short")
    assert picked(row, "last_day_in_force replaced_by_status") == (date(2026, 12, 31), "repealed")
