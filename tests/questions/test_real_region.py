"""The whole region from real public dumps: what is known to be true of them is true of the base. Runs where they are at hand."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from connectors.home.folder import Home
from connectors.hub import hub
from connectors.profiles.profile import load
from connectors.publishing.importing import Imported, import_dump
from tests.support.realdata import real_data

pytestmark = pytest.mark.long

PANEL = "06_census_county/census_city_2010-2020_4prov_nogeom.csv"
COUNTIES = {year: f"06_census_county/census_county_{year}_v1_4prov.csv" for year in (2010, 2020)}
PROVINCES = ("31", "32", "33", "34")
TOTALS = {
    "2020-11-01": [24_870_895, 84_748_016, 64_567_588, 61_027_171],
    "2010-11-01": [23_019_196, 78_660_941, 54_426_891, 59_500_468],
}
DUMPS = (
    *(("census_city_panel", PANEL, code) for code in PROVINCES),
    *(("census_county_2020", COUNTIES[2020], code) for code in PROVINCES),
    ("hospitals_zhejiang_csv", "16_hospitals_zhejiang_2019/hospitals_1692.csv", "33"),
    ("hospitals_zhejiang_xls", "16_hospitals_zhejiang_2019/hospital-2019-08-06_add.xls", "33"),
    *(("fever_clinics_2020", "07_hospitals_fever_clinics_2020/fever_clinics_4prov.csv", code) for code in PROVINCES),
    *(("nursing_homes", "15_nursing_homes_14cities/nursing_homes_sh_hz_nj.csv", code) for code in ("31", "32", "33")),
    ("nat_sites_v1", "09_shanghai_nat_sites/hs_2022-06-03a_2c519cf.json", "31"),
    ("nat_sites_v2", "09_shanghai_nat_sites/hs_2022-06-03b_ea213ac.json", "31"),
    ("shanghai_standards", "19_shanghai_standards_dated/standards_shanghai.csv", "31"),
)


@dataclass
class Region:
    """A home into which every dump was imported twice."""

    home: Home
    before: datetime
    first: dict[tuple[str, str], Imported]
    second: dict[tuple[str, str], Imported]

    def ask(self, sql: str) -> list[dict[str, Any]]:
        rows: list[dict[str, Any]] = hub.read(self.home, sql).to_pylist()
        return rows


def _import_all(home: Home) -> dict[tuple[str, str], Imported]:
    return {(name, code): import_dump(home, load(name), real_data(file), code) for name, file, code in DUMPS}


@pytest.fixture(scope="module")
def region(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Region]:
    real_data(PANEL)
    home = Home.create(tmp_path_factory.mktemp("region") / "home", ("00", *PROVINCES), synthetic=False)
    before = datetime.now(UTC) - timedelta(seconds=1)
    first, second = _import_all(home), _import_all(home)
    assert hub.perform(home, "project")["quarantined"] == 0
    yield Region(home, before, first, second)


def _populations(home: Home, day: str) -> list[int]:
    sql = f"SELECT city_code[1:2] AS province, sum(persons)::BIGINT AS persons FROM population_by_city('{day}', 'total') GROUP BY ALL ORDER BY ALL"
    return [row["persons"] for row in hub.read(home, sql).to_pylist()]


@pytest.mark.parametrize("day", TOTALS)
def test_cities_add_up_to_the_provinces_of_the_census(region: Region, day: str) -> None:
    assert _populations(region.home, day) == TOTALS[day]
    assert len(region.ask(f"FROM population_by_city('{day}', 'total') WHERE persons IS NOT NULL")) == 41


@pytest.mark.parametrize("years", [(2010, 2020), (2020, 2010)])
def test_the_order_of_two_censuses_does_not_matter(tmp_path: Path, years: tuple[int, int]) -> None:
    home = Home.create(tmp_path / "home", ("00", *PROVINCES), synthetic=False)
    for year in years:
        for code in PROVINCES:
            import_dump(home, load(f"census_county_{year}"), real_data(COUNTIES[year]), code)
    hub.perform(home, "project")
    assert _populations(home, "2020-11-01") == TOTALS["2020-11-01"]
    # The register of 2010 still had the prefecture 巢湖, which is none of today's cities.
    of_2010 = hub.read(
        home,
        "SELECT division_code[1:2] AS province, sum(persons)::BIGINT AS persons FROM service_object_asof('2010-11-01', NULL) "
        "WHERE group_code = 'total' AND (division_code LIKE '%00' AND division_code NOT LIKE '%0000' OR division_code = '310000') "
        "GROUP BY ALL ORDER BY ALL",
    ).to_pylist()
    assert [row["persons"] for row in of_2010] == TOTALS["2010-11-01"]


def test_counties_fall_short_of_exactly_seven_cities(region: Region) -> None:
    short = region.ask("FROM population_shortfall('2020-11-01')")
    assert {row["city"] for row in short} == {"连云港市", "镇江市", "温州市", "芜湖市", "滁州市", "阜阳市", "宿州市"}
    assert 1_230_000 < sum(row["difference"] for row in short) < 1_250_000


def test_every_row_is_accounted_for(region: Region) -> None:
    for imported in region.first.values():
        c = imported.counts
        assert c.rows_read == c.rows_mapped + c.rows_rejected + c.rows_skipped
    rows = {key: imported.counts.rows_mapped for key, imported in region.first.items()}
    assert rows["hospitals_zhejiang_csv", "33"] == 1692
    assert sum(rows["fever_clinics_2020", code] for code in PROVINCES) == 983
    assert sum(rows["nursing_homes", code] for code in ("31", "32", "33")) == 119
    assert (rows["nat_sites_v1", "31"], rows["nat_sites_v2", "31"]) == (300, 120)
    assert rows["shanghai_standards", "31"] == 45
    verdicts = region.ask("SELECT verdict, count(*) AS batches FROM reconciliation GROUP BY ALL")
    assert [(row["verdict"], row["batches"]) for row in verdicts] == [("balanced", 2 * len(DUMPS))]


def test_the_workbook_after_the_csv_changes_nothing(region: Region) -> None:
    assert region.first["hospitals_zhejiang_xls", "33"].counts.events == 0


def test_all_dumps_again_record_nothing_but_heartbeats(region: Region) -> None:
    assert {key: imported.counts.events for key, imported in region.second.items() if imported.counts.events} == {}
    heartbeats = region.ask("SELECT count(*) AS n FROM batches WHERE event_type = 'DumpUnchanged'")
    assert heartbeats[0]["n"] >= len(DUMPS)


def test_partial_lists_close_nothing(region: Region) -> None:
    assert sum(imported.counts.closed for imported in region.first.values()) == 0
    sites = region.ask("SELECT count(*) AS n FROM supply_current WHERE category = 'test_site' AND status = 'active'")
    assert sites[0]["n"] == 300 + 120 - 44


def test_beds_of_homes_are_known_or_stated_as_unknown(region: Region) -> None:
    (found,) = region.ask(
        "SELECT count(*) AS homes, count(capacity) AS with_beds, sum(capacity)::BIGINT AS beds FROM offers WHERE category = 'nursing_home'"
    )
    assert found["homes"] == 119
    assert 0 < found["with_beds"] <= 119
    assert found["beds"] > 10_000


def test_three_points_outside_the_delta_are_flagged_and_kept(region: Region) -> None:
    outside = region.ask("SELECT business_key FROM flagged WHERE flag = 'coordinates_outside_region'")
    assert len(outside) == 3


@pytest.mark.parametrize(("day", "amount"), [("2025-06-15", 2255), ("2025-08-01", 2305), ("2026-08-01", 2340)])
def test_unemployment_benefit_is_one_standard_with_a_timeline(region: Region, day: str, amount: int) -> None:
    tier = f"FROM standard_asof('{day}', NULL) WHERE business_key LIKE '310000|失业保险金支付标准%' AND variant = '第1-12个月'"
    assert [row["value"] for row in region.ask(f"SELECT value {tier}")] == [amount]
    known_before = f"SELECT * FROM standard_asof('{day}', '{region.before.isoformat()}')"
    assert region.ask(known_before) == []


def test_the_notice_of_2025_was_cut_short(region: Region) -> None:
    cut = region.ask("FROM cut_short WHERE doc_no = '沪人社规〔2025〕9号' AND variant = '第1-12个月'")
    assert [(str(row["last_day_stated"]), str(row["last_day_in_force"])) for row in cut] == [("2027-06-30", "2026-06-30")]


def test_the_injury_rate_is_a_range(region: Region) -> None:
    (rate,) = region.ask(
        "SELECT comparator, value, value_max FROM standard_timeline WHERE business_key = '310000|单位缴费比例·工伤保险'"
    )
    assert (rate["comparator"], float(rate["value"]), float(rate["value_max"])) == ("range", 0.002, 0.019)


def test_rows_without_date_or_number_are_standards_with_text(region: Region) -> None:
    undated = region.ask("SELECT text, value, valid_from FROM standard_current WHERE valid_from IS NULL")
    assert len(undated) == 8
    assert all(row["text"] for row in undated)
    assert any(row["value"] is None for row in undated)
