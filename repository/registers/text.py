"""Text as sources write it, brought to one form: names, numbers and days.

`normalise` keeps what a name is and unifies only how it was typed. It applies Unicode normalisation form C
(UAX #15), never form KC, which would also rewrite ㎡, ① and ﬁ; it never turns traditional characters into
simplified ones; the supplementary planes of GB 18030-2022 pass through untouched.
"""

import re
import unicodedata
from datetime import date
from decimal import Decimal

INVISIBLE = re.compile(r"[\xad\u061c\u180e\u200b-\u200f\u202a-\u202e\u2060-\u2069\ufeff]+")
"""Zero-width characters and direction marks: they cannot be seen, so they tell no two names apart."""

TO_HALF_WIDTH = {full: full - 0xFEE0 for full in range(0xFF01, 0xFF5F)}

BLANKS = re.compile(r"[\x00-\x20\x7f-\xa0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000]+")
"""Spaces of every width, line breaks and control characters."""

CJK = r"\u3005\u3007\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"
INTERPUNCT = re.compile(rf"(?<=[{CJK}])[\u2022\u2027\u30fb\uff0e](?=[{CJK}])")

STABLE = (
    r"\u0020-\u007e\u00a1-\u00ac\u00ae-\u02ff\u0400-\u0482\u048a-\u052f\u2010-\u2021\u2023-\u2026\u2030-\u205e"
    r"\u2070-\u209f\u20a0-\u20bf\u2100-\u2125\u2190-\u2328\u232b-\u2426\u2460-\u27bf\u3001-\u3029\u3030-\u303f"
    r"\u3041-\u3096\u309b-\u30fa\u30fc-\u312f\u3190-\u4dbf\u4e00-\ua48c\uac00-\ud7a3\ue000-\uf8ff\uffe0-\uffe6"
    r"\U0001f000-\U0001faff\U00020000-\U0002f7ff\U00030000-\U0003ffff"
)
"""Characters that normalise() leaves alone next to any other of them, as ranges of a character class."""

NEEDS_NORMALISING = rf"^ | $|  |[^{STABLE}]"
"""Matches every string that normalise() would change, and a few that it would not.

The pattern reads the same in Python's `re` and in the Rust `regex` crate, so that a column can be searched
(polars: `str.contains`) and only the values that need it pay for normalise().
"""

NUMBER = re.compile(r"[+-]?(?:[0-9]{1,3}(?:,[0-9]{3})+|[0-9]+)(?:\.[0-9]+)?")
DAY = re.compile(
    r"([0-9]{4})(?:([-/.])([0-9]{1,2})\2([0-9]{1,2})"
    r"|年 ?([0-9]{1,2}) ?月 ?([0-9]{1,2}) ?[日号]"
    r"|([0-9]{2})([0-9]{2}))"
    r"(?:[ T]0?0:00(?::00(?:\.0+)?)?)?"
)
"""A day, and the midnight that a spreadsheet adds to it; with any other time of day it is not a day."""

APART = r"[\s\-\u00ad\u180e\u200b-\u2015\u2060\u2212\ufeff\uff0d]*"
IDENTITY_LIKE = re.compile(rf"\d(?:{APART}\d){{14,}}(?:{APART}[XxＸｘ])?")


def normalise(text: str) -> str:
    """The one form of `text`: NFC, half-width ASCII, single inner blanks, none around it. Idempotent.

    Between two CJK characters the interpunct variants • ‧ ・ ． become · (U+00B7), as in 阿卜杜拉·买买提;
    elsewhere ． becomes an ASCII full stop and the others stay, so that decimals and dotted Latin survive.
    """
    visible = INTERPUNCT.sub("\u00b7", INVISIBLE.sub("", text))
    composed = unicodedata.normalize("NFC", visible.translate(TO_HALF_WIDTH))
    return BLANKS.sub(" ", composed).strip(" ")


def number(text: str) -> Decimal:
    """The exact number in `text`: optional sign, full-width digits and thousands separators allowed.

    Raises ValueError for anything else: blank, NaN, infinity, exponents (a spreadsheet that wrote 1.2E+05
    has already lost digits), misplaced separators.
    """
    plain = normalise(text).replace("\u2212", "-")
    if not NUMBER.fullmatch(plain):
        raise ValueError(f"{mask(text)!r} is not a number: write digits, such as 1234.5.")
    return Decimal(plain.replace(",", ""))


def day(text: str) -> date:
    """The calendar day in `text`: 2025-07-01, 2025/7/1, 2025.7.1, 20250701 or 2025年7月1日; 00:00 may follow.

    Raises ValueError for other forms, for times of day and for days that the calendar does not have.
    """
    match = DAY.fullmatch(normalise(text).replace(" 年", "年"))
    if match is None:
        raise ValueError(f"{mask(text)!r} is not a day: write it as 2025-07-01.")
    year, month, day_of_month = (int(part) for part in match.groups() if part and part.isdigit())
    try:
        return date(year, month, day_of_month)
    except ValueError:
        raise ValueError(f"{mask(text)!r} is not in the calendar: correct the year, month or day.") from None


def mask(text: str) -> str:
    """`text` with every run of 15 or more digits masked but for its first two: fit to be shown or logged.

    Identity numbers have 15 or 18 characters (GB 11643). Digits of any width count, and blanks, hyphens and
    zero-width characters between them do not end a run. Other long numbers are masked with them: rather too
    much is hidden than one person.
    """
    return IDENTITY_LIKE.sub(lambda run: _mask_run(run[0]), text)


def _mask_run(run: str) -> str:
    second = [at for at, character in enumerate(run) if character.isdecimal()][1]
    return run[: second + 1] + re.sub(r"[\dXxＸｘ]", "*", run[second + 1 :])
