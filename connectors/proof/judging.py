"""The hub's judgement of seals: every tree is computed again from what was read, and held against what was signed.

base/trees/<code>/<hash>/  the hub's own tree per publisher: the leaves of what it accepted, kept over rebuilds
base/proofs.sqlite         what was found of each seal and when, and the hub's countersignatures; rows are only added
keys/hub.signing           the hub's key; without one accepted seals are not countersigned

A seal is judged in the order of its publisher's seals. As long as records that it covers are missing it is pending, and
after `seal_grace_s` withheld; what comes later still is judged again. Which records came in which order, or twice, makes no
difference: what is judged is the set of leaves, and the clock decides only between pending and withheld.
"""

from datetime import UTC, datetime

import duckdb

from connectors.home.folder import Home
from connectors.proof.key_ring import KeyRing
from connectors.proof.seal_pass import SealPass, Settled, grace
from connectors.proof.verdicts import Verdicts, verdicts_file

LONG_AGO = datetime.min.replace(tzinfo=UTC)


class Judge:
    """Judges the seals in a base. Runs in the process and thread that own it, between two batches."""

    def __init__(self, home: Home) -> None:
        self.home = home
        self.verdicts = Verdicts(verdicts_file(home))
        self._next: datetime | None = LONG_AGO
        self._settled: dict[str, Settled] = {}
        self._seen: dict[str, tuple[int, ...]] = {}

    def close(self) -> None:
        self.verdicts.close()

    def forget(self) -> None:
        """Judge everything again at the next pass: the base is another one."""
        self._seen.clear()
        self._settled.clear()

    def due(self, now: datetime) -> bool:
        """Whether a pass could find something without new records: when the grace of a pending seal ends."""
        return self._next is not None and now >= self._next

    def judge(self, connection: duckdb.DuckDBPyConnection, now: datetime) -> None:
        """Judge what is new: seals that came, or records and keys that seals waited for."""
        changed = False
        keys = KeyRing(self.home, connection)
        self._next = None
        states = _states(connection)
        for publisher in sorted(states.keys() | set(self.verdicts.publishers())):
            state = states.get(publisher, ())
            pending = self.verdicts.oldest_pending(publisher)
            if self._seen.get(publisher) != state or (pending is not None and now >= pending + grace(self.home)):
                work = SealPass(self.home, self.verdicts, connection, keys, publisher, now)
                changed |= work.judge(self._settled_of(work, state))
                self._settled[publisher] = work.settled
                self._seen[publisher] = state
                pending = self.verdicts.oldest_pending(publisher)
            if pending is not None and now < pending + grace(self.home):
                self._next = min(self._next or pending + grace(self.home), pending + grace(self.home))
        if changed:
            self.verdicts.load(connection)

    def _settled_of(self, work: SealPass, state: tuple[int, ...]) -> Settled:
        """Where to go on: behind the seals that stand; from the first one where conflicts, keys or earlier leaves changed."""
        conflicts_and_keys = state[2:]
        settled = self._settled.get(work.publisher)
        if settled is None or settled.conflicts_and_keys != conflicts_and_keys or work.grew_within(settled):
            return Settled(conflicts_and_keys)
        return settled


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
