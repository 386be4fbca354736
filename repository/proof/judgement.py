"""Holding a log against its seals: whole, or what is wrong with it and from which position on. Pure functions.

`held_against` judges one seal by the leaves that it covers; `judged` goes through the seals of a publisher in order, by all
that was gathered of them before.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final, NamedTuple, Protocol, TypeGuard

from repository.proof.merkle import Subtree
from repository.proof.seal import MARK_BYTES, Seal, first_differing
from repository.proof.signed_note import Note
from repository.proof.tree_files import TreeDamaged

ACCEPTED: Final = "accepted"
PENDING: Final = "pending"
WITHHELD: Final = "withheld"
ALTERED: Final = "altered"
REWRITTEN: Final = "rewritten"
REFUSED: Final = "refused"
VERDICTS: Final = (PENDING, ACCEPTED, WITHHELD, ALTERED, REWRITTEN, REFUSED)


@dataclass(frozen=True, slots=True)
class Finding:
    """What a seal came to. Positions, expected and found are None where the log is whole, or the place can't be told."""

    verdict: str
    reason: str
    first_bad_position: int | None = None
    last_bad_position: int | None = None
    expected: str | None = None
    found: str | None = None


@dataclass(frozen=True, slots=True)
class Leaves:
    """The leaves of a log up to a seal's last position, as they are found: number, number per kind, positions and hashes."""

    size: int
    counts: Mapping[str, int]
    position: Callable[[int], int]
    subtree: Subtree


def held_against(seal: Seal, leaves: Leaves) -> Finding:
    """The log up to the seal's last position, held against it: accepted, withheld (fewer) or altered (more, or different)."""
    if leaves.size < seal.size:
        return _misses(seal, leaves)
    if leaves.size > seal.size or dict(leaves.counts) != dict(seal.counts):
        return _differs(seal, leaves, listing(seal.counts), listing(leaves.counts), "holds other records than were sealed")
    root = leaves.subtree(0, seal.size)
    if root != seal.root:
        return _differs(seal, leaves, f"root {seal.root.hex()}", f"root {root.hex()}", "holds other bytes than were sealed")
    if leaves.position(seal.size - 1) != seal.last_position:
        found = leaves.position(seal.size - 1)
        return Finding(
            ALTERED, f"The last sealed record stands at position {found} and was sealed at {seal.last_position}.",
            found, seal.last_position, f"position {seal.last_position}", f"position {found}",
        )  # fmt: skip
    return _accepted(seal)


def _accepted(seal: Seal) -> Finding:
    return Finding(ACCEPTED, f"All {seal.size} records up to position {seal.last_position} are those that were sealed.")


def listing(counts: Mapping[str, int]) -> str:
    """Counts per kind as a text."""
    return ", ".join(f"{kind} {count}" for kind, count in sorted(counts.items())) or "none"


def _misses(seal: Seal, leaves: Leaves) -> Finding:
    first, last = _place(seal, leaves)
    missing = seal.size - leaves.size
    reason = (
        f"{missing} of {seal.size} sealed records {'has' if missing == 1 else 'have'} not arrived, the first at position {first}."
    )
    return Finding(WITHHELD, reason, first, last, listing(seal.counts), listing(leaves.counts))


def _differs(seal: Seal, leaves: Leaves, expected: str, found: str, what: str) -> Finding:
    block = first_differing(seal, leaves.size, leaves.subtree)
    first, last = _place(seal, leaves)
    if block is not None and leaves.size == seal.size:
        low, high = block
        number = low - (seal.marks.first << seal.marks.height) >> seal.marks.height
        expected = f"mark {seal.marks.mark(number).hex()}, {expected}"
        found = f"mark {leaves.subtree(low, high)[:MARK_BYTES].hex()}, {found}"
    where = f"position {first}" if first == last else f"a position from {first} to {last}"
    return Finding(ALTERED, f"The log {what}, beginning at {where}.", first, last, expected, found)


def _place(seal: Seal, leaves: Leaves) -> tuple[int, int]:
    """Positions between which the first difference lies; the first one exactly where a hole in the positions shows it."""
    if not len(seal.marks):
        return leaves.position(0) if leaves.size else 1, seal.last_position
    block = first_differing(seal, leaves.size, leaves.subtree)
    if block is None:
        # Before the marks, in what earlier seals cover; or one more record just before the end.
        low, high = 0, min(seal.marks.first << seal.marks.height, leaves.size) or leaves.size
    else:
        low, high = block
    before = leaves.position(min(low, leaves.size) - 1) if min(low, leaves.size) else 0
    if low >= leaves.size:
        return before + 1, seal.last_position
    end = min(high, leaves.size)
    if leaves.size < seal.size:
        return _hole(leaves, before, low, end) or (before + 1, leaves.position(end - 1) if end == high else seal.last_position)
    return leaves.position(low), leaves.position(end - 1)


def _hole(leaves: Leaves, before: int, low: int, end: int) -> tuple[int, int] | None:
    """The first positions without a record, just before or within the leaves low..end-1."""
    for index in range(low, end):
        position = leaves.position(index)
        if position > before + 1:
            return before + 1, position - 1
        before = position
    return None


def doubled(position: int, leaves: Iterable[bytes]) -> Finding:
    """Two different records at one position: one of them is not what the publisher recorded, and which can't be told."""
    found = " and ".join(f"leaf {leaf.hex()}" for leaf in sorted(leaves))
    return Finding(ALTERED, f"Different records were read at position {position}.", position, position, "one leaf", found)


# -- against what was accepted before -------------------------------------------------------------------------------


def shrunk(seal: Seal, largest: Seal) -> Finding:
    """What a later seal comes to that does not cover more than an accepted one before it."""
    if seal.size == largest.size and seal.root == largest.root and seal.last_position == largest.last_position:
        return Finding(ACCEPTED, f"Seal {seal.number} repeats seal {largest.number}.")
    if seal.size == largest.size:
        return Finding(
            REWRITTEN, f"Seals {largest.number} and {seal.number} give the same {seal.size} leaves different roots.",
            None, None, f"root {largest.root.hex()}", f"root {seal.root.hex()}",
        )  # fmt: skip
    reason = f"Seal {seal.number} covers {seal.size} leaves, and seal {largest.number} before it {largest.size}: the tree shrank."
    return Finding(REWRITTEN, reason, seal.last_position + 1, None, f"{largest.size} leaves or more", f"{seal.size} leaves")


def rewritten_at(position: int, accepted: tuple[int, bytes], found: tuple[int, bytes]) -> Finding:
    """Another leaf than was accepted: (position, leaf hash) as accepted and as found."""
    return Finding(
        REWRITTEN, f"The log has another record at position {position} than the one that was accepted under a seal.",
        position, position, f"leaf {accepted[1].hex()} at {accepted[0]}", f"leaf {found[1].hex()} at {found[0]}",
    )  # fmt: skip


def missing_from(position: int, leaf: bytes) -> Finding:
    """Fewer records than were accepted: withheld as long as they may still be on their way, which the grace decides."""
    reason = f"Records that were accepted under a seal are not there, the first at position {position}."
    return Finding(WITHHELD, reason, position, None, f"leaf {leaf.hex()}", "no record")


def intruded(position: int) -> Finding:
    """A record that turned up between those that were accepted."""
    reason = f"A record stands at position {position} that was not there when the log was accepted."
    return Finding(ALTERED, reason, position, position, "no record", "a record")


def _held_against_accepted(seal: Seal, accepted: Leaves) -> Finding:
    """A seal over leaves that were accepted before and are still there: then the root decides."""
    root = accepted.subtree(0, seal.size)
    if root == seal.root and accepted.position(seal.size - 1) == seal.last_position:
        return _accepted(seal)
    block = first_differing(seal, seal.size, accepted.subtree)
    low, high = (None, None) if block is None else (accepted.position(block[0]), accepted.position(block[1] - 1))
    return Finding(
        REWRITTEN, f"The tree of {seal.size} leaves was accepted with another root; the publisher seals another history.",
        low, high, f"root {root.hex()}", f"root {seal.root.hex()}",
    )  # fmt: skip


# -- the seals of a publisher, in order ------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class ArrivedSeal:
    """A seal as it came: its number, and its seal and note; `refused` says why it is not one, or not rightly signed."""

    number: int
    seal: Seal | None
    note: Note | None
    refused: str = ""

    @property
    def extent(self) -> tuple[int, int]:
        """Size and last position; 0 where the seal can't be read."""
        return (0, 0) if self.seal is None else (self.seal.size, self.seal.last_position)


@dataclass(slots=True)
class SealHistory:
    """What was found of one seal so far: the newest finding, size and last position as accepted, and since when it waits."""

    newest: Finding | None = None
    accepted: tuple[int, int] | None = None
    waits_since: datetime | None = None

    def add(self, finding: Finding, extent: tuple[int, int], moment: datetime) -> None:
        """Add a further finding. After an acceptance, what is missed has the whole grace again."""
        self.newest = finding
        if finding.verdict == ACCEPTED:
            self.accepted, self.waits_since = extent, None
        elif finding.verdict == PENDING and self.waits_since is None:
            self.waits_since = moment


class ReadTree(Protocol):
    """The leaves that were read of a log, hashed by one algorithm: those accepted before, and all up to a position.

    `changed` is the first difference from what was accepted; None where all of it is still there.
    """

    accepted: Leaves
    changed: Finding | None

    def until(self, position: int) -> Leaves: ...


@dataclass(frozen=True, slots=True)
class Settled:
    """The seals of a publisher that need no second look in a base: all up to `number` were accepted; the largest by algorithm."""

    number: int = 0
    largest: Mapping[str, Seal] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class SealEvidence:
    """All that is known of a publisher's seals behind the settled ones; `present` are the numbers of all that are in the log.

    `trees` gives the leaves by hash algorithm, `algorithm` is the one that the home seals by. What a seal has waited for since
    `waited_out` is withheld.
    """

    arrived: Sequence[ArrivedSeal]
    present: frozenset[int]
    history: Mapping[int, SealHistory]
    doubled: Finding | None
    algorithm: str
    trees: Callable[[str], ReadTree]
    waited_out: datetime

    def may_still_come(self, number: int) -> bool:
        """Whether what a seal lacks may still be on its way."""
        history = self.history.get(number)
        return history is None or history.waits_since is None or history.waits_since > self.waited_out


class SealFinding(NamedTuple):
    """A finding with the seal that it is of; size and position are 0 where the seal can't be read."""

    number: int
    size: int
    last_position: int
    finding: Finding


@dataclass(slots=True)
class Judged:
    """What a pass came to: a finding per seal, the accepted seals, and which are settled now."""

    settled: Settled
    found: list[SealFinding] = field(default_factory=list)
    accepted: list[tuple[Seal, Note]] = field(default_factory=list)


def judged(evidence: SealEvidence, settled: Settled) -> Judged:
    """Judge a publisher's seals behind the settled ones, in order; behind one that waits none is judged."""
    outcome, expected, standing, largest = Judged(settled), settled.number + 1, True, dict(settled.largest)
    for arrived in evidence.arrived:
        finding = _of_arrived(arrived, expected, largest, evidence)
        outcome.found.append(SealFinding(arrived.number, *arrived.extent, finding))
        if finding.verdict == PENDING:
            break
        if finding.verdict == ACCEPTED and arrived.seal and arrived.note:
            largest[arrived.seal.algorithm] = arrived.seal
            outcome.accepted.append((arrived.seal, arrived.note))
        standing = standing and arrived.number == expected and finding.verdict == ACCEPTED
        expected = arrived.number + 1
        if standing:
            outcome.settled = Settled(arrived.number, dict(largest))
    outcome.found += _missed(evidence)
    return outcome


def _of_arrived(arrived: ArrivedSeal, expected: int, largest: Mapping[str, Seal], evidence: SealEvidence) -> Finding:
    waits = evidence.may_still_come(arrived.number)
    if arrived.number != expected and waits:
        return Finding(PENDING, f"Seal {expected} has not arrived.")
    if arrived.seal is None or arrived.refused:
        return Finding(REFUSED, arrived.refused)
    try:
        finding = _of_signed(arrived.seal, largest.get(arrived.seal.algorithm), evidence)
    except TreeDamaged as error:
        return Finding(REFUSED, str(error))
    return Finding(PENDING, finding.reason) if finding.verdict == WITHHELD and waits else finding


def _of_signed(seal: Seal, largest: Seal | None, evidence: SealEvidence) -> Finding:
    if largest is not None and (seal.size <= largest.size or seal.last_position <= largest.last_position):
        return shrunk(seal, largest)
    tree = evidence.trees(seal.algorithm)
    for finding in (evidence.doubled, tree.changed):
        if _within(finding, seal.last_position):
            return finding
    if seal.size <= tree.accepted.size:
        return _held_against_accepted(seal, tree.accepted)
    return held_against(seal, tree.until(seal.last_position))


def _within(finding: Finding | None, position: int) -> TypeGuard[Finding]:
    """Whether something is wrong at a position or before it."""
    return finding is not None and finding.first_bad_position is not None and finding.first_bad_position <= position


def _missed(evidence: SealEvidence) -> Iterable[SealFinding]:
    """Seals that were accepted once and are no longer in the log."""
    for number, history in evidence.history.items():
        if history.accepted is not None and number not in evidence.present:
            size, position = history.accepted
            finding = Finding(WITHHELD, f"Seal {number} was accepted and is no longer in the log.", position + 1)
            try:
                changed = evidence.trees(evidence.algorithm).changed
                finding = changed if _within(changed, position) else finding
            except TreeDamaged as error:
                finding = Finding(REFUSED, str(error))
            if finding.verdict == WITHHELD and evidence.may_still_come(number):
                finding = Finding(PENDING, finding.reason)
            yield SealFinding(number, size, position, finding)
