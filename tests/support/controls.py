"""Named examples: facts as sources report them. Institutions are invented, persons are pseudonyms in divisions that don't exist."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import date
from decimal import Decimal

from repository.decisions.facts import Authority, Fact

BEDS = "YRD050101"
"""Residential care for the elderly, in the regional list."""
EMPLOYEE_MEDICAL, RESIDENT_MEDICAL = "NBPS041101", "NBPS041102"
UNEMPLOYMENT_INSURANCE, INJURY_INSURANCE = "NBPS030901", "NBPS030902"
LIVING_ALLOWANCE = "NBPS071701"
BANDS = tuple(f"{sex}_{band}" for sex in ("male", "female") for band in ("60_64", "65_69", "70_74", "75_79", "80_84", "85_plus"))
OCTOBER = date(2026, 10, 1)
"""The day asked about where any will do."""
NANJING, HANGZHOU, SHANGHAI = "320100", "330100", "310000"
CENSUS_2010, CENSUS_2020 = date(2010, 11, 1), date(2020, 11, 1)


def home(
    name: str,
    division: str,
    beds: int | None = None,
    since: date | None = date(2026, 2, 1),
    flags: tuple[str, ...] = (),
    **fields: object,
) -> Fact:
    """A nursing home as a listing shows it; `beds` None: the listing gives none."""
    offer = {f"offers[{BEDS}].capacity": beds, f"offers[{BEDS}].unit": "bed"}
    stated = {"provider_name": name, "category": "nursing_home", "division_code": division, **offer, **fields}
    return Fact("supply", f"{division}|{name}", since, stated, "listing of homes", flags=flags)


CLOVER_HOME = home("三叶草敬老院", "320106", 120)
MAPLE_HOME = home("枫叶颐养院", "320114", 80)
QUIET_HOME = home("静园护理院", "320104")
"""A home that states no number of beds."""


def counted(division: str, group: str, persons: int | None, on: date = CENSUS_2020, share: str | None = None) -> Fact:
    """A population group as a census counts it."""
    fields = {"subject_type": "population_group", "division_code": division, "group_code": group, "persons": persons}
    stated = fields | {"share": None if share is None else Decimal(share)}
    return Fact("service_object", f"{division}|{group}", on, stated, "census")


def enrolled(token: str, division: str, items: Mapping[str, str], since: date) -> Fact:
    """A person, known by a pseudonym alone, and the pooling areas of the schemes the person is enrolled in."""
    entries = {f"enrolments[{item}].division_code": area for item, area in items.items()}
    stated = {"subject_type": "person", "subject_token": token, "division_code": division, **entries}
    return Fact("service_object", token, since, stated, "enrolment register", data_level=3)


PERSON_A, PERSON_B, PERSON_C = (f"t1:{digit * 64}" for digit in "abc")


def amount(
    division: str,
    level: str,
    value: str | None,
    since: date | None = date(2026, 1, 1),
    key: str = "living allowance",
    stated_to: date | None = None,
    rests_on: Authority | None = None,
    **fields: object,
) -> Fact:
    """A standard that promises an amount in CNY per person and month, unless `fields` say otherwise."""
    stated = {
        "item_code": LIVING_ALLOWANCE,
        "item_name": "最低生活保障",
        "level": level,
        "division_code": division,
        "metric": "amount",
        "comparator": "eq",
        "value": None if value is None else Decimal(value),
        "unit": "CNY_per_person",
        "period": "month",
    }
    on = rests_on or Authority()
    return Fact("standard", f"{division}|{key}", since, stated | fields, "standards", stated_to=stated_to, rests_on=on)


def _benefit(value: str, since: date, stated_to: date | None, rests_on: Authority) -> Fact:
    tier = {"item_code": None, "item_name": "失业保险金支付标准", "variant": "第1-12个月", "unit": "CNY"}
    return amount("310000", "provincial", value, since, "失业保险金支付标准·第1-12个月", stated_to, rests_on, **tier)


_BUREAU = "上海市人力资源和社会保障局"
BENEFIT_2024 = _benefit("2255", date(2024, 7, 1), date(2025, 7, 1), Authority("沪人社规〔2024〕13号", _BUREAU))
"""Unemployment benefit of Shanghai 失业保险金, months 1 to 12, in the notices of 2024, 2025 and 2026 (rsj.sh.gov.cn).

That of 2024 is known to have ended on 30 June 2025. The notice of 2025 states that it holds to 30 June 2027; that of 2026
took its place from 1 July 2026, published a day later.
"""
BENEFIT_2025 = _benefit("2305", date(2025, 7, 1), date(2027, 7, 1), Authority("沪人社规〔2025〕9号", _BUREAU, date(2025, 7, 4)))
BENEFIT_2026 = _benefit("2340", date(2026, 7, 1), date(2028, 7, 1), Authority("沪人社规〔2026〕7号", _BUREAU, date(2026, 7, 2)))


def at_place(fact: Fact, longitude: float, latitude: float, system: str | None) -> Fact:
    """The fact with coordinates in the datum named; None: the source doesn't say which."""
    place = {"longitude": longitude, "latitude": latitude, "coordinate_system": system}
    return replace(fact, fields={**fact.fields, **place})
