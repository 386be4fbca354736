"""What the hub found of seals, and its countersignatures: a small file of its own that outlives rebuilds of the base.

Rows are only ever added; the file refuses to change or delete one. A later finding of the same seal is a further row.
"""

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import NamedTuple

import duckdb

from connectors.home.folder import Home
from repository.proof.judgement import ACCEPTED, PENDING, Finding
from repository.proof.seal import Seal
from repository.proof.signed_note import Note

CREATE = """
CREATE TABLE IF NOT EXISTS seal_verdicts (
    verdict_no INTEGER PRIMARY KEY, publisher TEXT, seal_no INTEGER, tree_size INTEGER, last_position INTEGER, verdict TEXT,
    judged_at TEXT, first_bad_position INTEGER, last_bad_position INTEGER, expected TEXT, found TEXT, reason TEXT
);
CREATE TABLE IF NOT EXISTS countersigned_seals (
    publisher TEXT, seal_no INTEGER, tree_size INTEGER, last_position INTEGER, signed_at TEXT, note TEXT, marks BLOB
);
"""
TABLES = ("seal_verdicts", "countersigned_seals")
APPEND_ONLY = """
CREATE TRIGGER IF NOT EXISTS {table}_{change} BEFORE {change} ON {table}
BEGIN SELECT raise(ABORT, 'what was found of a seal is never changed'); END
"""


class Row(NamedTuple):
    """One row of `seal_verdicts`, in the order of its columns."""

    verdict_no: int
    publisher: str
    seal_no: int
    tree_size: int
    last_position: int
    verdict: str
    judged_at: str
    first_bad_position: int | None
    last_bad_position: int | None
    expected: str | None
    found: str | None
    reason: str

    @property
    def finding(self) -> Finding:
        return Finding(self.verdict, self.reason, self.first_bad_position, self.last_bad_position, self.expected, self.found)


@contextmanager
def recorded_verdicts(home: Home) -> Iterator["Verdicts | None"]:
    """What the hub of a home found of seals; None where it never looked."""
    path = verdicts_file(home)
    if not path.exists():
        yield None
        return
    verdicts = Verdicts(path)
    try:
        yield verdicts
    finally:
        verdicts.close()


def verdicts_file(home: Home) -> Path:
    """Where the hub of a home keeps what it found of seals."""
    return home.folder / "base" / "proofs.sqlite"


class Verdicts:
    """The file of verdicts; written only by the process that owns the base."""

    def __init__(self, path: Path) -> None:
        self.file = sqlite3.connect(path, check_same_thread=False)
        self.file.executescript(CREATE)
        for table in TABLES:
            for change in ("UPDATE", "DELETE"):
                self.file.execute(APPEND_ONLY.format(table=table, change=change))
        self.file.commit()

    def close(self) -> None:
        self.file.close()

    # -- reading --

    def last(self, publisher: str, seal_no: int) -> Row | None:
        """The newest verdict on a seal."""
        return self._row("publisher = ? AND seal_no = ? ORDER BY verdict_no DESC", publisher, seal_no)

    def publishers(self) -> list[str]:
        """Publishers of whose seals something was found."""
        return [code for (code,) in self.file.execute("SELECT DISTINCT publisher FROM seal_verdicts ORDER BY publisher")]

    def pending_since(self, publisher: str, seal_no: int) -> datetime | None:
        """Since when the hub waits, or has waited and found nothing, for what a seal covers; None where it does not.

        Counted anew after every acceptance: what was there once and is missed now gets the whole grace again.
        """
        accepted = "SELECT max(verdict_no) FROM seal_verdicts WHERE publisher = ?1 AND seal_no = ?2 AND verdict = ?4"
        waiting = (
            f"publisher = ?1 AND seal_no = ?2 AND verdict = ?3 AND verdict_no > coalesce(({accepted}), 0) ORDER BY verdict_no"
        )
        row = self._row(waiting, publisher, seal_no, PENDING, ACCEPTED)
        return datetime.fromisoformat(row.judged_at) if row else None

    def oldest_pending(self, publisher: str) -> datetime | None:
        """Since when the oldest seal of a publisher waits."""
        newest = "SELECT max(verdict_no) FROM seal_verdicts WHERE publisher = ? GROUP BY seal_no"
        sql = f"SELECT seal_no FROM seal_verdicts WHERE verdict_no IN ({newest}) AND verdict = ? ORDER BY seal_no"
        waiting = [self.pending_since(publisher, number) for (number,) in self.file.execute(sql, [publisher, PENDING]).fetchall()]
        return min((since for since in waiting if since is not None), default=None)

    def covering(self, publisher: str, position: int) -> Row | None:
        """The first accepted seal that covers a position, as its newest verdict says."""
        newest = "verdict_no IN (SELECT max(verdict_no) FROM seal_verdicts GROUP BY publisher, seal_no)"
        return self._row(
            f"publisher = ? AND last_position >= ? AND verdict = ? AND {newest} ORDER BY tree_size", publisher, position, ACCEPTED
        )

    def accepted(self, publisher: str) -> list[Row]:
        """Every seal that was ever accepted, by size; a later doubt does not take that back."""
        sql = "SELECT * FROM seal_verdicts WHERE publisher = ? AND verdict = ? GROUP BY seal_no ORDER BY tree_size"
        return [Row(*row) for row in self.file.execute(sql, [publisher, ACCEPTED])]

    def _row(self, condition: str, *values: object) -> Row | None:
        found = self.file.execute(f"SELECT * FROM seal_verdicts WHERE {condition} LIMIT 1", values).fetchall()
        return Row(*found[0]) if found else None

    def note(self, publisher: str, seal_no: int) -> Note | None:
        """The seal's note with the hub's countersignature."""
        sql = "SELECT note FROM countersigned_seals WHERE publisher = ? AND seal_no = ? LIMIT 1"
        found = self.file.execute(sql, [publisher, seal_no]).fetchall()
        return Note.parse(found[0][0]) if found else None

    def countersigned_publishers(self) -> set[str]:
        """Publishers of whom a seal was countersigned."""
        return {code for (code,) in self.file.execute("SELECT DISTINCT publisher FROM countersigned_seals")}

    def countersigned(self, publisher: str) -> list[tuple[Note, bytes]]:
        """All countersigned seals of a publisher with their marks, by size."""
        sql = "SELECT note, marks FROM countersigned_seals WHERE publisher = ? ORDER BY tree_size"
        return [(Note.parse(note), marks) for note, marks in self.file.execute(sql, [publisher])]

    # -- adding --

    def add(self, publisher: str, seal_no: int, size: int, last_position: int, finding: Finding, now: datetime) -> None:
        """Add what was found of a seal that may be unreadable, so that nothing but its number is known."""
        with self.file:
            self.file.execute(
                "INSERT INTO seal_verdicts VALUES (NULL, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                [
                    publisher, seal_no, size, last_position, finding.verdict, now.isoformat(), finding.first_bad_position,
                    finding.last_bad_position, finding.expected, finding.found, finding.reason,
                ],
            )  # fmt: skip

    def countersign(self, seal: Seal, note: Note, now: datetime) -> None:
        """Keep an accepted seal's note with the hub's countersignature."""
        given = [seal.publisher, seal.number, seal.size, seal.last_position, now.isoformat(), str(note), seal.marks.data]
        with self.file:
            self.file.execute("INSERT INTO countersigned_seals VALUES (?, ?, ?, ?, ?, ?, ?)", given)

    def load(self, connection: duckdb.DuckDBPyConnection) -> None:
        """Put all of it into the base, where readers find it."""
        connection.execute("BEGIN TRANSACTION")
        for table in TABLES:
            rows: Sequence[tuple[object, ...]] = self.file.execute(f"SELECT * FROM {table}").fetchall()
            connection.execute(f"DELETE FROM {table}")
            if rows:
                marks = ", ".join("?" * len(rows[0]))
                connection.executemany(f"INSERT INTO {table} VALUES ({marks})", rows)
        connection.execute("COMMIT")
