"""Merkle trees by RFC 9162, section 2.1: hashes of leaves and nodes, inclusion and consistency proofs, and checking them.

Everything here is a pure function of hashes. Where the hashes of a tree come from is told by `Subtree`: a function that
gives the hash of the leaves from `low` up to `high`. `tree_files` makes one from a file, so that no proof needs more than
some hundred hashes of a log of any length.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Final, Protocol

from cryptography.hazmat.primitives import hashes

HASH_BYTES: Final = 32
LEAF, NODE = b"\x00", b"\x01"
SHA_256, SM3 = "sha-256", "sm3"
Subtree = Callable[[int, int], bytes]
"""(low, high) -> hash of the leaves low..high-1, as section 2.1.1 defines it for that list."""


class ProofFailed(ValueError):
    """A proof does not show what it is meant to show; the message says at which step."""


class _Hash(Protocol):
    def digest(self) -> bytes: ...


class _Sm3:
    """SM3 in the form of the standard library's hashes."""

    def __init__(self, data: bytes) -> None:
        self._hash = hashes.Hash(hashes.SM3())
        self._hash.update(data)

    def digest(self) -> bytes:
        return self._hash.finalize()


@dataclass(frozen=True, slots=True)
class Hashing:
    """A hash algorithm by its name in the data: SHA-256 (FIPS 180-4) or SM3 (GB/T 32905). Both give 32 bytes."""

    name: str
    new: Callable[[bytes], _Hash]

    def digest(self, data: bytes) -> bytes:
        """Hash of bytes as they are."""
        return self.new(data).digest()

    def leaf(self, data: bytes) -> bytes:
        """Hash of stored bytes as a leaf."""
        return self.new(LEAF + data).digest()

    def leaves(self, values: Sequence[bytes]) -> list[bytes]:
        """Hashes of many stored bytes as leaves."""
        new = self.new
        return [new(LEAF + data).digest() for data in values]

    def node(self, left: bytes, right: bytes) -> bytes:
        """Hash of two subtrees."""
        return self.digest(NODE + left + right)

    def parents(self, below: Sequence[bytes]) -> list[bytes]:
        """Hashes of the pairs of a level; the last of an odd number has no pair and is left out."""
        new = self.new
        return [new(NODE + left + right).digest() for left, right in zip(below[0::2], below[1::2], strict=False)]

    def root(self, leaves: Sequence[bytes]) -> bytes:
        """Root over leaf hashes, level by level: an unpaired last node moves up as it is, which is the RFC's split."""
        level = list(leaves)
        if not level:
            return self.digest(b"")
        while len(level) > 1:
            level = self.parents(level) + ([level[-1]] if len(level) % 2 else [])
        return level[0]


ALGORITHMS: Final = {
    SHA_256: Hashing(SHA_256, sha256),
    SM3: Hashing(SM3, _Sm3),
}


def hashing(name: str) -> Hashing:
    """The algorithm of that name. Raises ValueError for one that is not known here."""
    if name not in ALGORITHMS:
        raise ValueError(f'"{name}" is no hash algorithm of a tree; known are {", ".join(ALGORITHMS)}.')
    return ALGORITHMS[name]


def split(size: int) -> int:
    """The largest power of two below `size`: where a tree of that many leaves is parted."""
    return 1 << (size - 1).bit_length() - 1


# -- making proofs -------------------------------------------------------------------------------------------------


def inclusion_path(index: int, size: int, subtree: Subtree) -> list[bytes]:
    """The hashes that lead from leaf `index` (from 0) to the root of the first `size` leaves (section 2.1.3.1)."""
    if not 0 <= index < size:
        raise ValueError(f"A tree of {size} leaves has no leaf {index}; its leaves are numbered from 0.")
    low, high, path = 0, size, list[bytes]()
    while high - low > 1:
        middle = low + split(high - low)
        if index < middle:
            path.append(subtree(middle, high))
            high = middle
        else:
            path.append(subtree(low, middle))
            low = middle
    return path[::-1]


def consistency_path(first: int, second: int, subtree: Subtree) -> list[bytes]:
    """The hashes that show that the tree of `first` leaves is the beginning of that of `second` (section 2.1.4.1)."""
    if not 0 < first <= second:
        raise ValueError(f"A tree of {first} leaves is no beginning of one of {second}; name the smaller one first.")
    low, high, path, whole = 0, second, list[bytes](), True
    while first != high:
        middle = low + split(high - low)
        if first <= middle:
            path.append(subtree(middle, high))
            high = middle
        else:
            path.append(subtree(low, middle))
            low, whole = middle, False
    return ([] if whole else [subtree(low, high)]) + path[::-1]


# -- checking proofs -----------------------------------------------------------------------------------------------


def _climbed(node: int, last: int, path: Sequence[bytes]) -> Iterator[tuple[bytes, bool]]:
    """The hashes of a path, each with whether it stands to the left. Raises ProofFailed where they are too many or too few.

    `node` and `last` are the numbers of the node and of the last one on the same level, as in sections 2.1.3.2 and 2.1.4.2.
    """
    for each in path:
        if last == 0:
            raise ProofFailed(f"The path goes on above the root: it has {len(path)} hashes, which is too many.")
        left = bool(node & 1) or node == last
        yield each, left
        while left and not node & 1 and node:
            node, last = node >> 1, last >> 1
        node, last = node >> 1, last >> 1
    if last:
        raise ProofFailed(f"The path ends below the root: it has {len(path)} hashes, which is too few.")


def check_inclusion(leaf: bytes, index: int, size: int, path: Sequence[bytes], root: bytes, algorithm: Hashing) -> None:
    """Check that `leaf` is number `index` of the `size` leaves under `root` (section 2.1.3.2). Raises ProofFailed."""
    if not 0 <= index < size:
        raise ProofFailed(f"A tree of {size} leaves has no leaf {index}.")
    found = leaf
    for each, left in _climbed(index, size - 1, path):
        found = algorithm.node(each, found) if left else algorithm.node(found, each)
    if found != root:
        raise ProofFailed(f"The path from leaf {index} leads to the root {found.hex()} and not to {root.hex()}.")


def check_consistency(
    first: int, second: int, first_root: bytes, second_root: bytes, path: Sequence[bytes], algorithm: Hashing
) -> None:
    """Check that the tree of `first` leaves is the beginning of that of `second` (section 2.1.4.2). Raises ProofFailed."""
    if not 0 < first <= second:
        raise ProofFailed(f"A tree of {first} leaves is no beginning of one of {second}.")
    if first == second:
        if path or first_root != second_root:
            raise ProofFailed(f"Two trees of {first} leaves have the roots {first_root.hex()} and {second_root.hex()}.")
        return
    start, *above = [first_root, *path] if first & (first - 1) == 0 else [*path] or [b""]
    node, last = first - 1, second - 1
    while node & 1:
        node, last = node >> 1, last >> 1
    old = new = start
    for each, left in _climbed(node, last, above):
        old = algorithm.node(each, old) if left else old
        new = algorithm.node(each, new) if left else algorithm.node(new, each)
    if old != first_root:
        raise ProofFailed(f"The path leads to the earlier root {old.hex()} and not to {first_root.hex()}.")
    if new != second_root:
        raise ProofFailed(f"The path leads to the later root {new.hex()} and not to {second_root.hex()}.")
