"""Text: one form for names, numbers and days."""

import re
import sys
import unicodedata
from datetime import date
from decimal import Decimal

import polars as pl
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from repository.registers.text import NEEDS_NORMALISING, STABLE, day, mask, normalise, number

needs_normalising = re.compile(NEEDS_NORMALISING)
stable = re.compile(f"[{STABLE}]")
combining = "\u0301\u0338\u1161\u11a8\u3099\u200b\u200d\ufeff"
tricky = st.text(st.sampled_from("汉字Aa1é .,·•‧・．　\u00a0\t\nが가한ー＜Ａｚ０～豈﨎𠮷丽" + combining))


@pytest.mark.parametrize(
    ("typed", "one_form"),
    [
        ("  杭州市　西湖区\t\r\n古翠路 ", "杭州市 西湖区 古翠路"),
        ("ＡＢＣ－１２３（甲）～", "ABC-123(甲)~"),
        ("上\u200b海\ufeff市\u00ad", "上海市"),
        ("南京\u00a0\u3000\u2003市", "南京 市"),
        ("阿卜杜拉•买买提", "阿卜杜拉·买买提"),
        ("阿卜杜拉・买买提", "阿卜杜拉·买买提"),
        ("阿卜杜拉‧买买提", "阿卜杜拉·买买提"),
        ("阿卜杜拉．买买提．吐尔逊", "阿卜杜拉·买买提·吐尔逊"),
        ("阿卜杜拉\u200b．买买提", "阿卜杜拉·买买提"),
        ("𠮷•𰻞", "𠮷·𰻞"),
        ("e\u0301", "é"),
        ("e\u200b\u0301", "é"),
        ("\u212b", "Å"),
    ],
)
def test_what_was_typed_differently_becomes_one_form(typed: str, one_form: str) -> None:
    assert normalise(typed) == one_form


@pytest.mark.parametrize(
    "kept",
    [
        "",
        "12.5",
        "J.R.R. Tolkien",
        "№ 3•5",
        "ニコラス・ケイジ",
        "臺灣國語",
        "㎡ ① ﬁ ㈱",
        "𠮷野 𡈽 𰻞𰻞面",
        "\ue5e5",
        "葛\U000e0100",
    ],
)
def test_what_is_no_matter_of_typing_is_kept(kept: str) -> None:
    assert normalise(kept) == kept


def test_full_stops_stay_full_stops_unless_between_cjk_characters() -> None:
    assert normalise("１２．５") == "12.5"
    assert normalise("Ｊ．Ｒ．王") == "J.R.王"
    assert normalise("王．") == "王."


def test_compatibility_ideographs_end_where_nfc_takes_them() -> None:
    """Those with a canonical equivalent become it; the twelve that are unified ideographs stay."""
    for code in (*range(0xF900, 0xFA6E), *range(0xFA70, 0xFADA), *range(0x2F800, 0x2FA1E)):
        assert normalise(chr(code)) == unicodedata.normalize("NFC", chr(code))
    assert normalise("\uf900\ufa0e\ufa11") == "\u8c48\ufa0e\ufa11"


@given(st.text() | tricky)
@example("汉・豈．汉")
@example(" \u0301")
def test_normalising_twice_changes_nothing_more(text: str) -> None:
    once = normalise(text)
    assert normalise(once) == once
    assert unicodedata.is_normalized("NFC", once)


@given(st.text() | tricky)
def test_the_pattern_finds_every_text_that_would_change(text: str) -> None:
    assert normalise(text) == text or needs_normalising.search(text)


@given(st.lists(st.text() | tricky, max_size=20))
def test_the_pattern_reads_the_same_in_the_rust_crate(texts: list[str]) -> None:
    found = pl.Series(texts, dtype=pl.String).str.contains(NEEDS_NORMALISING)
    assert found.to_list() == [bool(needs_normalising.search(text)) for text in texts]


def test_no_character_of_the_stable_ranges_changes_or_combines() -> None:
    everything = [chr(code) for code in range(sys.maxunicode + 1) if not 0xD800 <= code < 0xE000]
    pairs = [parts for c in everything if len(parts := unicodedata.decomposition(c).split()) == 2]
    seconds = {chr(int(second, 16)) for first, second in pairs if not first.startswith("<")}
    seconds |= {chr(code) for code in (*range(0x1161, 0x1176), *range(0x11A8, 0x11C3))}
    for character in filter(stable.match, everything):
        assert character == " " or normalise(character) == character
        assert unicodedata.combining(character) == 0 and character not in seconds


@pytest.mark.parametrize("usual", ["杭州市古翠路8号(天目山路口)", "Nanjing Rd 12", "《办法》", "𠮷野家"])
def test_usual_text_is_passed_over(usual: str) -> None:
    assert not needs_normalising.search(usual)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("１,２３４.５", "1234.5"),
        ("１，２３４．５", "1234.5"),
        (" 385 ", "385"),
        ("-12", "-12"),
        ("－０．５０", "-0.50"),
        ("\u22123", "-3"),
        ("+7", "7"),
        ("1,234,567", "1234567"),
        ("0.1", "0.1"),
    ],
)
def test_numbers_are_read_exactly(text: str, value: str) -> None:
    assert number(text) == Decimal(value)
    assert str(number(text)) == str(Decimal(value))


@pytest.mark.parametrize(
    "text",
    ["", "  ", "NaN", "inf", "-Infinity", "未知", "385张", "1,23", "1e5", "1.2.3", ".5", "1 2", "٣"],
)
def test_what_is_not_a_number_is_refused_by_name(text: str) -> None:
    with pytest.raises(ValueError, match=f"^{re.escape(repr(text))} is not a number: .*[.]$"):
        number(text)


@given(st.decimals(allow_nan=False, allow_infinity=False, places=4, min_value=-(10**14), max_value=10**14))
def test_a_number_written_with_separators_reads_back(value: Decimal) -> None:
    assert number(f"{value:,f}") == value


@pytest.mark.parametrize(
    "text",
    [
        "2025-07-01",
        "2025-7-1",
        "2025/7/1",
        "2025.7.1",
        "２０２５．０７．０１",
        "20250701",
        "2025年7月1日",
        " 2025 年 07 月 01 日 ",
        "2025年7月1号",
        "2025-07-01 00:00:00",
        "2025/7/1 0:00",
        "2025-07-01T00:00:00.000",
    ],
)
def test_days_are_read_in_every_usual_form(text: str) -> None:
    assert day(text) == date(2025, 7, 1)


@pytest.mark.parametrize("text", ["2025-02-29", "20251301", "2025年6月31日", "0000-01-01", "1985.2.29"])
def test_days_the_calendar_does_not_have_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match=f"^{re.escape(repr(text))} is not in the calendar: .*[.]$"):
        day(text)


@pytest.mark.parametrize("text", ["", "2025", "2025-07", "2025-07/01", "01/07/2025", "45839", "2025-07-01 12:30:00", "长期"])
def test_what_is_not_a_day_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=f"^{re.escape(repr(text))} is not a day: .*[.]$"):
        day(text)


@pytest.mark.parametrize(
    ("shown", "masked"),
    [
        ("身份证319999199003070016。", "身份证31****************。"),
        ("31999919720614002X", "31****************"),
        ("31999919720614002x户", "31****************户"),
        ("３１９９９９１９９００３０７００１６", "３１****************"),
        ("319999 19900307 0016", "31**** ******** ****"),
        ("319999-19900307-001X", "31****-********-****"),
        ("3 1 9999\u3000199003\u200b070016", "3 1 ****\u3000******\u200b******"),
        ("319999900307001", "31*************"),
        ("甲 319999199003070016 乙 329999198502280023", "甲 31**************** 乙 32****************"),
    ],
)
def test_identity_numbers_are_masked_wherever_they_stand(shown: str, masked: str) -> None:
    assert mask(shown) == masked


@pytest.mark.parametrize("shown", ["", "0571-88886666", "2025-07-01 00:00:00", "310101002000", "91340100MA20003690"])
def test_shorter_numbers_are_shown(shown: str) -> None:
    assert mask(shown) == shown


@given(st.text(max_size=5), st.from_regex(r"[0-9]{17}[0-9X]", fullmatch=True), st.text(max_size=5))
def test_no_identity_number_survives_masking(before: str, number_: str, after: str) -> None:
    shown = mask(before + number_ + after)
    assert number_ not in shown and number_[3:14] not in shown


def test_a_refusal_never_repeats_an_identity_number() -> None:
    for refuse in (number, day):
        with pytest.raises(ValueError) as refusal:
            refuse("319999-19900307-0016")
        assert "19900307" not in str(refusal.value)
