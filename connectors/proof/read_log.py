"""One publisher's log as a base has read it: the records of its seals, and the leaf hashes of all its records."""

from collections.abc import Iterator, Sequence
from typing import Any

import duckdb

from connectors.proof.key_ring import records
from projections.leaves import LEAF_COLUMN
from repository.proof.judgement import Finding, doubled
from repository.proof.merkle import SHA_256
from repository.proof.seal import KIND

READ_LEAVES = 100_000


class ReadLog:
    """What a base holds of one publisher's log."""

    def __init__(self, connection: duckdb.DuckDBPyConnection, publisher: str) -> None:
        self.connection, self.publisher = connection, publisher

    def _rows(self, sql: str, *given: object) -> list[tuple[Any, ...]]:
        return self.connection.execute(sql, [self.publisher, *given]).fetchall()

    def seal_records(self, after: int) -> list[dict[str, Any]]:
        """The records of the seals with a number above `after`."""
        return records(self.connection, KIND, "publisher = ? AND version > ?", self.publisher, after)

    def seal_numbers(self) -> frozenset[int]:
        """The numbers of all seals."""
        return frozenset(number for (number,) in self._rows("SELECT version FROM seal_history WHERE publisher = ?"))

    def counts(self, until: int, after: int = 0) -> dict[str, int]:
        """Leaves per kind at the positions after..until, the first excluded."""
        sql = "SELECT kind, count(*) FROM leaves WHERE publisher = ? AND position > ? AND position <= ? GROUP BY kind"
        return dict(self._rows(sql, after, until))

    def leaves(self, algorithm: str, after: int, until: int) -> Iterator[tuple[Sequence[int], Sequence[bytes]]]:
        """Positions and leaf hashes at the positions after..until, the first excluded, in portions."""
        sql = (
            f"SELECT position, {LEAF_COLUMN[algorithm]} FROM leaves "
            "WHERE publisher = ? AND position > ? AND position <= ? ORDER BY position"
        )
        cursor = self.connection.cursor().execute(sql, [self.publisher, after, until])
        while rows := cursor.fetchmany(READ_LEAVES):
            positions, leaves = zip(*rows, strict=True)
            yield positions, leaves

    def hashed_by(self, algorithm: str) -> bool:
        """Whether every leaf has its hash by an algorithm."""
        unhashed = f"SELECT 1 FROM leaves WHERE publisher = ? AND {LEAF_COLUMN[algorithm]} IS NULL LIMIT 1"
        return algorithm == SHA_256 or not self._rows(unhashed)

    def doubled(self) -> Finding | None:
        """The first position at which different records were read; None where there is none."""
        sql = """
            WITH first AS (SELECT publisher, min(position) AS position FROM leaf_conflicts WHERE publisher = ? GROUP BY publisher)
            SELECT position, leaf FROM leaves SEMI JOIN first USING (publisher, position)
            UNION SELECT position, leaf FROM leaf_conflicts SEMI JOIN first USING (publisher, position)
            """
        rows = self._rows(sql)
        return doubled(rows[0][0], [bytes(leaf) for _, leaf in rows]) if rows else None

    def proved(self, algorithm: str) -> tuple[int, int]:
        """How many leaves, up to which position, were found to be those that the hub's tree holds."""
        sql = "SELECT size, last_position FROM proved WHERE publisher = ? AND algorithm = ? ORDER BY size DESC LIMIT 1"
        size, position = (*self._rows(sql, algorithm), (0, 0))[0]
        return size, position

    def note_proved(self, algorithm: str, size: int, last_position: int) -> None:
        """Note how many leaves are those that the hub's tree holds."""
        self._rows("INSERT INTO proved VALUES (?, ?, ?, ?)", algorithm, size, last_position)
