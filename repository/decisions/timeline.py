"""The timeline of one entity: what its events add up to. Pure functions, no clock, no storage.

Every event states a whole state over a half-open interval of valid time. The read rule, the same here, in SQL and in
every as-of question: of the statements known by `k`, drop those annulled by statements known by `k`; of the rest
covering `v`, the highest version wins.

Where a new fact may stand is decided before it is recorded (`place`), so that the read rule needs no more than versions:

- a fact with no stated end reaches up to the next known segment, so that a census of 2010 imported after that of 2020
  does not hide it;
- of two stated intervals that overlap, the later published wins, then the later report;
- a fact that starts later wins over an open one that started earlier, whichever was reported first.

Facts that all leave their end open, or that all state it and differ in publication day, end in the same timeline in
whatever order they are reported. A mixture need not: an open fact reported before a stated one reappears after the
stated one ends, reported after it the open fact ends where the stated one begins.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date
from itertools import pairwise
from typing import NamedTuple

BEGINNING = date.min
"""Start of an interval whose start no source states."""
FOREVER = date.max
"""End of an interval whose end is not known."""

State = Mapping[str, object]


@dataclass(frozen=True, slots=True)
class Statement:
    """What one event says: `state` holds over [start, end). `stated` is the source's own end (exclusive), if it gives one."""

    version: int
    start: date
    end: date
    state: State
    stated: date | None = None
    published_on: date | None = None
    annuls: int | None = None
    retraction: bool = False
    source: str = ""

    def covers(self, day: date) -> bool:
        return self.start <= day < self.end


class Segment(NamedTuple):
    """A maximal stretch [start, end) of the timeline on which one statement is what is known."""

    start: date
    end: date
    statement: Statement


class Piece(NamedTuple):
    """A stretch on which a new fact may be recorded, and the segment it would replace there, if any."""

    start: date
    end: date
    under: Segment | None


def live(statements: Iterable[Statement]) -> list[Statement]:
    """The statements that count: not annulled by another of them, and stating something (a retraction states nothing)."""
    known = list(statements)
    annulled = {s.annuls for s in known if s.annuls is not None}
    return [s for s in known if s.version not in annulled and not s.retraction]


def at(statements: Iterable[Statement], day: date) -> Statement | None:
    """The read rule for one day; `statements` are those known by the moment asked about."""
    covering = [s for s in live(statements) if s.covers(day)]
    return max(covering, key=lambda s: s.version, default=None)


def resolve(statements: Iterable[Statement]) -> list[Segment]:
    """The timeline: disjoint segments in order of time; stretches about which nothing is known are absent."""
    counting = live(statements)
    cuts = sorted({s.start for s in counting} | {s.end for s in counting})
    segments: list[Segment] = []
    for start, end in pairwise(cuts):
        winner = max((s for s in counting if s.covers(start)), key=lambda s: s.version, default=None)
        if winner is not None:
            _append(segments, Segment(start, end, winner))
    return segments


def _append(segments: list[Segment], segment: Segment) -> None:
    last = segments[-1] if segments else None
    if last is not None and last.end == segment.start and last.statement is segment.statement:
        segments[-1] = Segment(last.start, segment.end, last.statement)
    else:
        segments.append(segment)


def place(segments: Sequence[Segment], start: date, stated: date | None, published_on: date | None) -> list[Piece]:
    """Where a fact from `start`, with its stated end if any, may be recorded, in order; empty when it may nowhere."""
    end = stated if stated is not None else next_start(segments, start)
    return [
        piece
        for piece in cut(segments, start, end)
        if piece.under is None or not _stands(piece.under.statement, start, published_on)
    ]


def next_start(segments: Iterable[Segment], start: date) -> date:
    """First day of the next known segment after `start`."""
    return min((s.start for s in segments if s.start > start), default=FOREVER)


def cut(segments: Iterable[Segment], start: date, end: date) -> list[Piece]:
    """[start, end) cut at the borders of the segments; each piece lies on one segment or on none."""
    pieces: list[Piece] = []
    day = start
    for segment in segments:
        if segment.end <= day or segment.start >= end:
            continue
        if segment.start > day:
            pieces.append(Piece(day, segment.start, None))
        pieces.append(Piece(max(day, segment.start), min(end, segment.end), segment))
        day = min(end, segment.end)
    if day < end:
        pieces.append(Piece(day, end, None))
    return pieces


def _stands(known: Statement, start: date, published_on: date | None) -> bool:
    """Whether a known statement holds against a new fact from `start` that would cover it."""
    if known.stated is None and known.start != start:
        # An open statement yields to what starts later; one that starts later itself yields only to a later document.
        return known.start > start and not _later(published_on, known.published_on)
    return _later(known.published_on, published_on)


def _later(one: date | None, other: date | None) -> bool:
    return one is not None and other is not None and one > other


def reappearing(statements: Sequence[Statement], gone: Statement) -> list[Segment]:
    """What must be stated again when `gone` is retracted, so that what was known before it reappears.

    By the read rule a correction annuls its target for good, and itself covers only where its target showed. So when the
    correction goes, its target must be stated again; and when a statement goes that hid a part of one corrected since,
    that part must be stated as corrected. Not where something else shows that was reported later, and nothing that was
    retracted besides.
    """
    after = [*statements, _retraction_of(gone, statements)]
    behind = _annulled_but_true(after, gone)
    # Annulments are done with; left in, they would annul what is put back.
    timeline = resolve(replace(s, annuls=None) for s in (*live(after), *behind.values()))
    return [
        Segment(piece.start, piece.end, piece.under.statement)
        for segment in resolve(statements)
        if segment.statement.version == gone.version
        for piece in cut(timeline, segment.start, segment.end)
        if piece.under is not None and piece.under.statement.version in behind
    ]


def _annulled_but_true(statements: Sequence[Statement], gone: Statement) -> dict[int, Statement]:
    """Statements that were corrected and never retracted, by version, in the state that they were corrected to last."""
    retracted = {s.annuls for s in statements if s.retraction}
    found: dict[int, Statement] = {}
    for one in statements:
        right = one if one.version == gone.annuls else _put_right(one, statements, retracted)
        if right is not None and right.version not in retracted and one.version not in retracted and not one.retraction:
            found[one.version] = replace(one, state=right.state)
    return found


def _put_right(wrong: Statement, statements: Sequence[Statement], retracted: Collection[int | None]) -> Statement | None:
    """The last correction of a statement; None where it has none that stands."""
    for correction in statements:
        if correction.annuls == wrong.version and correction.version not in retracted:
            return _put_right(correction, statements, retracted) or correction
    return None


def _retraction_of(gone: Statement, statements: Sequence[Statement]) -> Statement:
    version = max(s.version for s in statements) + 1
    return Statement(version, BEGINNING, BEGINNING, {}, annuls=gone.version, retraction=True)
