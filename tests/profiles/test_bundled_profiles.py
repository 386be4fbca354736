"""The bundled profiles against the real dumps they were written for: every row is accounted for."""

from datetime import date
from decimal import Decimal

import polars as pl
import pytest

from connectors.dumps import open_dump
from connectors.profiles import profile as profiles
from connectors.profiles.profile import ProfileError
from connectors.publishing.mapping import Mapped, mapper
from tests.support.project import ROOT
from tests.support.realdata import real_data

PANEL = "06_census_county/census_city_2010-2020_4prov_nogeom.csv"
COUNTIES = "06_census_county/census_county_{}_v1_4prov.csv"
CLINICS = "07_hospitals_fever_clinics_2020/fever_clinics_4prov.csv"
SITES = "09_shanghai_nat_sites/"
HOMES = "15_nursing_homes_14cities/"
HOSPITALS = "16_hospitals_zhejiang_2019/"
STANDARDS = "19_shanghai_standards_dated/standards_shanghai.csv"
PUBLISHERS = ("31", "32", "33", "34")


def imported(name: str, file: str, publisher: str) -> Mapped:
    profile = profiles.load(name)
    dump = open_dump(real_data(file), profile.layout)
    [found] = map(mapper(profile, dump.columns, publisher, None).map, dump.chunks())
    assert found.rows_read == found.rows_mapped + found.rows_rejected + found.rows_skipped
    return found


def flagged(found: Mapped, flag: str) -> int:
    return found.facts.filter(pl.col("flags").list.contains(flag)).height


@pytest.mark.parametrize("profile", profiles.bundled(), ids=lambda profile: profile.name)
def test_every_bundled_profile_loads_and_names_origin_and_licence(profile: profiles.Profile) -> None:
    content = profile.path.read_text("utf-8")
    assert profile.path.stem == profile.name and profile.description and profile.scope
    assert "# Origin: " in content and "Licence: " in content
    reference = ROOT / "docs" / "source-profiles.md"
    assert f"`{profile.name}`" in reference.read_text("utf-8")


@pytest.mark.parametrize(
    ("publisher", "people", "cities"),
    [("31", 24_870_895, 1), ("32", 84_748_016, 13), ("33", 64_567_588, 11), ("34", 61_027_171, 16)],
)
def test_the_city_panel_adds_up_to_the_provinces(publisher: str, people: int, cities: int) -> None:
    found = imported("census_city_panel", PANEL, publisher)
    total = found.facts.filter(group_code="total", valid_from=date(2020, 11, 1))
    assert total["persons"].sum() == people
    assert (found.rows_mapped, found.rows_rejected, found.facts.height) == (cities, 0, cities * 14)
    shares = found.facts.filter(pl.col("group_code") == "age_65_plus")
    assert shares["share"].null_count() == 0 and shares["persons"].null_count() == shares.height


def test_shanghai_is_310000_in_the_city_panel() -> None:
    assert set(imported("census_city_panel", PANEL, "31").facts["division_code"]) == {"310000"}


@pytest.mark.parametrize(
    ("year", "publisher", "rows", "rejected"),
    [
        ("2020", "31", 17, 0), ("2020", "32", 118, 0), ("2020", "33", 102, 0), ("2020", "34", 130, 0),
        ("2010", "31", 19, 0), ("2010", "32", 120, 0), ("2010", "33", 102, 0), ("2010", "34", 123, 0),
    ],
)  # fmt: skip
def test_counties_are_kept_apart_and_their_sexes_add_up(year: str, publisher: str, rows: int, rejected: int) -> None:
    found = imported(f"census_county_{year}", COUNTIES.format(year), publisher)
    assert (found.rows_mapped, found.rows_rejected) == (rows, rejected)
    assert found.facts["business_key"].n_unique() == found.facts.height
    wide = found.facts.pivot("group_code", index="division_code", values="persons")
    assert (wide["male"] + wide["female"] == wide["total"]).all()
    bands = [name for name in wide.columns if name.startswith("male_")]
    assert len(bands) == 19
    assert (wide.select(pl.sum_horizontal(bands)).to_series() == wide["male"]).all()


def test_zones_that_only_the_census_names_lie_in_their_city() -> None:
    found = imported("census_county_2020", COUNTIES.format("2020"), "32")
    assert found.rejections == []
    assert flagged(found, "division_statistical") == 8 * 44


@pytest.mark.parametrize(("publisher", "rows"), [("31", 110), ("32", 537), ("33", 336), ("34", 0)])
def test_fever_clinics_belong_to_their_publisher(publisher: str, rows: int) -> None:
    found = imported("fever_clinics_2020", CLINICS, publisher)
    assert (found.rows_read, found.rows_mapped, found.rows_rejected) == (983, rows, 0)
    assert found.facts["business_key"].n_unique() == rows
    assert found.facts["division_code"].null_count() == 0
    assert set(found.facts["division_code"].str.slice(0, 2)) <= {publisher}
    assert set(found.facts["opening_hours"].drop_nulls()) <= {"24小时"}


def test_three_layouts_of_the_test_sites_say_the_same() -> None:
    first = imported("nat_sites_v1", f"{SITES}hs_2022-06-03a_2c519cf.json", "31").facts.drop("record")
    second = imported("nat_sites_v2", f"{SITES}hs_2022-06-03b_ea213ac.json", "31").facts.drop("record")
    assert (first.height, second.height) == (300, 120)
    assert len(set(first["business_key"]) & set(second["business_key"])) == 44
    assert first.equals(imported("nat_sites_csv", f"{SITES}sites_v1_2c519cf_300.csv", "31").facts.drop("record"))
    assert second.equals(imported("nat_sites_csv", f"{SITES}sites_v2_ea213ac_120.csv", "31").facts.drop("record"))


@pytest.mark.parametrize(("publisher", "rows"), [("31", 40), ("32", 39), ("33", 40), ("34", 0)])
def test_nursing_homes_of_both_files_are_the_same(publisher: str, rows: int) -> None:
    whole = imported("nursing_homes", f"{HOMES}nursing_homes_470.csv", publisher)
    part = imported("nursing_homes", f"{HOMES}nursing_homes_sh_hz_nj.csv", publisher)
    assert (whole.rows_mapped, whole.rows_rejected, part.rows_mapped) == (rows, 0, rows)
    assert whole.facts.drop("record").equals(part.facts.drop("record"))
    assert set(whole.facts["ownership"]) <= {"private", "public", "public_private", "social"}


def test_beds_and_prices_of_nursing_homes_are_numbers_or_unknown() -> None:
    facts = imported("nursing_homes", f"{HOMES}nursing_homes_470.csv", "31").facts
    first = facts.filter(provider_name="上海欧葆庭顾村国际颐养中心").row(0, named=True)
    assert (first["offers[YRD050101].capacity"], first["offers[YRD050101].price"]) == (385, Decimal(10000))
    assert (first["offers[YRD050101].unit"], first["offers[YRD050101].price_period"]) == ("bed", "month")
    assert first["division_code"] == "310000" and first["valid_from"] == date(2026, 2, 1)
    negotiable = facts.filter(provider_name="大家的家上海静安城心社区").row(0, named=True)
    assert negotiable["offers[YRD050101].price"] is None and negotiable["division_code"] == "310106"


def test_hospitals_are_all_there_and_the_workbook_says_the_same() -> None:
    csv = imported("hospitals_zhejiang_csv", f"{HOSPITALS}hospitals_1692.csv", "33")
    xls = imported("hospitals_zhejiang_xls", f"{HOSPITALS}hospital-2019-08-06_add.xls", "33")
    assert (csv.rows_mapped, csv.rows_rejected, csv.facts["business_key"].n_unique()) == (1692, 0, 1689)
    assert csv.facts.equals(xls.facts)
    assert profiles.load("hospitals_zhejiang_csv").source == profiles.load("hospitals_zhejiang_xls").source


def test_hospitals_lie_in_zhejiang_but_for_three_flagged_points() -> None:
    facts = imported("hospitals_zhejiang_csv", f"{HOSPITALS}hospitals_1692.csv", "33")
    assert flagged(facts, "coordinates_outside_region") == 3
    assert set(facts.facts["division_code"].str.slice(0, 2)) == {"33"}
    assert facts.facts.filter(pl.col("grade") == "其他").height == 1211


def test_rows_with_one_key_never_contradict_each_other_in_the_hospitals() -> None:
    facts = imported("hospitals_zhejiang_csv", f"{HOSPITALS}hospitals_1692.csv", "33").facts.drop("record")
    assert facts.unique().height == facts["business_key"].n_unique()


def test_the_hospitals_of_zhejiang_are_for_its_publisher_only() -> None:
    profile = profiles.load("hospitals_zhejiang_csv")
    with pytest.raises(ProfileError, match="not that of publisher 31"):
        mapper(profile, list(profile.columns()), "31", None)


def standards() -> pl.DataFrame:
    found = imported("shanghai_standards", STANDARDS, "31")
    assert (found.rows_mapped, found.rows_rejected, found.facts["business_key"].n_unique()) == (45, 0, 33)
    return found.facts


def standard(key: str, start: date | None) -> dict[str, object]:
    chosen = standards().filter(pl.col("business_key") == f"310000|{key}", pl.col("valid_from").eq_missing(start))
    return chosen.row(0, named=True)


def test_a_standard_has_item_variant_unit_and_period() -> None:
    benefit = standard("失业保险金支付标准·第1-12个月", date(2025, 7, 1))
    assert (benefit["item_name"], benefit["variant"]) == ("失业保险金支付标准", "第1-12个月")
    assert (benefit["value"], benefit["unit"], benefit["period"]) == (Decimal(2305), "CNY", "month")
    assert (benefit["metric"], benefit["comparator"], benefit["level"]) == ("amount", "eq", "provincial")
    assert benefit["published_on"] == date(2025, 7, 4) and benefit["doc_no"] == "沪人社规〔2025〕9号"


def test_the_stated_end_comes_before_the_end_by_replacement() -> None:
    assert standard("失业保险金支付标准·第1-12个月", date(2025, 7, 1))["stated_to"] == date(2027, 7, 1)
    assert standard("失业保险金支付标准·第1-12个月", date(2024, 7, 1))["stated_to"] == date(2025, 7, 1)
    assert standard("月最低工资标准", date(2025, 7, 1))["stated_to"] is None


def test_ranges_bounds_and_derived_standards_are_told_apart() -> None:
    rate = standard("单位缴费比例·工伤保险", date(2025, 1, 20))
    assert (rate["comparator"], rate["value"], rate["value_max"]) == ("range", Decimal("0.002"), Decimal("0.019"))
    months = standard("失业保险金领取期限", date(2026, 8, 16))
    assert (months["comparator"], months["value"], months["value_max"]) == ("range", Decimal(2), Decimal(24))
    assert standard("义务教育服务·年生均公用经费·普通小学", date(2017, 11, 21))["comparator"] == "ge"
    assert standard("学前教育资助", date(2024, 6, 19))["comparator"] == "le"
    assert standard("退休医保待遇缴费年限", None)["comparator"] == "gt"
    subsidy = standard("用人单位吸纳岗位补贴", date(2022, 1, 1))
    assert (subsidy["comparator"], subsidy["value"]) == ("derived", Decimal("0.5"))
    assert subsidy["derived_from"] in set(standards()["business_key"])


def test_standards_without_a_known_year_carry_no_date() -> None:
    undated = standards().filter(pl.col("valid_from").is_null())
    assert undated.height == 9
    assert standard("城乡居民最低生活保障标准", None)["value"] == Decimal(1160)


def test_three_versions_of_a_list_state_the_same_amount() -> None:
    versions = standards().filter(business_key="310000|义务教育服务·年生均公用经费·普通小学")
    assert versions["valid_from"].to_list() == [date(2017, 11, 21), date(2018, 8, 28), date(2024, 6, 19)]
    assert versions["value"].unique().to_list() == [Decimal(1600)]


def test_same_as_above_is_resolved() -> None:
    limit = standard("就业困难人员灵活就业社保补贴·累计最长期限", date(2022, 1, 1))
    assert (limit["item_name"], limit["comparator"], limit["unit"]) == ("就业困难人员灵活就业社保补贴", "le", "year")
