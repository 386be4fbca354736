"""The files of the base: which one is current, and how one is made anew from the log.

base/CURRENT              name of the one current file
base/base-000001.duckdb   the base; may be deleted: it is rebuilt from the log
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import duckdb

from connectors.base.publications import Publications
from connectors.home.databases import connect, remove
from connectors.home.folder import Home
from projections import tables
from projections.projector import Projector, content_digest
from projections.reading_ahead import read_ahead
from repository.store.log import Log, Partition

Progress = Callable[[int], None]


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


def damaged(file: Path, error: duckdb.Error) -> BaseDamaged:
    """What to raise for a file that DuckDB can't use."""
    return BaseDamaged(f"{file} can't be opened ({str(error).splitlines()[0]}); make it anew from the log with `yrd rebuild`.")


def projector_of(home: Home, connection: duckdb.DuckDBPyConnection) -> Projector:
    """The projector of a base: with the office's key the log holds listed members alone, else the settings name them."""
    members = None if home.settings.office_key else home.settings.publishers
    return Projector(connection, members, home.settings.seal_hash)


def lay_out(connection: duckdb.DuckDBPyConnection) -> None:
    """Everything that a new file holds before the first event: tables, questions, and the registers they refer to."""
    tables.create(connection)
    tables.create_questions(connection)


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
    lay_out(connection)
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
        # Up to where the log goes now: who goes on recording is not chased.
        file, connection, events = replay(home, log, log.ends(), progress, publications)
    finally:
        publications.close()
    digest = content_digest(connection)
    connection.close()
    unusable = current(home)
    mark(file)
    if unusable is not None:
        remove(unusable)
    return Rebuilt(None, digest, events, True, file.name)
