"""Looking into the access log, checking it, and purging what is past its retention.

Each is an operation of the process that owns the log, `(log, arguments) -> result`, arguments and results as JSON has them.
"""

import sqlite3
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

from eventsourcing.persistence import Notification

from connectors.access import sealing
from connectors.access.log import LOCK_WAIT_S, AccessLog
from connectors.access.sealing import AccessResult
from connectors.home.refused import Refused
from repository.access.access_store import AccessStore
from repository.access.records import ENDED, KIND, PURGED, Caller, access_of, is_purged, purge_mark, purged
from repository.events.encoding import NotAnEvent, decode_own
from repository.events.identity import entity_id, event_id
from repository.proof.seal import KIND as SEAL
from repository.store.publisher import stored_row

READ_EVENTS = 10_000
SYSTEM = Caller("", -1)


def listed(log: AccessLog, given: Mapping[str, Any]) -> AccessResult:
    """Accesses, newest first: of `account`, about `entity`, asked `since` and before `until`, at most `limit`, where given.

    `further` says whether there are more. The log is read from its end, and no further than needed.
    """
    found: list[dict[str, Any]] = []
    limit = given.get("limit")
    for one in _newest_first(log.store()):
        if _wanted(one, given):
            found.append(one)
        if limit and len(found) > limit:
            return {"accesses": found[:limit], "further": True}
    return {"accesses": found, "further": False}


def _newest_first(store: AccessStore) -> Iterator[dict[str, Any]]:
    """Every access whose first record is there, by that record's position, the last one first."""
    ends: dict[str, dict[str, Any]] = {}
    above = (store.recorder.max_notification_id() or 0) + 1
    while above > 1:
        below = max(0, above - 1 - READ_EVENTS)
        notifications = [n for n in store.notifications(below, READ_EVENTS) if n.id < above]
        for record in map(_readable, reversed(notifications)):
            if record is None:
                continue
            entity = str(record["entity_id"])
            if record["event_type"] == ENDED:
                ends[entity] = record
            else:
                yield access_of(record, ends.pop(entity, None))
        above = below + 1


def _readable(notification: Notification) -> dict[str, Any] | None:
    return None if is_purged(notification.state) else _decoded(notification, None)


def _wanted(one: Mapping[str, Any], given: Mapping[str, Any]) -> bool:
    account, entity, since, until = (given.get(name) for name in ("account", "entity", "since", "until"))
    return (
        (account is None or one["account"] == account)
        and (entity is None or entity in one["entities"])
        and (since is None or one["asked_at"] >= datetime.fromisoformat(since))
        and (until is None or one["asked_at"] < datetime.fromisoformat(until))
    )


def checked(log: AccessLog, given: Mapping[str, Any]) -> AccessResult:
    """Whether the log is whole in itself: positions without gaps, identities as they must be, purges recorded as such.

    That nobody rewrote it as a whole is for its seals to show: with `keys` and notes that were `kept` (texts), `sealed` says
    how much of it they prove. It is None without keys.
    """
    problems: list[str] = []
    counts = {"records": 0, "purged": 0, "asked": 0, "ended": 0, "seals": 0}
    last_mark, allowed, expected = 0, 0, 1
    for notification, record in _records(log.store(), problems):
        counts["records"] += 1
        if notification.id != expected:
            problems.append(f"Position {expected} is missing; the next one there is {notification.id}.")
        expected = notification.id + 1
        if is_purged(notification.state):
            last_mark, counts["purged"] = notification.id, counts["purged"] + 1
        elif notification.topic.startswith(f"{SEAL}."):
            counts["seals"] += 1
        elif record is not None:
            problems += _wrong(notification, record)
            counts["ended" if record["event_type"] == ENDED else "asked"] += record["event_type"] != PURGED
            allowed = max(allowed, record["purged_to"] or 0)
    if last_mark > allowed:
        problems.append(f"Position {last_mark} was purged, and no purge is recorded that reaches beyond {allowed}.")
    keys, kept = given.get("keys") or [], given.get("kept") or []
    sealed = sealing.held_against_seals(log, keys, kept) if keys else None
    return {**counts, "problems": problems, "sealed": sealed}


def _wrong(notification: Notification, record: Mapping[str, Any]) -> Iterator[str]:
    identity = entity_id(record["publisher"], KIND, record["business_key"])
    right = (str(identity), str(event_id(identity, record["version"])))
    stated = (str(record["entity_id"]), str(record["event_id"]))
    place = (str(notification.originator_id), notification.originator_version)
    if right != stated or place != (str(identity), record["version"]):
        yield f"Position {notification.id} holds a record whose identity is not made of its parts; it was altered."


def purge(log: AccessLog, given: Mapping[str, Any]) -> AccessResult:
    """Replace the records asked before `before` (default: all past the retention) by their leaf hashes, and record that.

    Raises Refused where `before` is within the retention.
    """
    now = datetime.now(UTC)
    days = log.home.settings.access_retention_days
    latest = now - timedelta(days=days)
    before = datetime.fromisoformat(given["before"]) if given.get("before") else latest
    if before > latest:
        kept = f"Records are kept for {days} days, so none after {latest:%Y-%m-%d %H:%M} UTC can go"
        raise Refused(f"{kept}; name an earlier moment.")
    marks = list(_purgeable(log.store(), before))
    if marks:
        caller = given.get("caller") or SYSTEM
        _replace(log, marks, purged(f"purge|{uuid4()}", caller, marks[-1][0], before, now))
    return {"purged": len(marks), "to": marks[-1][0] if marks else None, "before": before.isoformat()}


def _purgeable(store: AccessStore, before: datetime) -> Iterator[tuple[int, bytes]]:
    """Position and mark of the records from the log's beginning until the first one that must stay."""
    for notification, record in _records(store):
        if record is not None and record["recorded_at"] >= before:
            return
        if record is not None:
            yield notification.id, purge_mark(notification.state)


def _replace(log: AccessLog, marks: list[tuple[int, bytes]], record: dict[str, Any]) -> None:
    """Marks in place of records and the record of the purge, in one transaction; the old bytes are overwritten."""
    connection = sqlite3.connect(log.home.folder / "access" / "access.sqlite", timeout=LOCK_WAIT_S, isolation_level=None)
    try:
        connection.execute("PRAGMA secure_delete = ON")
        connection.execute("BEGIN IMMEDIATE")
        connection.executemany("INSERT INTO purge_marks VALUES (?, ?)", marks)
        connection.executemany("UPDATE stored_events SET state = ?2 WHERE rowid = ?1", marks)
        connection.execute("INSERT INTO stored_events VALUES (?, ?, ?, ?)", stored_row(KIND, record))
        connection.execute("COMMIT")
        # What the write-ahead log holds of the old records goes with it.
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    finally:
        connection.close()


def _records(store: AccessStore, problems: list[str] | None = None) -> Iterator[tuple[Notification, dict[str, Any] | None]]:
    """Every record that is stored when this begins, in order, with its content; None for what was purged or can't be read.

    What can't be read is a problem. What is recorded meanwhile is not chased: those who ask are recorded as well.
    """
    position, newest = 0, store.newest_position()
    while position < newest and (notifications := store.notifications(position, READ_EVENTS)):
        position = notifications[-1].id
        for each in notifications:
            yield each, None if is_purged(each.state) else _decoded(each, problems)


def _decoded(notification: Notification, problems: list[str] | None) -> dict[str, Any] | None:
    try:
        kind, record = decode_own(notification.state)
    except NotAnEvent as error:
        if problems is None:
            said = f"Position {notification.id} of the access log can't be read ({error})"
            raise Refused(f"{said}; `yrd access check` lists all that is wrong.") from error
        problems.append(f"Position {notification.id} can't be read: {error}")
        return None
    if kind not in (KIND, SEAL) and problems is not None:
        problems.append(f"Position {notification.id} holds a record of kind {kind}.")
    return record if kind == KIND else None


ACCESS_OPERATIONS: dict[str, Callable[[AccessLog, Mapping[str, Any]], AccessResult]] = {
    "access_list": listed,
    "access_check": checked,
    "access_purge": purge,
    **sealing.SEAL_OPERATIONS,
}
