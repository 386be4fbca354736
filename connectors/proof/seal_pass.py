"""One pass over a publisher's seals, in order: each held against what was read, and against what was accepted before."""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path

import duckdb

from connectors.home.folder import Home
from connectors.proof.key_ring import KeyRing, records
from connectors.proof.sealing import HUB, signer
from connectors.proof.verdicts import Row, Verdicts
from projections.leaves import LEAF_COLUMN
from repository.keys.secret_files import KeyRefused
from repository.proof.judgement import (
    ACCEPTED,
    ALTERED,
    PENDING,
    REFUSED,
    REWRITTEN,
    WITHHELD,
    Finding,
    Leaves,
    doubled,
    held_against,
    missing_from,
    rewritten_at,
    shrunk,
)
from repository.proof.merkle import SHA_256
from repository.proof.seal import KIND, NotASeal, Seal, first_differing, seal_of_record
from repository.proof.signed_note import Note, NoteRefused
from repository.proof.tree_files import TreeDamaged, TreeFiles, opened_tree

READ_LEAVES = 100_000


def hub_tree_folder(home: Home, publisher: str, algorithm: str) -> Path:
    """Where the hub keeps the tree of what it accepted of a publisher."""
    return home.folder / "base" / "trees" / publisher / algorithm


def grace(home: Home) -> timedelta:
    """How long a seal may wait for what it covers."""
    return timedelta(seconds=home.settings.seal_grace_s)


@dataclass(frozen=True)
class _Numbered:
    """A seal record as it came: its number, and the seal and note, or why they can't be read."""

    number: int
    seal: Seal | None
    note: Note | None
    reason: str


@dataclass
class Settled:
    """The seals of a publisher that need no second look in this base: all up to `number` were accepted."""

    conflicts_and_keys: tuple[int, ...]
    number: int = 0
    largest: dict[str, Seal] = field(default_factory=dict)


class SealPass:
    """One pass over the seals of one publisher in a base."""

    def __init__(
        self,
        home: Home,
        verdicts: Verdicts,
        connection: duckdb.DuckDBPyConnection,
        keys: KeyRing,
        publisher: str,
        now: datetime,
    ) -> None:
        self.home, self.verdicts, self.connection = home, verdicts, connection
        self.keys, self.publisher, self.now = keys, publisher, now
        self.changed = False
        self.settled = Settled(())
        self._prefixes: dict[str, Finding | None] = {}

    def judge(self, settled: Settled) -> bool:
        """Judge the publisher's seals behind the settled ones, in order; whether anything was found that was not known."""
        self.settled = settled
        expected, standing, largest = settled.number + 1, True, dict(settled.largest)
        for numbered in self._seals(settled.number):
            if numbered.number != expected and self._waits(numbered, f"Seal {expected} has not arrived."):
                break
            standing = standing and numbered.number == expected
            expected = numbered.number + 1
            finding = self._judged(numbered, largest)
            if finding.verdict == WITHHELD and self._waits(numbered, finding.reason):
                break
            self._found(numbered.number, numbered.seal, finding)
            standing = standing and finding.verdict == ACCEPTED
            if standing:
                settled.number, settled.largest = numbered.number, dict(largest)
        self._miss_accepted()
        return self.changed

    def _miss_accepted(self) -> None:
        """Seals that were accepted once and are no longer in the log that this base was read from."""
        rows = self.connection.execute(
            "SELECT DISTINCT version FROM seal_history WHERE publisher = ?", [self.publisher]
        ).fetchall()
        present = {number for (number,) in rows}
        for row in self.verdicts.accepted(self.publisher):
            if row.seal_no not in present:
                self._miss(row)

    def _miss(self, row: Row) -> None:
        reason = f"Seal {row.seal_no} was accepted and is no longer in the log."
        finding = self._missing_leaves(row) or Finding(WITHHELD, reason, row.last_position + 1)
        if finding.verdict != WITHHELD or self._grace_over(row.seal_no):
            self._found_of(row.seal_no, row.tree_size, row.last_position, finding)
        else:
            self._found_of(row.seal_no, row.tree_size, row.last_position, Finding(PENDING, finding.reason))

    def _missing_leaves(self, row: Row) -> Finding | None:
        algorithm = self.home.settings.seal_hash
        try:
            with opened_tree(hub_tree_folder(self.home, self.publisher, algorithm), algorithm) as tree:
                changed = self._compared(algorithm, tree, 0, 0)
        except TreeDamaged as error:
            return Finding(REFUSED, str(error))
        if changed is None or changed.first_bad_position is None or changed.first_bad_position > row.last_position:
            return None
        return changed

    def _seals(self, after: int) -> list[_Numbered]:
        found = []
        for record in records(self.connection, KIND, "publisher = ? AND version > ?", self.publisher, after):
            try:
                seal, note = seal_of_record(record)
                found.append(_Numbered(seal.number, seal, note, ""))
            except NotASeal as error:
                found.append(_Numbered(int(record["version"]), None, None, str(error)))
        return sorted(found, key=lambda each: each.number)

    def grew_within(self, settled: Settled) -> bool:
        """Whether records turned up, or went, between those that the settled seals cover."""
        return any(sum(self._counts(s.last_position).values()) != s.size for s in settled.largest.values())

    def _waits(self, numbered: _Numbered, why: str) -> bool:
        """Whether a seal is still within its grace; then it is noted as pending, and nothing after it is judged."""
        if self._grace_over(numbered.number):
            return False
        self._found(numbered.number, numbered.seal, Finding(PENDING, why))
        return True

    def _grace_over(self, number: int) -> bool:
        """Whether a seal has waited for its records for longer than the grace."""
        since = self.verdicts.pending_since(self.publisher, number)
        return since is not None and self.now >= since + grace(self.home)

    def _found(self, number: int, seal: Seal | None, finding: Finding) -> None:
        """Add a finding where it is not what was found last."""
        size, position = (0, 0) if seal is None else (seal.size, seal.last_position)
        self._found_of(number, size, position, finding)

    def _found_of(self, number: int, size: int, position: int, finding: Finding) -> None:
        last = self.verdicts.last(self.publisher, number)
        if last is not None and last.finding == finding:
            return
        self.verdicts.add(self.publisher, number, size, position, finding, self.now)
        self.changed = True

    # -- one seal --

    def _judged(self, numbered: _Numbered, largest: dict[str, Seal]) -> Finding:
        """What one seal comes to; an accepted one is countersigned, and is the largest from then on."""
        seal, note = numbered.seal, numbered.note
        if seal is None or note is None:
            return Finding(REFUSED, numbered.reason)
        try:
            note.check(self.keys.key(self.publisher, seal.last_position))
            finding = self._of_signed(seal, largest.get(seal.algorithm))
        except (NoteRefused, KeyRefused, TreeDamaged) as error:
            return Finding(REFUSED, str(error))
        if finding.verdict == ACCEPTED:
            largest[seal.algorithm] = seal
            self._countersign(seal, note)
        return finding

    def _of_signed(self, seal: Seal, largest: Seal | None) -> Finding:
        if largest is not None and (seal.size <= largest.size or seal.last_position <= largest.last_position):
            return shrunk(seal, largest)
        if not self._has_leaves(seal.algorithm):
            return Finding(
                REFUSED, f'The base holds no {seal.algorithm} hashes; set seal_hash = "{seal.algorithm}" and run `yrd rebuild`.'
            )
        with opened_tree(hub_tree_folder(self.home, self.publisher, seal.algorithm), seal.algorithm, True) as tree:
            return self._held_against_tree(seal, tree)

    def _has_leaves(self, algorithm: str) -> bool:
        if algorithm == SHA_256:
            return True
        sql = f"SELECT 1 FROM leaves WHERE publisher = ? AND {LEAF_COLUMN[algorithm]} IS NULL LIMIT 1"
        return not self.connection.execute(sql, [self.publisher]).fetchall()

    def _held_against_tree(self, seal: Seal, tree: TreeFiles) -> Finding:
        conflict = self._conflict(seal)
        if conflict is not None:
            return conflict
        if seal.algorithm not in self._prefixes:
            self._prefixes[seal.algorithm] = self._prefix_changed(seal, tree)
        changed = self._prefixes[seal.algorithm]
        if changed is not None and changed.first_bad_position is not None and changed.first_bad_position <= seal.last_position:
            return changed
        # Accepted before, with the leaves that this base holds as well: then the root decides.
        return _of_tree(seal, tree) if seal.size <= tree.size else self._extended(seal, tree)

    def _extended(self, seal: Seal, tree: TreeFiles) -> Finding:
        """Hold the leaves behind the tree's end against a seal; where they are whole, the tree grows by them."""
        counts = Counter(tree.counts) + Counter(self._counts(seal.last_position, tree.last_position))
        for positions, leaves in self._leaves(seal.algorithm, tree.last_position, seal.last_position):
            tree.append(positions, leaves)
        finding = held_against(seal, Leaves(tree.size, counts, tree.position, tree.subtree))
        if finding.verdict == ACCEPTED:
            tree.commit(counts)
            self._note_proved(tree)
        else:
            tree.rollback()
        return finding

    def _leaves(self, algorithm: str, after: int, until: int) -> Iterator[tuple[Sequence[int], Sequence[bytes]]]:
        sql = (
            f"SELECT position, {LEAF_COLUMN[algorithm]} FROM leaves "
            "WHERE publisher = ? AND position > ? AND position <= ? ORDER BY position"
        )
        cursor = self.connection.cursor().execute(sql, [self.publisher, after, until])
        while rows := cursor.fetchmany(READ_LEAVES):
            positions, leaves = zip(*rows, strict=True)
            yield positions, leaves

    def _counts(self, until: int, after: int = 0) -> dict[str, int]:
        sql = "SELECT kind, count(*) FROM leaves WHERE publisher = ? AND position > ? AND position <= ? GROUP BY kind"
        return dict(self.connection.execute(sql, [self.publisher, after, until]).fetchall())

    def _conflict(self, seal: Seal) -> Finding | None:
        """Two different records at one position: one of them is not what the publisher recorded."""
        rows = self.connection.execute(
            "SELECT position, leaf FROM leaf_conflicts WHERE publisher = ? AND position <= ? ORDER BY position, leaf LIMIT 1",
            [self.publisher, seal.last_position],
        ).fetchall()
        if not rows:
            return None
        position = rows[0][0]
        both = self.connection.execute(
            "SELECT leaf FROM leaves WHERE publisher = $1 AND position = $2 UNION "
            "SELECT leaf FROM leaf_conflicts WHERE publisher = $1 AND position = $2",
            [self.publisher, position],
        ).fetchall()
        return doubled(position, [bytes(leaf) for (leaf,) in both])

    # -- what was accepted before --

    def _prefix_changed(self, seal: Seal, tree: TreeFiles) -> Finding | None:
        """Whether this base was read from another log than the tree was made of: compared once per base and size."""
        rows = self.connection.execute(
            "SELECT max(size), max_by(last_position, size) FROM proved WHERE publisher = ? AND algorithm = ?",
            [self.publisher, seal.algorithm],
        ).fetchall()
        size, position = rows[0][0] or 0, rows[0][1] or 0
        if size < tree.size:
            finding = self._compared(seal.algorithm, tree, size, position)
            if finding is not None:
                return finding
            self._note_proved(tree)
        return self._prefix_grew(tree)

    def _compared(self, algorithm: str, tree: TreeFiles, size: int, position: int) -> Finding | None:
        for positions, leaves in self._leaves(algorithm, position, tree.last_position):
            end = min(size + len(positions), tree.size)
            for at, mine in enumerate(zip(tree.positions(size, end), tree.leaves(size, end), strict=True)):
                if mine != (positions[at], bytes(leaves[at])):
                    return rewritten_at(min(mine[0], positions[at]), mine, (positions[at], bytes(leaves[at])))
            size += len(positions)
        if size < tree.size:
            return missing_from(tree.position(size), tree.leaf(size))
        return None

    def _prefix_grew(self, tree: TreeFiles) -> Finding | None:
        """A record that turns up later between those that were accepted."""
        counted = self._counts(tree.last_position)
        if sum(counted.values()) == tree.size:
            return None
        seen = 0
        for positions, _ in self._leaves(tree.algorithm.name, 0, tree.last_position):
            for at, position in enumerate(positions):
                if seen + at >= tree.size or tree.position(seen + at) != position:
                    reason = f"A record stands at position {position} that was not there when the log was accepted."
                    return Finding(ALTERED, reason, position, position, "no record", "a record")
            seen += len(positions)
        return missing_from(tree.position(seen), tree.leaf(seen))

    def _note_proved(self, tree: TreeFiles) -> None:
        given = [self.publisher, tree.algorithm.name, tree.size, tree.last_position]
        self.connection.execute("INSERT INTO proved VALUES (?, ?, ?, ?)", given)

    # -- countersigning --

    def _countersign(self, seal: Seal, note: Note) -> None:
        key = signer(self.home, HUB)
        if key is None or self.verdicts.note(self.publisher, seal.number) is not None:
            return
        signature = key.sign(note.text, int(self.now.timestamp()))
        self.verdicts.countersign(seal, note.with_signature(signature), self.now)
        self.changed = True


def _of_tree(seal: Seal, tree: TreeFiles) -> Finding:
    root = tree.root(seal.size)
    if root == seal.root and tree.position(seal.size - 1) == seal.last_position:
        return Finding(ACCEPTED, f"All {seal.size} records up to position {seal.last_position} are those that were sealed.")
    low, high = _differing_leaves(seal, tree)
    return Finding(
        REWRITTEN, f"The tree of {seal.size} leaves was accepted with another root; the publisher seals another history.",
        low, high, f"root {root.hex()}", f"root {seal.root.hex()}",
    )  # fmt: skip


def _differing_leaves(seal: Seal, tree: TreeFiles) -> tuple[int | None, int | None]:
    block = first_differing(seal, tree.size, tree.subtree)
    return (None, None) if block is None else (tree.position(block[0]), tree.position(min(block[1], tree.size) - 1))
