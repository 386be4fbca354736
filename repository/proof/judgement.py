"""Holding a log against a seal: whole, or what is wrong with it and from which position on. Pure functions."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from repository.proof.merkle import Subtree
from repository.proof.seal import MARK_BYTES, Seal, first_differing

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
