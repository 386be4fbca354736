"""The hub's own tree of a publisher's log: the leaves of what was accepted under seals, which outlives every base."""

from collections import Counter
from collections.abc import Iterable
from pathlib import Path

from connectors.home.folder import Home
from connectors.proof.read_log import ReadLog
from repository.proof.judgement import Finding, Leaves, intruded, missing_from, rewritten_at
from repository.proof.seal import Seal
from repository.proof.tree_files import TreeFiles


def hub_tree_folder(home: Home, publisher: str, algorithm: str) -> Path:
    """Where the hub keeps the tree of what it accepted of a publisher."""
    return home.folder / "base" / "trees" / publisher / algorithm


class HubTree:
    """The hub's tree while seals are judged: `until` appends leaves as they are asked for, `keep` keeps those that were accepted.

    It is a `ReadTree`. That the base was read from the log that the tree was made of is compared once per base and size.
    """

    def __init__(self, log: ReadLog, tree: TreeFiles) -> None:
        self.log, self.tree = log, tree
        self.accepted = Leaves(tree.size, tree.counts, tree.position, tree.subtree)
        self._counts = Counter(tree.counts)
        self._proved, position = log.proved(tree.algorithm.name)
        self._differs = _first_difference(log, tree, self._proved, position)
        self.changed: Finding | None = self._differs or _grown(log, tree)

    def until(self, position: int) -> Leaves:
        """The leaves up to a position, as the base holds them behind what was accepted."""
        if position < self.tree.last_position:
            self.tree.rollback()
            self._counts = Counter(self.tree.counts)
        self._counts.update(self.log.counts(position, self.tree.last_position))
        for positions, leaves in self.log.leaves(self.tree.algorithm.name, self.tree.last_position, position):
            self.tree.append(positions, leaves)
        return Leaves(self.tree.size, dict(self._counts), self.tree.position, self.tree.subtree)

    def keep(self, accepted: Iterable[Seal]) -> None:
        """Keep the leaves that the largest of these seals covers; what was appended besides is forgotten."""
        largest = max(accepted, key=lambda seal: seal.size, default=None)
        if largest is not None and largest.size > self.accepted.size:
            self.tree.commit(largest.counts, largest.size)
        elif self.tree.size > self.accepted.size:
            self.tree.rollback()
        if self._differs is None and self.tree.size > self._proved:
            self.log.note_proved(self.tree.algorithm.name, self.tree.size, self.tree.last_position)


def _first_difference(log: ReadLog, tree: TreeFiles, size: int, position: int) -> Finding | None:
    """The first leaf of the tree that is not the log's, behind the first `size` up to `position`; None where all are."""
    if size >= tree.size:
        return None
    for positions, leaves in log.leaves(tree.algorithm.name, position, tree.last_position):
        end = min(size + len(positions), tree.size)
        for at, mine in enumerate(zip(tree.positions(size, end), tree.leaves(size, end), strict=True)):
            if mine != (positions[at], bytes(leaves[at])):
                return rewritten_at(min(mine[0], positions[at]), mine, (positions[at], bytes(leaves[at])))
        size += len(positions)
    return missing_from(tree.position(size), tree.leaf(size)) if size < tree.size else None


def _grown(log: ReadLog, tree: TreeFiles) -> Finding | None:
    """A record that turned up between those that were accepted."""
    if sum(log.counts(tree.last_position).values()) == tree.size:
        return None
    seen = 0
    for positions, _ in log.leaves(tree.algorithm.name, 0, tree.last_position):
        for index, position in enumerate(positions, seen):
            if index >= tree.size or tree.position(index) != position:
                return intruded(position)
        seen += len(positions)
    return missing_from(tree.position(seen), tree.leaf(seen))
