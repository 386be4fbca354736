"""Files that auditors take away: a DuckDB file or a folder of Parquet, filled aside and put in place when it is whole."""

import os
import shutil
import tempfile
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path

import pyarrow as pa

from connectors.home.databases import connect
from connectors.home.folder import Home
from connectors.home.refused import Refused
from projections import tables
from schemas.contracts import KINDS

DUCKDB = (".duckdb", ".db")
SUFFIXES = ("", "_history", "_timeline", "_current")
"""What follows the kind in the name of a table of its events."""


class Taken:
    """A new database outside the base, and where it goes in the end. Used within `taking`."""

    def __init__(self, home: Home, folder: Path) -> None:
        self.home = home
        self.file = folder / "taken.duckdb"
        self.connection = connect(home, self.file)
        # Whoever takes tables away need not be able to write into the home.
        self.connection.execute("SET temp_directory = $1", [str(folder / "spill")])

    def add(self, table: str, reader: pa.RecordBatchReader) -> None:
        """Make `table` from rows; the columns of a kind get the types that they have in the base."""
        self.connection.register("arriving", reader)
        try:
            self.connection.execute(f"CREATE TABLE {table} AS SELECT {_cells(table)} FROM arriving")
        finally:
            self.connection.unregister("arriving")

    def note(self, table: str, **cells: object) -> None:
        """Make a table of one row that says what the file is."""
        names = ", ".join(f"? AS {name}" for name in cells)
        self.connection.execute(f"CREATE TABLE {table} AS SELECT {names}", list(cells.values()))


def kind_of(table: str, kinds: Collection[str] = KINDS) -> str | None:
    """The kind whose rows a table holds, by its name; None for a table of something else."""
    return next((kind for suffix in SUFFIXES if (kind := table.removesuffix(suffix)) in kinds), None)


def _cells(table: str) -> str:
    kind = kind_of(table)
    if kind is None:
        return "*"
    return ", ".join(f'"{name}"::{type_} AS "{name}"' for name, type_ in tables.columns(kind).items())


@contextmanager
def taking(home: Home, into: Path | None) -> Iterator[Taken]:
    """A database to fill; at the end it is moved to `into`, or thrown away where that is None or anything was raised.

    A name that ends in .duckdb or .db becomes a DuckDB file, any other a folder with one Parquet file a table. Neither is
    for anybody but its owner. Raises Refused where `into` exists.
    """
    if into is not None and into.exists():
        raise Refused(f"{into} exists already; name another file.")
    # Beside its place, so that moving it there is renaming; else in the home, which has room for a base, where it may be.
    in_home = os.access(home.folder, os.W_OK, effective_ids=os.access in os.supports_effective_ids)
    near = into.absolute().parent if into is not None else home.folder if in_home else None
    with tempfile.TemporaryDirectory(prefix=".taking-", dir=near) as folder:
        taken = Taken(home, Path(folder))
        try:
            yield taken
            if into is not None:
                _place(taken, into, Path(folder))
        finally:
            taken.connection.close()


def _place(taken: Taken, into: Path, folder: Path) -> None:
    if into.suffix in DUCKDB:
        taken.connection.execute("CHECKPOINT")
        taken.connection.close()
        taken.file.chmod(0o600)
        taken.file.rename(into)
        return
    parquet = folder / "parquet"
    parquet.mkdir(mode=0o700)
    for (table,) in taken.connection.execute("SELECT table_name FROM duckdb_tables()").fetchall():
        path = str(parquet / f"{table}.parquet").replace("'", "''")
        taken.connection.execute(f"COPY {table} TO '{path}' (FORMAT parquet)")
    shutil.move(parquet, into)
