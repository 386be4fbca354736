"""Questions about how many people live where: given counts, then rows."""

import csv
from datetime import date, timedelta
from decimal import Decimal

from tests.support import controls
from tests.support.bases import NOON, Logs, ask, base, of_city, picked
from tests.support.controls import HANGZHOU, NANJING, OCTOBER, SHANGHAI, counted
from tests.support.realdata import real_data


def test_population_lists_every_city_and_counts_the_missing_ones() -> None:
    connection = base(
        ("31", counted(SHANGHAI, "total", 24_870_895)),
        ("32", counted(NANJING, "total", 9_314_685)),
        ("32", counted(NANJING, "total", 8_003_744, controls.CENSUS_2010)),
        ("32", counted("320106", "total", 940_387)),
    )
    rows = ask(connection, "population_by_city(?, 'total')", OCTOBER)
    assert len(rows) == 41 and {picked(r, "n_reported n_missing") for r in rows} == {(2, 39)}
    [nanjing] = of_city(rows, NANJING)
    assert picked(nanjing, "persons publisher counted_on") == (9_314_685, "32", date(2020, 11, 1))
    [hangzhou] = of_city(rows, HANGZHOU)
    assert hangzhou["persons"] is None and hangzhou["publisher"] is None
    [before] = of_city(ask(connection, "population_by_city(?, 'total')", date(2015, 1, 1)), NANJING)
    assert picked(before, "persons counted_on") == (8_003_744, controls.CENSUS_2010)


def test_population_never_turns_a_share_into_a_count() -> None:
    connection = base(("32", counted(NANJING, "age_60_plus", None, share="18.98")))
    rows = ask(connection, "population_by_city(?, 'age_60_plus')", OCTOBER)
    [nanjing] = of_city(rows, NANJING)
    assert picked(nanjing, "persons share n_reported") == (None, Decimal("18.98"), 1)


def test_population_shows_every_publisher_that_counted_a_city() -> None:
    rows = ask(
        base(("32", counted(NANJING, "total", 9_314_685)), ("00", counted(NANJING, "total", 9_314_600))),
        "population_by_city(?, 'total')",
        OCTOBER,
    )
    assert [r["publisher"] for r in of_city(rows, NANJING)] == ["00", "32"] and rows[0]["n_missing"] == 40


def test_population_as_known_before_it_was_counted_is_missing() -> None:
    logs = Logs()
    logs.report("32", counted(NANJING, "total", 9_314_685), NOON)
    connection = logs.base()
    before = ask(connection, "population_by_city(?, 'total', known_at := ?)", OCTOBER, NOON - timedelta(days=1))
    assert of_city(before, NANJING)[0]["persons"] is None and before[0]["n_missing"] == 41


def test_shortfall_adds_counties_and_statistical_areas_of_one_census() -> None:
    connection = base(
        ("32", counted(NANJING, "total", 1000)),
        ("32", counted("320106", "total", 600)),
        ("32", counted("320114", "total", 350)),
        ("32", counted("320104", "total", None)),
        ("32", counted("320103", "total", 77, controls.CENSUS_2010)),  # abolished in 2013, never counted again
        ("32", counted("320300", "total", 500)),
        ("32", counted("320371", "total", 500)),  # a development zone, all there is of this city here
        ("31", counted(SHANGHAI, "total", 100)),
        ("31", counted("310115", "total", 60)),
        ("33", counted(HANGZHOU, "total", 9)),
    )
    found = {
        r["city_code"]: picked(r, "city_persons counties_persons difference")
        for r in ask(connection, "population_shortfall(?)", OCTOBER)
    }
    assert found == {NANJING: (1000, 950, 50), SHANGHAI: (100, 60, 40)}
    [nanjing] = of_city(ask(connection, "population_shortfall(?)", OCTOBER), NANJING)
    assert picked(nanjing, "n_counties n_counties_without_count") == (2, 1)


# Seven cities whose functional zones the county table of the census of 2020 leaves out: 1.24 million people.
SHORT_2020 = {"320700", "321100", "330300", "340200", "341100", "341200", "341300"}
ZONE_CODES_SINCE = {"320571": "320576", "340171": "340176", "340172": "340177", "340173": "340178"}


def test_shortfall_of_the_census_of_2020_is_in_seven_cities() -> None:
    with real_data("06_census_county/census_county_2020_v1_4prov.csv").open(encoding="utf-8-sig", newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["区划代码"] != "310100"]
    codes = [ZONE_CODES_SINCE.get(row["区划代码"], row["区划代码"]) for row in rows]
    facts = [(code[:2], counted(code, "total", int(row["人口数_合计"]))) for code, row in zip(codes, rows, strict=True)]
    found = ask(base(*facts), "population_shortfall(?)", OCTOBER)
    assert {row["city_code"] for row in found} == SHORT_2020
    assert round(sum(row["difference"] for row in found) / 1e6, 2) == 1.24
