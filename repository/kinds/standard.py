"""Standard 服务标准: what is promised, at which level, where, and on which document."""

from collections.abc import Mapping, Sequence
from typing import Any

from repository.kinds.rules import Rules, Violation

KIND = "standard"
PUBLISHED = "StandardPublished"
FACTS = (PUBLISHED, "StandardRepealed", "StandardRevised")


def name(before: Mapping[str, Any], after: Mapping[str, Any], _changed: Sequence[str]) -> str:
    """The fact that leads from one state to another; a repealed standard that holds again is published anew."""
    if (before["status"], after["status"]) == ("in_force", "repealed"):
        return "StandardRepealed"
    if (before["status"], after["status"]) == ("repealed", "in_force"):
        return PUBLISHED
    return "StandardRevised"


def check(state: Mapping[str, Any]) -> None:
    """Raise Violation where the state can't be: a range without ends, or with its ends exchanged."""
    low, high = state["value"], state["value_max"]
    if state["comparator"] == "range" and (low is None or high is None):
        raise Violation("A range needs both value and value_max.")
    if low is not None and high is not None and low > high:
        raise Violation(f"The range from {low} to {high} is empty; the lower end comes first.")
    if state["comparator"] == "derived" and not state["derived_from"]:
        raise Violation("A derived standard needs derived_from, the business key of the standard it is a multiple of.")


RULES = Rules(
    KIND,
    lambda state: PUBLISHED,
    FACTS,
    name,
    check,
    ended={"status": "repealed"},
    still=("status", "in_force"),
    status_key="standards",
    reads=("comparator", "value", "value_max", "derived_from"),
)
