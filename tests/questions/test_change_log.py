"""The change log against the decisions themselves: what each event changed, before and after, over random histories."""

import random
from collections.abc import Mapping
from datetime import date, datetime, timedelta

from repository.decisions.entity import NotCorrectable, Superseded
from repository.decisions.facts import Authority, Fact
from repository.decisions.state import value_at
from repository.decisions.timeline import BEGINNING, Segment
from tests.support.bases import NOON, EventRecord, Logs, ask

PATHS = ("phone", "address", "offers[YRD050101].capacity", "offers[YRD050102].capacity")
Change = tuple[str | None, str | None]


def test_change_log_says_of_every_event_what_it_changed() -> None:
    logs = Logs()
    expected: dict[tuple[str, int], dict[str, Change]] = {}
    for number in range(60):
        choose = random.Random(number)
        for step in range(choose.randint(2, 9)):
            expected |= happens(logs, choose, f"point {number}", NOON + timedelta(seconds=step))
    connection = logs.base()
    for number in range(60):
        found: dict[tuple[str, int], dict[str, Change]] = {}
        for row in ask(connection, "change_log(?)", f"point {number}"):
            changes = found.setdefault((row["business_key"], row["version"]), {})
            if row["field"] is not None:
                changes[row["field"]] = (shown(row["before"]), shown(row["after"]))
        assert found == {event: changes for event, changes in expected.items() if event[0] == f"point {number}"}


def happens(logs: Logs, choose: random.Random, key: str, at: datetime) -> dict[tuple[str, int], dict[str, Change]]:
    """One report, correction or retraction: what each event of it changed, by key and version."""
    entity = logs.entity("32", "supply", key)
    known, segments = list(entity.records), entity.timeline
    act = choose.choice(["report", "report", "report", "correct", "retract"]) if known else "report"
    try:
        if act == "report":
            events = logs.report("32", some_fact(choose, key), at)
        elif act == "correct":
            events = logs.correct(choose.choice(known), {"phone": choose.choice("xyz")}, "misread", at)
        else:
            events = logs.retract(choose.choice(known), "never held", at)
    except (Superseded, NotCorrectable):
        return {}
    gone = events[0] if act == "retract" else None
    return {(key, event["version"]): changes_of(event, segments, gone) for event in events}


def some_fact(choose: random.Random, key: str) -> Fact:
    start, end = choose.choice([(None, None), (0, None), (3, None), (0, 6), (5, 10), (8, 15), (None, 10)])
    values: dict[str, object] = {p: choose.randint(1, 3) if "[" in p else choose.choice("ab") for p in choose.sample(PATHS, 2)}
    rests = Authority(published_on=choose.choice([None, day(1), day(2)]))
    since = None if start is None else day(start)
    return Fact("supply", key, since, values, choose.choice("ab"), None if end is None else day(end), rests)


def day(number: int) -> date:
    return date(2026, 1, 1) + timedelta(number)


def changes_of(event: EventRecord, segments: list[Segment], gone: EventRecord | None) -> dict[str, Change]:
    """What the decision compared: the state known last at or before the interval, or what a retraction took away."""
    before: Mapping[str, object] = {}
    if gone is not None:
        before = gone
    else:
        for segment in segments:
            if segment.start <= (event["valid_from"] or BEGINNING):
                before = segment.statement.state
    return {path: (shown(value_at(before, path)), shown(value_at(event, path))) for path in event["changed"]}


def shown(value: object) -> str | None:
    """A value as text; whole entries are JSON there and dicts here, so only their presence is compared."""
    if value is None:
        return None
    return "entry" if isinstance(value, Mapping) or str(value).startswith("{") else str(value)
