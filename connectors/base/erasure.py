"""What the owner of a base destroys after an erasure: the hub's keys, and what the file still holds.

Keys are destroyed in the pass that takes the erasure in. The file can't be written anew under readers, so that is tried again,
with or without further batches, until they have ended; after the longest time a reader may take, new ones wait.
"""

import time

import duckdb

from connectors.home.folder import Home
from connectors.persons.decryption import forget_keys
from projections.subject_measures import scrub, waits_for_scrubbing

ENDED_GRANTS_EVERY_S = 60.0
"""How often the hub looks for keys of grants that expired or were revoked. Nothing is shown under them meanwhile."""
PAUSE = 4.0
"""Pause before the next attempt, in durations of the one that readers held up: it may have written much of the base."""


class Forgetting:
    """Destroys what is due, in the thread that owns the base, between two batches."""

    def __init__(self, home: Home, connection: duckdb.DuckDBPyConnection) -> None:
        self.home, self.connection = home, connection
        self._force_at: float | None = None
        self._next_attempt = 0.0
        self.next_look = 0.0

    def at_opening(self) -> None:
        """Destroy what an old copy of the base or of the keys brought back, before the first read."""
        scrub(self.connection, force=True)
        self._destroy_keys()

    def work(self) -> None:
        """Destroy what is due now. Cheap where nothing is."""
        now = time.monotonic()
        if waits_for_scrubbing(self.connection):
            if self._force_at is None:
                self._destroy_keys()
                self._force_at = now + self.home.settings.read_time_limit_s
            if now >= self._next_attempt:
                self._scrub(now)
        elif now >= self.next_look:
            self._destroy_keys()

    def _scrub(self, now: float) -> None:
        if scrub(self.connection, force=now >= (self._force_at or now)):
            self._force_at = None
        else:
            self._next_attempt = now + (1 + PAUSE) * (time.monotonic() - now)

    def _destroy_keys(self) -> None:
        forget_keys(self.home, self.connection)
        self.next_look = time.monotonic() + ENDED_GRANTS_EVERY_S
