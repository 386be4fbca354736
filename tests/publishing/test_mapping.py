"""Mapping: rows of a dump become facts by a profile; what cannot be accepted is rejected with the way out."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import TypeAlias

import polars as pl
import pytest

from connectors.dumps import Chunk, RowRejection
from connectors.home.regional_key import Tokeniser
from connectors.profiles import profile as profiles
from connectors.profiles.conversions import range_part, target_at
from connectors.profiles.profile import ProfileError
from connectors.publishing.mapping import Mapped, mapper
from repository.registers.text import mask

Columns: TypeAlias = Mapping[str, Sequence[str | None]]

type_of = {path: target_at("supply", path) for path in ("grade", "uscc", "category", "longitude")}

TOP = """
kind = "supply"
source = "register"
scope = "homes"
completeness = "partial"
as_of = 2026-01-31
"""


def supply(fields: str, key: str = 'key = ["名称"]', rest: str = '[valid]\nfrom = "as_of"') -> profiles.Profile:
    return profiles.parse(f"{TOP}{key}\n[fields]\nprovider_name = '名称'\n{fields}\n{rest}\n", Path("homes.toml"))


def chunk(columns: Columns, rejected: Sequence[RowRejection] = ()) -> Chunk:
    table = pl.DataFrame({name: pl.Series(cells, dtype=pl.String) for name, cells in columns.items()})
    return Chunk(table, pl.int_range(1, table.height + 1, eager=True), list(rejected))


def mapped(
    profile: profiles.Profile,
    columns: Columns,
    publisher: str = "31",
    tokeniser: Tokeniser | None = None,
) -> Mapped:
    found = mapper(profile, list(columns), publisher, None, tokeniser).map(chunk(columns))
    assert found.rows_read == found.rows_mapped + found.rows_rejected + found.rows_skipped
    return found


def reasons(found: Mapped) -> list[tuple[int, str, str]]:
    return [(each.record, each.column, each.reason) for each in found.rejections]


# Shape.


def test_facts_have_the_envelope_then_one_typed_column_per_mentioned_path() -> None:
    profile = supply(
        '"offers[YRD050101].capacity" = "床位"\n"offers[YRD050101].price" = "价格"\nlongitude = "经度"\n'
        '"offers[YRD050101].direct_settlement" = "直接结算"\n'
        '"offers[YRD050101].accepts_from" = { column = "来源", split = ["、", ","] }'
    )
    rows: Columns = {
        "名称": ["甲"],
        "床位": ["1,200"],
        "价格": ["3500.5"],
        "经度": ["121.5"],
        "直接结算": ["是"],
        "来源": ["310000、 320000，"],
    }
    found = mapper(profile, list(rows), "31", None)
    facts = found.map(chunk(rows)).facts
    assert facts.columns[:10] == [
        "record", "business_key", "previous_key", "valid_from", "stated_to",
        "doc_no", "authority", "published_on", "reason", "flags",
    ]  # fmt: skip
    assert tuple(facts.columns[10:]) == found.paths
    assert facts.select(found.paths).row(0) == (
        "甲", 1200, Decimal("3500.5000"), 121.5, True, ["310000", "320000"], "active",
    )  # fmt: skip
    assert facts.schema["offers[YRD050101].price"] == pl.Decimal(18, 4)
    assert facts.row(0, named=True)["valid_from"] == date(2026, 1, 31)


def test_a_chunk_without_facts_has_the_same_columns() -> None:
    profile = supply('"offers[YRD050101].capacity" = "床位"')
    empty = mapped(profile, {"名称": [], "床位": []})
    assert empty.facts.schema == mapped(profile, {"名称": ["甲"], "床位": ["1"]}).facts.schema
    assert (empty.rows_read, empty.facts.height) == (0, 0)


def test_an_empty_cell_of_a_mapped_field_is_stated_as_unknown() -> None:
    found = mapped(supply('grade = { column = "等级", nulls = ["未知"] }'), {"名称": ["甲", "乙"], "等级": [None, "未知"]})
    assert found.facts["grade"].to_list() == [None, None]


# Columns.


def test_columns_fit_whatever_their_width_and_blanks() -> None:
    found = mapped(supply('"offers[YRD050101].price" = "价格(元/月)"'), {" 名称": ["甲"], "价格（元/月）": ["１２"]})
    assert found.facts["offers[YRD050101].price"].to_list() == [Decimal(12)]


def test_a_missing_column_is_named_with_those_of_the_file() -> None:
    with pytest.raises(ProfileError, match='the profile expects column "床位"; the file has: 名称, 床位数'):
        mapper(supply('"offers[YRD050101].capacity" = "床位"'), ["名称", "床位数"], "31", None)


def test_two_columns_of_one_name_cannot_be_told_apart() -> None:
    with pytest.raises(ProfileError, match="stands above two columns"):
        mapper(supply(""), ["名称", "名称 "], "31", None)


def test_the_day_must_be_given_where_the_profile_needs_it() -> None:
    undated = replace(supply(""), as_of=None)
    with pytest.raises(ProfileError, match="--as-of"):
        mapper(undated, ["名称"], "31", None)
    later = mapper(undated, ["名称"], "31", date(2026, 3, 1)).map(chunk({"名称": ["甲"]}))
    assert later.facts["valid_from"].to_list() == [date(2026, 3, 1)]


# Cells.


def test_text_is_normalised_and_blank_text_is_empty() -> None:
    found = mapped(supply('address = "地址"'), {"名称": [" 甲　院 ", "乙"], "地址": ["Ａ路１号 ", "　　"]})
    assert found.facts["business_key"].to_list() == ["甲 院", "乙"]
    assert found.facts["address"].to_list() == ["A路1号", None]


@pytest.mark.parametrize(
    ("line", "cell", "value"),
    [
        ("""grade = { column = "c", extract = '(.级)' }""", "三级甲等", "三级"),
        ("""grade = { column = "c", extract = '(.级)', unmatched = "keep" }""", "其他", "其他"),
        ("""grade = { column = "c", extract = '(.级)', unmatched = "null" }""", "其他", None),
        ("""grade = { column = "c", extract = '^其(他)?$', unmatched = "null" }""", "其", None),
        ("""ownership = { column = "c", values = { "民营" = "private" } }""", "民营", "private"),
        ("""ownership = { column = "c", values = { "民营" = "private" }, other = "null" }""", "外资", None),
        ("""ownership = { column = "c", values = { "民营" = "private" }, other = { constant = "social" } }""", "外资", "social"),
        ("""grade = { column = "c", values = { "一" = "一级" }, other = "keep" }""", "三级", "三级"),
        ("""division_code = { column = "c", division = "code" }""", "310104001000", "310104"),
        ("""division_code = { column = "c", division = "code" }""", "310104.0", "310104"),
        ("""division_code = { column = "c", division = "name" }""", "徐汇区", "310104"),
        ("""division_code = { column = "c", division = "name", within = "330000" }""", "西湖区", "330106"),
        ("""division_code = { column = "c", division = "name", unresolved = "null" }""", "市本级", None),
        ("""division_code = { column = "c", division = "address", within = "330000" }""", "浙江省杭州市西湖区古翠路8号", "330106"),
        (""""offers[X].price" = { column = "c", multiply = 10000 }""", "1.25", Decimal(12500)),
        (""""offers[X].capacity" = { column = "c", multiply = 10000 }""", "0.3", 3000),
        (""""offers[X].direct_settlement" = { column = "c", true = ["已开通"], false = ["未开通"] }""", "未开通", False),
    ],
)  # fmt: skip
def test_an_option_turns_a_cell_into_a_value(line: str, cell: str, value: object) -> None:
    found = mapped(supply(line), {"名称": ["甲"], "c": [cell]})
    path = line.partition(" = ")[0].strip('"')
    assert found.rejections == []
    assert found.facts[path].to_list() == [value]


@pytest.mark.parametrize(
    ("line", "cell", "words"),
    [
        (""""offers[X].capacity" = "c\"""", "385张", "is not a number"),
        (""""offers[X].capacity" = "c\"""", "12.5", "is not a whole number"),
        (""""offers[X].capacity" = "c\"""", "9223372036854775808", "is too large"),
        (""""offers[X].price" = "c\"""", "1.23456", "more than the 4 decimals"),
        (""""offers[X].price" = "c\"""", "100000000000000", "is too large"),
        (""""offers[X].direct_settlement" = "c\"""", "也许", "is neither true"),
        ("""category = "c\"""", "养老院", "is not a code of category"),
        ("""uscc = "c\"""", "1231", "is not a credit code"),
        ("""division_code = { column = "c", division = "code" }""", "31", "has 6 digits"),
        ("""division_code = { column = "c", division = "name" }""", "北京", "names no division"),
        ("""grade = { column = "c", extract = '(.级)' }""", "其他", "does not match the pattern"),
        ("""ownership = { column = "c", values = { "民营" = "private" } }""", "外资", "(民营); add it there"),
    ],
)  # fmt: skip
def test_a_bad_cell_rejects_its_row_and_says_why(line: str, cell: str, words: str) -> None:
    found = mapped(supply(line), {"名称": ["甲", "乙"], "c": [cell, None]})
    assert [(each.record, each.column, each.value) for each in found.rejections] == [(1, "c", mask(cell))]
    assert words in found.rejections[0].reason
    assert found.facts["business_key"].to_list() == ["乙"]
    assert found.rejected_keys == ["甲"]


def test_every_bad_cell_of_a_row_is_reported() -> None:
    profile = supply('"offers[X].capacity" = "床位"\nlongitude = "经度"')
    found = mapped(profile, {"名称": ["甲"], "床位": ["多"], "经度": ["东"]})
    assert [each.column for each in found.rejections] == ["床位", "经度"]
    assert (found.rows_rejected, found.rows_mapped) == (1, 0)


def test_first_takes_the_first_cell_that_states_something() -> None:
    profile = supply(
        'division_code = { first = [{ column = "区", division = "name", within = { column = "市" }, unresolved = "null" },'
        ' { column = "市", division = "name" }, { constant = "330000" }] }'
    )
    rows: Columns = {
        "名称": ["甲", "乙", "丙", "丁"],
        "区": ["普陀区", "普陀区", "市本级", None],
        "市": ["上海市", "舟山市", "杭州市", None],
    }
    assert mapped(profile, rows).facts["division_code"].to_list() == ["310107", "330903", "330100", "330000"]


def test_first_does_not_pass_over_a_bad_cell() -> None:
    profile = supply('"offers[X].capacity" = { columns = ["床位", "核定床位"] }')
    found = mapped(profile, {"名称": ["甲", "乙"], "床位": ["多", None], "核定床位": ["5", "6"]})
    assert found.facts["offers[X].capacity"].to_list() == [6]
    assert [each.column for each in found.rejections] == ["床位"]


def test_joined_columns_are_one_text() -> None:
    profile = supply('remarks = { columns = ["甲列", "乙列"], join = "；", nulls = ["无"] }')
    rows: Columns = {"名称": ["1", "2", "3"], "甲列": ["a", "无", None], "乙列": ["b", "c", "无"]}
    assert mapped(profile, rows).facts["remarks"].to_list() == ["a;b", "c", None]


@pytest.mark.parametrize(
    ("found", "low", "high", "comparator"),
    [
        ("0.002-0.019", "0.002", "0.019", "range"),
        ("2..24", "2", "24", "range"),
        ("2 ~ 24", "2", "24", "range"),
        ("-5至2", "-5", "2", "range"),
        ("不低于1600", "1600", None, "ge"),
        ("1600以上", "1600", None, "ge"),
        ("不超过3", "3", None, "le"),
        ("超过15", "15", None, "gt"),
        ("不满2", "2", None, "lt"),
        ("2,255", "2,255", None, "eq"),
    ],
)
def test_a_range_is_read_in_parts(found: str, low: str, high: str | None, comparator: str) -> None:
    assert [range_part(found, part) for part in ("low", "high", "comparator")] == [low, high, comparator]


# Keys.


def test_key_parts_are_columns_constants_and_mapped_fields() -> None:
    profile = supply(
        'division_code = { column = "区", division = "name" }',
        key='key = [{ field = "division_code" }, "名称", { constant = "总院" }]',
    )
    assert mapped(profile, {"名称": ["甲"], "区": ["徐汇区"]}).facts["business_key"].to_list() == ["310104|甲|总院"]


def test_a_key_part_must_be_there_and_must_not_hold_the_separator() -> None:
    found = mapped(supply("", key='key = ["编号"]'), {"名称": ["甲", "乙", "丙"], "编号": [None, "1|2", "3"]})
    assert [(record, column) for record, column, _ in reasons(found)] == [(1, "编号"), (2, "编号")]
    assert "no key" in found.rejections[0].reason and "separates the parts" in found.rejections[1].reason
    assert found.rejected_keys == [None]
    assert found.facts["business_key"].to_list() == ["3"]


def test_a_key_part_that_is_bad_as_a_field_is_reported_once() -> None:
    profile = supply('division_code = { column = "区", division = "name" }', key='key = [{ field = "division_code" }]')
    found = mapped(profile, {"名称": ["甲"], "区": ["乌有区"]})
    assert len(found.rejections) == 1
    assert found.rejected_keys == [None]


def test_previous_key_is_null_where_it_is_absent_or_the_same() -> None:
    profile = supply("", key='key = ["名称"]\nprevious_key = ["原名"]')
    found = mapped(profile, {"名称": ["甲", "乙", "丙"], "原名": ["旧甲", "乙", None]})
    assert found.facts["previous_key"].to_list() == ["旧甲", None, None]


# Validity.


def test_an_inclusive_end_is_stored_as_the_day_after() -> None:
    rest = '[valid]\nfrom = "起"\nto = { columns = ["止", "终"] }'
    rows: Columns = {
        "名称": ["甲", "乙", "丙"],
        "起": ["2025-07-01"] * 3,
        "止": ["2027-06-30", None, None],
        "终": [None, "2026/6/30", None],
    }
    assert mapped(supply("", rest=rest), rows).facts["stated_to"].to_list() == [date(2027, 7, 1), date(2026, 7, 1), None]
    exclusive = rest.replace('"终"] }', '"终"], inclusive = false }')
    assert mapped(supply("", rest=exclusive), rows).facts["stated_to"].to_list()[0] == date(2027, 6, 30)


def test_an_end_before_the_start_is_rejected() -> None:
    rows: Columns = {"名称": ["甲", "乙", "丙"], "起": ["2025-07-01"] * 3, "止": ["2025-06-30", "2025-07-01", "9999-12-31"]}
    found = mapped(supply("", rest='[valid]\nfrom = "起"\nto = "止"'), rows)
    assert "before it starts on 2025-07-01" in found.rejections[0].reason
    assert "name it in nulls" in found.rejections[1].reason
    assert found.facts["business_key"].to_list() == ["乙"]
    assert found.rejected_keys == ["丙", "甲"]


def test_a_missing_start_is_rejected_unless_undated_facts_are_expected() -> None:
    rows: Columns = {"名称": ["甲"], "起": [None]}
    strict = mapped(supply("", rest='[valid]\nfrom = "起"'), rows)
    assert "states no start of validity" in strict.rejections[0].reason and strict.rejected_keys == ["甲"]
    lenient = mapped(supply("", rest='[valid]\nfrom = "起"\nfrom_missing = "undated"'), rows)
    assert lenient.facts["valid_from"].to_list() == [None]


def test_a_day_that_does_not_exist_is_rejected() -> None:
    found = mapped(supply("", rest='[valid]\nfrom = "起"\nfrom_missing = "undated"'), {"名称": ["甲"], "起": ["2026-02-30"]})
    assert found.rows_rejected == 1 and found.rejections[0].value == "2026-02-30"


def test_authority_is_kept_beside_the_state() -> None:
    rest = '[valid]\nfrom = "as_of"\n[authority]\ndoc_no = "文号"\nauthority = { constant = "市民政局" }\npublished_on = "发布"'
    fact = mapped(supply("", rest=rest), {"名称": ["甲"], "文号": ["沪府发〔2017〕87号"], "发布": ["2017-11-21"]}).facts
    assert fact.select("doc_no", "authority", "published_on").row(0) == ("沪府发〔2017〕87号", "市民政局", date(2017, 11, 21))


# Rows that do not count.


def test_rows_of_other_publishers_and_blank_rows_are_skipped_and_counted() -> None:
    rest = '[valid]\nfrom = "as_of"\n[publisher]\ncolumn = "城市"\ndivision = "name"'
    rows: Columns = {"名称": ["甲", "乙", "丙", "丁", " ", "己"], "城市": ["上海", "杭州", "北京", None, None, "普陀区"]}
    found = mapped(supply("", rest=rest), rows)
    assert found.facts["business_key"].to_list() == ["甲"]
    assert dict(found.skipped) == {"blank": 1, "of a place outside the division register": 1, "of another publisher": 1}
    assert [record for record, _, _ in reasons(found)] == [4, 6]
    assert "belongs to no publisher" in found.rejections[0].reason
    strict = mapped(supply("", rest=rest + '\nunresolved = "reject"'), rows)
    assert [record for record, _, _ in reasons(strict)] == [3, 4, 6]


def test_publishers_are_told_by_code_too() -> None:
    rest = '[valid]\nfrom = "as_of"\n[publisher]\ncolumn = "代码"\ndivision = "code"'
    rows: Columns = {"名称": ["甲", "乙", "丙", "丁"], "代码": ["310104", "330100", "310104001", "沪"]}
    found = mapped(supply("", rest=rest), rows)
    assert found.facts["business_key"].to_list() == ["甲", "丙"]
    assert found.skipped == {"of another publisher": 1} and found.rows_rejected == 1


def test_rows_named_by_a_skip_rule_are_skipped_with_its_reason() -> None:
    rest = """
    [valid]
    from = "as_of"
    [[skip]]
    column = "名称"
    values = ["合计"]
    pattern = '小计$'
    because = "sub-total"
    [[skip]]
    column = "编号"
    empty = true
    because = "no number"
    """
    rows: Columns = {"名称": ["合计", "东区小计", "甲", "乙"], "编号": ["1", "2", None, "4"]}
    found = mapped(supply("", rest=rest), rows)
    assert found.facts["business_key"].to_list() == ["乙"]
    assert found.facts["record"].to_list() == [4]
    assert dict(found.skipped) == {"no number": 1, "sub-total": 2}


def test_rows_that_the_reader_could_not_split_are_rejections_with_their_line() -> None:
    rejected = RowRejection(7, 9, '甲,"319999199003070016', "a quote is not closed")
    found = mapper(supply(""), ["名称"], "31", None).map(chunk({"名称": ["甲"]}, [rejected]))
    assert (found.rows_read, found.rows_mapped, found.rows_rejected) == (2, 1, 1)
    assert (found.rejections[0].record, found.rejections[0].line) == (7, 9)
    assert "319999199003070016" not in found.rejections[0].value
    assert found.rejected_keys == [None]


# Flags.


def test_doubts_are_flags_and_keep_the_fact() -> None:
    profile = supply(
        'uscc = "信用代码"\nlongitude = "经度"\nlatitude = "纬度"\ndivision_code = { column = "区", division = "code" }'
    )
    rows: Columns = {
        "名称": ["甲", "乙", "丙", "丁"],
        "信用代码": ["12310000425000014Y", "91340100MA20003691", "１2310000425000014y", None],
        "经度": ["121.5", "105.7", None, "121.5"],
        "纬度": ["31.2", "31.2", "31.2", "23.49"],
        "区": ["310104", "320371", "310103", "310104"],
    }
    found = mapped(profile, rows)
    assert found.facts["flags"].to_list() == [
        [],
        ["coordinates_outside_region", "division_statistical", "uscc_check_digit"],
        ["division_abolished"],
        ["coordinates_outside_region"],
    ]
    assert found.facts["uscc"].to_list()[1:3] == ["91340100MA20003691", "12310000425000014Y"]


# Several facts from one row.

CENSUS = r"""
kind = "service_object"
source = "census"
scope = "population"
completeness = "partial"
nulls = ["NA"]
key = [{ field = "division_code" }, { field = "group_code" }]
[fields]
division_code = { column = "代码", division = "code" }
[[unpivot]]
column = "合计"
set = { group_code = "total" }
field = "persons"
valid_from = 2020-11-01
[[unpivot]]
pattern = '(?P<sex>男|女)_(?P<low>\d+)到(?P<high>\d+)岁'
words = { sex = { "男" = "male", "女" = "female" } }
set = { group_code = "{sex}_{low}_{high}" }
field = "persons"
valid_from = 2010-11-01
"""


def census(content: str = CENSUS) -> profiles.Profile:
    return profiles.parse(content, Path("census.toml"))


def test_one_row_gives_one_fact_per_group_and_date() -> None:
    rows: Columns = {"代码": ["310104", "310105"], "合计": ["10", "NA"], "男_1到4岁": ["3", None], "女_1到4岁": ["4", "5"]}
    found = mapped(census(), rows)
    assert found.facts.select("record", "business_key", "valid_from", "group_code", "persons").rows() == [
        (1, "310104|total", date(2020, 11, 1), "total", 10),
        (1, "310104|male_1_4", date(2010, 11, 1), "male_1_4", 3),
        (1, "310104|female_1_4", date(2010, 11, 1), "female_1_4", 4),
        (2, "310105|female_1_4", date(2010, 11, 1), "female_1_4", 5),
    ]


def test_a_bad_cell_costs_only_its_own_fact_while_the_row_has_others() -> None:
    rows: Columns = {
        "代码": ["310104", "310105", "9"],
        "合计": ["10", "x", "1"],
        "男_1到4岁": ["y", "z", "2"],
        "女_1到4岁": ["4", None, "3"],
    }
    found = mapped(census(), rows)
    assert found.facts["business_key"].to_list() == ["310104|total", "310104|female_1_4"]
    assert [(record, column) for record, column, _ in reasons(found)] == [
        (1, "男_1到4岁"), (2, "合计"), (2, "男_1到4岁"), (3, "代码"),
    ]  # fmt: skip
    assert (found.rows_mapped, found.rows_rejected, found.facts_rejected) == (1, 2, 1)
    assert found.rejected_keys == [None, "310104|male_1_4", "310105|male_1_4", "310105|total"]


def test_a_row_without_any_value_states_nothing() -> None:
    found = mapped(census(), {"代码": ["310104"], "合计": [None], "男_1到4岁": ["NA"]})
    assert found.skipped == {"states nothing": 1} and found.rows_skipped == 1


def test_a_pattern_must_match_and_must_give_usable_codes() -> None:
    with pytest.raises(ProfileError, match="matches no column"):
        mapper(census(), ["代码", "合计"], "31", None)
    with pytest.raises(ProfileError, match="column '男_9到4岁' gives no usable value"):
        mapper(census(), ["代码", "合计", "男_9到4岁"], "31", None)


# Persons.

PERSONS = """
kind = "service_object"
source = "residents"
scope = "residents"
completeness = "partial"
as_of = 2026-01-31
data_level = 3
[person]
column = "身份证号"
id_type = "citizen_number"
[fields]
division_code = { column = "区", division = "code" }
[valid]
from = "as_of"
"""


def token(id_type: str, number: str) -> str:
    if len(number) != 18:
        raise ValueError(f"{number!r} is not a citizen number")
    return f"t1:{id_type}-{number[-4:]}"


def test_a_person_is_known_by_the_token_only() -> None:
    persons = profiles.parse(PERSONS, Path("persons.toml"))
    rows: Columns = {"身份证号": ["319999199003070016", None, "31999919900307"], "区": ["310104", "310104", "x"]}
    found = mapped(persons, rows, tokeniser=token)
    fact = found.facts.row(0, named=True)
    assert (fact["business_key"], fact["subject_token"], fact["subject_type"]) == ("t1:citizen_number-0016",) * 2 + ("person",)
    assert [(record, column) for record, column, _ in reasons(found)] == [(2, "身份证号"), (3, "区"), (3, "身份证号")]
    shown = f"{found.facts.rows()} {found.rejections}"
    assert "319999199003070016" not in shown and "31999919900307" not in shown
    assert found.rejections[2].value == "31************"
    assert found.rejected_keys == [None]


def test_persons_need_the_regional_key() -> None:
    with pytest.raises(ProfileError, match="needs the regional key"):
        mapper(profiles.parse(PERSONS, Path("persons.toml")), ["身份证号", "区"], "31", None)


def test_identity_numbers_are_masked_wherever_they_stand() -> None:
    found = mapped(supply('"offers[X].capacity" = "床位"'), {"名称": ["甲"], "床位": ["319999 19900307 001X"]})
    assert "19900307" not in str(found.rejections)
