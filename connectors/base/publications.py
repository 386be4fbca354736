"""What the base showed when: every commit's positions, in a small file of its own that outlives rebuilds of the base."""

import sqlite3
from pathlib import Path

import duckdb

CREATE = """
CREATE TABLE IF NOT EXISTS publications (
    base TEXT, commit_no INTEGER, committed_at TEXT, positions TEXT, PRIMARY KEY (base, commit_no)
)
"""


class Publications:
    """The file of publications; written and read only by the process that owns the base."""

    def __init__(self, path: Path) -> None:
        self.file = sqlite3.connect(path, check_same_thread=False)
        with self.file:
            self.file.execute(CREATE)

    def close(self) -> None:
        self.file.close()

    def files(self) -> list[str]:
        """Names of the base files under which something was noted."""
        return [name for (name,) in self.file.execute("SELECT DISTINCT base FROM publications")]

    def note(self, base: str, connection: duckdb.DuckDBPyConnection) -> None:
        """Note the commits of the base file `base` that are not noted yet."""
        newest = self.file.execute("SELECT max(commit_no) FROM publications WHERE base = ?", [base]).fetchall()[0][0]
        rows = connection.execute(
            "SELECT ?, commit_no, committed_at::VARCHAR, to_json(positions)::VARCHAR FROM commits "
            "WHERE commit_no > ? ORDER BY commit_no",
            [base, newest or 0],
        ).fetchall()
        with self.file:
            self.file.executemany("INSERT INTO publications VALUES (?, ?, ?, ?)", rows)

    def load(self, base: str, connection: duckdb.DuckDBPyConnection) -> None:
        """Put what other files published into the base file `base`, where readers find it."""
        rows = self.file.execute("SELECT * FROM publications WHERE base <> ?", [base]).fetchall()
        connection.execute("BEGIN TRANSACTION")
        connection.execute("DELETE FROM earlier_publications")
        if rows:
            connection.executemany("INSERT INTO earlier_publications VALUES (?, ?, ?, ?)", rows)
        connection.execute("COMMIT")
