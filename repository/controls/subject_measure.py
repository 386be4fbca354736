"""Measures 措施: what a publisher decided about the personal information of one subject.

Erasure destroys the subject's key; restriction stops every use but storage and audit (PIPL art. 47); a legal hold forbids
erasure. Each is a stream of control records of its own per subject, whose newest record says what holds. They stand in a topic of
their own and not among the subject's events: whoever opens the base takes all of them first, before it shows anything.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any, Final
from uuid import UUID

from repository.decisions.entity import Entity, Event
from repository.events.identity import entity_id, event_id
from repository.kinds.register import PERSONS

KIND: Final = "measure"
ERASURE, RESTRICTION, HOLD = "erasure", "restriction", "hold"
NAMES: Final = {
    (ERASURE, True): "SubjectErased",
    (ERASURE, False): "SubjectReadmitted",
    (RESTRICTION, True): "SubjectRestricted",
    (RESTRICTION, False): "RestrictionLifted",
    (HOLD, True): "HoldPlaced",
    (HOLD, False): "HoldLifted",
}
TOPICS: Final = tuple(f"{KIND}.{name}" for name in NAMES.values())
OPERATION_OF: Final = {"SubjectErased": "erase", "SubjectRestricted": "restrict"}
WITHHELD: Final = "withheld:"
"""Begin of a business key whose pseudonym was taken out; the entity's id follows."""


class MeasureRefused(ValueError):
    """A measure that cannot be taken; the message says why and what to do first."""


class SubjectWithheld(ValueError):
    """A fact about a subject that was erased or whose processing is restricted; nothing is recorded of it."""


@dataclass(frozen=True, slots=True)
class Standing:
    """What holds for one subject now. `erased_to` is the version up to which its events stay erased, None: nothing was erased."""

    erased: bool = False
    erased_to: int | None = None
    restricted: bool = False
    held: bool = False
    hold_reason: str = ""

    def refuse(self) -> None:
        """Raise SubjectWithheld where no fact about the subject may be recorded."""
        if self.erased:
            raise SubjectWithheld("The subject was erased and is not recorded again; `yrd readmit` admits it on a stated basis.")
        if self.restricted:
            raise SubjectWithheld("Processing of the subject is restricted to storage; lift it with `yrd restrict --lift` first.")


FREE: Final = Standing()


def standings(records: Iterable[Mapping[str, Any]]) -> dict[UUID, Standing]:
    """Subject -> what holds, from measure records of one publisher in any order."""
    newest: dict[tuple[UUID, str], Mapping[str, Any]] = {}
    erased_to: dict[UUID, int] = {}
    for record in records:
        subject, measure = UUID(str(record["subject_id"])), record["measure"]
        if (subject, measure) not in newest or newest[subject, measure]["version"] < record["version"]:
            newest[subject, measure] = record
        if measure == ERASURE:
            erased_to[subject] = max(erased_to.get(subject, 0), record["subject_version"])
    return {subject: _standing(subject, newest, erased_to) for subject, _ in newest}


def _standing(subject: UUID, newest: Mapping[tuple[UUID, str], Mapping[str, Any]], erased_to: Mapping[UUID, int]) -> Standing:
    def holds(measure: str) -> bool:
        return bool(newest.get((subject, measure), {}).get("in_force"))

    hold = newest.get((subject, HOLD), {})
    return Standing(holds(ERASURE), erased_to.get(subject), holds(RESTRICTION), holds(HOLD), str(hold.get("reason") or ""))


def decide(
    subject: Entity,
    measure: str,
    in_force: bool,
    standing: Standing,
    stream_version: int,
    said: Mapping[str, Any],
    recorded_at: datetime,
    on: date,
) -> Event:
    """The record of one measure; `said` may hold reason, basis, operator and retention_until. Raises MeasureRefused.

    `stream_version` is the newest version of this subject's stream of this measure.
    """
    _refuse(subject, measure, in_force, standing)
    key = f"{measure}|{subject.id}"
    stream = entity_id(subject.publisher, KIND, key)
    name = NAMES[measure, in_force]
    return {
        "event_id": event_id(stream, stream_version + 1),
        "event_type": name,
        "operation": OPERATION_OF.get(name, "assert"),
        "publisher": subject.publisher,
        "entity_id": stream,
        "business_key": key,
        "version": stream_version + 1,
        "valid_from": on,
        "recorded_at": recorded_at,
        "source": "measures",
        "data_level": 3,
        "subject_id": subject.id,
        "measure": measure,
        "in_force": in_force,
        "subject_version": subject.version,
        **said,
    }


def _refuse(subject: Entity, measure: str, in_force: bool, standing: Standing) -> None:
    rule = PERSONS.get(subject.kind)
    if not subject.records or rule is None or not rule.of(subject.records[-1]):
        raise MeasureRefused(
            "No person is recorded under this name; give the pseudonym or the entity's id, as queries show them."
        )
    if measure == ERASURE and in_force and standing.held:
        raise MeasureRefused(
            f"Subject {subject.id} is under a legal hold ({standing.hold_reason}) and is not erased; "
            "lift it with `yrd hold --lift` when it has ended, or restrict the processing with `yrd restrict`."
        )
    if standing.erased and measure != ERASURE:
        raise MeasureRefused(f"Subject {subject.id} was erased already; nothing is left to decide about.")
    now = {ERASURE: standing.erased, RESTRICTION: standing.restricted, HOLD: standing.held}[measure]
    if now == in_force:
        raise MeasureRefused(
            f"For subject {subject.id} the measure {measure} is {'in force' if now else 'not in force'} already."
        )
