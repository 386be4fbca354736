"""The timeline against the read rule taken word for word, and what the order of reporting may and may not change."""

from collections.abc import Sequence
from datetime import date
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from repository.decisions.timeline import BEGINNING, FOREVER, Segment, Statement, at, cut, next_start, place, resolve
from tests.support.histories import day

DAYS = (BEGINNING, *(day(n) for n in range(-1, 15)), date(9999, 12, 30))
EDGES = st.integers(0, 12).map(day)
many = settings(max_examples=100)


def read(statements: Sequence[Statement], when: date) -> Statement | None:
    """The read rule, word for word, for one day."""
    for one in sorted(statements, key=lambda s: -s.version):
        annulled = any(other.annuls == one.version for other in statements)
        if one.start <= when < one.end and not annulled and not one.retraction:
            return one
    return None


@st.composite
def statement_lists(draw: st.DrawFn) -> list[Statement]:
    """Any statements: open or bounded on either side, some of which annul earlier ones and some state nothing."""
    statements: list[Statement] = []
    for version in range(1, draw(st.integers(0, 7)) + 1):
        start, end = sorted((draw(st.just(BEGINNING) | EDGES), draw(EDGES | st.just(FOREVER))))
        annuls = draw(st.none() | st.integers(0, version - 1))
        retraction = annuls is not None and draw(st.booleans())
        statements.append(Statement(version, start, end, {}, annuls=annuls, retraction=retraction))
    return statements


@many
@given(statement_lists())
def test_every_day_at_every_moment_is_what_the_read_rule_says(statements: list[Statement]) -> None:
    for known in range(len(statements) + 1):
        prefix = statements[:known]
        segments = resolve(prefix)
        for when in DAYS:
            covering = [s.statement for s in segments if s.start <= when < s.end]
            expected = read(prefix, when)
            assert covering == ([] if expected is None else [expected])
            assert at(prefix, when) is expected


@many
@given(statement_lists())
def test_segments_are_ordered_disjoint_and_as_long_as_they_can_be(statements: list[Statement]) -> None:
    segments = resolve(statements)
    assert all(s.start < s.end for s in segments)
    for before, after in pairwise(segments):
        assert before.end <= after.start
        assert before.end < after.start or before.statement is not after.statement


@many
@given(statement_lists(), st.data())
def test_the_order_in_which_statements_are_given_does_not_matter(statements: list[Statement], data: st.DataObject) -> None:
    assert resolve(data.draw(st.permutations(statements))) == resolve(statements)


@many
@given(statement_lists(), EDGES, EDGES)
def test_cutting_covers_every_day_once(statements: list[Statement], one: date, other: date) -> None:
    start, end = sorted((one, other))
    pieces = cut(resolve(statements), start, end)
    assert [p.start for p in pieces[1:]] == [p.end for p in pieces[:-1]]
    assert (pieces[0].start, pieces[-1].end) == (start, end) if pieces else start == end
    for piece in pieces:
        under = None if piece.under is None else piece.under.statement
        assert all(at(statements, when) is under for when in DAYS if piece.start <= when < piece.end)


# -- the order of reporting -------------------------------------------------------------------------------------------

Told = tuple[date, date | None, date | None, str]


def tell(statements: list[Statement], told: Told) -> None:
    """Record what was told wherever `place` leaves room."""
    start, stated, published_on, word = told
    for piece in place(resolve(statements), start, stated, published_on):
        statements.append(Statement(len(statements) + 1, piece.start, piece.end, {"word": word}, stated, published_on))


def words(told: Sequence[Told]) -> dict[date, object]:
    """What is known of each day after all was told in this order."""
    statements: list[Statement] = []
    for each in told:
        tell(statements, each)
    return {when: found.state["word"] for when in DAYS if (found := at(statements, when)) is not None}


@st.composite
def open_facts(draw: st.DrawFn) -> list[Told]:
    starts = draw(st.lists(st.just(BEGINNING) | EDGES, unique=True, max_size=6))
    return [(start, None, draw(st.none() | EDGES), f"from {start}") for start in starts]


@st.composite
def stated_facts(draw: st.DrawFn) -> list[Told]:
    published = draw(st.lists(EDGES, unique=True, max_size=6))
    bounds = [sorted(draw(st.lists(EDGES, unique=True, min_size=2, max_size=2))) for _ in published]
    return [(low, high, on, f"published {on}") for on, (low, high) in zip(published, bounds, strict=True)]


@many
@given(open_facts(), st.data())
def test_open_facts_end_in_the_same_timeline_in_any_order(told: list[Told], data: st.DataObject) -> None:
    latest = {when: max((t for t in told if t[0] <= when), default=None) for when in DAYS}
    expected = {when: found[3] for when, found in latest.items() if found is not None}
    assert words(data.draw(st.permutations(told))) == expected


@many
@given(stated_facts(), st.data())
def test_stated_facts_end_in_the_same_timeline_in_any_order(told: list[Told], data: st.DataObject) -> None:
    covering = {when: [t for t in told if t[0] <= when and t[1] is not None and when < t[1]] for when in DAYS}
    expected = {when: max(found, key=lambda t: str(t[2]))[3] for when, found in covering.items() if found}
    assert words(data.draw(st.permutations(told))) == expected


def test_a_late_older_fact_ends_where_a_newer_one_begins() -> None:
    census = [(day(0), None, None, "2020"), (day(-5), None, None, "2010")]
    assert [words(census)[day(n)] for n in (-1, 0, 14)] == ["2010", "2020", "2020"]


def test_a_late_older_publication_fills_only_what_newer_ones_leave() -> None:
    newer, older = (day(2), day(4), day(9), "newer"), (day(0), day(6), day(1), "older")
    assert [words([newer, older])[day(n)] for n in (0, 2, 3, 4, 5)] == ["older", "newer", "newer", "older", "older"]


def test_of_two_reports_of_one_publication_the_later_wins() -> None:
    first, second = (day(0), day(6), day(1), "first"), (day(0), day(6), day(1), "second")
    assert words([first, second])[day(3)] == "second"


def test_a_stated_fact_inside_an_open_one_lets_it_reappear_behind() -> None:
    told: list[Told] = [(day(0), None, None, "open"), (day(3), day(5), None, "stated")]
    assert [words(told)[day(n)] for n in (2, 3, 4, 5)] == ["open", "stated", "stated", "open"]


@pytest.mark.parametrize(("start", "expected"), [(0, day(2)), (2, day(6)), (6, FOREVER)])
def test_an_open_fact_reaches_up_to_the_next_known_segment(start: int, expected: date) -> None:
    segments = [Segment(day(a), day(b), Statement(a, day(a), day(b), {})) for a, b in ((2, 4), (6, 8))]
    assert next_start(segments, day(start)) == expected
