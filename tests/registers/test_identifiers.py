"""Identity numbers (GB 11643-1999) and credit codes (GB 32100-2015), by their published vectors."""

from datetime import date
from string import digits

import pytest
from hypothesis import given
from hypothesis import strategies as st

from repository.registers.identifiers import (
    CREDIT_ALPHABET,
    CitizenNumber,
    IdentifierError,
    Identity,
    ImpossibleBirthDate,
    UnknownFirstDivision,
    UnknownIdType,
    WrongCheckCharacter,
    WrongShape,
    citizen_number,
    credit_code,
    identity,
    mask,
)

ON = date(2025, 7, 1)
MADE_UP = "319999199003070016"


@pytest.mark.parametrize(
    ("number", "birth_date", "sex"),
    [
        ("319999199003070016", date(1990, 3, 7), "1"),
        ("349999194912310040", date(1949, 12, 31), "2"),
        ("31999919720614002X", date(1972, 6, 14), "2"),
        ("329999198502280023", date(1985, 2, 28), "2"),
    ],
)
def test_made_up_numbers_pass_only_as_synthetic(number: str, birth_date: date, sex: str) -> None:
    """Divisions 319999, 329999 and 349999 exist nowhere; sex follows GB/T 2261.1."""
    expected = CitizenNumber(number, number[:6], birth_date, sex, "citizen_number")
    assert citizen_number(number, ON, synthetic=True) == expected
    with pytest.raises(UnknownFirstDivision):
        citizen_number(number, ON)


@pytest.mark.parametrize(
    "number",
    [
        "11010519491231002X",  # the example of GB 11643-1999 itself, in Beijing
        "310101199003070019",
        "34012319720614123X",
        "31023019560101004X",  # 崇明县, abolished in 2016
    ],
)
def test_divisions_of_all_china_past_and_present_are_known(number: str) -> None:
    assert citizen_number(number, ON).division_code == number[:6]


def test_a_number_of_a_city_whose_centre_had_no_district_passes() -> None:
    """湖州 had no districts from 1988 to 2003: its people were registered under 330501."""
    assert citizen_number("33050119950101001" + _check("33050119950101001"), ON).division_code == "330501"


@pytest.mark.parametrize("number", ["810000198001010014", "820000198001010010", "830000198001010026"])
def test_residence_permits_of_hong_kong_macao_and_taiwan_are_told_by_their_prefix(number: str) -> None:
    assert citizen_number(number[:17] + _check(number[:17]), ON).id_type == "hmt_residence_permit"


def test_published_residence_permit_vectors_pass() -> None:
    assert citizen_number("810000198001010014", ON).sex == "1"
    assert citizen_number("830000198001010026", ON).sex == "2"


def test_an_old_number_of_15_digits_becomes_one_of_18() -> None:
    assert citizen_number("310230560101004", ON).number == "31023019560101004X"


@pytest.mark.parametrize("sequence", ["996", "997", "998", "999"])
def test_an_old_number_of_a_centenarian_has_no_certain_century(sequence: str) -> None:
    with pytest.raises(ImpossibleBirthDate, match="century is not certain"):
        citizen_number(f"310230560101{sequence}", ON)


@pytest.mark.parametrize(
    "typed",
    [
        "31999919720614002x",
        "３１９９９９１９７２０６１４００２Ｘ",
        "３１９９９９１９７２０６１４００２ｘ",
        " 319999 19720614 002X ",
        "319999-19720614-002x",
        "319999\u300019720614\u200b002X\n",
    ],
)
def test_widths_cases_blanks_and_hyphens_do_not_matter(typed: str) -> None:
    assert citizen_number(typed, ON, synthetic=True).number == "31999919720614002X"


@pytest.mark.parametrize(
    ("number", "refusal"),
    [
        ("319999199003070015", WrongCheckCharacter),
        ("31999919900307001X", WrongCheckCharacter),
        ("319999199013070016", ImpossibleBirthDate),
        ("319999190002290016", ImpossibleBirthDate),
        ("319999180003070016", ImpossibleBirthDate),
        ("319999202507020016", ImpossibleBirthDate),
        ("399999199003070016", UnknownFirstDivision),
        ("339999199003070016", UnknownFirstDivision),
        ("320500198502290019", UnknownFirstDivision),
        ("310000199003070016", UnknownFirstDivision),
        ("320571199003070016", UnknownFirstDivision),
        ("31999919900307001", WrongShape),
        ("3199991990030700166", WrongShape),
        ("3199991990X3070016", WrongShape),
        ("A19999199003070016", WrongShape),
        ("٣١٩٩٩٩١٩٩٠٠٣٠٧٠٠١٦", WrongShape),
        ("", WrongShape),
    ],
)
def test_a_wrong_number_is_refused_without_being_shown(number: str, refusal: type[IdentifierError]) -> None:
    with pytest.raises(refusal, match=r"[.]$") as refused:
        citizen_number(number, ON, synthetic=True)
    assert number[2:8] not in str(refused.value) or not number
    assert str(refused.value).count(". ") == 0


def test_a_number_whose_check_passes_may_still_have_no_day_and_no_county() -> None:
    """320500198502290019: 1985 had no 29 February, and 320500 is 苏州市, a city."""
    number = "320500198502290019"
    assert number[17] == _check(number[:17])
    with pytest.raises(IdentifierError):
        citizen_number(number, ON)
    with pytest.raises(ImpossibleBirthDate):
        citizen_number("32058119850229001" + _check("32058119850229001"), ON)


def test_birth_on_the_day_itself_is_not_in_the_future() -> None:
    number = "31999920250701001" + _check("31999920250701001")
    assert citizen_number(number, date(2025, 7, 1), synthetic=True).birth_date == ON
    with pytest.raises(ImpossibleBirthDate):
        citizen_number(number, date(2025, 6, 30), synthetic=True)


def test_without_a_day_the_present_one_counts() -> None:
    assert citizen_number(MADE_UP, synthetic=True).number == MADE_UP
    with pytest.raises(ImpossibleBirthDate):
        citizen_number("31999999980307001" + _check("31999999980307001"), synthetic=True)


def test_printing_a_result_shows_no_person() -> None:
    for result in (citizen_number(MADE_UP, ON, True), identity("citizen_number", MADE_UP, ON, True)):
        assert MADE_UP not in repr(result) and "1990" not in repr(result)


@given(st.dates(date(1900, 1, 1), ON), st.integers(0, 999))
def test_one_mistyped_digit_is_always_found(born: date, sequence: int) -> None:
    """MOD 11-2 of ISO 7064 finds every single substitution."""
    seventeen = f"319999{born:%Y%m%d}{sequence:03d}"
    number = seventeen + _check(seventeen)
    assert citizen_number(number, ON, synthetic=True).birth_date == born
    for at in (14, 15, 16):
        mistyped = number[:at] + str((int(number[at]) + 1) % 10) + number[at + 1 :]
        with pytest.raises(WrongCheckCharacter):
            citizen_number(mistyped, ON, synthetic=True)


@pytest.mark.parametrize(
    "code",
    [
        "12310000425000014Y",  # 事业单位
        "52330100MJ0000034D",  # 民办非企业单位
        "91340100MA20003690",  # the weighted sum divides by 31
        "91110000101623741K",  # a published company
    ],
)
def test_credit_codes_pass_in_any_writing(code: str) -> None:
    assert credit_code(code) == code
    assert credit_code(f" {code[:8].lower()}-{code[8:].lower()}\u3000") == code
    assert credit_code("".join(chr(ord(character) + 0xFEE0) for character in code)) == code


def test_a_credit_code_with_a_wrong_check_can_be_kept_under_a_flag() -> None:
    with pytest.raises(WrongCheckCharacter, match=r"uscc_check_digit[.]$") as refused:
        credit_code("91340100MA20003691")
    assert refused.value.code == "91340100MA20003691"
    assert "91340100MA20003691" not in str(refused.value)


@pytest.mark.parametrize(
    "text", ["", "91340100MA2000369", "91340100MA200036900", "9134010OMA20003690", "91340100MI20003690", "无"]
)
def test_what_has_not_the_shape_of_a_credit_code_is_refused(text: str) -> None:
    with pytest.raises(WrongShape, match=r"is not a credit code: .*[.]$"):
        credit_code(text)


@given(
    st.text(CREDIT_ALPHABET, min_size=2, max_size=2),
    st.text(digits, min_size=6, max_size=6),
    st.text(CREDIT_ALPHABET, min_size=9, max_size=9),
)
def test_exactly_one_check_character_fits_any_seventeen(unit: str, division: str, organisation: str) -> None:
    fitting = []
    for last in CREDIT_ALPHABET:
        try:
            fitting.append(credit_code(unit + division + organisation + last))
        except WrongCheckCharacter as refused:
            assert refused.code == unit + division + organisation + last
    assert len(fitting) == 1


@pytest.mark.parametrize(
    ("id_type", "typed", "expected"),
    [
        ("citizen_number", "31999919720614002x", Identity("citizen_number", "31999919720614002X")),
        (
            "hmt_residence_permit",
            "810000198001010014",
            Identity("hmt_residence_permit", "810000198001010014"),
        ),
        ("citizen_number", "810000198001010014", Identity("hmt_residence_permit", "810000198001010014")),
        (
            "foreign_permanent_resident",
            "931156198001010015",
            Identity("foreign_permanent_resident", "931156198001010015"),
        ),
        (
            "foreign_permanent_resident",
            "frg310190030701",
            Identity("foreign_permanent_resident", "FRG310190030701"),
        ),
        ("other", " h-1234 5678(9) ", Identity("other", "H12345678(9)")),
    ],
)
def test_every_kind_of_document_has_one_normalised_identity(id_type: str, typed: str, expected: Identity) -> None:
    assert identity(id_type, typed, ON, synthetic=True) == expected


@pytest.mark.parametrize(
    ("id_type", "number", "refusal"),
    [
        ("foreign_permanent_resident", MADE_UP, WrongShape),
        ("other", "不详，见附件", WrongShape),
        ("citizen_number", "H123456789", WrongShape),
        ("passport", "E12345678", UnknownIdType),
    ],
)
def test_a_number_of_another_kind_is_refused(id_type: str, number: str, refusal: type[IdentifierError]) -> None:
    with pytest.raises(refusal, match=r"[.]$") as refused:
        identity(id_type, number, ON, synthetic=True)
    assert number not in str(refused.value)


def test_masking_is_offered_beside_the_validators() -> None:
    assert mask(f"号码{MADE_UP}") == "号码31****************"


def _check(seventeen: str) -> str:
    """GB 11643-1999, written out a second time: 2^(18-i) modulo 11."""
    total = sum(int(digit) * pow(2, 17 - at, 11) for at, digit in enumerate(seventeen))
    return "10X98765432"[total % 11]
