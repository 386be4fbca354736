"""A fact: what one source reports about one entity, before anything is decided about it.

A fact's identity is (business key, valid_from). `fields` holds only what the source mentions: an absent
path is inherited from what is known, a path with the value None is stated as unknown.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date

from repository.decisions.timeline import BEGINNING, FOREVER
from repository.kinds.rules import Violation

PATH = re.compile(r"^(?P<array>\w+)\[(?P<item>[^\]]+)\](?:\.(?P<cell>\w+))?$")
"""An array path: `offers[YRD050101].capacity` is one cell, `offers[YRD050101]` the whole entry."""


@dataclass(frozen=True, slots=True)
class Authority:
    """On what the fact rests; None is not mentioned."""

    doc_no: str | None = None
    authority: str | None = None
    published_on: date | None = None


@dataclass(frozen=True, slots=True)
class Fact:
    """One reported fact. `valid_from` None: no start is stated; `stated_to` is exclusive, None: no end is stated."""

    kind: str
    business_key: str
    valid_from: date | None
    fields: Mapping[str, object]
    source: str
    stated_to: date | None = None
    rests_on: Authority = Authority()
    operator: str | None = None
    reason: str | None = None
    data_level: int = 1
    flags: tuple[str, ...] = field(default=())


def refuse_empty(business_key: str, valid_from: date | None, stated_to: date | None) -> None:
    """Raise Violation where an interval holds no day, the last day there is counting as the end of time."""
    start = valid_from or BEGINNING
    if start >= (stated_to or FOREVER):
        raise Violation(
            f"The interval of {business_key} from {start} to {stated_to} holds no day; the end comes after the start."
        )
