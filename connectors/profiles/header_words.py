"""The words by which a draft tells each kind and its fields: words/<kind>.toml, one file per kind that has any."""

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any, Final

from schemas.contracts import FACT_KINDS

FOLDER: Final = Path(__file__).resolve().parent / "words"
LAST: Final = 1_000_000


@dataclass(frozen=True, slots=True)
class Unpivoted:
    """Columns that are one fact each: the field that tells them apart, the field of their cells, and header words by value."""

    set: str
    field: str
    words: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Words:
    """What a draft knows of one kind.

    rank      of two kinds that fit equally, the lower one is drafted
    fields    field -> words of its header; the first found wins
    evidence  columns of every kind that speak for this one
    persons   a column of identity numbers speaks for this kind
    key       choices of key, best first: fields, or "{number}", "{code}", "{place}" for such a column
    hints     field -> what to check
    extras    field -> lines that go with it; {column} is its column
    ranges    field -> which part of a range it is
    lines     "always", "of_no_person": lines at the head of the fields
    """

    rank: int = LAST
    fields: Mapping[str, str] = field(default_factory=dict)
    evidence: tuple[str, ...] = ()
    persons: bool = False
    key: tuple[tuple[str, ...], ...] = (("{number}",), ("{code}",), ("{place}",))
    hints: Mapping[str, str] = field(default_factory=dict)
    extras: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    ranges: Mapping[str, str] = field(default_factory=dict)
    lines: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    unpivot: Unpivoted | None = None


@cache
def words_of(kind: str) -> Words:
    """The words of a kind; none of its own where it has no file."""
    path = FOLDER / f"{kind}.toml"
    if not path.exists():
        return Words()
    given: dict[str, Any] = tomllib.loads(path.read_text("utf-8"))
    for name in ("extras", "lines"):
        given[name] = {key: tuple(each) for key, each in given.get(name, {}).items()}
    if "key" in given:
        given["key"] = tuple(map(tuple, given["key"]))
    if "unpivot" in given:
        given["unpivot"] = Unpivoted(**given["unpivot"])
    return Words(**given)


def ranked() -> tuple[str, ...]:
    """The kinds of facts, those first that are drafted where several fit equally."""
    return tuple(sorted(FACT_KINDS, key=lambda kind: words_of(kind).rank))
