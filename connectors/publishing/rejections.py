"""Dump rows that were not accepted: kept per publisher with file, line, value and reason, so that nothing is lost.

Identity numbers are masked before they get here. Importing the same batch again replaces its rejections.
"""

import sqlite3
from collections.abc import Collection, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

from connectors.dumps import Dump
from connectors.persons.naming import Naming

NO_ROW = 0
"""The record of a rejection that is about no row of the dump."""

COLUMNS = ("batch_id", "source", "file_name", "record", "line", "column", "value", "reason")


@dataclass(frozen=True, slots=True)
class Rejected:
    """One rejected row or fact. `line` is the physical line of the dump where known; `value` is masked and shortened."""

    batch_id: str
    source: str
    file_name: str
    record: int
    line: int | None
    column: str
    value: str
    reason: str


@dataclass
class Rejections:
    """What one import does not accept, as it is found; `keys` are those of rows that gave no fact, None: not readable."""

    batch_id: str
    source: str
    dump: Dump
    found: list[Rejected] = field(default_factory=list)
    keys: list[str | None] = field(default_factory=list)

    def add(self, record: int, column: str, value: str, reason: str, line: int | None = None) -> None:
        """Note one; where its line is not known, it is found by its record."""
        self.found.append(Rejected(self.batch_id, self.source, self.dump.path.name, record, line, column, value, reason))

    def in_order(self) -> list[Rejected]:
        """All of them, each with its line, in the order of the dump."""
        unknown = {each.record for each in self.found if each.line is None and each.record != NO_ROW}
        lines = self.dump.lines(unknown) if unknown else {}
        numbered = (replace(r, line=lines.get(r.record)) if r.line is None else r for r in self.found)
        return sorted(numbered, key=lambda r: r.record)


WITHHELD_KEY = "(withheld)"
"""Stands in a rejection for the key of somebody who is erased or restricted: the rejections are read by people."""


def unnamed(rejected: Iterable[Rejected], texts: Collection[str]) -> list[Rejected]:
    """Rejections without these texts, keys and pseudonyms of persons."""
    naming = Naming(texts, WITHHELD_KEY)
    without = ((each, naming.without(each.value, each.column, each.reason)) for each in rejected)
    return [replace(each, value=value, reason=reason) for each, (value, reason) in without]


@contextmanager
def _table(path: Path) -> Iterator[sqlite3.Connection]:
    connection = sqlite3.connect(path)
    try:
        with connection:
            listing = ", ".join(f'"{name}"' for name in COLUMNS)
            connection.execute(f"CREATE TABLE IF NOT EXISTS rejections ({listing})")
            connection.execute("CREATE INDEX IF NOT EXISTS by_batch ON rejections (batch_id)")
            yield connection
    finally:
        connection.close()


def keep(path: Path, batch_id: str, rejected: Iterable[Rejected]) -> None:
    """Store the rejections of one batch in place of any kept for it before."""
    with _table(path) as connection:
        connection.execute("DELETE FROM rejections WHERE batch_id = ?", [batch_id])
        rows = (tuple(asdict(each).values()) for each in rejected)
        connection.executemany(f"INSERT INTO rejections VALUES ({', '.join('?' * len(COLUMNS))})", rows)


def kept(path: Path, limit: int) -> list[Rejected]:
    """The newest rejections first, at most `limit`; none where the publisher has none."""
    if not path.exists():
        return []
    with _table(path) as connection:
        rows = connection.execute("SELECT * FROM rejections ORDER BY rowid DESC LIMIT ?", [limit]).fetchall()
    return [Rejected(*row) for row in rows]
