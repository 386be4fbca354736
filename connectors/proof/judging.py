"""The hub's judgement of seals: every tree is computed again from what was read, and held against what was signed.

base/trees/<code>/<hash>/  the hub's own tree per publisher: the leaves of what it accepted, kept over rebuilds
base/proofs.sqlite         what was found of each seal and when, and the hub's countersignatures; rows are only added
keys/hub.signing           the hub's key; without one accepted seals are not countersigned

A seal is judged in the order of its publisher's seals. As long as records that it covers are missing it is pending, and
after `seal_grace_s` withheld; what comes later still is judged again. Which records came in which order, or twice, makes no
difference: what is judged is the set of leaves, and the clock decides only between pending and withheld.
"""

from dataclasses import dataclass
from datetime import UTC, datetime

import duckdb

from connectors.home.folder import Home
from connectors.proof.key_ring import KeyRing
from connectors.proof.read_log import ReadLog
from connectors.proof.seal_pass import SealPass, grace
from connectors.proof.verdicts import Verdicts, verdicts_file
from repository.proof.judgement import PENDING, Settled

LONG_AGO, NEVER = datetime.min.replace(tzinfo=UTC), datetime.max.replace(tzinfo=UTC)


@dataclass(frozen=True)
class _Pass:
    """What the last pass over a publisher's seals saw, and what it came to."""

    state: tuple[int, ...]
    settled: Settled
    waits_since: datetime | None
    """Since when the oldest pending seal waits."""

    @property
    def conflicts_and_keys(self) -> tuple[int, ...]:
        return self.state[2:]


class Judge:
    """Judges the seals in a base. Runs in the process and thread that own it, between two batches."""

    def __init__(self, home: Home) -> None:
        self.home = home
        self.verdicts = Verdicts(verdicts_file(home))
        self._next: datetime | None = LONG_AGO
        self._passes: dict[str, _Pass] = {}

    def close(self) -> None:
        self.verdicts.close()

    def forget(self) -> None:
        """Judge everything again at the next pass: the base is another one."""
        self._passes.clear()

    def due(self, now: datetime) -> bool:
        """Whether a pass could find something without new records: when the grace of a pending seal ends."""
        return self._next is not None and now >= self._next

    def judge(self, connection: duckdb.DuckDBPyConnection, now: datetime) -> None:
        """Judge what is new: seals that came, or records and keys that seals waited for."""
        keys, states, changed = KeyRing(self.home, connection), _states(connection), False
        for publisher in sorted(states.keys() | set(self.verdicts.publishers())):
            state, before = states.get(publisher, ()), self._passes.get(publisher)
            if before is None or before.state != state or self._grace_ends(before) <= now:
                work = SealPass(self.home, ReadLog(connection, publisher), keys, self.verdicts, now)
                settled, found = work.judge(_where_to_go_on(before, state, work.log))
                waits = [h.waits_since for h in work.histories.values() if h.newest and h.newest.verdict == PENDING]
                self._passes[publisher] = _Pass(state, settled, min((since for since in waits if since), default=None))
                changed |= found
        self._next = min((end for end in map(self._grace_ends, self._passes.values()) if now < end < NEVER), default=None)
        if changed:
            self.verdicts.load(connection)

    def _grace_ends(self, before: _Pass) -> datetime:
        return NEVER if before.waits_since is None else before.waits_since + grace(self.home)


def _where_to_go_on(before: _Pass | None, state: tuple[int, ...], log: ReadLog) -> Settled:
    """Behind the seals that stand; from the first one where conflicts, keys or earlier leaves changed."""
    if before is None or before.conflicts_and_keys != state[2:]:
        return Settled()
    grew = any(sum(log.counts(seal.last_position).values()) != seal.size for seal in before.settled.largest.values())
    return Settled() if grew else before.settled


def _states(connection: duckdb.DuckDBPyConnection) -> dict[str, tuple[int, ...]]:
    """Publishers that have sealed, each with numbers that change whenever there is something new to judge."""
    rows = connection.execute(
        """
        SELECT publisher, count(*),
               (SELECT count(*) FROM leaves AS l WHERE l.publisher = s.publisher),
               (SELECT count(*) FROM leaf_conflicts AS c WHERE c.publisher = s.publisher),
               (SELECT count(*) FROM member_history)
        FROM seal_history AS s GROUP BY publisher ORDER BY publisher
        """
    ).fetchall()
    return {publisher: tuple(numbers) for publisher, *numbers in rows}
