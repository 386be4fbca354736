"""Operations on the base, `(base, log, arguments) -> result`, run by the thread that owns it between two batches."""

import json
from collections.abc import Callable
from dataclasses import asdict

from connectors.base.base import Base
from connectors.home.refused import Refused
from connectors.hub.status import status
from projections.projector import content_digest
from repository.store.log import Log

Result = dict[str, object]


def _project(base: Base, log: Log, _: Result) -> Result:
    return asdict(base.project(log)) | {"digest": content_digest(base.connection)}


def _rebuild(base: Base, log: Log, arguments: Result) -> Result:
    return asdict(base.rebuild(log, bool(arguments.get("accept"))))


def _status(base: Base, log: Log, _: Result) -> Result:
    return status(base, log)


def _retry(base: Base, log: Log, __: Result) -> Result:
    return asdict(base.projector.retry(log.restore))


def _skip(base: Base, _: Log, arguments: Result) -> Result:
    number, note = arguments["number"], arguments["reason"]
    changed = base.connection.execute(
        "UPDATE quarantine SET state = 'skipped', note = ? WHERE quarantine_no = ? AND state = 'held' RETURNING 1", [note, number]
    ).fetchall()
    if not changed:
        raise Refused(f"No held record has the number {number}; list them with `yrd quarantine list`.")
    return {"skipped": number}


def _skip_gap(base: Base, _: Log, arguments: Result) -> Result:
    given = [arguments["entity"], arguments["version"], arguments["reason"]]
    changed = base.connection.execute(
        "INSERT INTO skipped_gaps SELECT entity_id, version, $3 FROM gaps "
        "WHERE entity_id::VARCHAR = $1 AND version = $2 RETURNING 1",
        given,
    ).fetchall()
    if not changed:
        raise Refused(f"No version {given[1]} of {given[0]} is missing; list the gaps with `yrd gaps list`.")
    return {"skipped": arguments["entity"], "version": arguments["version"]}


def _said(base: Base, _: Log, arguments: Result) -> Result:
    """Where the base stood at `moment` (ISO 8601; None: now): its last commit at or before it, whichever file showed it."""
    found = base.connection.execute(
        "SELECT base, committed_at::VARCHAR, positions FROM publications WHERE $1 IS NULL OR committed_at <= $1::TIMESTAMPTZ "
        "ORDER BY committed_at DESC, commit_no DESC LIMIT 1",
        [arguments.get("moment")],
    ).fetchall()
    if not found:
        raise Refused(f"The base showed nothing yet at {arguments.get('moment')}; its first commit came later.")
    file, committed_at, positions = found[0]
    return {"base": file, "committed_at": committed_at, "positions": json.loads(positions)}


BASE_OPERATIONS: dict[str, Callable[[Base, Log, Result], Result]] = {
    "project": _project,
    "rebuild": _rebuild,
    "status": _status,
    "quarantine_retry": _retry,
    "quarantine_skip": _skip,
    "gap_skip": _skip_gap,
    "audit_said": _said,
}
