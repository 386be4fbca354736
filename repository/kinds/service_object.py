"""Service object 服务对象: who is served. A person under a pseudonym, or a population group that was counted."""

import re
from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

from repository.kinds.rules import Person, Rules, Violation
from schemas.contracts import code_list, field_at

KIND = "service_object"
REGISTERED = "SubjectRegistered"
COUNTED = "PopulationCounted"
FACTS = (REGISTERED, COUNTED, "SubjectDeregistered", "EnrolmentOpened", "EnrolmentClosed", "SubjectMoved", "SubjectChanged")

BAND = re.compile(r"(?:age|male|female)_(0|[1-9]\d{0,2})_(plus|0|[1-9]\d{0,2})")


@cache
def _plain_groups() -> tuple[str, ...]:
    stated = code_list(field_at(KIND, "group_code").doc)
    return stated.codes if stated is not None else ()


def is_group_code(text: str) -> bool:
    """Whether a text is a population group: a code that group_code's doc names, or a band of completed years.

    Bands are age_, male_ or female_ with LOW_HIGH (both included, LOW not above HIGH) or LOW_plus.
    """
    if text in _plain_groups():
        return True
    band = BAND.fullmatch(text)
    return band is not None and (band[2] == "plus" or int(band[1]) <= int(band[2]))


def name(before: Mapping[str, Any], after: Mapping[str, Any], changed: Sequence[str]) -> str:
    """The fact that leads from one state to another; of a group it is always that it was counted."""
    if after["subject_type"] == "population_group":
        return COUNTED
    if (before["status"], after["status"]) == ("active", "deregistered"):
        return "SubjectDeregistered"
    if (before["status"], after["status"]) == ("deregistered", "active"):
        return REGISTERED
    return _enrolment_fact(before, after) or ("SubjectMoved" if "division_code" in changed else "SubjectChanged")


def _first(state: Mapping[str, Any]) -> str:
    return COUNTED if state["subject_type"] == "population_group" else REGISTERED


def _enrolment_fact(before: Mapping[str, Any], after: Mapping[str, Any]) -> str | None:
    old, new = ({e["item_code"] for e in state["enrolments"]} for state in (before, after))
    if new - old:
        return "EnrolmentOpened"
    return "EnrolmentClosed" if old - new else None


def check(state: Mapping[str, Any]) -> None:
    """Raise Violation where the state can't be: a group without its code, a person without token, a share over 100."""
    if state["subject_type"] == "population_group":
        _check_group(state)
    elif state["subject_type"] == "person" and not state["subject_token"]:
        raise Violation("A person needs a subject_token; identity numbers never enter the log.")


def _check_group(state: Mapping[str, Any]) -> None:
    group, persons, share = state["group_code"], state["persons"], state["share"]
    if not group or not is_group_code(group):
        raise Violation(f'"{group}" is no group code; use total, male, female, urban, rural, household or an age band.')
    if persons is not None and persons < 0:
        raise Violation(f"{persons} persons in group {group}; a count can't be below 0.")
    if share is not None and not 0 <= share <= 100:
        raise Violation(f"A share of {share} percent in group {group}; it lies between 0 and 100.")


RULES = Rules(
    KIND,
    _first,
    FACTS,
    name,
    check,
    ended={"status": "deregistered"},
    still=("status", "active"),
    status_key="service_objects",
    reads=("subject_type", "subject_token", "group_code", "persons", "share"),
    first_reads=("subject_type",),
    listing_implies_still=False,
    absence_ends=False,
    person=Person(token="subject_token", only=("subject_type", "person"), nobody=("population_group",), token_is_key=True),
    codes={"group_code": (is_group_code, "a group such as total, age_65_plus or male_60_64")},
)
