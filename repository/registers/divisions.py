"""Division register 行政区划: the codes and names of Shanghai, Jiangsu, Zhejiang and Anhui since 1981.

Codes follow GB/T 2260; a code abolished names its successors. Years of use are those of yescallop/areacodes
(CC0-1.0), compiled from the yearly tables of the Ministry of Civil Affairs: a code counts as abolished from
1 January of its last year. The 24 statistical areas (xx7x, development zones 开发区) stand in the tables of
the National Bureau of Statistics and not in GB/T 2260; they are listed as of September 2023
(modood/Administrative-divisions-of-China, WTFPL).

Shanghai, 310000, is both a province and the 41st city; 310100 and 310200 are fillers for it.

    DivisionError            every refusal below; a ValueError
    |- UnknownDivision       the register has no such code or name
    |- AmbiguousDivision     several divisions bear the name
    `- DivisionSplit         the division was abolished and has several successors
"""

import csv
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import date
from functools import cache, lru_cache
from pathlib import Path

from repository.registers.text import mask, normalise

SHANGHAI = "310000"
FILLERS = {"310100": SHANGHAI, "310200": SHANGHAI}
LEVELS = ("country", "province", "city", "county", "statistical")
COUNTY = LEVELS.index("county")
NOW = 9999
"""The year that no day given means: later than every change, so that only what is in use now is in use."""


class DivisionError(ValueError):
    """A division that cannot be told."""


class UnknownDivision(DivisionError):
    """The register has no such code or name."""

    def __init__(self, text: str, within: str = "") -> None:
        place = within.ljust(6, "0") if within else "31, 32, 33 or 34"
        super().__init__(
            f"{mask(text)!r} names no division that {place} had since 1981: give its six-digit code or its full name."
        )


class AmbiguousDivision(DivisionError):
    """Several divisions bear the name; `candidates` has their codes."""

    def __init__(self, text: str, candidates: Iterable["Division"]) -> None:
        several = sorted(candidates, key=lambda division: division.code)
        self.candidates = tuple(division.code for division in several)
        super().__init__(f"{mask(text)!r} may be {_listed(several)}: give the code, or the city it lies in.")


class DivisionSplit(DivisionError):
    """The division was abolished and has several successors, of which `successors` has the codes."""

    def __init__(self, division: "Division", successors: Iterable["Division"]) -> None:
        several = list(successors)
        self.successors = tuple(successor.code for successor in several)
        super().__init__(
            f"{division.code} {division.name} was abolished in {division.to_year} and split: "
            f"give {_listed(several)}, whichever is meant."
        )


@dataclass(frozen=True, slots=True)
class Division:
    """One name of one code over the years [from_year, to_year); to_year None: still in use."""

    code: str
    name: str
    level: str
    parent: str
    from_year: int
    to_year: int | None
    successors: tuple[str, ...]

    def in_use(self, year: int) -> bool:
        return self.from_year <= year and not self.ended(year)

    def ended(self, year: int) -> bool:
        return self.to_year is not None and self.to_year <= year

    @property
    def city_code(self) -> str | None:
        """The city it is or lies in; None above cities and for counties directly under a province."""
        if self.code.startswith(SHANGHAI[:2]):
            return SHANGHAI
        if self.level == "city":
            return self.code
        return None if self.parent.endswith("0000") else self.parent or None

    @property
    def province_code(self) -> str | None:
        return None if self.level == "country" else f"{self.code[:2]}0000"


@dataclass(frozen=True, slots=True)
class Resolved:
    """A division told from a source's words; `flags` are the doubts that go into an event's `flags`.

    division_abolished: the source named a predecessor; division_statistical: not a GB/T 2260 division;
    division_by_address: read from an address.
    """

    code: str
    name: str
    level: str
    city_code: str | None
    province_code: str | None
    flags: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Register:
    """Every division since 1981, by code (its names in order of time), by name and by name without suffix."""

    by_code: Mapping[str, tuple[Division, ...]]
    by_name: Mapping[str, tuple[Division, ...]]
    by_short_name: Mapping[str, tuple[Division, ...]]


@cache
def register() -> Register:
    """The register, read once per process from divisions.csv."""
    divisions = [_division(row) for row in _rows("divisions.csv")]
    return Register(
        _index((division.code, division) for division in divisions),
        _index((division.name, division) for division in divisions),
        _index((short, division) for division in divisions for short in short_names(division)),
    )


def resolve(text: str, on: date | None = None, within: str | None = None) -> Resolved:
    """The division that `text` names, as it stood on day `on`; None: as it stands now.

    `text` is a code of 6 digits, a short one of 2 or 4, one of 9 or 12 (a township or village: its county),
    or a name, with or without 省 市 区 县, alone or after those of its province and city. A name is looked
    for in the province or city `within`; without its suffix it means the city rather than a county of it.
    A code abolished by then gives way to its one successor, flagged; a code not yet in use then is kept.

    Raises UnknownDivision, AmbiguousDivision or DivisionSplit.
    """
    return _resolve(normalise(text).replace(" ", ""), on.year if on else NOW, scope(within))


def cities() -> list[tuple[str, str]]:
    """Code and name of the 41 cities in use, Shanghai among them, in order of code."""
    in_use = (division for division in _divisions() if division.in_use(NOW))
    return [(each.code, each.name) for each in in_use if each.level == "city" or each.code == SHANGHAI]


def city_of(code: str) -> str | None:
    """The city in use today that the division `code` is or lies in; None for a province but Shanghai.

    Raises UnknownDivision, and DivisionSplit where the successors of an abolished division must be asked.
    """
    own = _standing(code, NOW).city_code
    return own if own is None or register().by_code[own][-1].in_use(NOW) else resolve(code).city_code


def is_known(code: str) -> bool:
    """Whether citizen numbers may begin with `code`: a county-level code anywhere in China since 1981.

    Cities without any county (441900 东莞) lend their own code, and those whose centre was no district, as
    湖州 from 1988 to 2003, the code of 市辖区 (330501).
    """
    return code in _county_codes()


def scope(within: str | None) -> str:
    """The digits that all codes in the division `within` begin with: 33, 3301; empty for no limit."""
    if within is None:
        return ""
    code = within if within.isdecimal() else resolve(within).code
    code = FILLERS.get(_six_digits(code), _six_digits(code))
    return code.removesuffix("00").removesuffix("00").removesuffix("00")


def short_names(division: Division) -> tuple[str, ...]:
    """The name without its suffix, where that leaves two characters: 杭州, 浦东; also 景宁县 and 景宁."""
    if division.level == "statistical" or division.name.endswith("地区"):
        return ()
    if division.name.endswith("畲族自治县"):
        stem = division.name.removesuffix("畲族自治县")
        return (f"{stem}县", stem)
    stem = division.name.removesuffix("新区") if division.name.endswith("新区") else division.name[:-1]
    return (stem,) if len(stem) > 1 else ()


@lru_cache(maxsize=65536)
def _resolve(name: str, year: int, prefix: str) -> Resolved:
    if name.isascii() and name.isdecimal():
        return _followed(_standing(name, year), year)
    found = _by_name(name, year, prefix) or _by_path(name, year, prefix)
    if found is None:
        raise UnknownDivision(name, prefix)
    return found


def _by_name(name: str, year: int, prefix: str) -> Resolved | None:
    for index in (register().by_name, register().by_short_name):
        if divisions := [division for division in index.get(name, ()) if division.code.startswith(prefix)]:
            return _choose(name, _at_the_time(divisions, year), year, prefix)
    return None


def _by_path(name: str, year: int, prefix: str) -> Resolved | None:
    """A name after the names of the divisions above it: 浙江省杭州市西湖区, 徐州鼓楼."""
    for cut in range(len(name) - 1, 1, -1):
        for above in _above_counties(name[:cut]):
            inside = scope(above.code)
            if inside.startswith(prefix):
                found = _by_name(name[cut:], year, inside) or _by_path(name[cut:], year, inside)
                if found:
                    return found
    return None


def _above_counties(name: str) -> Iterator[Division]:
    for index in (register().by_name, register().by_short_name):
        yield from (each for each in index.get(name, ()) if each.level in ("province", "city"))


def _at_the_time(divisions: list[Division], year: int) -> list[Division]:
    """Those in use in `year`; else those ended by then, the last of each line; else those yet to come."""
    if in_use := [division for division in divisions if division.in_use(year)]:
        return in_use
    if ended := [division for division in divisions if division.ended(year)]:
        return [division for division in ended if not any(_became(division, other) for other in ended)]
    return [division for division in divisions if division.in_use(NOW)] or divisions


def _choose(name: str, divisions: list[Division], year: int, prefix: str) -> Resolved:
    inside_city = [division for division in divisions if len(prefix) == 4 and scope(division.code) != prefix]
    divisions = inside_city or divisions
    highest = min(LEVELS.index(division.level) for division in divisions)
    divisions = [division for division in divisions if LEVELS.index(division.level) == highest]
    if len({_end(division, year) for division in divisions}) > 1:
        raise AmbiguousDivision(name, divisions)
    return _followed(divisions[0], year)


def _became(division: Division, later: Division) -> bool:
    """Whether `later` is among the successors of `division`, or theirs."""
    heirs = [_standing(code, division.to_year or NOW) for code in division.successors]
    return any(heir == later or _became(heir, later) for heir in heirs)


def _end(division: Division, year: int) -> str:
    try:
        return _followed(division, year).code
    except DivisionSplit:
        return division.code


def _standing(code: str, year: int) -> Division:
    """The latest name that `code` had begun to bear by `year`; else its first one."""
    six = _six_digits(code)
    names = register().by_code.get(FILLERS.get(six, six))
    if names is None:
        return _unlisted_area(six, code)
    return next((division for division in reversed(names) if division.from_year <= year), names[0])


def _unlisted_area(six: str, code: str) -> Division:
    """A statistical area (xx7x) that a census names and the register does not: its city is known, its name is not."""
    city = register().by_code.get(six[:4] + "00")
    if city is None or len(six) != 6 or not six.isdecimal() or six[4] != "7":
        raise UnknownDivision(code)
    return Division(six, six, "statistical", city[-1].code, city[-1].from_year, None, ())


def _six_digits(code: str) -> str:
    return code.ljust(6, "0") if len(code) in (2, 4) else code[:6] if len(code) in (6, 9, 12) else code


def _followed(named: Division, year: int) -> Resolved:
    """`named`, or what it had become by `year`."""
    division = named
    while division.ended(year):
        if len(division.successors) != 1:
            raise DivisionSplit(division, [_standing(code, year) for code in division.successors])
        division = _standing(division.successors[0], year)
    abolished = () if division.code == named.code else ("division_abolished",)
    statistical = ("division_statistical",) if division.level == "statistical" else ()
    city, province = division.city_code, division.province_code
    return Resolved(division.code, division.name, division.level, city, province, abolished + statistical)


@cache
def _county_codes() -> frozenset[str]:
    counties = [division for division in _divisions() if division.level == "county"]
    centres = {f"{code[:4]}01" for county in counties for code in county.successors if code.endswith("00")}
    elsewhere = {f"{row['prefecture']}{county}" for row in _rows("counties_elsewhere.csv") for county in row["counties"].split()}
    return frozenset({county.code for county in counties} | centres | elsewhere)


def _divisions() -> Iterator[Division]:
    return (division for names in register().by_code.values() for division in names)


def _division(row: Mapping[str, str]) -> Division:
    successors = tuple(code for code in row["successors"].split(";") if code and "[" not in code)
    from_year, to_year = int(row["from_year"] or 0), int(row["to_year"]) if row["to_year"] else None
    return Division(row["code"], row["name"], row["level"], row["parent"], from_year, to_year, successors)


def _rows(name: str) -> list[dict[str, str]]:
    with Path(__file__).with_name(name).open(encoding="utf-8", newline="") as table:
        return list(csv.DictReader(table))


def _index(pairs: Iterable[tuple[str, Division]]) -> dict[str, tuple[Division, ...]]:
    index: dict[str, list[Division]] = {}
    for key, division in pairs:
        index.setdefault(key, []).append(division)
    return {key: tuple(divisions) for key, divisions in index.items()}


def _listed(divisions: Iterable[Division]) -> str:
    return " or ".join(f"{division.code} {_place(division)}{division.name}" for division in divisions)


def _place(division: Division) -> str:
    above = register().by_code.get(division.parent)
    return "" if above is None or above[-1].level != "city" else above[-1].name


GENERIC = frozenset(("城区", "郊区", "矿区", "东市区", "中市区", "西市区"))
"""Divisions of several cities at one time, and common words everywhere: they count only after a city."""

NOT_A_NAME = re.compile(
    r"[东南西北中]?路(?![南北桥])|街(?![道亭])|大街|大道|巷|弄|(?<=区)域|(?<=市)场|(?<=市)民(?:大道|广场|中心)"
)
"""What, directly after a name, makes it part of another: 鄞县大道, 义乌市场, 上虞市民大道, 江北区域."""

SUFFIX = re.compile("[省市区县]")
LONGEST_NAME = 13


def locate(address: str, within: str, on: date | None = None) -> Resolved | None:
    """The most specific division of `within` (a province or city) that a free-text `address` names, flagged.

    Only full names count, so that 南京东路 and 中山路 name nothing; a bare province or city name counts
    directly before a full one (杭州西湖区). Of names in one another the longest is meant; after a city, only
    divisions of it. Names are resolved as by resolve(); a county split by day `on` gives the city that all
    of it is in, a name that stays ambiguous is passed over. None where no division is named.
    """
    named = _named_in(normalise(address).replace(" ", ""), scope(within), on.year if on else NOW)
    best = max(named, key=lambda division: min(LEVELS.index(division.level), COUNTY), default=None)
    return best and replace(best, flags=(*best.flags, "division_by_address"))


def _named_in(text: str, prefix: str, year: int) -> list[Resolved]:
    named: list[Resolved] = []
    end = 0
    for suffix in SUFFIX.finditer(text):
        start = _start_of_name(text[: suffix.end()], end, prefix)
        if start is None or NOT_A_NAME.match(text, suffix.end()):
            continue
        inside = _directly_before(text[end:start], prefix)
        division = _told(text[start : suffix.end()], year, prefix, inside)
        if division is None:
            continue
        if inside is not None and named and named[-1].level == division.level == "county":
            named.pop()  # 巢湖市庐江县: the first was a city once, and the county after it is meant
        named.append(division)
        end = suffix.end()
        prefix = prefix if division.level == "county" else scope(division.code)
    return named


def _start_of_name(text: str, earliest: int, prefix: str) -> int | None:
    """Where the longest name that `text` ends with starts."""
    indexes = (register().by_name, register().by_short_name)
    for start in range(max(earliest, len(text) - LONGEST_NAME), len(text) - 1):
        if any(each.code.startswith(prefix) for index in indexes for each in index.get(text[start:], ())):
            return start
    return None


def _directly_before(words: str, prefix: str) -> str | None:
    """The scope left by the words before a name: none, or a bare province and city. None for other words."""
    province = short_names(_standing(prefix[:2] or "00", NOW))
    bare = words.removeprefix("中国").removeprefix("".join(province))
    inside = [each for each in register().by_short_name.get(bare, ()) if each.code.startswith(prefix)]
    return prefix if not bare else next((scope(each.code) for each in inside if each.level == "city"), None)


def _told(name: str, year: int, prefix: str, inside: str | None) -> Resolved | None:
    """What `name` names there; None where it is no name there, or too common a word for its place."""
    if (len(name) == 2 and inside is None) or (name in GENERIC and len(inside or "") != 4):
        return None
    try:
        return _resolve(name, year, inside or prefix)
    except DivisionSplit as split:
        above = {city_of(code) for code in split.successors}
        return _resolve(above.pop() or SHANGHAI, year, "") if len(above) == 1 else None
    except DivisionError:
        return None
