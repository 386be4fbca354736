"""What auditors ask: the history of an entity, what the logs held, what the base showed, what changed, whether it matches.

`asof`, `difference` and `history` are answered from the base, which the process that owns it hands over as tables of one
commit. `said` and `compared` replay the publishers' logs here, in the auditor's own process, and take from the base only
where it stood, and what is compared.
"""

import json
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb
from eventsourcing.persistence import PersistenceError

from connectors.audit.extracts import Taken, taking
from connectors.base.files import Progress, replay_into
from connectors.home.databases import remove
from connectors.home.folder import Home
from connectors.home.refused import Refused
from connectors.hub import hub
from connectors.logs.opened import opened_log
from connectors.reading.exports import Positions
from projections.differences import KEYS, Compared, between, compare, resolve_all, stated
from projections.projector import content_digest
from projections.proof_status import NOT_SEALED, proof_status
from repository.store.log import Checkpoint, Log, Partition
from schemas.contracts import FACT_KINDS, KINDS

Offsets = dict[Partition, int]
AuditRow = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Held:
    """What was found of a moment: rows per kind, content digest, and the next offset of each partition."""

    rows: Mapping[str, int]
    digest: str
    offsets: Offsets
    committed_at: str | None = None
    into: Path | None = None
    behind: int | None = None
    """Records that the logs hold and the base has not applied, which an answer from the base does not know; None: not known."""


@dataclass(frozen=True, slots=True)
class Comparison:
    """A replay compared with the base: every table in order, digests of both, and the offsets up to which."""

    tables: Sequence[Compared]
    live_digest: str
    replayed_digest: str
    offsets: Offsets

    @property
    def same(self) -> bool:
        return all(each.difference is None for each in self.tables)


# -- from the base -------------------------------------------------------------------------------------------------


def asof(home: Home, valid: str, known: str, into: Path | None = None, purpose: str | None = None) -> Held:
    """What the logs held at the moment `known` (ISO 8601) about the day `valid`: one row per entity, in a table per kind.

    The file `into` has besides the table `as_of` with valid, known, digest and positions.
    """
    with taking(home, into) as taken:
        positions = hub.export(home, "audit_asof", taken.add, purpose, valid=valid, known=known)
        rows = _counted(taken.connection, FACT_KINDS)
        digest = content_digest(taken.connection, "{kind}")
        taken.note("as_of", valid=valid, known=known, digest=digest, positions=json.dumps(positions))
    offsets = _offsets(positions)
    return Held(rows, digest, offsets, into=into, behind=_behind(home, offsets))


def _behind(home: Home, offsets: Offsets) -> int | None:
    """Records behind the offsets; None where this account may not read the logs, which is no reason to answer nothing."""
    try:
        with opened_log(home) as log:
            return sum(max(0, end - offsets.get(partition, min(end, 1))) for partition, end in log.ends().items())
    except (OSError, sqlite3.Error, PersistenceError):
        return None


def history(
    home: Home, entity: str, publisher: str | None = None, kind: str | None = None, purpose: str | None = None
) -> list[AuditRow]:
    """Every event of the entities that `entity` (key, former key or identity) means, one row per field that it set or changed.

    An event before which nothing was known has a row for each field that it states. Empty where nothing is known of it.
    """
    with taking(home, None) as taken:
        hub.export(home, "audit_history", taken.add, purpose, entity=entity, publisher=publisher, kind=kind)
        log = _rows(taken.connection, "SELECT * FROM change_log")
        events = {name: _by_event(taken.connection, name) for name in FACT_KINDS}
        proofs = proof_status(taken.connection, {str(row["event_id"]) for row in log})
    rows = [row for each in sorted(log, key=lambda r: _place(r, events)) for row in _fields(each, _event(each, events))]
    return [{**row, "proof": proofs.get(str(row["event_id"]), NOT_SEALED)} for row in rows]


def _event(row: AuditRow, events: Mapping[str, Mapping[str, AuditRow]]) -> AuditRow:
    return events[row["kind"]][str(row["event_id"])]


def _place(row: AuditRow, events: Mapping[str, Mapping[str, AuditRow]]) -> tuple[object, ...]:
    """By entity and version; the fields of one event in the order in which it names them."""
    field = row["field"]
    return (
        row["kind"],
        str(row["entity_id"]),
        row["version"],
        -1 if field is None else _event(row, events)["changed"].index(field),
    )


def _fields(row: AuditRow, event: AuditRow) -> Iterator[AuditRow]:
    if row["field"] is not None or row["operation"] == "retract" or event["changed"]:
        yield row
        return
    said = list(stated(row["kind"], event))
    yield from ({**row, "field": field, "after": value} for field, value in said) if said else [row]


def _by_event(connection: duckdb.DuckDBPyConnection, kind: str) -> dict[str, AuditRow]:
    return {str(row["event_id"]): row for row in _rows(connection, f"SELECT * FROM {kind}_history")}


def difference(home: Home, first: str, second: str, valid: str | None = None, purpose: str | None = None) -> list[AuditRow]:
    """What appeared, changed and disappeared between what was known at two moments (ISO 8601): see `differences.between`."""
    with taking(home, None) as taken:
        hub.export(home, "audit_diff", taken.add, purpose, first=first, second=second)
        return list(between(taken.connection, first, valid))


# -- by replay -----------------------------------------------------------------------------------------------------


def said(
    home: Home,
    moment: str,
    into: Path | None = None,
    purpose: str | None = None,
    progress: Progress = lambda _number: None,
) -> Held:
    """What the base showed at a moment (ISO 8601): the logs replayed up to where its last commit until then had come.

    The file `into` is a whole base, with the tables and questions of this release, and besides the table `said`.
    """
    shown = hub.perform(home, "audit_said", purpose, moment=moment)
    offsets = _offsets(shown["positions"])  # type: ignore[arg-type]
    with replaying(home, into, offsets, progress) as taken:
        rows = _counted(taken.connection, [f"{kind}_history" for kind in KINDS])
        digest = content_digest(taken.connection)
        cells = {"moment": moment, "committed_at": shown["committed_at"], "digest": digest}
        taken.note("said", **cells, positions=json.dumps(shown["positions"]))
    counted = {name.removesuffix("_history"): number for name, number in rows.items()}
    return Held(counted, digest, offsets, str(shown["committed_at"]), into)


def shown_at(home: Home, moment: str | None, purpose: str | None = None) -> Offsets:
    """Where the base's last commit until a moment had come; None: where it stands now."""
    shown = hub.perform(home, "audit_said", purpose, moment=moment)
    return _offsets(shown["positions"])  # type: ignore[arg-type]


def rebuilt(home: Home, until: Offsets, into: Path | None = None, progress: Progress = lambda _number: None) -> Held:
    """The logs replayed up to the offsets `until` into a file of its own, which nobody is switched to."""
    with replaying(home, into, until, progress) as taken:
        rows = _counted(taken.connection, [f"{kind}_history" for kind in KINDS])
        digest = content_digest(taken.connection)
    return Held({name.removesuffix("_history"): number for name, number in rows.items()}, digest, until, into=into)


def compared(
    home: Home,
    until: Offsets | None = None,
    into: Path | None = None,
    purpose: str | None = None,
    progress: Progress = lambda _number: None,
) -> Comparison:
    """The logs replayed, and compared with the base, table by table, at the same positions; the base stays as it is.

    `until` None: where the base stands now. For earlier offsets the base's history up to there is compared, and timelines
    are resolved anew from it, since those of the base say what is known now.
    """
    with taking(home, None) as live:
        bound = None if until is None else _last_positions(home, until)
        positions = hub.export(home, "audit_rebuild", live.add, purpose, until=bound)
        offsets = _offsets(positions) if until is None else _reached(until, _offsets(positions))
        names = [row[0] for row in live.connection.execute("SELECT table_name FROM duckdb_tables()").fetchall()]
        if until is not None:
            names += [f"{kind}_timeline" for kind in FACT_KINDS]
            for kind in FACT_KINDS:
                resolve_all(live.connection, kind, f"{kind}_timeline")
        live_digest = content_digest(live.connection)
        with replaying(home, into, offsets, progress) as replayed:
            digest = content_digest(replayed.connection)
            found = _compared(live, replayed, names)
    return Comparison(found, live_digest, digest, offsets)


def _compared(live: Taken, replayed: Taken, names: Sequence[str]) -> list[Compared]:
    """Every table of both, compared by the connection of the replay, to which the other is attached."""
    live.connection.execute("CHECKPOINT")
    live.connection.close()
    path = str(live.file).replace("'", "''")
    replayed.connection.execute(f"ATTACH '{path}' AS live (READ_ONLY)")
    here = replayed.connection.execute("SELECT current_database()").fetchall()[0][0]
    try:
        return [compare(replayed.connection, name, "live", here) for name in _in_order(names)]
    finally:
        replayed.connection.execute("DETACH live")


def _in_order(names: Sequence[str]) -> list[str]:
    return [name for name in KEYS if name in names]


@contextmanager
def replaying(home: Home, into: Path | None, until: Offsets, progress: Progress) -> Iterator[Taken]:
    """The logs replayed up to `until` into a new file, which is moved to `into` at the end; see `taking`."""
    with taking(home, into) as taken:
        taken.connection.close()
        remove(taken.file)
        with opened_log(home) as log:
            _check_offsets(log, until)
            taken.connection, _ = replay_into(home, taken.file, log, until, progress)
        yield taken


def _check_offsets(log: Log, until: Offsets) -> None:
    ends = log.ends()
    for (topic, partition), offset in until.items():
        end = ends.get((topic, partition))
        if end is None:
            raise Refused(f"There is no log {topic} partition {partition}; the logs are {_listed(ends)}.")
        if offset > end:
            said = f"{topic} ends before offset {end}, and {offset} was asked for"
            raise Refused(f"{said}; the log was cut, or the offset is wrong.")


def _last_positions(home: Home, until: Offsets) -> list[list[Any]]:
    """[topic, partition, position of the last record below the offset], of each partition that has one."""
    found: list[list[Any]] = []
    with opened_log(home) as log:
        _check_offsets(log, until)
        for partition, offset in until.items():
            record = log.last_read(partition, Checkpoint(offset, 0, 0))
            if record is not None:
                found.append([*partition, record.position])
    return found


def _reached(until: Offsets, live: Offsets) -> Offsets:
    for (topic, partition), offset in until.items():
        if offset > live.get((topic, partition), 0):
            at = live.get((topic, partition), "no offset")
            raise Refused(f"The base stands at {at} in {topic}, before {offset}; run `yrd project`, or compare at less.")
    return until


# -- offsets -------------------------------------------------------------------------------------------------------


def offsets_of(text: str) -> Offsets:
    """Offsets as they are typed: yrd.31=120,yrd.32=40, a partition other than 0 as yrd.31/1=120. Raises Refused."""
    found: Offsets = {}
    for part in text.split(","):
        place, sign, number = part.strip().partition("=")
        topic, _, partition = place.partition("/")
        if not sign or not topic or not number.isdecimal() or not (partition or "0").isdecimal():
            raise Refused(f'"{part}" is no offset; write TOPIC=NEXT_OFFSET, such as yrd.31=120, with commas between.')
        found[topic, int(partition or 0)] = int(number)
    return found


def _offsets(positions: Positions) -> Offsets:
    return {(p["topic"], p["partition"]): p["next_offset"] for p in positions}


def _listed(offsets: Mapping[Partition, int]) -> str:
    return ", ".join(sorted({topic for topic, _ in offsets})) or "none"


def _counted(connection: duckdb.DuckDBPyConnection, names: Sequence[str]) -> dict[str, int]:
    return {name: connection.execute(f"SELECT count(*) FROM {name}").fetchall()[0][0] for name in names}


def _rows(connection: duckdb.DuckDBPyConnection, sql: str) -> list[AuditRow]:
    cursor = connection.execute(sql)
    names = [column[0] for column in cursor.description or ()]
    return [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]
