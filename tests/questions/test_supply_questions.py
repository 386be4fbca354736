"""Questions about what is on offer and where it stands: given service points, then rows."""

import math
from dataclasses import replace
from datetime import date

import pytest

from tests.support import controls
from tests.support.bases import ask, base, empty_base, of_city, picked
from tests.support.controls import CLOVER_HOME, HANGZHOU, MAPLE_HOME, NANJING, OCTOBER, QUIET_HOME, SHANGHAI, counted


def test_capacity_adds_what_is_stated_and_counts_what_is_not() -> None:
    connection = base(("32", CLOVER_HOME), ("32", MAPLE_HOME), ("32", QUIET_HOME))
    rows = ask(connection, "capacity_by_city(?)", OCTOBER)
    assert len(rows) == 41
    [nanjing] = of_city(rows, NANJING)
    assert picked(nanjing, "category item_code unit") == ("nursing_home", controls.BEDS, "bed")
    assert picked(nanjing, "capacity n_service_points n_with_capacity n_without_capacity") == (200, 3, 2, 1)
    [hangzhou] = of_city(rows, HANGZHOU)
    assert hangzhou["capacity"] is None and hangzhou["n_service_points"] is None


def test_capacity_of_points_that_state_none_is_missing() -> None:
    [nanjing] = of_city(ask(base(("32", QUIET_HOME)), "capacity_by_city(?)", OCTOBER), NANJING)
    assert picked(nanjing, "capacity n_service_points n_without_capacity") == (None, 1, 1)


def test_capacity_never_adds_different_units() -> None:
    seats = replace(MAPLE_HOME, fields={**MAPLE_HOME.fields, f"offers[{controls.BEDS}].unit": "place"})
    rows = of_city(ask(base(("32", CLOVER_HOME), ("32", seats)), "capacity_by_city(?)", OCTOBER), NANJING)
    assert [picked(r, "unit capacity n_service_points") for r in rows] == [("bed", 120, 2), ("place", 80, 2)]


def test_capacity_leaves_out_closed_points_and_shows_those_without_city() -> None:
    closing = replace(CLOVER_HOME, valid_from=date(2026, 8, 1), fields={"status": "closed"})
    nowhere = controls.home("无名院", "320106", 10, division_code=None)
    connection = base(("32", CLOVER_HOME), ("32", closing), ("32", nowhere))
    rows = ask(connection, "capacity_by_city(?)", OCTOBER)
    assert of_city(rows, NANJING)[0]["n_service_points"] is None
    assert of_city(rows, None)[0]["capacity"] == 10
    before = ask(connection, "capacity_by_city(?)", date(2026, 7, 31))
    assert of_city(before, NANJING)[0]["capacity"] == 120


def test_capacity_follows_an_abolished_county_to_its_city_of_today() -> None:
    rows = ask(base(("34", controls.home("巢湖院", "341402", 30))), "capacity_by_city(?)", OCTOBER)
    assert of_city(rows, "340100")[0]["capacity"] == 30


def test_capacity_per_1000_says_which_denominator_it_took() -> None:
    connection = base(
        ("32", CLOVER_HOME),
        ("32", MAPLE_HOME),
        ("32", QUIET_HOME),
        ("32", counted(NANJING, "age_60_plus", 100_000, controls.CENSUS_2010)),
        *[("32", counted(NANJING, band, 20_000)) for band in controls.BANDS],
        ("33", controls.home("水杉院", "330106", 50)),
        *[("33", counted(HANGZHOU, band, 1_000)) for band in controls.BANDS],
        ("33", counted("330200", "age_60_plus", None, share="18.1")),
        ("33", controls.home("江畔院", "330203", 50)),
        *[("31", counted(SHANGHAI, band, 1_000)) for band in controls.BANDS[1:]],
    )
    rows = {r["city_code"]: r for r in ask(connection, "capacity_per_1000_aged_60(?, ?)", OCTOBER, controls.BEDS)}
    assert len(rows) == 41 and {picked(r, "n_reported n_missing") for r in rows.values()} == {(2, 39)}
    nanjing, hangzhou, ningbo, shanghai = rows[NANJING], rows[HANGZHOU], rows["330200"], rows[SHANGHAI]
    assert picked(nanjing, "denominator aged_60 per_1000") == ("age_60_plus", 100_000, 2.0)
    assert picked(nanjing, "counted_on n_without_capacity") == (controls.CENSUS_2010, 1)
    assert picked(hangzhou, "denominator aged_60 per_1000") == ("sum of 12 bands by sex", 12_000, 4.17)
    assert picked(ningbo, "capacity aged_60 per_1000") == (50, None, None)
    assert picked(shanghai, "denominator aged_60") == (None, None)


# The forward formulas, written here once more in Python; the base has the inverse in SQL.

A, EE = 6378245.0, 0.00669342162296594323


def to_gcj02(lng: float, lat: float) -> tuple[float, float]:
    x, y, pi = lng - 105, lat - 35, math.pi
    both = 20 * math.sin(6 * x * pi) + 20 * math.sin(2 * x * pi)
    north = -100 + 2 * x + 3 * y + 0.2 * y * y + 0.1 * x * y + 0.2 * math.sqrt(abs(x)) + both * 2 / 3
    north += (20 * math.sin(y * pi) + 40 * math.sin(y / 3 * pi)) * 2 / 3
    north += (160 * math.sin(y / 12 * pi) + 320 * math.sin(y * pi / 30)) * 2 / 3
    east = 300 + x + 2 * y + 0.1 * x * x + 0.1 * x * y + 0.1 * math.sqrt(abs(x)) + both * 2 / 3
    east += (20 * math.sin(x * pi) + 40 * math.sin(x / 3 * pi)) * 2 / 3
    east += (150 * math.sin(x / 12 * pi) + 300 * math.sin(x / 30 * pi)) * 2 / 3
    phi = lat / 180 * pi
    magic = 1 - EE * math.sin(phi) ** 2
    north = north * 180 / (A * (1 - EE) / (magic * math.sqrt(magic)) * pi)
    east = east * 180 / (A / math.sqrt(magic) * math.cos(phi) * pi)
    return lng + east, lat + north


def to_bd09(lng: float, lat: float) -> tuple[float, float]:
    z = math.sqrt(lng * lng + lat * lat) + 0.00002 * math.sin(lat * math.pi * 3000 / 180)
    theta = math.atan2(lat, lng) + 0.000003 * math.cos(lng * math.pi * 3000 / 180)
    return z * math.cos(theta) + 0.0065, z * math.sin(theta) + 0.006


def metres(one: tuple[float, float], other: tuple[float, float]) -> float:
    north = (one[1] - other[1]) * 111_195
    east = (one[0] - other[0]) * 111_195 * math.cos(math.radians(one[1]))
    return math.hypot(north, east)


GRID = [(115.0 + i * 0.573, 27.1 + j * 0.497) for i in range(14) for j in range(17)]


BACK = """
SELECT gcj02_to_wgs84_lng(lng, lat) AS lng, gcj02_to_wgs84_lat(lng, lat) AS lat
FROM (SELECT {lng} AS lng, {lat} AS lat FROM (SELECT unnest(?::DOUBLE[]) AS a, unnest(?::DOUBLE[]) AS b))
"""


@pytest.mark.parametrize(
    ("moved", "lng", "lat", "within_metres"),
    [
        ([to_gcj02(*place) for place in GRID], "a", "b", 0.1),
        ([to_bd09(*to_gcj02(*place)) for place in GRID], "bd09_to_gcj02_lng(a, b)", "bd09_to_gcj02_lat(a, b)", 1),
    ],
    ids=["GCJ-02", "BD-09"],
)
def test_coordinates_come_back_from_both_datums(
    moved: list[tuple[float, float]], lng: str, lat: str, within_metres: float
) -> None:
    found = ask(empty_base(), BACK.format(lng=lng, lat=lat), [place[0] for place in moved], [place[1] for place in moved])
    off = [metres((row["lng"], row["lat"]), place) for row, place in zip(found, GRID, strict=True)]
    assert max(off) < within_metres


def test_service_points_keep_their_own_coordinates_beside_wgs84() -> None:
    bund = (121.4903, 31.2397)
    gcj, bd = to_gcj02(*bund), to_bd09(*to_gcj02(*bund))
    assert metres(gcj, bund) > 300
    named = [("gcj", gcj, "GCJ-02"), ("bd", bd, "BD-09"), ("wgs", bund, "WGS-84"), ("unknown", bund, None)]
    facts = [("31", controls.at_place(controls.home(n, "310101"), *place, system)) for n, place, system in named]
    rows = {r["provider_name"]: r for r in ask(base(*facts, ("31", controls.home("nowhere", "310101"))), "supply_wgs84")}
    assert len(rows) == 5
    for name, place, system in named:
        assert (rows[name]["longitude"], rows[name]["latitude"], rows[name]["coordinate_system"]) == (*place, system)
    for name in ("gcj", "bd", "wgs"):
        assert metres((rows[name]["longitude_wgs84"], rows[name]["latitude_wgs84"]), bund) < 1
    assert rows["unknown"]["longitude_wgs84"] is None and rows["nowhere"]["latitude_wgs84"] is None
