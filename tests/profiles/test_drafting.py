"""Drafts: a first profile from a dump loads, checks and maps; the worked example of the reference is true."""

import re
from dataclasses import replace
from datetime import date
from pathlib import Path

import pytest

from connectors.dumps import open_dump
from connectors.profiles import profile as profiles
from connectors.profiles.drafting import draft
from connectors.publishing.mapping import Mapped, mapper
from repository.kinds.register import PERSONS
from tests.support.project import ROOT
from tests.support.realdata import real_data

HOMES = """区划代码,机构名称,统一社会信用代码,床位数,价格（元/月）,经度,纬度,联系人
310104,徐汇甲养老院,12310000425000014Y,385张,4500,121.4,31.2,某某
310105,长宁乙养老院,,未知,价格面议,121.4,31.2,某某
"""


def written(folder: Path, name: str, content: str) -> Path:
    path = folder / name
    path.write_text(content, "utf-8")
    return path


def applied(content: str, dump_path: Path, publisher: str = "31") -> Mapped:
    profile = profiles.parse(content, Path("draft.toml"))
    dump = open_dump(dump_path, profile.layout)
    [found] = map(mapper(profile, dump.columns, publisher, date(2026, 1, 31)).map, dump.chunks())
    return found


def test_a_draft_maps_the_dump_it_was_made_from(tmp_path: Path) -> None:
    path = written(tmp_path, "homes.csv", HOMES)
    content = draft(path)
    found = applied(content, path)
    assert (found.rows_mapped, found.rejections) == (2, [])
    assert found.facts["provider_name"].to_list() == ["徐汇甲养老院", "长宁乙养老院"]
    assert found.facts["offers[YRD050101].capacity"].to_list() == [385, None]
    assert found.facts["division_code"].to_list() == ["310104", "310105"]
    assert 'key = ["区划代码", "机构名称"]' in content
    assert "# Columns not used: 联系人" in content


def test_a_draft_says_when_its_key_does_not_tell_rows_apart(tmp_path: Path) -> None:
    path = written(tmp_path, "homes.csv", "名称,地址\n甲,一路\n甲,二路\n乙,\n")
    assert "of the first 3 rows 1 repeat another key and 0 have an empty one" in draft(path)


def test_a_standard_keeps_its_key_over_several_validities(tmp_path: Path) -> None:
    path = written(
        tmp_path,
        "standards.csv",
        "项目,标准,金额,文号,生效日期\n低保,每月,1160,一号,2024-07-01\n低保,每月,1210,二号,2025-07-01\n",
    )
    content = draft(path)
    assert 'kind = "standard"' in content and 'key = ["项目"]' in content and "0 repeat another key" in content
    assert applied(content, path).facts["value"].to_list() == [1160, 1210]


def test_population_tables_become_one_fact_per_group(tmp_path: Path) -> None:
    path = written(tmp_path, "census.csv", "行政区划代码,合计,男,女\n310104,10,4,6\n")
    assert applied(draft(path), path).facts["business_key"].to_list() == ["310104|total", "310104|male", "310104|female"]


def test_identity_numbers_make_a_profile_of_persons_that_shows_none(tmp_path: Path) -> None:
    path = written(tmp_path, "persons.csv", "身份证号,姓名,区划代码\n319999199003070016,某某,310104\n")
    content = draft(path)
    profile = profiles.parse(content, Path("persons.toml"))
    assert profile.person is not None and profile.data_level == 3
    assert "319999199003070016" not in content and "某某" not in content


def test_persons_whose_key_is_not_their_token_are_drafted_with_a_key(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = written(tmp_path, "persons.csv", "身份证号,姓名,区划代码\n319999199003070016,某某,310104\n")
    assert "\nkey = " not in draft(path)
    monkeypatch.setitem(PERSONS, "service_object", replace(PERSONS["service_object"], token_is_key=False))
    assert "\nkey = " in draft(path)


def test_files_without_a_header_get_numbered_columns(tmp_path: Path) -> None:
    path = written(tmp_path, "bare.csv", "甲医院,其他,120.1,30.2\n乙医院,其他,120.2,30.3\n")
    content = draft(path)
    assert "header = 0" in content and '"column_4"' in content
    assert applied(content, path).rows_mapped == 2


def test_awkward_names_are_quoted(tmp_path: Path) -> None:
    path = written(tmp_path, 'ho"mes\\.csv', '"na""me\\",名称\n1,甲\n')
    assert applied(draft(path), path).rows_mapped == 1


@pytest.mark.parametrize(
    ("file", "sheet"),
    [
        ("07_hospitals_fever_clinics_2020/fever_clinics_4prov.csv", None),
        ("06_census_county/census_county_2020_v1_4prov.csv", None),
        ("09_shanghai_nat_sites/hs_2022-06-03b_ea213ac.json", None),
        ("15_nursing_homes_14cities/nursing_homes_470.csv", None),
        ("16_hospitals_zhejiang_2019/hospital-2019-08-06_add.xls", "hospital"),
        ("19_shanghai_standards_dated/standards_shanghai.csv", None),
    ],
)
def test_drafts_of_real_dumps_load_and_bind(file: str, sheet: str | None) -> None:
    path = real_data(file)
    profile = profiles.parse(draft(path, sheet), Path("draft.toml"))
    mapper(profile, open_dump(path, profile.layout).columns, "31", date(2026, 1, 31))


def example(name: str) -> str:
    reference = (ROOT / "docs" / "source-profiles.md").read_text("utf-8")
    found = re.search(rf"<!-- example: {name} -->\n```\w+\n(.*?)```", reference, re.S)
    assert found is not None
    return found[1]


def test_the_worked_example_of_the_reference_does_what_it_says(tmp_path: Path) -> None:
    path = written(tmp_path, "homes.csv", example("dump"))
    found = applied(example("profile"), path)
    assert found.facts["business_key"].to_list() == ["310104|徐汇甲养老院", "310104|徐汇乙养老院"]
    assert found.facts["valid_from"].to_list() == [date(2024, 3, 1), date(2023, 5, 6)]
    assert dict(found.skipped) == {"of another publisher": 1}
    [bad] = found.rejections
    shown = f"record {bad.record}, column {bad.column}, value {bad.value}: {bad.reason}"
    assert shown == example("rejection").strip()
    draft(path)
