"""The information base: one DuckDB file, owned by one process at a time, which projects, rebuilds and answers readers.

base/CURRENT              name of the one current file
base/base-000001.duckdb   the base; may be deleted: it is rebuilt from the log
base/publications.sqlite  what the base showed when; outlives rebuilds
base/proofs.sqlite        what was found of publishers' seals; outlives rebuilds (connectors/judging.py)
"""

import queue
import re
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import duckdb

from connectors.granted import forget
from connectors.home import Home
from connectors.judging import Judge
from connectors.known import connect
from connectors.publications import Publications
from connectors.pulse import Pulse
from projections import tables
from projections.guard import harden
from projections.measures import scrub, waits_for_scrubbing
from projections.projector import Applied, Projector, content_digest
from projections.reading_ahead import read_ahead
from repository.log import Log, LogUnavailable, Partition

Progress = Callable[[int], None]
RETRY_S = 1.0
"""Before a log that does not answer is asked again."""
Decisions = tuple[list[tuple[Any, ...]], list[tuple[Any, ...]]]
"""What people decided: skipped records of the quarantine, and gaps that are not waited for."""


class BaseClosed(RuntimeError):
    """What was asked of the owner of the base came when it was ending; nothing was done."""


class BaseDamaged(RuntimeError):
    """The base's file can't be used; the message says so and how it is made anew."""


@dataclass(frozen=True, slots=True)
class Rebuilt:
    """Outcome of a rebuild: both digests (that of a damaged base is None), and whether the new file is current."""

    old_digest: str | None
    new_digest: str
    events: int
    switched: bool
    file: str


class Base:
    """The opened base. Only the thread that made it writes; others post to `ask`, which runs between two batches."""

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
        self._asked: queue.Queue[tuple[Callable[[], Any], Future[Any]]] = queue.Queue()
        self._ended = threading.Event()
        self._scrub_due: float | None = None
        try:
            self._publish()
            self.publications.load(self.file.name, self.connection)
            self.judge.verdicts.load(self.connection)
        except duckdb.Error as error:
            self.close()
            raise _damaged(self.file, error) from error

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
            layout = [] if fresh else connection.execute("SELECT version FROM layout").fetchall()
        except duckdb.Error as error:
            raise _damaged(file, error) from error
        if not fresh and layout != [(tables.LAYOUT,)]:
            connection.close()
            raise BaseDamaged(f"{file} has another table layout than this release; make it anew from the log with `yrd rebuild`.")
        if fresh:
            _lay_out(connection)
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
        scrub(self.connection)
        forget(self.home, self.connection)

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

    def _forget(self) -> None:
        """After an erasure: overwrite what the file still holds of it, destroy the hub's keys. Later, where readers are in it."""
        if not waits_for_scrubbing(self.connection):
            return
        self._scrub_due = self._scrub_due or time.monotonic() + self.home.settings.read_time_limit_s
        # Until then every reader of that moment has ended; where others came meanwhile, the next ones wait.
        if scrub(self.connection, force=time.monotonic() >= self._scrub_due):
            self._scrub_due = None
            forget(self.home, self.connection)

    def project(self, log: Log, progress: Progress = lambda _number: None) -> Applied:
        """Apply everything the log has beyond the checkpoints. Raises LogChanged where the log is not the one applied."""
        self.projector.recognise(log)
        total = Applied()
        for batch in read_ahead(self.projector, log, self.home.settings.batch_records):
            total += self.projector.apply_prepared(batch, datetime.now(UTC))
            self._forget()
            self._publish()
            progress(len(batch.records))
            self.answer()
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
                self.answer()
                stop.wait(RETRY_S)

    def _apply(self, log: Log, pulse: Pulse, stop: threading.Event) -> None:
        """Apply what the log has now, and wait a moment for what comes next."""
        wait_s = self.home.settings.poll_interval_ms / 1000
        for batch in read_ahead(self.projector, log, self.home.settings.batch_records, wait_s=wait_s):
            applied = self.projector.apply_prepared(batch, datetime.now(UTC))
            self._publish()
            self._forget()
            pulse.moved(applied.events)
            self.judge.judge(self.connection, datetime.now(UTC))
            self._measure(log, pulse)
            self.answer()
            if stop.is_set():
                return
        if self.judge.due(datetime.now(UTC)):
            self.judge.judge(self.connection, datetime.now(UTC))
        self._measure(log, pulse)
        self.answer()

    def _measure(self, log: Log, pulse: Pulse) -> None:
        """About once a second, compare the log's ends with where the base is."""
        if pulse.due():
            checkpoints, ends = self.projector.checkpoints(), log.ends()
            pulse.measured(ends, {p: checkpoints[p].next_offset if p in checkpoints else log.first_offset for p in ends})

    # -- requests of other threads --

    def ask(self, work: Callable[[], Any], wait_s: float) -> Any:
        """Have the owning thread run `work` between two batches, and wait for its result."""
        future: Future[Any] = Future()
        self._asked.put((work, future))
        if self._ended.is_set():
            self.refuse()
        return future.result(timeout=wait_s)

    def refuse(self) -> None:
        """Refuse what other threads ask from now on, and what waits: the owning thread runs nothing any more."""
        self._ended.set()
        with suppress(queue.Empty):
            while True:
                _, future = self._asked.get_nowait()
                future.set_exception(BaseClosed("The owner of the base is ending; ask again."))

    def answer(self) -> None:
        """Run what other threads have asked for."""
        while not self._asked.empty():
            work, future = self._asked.get()
            try:
                future.set_result(work())
            except Exception as error:  # noqa: BLE001 - it is the asker's, who gets it raised
                future.set_exception(error)

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


def projector_of(home: Home, connection: duckdb.DuckDBPyConnection) -> Projector:
    """The projector of a base: with the office's key the log holds listed members alone, else the settings name them."""
    members = None if home.settings.office_key else home.settings.publishers
    return Projector(connection, members, home.settings.seal_hash)


def _lay_out(connection: duckdb.DuckDBPyConnection) -> None:
    """Everything that a new file holds before the first event: tables, questions, and the registers they refer to."""
    tables.create(connection)
    tables.create_questions(connection)


def _damaged(file: Path, error: duckdb.Error) -> BaseDamaged:
    return BaseDamaged(f"{file} can't be opened ({str(error).splitlines()[0]}); make it anew from the log with `yrd rebuild`.")


def _carry(connection: duckdb.DuckDBPyConnection, decisions: Decisions) -> None:
    skipped, gaps = decisions
    for topic, partition, offset, note in skipped:
        connection.execute(
            "UPDATE quarantine SET state = 'skipped', note = ? WHERE topic = ? AND partition = ? AND log_offset = ?",
            [note, topic, partition, offset],
        )
    for gap in gaps:
        connection.execute("INSERT INTO skipped_gaps VALUES (?, ?, ?)", list(gap))


def current(home: Home) -> Path | None:
    """The current file as the marker names it; None where there is none yet."""
    marker = home.folder / "base" / "CURRENT"
    return marker.with_name(marker.read_text("utf-8").strip()) if marker.exists() else None


def mark(file: Path) -> None:
    """Make a file the current one: a marker written aside and moved into place, so that exactly one is current."""
    aside = file.with_name("CURRENT.new")
    aside.write_text(file.name, "utf-8")
    aside.replace(file.with_name("CURRENT"))


def next_file(home: Home, publications: Publications) -> Path:
    """The file to make next. Its name was never current before: publications are noted under the file's name."""
    now = current(home)
    names = [*publications.files(), *([now.name] if now else [])]
    newest = max((int(m[1]) for name in names if (m := re.fullmatch(r"base-(\d+)\.duckdb", name))), default=0)
    return home.folder / "base" / f"base-{newest + 1:06}.duckdb"


def replay(
    home: Home, log: Log, until: Mapping[Partition, int] | None, progress: Progress, publications: Publications
) -> tuple[Path, duckdb.DuckDBPyConnection, int]:
    """A new file with the log replayed into it, up to the offsets `until` (None: to the end); not yet current."""
    file = next_file(home, publications)
    connection, events = replay_into(home, file, log, until, progress)
    # Readers never saw the steps of the replay: what this file will have shown begins with the whole.
    connection.execute("DELETE FROM commits WHERE commit_no < (SELECT max(commit_no) FROM commits)")
    return file, connection, events


def replay_into(
    home: Home, file: Path, log: Log, until: Mapping[Partition, int] | None, progress: Progress
) -> tuple[duckdb.DuckDBPyConnection, int]:
    """A base made anew in `file` from the log, up to the offsets `until` (None: to the end), and the number of its events."""
    # One that an earlier replay left, broken off or not accepted.
    remove(file)
    connection = connect(home, file)
    _lay_out(connection)
    projector = projector_of(home, connection)
    # First, so that what was erased never gets into the new file.
    projector.foresee(log.controls())
    events = 0
    for batch in read_ahead(projector, log, home.settings.batch_records, until):
        events += projector.apply_prepared(batch, datetime.now(UTC)).events
        progress(len(batch.records))
    return connection, events


def replace_damaged(home: Home, log: Log, progress: Progress = lambda _number: None) -> Rebuilt:
    """Make the base anew where its file can't be opened, and make the new file current."""
    publications = Publications(home.folder / "base" / "publications.sqlite")
    try:
        file, connection, events = replay(home, log, None, progress, publications)
    finally:
        publications.close()
    digest = content_digest(connection)
    connection.close()
    damaged = current(home)
    mark(file)
    if damaged is not None:
        remove(damaged)
    return Rebuilt(None, digest, events, True, file.name)


def remove(file: Path) -> None:
    """Delete a DuckDB file and its write-ahead log, where they are."""
    for leftover in (file, file.with_name(file.name + ".wal")):
        leftover.unlink(missing_ok=True)


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
        raise _damaged(base.file, error) from error
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
