"""Divisions: codes and names of four provinces, as they stood on a day."""

import csv
from collections import Counter
from datetime import date

import pytest

from repository.registers.divisions import (
    NOW,
    AmbiguousDivision,
    DivisionError,
    DivisionSplit,
    UnknownDivision,
    cities,
    city_of,
    is_known,
    locate,
    register,
    resolve,
)
from tests.support.realdata import real_data

IN_2019 = date(2019, 8, 6)
IN_2024 = date(2024, 1, 1)


def test_the_region_has_41_cities_and_shanghai_is_one_of_them() -> None:
    names = dict(cities())
    assert len(cities()) == len(names) == 41
    assert names["310000"] == "上海市" and names["341800"] == "宣城市"
    assert Counter(code[:2] for code in names) == {"31": 1, "32": 13, "33": 11, "34": 16}


def test_every_division_has_its_parent_and_every_successor_stands_in_the_register() -> None:
    known = register().by_code
    for names in known.values():
        for division in names:
            assert division.level == "country" or division.parent in known
            assert division.to_year is None or division.from_year < division.to_year
            assert set(division.successors) <= set(known)
            assert (division.to_year is None) == (not division.successors)


def test_the_register_in_use_is_that_of_the_bureau_of_statistics() -> None:
    with real_data("01_divisions_modood/areas_4prov.csv").open(encoding="utf-8") as table:
        listed = {row["code"]: row["name"] for row in csv.DictReader(table)}
    in_use = (names[-1] for names in register().by_code.values() if names[-1].in_use(NOW))
    assert {each.code: each.name for each in in_use if each.level in ("county", "statistical")} == listed


def test_the_register_holds_every_division_of_its_source() -> None:
    with real_data("03_areacodes_history/result_4prov.csv").open(encoding="utf-8-sig") as table:
        listed = [(row["代码"], row["名称"], int(row["启用时间"])) for row in csv.DictReader(table)]
    held = [(each.code, each.name, each.from_year) for names in register().by_code.values() for each in names]
    assert set(listed) <= set(held)
    assert len(held) == len(listed) + 1 + 24


@pytest.mark.parametrize(
    ("text", "code", "city", "province"),
    [
        ("310101", "310101", "310000", "310000"),
        ("３１０１０１", "310101", "310000", "310000"),
        ("31", "310000", "310000", "310000"),
        ("310100", "310000", "310000", "310000"),
        ("310200", "310000", "310000", "310000"),
        ("3101", "310000", "310000", "310000"),
        ("3201", "320100", "320100", "320000"),
        ("32", "320000", None, "320000"),
        ("310101002", "310101", "310000", "310000"),
        ("330383000000", "330383", "330300", "330000"),
        ("000000", "000000", None, None),
        ("全国", "000000", None, None),
        ("上海", "310000", "310000", "310000"),
        ("上海市", "310000", "310000", "310000"),
        ("江苏", "320000", None, "320000"),
        ("黄浦", "310101", "310000", "310000"),
        ("浦东", "310115", "310000", "310000"),
        (" 余杭 区 ", "330110", "330100", "330000"),
        ("景宁县", "331127", "331100", "330000"),
        ("徐州市鼓楼区", "320302", "320300", "320000"),
        ("江苏省南京鼓楼", "320106", "320100", "320000"),
        ("上海市普陀区", "310107", "310000", "310000"),
    ],
)
def test_codes_and_names_of_every_form_resolve(text: str, code: str, city: str | None, province: str | None) -> None:
    resolved = resolve(text)
    assert (resolved.code, resolved.city_code, resolved.province_code) == (code, city, province)
    assert resolved.flags == ()


@pytest.mark.parametrize(
    ("name", "within", "code"),
    [
        ("鼓楼区", "320100", "320106"),
        ("鼓楼", "3203", "320302"),
        ("普陀区", "33", "330903"),
        ("普陀区", "浙江省", "330903"),
        ("普陀区", "310100", "310107"),
        ("郊区", "340700", "340711"),
        ("上海", "310000", "310000"),
    ],
)
def test_a_name_is_looked_for_within_its_province_or_city(name: str, within: str, code: str) -> None:
    assert resolve(name, within=within).code == code


def test_a_bare_name_means_the_city_unless_asked_for_within_it() -> None:
    assert resolve("黄山").code == "341000"
    assert resolve("黄山", within="341000").code == "341003"
    assert resolve("芜湖", date(2019, 1, 1)).code == "340200"
    assert resolve("上海", date(1985, 1, 1), within="31").code == "310000"


def test_an_abolished_code_stands_for_facts_of_its_time() -> None:
    assert resolve("330103", IN_2019).code == "330103"
    assert resolve("330103", IN_2019).flags == ()
    assert resolve("下城区", IN_2019).name == "下城区"
    assert resolve("巢湖市", date(2005, 1, 1)).code == "341400"


@pytest.mark.parametrize(
    ("text", "on", "code"),
    [
        ("330103", None, "330105"),
        ("330103", date(2021, 1, 1), "330105"),
        ("下城区", IN_2024, "330105"),
        ("310225", None, "310115"),
        ("310225", date(2005, 1, 1), "310119"),
        ("南汇县", None, "310115"),
        ("萧山市", None, "330109"),
        ("海安县", None, "320685"),
        ("330502", date(1995, 1, 1), "330500"),
        ("342500", None, "341800"),
    ],
)
def test_an_abolished_division_gives_way_to_its_one_successor_flagged(text: str, on: date | None, code: str) -> None:
    resolved = resolve(text, on)
    assert (resolved.code, resolved.flags) == (code, ("division_abolished",))


def test_a_code_that_was_only_renamed_is_not_abolished() -> None:
    assert resolve("楚州区").name == "淮安区"
    assert resolve("320803", date(2005, 1, 1)).name == "楚州区"
    assert resolve("楚州区").flags == resolve("320803").flags == ()


def test_a_code_reported_for_a_time_before_it_was_in_use_is_kept() -> None:
    """Today's register is what sources use for the past, too: a home in 临平区 opened in 2010."""
    for text in ("330113", "临平区"):
        assert resolve(text, date(2010, 1, 1)) == resolve("330113")


def test_a_division_that_was_split_cannot_be_told() -> None:
    with pytest.raises(DivisionSplit, match=r"330104 江干区 .* 330102 杭州市上城区 or 330114 杭州市钱塘区") as refused:
        resolve("330104", IN_2024)
    assert refused.value.successors == ("330102", "330114")
    with pytest.raises(DivisionSplit) as refused:
        resolve("341400")
    assert refused.value.successors == ("340100", "340200", "340500")


@pytest.mark.parametrize(
    ("name", "candidates"),
    [
        ("鼓楼区", ("320106", "320302")),
        ("普陀区", ("310107", "330903")),
        ("西市区", ("340104", "340304")),
    ],
)
def test_an_ambiguous_name_is_refused_with_its_candidates(name: str, candidates: tuple[str, ...]) -> None:
    with pytest.raises(AmbiguousDivision, match=rf"^{name!r} may be {candidates[0]} .*[.]$") as refused:
        resolve(name)
    assert refused.value.candidates == candidates


@pytest.mark.parametrize("text", ["", "110105", "999999", "3199", "12345", "南京东路", "市辖区", "福州", "330199"])
def test_what_the_region_never_had_is_unknown(text: str) -> None:
    with pytest.raises(UnknownDivision, match=rf"^{text!r} names no division .*[.]$"):
        resolve(text)


def test_an_identity_number_in_the_wrong_column_is_not_shown() -> None:
    with pytest.raises(UnknownDivision) as refused:
        resolve("319999199003070016")
    assert "3199991990" not in str(refused.value)


@pytest.mark.parametrize("text", ["320576", "苏州工业园区", "江苏省苏州工业园区", "320576001"])
def test_a_statistical_area_keeps_its_code_flagged_and_belongs_to_its_city(text: str) -> None:
    resolved = resolve(text)
    assert (resolved.code, resolved.level, resolved.city_code) == ("320576", "statistical", "320500")
    assert resolved.flags == ("division_statistical",)


def test_every_code_has_its_province_and_every_county_in_use_its_city() -> None:
    names = dict(cities())
    for code, divisions in register().by_code.items():
        assert divisions[-1].province_code == (None if code == "000000" else f"{code[:2]}0000")
        if divisions[-1].in_use(NOW) and divisions[-1].level in ("city", "county", "statistical"):
            assert city_of(code) in names


def test_the_city_of_an_abolished_county_is_one_of_today() -> None:
    assert city_of("330104") == "330100"
    assert city_of("341402") == "340100"
    assert city_of("310230") == city_of("310000") == "310000"
    assert city_of("330000") is None
    with pytest.raises(DivisionSplit):
        city_of("341424")


@pytest.mark.parametrize(
    "code",
    ["310103", "310108", "310119", "310230", "330104", "330103", "341402", "110105", "441900", "330501"],
)
def test_citizen_numbers_may_begin_with_counties_of_any_time(code: str) -> None:
    assert is_known(code)


@pytest.mark.parametrize("code", ["320500", "310000", "310100", "341400", "320576", "319999", "000000", "3101", ""])
def test_citizen_numbers_never_begin_with_anything_else(code: str) -> None:
    assert not is_known(code)


def test_every_historical_county_of_china_is_known() -> None:
    with real_data("03_areacodes_history/result_all_china.csv").open(encoding="utf-8-sig") as table:
        counties = [row["代码"] for row in csv.DictReader(table) if row["级别"] == "县级"]
    assert len(counties) == 6245 and all(map(is_known, counties))


@pytest.mark.parametrize(
    ("address", "within", "code"),
    [
        ("浙江省杭州市下城区东新路219号（和平广场） ", "33", "330103"),
        ("杭州市西湖区古翠路8号(古翠路天目山路口)", "33", "330106"),
        ("浙江省杭州市古墩路456号", "33", "330100"),
        ("杭州西湖区北街126号", "33", "330106"),
        ("中国浙江杭州西湖区文三路", "33", "330106"),
        ("浙江省金华市义乌市稠江街道", "33", "330782"),
        ("浙江省绍兴市诸暨市街亭镇新街30号", "33", "330681"),
        ("浙江省台州市路桥区路南街道长浦村", "33", "331004"),
        ("云和县城北路109号", "33", "331125"),
        ("丽水市景宁县鹤溪镇", "33", "331127"),
        ("丹西街道樟树下村象山县爱心医院附近", "33", "330225"),
        ("上海市黄浦区南京东路100号", "31", "310101"),
        ("上海黄浦区南京东路100号", "31", "310101"),
        ("上海市南京东路100号", "31", "310000"),
        ("徐州市丰县中阳大道", "32", "320321"),
        ("徐州丰县中阳大道", "32", "320321"),
        ("南京市鼓楼区广州路300号", "32", "320106"),
        ("徐州鼓楼区淮海东路", "32", "320302"),
        ("苏州市苏州工业园区星湖街", "32", "320576"),
        ("铜陵市郊区桥南办事处", "34", "340711"),
        ("巢湖市庐江县庐城镇", "34", "340124"),
        ("西湖区文三路", "330100", "330106"),
    ],
)
def test_the_most_specific_division_of_an_address_is_found(address: str, within: str, code: str) -> None:
    located = locate(address, within, IN_2019)
    assert located is not None and located.code == code
    assert located.flags[-1] == "division_by_address"


@pytest.mark.parametrize(
    ("address", "within"),
    [
        ("南京东路100号", "31"),
        ("南京东路100号", "32"),
        ("中山路1号", "32"),
        ("江苏路12号", "31"),
        ("江苏路12号", "32"),
        ("杭州湾大道88号", "33"),
        ("义乌市场路5号", "33"),
        ("鄞县大道1357号", "33"),
        ("咸丰县前街3号", "32"),
        ("黄浦路5号", "31"),
        ("余杭塘路", "33"),
        ("江北区域医疗中心", "33"),
        ("山西省太原市解放路85号", "33"),
        ("浙江省杭州市西湖区", "32"),
        ("", "33"),
    ],
)
def test_streets_and_places_elsewhere_name_no_division(address: str, within: str) -> None:
    assert locate(address, within, IN_2019) is None


def test_a_county_outside_the_city_named_is_not_taken() -> None:
    located = locate("宁波市鄞县大道1号余杭区分店", "33", IN_2019)
    assert located is not None and located.code == "330200"


def test_an_address_with_an_old_name_gives_the_successor_or_the_city_above() -> None:
    moved = locate("宁波市江东区民安路855号", "33", IN_2019)
    assert moved is not None and moved.code == "330212"
    assert moved.flags == ("division_abolished", "division_by_address")
    split = locate("浙江省杭州市江干区严官巷34号", "33", IN_2024)
    assert split is not None and split.code == "330100"
    alone = locate("绍兴县柯桥迪扬路868号", "33", IN_2019)
    assert alone is not None and alone.code == "330600"


def test_most_hospital_addresses_of_zhejiang_name_their_county() -> None:
    with real_data("16_hospitals_zhejiang_2019/hospitals_1692.csv").open(encoding="utf-8") as table:
        located = [locate(row["address"], "33", IN_2019) for row in csv.DictReader(table)]
    levels = Counter(each.level if each else "none" for each in located)
    assert levels["county"] >= 1330 and levels["county"] + levels["city"] >= 1640


def test_located_counties_agree_with_those_a_source_states() -> None:
    """Of the fever clinics of 2020 that state both, no address leads to a county other than the stated one."""
    located = agreeing = 0
    with real_data("07_hospitals_fever_clinics_2020/fever_clinics_4prov.csv").open(encoding="utf-8") as table:
        for row in csv.DictReader(table):
            found = locate(row["address"], row["province_code"], date(2020, 1, 22))
            if found and found.level == "county" and (stated := _stated(row["county"], row["city_code"])):
                located += 1
                agreeing += found.code == stated
    assert located > 400 and agreeing == located


def _stated(county: str, city_code: str) -> str | None:
    try:
        return resolve(county, date(2020, 1, 22), city_code).code
    except DivisionError:
        return None


def test_a_statistical_area_that_the_register_lacks_lies_in_its_city() -> None:
    # 321271 stands in the county tables of the census of 2020 only.
    resolved = resolve("321271", date(2020, 11, 1))
    assert (resolved.code, resolved.level, resolved.city_code) == ("321271", "statistical", "321200")
    assert "division_statistical" in resolved.flags


def test_a_code_that_only_looks_like_a_statistical_area_is_unknown() -> None:
    with pytest.raises(UnknownDivision):
        resolve("329971")
