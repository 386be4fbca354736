"""What the hub found of seals, and its countersignatures: a small file of its own that outlives rebuilds of the base.

Rows are only ever added; the file refuses to change or delete one. A later finding of the same seal is a further row.
"""

import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import NamedTuple

import duckdb

from connectors.home.folder import Home
from repository.proof.judgement import ACCEPTED, Finding, SealFinding, SealHistory
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


class SealVerdict(NamedTuple):
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

    def publishers(self) -> list[str]:
        """Publishers of whose seals something was found."""
        return [code for (code,) in self.file.execute("SELECT DISTINCT publisher FROM seal_verdicts ORDER BY publisher")]

    def histories(self, publisher: str) -> dict[int, SealHistory]:
        """What was found of each seal of a publisher, by its number."""
        found: dict[int, SealHistory] = {}
        rows = self.file.execute("SELECT * FROM seal_verdicts WHERE publisher = ? ORDER BY verdict_no", [publisher])
        for row in map(SealVerdict._make, rows):
            extent = (row.tree_size, row.last_position)
            found.setdefault(row.seal_no, SealHistory()).add(row.finding, extent, datetime.fromisoformat(row.judged_at))
        return found

    def covering(self, publisher: str, position: int) -> SealVerdict | None:
        """The first accepted seal that covers a position, as its newest verdict says."""
        newest = "SELECT max(verdict_no) FROM seal_verdicts GROUP BY publisher, seal_no"
        sql = (
            "SELECT * FROM seal_verdicts WHERE publisher = ? AND last_position >= ? AND verdict = ? "
            f"AND verdict_no IN ({newest}) ORDER BY tree_size LIMIT 1"
        )
        row = self.file.execute(sql, [publisher, position, ACCEPTED]).fetchone()
        return SealVerdict(*row) if row else None

    def accepted(self, publisher: str) -> list[SealVerdict]:
        """Every seal that was ever accepted, by size; a later doubt does not take that back."""
        sql = "SELECT * FROM seal_verdicts WHERE publisher = ? AND verdict = ? GROUP BY seal_no ORDER BY tree_size"
        return [SealVerdict(*row) for row in self.file.execute(sql, [publisher, ACCEPTED])]

    def note(self, publisher: str, seal_no: int) -> Note | None:
        """The seal's note with the hub's countersignature."""
        sql = "SELECT note FROM countersigned_seals WHERE publisher = ? AND seal_no = ? LIMIT 1"
        found = self.file.execute(sql, [publisher, seal_no]).fetchall()
        return Note.parse(found[0][0]) if found else None

    def countersigned_numbers(self, publisher: str) -> set[int]:
        """Numbers of the seals of a publisher that were countersigned."""
        sql = "SELECT seal_no FROM countersigned_seals WHERE publisher = ?"
        return {number for (number,) in self.file.execute(sql, [publisher])}

    def countersigned_publishers(self) -> set[str]:
        """Publishers of whom a seal was countersigned."""
        return {code for (code,) in self.file.execute("SELECT DISTINCT publisher FROM countersigned_seals")}

    def countersigned(self, publisher: str) -> list[tuple[Note, bytes]]:
        """All countersigned seals of a publisher with their marks, by size."""
        sql = "SELECT note, marks FROM countersigned_seals WHERE publisher = ? ORDER BY tree_size"
        return [(Note.parse(note), marks) for note, marks in self.file.execute(sql, [publisher])]

    # -- adding --

    def add(
        self, publisher: str, found: Iterable[SealFinding], countersigned: Iterable[tuple[Seal, Note]], now: datetime
    ) -> None:
        """Add what was found of a publisher's seals, and the notes of accepted ones with the hub's countersignature."""
        verdicts = [
            (
                publisher, number, size, position, finding.verdict, now.isoformat(), finding.first_bad_position,
                finding.last_bad_position, finding.expected, finding.found, finding.reason,
            )
            for number, size, position, finding in found
        ]  # fmt: skip
        notes = [
            (publisher, seal.number, seal.size, seal.last_position, now.isoformat(), str(note), seal.marks.data)
            for seal, note in countersigned
        ]
        with self.file:
            self.file.executemany("INSERT INTO seal_verdicts VALUES (NULL, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)", verdicts)
            self.file.executemany("INSERT INTO countersigned_seals VALUES (?, ?, ?, ?, ?, ?, ?)", notes)

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
