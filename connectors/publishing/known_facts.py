"""What a publisher knows: its own events as tables, to compare a dump with in columns.

A base like the hub's, over one store. It is derived from the store, holds its position inside, and is brought up to date
before every use; a file that is damaged, or of another layout, or of another store, is thrown away and made anew. Bringing it up
to date has an end, the store's newest event when it began: who goes on reporting is not chased.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import duckdb

from connectors.home.databases import connect, remove
from connectors.home.folder import Home
from projections import tables
from projections.projector import Projector
from projections.reading_ahead import read_ahead
from projections.subject_measures import scrub
from repository.store.log import EmbeddedLog, LogChanged
from repository.store.publisher import Publisher


class KnownLost(RuntimeError):
    """The file of what a publisher knows could not be used; it is gone, and the next import makes it anew."""


@contextmanager
def known(home: Home, store: Publisher) -> Iterator[duckdb.DuckDBPyConnection]:
    """A connection to what the publisher knew when this began. The caller holds the publisher's lock."""
    path = home.folder / "known" / f"{store.code}.duckdb"
    connection = _usable(home, path, store) or _anew(home, path)
    try:
        catch_up(home, connection, store)
        yield connection
    except (duckdb.IOException, duckdb.FatalException, duckdb.InternalException) as error:
        connection.close()
        remove(path)
        raise KnownLost(
            f"{path} can't be used ({str(error).splitlines()[0]}) and was thrown away; nothing was recorded. "
            "Import the dump again: the file is made anew from the store."
        ) from error
    finally:
        connection.close()


def catch_up(home: Home, connection: duckdb.DuckDBPyConnection, store: Publisher) -> None:
    """Apply what the store has recorded up to now, and nothing that is recorded meanwhile."""
    log, projector = EmbeddedLog([store]), Projector(connection, {store.code})
    ends = log.ends()
    projector.foresee(log.controls())
    for batch in read_ahead(projector, log, home.settings.batch_records, until=ends):
        projector.apply_prepared(batch, datetime.now(UTC))
    scrub(connection)


def reached(connection: duckdb.DuckDBPyConnection) -> int:
    """The store's position up to which it is known what was recorded; 0 where nothing was."""
    return int(connection.execute("SELECT coalesce(max(last_position), 0) FROM checkpoints").fetchall()[0][0])


def _usable(home: Home, path: Path, store: Publisher) -> duckdb.DuckDBPyConnection | None:
    if not path.exists():
        return None
    connection = None
    try:
        connection = connect(home, path)
        if tables.is_fit(connection):
            Projector(connection).recognise(EmbeddedLog([store]))
            return connection
    except (duckdb.Error, LogChanged):
        # Derived data: whatever is wrong with the file, the store has it all.
        pass
    if connection is not None:
        connection.close()
    return None


def _anew(home: Home, path: Path) -> duckdb.DuckDBPyConnection:
    remove(path)
    connection = connect(home, path)
    tables.create(connection)
    return connection
