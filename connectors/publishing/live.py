"""What a publisher's staff and systems record themselves, without a dump: reports, corrections, retractions, key changes,
heartbeats. Each opens the publisher's store in its home, records, and closes it.
"""

import csv
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any
from uuid import UUID

from connectors.home.folder import Home
from connectors.home.refused import Refused
from connectors.home.regional_key import tokeniser
from connectors.persons.recording import Persons, persons
from connectors.publishing import batches
from connectors.publishing.reporting import Answer, correct_fact, link, report_lines, retract_fact, shown_event
from repository.decisions.entity import Entity, Event
from repository.registers import text

LINK_COLUMNS = ("old_key", "new_key")
PutRight = Callable[[Persons, Entity, UUID], list[Event]]


def reported(home: Home, publisher: str, kind: str, lines: Iterable[str], source: str) -> Iterator[Answer]:
    """Record facts, one JSON line each; an answer to each as it is recorded (see `report_lines`)."""
    with home.store(publisher) as store, persons(home, store) as known:
        yield from report_lines(known, kind, lines, source, tokeniser(home))


def corrected(
    home: Home,
    publisher: str,
    kind: str,
    key: str,
    fields: Mapping[str, object],
    reason: str,
    operator: str | None = None,
    event: UUID | None = None,
    on: date | None = None,
) -> list[Event]:
    """Correct fields of one event; the events recorded, none where that is known already.

    The event is the one given, else the one that shows on a day, else the newest. Raises Refused, NotCorrectable, NotAState.
    """
    return _put_right(home, publisher, kind, key, event, on, lambda p, e, w: correct_fact(p, e, w, fields, operator, reason))


def retracted(
    home: Home,
    publisher: str,
    kind: str,
    key: str,
    reason: str,
    operator: str | None = None,
    event: UUID | None = None,
    on: date | None = None,
) -> list[Event]:
    """Annul one event, named as in `corrected`; the events recorded. Raises Refused, NotCorrectable."""
    return _put_right(home, publisher, kind, key, event, on, lambda p, e, w: retract_fact(p, e, w, operator, reason))


def _put_right(
    home: Home, publisher: str, kind: str, key: str, event: UUID | None, on: date | None, work: PutRight
) -> list[Event]:
    with home.store(publisher) as store, persons(home, store) as known:
        entity = known.opened(store.entity(kind, text.normalise(key)))
        if not entity.records:
            raise Refused(f"Publisher {publisher} has recorded nothing under {key}; check key and kind.")
        return work(known, entity, event or shown_event(entity, on))


def read_links(file: Path) -> list[tuple[str, str]]:
    """Pairs of former and new key from a csv file with a header. Raises Refused where it has no such columns or no row."""
    with file.open(encoding="utf-8-sig", newline="") as lines:
        rows = list(csv.DictReader(lines))
    if not rows or set(LINK_COLUMNS) - set(rows[0]):
        raise Refused(f"{file} needs a header with the columns {' and '.join(LINK_COLUMNS)}, and at least one row.")
    pairs = [(text.normalise(row["old_key"] or ""), text.normalise(row["new_key"] or "")) for row in rows]
    for line, pair in enumerate(pairs, 2):
        if not all(pair):
            raise Refused(f"Row {line - 1} of {file} (line {line}) lacks a key; every row needs a former and a new one.")
    return pairs


def linked(
    home: Home, publisher: str, kind: str, pairs: Iterable[tuple[str, str]], on: date | None, source: str, reason: str | None
) -> list[Answer]:
    """Record key changes (see `link`); one answer per former key."""
    with home.store(publisher) as store, persons(home, store) as known:
        return list(link(known, kind, pairs, on, source, reason))


def heartbeat(home: Home, publisher: str, source: str, every_days: int | None) -> UUID:
    """Record that a source is alive and has nothing new; the batch id. `every_days`: until the next one is due."""
    with home.lock(f"publisher-{home.member(publisher)}", "a heartbeat"), home.store(publisher) as store:
        batch, now = batches.next_batch(store, source), datetime.now(UTC)
        details: dict[str, Any] = {"expected_every_days": every_days, "started_at": now, "finished_at": now}
        with store.bulk() as append:
            append([batches.batch_row(store, batch, source, batches.HEARTBEAT, now.date(), now, details)])
        return batch.id
