"""What a publisher knows: its own events as tables, to compare a dump with in columns.

A base like the hub's, over one store. It is derived from the store, holds its position inside, and is brought up to date
before every use; a file that is damaged, or of another layout, or of another store, is thrown away and made anew.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import duckdb

from connectors.home import Home
from projections import tables
from projections.measures import scrub
from projections.projector import Projector
from projections.reading_ahead import read_ahead
from repository.application import Publisher
from repository.log import EmbeddedLog, LogChanged


class KnownLost(RuntimeError):
    """The file of what a publisher knows could not be used; it is gone, and the next import makes it anew."""


@contextmanager
def known(home: Home, store: Publisher) -> Iterator[duckdb.DuckDBPyConnection]:
    """A connection to what the publisher knows now. The caller holds the publisher's lock."""
    path = home.folder / "known" / f"{store.code}.duckdb"
    connection = _usable(home, path, store) or _anew(home, path)
    try:
        catch_up(home, connection, store)
        yield connection
    except (duckdb.IOException, duckdb.FatalException, duckdb.InternalException) as error:
        connection.close()
        _remove(path)
        raise KnownLost(
            f"{path} can't be used ({str(error).splitlines()[0]}) and was thrown away; nothing was recorded. "
            "Import the dump again: the file is made anew from the store."
        ) from error
    finally:
        connection.close()


def catch_up(home: Home, connection: duckdb.DuckDBPyConnection, store: Publisher) -> None:
    """Apply what the store has recorded since."""
    projector = Projector(connection, {store.code})
    projector.foresee(EmbeddedLog([store]).controls())
    for batch in read_ahead(projector, EmbeddedLog([store]), home.settings.batch_records):
        projector.apply_prepared(batch, datetime.now(UTC))
    scrub(connection)


def connect(home: Home, path: Path) -> duckdb.DuckDBPyConnection:
    """Open a DuckDB file with the home's limits."""
    spill = home.folder / "spill"
    limits: dict[str, str | bool | int | float | list[str]] = {
        "memory_limit": f"{home.settings.memory_limit_mib}MiB",
        "threads": home.settings.threads,
        "temp_directory": str(spill),
        "checkpoint_threshold": "256MiB",
        "preserve_insertion_order": False,
    }
    connection = duckdb.connect(str(path), config=limits)
    connection.execute("SET TimeZone = 'UTC'")
    return connection


def _usable(home: Home, path: Path, store: Publisher) -> duckdb.DuckDBPyConnection | None:
    if not path.exists():
        return None
    connection = None
    try:
        connection = connect(home, path)
        if connection.execute("SELECT version FROM layout").fetchall() == [(tables.LAYOUT,)]:
            Projector(connection).recognise(EmbeddedLog([store]))
            return connection
    except (duckdb.Error, LogChanged):
        # Derived data: whatever is wrong with the file, the store has it all.
        pass
    if connection is not None:
        connection.close()
    return None


def _anew(home: Home, path: Path) -> duckdb.DuckDBPyConnection:
    _remove(path)
    connection = connect(home, path)
    tables.create(connection)
    return connection


def _remove(path: Path) -> None:
    for leftover in (path, path.with_name(path.name + ".wal")):
        leftover.unlink(missing_ok=True)
