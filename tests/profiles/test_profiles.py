"""Source profiles: what loads, and what is refused with which message."""

import re
from pathlib import Path

import pytest

from connectors.profiles import profile as profiles
from connectors.profiles.profile import ProfileError
from tests.support.project import ROOT

HOMES = """
kind = "supply"
source = "register"
scope = "nursing homes"
completeness = "partial"
key = ["名称"]

[fields]
provider_name = "名称"

[valid]
from = "启用日期"
"""
PERSONS = """
kind = "service_object"
source = "register"
scope = "residents"
completeness = "partial"
data_level = 3

[person]
column = "身份证号"
id_type = "citizen_number"

[fields]
division_code = { column = "区划代码", division = "code" }

[valid]
from = "as_of"
"""


def parse(content: str) -> profiles.Profile:
    return profiles.parse(content, Path("homes.toml"))


def refusal(content: str) -> str:
    with pytest.raises(ProfileError) as refused:
        parse(content)
    return str(refused.value)


def with_field(line: str) -> str:
    return HOMES.replace("[valid]", f"{line}\n\n[valid]")


def with_top(line: str) -> str:
    return f"{line}\n{HOMES}"


def test_defaults_are_those_of_the_reference() -> None:
    profile = parse(HOMES)
    assert (profile.name, profile.max_closures, profile.data_level) == ("homes", 0.05, 1)
    assert (profile.expected_every, profile.as_of, profile.publisher) == (None, None, None)
    assert profile.layout.header == 1
    assert profile.valid.end_inclusive


def test_supply_is_active_and_standards_are_in_force_unless_mapped() -> None:
    assert parse(HOMES).fields["status"][0].constant == "active"
    assert parse(with_field('status = "状态"')).fields["status"][0].columns == ("状态",)
    standard = HOMES.replace('"supply"', '"standard"').replace("provider_name", "item_name")
    assert parse(standard).fields["status"][0].constant == "in_force"


def test_unknown_key_names_file_key_value_and_the_nearest_known_one() -> None:
    message = refusal(with_top('completness = "partial"'))
    assert message.startswith('homes.toml: completness = "partial": is not a key here; did you mean "completeness"?')


def test_unknown_option_of_a_cell_is_refused_where_it_stands() -> None:
    message = refusal(with_field('grade = { column = "等级", extrct = "(.)" }'))
    assert "fields.grade.extrct" in message and 'did you mean "extract"?' in message


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ('grad = "等级"', ("fields.grad", "is not a field of supply", 'did you mean "grade"?')),
        ('"offers[YRD050101].beds" = "床位"', ("is not a field of supply", "capacity")),
        ('"offers[YRD050101].item_code" = "床位"', ("is not a field of supply",)),
        ('publisher = "床位"', ("is not a field of supply",)),
        ('id_number = "身份证号"', ("personal field", "put it into the table [personal]")),
        ('category = { constant = "home" }', ("'home' is not a code of category", "nursing_home")),
        ('ownership = { column = "性质", values = { "民营" = "privat" } }', ("'privat' is not a code of ownership",)),
        ('"offers[YRD050101].capacity" = { column = "床位", extract = "[" }', ("is not a regular expression",)),
        ('"offers[YRD050101].capacity" = { column = "床位", extract = "张" }', ("must have 1 pair of brackets",)),
        ('"offers[YRD050101].price" = { column = "价格", multiply = "x" }', ("must be a number",)),
        ('"offers[YRD050101].price" = { constant = 1.23456 }', ("more than the 4 decimals",)),
        ('"offers[YRD050101].accepts_from" = "来源"', ("say what separates its entries",)),
        ('grade = { column = "等级", split = "," }', ("holds one value: remove split",)),
        ('grade = { column = "等级", multiply = 2 }', ("grade is not a number",)),
        ('longitude = { column = "经度", division = "name" }', ("cannot hold a division code",)),
        ('division_code = { column = "地址", division = "address" }', ("an address needs the province",)),
        ('grade = { column = "等级", other = "drop" }', ('must be "reject", "keep", "null"',)),
        ('grade = { column = "等级", nulls = [1] }', ("must be a list of texts",)),
        ("grade = 5", ("must be the name of a column",)),
        ("grade = { nulls = [] }", ("give column, columns, constant or first",)),
        ('grade = { constant = "甲", extract = "(.)" }', ("is not a key here",)),
    ],
)
def test_a_wrong_field_is_refused_with_the_way_out(line: str, words: tuple[str, ...]) -> None:
    message = refusal(with_field(line))
    assert message.startswith("homes.toml: fields.")
    for word in words:
        assert word in message


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ('source = "register"', "", "source: is missing"),
        ('"partial"', '"full"', 'completeness = "full": must be one of complete, partial.'),
        ('kind = "supply"', 'kind = "batch"', "must be one of service_object, supply, standard"),
        ('key = ["名称"]', "", "key: is missing: name the columns"),
        ('key = ["名称"]', 'key = "名称"', "must be a list of parts"),
        ('key = ["名称"]', 'key = [{ field = "grade" }]', "is not a mapped field"),
        ('from = "启用日期"', "", "say from when the facts hold"),
        ('from = "启用日期"', 'from = { constant = "2026-02-30" }', "2026-02-30"),
        ("[valid]", '[file]\nformat = "pdf"\n\n[valid]', "unknown dump format 'pdf'"),
        ("[valid]", '[publisher]\ncolumn = "省"\n\n[valid]', "must be one of code, name"),
        ("[valid]", '[[skip]]\ncolumn = "名称"\nbecause = "sub-total"\n\n[valid]', "needs empty = true"),
        ("[valid]", "[valid", "is not TOML"),
    ],
)
def test_a_wrong_part_is_refused_with_the_way_out(old: str, new: str, words: str) -> None:
    assert words in refusal(HOMES.replace(old, new))


def test_person_profiles_keep_the_number_out_of_everything_else() -> None:
    profile = parse(PERSONS)
    assert profile.person is not None and profile.key == ()
    assert profile.fields["subject_type"][0].constant == "person"
    assert "may be used nowhere else" in refusal(PERSONS.replace('column = "区划代码"', 'column = "身份证号"'))
    assert "their token is the key" in refusal(f'key = ["身份证号"]\n{PERSONS}')
    assert "must be 3 or 4 for persons" in refusal(PERSONS.replace("data_level = 3", ""))
    assert "personal field" in refusal(PERSONS.replace("[fields]", '[fields]\nname = "姓名"'))


def test_a_field_is_said_once() -> None:
    census = """
    kind = "service_object"
    source = "s"
    scope = "s"
    completeness = "partial"
    key = [{ field = "group_code" }]
    [fields]
    group_code = "组"
    [[unpivot]]
    column = "男"
    set = { group_code = "male" }
    field = "persons"
    valid_from = 2020-11-01
    """
    assert "is also in [fields]; say it once" in refusal(census)
    assert "'men' is not a code of group_code" in refusal(census.replace('"male"', '"men"'))


def test_columns_are_listed_once_in_order() -> None:
    profile = parse(with_field('remarks = { columns = ["备注", "名称"] }'))
    assert profile.columns() == ("名称", "备注", "启用日期")


def test_load_takes_a_path_or_a_bundled_name(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text(HOMES, "utf-8")
    assert profiles.load(path).name == "mine"
    assert profiles.load("nursing_homes").kind == "supply"
    with pytest.raises(ProfileError, match='did you mean "nursing_homes"'):
        profiles.load("nursing_home")
    with pytest.raises(ProfileError, match="cannot be read"):
        profiles.load(tmp_path / "none.toml")


def test_the_reference_names_every_key_a_profile_may_have() -> None:
    sources = [Path(profiles.__file__).parent / name for name in ("profile.py", "cells.py")]
    reading = r"\.(?:text|texts|choice|number|truth|take|table|tables|day|words|pattern)\(\"(\w+)\""
    keys = {key for source in sources for key in re.findall(reading, source.read_text("utf-8"))}
    keys |= {"previous_key", "key", "from", "to", "doc_no", "authority", "published_on", "reason"}
    reference = (ROOT / "docs" / "source-profiles.md").read_text("utf-8")
    assert len(keys) > 40
    missing = {key for key in keys if not re.search(rf"`(?:\[+)?(?:to\.)?{key}(?:\]+)?`", reference)}
    assert missing == set()
