"""Dumps as delimited text: what goes in, what is rejected and why, and which line each record stands in."""

import csv
import hashlib
import io
from collections.abc import Iterator
from pathlib import Path

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from connectors.dumps import DumpUnreadable, Layout, open_dump
from connectors.dumps.delimited import Delimited, whole_records
from connectors.dumps.encoding import Encoding
from connectors.dumps.exact import Shape, exact_piece
from connectors.dumps.layout import CELL_LIMIT, COLUMNS_LIMIT, RECORD_LIMIT
from connectors.dumps.pieces import Piece
from tests.support.dumps_files import faults, opened, refusal, rows, written
from tests.support.realdata import real_data

# --- What goes in


def test_cells_are_kept_as_they_are_and_empty_ones_are_null(tmp_path: Path) -> None:
    dump = opened(tmp_path, 'code,name,beds\n001, 张三 ,\n002,"",NA\n')
    assert dump.columns == ("code", "name", "beds")
    assert rows(dump) == [{"code": "001", "name": " 张三 ", "beds": None}, {"code": "002", "name": None, "beds": "NA"}]
    assert all(kind == pl.String for chunk in dump.chunks() for kind in chunk.table.schema.values())


def test_a_dump_tells_its_format_encoding_and_checksum(tmp_path: Path) -> None:
    dump = opened(tmp_path, "a,b\n1,2\n")
    assert (dump.format, dump.encoding) == ("csv", "utf-8")
    assert dump.sha256 == hashlib.sha256(b"a,b\n1,2\n").hexdigest()


def test_quoted_cells_keep_commas_quotes_and_line_breaks(tmp_path: Path) -> None:
    dump = opened(tmp_path, 'a,b\r\n"x, ""y""","1\r\n2"\r\nz,3\r\n')
    assert rows(dump) == [{"a": 'x, "y"', "b": "1\r\n2"}, {"a": "z", "b": "3"}]
    assert dump.lines([1, 2]) == {1: 2, 2: 4}


def test_a_quote_inside_an_unquoted_cell_is_part_of_it(tmp_path: Path) -> None:
    dump = opened(tmp_path, 'a,b\n上海"阳光"之家,1\n5" pipe,2\n')
    assert [each["a"] for each in rows(dump)] == ['上海"阳光"之家', '5" pipe']


def test_blank_rows_are_no_records_and_lines_stay_exact(tmp_path: Path) -> None:
    dump = opened(tmp_path, "a,b\n1,2\n\n   \n,\n 　, \n3,4\n\n")
    chunk = next(dump.chunks())
    assert chunk.table.rows() == [("1", "2"), ("3", "4")]
    assert chunk.records.equals(pl.Series([1, 2], dtype=pl.Int64))
    assert dump.lines([2, 1]) == {2: 7, 1: 2}
    assert chunk.rejected == []


def test_surplus_cells_that_are_blank_are_trimmed(tmp_path: Path) -> None:
    assert rows(opened(tmp_path, "a,b\n1,2,\n3,4, ,　\n")) == [{"a": "1", "b": "2"}, {"a": "3", "b": "4"}]


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_every_line_end_is_understood(tmp_path: Path, end: str) -> None:
    dump = opened(tmp_path, end.join(["a,b", "1,2", "3,4", "5"]))
    assert rows(dump) == [{"a": "1", "b": "2"}, {"a": "3", "b": "4"}]
    assert faults(dump) == [(3, 4, "line 4 has 1 cell, the header has 2")]


@pytest.mark.parametrize("delimiter", [",", "\t", ";", "|"])
def test_the_delimiter_is_found_in_the_header(tmp_path: Path, delimiter: str) -> None:
    assert opened(tmp_path, f'"a,;|,;|"{delimiter}b{delimiter}c\n').columns == ("a,;|,;|", "b", "c")


def test_tsv_is_cut_at_tabs_only(tmp_path: Path) -> None:
    assert rows(opened(tmp_path, "a,a\tb\n1,1\t2\n", name="dump.tsv")) == [{"a,a": "1,1", "b": "2"}]


def test_a_stated_delimiter_is_used(tmp_path: Path) -> None:
    assert opened(tmp_path, "a^b,c\n", Layout(delimiter="^")).columns == ("a", "b,c")


# --- Chunks and numbers


def test_chunks_cover_all_records_in_order_with_their_rejections(tmp_path: Path) -> None:
    body = "".join(f"{n},x\n" if n % 3 else f"{n}\n" for n in range(1, 101))
    dump = opened(tmp_path, "a,b\n" + body, chunk_rows=7)
    chunks = list(dump.chunks())
    assert [len(chunk.records) + len(chunk.rejected) for chunk in chunks] == [7] * 14 + [2]
    assert [n for chunk in chunks for n in chunk.records] == [n for n in range(1, 101) if n % 3]
    assert [each.record for chunk in chunks for each in chunk.rejected] == list(range(3, 101, 3))
    assert all(int(a) == n for chunk in chunks for a, n in zip(chunk.table["a"], chunk.records, strict=True))


def test_a_header_without_rows_is_a_dump_of_nothing(tmp_path: Path) -> None:
    dump = opened(tmp_path, "a,b\n")
    assert (dump.columns, list(dump.chunks()), dump.lines([])) == (("a", "b"), [], {})


def test_lines_are_known_before_and_after_reading(tmp_path: Path) -> None:
    dump = opened(tmp_path, "a\n1\n\n2\n3\n")
    assert dump.lines([3]) == {3: 5}
    next(dump.chunks())
    assert dump.lines(range(1, 4)) == {1: 2, 2: 4, 3: 5}
    with pytest.raises(ValueError, match="has 3 records, there is no record 4"):
        dump.lines([4])


def test_a_dump_can_be_read_twice(tmp_path: Path) -> None:
    dump = opened(tmp_path, "a\n1\n2\n")
    assert rows(dump) == rows(dump)


# --- Headers


def test_a_header_further_down_is_found_by_its_line(tmp_path: Path) -> None:
    dump = opened(tmp_path, "浙江省医疗机构一览表\n\n 编码 ,\ufeff名称\n1,2\n", Layout(header=3))
    assert (dump.columns, dump.lines([1])) == (("编码", "名称"), {1: 4})


def test_columns_without_a_name_are_named_by_their_place(tmp_path: Path) -> None:
    assert opened(tmp_path, "a,, \n1,2,3\n").columns == ("a", "column_2", "column_3")


def test_a_header_of_several_lines_counts_as_such(tmp_path: Path) -> None:
    dump = opened(tmp_path, '"a\n(人)",b\n1,2\n')
    assert (dump.columns, dump.lines([1])) == (("a\n(人)", "b"), {1: 3})


def test_without_a_header_columns_are_given_or_numbered(tmp_path: Path) -> None:
    assert opened(tmp_path, "1,2\n3,4\n", Layout(header=None)).columns == ("column_1", "column_2")
    dump = opened(tmp_path, "\n1,2,\n3,4\n", Layout(header=None, columns=("a", "b")))
    assert (rows(dump), dump.lines([1])) == ([{"a": "1", "b": "2"}, {"a": "3", "b": "4"}], {1: 2})


def test_a_wrong_number_of_given_columns_is_refused_with_both(tmp_path: Path) -> None:
    for names in (("a",), ("a", "b", "c")):
        reason = refusal(tmp_path, "1,2\n", Layout(header=None, columns=names))
        assert reason == (f"dump.csv has 2 columns in its first row, the profile names {len(names)}: correct the profile")


@pytest.mark.parametrize(
    ("content", "layout", "reason"),
    [
        ("a, b,b \n", Layout(), "dump.csv names column 'b' twice, at 2 and 3"),
        ("", Layout(), "dump.csv is empty (0 bytes)"),
        ("\ufeff \n", Layout(), "dump.csv is blank in line 1, where the profile expects the header"),
        ("a\n", Layout(header=4), "dump.csv has 1 lines, the profile says that line 4 is the header"),
        (" \n\u3000\n", Layout(header=None), "dump.csv holds nothing but blank lines"),
        ('"a,b\n1,2\n', Layout(), "dump.csv has a quote in line 1 that is not closed"),
        (
            b"a,\xff\xff\n",
            Layout(encoding="utf-8"),
            "dump.csv holds byte 0xFF in cell 2 of its header, line 1, which is not utf-8",
        ),
        ("a\n", Layout(encoding="klingon"), "dump.csv is said to be in 'klingon', which is no encoding"),
        ("a\n", Layout(encoding="base64"), "dump.csv is said to be in 'base64', which is no encoding"),
        ("," * COLUMNS_LIMIT, Layout(), "dump.csv has 2001 columns, the limit is 2000"),
    ],
)
def test_a_file_without_a_usable_header_is_refused(tmp_path: Path, content: str | bytes, layout: Layout, reason: str) -> None:
    assert refusal(tmp_path, content, layout).startswith(reason)


@pytest.mark.parametrize(
    "wrong",
    [
        {"format": "dbf"},
        {"delimiter": "::"},
        {"delimiter": "，"},
        {"delimiter": '"'},
        {"header": 0},
        {"columns": ("a",)},
    ],
)
def test_an_impossible_layout_is_refused_at_once(wrong: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=r"\w"):
        Layout(**wrong)  # type: ignore[arg-type]


# --- Rejections


@pytest.mark.parametrize(
    ("body", "good", "found"),
    [
        ("1,2\n1\n3,4\n", ["1", "3"], [(2, 3, "line 3 has 1 cell, the header has 2")]),
        ("1,2,3\n3,4\n", ["3"], [(1, 2, "line 2 has 3 cells, the header has 2")]),
        ("1,a\0b\n3,4\n", ["3"], [(1, 2, "cell 2 of line 2 holds a NUL byte after 1 characters")]),
        (
            '1,"x" y\n3,4\n',
            ["3"],
            [(1, 2, "in the record of line 2, text follows a closing quote in line 2: double the quotes inside a cell")],
        ),
        ('1,2\n3,"4\n5,6\n', ["1", "5"], [(2, 3, "a quote opened in line 3 is never closed")]),
        (
            '1,"2\n3,"4"\n5,6\n',
            ["3", "5"],
            [(1, 2, "in the record of line 2, text follows a closing quote in line 3: double the quotes inside a cell")],
        ),
    ],
)
def test_only_the_bad_row_is_rejected(tmp_path: Path, body: str, good: list[str], found: list[tuple[int, int, str]]) -> None:
    dump = opened(tmp_path, "a,b\n" + body)
    assert [each["a"] for each in rows(dump)] == good
    assert faults(dump) == found


def test_a_rejected_row_is_shown_in_short(tmp_path: Path) -> None:
    chunk = next(opened(tmp_path, "a,b\n" + "长" * 300 + "\n1,2\n").chunks())
    assert chunk.rejected[0].text == "长" * 199 + "…"
    assert chunk.records.to_list() == [2]


def test_an_undecodable_byte_rejects_its_row_and_is_named(tmp_path: Path) -> None:
    body = ["名称,地址"] + [f"第{n}医院,上海" for n in range(50)]
    content = "\n".join(body).encode().replace("第7医院".encode(), "第".encode() + b"\xff7")
    dump = opened(tmp_path, content)
    assert dump.encoding == "utf-8"
    assert len(rows(dump)) == 49
    assert faults(dump) == [(8, 9, "cell 1 of line 9 holds byte 0xFF, which is not utf-8, after 1 characters")]


def test_an_undecodable_byte_in_gbk_rejects_its_row_and_is_named(tmp_path: Path) -> None:
    content = "\n".join(["名称,地址"] + [f"第{n}医院,上海" for n in range(50)]).encode("gbk").replace(b"49", b"4\xff")
    dump = opened(tmp_path, content, Layout(encoding="gbk"))
    assert (dump.encoding, len(rows(dump))) == ("gb18030", 49)
    assert faults(dump) == [(50, 51, "cell 1 of line 51 holds byte 0xFF, which is not gb18030, after 2 characters")]


def test_a_cell_of_a_mebibyte_goes_in_and_a_longer_one_is_rejected(tmp_path: Path) -> None:
    longest, longer = "医" * (CELL_LIMIT // 3), "医" * (CELL_LIMIT // 3 + 1)
    dump = opened(tmp_path, f'a,b\n1,{longest}\n2,{longer}\n3,"{longest}"\n4,"{longer}"\n5,x\n')
    assert [each["a"] for each in rows(dump)] == ["1", "3", "5"]
    assert [(record, line) for record, line, _ in faults(dump)] == [(2, 3), (4, 5)]
    assert {reason[-27:] for _, _, reason in faults(dump)} == {f"is longer than {CELL_LIMIT} bytes"[-27:]}


@pytest.mark.long
def test_a_quote_that_is_never_closed_does_not_swallow_the_rows_after_it(tmp_path: Path) -> None:
    many = "".join(f"{n},x\n" for n in range(300_000))
    dump = opened(tmp_path, f'a,b\n1,"open\n{many}')
    assert faults(dump) == [(1, 2, f"a cell of line 2 is longer than {CELL_LIMIT} bytes: a quote may never be closed")]
    assert sum(chunk.table.height for chunk in dump.chunks()) == 300_000


def test_a_line_without_end_is_refused(tmp_path: Path) -> None:
    assert "has a record of more than" in refusal(tmp_path, "a,b\n1," + "x" * (RECORD_LIMIT + 1))


# --- Encodings


@pytest.mark.parametrize(
    ("codec", "seen"),
    [
        ("utf-8", "utf-8"),
        ("utf-8-sig", "utf-8"),
        ("gbk", "gb18030"),
        ("gb18030", "gb18030"),
        ("utf-16", "utf-16-le"),
        ("utf-16-le", "utf-16-le"),
        ("utf-16-be", "utf-16-be"),
        ("utf-32", "utf-32-le"),
    ],
)
def test_an_encoding_is_recognised(tmp_path: Path, codec: str, seen: str) -> None:
    text = "编码,名称,地址\r\n" + "".join(f"{n},上海市第{n}养老院,“静安”区{n}号\r\n" for n in range(40))
    dump = opened(tmp_path, text.encode(codec))
    assert dump.encoding == seen
    assert rows(dump) == list(csv.DictReader(io.StringIO(text)))


def test_gb18030_of_four_bytes_is_read(tmp_path: Path) -> None:
    text = "姓名,村\n㐂𠮷,中文\n王㛃,中文村\n"
    assert rows(opened(tmp_path, text.encode("gb18030"))) == [{"姓名": "㐂𠮷", "村": "中文"}, {"姓名": "王㛃", "村": "中文村"}]


def test_text_that_is_ascii_for_megabytes_is_still_recognised(tmp_path: Path) -> None:
    content = b"a,b\n" + b"1,2\n" * 600_000 + "3,养老院\n".encode("gbk")
    dump = opened(tmp_path, content)
    assert (dump.encoding, list(dump.chunks())[-1].table["b"][-1]) == ("gb18030", "养老院")


def test_a_byte_order_mark_outweighs_the_profile(tmp_path: Path) -> None:
    assert rows(opened(tmp_path, "\ufeff名\n院\n", Layout(encoding="gbk"))) == [{"名": "院"}]


def test_utf8_that_is_said_to_be_gbk_is_refused(tmp_path: Path) -> None:
    assert refusal(tmp_path, "名称\n上海市第一养老院\n", Layout(encoding="gbk")) == (
        "dump.csv is said to be in gbk, but its bytes are UTF-8: set the encoding to utf-8"
    )


def test_a_byte_order_mark_in_the_middle_is_a_value(tmp_path: Path) -> None:
    assert rows(opened(tmp_path, "a,b\n\ufeff1,2\n")) == [{"a": "\ufeff1", "b": "2"}]


# --- Formats by content and name


@pytest.mark.parametrize(
    ("name", "content", "kind"),
    [
        ("d", "a,b\n", "csv"),
        ("d.dat", '[{"a": 1}]', "json"),
        ("d.dat", '{"a": 1}\n{"a": 2}\n', "jsonl"),
        ("d.txt", "a,b\n", "csv"),
        ("d.ndjson", '{"a": 1}\n', "jsonl"),
    ],
)
def test_the_format_is_seen_from_name_or_content(tmp_path: Path, name: str, content: str, kind: str) -> None:
    assert opened(tmp_path, content, name=name).format == kind


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        ("d.xls", "a\tb\n", "d.xls should be xls, but does not begin like one"),
        ("d.xls", "<html><table>", "d.xls holds HTML or XML"),
        ("d.csv.gz", b"\x1f\x8b\x08\x00", "d.csv.gz is a gzip archive: unpack it first"),
        ("d.parquet", "PAR", "d.parquet should be parquet"),
        ("d.bin", bytes(range(256)) * 8, "d.bin holds 216 control characters in 2048 bytes and is no text"),
    ],
)
def test_a_file_of_no_known_format_is_refused(tmp_path: Path, name: str, content: str | bytes, reason: str) -> None:
    assert refusal(tmp_path, content, name=name).startswith(reason)


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DumpUnreadable, match=r"gone\.csv is no file"):
        open_dump(tmp_path / "gone.csv")


# --- The two ways of reading agree

CELLS = st.text(st.sampled_from('ab,;"\n\r \t中𠮷\u3000\ufeff0.é'), max_size=8)
TABLES = st.integers(1, 4).flatmap(lambda width: st.lists(st.lists(CELLS, min_size=width, max_size=width), max_size=12))
FRAGMENTS = st.sampled_from(
    ["a", "b,", "\n", "\r\n", "\r", '"', '""', '"x",', '"p\nq"', ",\n", "中,文\n", " ", "\ufeff", "\0", "1,2\n"]
)


def flat(pieces: Iterator[Piece]) -> tuple[list[object], list[int], list[tuple[int, int, str, str]]]:
    table: list[object] = []
    lines: list[int] = []
    refused: list[tuple[int, int, str, str]] = []
    for piece in pieces:
        table += piece.table.rows()
        refused += [(len(lines) + each.place, each.line, each.text, each.reason) for each in piece.refused]
        lines += [int(line) for line in piece.lines]
    return table, lines, refused


def exactly(body: bytes, columns: tuple[str, ...]) -> tuple[list[object], list[int], list[tuple[int, int, str, str]]]:
    return flat(iter([exact_piece(body, 2, Shape(columns, ",", Encoding("utf-8")), at_end=True)[0]]))


@settings(max_examples=60)
@given(table=TABLES, block=st.integers(9, 200), quoting=st.sampled_from([csv.QUOTE_ALL, csv.QUOTE_MINIMAL]))
def test_a_table_that_was_written_is_read_back(
    tmp_path_factory: pytest.TempPathFactory,
    table: list[list[str]],
    block: int,
    quoting: int,
) -> None:
    width = len(table[0]) if table else 2
    text = io.StringIO(newline="")
    writer = csv.writer(text, quoting=quoting)  # type: ignore[arg-type]
    writer.writerows([[f"column_{n}" for n in range(1, width + 1)], *table])
    path = written(tmp_path_factory.mktemp("table"), text.getvalue())
    reader = Delimited(path, Layout(delimiter=","), Encoding("utf-8"), block=block)
    read, lines, refused = flat(reader.pieces())
    blanks = " \t\r\n\u3000\ufeff"
    assert read == [tuple(cell or None for cell in row) for row in table if any(cell.strip(blanks) for cell in row)]
    body = text.getvalue().encode().split(b"\r\n", 1)[1]
    assert (read, lines, refused) == exactly(body, reader.columns)


@settings(max_examples=150)
@given(fragments=st.lists(FRAGMENTS, max_size=30), broken=st.booleans(), block=st.integers(5, 100))
def test_dirty_text_is_read_alike_however_it_is_cut(
    tmp_path_factory: pytest.TempPathFactory,
    fragments: list[str],
    broken: bool,
    block: int,
) -> None:
    body = "".join(fragments).encode() + (b"\xff,x\n" if broken else b"")
    path = written(tmp_path_factory.mktemp("dirty"), b"h1,h2\n" + body)
    reader = Delimited(path, Layout(delimiter=","), Encoding("utf-8"), block=block)
    assert flat(reader.pieces()) == exactly(body, ("h1", "h2"))


@pytest.mark.parametrize("ordinary", ["{n},中文\n", '{n},"x\r\ny"\r\n'])
def test_a_large_text_with_few_faults_is_read_alike(tmp_path: Path, ordinary: str) -> None:
    strange = {4_000: "4000\n", 9_999: "\n9999,y,\n", 20_000: "\ufeff20000,\0\n", 30_001: "\ufeff30001,z\n"}
    body = "".join(strange.get(n, ordinary.format(n=n)) for n in range(40_000)).encode()
    dump = opened(tmp_path, b"h1,h2\n" + body)
    table, lines, refused = exactly(body, ("h1", "h2"))
    assert [tuple(each.values()) for each in rows(dump)] == table
    assert list(dump.lines(range(1, 40_001)).values()) == lines
    assert faults(dump) == [(place + 1, line, reason) for place, line, _, reason in refused]
    assert [place for place, *_ in refused] == [4_000, 20_000]


@pytest.mark.parametrize(
    ("data", "whole"),
    [
        ("a,b\nc", 4),
        ('"a\n",b\n"c\n', 7),
        ('"a""b"\n', 7),
        ('a"b\n', 0),
        ('a"b\nc"d\n', None),
        ('"a"b\n', None),
        ('"a\nb', 0),
        ("a\r", 0),
    ],
)
def test_whole_records_end_where_strict_quoting_says(data: str, whole: int | None) -> None:
    assert whole_records(data.encode(), ",", at_end=False) == whole


# --- Real dumps


def test_nursing_homes_have_470_lines_of_which_one_is_blank() -> None:
    dump = open_dump(real_data("15_nursing_homes_14cities/nursing_homes_470.csv"))
    assert (len(rows(dump)), faults(dump), dump.columns[0]) == (469, [], "城市")
    assert dump.lines([469]) == {469: 470}


@pytest.mark.parametrize(
    ("name", "count"),
    [
        ("01_divisions_modood/streets_4prov.csv", 4793),
        ("03_areacodes_history/result_4prov.csv", 821),
        ("07_hospitals_fever_clinics_2020/fever_clinics_4prov.csv", 983),
        ("16_hospitals_zhejiang_2019/hospitals_1692.csv", 1692),
        ("19_shanghai_standards_dated/standards_shanghai.csv", 45),
    ],
)
def test_real_dumps_give_all_their_rows_as_the_csv_module_reads_them(name: str, count: int) -> None:
    path = real_data(name)
    dump = open_dump(path)
    with path.open(encoding="utf-8-sig", newline="") as file:
        expected = [{key: value or None for key, value in each.items()} for each in csv.DictReader(file)]
    assert (len(expected), faults(dump)) == (count, [])
    assert rows(dump) == expected
