"""The stored nodes of one log's tree: flat files from which any proof is read without the log.

    leaves       the leaf hashes, 32 bytes each
    blocks.1     the roots of 256 leaves each; blocks.2 the roots of 256 of those, and so on
    positions    the position of each leaf in the log, 8 bytes each, little-endian
    head         size, last position, root and leaves per kind at the last commit

This is the layout of tiles of height 8 (c2sp.org/tlog-tiles) without the cutting into files: a node is at most 255 hashes
away from what is stored. All of it can be made anew from the log. Files are appended; what lies behind the head's size is
left over from a crash and cut off at opening. Nothing is believed because it lies here: the head's root is computed again
at opening, and a seal's signature is what counts.
"""

import json
import os
from array import array
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from repository.proof.merkle import HASH_BYTES, Hashing, hashing, split

WIDTH_BITS: Final = 8
WIDTH: Final = 1 << WIDTH_BITS
POSITION_BYTES: Final = 8
LEVELS: Final = 8
"""Levels of 256: enough for 2^64 leaves."""


class TreeDamaged(ValueError):
    """The stored nodes don't have the root that they had; the message says how they are made anew."""


class TreeFiles:
    """The tree of one log. One process writes at a time; readers may read what was committed."""

    def __init__(self, folder: Path, algorithm: str, write: bool = False) -> None:
        self.folder, self.algorithm = folder, hashing(algorithm)
        if write:
            folder.mkdir(parents=True, exist_ok=True)
        self._flags = os.O_RDWR | os.O_CREAT if write else os.O_RDONLY
        self._files: dict[str, int] = {}
        self._write = write
        self.size, self.last_position, self.counts, self.root_bytes = _head(folder, self.algorithm)
        if write:
            self._cut()
        self._refuse_damage()

    def close(self) -> None:
        for descriptor in self._files.values():
            os.close(descriptor)
        self._files.clear()

    # -- reading --

    def subtree(self, low: int, high: int) -> bytes:
        """Hash of the leaves low..high-1, where low stands at a multiple of the least power of two not below high - low."""
        width = high - low
        if width & (width - 1):
            middle = low + split(width)
            return self.algorithm.node(self.subtree(low, middle), self.subtree(middle, high))
        height = width.bit_length() - 1
        level, rest = divmod(height, WIDTH_BITS)
        return self.algorithm.root(self._hashes(level, low >> level * WIDTH_BITS, 1 << rest))

    def root(self, size: int | None = None) -> bytes:
        """Root of the first `size` leaves; of all of them, where no size is given."""
        wanted = self.size if size is None else size
        return self.subtree(0, wanted) if wanted else self.algorithm.root([])

    def leaf(self, index: int) -> bytes:
        """The leaf hash at an index, from 0."""
        return self._hashes(0, index, 1)[0]

    def leaves(self, low: int, high: int) -> list[bytes]:
        """The leaf hashes low..high-1."""
        return self._hashes(0, low, high - low)

    def position(self, index: int) -> int:
        """Position in the log of the leaf at an index."""
        return self.positions(index, index + 1)[0]

    def positions(self, low: int, high: int) -> Sequence[int]:
        """Positions of the leaves low..high-1."""
        data = os.pread(self._file("positions"), (high - low) * POSITION_BYTES, low * POSITION_BYTES)
        if len(data) != (high - low) * POSITION_BYTES:
            raise TreeDamaged(f"{self.folder} lacks positions of its tree; delete the folder, it is made anew from the log.")
        return _numbers(data)

    def index(self, position: int) -> int | None:
        """Index of the leaf at a position: the rank of the position; None where no leaf stands there."""
        low, high = 0, self.size
        while low < high:
            middle = (low + high) // 2
            if self.position(middle) < position:
                low = middle + 1
            else:
                high = middle
        return low if low < self.size and self.position(low) == position else None

    def _hashes(self, level: int, first: int, number: int) -> list[bytes]:
        data = os.pread(self._file(_name(level)), number * HASH_BYTES, first * HASH_BYTES)
        if len(data) != number * HASH_BYTES:
            raise TreeDamaged(f"{self.folder} lacks nodes of its tree; delete the folder, it is made anew from the log.")
        return [data[at : at + HASH_BYTES] for at in range(0, len(data), HASH_BYTES)]

    # -- writing --

    def append(self, positions: Sequence[int], leaves: Sequence[bytes]) -> None:
        """Append leaves in the order of their positions; they count once `commit` was called."""
        _put(self._file("leaves"), self.size * HASH_BYTES, b"".join(leaves))
        data = array("q", positions)
        if array("H", [1]).tobytes() != b"\x01\x00":
            data.byteswap()
        _put(self._file("positions"), self.size * POSITION_BYTES, data.tobytes())
        old, self.size = self.size, self.size + len(leaves)
        if positions:
            self.last_position = positions[-1]
        for level in range(LEVELS):
            bits = WIDTH_BITS * (level + 1)
            have, want = old >> bits, self.size >> bits
            if have == want:
                return
            below = self._hashes(level, have * WIDTH, (want - have) * WIDTH)
            roots = [self.algorithm.root(below[at : at + WIDTH]) for at in range(0, len(below), WIDTH)]
            _put(self._file(_name(level + 1)), have * HASH_BYTES, b"".join(roots))

    def commit(self, counts: Mapping[str, int], size: int | None = None) -> None:
        """Make what was appended count, or its first `size` leaves alone: files to disk first, then the head in one go."""
        if size is not None and size < self.size:
            self.size, self.last_position = size, self.position(size - 1)
            self._cut()
        for descriptor in self._files.values():
            os.fsync(descriptor)
        self.counts, self.root_bytes = dict(counts), self.root()
        head = {
            "algorithm": self.algorithm.name, "size": self.size, "last_position": self.last_position,
            "root": self.root_bytes.hex(), "counts": self.counts,
        }  # fmt: skip
        aside = self.folder / "head.new"
        with aside.open("w", encoding="utf-8") as file:
            json.dump(head, file)
            file.flush()
            os.fsync(file.fileno())
        aside.replace(self.folder / "head")

    def rollback(self) -> None:
        """Forget what was appended since the last commit."""
        self.size, self.last_position, self.counts, self.root_bytes = _head(self.folder, self.algorithm)
        self._cut()

    def _cut(self) -> None:
        os.ftruncate(self._file("positions"), self.size * POSITION_BYTES)
        for level in range(LEVELS):
            number = self.size >> WIDTH_BITS * level
            if number or (self.folder / _name(level)).exists():
                os.ftruncate(self._file(_name(level)), number * HASH_BYTES)

    def _file(self, name: str) -> int:
        if name not in self._files:
            try:
                self._files[name] = os.open(self.folder / name, self._flags, 0o644)
            except FileNotFoundError:
                raise TreeDamaged(f"{self.folder / name} is gone; delete the folder, it is made anew from the log.") from None
        return self._files[name]

    def _refuse_damage(self) -> None:
        if self.size and (self.root() != self.root_bytes or self.position(self.size - 1) != self.last_position):
            self.close()
            raise TreeDamaged(f"{self.folder} no longer has the root it had; delete the folder, it is made anew from the log.")


def _name(level: int) -> str:
    return f"blocks.{level}" if level else "leaves"


def _numbers(data: bytes) -> Sequence[int]:
    return [int.from_bytes(data[at : at + POSITION_BYTES], "little") for at in range(0, len(data), POSITION_BYTES)]


def _put(descriptor: int, offset: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        written = os.pwrite(descriptor, view, offset)
        offset, view = offset + written, view[written:]


def _head(folder: Path, algorithm: Hashing) -> tuple[int, int, dict[str, int], bytes]:
    path = folder / "head"
    if not path.exists():
        return 0, 0, {}, algorithm.root([])
    try:
        head: dict[str, Any] = json.loads(path.read_text("utf-8"))
        return int(head["size"]), int(head["last_position"]), dict(head["counts"]), bytes.fromhex(head["root"])
    except (ValueError, KeyError, TypeError) as error:
        raise TreeDamaged(f"{path} can't be read; delete the folder, it is made anew from the log.") from error


@contextmanager
def opened_tree(folder: Path, algorithm: str, write: bool = False) -> Iterator[TreeFiles]:
    """The tree in a folder, closed at the end."""
    tree = TreeFiles(folder, algorithm, write)
    try:
        yield tree
    finally:
        tree.close()
