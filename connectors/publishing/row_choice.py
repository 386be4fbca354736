"""Which rows of a chunk count: blank rows, rows the profile skips and rows of other publishers do not."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache

import polars as pl

from connectors.profiles.parts import Publisher, Skip
from connectors.profiles.profile import Profile
from repository.registers import divisions

BLANK = "blank"
ELSEWHERE = "of another publisher"
UNKNOWN = "of a place outside the division register"


@dataclass(frozen=True, slots=True)
class Choice:
    """`kept` is None where every row counts; `bad` gives, per kept row, why its publisher cannot be told (or null)."""

    kept: pl.Series | None = None
    skipped: Mapping[str, int] = field(default_factory=dict)
    bad: pl.Series | None = None


def choose(profile: Profile, publisher: str, whole: pl.DataFrame, clean: pl.DataFrame) -> Choice:
    """The rows of `clean` (the profile's columns, normalised) that count; `whole` has all columns of the dump."""
    whys = [*(_skips(skip, clean[skip.column]) for skip in profile.skips), *_blank(whole, clean)]
    bad = None
    if profile.publisher is not None:
        skip, bad = _verdicts(profile.publisher, clean[profile.publisher.column], publisher)
        whys += [pl.lit(skip)] if skip is not None else []
    if not whys:
        return Choice(bad=bad)
    why = clean.select(pl.coalesce(whys).alias("why"))["why"]
    kept = why.is_null()
    counts = dict(why.drop_nulls().value_counts().sort("why").iter_rows())
    return Choice(kept, counts, None if bad is None else bad.filter(kept))


def _skips(skip: Skip, cells: pl.Series) -> pl.Expr:
    named = set(skip.values)
    if skip.pattern:
        named |= {cell for cell in cells.drop_nulls().unique() if re.search(skip.pattern, cell)}
    matches = cells.is_in(sorted(named)).fill_null(skip.empty)
    return pl.when(pl.lit(matches)).then(pl.lit(skip.because))


def _blank(whole: pl.DataFrame, clean: pl.DataFrame) -> list[pl.Expr]:
    """The word blank for rows without any text; only rows blank in the profile's columns are looked at in full."""
    candidates = clean.select(pl.all_horizontal(pl.all().is_null())).to_series()
    if not candidates.any():
        return []
    bare = pl.all().is_null() | (pl.all().str.strip_chars() == "")
    blank = candidates & whole.select(pl.all_horizontal(bare)).to_series()
    return [pl.when(pl.lit(blank)).then(pl.lit(BLANK))]


def _verdicts(rule: Publisher, places: pl.Series, publisher: str) -> tuple[pl.Series | None, pl.Series | None]:
    """For each row why it is skipped, and why its publisher cannot be told; None where that holds for no row."""
    judged = {place: _verdict(rule, place, publisher) for place in places.unique()}
    skips = {place: skip for place, (skip, _) in judged.items() if skip is not None}
    bads = {place: bad for place, (_, bad) in judged.items() if bad is not None}
    return _reasons(places, skips), _reasons(places, bads)


def _reasons(places: pl.Series, reasons: Mapping[str | None, str]) -> pl.Series | None:
    if not reasons:
        return None
    given = pl.Series(list(reasons), dtype=pl.String)
    return places.replace_strict(given, list(reasons.values()), default=None, return_dtype=pl.String)


def _verdict(rule: Publisher, place: str | None, publisher: str) -> tuple[str | None, str | None]:
    if place is None:
        return None, f"is empty, so the row belongs to no publisher; fill in {rule.column!r}."
    try:
        return (None if _owner(rule.by, place) == publisher else ELSEWHERE, None)
    except divisions.UnknownDivision as error:
        # Every place outside the four provinces is unknown to the register.
        return (UNKNOWN, None) if rule.unresolved == "skip" else (None, str(error))
    except ValueError as error:
        return None, str(error)


@lru_cache(maxsize=10_000)
def _owner(by: str, place: str) -> str:
    """Publisher of a place: the first two digits of its province, 00 for the whole country."""
    if by == "name" and not place.isdecimal():
        return (divisions.resolve(place).province_code or "00")[:2]
    code = place.removesuffix(".0")
    if by == "name" or not code.isdecimal() or len(code) not in (2, 4, 6, 9, 12):
        raise ValueError(f"{place!r} is not a division's {by}, from which the publisher is told; correct the cell.")
    return code[:2]
