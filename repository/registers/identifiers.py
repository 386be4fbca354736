"""Identity numbers of persons (GB 11643-1999) and credit codes of organisations (GB 32100-2015).

A number either comes back in its one normalised form or is refused with one sentence. No message shows a
person's number, and no result shows it when printed.

    IdentifierError          every refusal below; a ValueError
    |- WrongShape              too long, too short, or characters that do not belong there
    |- WrongCheckCharacter     mistyped: the last character does not follow from the others
    |- UnknownFirstDivision    the first six digits never were a county (GB/T 2260)
    |- ImpossibleBirthDate     a day that is not in the calendar, in the future, or too long ago
    `- UnknownIdType           a kind of identity document that is not in the code list
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta, timezone
from operator import mul

from repository.registers.divisions import is_known
from repository.registers.text import mask, normalise

__all__ = [
    "CitizenNumber",
    "IdentifierError",
    "Identity",
    "ImpossibleBirthDate",
    "UnknownFirstDivision",
    "UnknownIdType",
    "WrongCheckCharacter",
    "WrongShape",
    "citizen_number",
    "credit_code",
    "identity",
    "mask",
]

CITIZEN_SHAPE = re.compile(r"[0-9]{17}[0-9X]")
OLD_CITIZEN_SHAPE = re.compile(r"[0-9]{15}")
CITIZEN_WEIGHTS = (7, 9, 10, 5, 8, 4, 2, 1, 6, 3, 7, 9, 10, 5, 8, 4, 2)
CITIZEN_CHECKS = "10X98765432"
"""GB 11643-1999 (ISO 7064, MOD 11-2): the check character by the weighted sum modulo 11."""

SYNTHETIC_DIVISIONS = frozenset(("319999", "329999", "349999"))
"""Codes that no division ever had: numbers made up under them can be nobody's."""

RESIDENCE_PERMITS = frozenset(("810000", "820000", "830000"))
"""Begin of the numbers on residence permits of people from Hong Kong, Macao and Taiwan (港澳台居民居住证)."""

CREDIT_ALPHABET = "0123456789ABCDEFGHJKLMNPQRTUWXY"
CREDIT_SHAPE = re.compile(rf"[{CREDIT_ALPHABET}]{{2}}[0-9]{{6}}[{CREDIT_ALPHABET}]{{10}}")
CREDIT_WEIGHTS = (1, 3, 9, 27, 19, 26, 16, 17, 20, 29, 25, 13, 8, 24, 10, 30, 28)
"""GB 32100-2015: 31 characters, none of I O S V Z; weights 3^i modulo 31."""

PERMANENT_RESIDENT_SHAPE = re.compile(r"9[0-9]{16}[0-9X]|[A-Z]{3}[0-9]{12}")
OTHER_SHAPE = re.compile(r"[A-Z0-9()/.]{4,40}")

LONGEST_LIFE = timedelta(days=150 * 366)
CHINA = timezone(timedelta(hours=8))


class IdentifierError(ValueError):
    """A number that cannot stand for anyone."""


class WrongShape(IdentifierError):
    """Too long, too short, or with characters that do not belong there."""


class WrongCheckCharacter(IdentifierError):
    """The check character does not follow from the others. `code` has a credit code, and is None for persons.

    Some credit codes in real use fail the check: a caller may keep `code` and flag it uscc_check_digit.
    """

    def __init__(self, message: str, code: str | None = None) -> None:
        super().__init__(message)
        self.code = code


class UnknownFirstDivision(IdentifierError):
    """The first six digits never were a county-level division."""


class ImpossibleBirthDate(IdentifierError):
    """The date of birth in the number is none."""


class UnknownIdType(IdentifierError):
    """No such kind of identity document."""


@dataclass(frozen=True, slots=True)
class CitizenNumber:
    """A valid number of 18 characters and what it says. `sex` follows GB/T 2261.1: 1 male, 2 female.

    `division_code` is where the number was first given out; it does not change when its holder moves.
    `id_type` is citizen_number or hmt_residence_permit.
    """

    number: str = field(repr=False)
    division_code: str
    birth_date: date = field(repr=False)
    sex: str
    id_type: str


@dataclass(frozen=True, slots=True)
class Identity:
    """A kind of identity document and its normalised number, as a token is made from."""

    id_type: str
    number: str = field(repr=False)


def citizen_number(text: str, on: date | None = None, synthetic: bool = False) -> CitizenNumber:
    """The citizen number (公民身份号码) in `text`, of 18 or of 15 characters, by GB 11643-1999.

    Full-width digits, a small x, blanks and hyphens are accepted. A number of 15 digits becomes one of 18,
    born in the 1900s. The division must have been a county since 1981, anywhere in China; `synthetic` admits
    the codes kept for made-up numbers too. Birth must not be after day `on` (None: today in China).

    Raises WrongShape, UnknownFirstDivision, ImpossibleBirthDate or WrongCheckCharacter.
    """
    number = _eighteen(_compact(text))
    _refuse_unknown_division(number, synthetic)
    birth_date = _birth_date(number, on or datetime.now(CHINA).date())
    if number[17] != _citizen_check(number[:17]):
        raise WrongCheckCharacter(
            f"The last character of identity number {_hidden(number)} does not follow from the others: "
            "compare the number with the document."
        )
    permit = number[:6] in RESIDENCE_PERMITS
    id_type = "hmt_residence_permit" if permit else "citizen_number"
    return CitizenNumber(number, number[:6], birth_date, "1" if int(number[16]) % 2 else "2", id_type)


def credit_code(text: str) -> str:
    """The unified social credit code (统一社会信用代码) in `text`, by GB 32100-2015: 18 capitals and digits.

    Raises WrongShape, or WrongCheckCharacter with the code in its `code`.
    """
    code = _compact(text)
    if not CREDIT_SHAPE.fullmatch(code):
        raise WrongShape(
            f"{_hidden(code)!r} is not a credit code: it takes 18 digits and letters, no I, O, S, V or Z, "
            "and only digits from the third to the eighth."
        )
    if code[17] != _credit_check(code[:17]):
        raise WrongCheckCharacter(
            f"The last character of credit code {_hidden(code)} does not follow from the others: "
            "compare the code with the certificate, or keep it flagged uscc_check_digit.",
            code,
        )
    return code


def identity(id_type: str, text: str, on: date | None = None, synthetic: bool = False) -> Identity:
    """The kind and normalised number of any identity document; the kinds are those of ID_TYPES.

    A citizen number and a residence permit are told apart by the number itself, so that one person's number
    is one identity whichever of the two a source calls it. The number of a foreign permanent resident begins
    with 9 (18 characters), or is the older one of three letters and twelve digits; its check is not verified.

    Raises UnknownIdType, or as citizen_number().
    """
    if id_type not in ID_TYPES:
        kinds = ", ".join(ID_TYPES)
        raise UnknownIdType(f"{mask(id_type)!r} is no kind of identity document: take one of {kinds}.")
    shape = ID_TYPES[id_type]
    if shape is None:
        citizen = citizen_number(text, on, synthetic)
        return Identity(citizen.id_type, citizen.number)
    number = _compact(text)
    if not shape.fullmatch(number):
        raise WrongShape(f"{_hidden(number)!r} is no number of kind {id_type}: compare it with the document.")
    return Identity(id_type, number)


ID_TYPES: dict[str, re.Pattern[str] | None] = {
    "citizen_number": None,
    "hmt_residence_permit": None,
    "foreign_permanent_resident": PERMANENT_RESIDENT_SHAPE,
    "other": OTHER_SHAPE,
}
"""Kinds of identity document, and the shape of their numbers where GB 11643 does not give it."""


def _compact(text: str) -> str:
    return re.sub(r"[ \-\u2010-\u2015\u2212]", "", normalise(text)).upper()


def _hidden(number: str) -> str:
    """The first two characters, and stars for the rest."""
    return number[:2] + "*" * len(number[2:])


def _eighteen(number: str) -> str:
    if CITIZEN_SHAPE.fullmatch(number):
        return number
    if not OLD_CITIZEN_SHAPE.fullmatch(number):
        raise WrongShape(f"{_hidden(number)!r} is no identity number: it takes 17 digits and one more or X, or 15 digits.")
    if number[12:] >= "996":
        raise ImpossibleBirthDate(
            f"The old number {_hidden(number)} is of those kept for people then over a hundred, "
            "so that its century is not certain: give the number of 18 characters."
        )
    seventeen = f"{number[:6]}19{number[6:]}"
    return seventeen + _citizen_check(seventeen)


def _refuse_unknown_division(number: str, synthetic: bool) -> None:
    division = number[:6]
    made_up = synthetic and division in SYNTHETIC_DIVISIONS
    if not (made_up or division in RESIDENCE_PERMITS or is_known(division)):
        raise UnknownFirstDivision(
            f"Identity number {_hidden(number)} begins with a division that never was a county: "
            "compare the number with the document."
        )


def _birth_date(number: str, on: date) -> date:
    try:
        born = date(int(number[6:10]), int(number[10:12]), int(number[12:14]))
    except ValueError:
        raise ImpossibleBirthDate(
            f"Identity number {_hidden(number)} has a date of birth that the calendar does not have: "
            "compare the number with the document."
        ) from None
    if not on - LONGEST_LIFE < born <= on:
        raise ImpossibleBirthDate(
            f"Identity number {_hidden(number)} has a date of birth after {on} or over 150 years before it: "
            "compare the number with the document."
        )
    return born


def _citizen_check(seventeen: str) -> str:
    return CITIZEN_CHECKS[_weighted(map(int, seventeen), CITIZEN_WEIGHTS) % 11]


def _credit_check(seventeen: str) -> str:
    """A sum that divides by 31 has the check character 0, hence the modulo of the difference too."""
    return CREDIT_ALPHABET[-_weighted(map(CREDIT_ALPHABET.index, seventeen), CREDIT_WEIGHTS) % 31]


def _weighted(values: Iterable[int], weights: Iterable[int]) -> int:
    return sum(map(mul, values, weights))
