"""The information base: one DuckDB file, owned by one process at a time, which projects, rebuilds and answers readers.

base/CURRENT              name of the one current file (connectors/base/files.py)
base/base-000001.duckdb   the base; may be deleted: it is rebuilt from the log
base/publications.sqlite  what the base showed when; outlives rebuilds
base/proofs.sqlite        what was found of publishers' seals; outlives rebuilds (connectors/proof/judging.py)
"""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import duckdb

from connectors.base.erasure import Forgetting
from connectors.base.files import (
    BaseDamaged,
    Progress,
    Rebuilt,
    current,
    damaged,
    lay_out,
    mark,
    next_file,
    projector_of,
    replay,
)
from connectors.base.publications import Publications
from connectors.base.pulse import Pulse
from connectors.base.requests import Requests
from connectors.home.databases import connect, remove
from connectors.home.folder import Home
from connectors.proof.judging import Judge
from projections import tables
from projections.guard import harden
from projections.projector import Applied, content_digest
from projections.reading_ahead import read_ahead
from repository.store.log import Log, LogUnavailable, Partition

RETRY_S = 1.0
"""Before a log that does not answer is asked again."""
Decisions = tuple[list[tuple[Any, ...]], list[tuple[Any, ...]]]
"""What people decided: skipped records of the quarantine, and gaps that are not waited for."""


class Base:
    """The opened base. Only the thread that made it writes; others post to `requests`, which it answers between two batches."""

    def __init__(self, home: Home) -> None:
        self.home = home
        self.folder = home.folder / "base"
        self.folder.mkdir(exist_ok=True)
        self.publications = Publications(self.folder / "publications.sqlite")
        self.judge = Judge(home)
        self.file = current(home) or next_file(home, self.publications)
        self.connection = self._open(self.file)
        self.projector = projector_of(home, self.connection)
        self.pulse: Pulse | None = None
        self._switch = threading.Lock()
        self.requests = Requests()
        self.forgetting = Forgetting(home, self.connection)
        try:
            self._publish()
            self.publications.load(self.file.name, self.connection)
            self.judge.verdicts.load(self.connection)
        except duckdb.Error as error:
            self.close()
            raise damaged(self.file, error) from error

    def close(self) -> None:
        self.connection.close()
        self.publications.close()
        self.judge.close()

    def cursor(self) -> duckdb.DuckDBPyConnection:
        """A cursor for one reader; it sees the last commit, whole."""
        with self._switch:
            return self.connection.cursor()

    # -- files --

    def _open(self, file: Path) -> duckdb.DuckDBPyConnection:
        fresh = current(self.home) is None
        if fresh:
            # Without a marker the file is none, or one whose making broke off.
            remove(file)
        elif not file.exists():
            raise BaseDamaged(f"{file} is gone; make it anew from the log with `yrd rebuild`.")
        try:
            connection = connect(self.home, file)
            fit = fresh or tables.is_fit(connection)
        except duckdb.Error as error:
            raise damaged(file, error) from error
        if not fit:
            connection.close()
            raise BaseDamaged(f"{file} has another table layout than this release; make it anew from the log with `yrd rebuild`.")
        if fresh:
            lay_out(connection)
            # Into the file itself: however much of the write-ahead log is lost later, the tables are there.
            connection.execute("CHECKPOINT")
            mark(file)
        harden(connection)
        return connection

    def _publish(self) -> None:
        """Note outside the base what was committed since; after a crash in between it is caught up here."""
        self.publications.note(self.file.name, self.connection)

    # -- projecting --

    def foresee(self, log: Log) -> None:
        """Take over the log's erasures, restrictions and grants before the first read: an old base brings nothing back."""
        self.projector.foresee(log.controls())
        self.forgetting.at_opening()

    def await_log(self, log: Log, stop: threading.Event, pulse: Pulse) -> bool:
        """`foresee`, as soon as the log answers; False where `stop` comes first. Until then nothing may be read."""
        while not stop.is_set():
            try:
                self.foresee(log)
            except LogUnavailable as error:
                pulse.hindered(str(error))
                stop.wait(RETRY_S)
            else:
                return True
        return False

    def project(self, log: Log, progress: Progress = lambda _number: None) -> Applied:
        """Apply what the log has beyond the checkpoints when this begins. Raises LogChanged where the log is not the one applied.

        What is recorded meanwhile is left for the next time: who goes on recording is not chased.
        """
        self.projector.recognise(log)
        total = Applied()
        for batch in read_ahead(self.projector, log, self.home.settings.batch_records, until=log.ends()):
            total += self.projector.apply_prepared(batch, datetime.now(UTC))
            self.forgetting.work()
            self._publish()
            progress(len(batch.records))
            self.requests.answer()
        self.judge.judge(self.connection, datetime.now(UTC))
        return total

    def follow(self, log: Log, stop: threading.Event, pulse: Pulse) -> None:
        """Apply what comes until `stop` is set, also after a log that did not answer for a while. Raises LogChanged."""
        recognised = False
        while not stop.is_set():
            try:
                if not recognised:
                    self.projector.recognise(log)
                    recognised = True
                self._apply(log, pulse, stop)
            except LogUnavailable as error:
                pulse.hindered(str(error))
                self.requests.answer()
                stop.wait(RETRY_S)

    def _apply(self, log: Log, pulse: Pulse, stop: threading.Event) -> None:
        """Apply what the log has now, and wait a moment for what comes next."""
        wait_s = self.home.settings.poll_interval_ms / 1000
        for batch in read_ahead(self.projector, log, self.home.settings.batch_records, wait_s=wait_s):
            applied = self.projector.apply_prepared(batch, datetime.now(UTC))
            self._publish()
            self.forgetting.work()
            pulse.moved(applied.events)
            self.judge.judge(self.connection, datetime.now(UTC))
            self._measure(log, pulse)
            self.requests.answer()
            if stop.is_set():
                return
        # Also where no batch came: readers may have held it up after the last one.
        self.forgetting.work()
        if self.judge.due(datetime.now(UTC)):
            self.judge.judge(self.connection, datetime.now(UTC))
        self._measure(log, pulse)
        self.requests.answer()

    def _measure(self, log: Log, pulse: Pulse) -> None:
        """About once a second, compare the log's ends with where the base is."""
        if pulse.due():
            checkpoints, ends = self.projector.checkpoints(), log.ends()
            pulse.measured(ends, {p: checkpoints[p].next_offset if p in checkpoints else log.first_offset for p in ends})

    # -- rebuilding --

    def rebuild(self, log: Log, accept: bool = False, progress: Progress = lambda _number: None) -> Rebuilt:
        """Replay the log into a new file up to where this base stands, compare, and make the new file current.

        Readers see the old base, whole, until the switch and the new one, whole, after it. Where the digests differ the
        old one stays current, unless `accept`. Where the old one can't be read, the new one takes its place.
        """
        old_digest, until, decisions = self._content()
        file, connection, events = replay(self.home, log, until, progress, self.publications)
        new_digest = content_digest(connection)
        switched = accept or old_digest in (None, new_digest)
        if switched:
            _carry(connection, decisions)
        connection.close()
        if switched:
            self._switch_to(file)
        return Rebuilt(old_digest, new_digest, events, switched, file.name)

    def _switch_to(self, file: Path) -> None:
        mark(file)
        old_file, old = self.file, self.connection
        with self._switch:
            self.file, self.connection = file, self._open(file)
            self.projector = projector_of(self.home, self.connection)
            self.forgetting = Forgetting(self.home, self.connection)
        self._publish()
        self.publications.load(file.name, self.connection)
        self.judge.forget()
        self.judge.judge(self.connection, datetime.now(UTC))
        self.judge.verdicts.load(self.connection)
        # Readers in the middle of a query keep the old file until they end; its name goes at once.
        old.close()
        remove(old_file)

    def _content(self) -> tuple[str | None, dict[Partition, int] | None, Decisions]:
        """Digest, offsets and decisions of this base; None, None and none where its file can't be read."""
        try:
            until = {partition: c.next_offset for partition, c in self.projector.checkpoints().items()}
            return content_digest(self.connection), until, self._decisions()
        except duckdb.Error:
            return None, None, ([], [])

    def _decisions(self) -> Decisions:
        """What people decided about records and gaps; a rebuild carries it over."""
        skipped = self.connection.execute(
            "SELECT topic, partition, log_offset, note FROM quarantine WHERE state = 'skipped'"
        ).fetchall()
        return skipped, self.connection.execute("SELECT * FROM skipped_gaps").fetchall()


def _carry(connection: duckdb.DuckDBPyConnection, decisions: Decisions) -> None:
    skipped, gaps = decisions
    for topic, partition, offset, note in skipped:
        connection.execute(
            "UPDATE quarantine SET state = 'skipped', note = ? WHERE topic = ? AND partition = ? AND log_offset = ?",
            [note, topic, partition, offset],
        )
    for gap in gaps:
        connection.execute("INSERT INTO skipped_gaps VALUES (?, ?, ?)", list(gap))


@contextmanager
def opened(home: Home) -> Iterator[Base]:
    """The base, closed at the end. The caller holds the lock `base`."""
    base = Base(home)
    try:
        yield base
    except duckdb.IOException as error:
        # A damaged block shows itself only when it is read; other faults of the disk are not the file's.
        if "Corrupt database file" not in str(error):
            raise
        raise damaged(base.file, error) from error
    finally:
        base.close()


def wait_until(reached: Callable[[], bool], wait_s: float, pause_s: float = 0.02) -> bool:
    """Whether a condition came true within `wait_s`."""
    deadline = time.monotonic() + wait_s
    while not reached():
        if time.monotonic() >= deadline:
            return False
        time.sleep(pause_s)
    return True
