"""The demonstration as a table: a question, then what is done and printed to answer it."""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from connectors.commands.demo import audit, kafka, questions
from connectors.commands.demo.deliveries import A_MONTH_LATER, HOMES, INSURED, JUNE, NAMES, POPULATION, STANDARDS, Delivery
from connectors.commands.printing import out, print_table
from connectors.home.folder import Home
from connectors.home.refused import Refused
from connectors.home.regional_key import tokeniser
from connectors.hub import hub
from connectors.hub.base_operations import Result
from connectors.profiles.profile import load
from connectors.publishing.importing import Imported, import_dump
from connectors.publishing.live import corrected

MISTYPED = "ZJ-08"
BEDS = "offers[YRD050101].capacity"
LONGEST_CELL = 24


@dataclass(slots=True)
class Walk:
    """The home that is walked through, where its dumps lie, and what later steps need of earlier ones."""

    home: Home
    examples: Path
    done: list[Imported] = field(default_factory=list)
    """What the last import did, a dump each."""
    before: Any = None
    """The moment before the correction."""


Act = Callable[[Walk], object]


def walk(home: Home, examples: Path) -> str:
    """Go through all steps; the content digest at the end."""
    walked = Walk(home, examples)
    for question, acts in STEPS:
        out.print(f"\n[bold]{question}[/bold]")
        for act in acts:
            act(walked)
    return str(_project(walked)["digest"])


# -- importing, projecting, asking ---------------------------------------------------------------------------------


def _import(deliveries: tuple[Delivery, ...]) -> Act:
    def act(walk: Walk) -> None:
        tokens, profiles = tokeniser(walk.home), walk.examples / "profiles"
        walk.done = [
            import_dump(walk.home, load(profiles / f"{d.profile}.toml"), walk.examples / d.file, d.publisher, d.as_of, tokens)
            for d in deliveries
        ]

    return act


def _project(walk: Walk) -> Result:
    return projected(walk.home)


def projected(home: Home) -> Result:
    """Bring the base up to date. Raises Refused where anything could not be applied."""
    if home.settings.log == "kafka":
        kafka.wait_for_relays(home)
    done = hub.perform(home, "project")
    held = hub.read(home, "SELECT count(*) FROM quarantine WHERE state = 'held'").column(0).to_pylist()[0]
    if held:
        raise Refused(
            f"{held} records could not be applied, so the rest would be wrong; see `yrd quarantine list --home {home.folder}`."
        )
    return done


def _rows(walk: Walk, sql: str, *parameters: Any) -> list[tuple[Any, ...]]:
    return [tuple(row.values()) for row in hub.read(walk.home, sql, parameters).to_pylist()]


def _answer(sql: str, *parameters: Any) -> Act:
    def act(walk: Walk) -> None:
        found = hub.read(walk.home, sql, parameters)
        print_table("", found.column_names, [tuple(row.values()) for row in found.to_pylist()])

    return act


# -- what is printed besides ---------------------------------------------------------------------------------------


def _by_layout(walk: Walk) -> None:
    rows = [
        (_named(d.publisher), d.layout, c.rows_read, c.facts_new, c.facts_duplicate, c.rows_rejected + c.facts_rejected, c.events)
        for d, c in ((delivery, each.counts) for delivery, each in zip(HOMES, walk.done, strict=True))
    ]
    print_table("", ("publisher", "layout", "rows", "homes", "repeated", "rejected", "events"), rows)


def _rejected(walk: Walk) -> None:
    rows = [
        (f"{r.file_name.partition('_')[0]} line {r.line}", f"{_short(f'{r.column} {r.value}'.strip())}: {r.reason}")
        for each in walk.done
        for r in sorted(each.rejected, key=lambda r: r.record)
    ]
    print_table("", ("where", "what and why"), rows)


def _short(cell: str) -> str:
    return cell if len(cell) <= LONGEST_CELL else f"{cell[:LONGEST_CELL]}…"


def _named(publisher: str) -> str:
    return f"{publisher} {NAMES[publisher]}"


def _doubted(walk: Walk) -> None:
    for name, flags, beds_unknown in _rows(walk, questions.DOUBTED):
        doubts = [*flags, *(["beds unknown, which is not 0"] if beds_unknown else [])]
        out.print(f"Kept all the same: {name} ({', '.join(doubts)}).")


def _by_change(walk: Walk) -> None:
    counted = ("facts_new", "facts_changed", "facts_unchanged", "closed", "events")
    rows = [(_named(each.publisher), *(getattr(each.counts, name) for name in counted)) for each in walk.done]
    print_table("", ("publisher", "new", "changed", "unchanged", "no longer listed", "events"), rows)
    for each in (each for each in walk.done if not each.counts.events):
        out.print(f"{_named(each.publisher)} has nothing new: no event, and a heartbeat that says so.")


def _changes(walk: Walk) -> None:
    changed = [entity for (entity,) in _rows(walk, questions.CHANGED_BY, str(walk.done[0].batch_id))]
    events = [row for entity in changed for row in _rows(walk, questions.CHANGES_OF, entity)]
    print_table("", ("event", "home", "field", "before", "after"), sorted(events, key=lambda row: (str(row[0]), str(row[1]))))


def _outstanding(walk: Walk) -> None:
    city = _rows(walk, questions.BEDS)[0][0]
    out.print(f"People: censuses. Beds: the invented lists, hence so few. {city} stands out; step 6 comes back to it.")


def _before_the_floor(walk: Walk) -> None:
    before = _rows(walk, questions.BELOW_FLOOR, "2023-12-31")
    out.print(f"On 2023-12-31, before the floor was raised: {len(before) or 'nowhere'}.")


def _cut_short(walk: Walk) -> None:
    for document, stated, held, days, successor in _rows(walk, questions.CUT_SHORT):
        out.print(f"{document} says it holds until {stated}; {successor} ended it on {held}, {days} days early.")


def _persons(walk: Walk) -> None:
    ((enrolments, persons),) = _rows(walk, questions.PERSONS)
    out.print(f"{enrolments} enrolments of {persons} persons, under pseudonyms; no identity number is in events or base.")


def _correct(walk: Walk) -> None:
    ((walk.before,),) = _rows(walk, questions.MOMENT)
    why, operator = "one nought too many was typed", "33 registry desk"
    corrected(walk.home, "33", "supply", MISTYPED, {BEDS: 260}, why, operator, on=JUNE)


def _huzhou(walk: Walk) -> None:
    said = [("before the correction", *_rows(walk, questions.BEDS_OF_HUZHOU, walk.before)[0])]
    said.append(("now", *_rows(walk, questions.BEDS_OF_HUZHOU, None)[0]))
    print_table("", ("as known", "beds", "beds per 1,000"), said)


def _rebuilt(walk: Walk) -> None:
    again = hub.rebuild(walk.home, False, lambda _number: None)
    verdict = "the same digest as before" if again.old_digest == again.new_digest else "ANOTHER digest than before"
    out.print(f"{again.events} events replayed into a new file: {verdict}.")


def _audited(walk: Walk) -> None:
    audit.auditors_minute(walk.home, MISTYPED, projected)


STEPS: tuple[tuple[str, tuple[Act, ...]], ...] = (
    ("1. Four lists of nursing homes, four layouts: what came of their rows?", (_import(HOMES), _by_layout)),
    ("Which rows were not accepted, and why?", (_rejected, _project, _doubted)),
    (
        "Someone insured in Shanghai looks elsewhere: where are beds free, and bills settled on the spot?",
        (_answer(questions.FREE_ELSEWHERE),),
    ),
    ("2. A month later two lists come again: what is new?", (_import(A_MONTH_LATER), _by_change, _project)),
    ("What happened in Jiangsu, and what was before?", (_changes,)),
    (
        "3. How many beds are there for 1,000 people aged 60 and over?",
        (_import(POPULATION), _project, _answer(questions.BEDS), _outstanding),
    ),
    (
        "4. Where is a local standard below the national floor? (boarding subsidy, CNY a year, local values invented)",
        (_import(STANDARDS), _project, _answer(questions.BELOW_FLOOR, "2026-06-30"), _before_the_floor),
    ),
    ("What does each city promise, and how far is that from the median?", (_answer(questions.BY_CITY),)),
    (
        "Which unemployment benefit does Shanghai pay in months 1 to 12, by which document? (public notices)",
        (_answer(questions.UNEMPLOYMENT_BENEFIT), _cut_short),
    ),
    (
        "5. Is anybody insured in two provinces at once?",
        (_import(INSURED), _project, _answer(questions.ENROLLED_TWICE), _persons, _rejected),
    ),
    (
        "6. In Huzhou 湖州市 a number was mistyped: what if it is corrected?",
        (_correct, _project, _answer(questions.CORRECTION, MISTYPED)),
    ),
    ("What did the base say of Huzhou before, and what does it say now?", (_huzhou,)),
    ("7. Did everything that the imports recorded arrive?", (_answer(questions.RECONCILED),)),
    ("Which sources are fresh, and which had nothing new?", (_answer(questions.FRESHNESS),)),
    ("Is the base no more than what the logs add up to?", (_rebuilt,)),
    ("8. An auditor trusts nobody: is the decision of step 6 in the log that Zhejiang signed?", (_audited,)),
)
"""Question -> what is done and printed, in turn."""
