"""Dumps as workbooks, json, jsonl and parquet: the same text whatever the form, and refusals that say the way out."""

import csv
import json
import zipfile
from datetime import date, datetime, time, timedelta, timezone
from decimal import Decimal
from pathlib import Path

import polars as pl
import pyarrow as pa
import pytest
from pyarrow import parquet

from connectors.dumps import DumpUnreadable, Layout, open_dump
from connectors.dumps.documents import compact
from connectors.dumps.sheets import Value, cell_text, number_text
from tests.support.dumps_files import faults, opened, refusal, rows, written
from tests.support.dumps_workbook import DATE, DATE_TIME, ELAPSED, cell, row, write_protected, write_workbook
from tests.support.realdata import real_data

ZHEJIANG = "16_hospitals_zhejiang_2019/hospital-2019-08-06_add.xls"
SITES_OLD, SITES_NEW = "09_shanghai_nat_sites/hs_2022-06-03a_2c519cf.json", "09_shanghai_nat_sites/hs_2022-06-03b_ea213ac.json"
CLINICS = "07_hospitals_fever_clinics_2020/data_20200211030250_raw.json"
HOSPITALS_PATH = "provinceList[].cityList[].hospitalList[]"


def refused(path: Path, layout: Layout | None = None) -> str:
    with pytest.raises(DumpUnreadable) as caught:
        list(open_dump(path, layout).chunks())
    return str(caught.value)


# --- Workbooks


def test_sheet_cells_are_written_as_a_person_reads_them(tmp_path: Path) -> None:
    cells = [
        cell("A2", " 养老院 ", "s"),
        cell("B2", "385"),
        cell("C2", "30.2963788836394"),
        cell("D2", "43683", style=DATE),
        cell("E2", "43683.5", style=DATE_TIME),
        cell("F2", "1.25", style=ELAPSED),
        cell("G2", "1", "b"),
        cell("H2", "#N/A", "e"),
        cell("I2", "310101199001011000"),
        cell("J2", "1E-5"),
    ]
    path = write_workbook(tmp_path / "d.xlsx", S=row(1, *"abcdefghij") + f'<row r="2">{"".join(cells)}</row>')
    assert rows(open_dump(path)) == [
        {
            "a": " 养老院 ",
            "b": "385",
            "c": "30.2963788836394",
            "d": "2019-08-06",
            "e": "2019-08-06T12:00:00",
            "f": "30:00:00",
            "g": "true",
            "h": None,
            "i": "310101199001011000",
            "j": "0.00001",
        }
    ]


def test_numbers_are_written_in_the_fewest_digits() -> None:
    values = [385.0, -0.5, 1e-05, 1e22, 0.1 + 0.2, 7]
    assert [number_text(value) for value in values] == [
        "385",
        "-0.5",
        "0.00001",
        "10000000000000000000000",
        "0.30000000000000004",
        "7",
    ]


def test_times_and_spans_are_written_as_iso_8601() -> None:
    values: list[Value] = [
        date(2024, 2, 29),
        datetime(2024, 2, 29, 8, 30),
        time(12, 0),
        timedelta(days=1, seconds=5),
        timedelta(hours=-2),
    ]
    assert [cell_text(value) for value in values] == ["2024-02-29", "2024-02-29T08:30:00", "12:00:00", "24:00:05", "-02:00:00"]


def test_sheet_rows_keep_their_numbers(tmp_path: Path) -> None:
    sheet = row(3, "", "编码", "名称") + row(4, "", "1", "甲") + row(7, "", "2", "乙") + row(8, "", " ", "　")
    dump = open_dump(write_workbook(tmp_path / "d.xlsx", S=sheet), Layout(header=3))
    assert dump.columns == ("column_1", "编码", "名称")
    assert [each["名称"] for each in rows(dump)] == ["甲", "乙"]
    assert dump.lines([1, 2]) == {1: 4, 2: 7}


def test_a_sheet_without_a_header_takes_the_names_of_the_profile(tmp_path: Path) -> None:
    path = write_workbook(tmp_path / "d.xlsx", S=row(2, "1", "甲") + row(3, "2", "乙"))
    dump = open_dump(path, Layout(header=None, columns=("a", "b")))
    assert (rows(dump), dump.lines([1])) == ([{"a": "1", "b": "甲"}, {"a": "2", "b": "乙"}], {1: 2})
    assert "has 2 columns in its first row, the profile names 1" in refused(path, Layout(header=None, columns=("a",)))


def test_a_sheet_row_with_surplus_cells_is_rejected(tmp_path: Path) -> None:
    path = write_workbook(tmp_path / "d.xlsx", S=row(1, "1", "甲") + row(2, "2", "乙", "x"))
    dump = open_dump(path, Layout(header=None, columns=("a", "b")))
    assert (len(rows(dump)), faults(dump)) == (1, [(2, 2, "line 2 has 3 cells, the header has 2")])


def test_of_several_sheets_the_one_with_data_or_the_named_one_is_read(tmp_path: Path) -> None:
    one = write_workbook(tmp_path / "one.xlsx", Empty="", Data=row(1, "a") + row(2, "1"))
    assert rows(open_dump(one)) == [{"a": "1"}]
    two = write_workbook(tmp_path / "two.xlsx", X=row(1, "a") + row(2, "1"), Y=row(1, "b") + row(2, "2"))
    assert rows(open_dump(two, Layout(sheet="Y"))) == [{"b": "2"}]
    assert refused(two) == "two.xlsx has data in several sheets ('X', 'Y'): name one of them in the profile"
    assert refused(two, Layout(sheet="Z")) == "two.xlsx has no sheet 'Z': choose one of 'X', 'Y'"


def test_an_xlsx_that_is_called_xls_is_read_as_what_it_is(tmp_path: Path) -> None:
    dump = open_dump(write_workbook(tmp_path / "d.xls", S=row(1, "a") + row(2, "1")), Layout(format="xls"))
    assert (dump.format, rows(dump)) == ("xlsx", [{"a": "1"}])


def test_a_workbook_that_cannot_be_read_is_refused(tmp_path: Path) -> None:
    whole = write_workbook(tmp_path / "whole.xlsx", S=row(1, "a"))
    cut = written(tmp_path, whole.read_bytes()[:300], "cut.xlsx")
    assert refused(cut).startswith("cut.xlsx is damaged and no workbook that can be read")
    hollow = written(tmp_path, b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(600), "hollow.xls")
    assert refused(hollow).startswith("hollow.xls is damaged")
    assert refused(write_workbook(tmp_path / "blank.xlsx", S="")).startswith("blank.xlsx holds nothing in any sheet")
    assert "holds nothing in row 9 of sheet 'S'" in refused(whole, Layout(header=9))
    assert refused(whole, Layout(format="csv")) == "whole.xlsx is said to be csv, but holds xlsx: set its format to xlsx"


def test_a_workbook_with_a_password_is_refused(tmp_path: Path) -> None:
    path = write_protected(tmp_path / "locked.xlsx")
    assert refused(path) == "locked.xlsx is protected by a password: ask for it without one"


def test_an_archive_without_a_workbook_is_refused(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "d.xlsx", "w") as archive:
        archive.writestr("a.csv", "a,b")
    assert refused(tmp_path / "d.xlsx") == "d.xlsx is an archive without a workbook: unpack it, or save it as xlsx"


def test_an_archive_that_unpacks_to_too_much_is_refused(tmp_path: Path) -> None:
    path = write_workbook(tmp_path / "bomb.xlsx", S=row(1, "a"))
    data = bytearray(path.read_bytes())
    entry = data.index(b"PK\x01\x02")  # Every entry of the directory states its unpacked size at byte 24.
    data[entry + 24 : entry + 28] = (0xF0000000).to_bytes(4, "little")
    assert "unpacks to 40265" in refused(written(tmp_path, bytes(data), "bomb.xlsx"))


def test_cells_that_lie_too_far_apart_are_refused(tmp_path: Path) -> None:
    sheet = row(1, "a") + f'<row r="1048576">{cell("XFD1048576", "1")}</row>'
    assert refused(write_workbook(tmp_path / "d.xlsx", S=sheet)).startswith(
        "d.xlsx spreads its cells over 1048576 rows and 16384 columns"
    )


def test_the_hospitals_of_zhejiang_are_the_same_in_xls_and_csv() -> None:
    path = real_data("16_hospitals_zhejiang_2019/hospitals_1692.csv")
    with path.open(encoding="utf-8", newline="") as file:
        names, *expected = csv.reader(file)
    dump = open_dump(real_data(ZHEJIANG), Layout(header=None, columns=tuple(names), sheet="hospital"))
    assert (dump.format, dump.encoding, dump.columns, faults(dump)) == ("xls", None, tuple(names), [])
    stripped = [[(cell or "").strip() for cell in each.values()] for each in rows(dump)]
    assert len(stripped) == 1692
    assert stripped == [[cell.strip() for cell in each] for each in expected]
    assert dump.lines([1, 1692]) == {1: 1, 1692: 1692}


# --- Json


def test_json_values_are_the_text_of_the_file(tmp_path: Path) -> None:
    text = '[{"n": 31.130099547739015, "i": 007e0, "s": " x ", "b": true, "z": null, "e": ""}]'.replace(
        "007e0", "1.50E+3"
    ).replace("}]", ', "l": [1, 2.50, "二", {"k": null}]}, {"new": -0}]')
    dump = opened(tmp_path, text, name="d.json")
    assert dump.columns == ("n", "i", "s", "b", "z", "e", "l", "new")
    assert next(dump.chunks()).table.rows() == [
        ("31.130099547739015", "1.50E+3", " x ", "true", None, None, '[1,2.50,"二",{"k":null}]', None),
        (None, None, None, None, None, None, None, "-0"),
    ]


def test_records_are_found_on_a_path_and_inherit_what_encloses_them(tmp_path: Path) -> None:
    document = {
        "code": 200,
        "provinces": [
            {"code": 31, "name": "P", "cities": [{"code": 3101, "items": [{"name": "x"}, {"code": None}]}]},
            {"code": 32, "name": "Q", "cities": None},
        ],
    }
    dump = opened(tmp_path, json.dumps(document), Layout(records="provinces[].cities[].items[]"), name="d.json")
    assert dump.columns == ("name", "code")
    assert next(dump.chunks()).table.rows() == [("x", "3101"), ("P", None)]


def test_an_envelope_passes_nothing_on(tmp_path: Path) -> None:
    dump = opened(tmp_path, '{"code": "200", "data": {"data": [{"a": 1}]}}', Layout(records="data.data"), name="d.json")
    assert rows(dump) == [{"a": "1"}]


def test_the_only_list_of_records_is_found_without_a_path(tmp_path: Path) -> None:
    assert rows(opened(tmp_path, '{"tags": ["x"], "d": {"items": [{"a": 1}]}}', name="d.json")) == [{"a": "1"}]


@pytest.mark.parametrize(
    ("text", "where", "reason"),
    [
        ('[{"a": 1},\n {"a" 2}]', None, "d.json is not JSON in line 2, column 7"),
        ('{"a": [{}], "b": {"c": [{}]}}', None, "d.json holds several lists of records (a, b.c): name one as `records`"),
        ('{"a": 1}', None, "d.json holds no list of records"),
        ("[]", None, "d.json holds no record where they should be"),
        ('{"a": [{"x": 1}]}', "b[]", "d.json has no 'b' on the way 'b[]' to its records, there is: a"),
        ('{"a": 5}', "a[]", "d.json has no list at 'a[]', but '5'"),
        ('{"a": 5}', "a[0]", "'a[0]' is no path to the records of d.json"),
        ("[" * 100_000, None, "d.json is nested too deeply"),
        ('[{"a": 1, " a": 2}]', None, "d.json names column 'a' twice, at 1 and 2"),
    ],
)
def test_json_without_records_is_refused(tmp_path: Path, text: str, where: str | None, reason: str) -> None:
    assert refusal(tmp_path, text, Layout(records=where), name="d.json").startswith(reason)


def test_a_json_record_that_is_no_plain_object_is_rejected_alone(tmp_path: Path) -> None:
    dump = opened(tmp_path, r'[{"a": 1}, 5, {"a": 1, "a": 2}, {}, {"a": "\ud83d"}, {"a": "x\u0000"}, {"a": 6}]', name="d.json")
    assert [each["a"] for each in rows(dump)] == ["1", "6"]
    assert faults(dump) == [
        (2, 2, "record 2 is no object with named values"),
        (3, 3, "record 3 has a key twice: only one value can be meant"),
        (4, 5, "cell 1 of line 5 holds half a surrogate pair after 0 characters"),
        (5, 6, "cell 1 of line 6 holds a NUL byte after 1 characters"),
    ]


def test_compact_json_is_read_back_as_the_same_value() -> None:
    value = {"a": [1.5, None, True, '引"号\n'], "": {}, "b": []}
    assert json.loads(compact(value)) == value


def test_json_in_gbk_is_read(tmp_path: Path) -> None:
    text = json.dumps([{"名称": f"上海市第{n}养老院"} for n in range(9)], ensure_ascii=False)
    dump = opened(tmp_path, text.encode("gbk"), name="d.json")
    assert (dump.encoding, rows(dump)[8]) == ("gb18030", {"名称": "上海市第8养老院"})


def test_jsonl_rejects_the_bad_line_alone(tmp_path: Path) -> None:
    text = '{"a": 1.0}\n\n{"a": \n[1]\n{"b": "二"}\n{"a": "' + "\udcff" + '"}'
    dump = opened(tmp_path, text.encode("utf-8", "surrogateescape"), Layout(encoding="utf-8"), name="d.jsonl")
    assert dump.columns == ("a", "b")
    assert rows(dump) == [{"a": "1.0", "b": None}, {"a": None, "b": "二"}]
    assert [each[:2] for each in faults(dump)] == [(2, 3), (3, 4), (5, 6)]
    assert [each[2].split(":")[0] for each in faults(dump)] == [
        "line 3 is not JSON",
        "line 4 is no object with named values",
        "line 6 holds byte 0xFF after 7 characters, which is not utf-8",
    ]
    assert dump.lines([1, 4]) == {1: 1, 4: 5}


def test_jsonl_without_an_object_is_refused(tmp_path: Path) -> None:
    assert refusal(tmp_path, "1\n2\n", name="d.jsonl") == "d.jsonl holds no object in any line: is it jsonl?"


def test_both_layouts_of_the_shanghai_sites_are_read_to_the_last_digit() -> None:
    old = open_dump(real_data(SITES_OLD), Layout(records="data.data"))
    new = open_dump(real_data(SITES_NEW))
    assert (len(rows(old)), len(rows(new))) == (300, 120)
    assert set(old.columns) == set(new.columns)
    assert (rows(old)[0]["gdlat"], rows(new)[0]["gdlat"]) == ("31.130099547739015", "31.130099547739015")
    assert rows(open_dump(real_data(SITES_OLD))) == rows(old)
    with real_data("09_shanghai_nat_sites/sites_v1_2c519cf_300.csv").open(encoding="utf-8", newline="") as file:
        assert [each["collectionPoint"] for each in rows(old)] == [each["collectionPoint"] for each in csv.DictReader(file)]


def test_fever_clinics_are_gathered_from_provinces_and_cities() -> None:
    dump = open_dump(real_data(CLINICS), Layout(records=HOSPITALS_PATH))
    clinics = rows(dump)
    assert len(clinics) == 6753
    assert dump.columns[-1] == "code"
    assert clinics[0] | {"name": "北京市昔仁医院", "isDesignated": "false", "code": "110100", "level": None} == clinics[0]


# --- Parquet


def parquet_file(folder: Path, table: pa.Table, **options: object) -> Path:
    parquet.write_table(table, folder / "d.parquet", **options)
    return folder / "d.parquet"


def test_parquet_values_become_text(tmp_path: Path) -> None:
    shanghai = timezone(timedelta(hours=8))
    table = pa.table(
        {
            "text": ["  甲", "", None],
            "whole": [1, None, 3],
            "number": pa.array([385.0, 0.1, 1e22]),
            "money": pa.array([Decimal("12.5000"), None, Decimal("-0.0100")], pa.decimal128(18, 4)),
            "day": [date(2024, 2, 29), None, None],
            "at": pa.array([datetime(2024, 2, 29, 8, 30), None, datetime(2024, 2, 29, 8, 30, 0, 500_000)], pa.timestamp("us")),
            "zoned": pa.array([datetime(2024, 2, 29, 8, 30, tzinfo=shanghai), None, None], pa.timestamp("ms", "Asia/Shanghai")),
            "time": pa.array([time(8, 30), None, None]),
            "flag": [True, None, False],
            "list": pa.array([["a", None], None, []], pa.list_(pa.string())),
            "struct": pa.array([{"x": 1, "y": 2.5, "d": date(2024, 1, 1)}, None, None]),
            "bytes": pa.array(["乙".encode(), None, b"x"], pa.binary()),
            "kind": pa.array(["k", None, "l"]).dictionary_encode(),
        }
    )
    dump = open_dump(parquet_file(tmp_path, table))
    first, second, third = rows(dump)
    assert first == {
        "text": "  甲",
        "whole": "1",
        "number": "385",
        "money": "12.5000",
        "day": "2024-02-29",
        "at": "2024-02-29T08:30:00",
        "zoned": "2024-02-29T08:30:00+08:00",
        "time": "08:30:00",
        "flag": "true",
        "list": '["a",null]',
        "struct": '{"x":1,"y":2.5,"d":"2024-01-01"}',
        "bytes": "乙",
        "kind": "k",
    }
    assert {key: value for key, value in second.items() if value} == {"number": "0.1"}
    assert (third["number"], third["money"], third["at"], third["list"]) == (
        "10000000000000000000000",
        "-0.0100",
        "2024-02-29T08:30:00.500",
        "[]",
    )


def test_parquet_rows_keep_their_numbers_and_bad_ones_are_rejected(tmp_path: Path) -> None:
    table = pa.table({"a": ["1", None, "x\0", "4", "5"], "b": pa.array([None, None, b"y", b"\xff", b"z"], pa.binary())})
    dump = open_dump(parquet_file(tmp_path, table, row_group_size=2))
    assert rows(dump) == [{"a": "1", "b": None}, {"a": "5", "b": "z"}]
    assert faults(dump) == [(2, 3, "cell 1 holds a NUL byte in row 3"), (3, 4, "cell 2 holds bytes that are not UTF-8 in row 4")]
    assert dump.lines([1, 4]) == {1: 1, 4: 5}


def test_a_parquet_that_cannot_be_read_is_refused(tmp_path: Path) -> None:
    path = parquet_file(tmp_path, pa.table({"a": ["1"]}))
    assert "carries its own column names" in refused(path, Layout(header=None, columns=("x",)))
    path.write_bytes(path.read_bytes()[:-20])
    assert refused(path).startswith("d.parquet is no parquet file that can be read")


# --- All formats


def test_the_same_table_is_the_same_in_every_format(tmp_path: Path) -> None:
    records = [{"code": f"{n:03d}", "beds": str(n * 7), "name": f"第{n}养老院"} for n in range(1, 9)]
    lines = ["code,beds,name", *(",".join(each.values()) for each in records)]
    sheet = "".join(row(n, *line.split(",")) for n, line in enumerate(lines, 1))
    paths = [
        written(tmp_path, "\n".join(lines), "d.csv"),
        written(tmp_path, "\n".join(lines).replace(",", "\t").encode("utf-16"), "d.tsv"),
        written(tmp_path, json.dumps(records), "d.json"),
        written(tmp_path, "\n".join(map(json.dumps, records)), "d.jsonl"),
        parquet_file(tmp_path, pl.DataFrame(records).to_arrow()),
        write_workbook(tmp_path / "d.xlsx", S=sheet),
    ]
    for path in paths:
        chunk = next(open_dump(path).chunks())
        assert chunk.table.to_dicts() == records, path.name
        assert chunk.records.to_list() == list(range(1, 9))
