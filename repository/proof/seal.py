"""Seals: what a publisher signs of its log, as a checkpoint of a transparency log (c2sp.org/tlog-checkpoint).

A seal says: my first `size` records, up to position `last_position`, so many of each kind, have this Merkle root. Its text
is a signed note; the record that carries it is made of text, signatures and marks alone, so that not one bit of it is
unsigned. A seal is an event of its publisher's log, and with that a leaf of every later tree.

Marks name the place of damage: the first 8 bytes of the roots of blocks of 2^height leaves, over the leaves that are new
since the seal before. They are signed by their digest and decide nothing; whether a log is whole, the root alone says.

    NotASeal     a record or text that is no seal; a ValueError
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final

from repository.events.encoding import Event, NotAnEvent, encode
from repository.events.identity import LOG as ACCESS_LOG
from repository.events.identity import entity_id, event_id
from repository.proof.merkle import ALGORITHMS, HASH_BYTES, Hashing, Subtree, hashing
from repository.proof.signed_note import Note, NoteRefused, base64_text, plain_base64

KIND: Final = "seal"
EVENT_TYPE: Final = "LogSealed"
SOURCE: Final = "seal"
SIGNED_WITH: Final = "ed25519"
MARK_BYTES: Final = 8
MARK_LIMIT: Final = 4096
"""Marks of one seal at most: 32 KiB. Up to so many new leaves damage is named to the leaf, above to 2^height leaves."""
LARGEST: Final = 2**62
MOMENT_FORM: Final = "%Y-%m-%dT%H:%M:%S.%fZ"
NUMBER = "(?:0|[1-9][0-9]{0,18})"
TEXT = re.compile(
    rf"""yrd/(?P<publisher>[0-9]{{2}}|{ACCESS_LOG})
(?P<size>{NUMBER})
(?P<root>[A-Za-z0-9+/=]{{44}})
hash (?P<algorithm>[a-z0-9-]{{1,20}})
signature {SIGNED_WITH}
seal (?P<number>{NUMBER})
sealed_at (?P<sealed_at>[0-9]{{4}}-[0-9]{{2}}-[0-9]{{2}}T[0-9]{{2}}:[0-9]{{2}}:[0-9]{{2}}\.[0-9]{{6}}Z)
last_position (?P<last_position>{NUMBER})
(?P<leaves>(?:leaves [a-z_]{{1,40}} {NUMBER}\n){{1,64}})"""
    rf"marks (?P<first>{NUMBER}) (?P<height>{NUMBER}) (?P<marks>[A-Za-z0-9+/=]{{44}})\n"
)


class NotASeal(ValueError):
    """A record or text that is no seal, or whose parts contradict each other."""


def origin(publisher: str) -> str:
    """Name of a publisher's log in the note ecosystem; its key signs under the same name."""
    return f"yrd/{publisher}"


@dataclass(frozen=True, slots=True)
class Marks:
    """Where to look for damage: digests of blocks of 2^`height` leaves from block `first` on, `MARK_BYTES` each.

    `digest` is the hash of them all, which the seal signs; `data` is empty where only the signed text is at hand.
    """

    first: int
    height: int
    digest: bytes
    data: bytes = field(default=b"", repr=False)

    def __len__(self) -> int:
        return len(self.data) // MARK_BYTES

    def mark(self, number: int) -> bytes:
        """The `number`-th mark, from 0."""
        return self.data[number * MARK_BYTES : (number + 1) * MARK_BYTES]

    def leaves(self, number: int, size: int) -> tuple[int, int]:
        """Indices (first, one past the last) of the leaves under the `number`-th mark in a tree of `size`."""
        low = self.first + number << self.height
        return low, min(low + (1 << self.height), size)


@dataclass(frozen=True, slots=True)
class Seal:
    """What one seal says. `counts` holds the leaves per kind; `number` is the seal's version, from 1."""

    publisher: str
    number: int
    size: int
    last_position: int
    root: bytes
    algorithm: str
    counts: Mapping[str, int]
    sealed_at: datetime
    marks: Marks

    @property
    def text(self) -> str:
        """The text that is signed."""
        leaves = "".join(f"leaves {kind} {count}\n" for kind, count in sorted(self.counts.items()))
        return (
            f"{origin(self.publisher)}\n{self.size}\n{base64_text(self.root)}\n"
            f"hash {self.algorithm}\nsignature {SIGNED_WITH}\nseal {self.number}\n"
            f"sealed_at {self.sealed_at.astimezone(UTC).strftime(MOMENT_FORM)}\nlast_position {self.last_position}\n"
            f"{leaves}marks {self.marks.first} {self.marks.height} {base64_text(self.marks.digest)}\n"
        )


def marks_between(old_size: int, size: int, subtree: Subtree, algorithm: Hashing) -> Marks:
    """The marks of a seal of `size` leaves where the one before had `old_size`, which may be 0."""
    height = 0
    while (size - 1 >> height) - (old_size >> height) + 1 > MARK_LIMIT:
        # From 2^5 leaves on blocks are those of the stored nodes, which are there already and need no hashing.
        height = height + 1 if height < 4 else max(height + 1, 8)
    first, last, width = old_size >> height, size - 1 >> height, 1 << height
    blocks = [subtree(n * width, min((n + 1) * width, size)) for n in range(first, last + 1)]
    data = b"".join(block[:MARK_BYTES] for block in blocks)
    return Marks(first, height, algorithm.digest(data), data)


def first_differing(seal: Seal, size: int, subtree: Subtree) -> tuple[int, int] | None:
    """Indices (first, one past the last) of the leaves under the seal's first mark that a tree of `size` leaves does not have.

    None where it has all of them: what differs lies before the marks, or behind the seal's last leaf.
    """
    for number in range(len(seal.marks)):
        low, high = seal.marks.leaves(number, seal.size)
        if high > size or subtree(low, high)[:MARK_BYTES] != seal.marks.mark(number):
            return low, high
    return None


# -- as a text -----------------------------------------------------------------------------------------------------


def seal_of_text(text: str, marks: bytes | None = None) -> Seal:
    """The seal that a text states, with its marks where they are given.

    Raises NotASeal where the text is none, or the marks are not those that it was signed with.
    """
    match = TEXT.fullmatch(text)
    if match is None:
        raise NotASeal("The text is not that of a seal: origin, size, root, algorithms, number, moment, position, leaves, marks.")
    numbers = {name: int(match[name]) for name in ("size", "number", "last_position", "first", "height")}
    if match["algorithm"] not in ALGORITHMS:
        raise NotASeal(f'The seal names the hash algorithm "{match["algorithm"]}"; known are {", ".join(ALGORITHMS)}.')
    try:
        sealed_at = datetime.strptime(match["sealed_at"], MOMENT_FORM).replace(tzinfo=UTC)
        root, digest = plain_base64(match["root"]), plain_base64(match["marks"])
    except ValueError as error:
        raise NotASeal(f"The seal holds what can't be read: {str(error).rstrip('.')}.") from None
    counts = {kind: int(count) for _, kind, count in (line.split(" ") for line in match["leaves"].splitlines())}
    placed = Marks(numbers["first"], numbers["height"], digest, marks or b"")
    seal = Seal(
        match["publisher"], numbers["number"], numbers["size"], numbers["last_position"], root,
        match["algorithm"], counts, sealed_at, placed,
    )  # fmt: skip
    _refuse_contradictions(seal)
    if marks is not None:
        _refuse_other_marks(seal)
    if seal.text != text:
        raise NotASeal("The seal's text is not in its one form: an order, a number or a moment is spelled otherwise.")
    return seal


def _refuse_contradictions(seal: Seal) -> None:
    if not (0 < seal.size <= seal.last_position < LARGEST and 0 < seal.number < LARGEST and len(seal.root) == HASH_BYTES):
        raise NotASeal(f"The seal states {seal.size} leaves up to position {seal.last_position}, which can't be.")
    if sum(seal.counts.values()) != seal.size:
        raise NotASeal(f"The seal states {seal.size} leaves and {sum(seal.counts.values())} by kind; the two must agree.")


def _refuse_other_marks(seal: Seal) -> None:
    if hashing(seal.algorithm).digest(seal.marks.data) != seal.marks.digest:
        raise NotASeal("The seal's marks are not those that it was signed with.")
    width = len(seal.marks)
    last = seal.size - 1 >> min(seal.marks.height, 62)
    if len(seal.marks.data) % MARK_BYTES or width > MARK_LIMIT or seal.marks.first + width - 1 != last or not width:
        raise NotASeal(f"The seal's {width} marks do not end with its last leaf.")


# -- as a record ---------------------------------------------------------------------------------------------------


def seal_record(seal: Seal, note: Note) -> dict[str, Any]:
    """The event record of a seal: a function of note and marks alone."""
    entity = entity_id(seal.publisher, KIND, seal.publisher)
    return {
        "event_id": event_id(entity, seal.number),
        "event_type": EVENT_TYPE,
        "operation": "assert",
        "publisher": seal.publisher,
        "entity_id": entity,
        "business_key": seal.publisher,
        "version": seal.number,
        "recorded_at": seal.sealed_at,
        "source": SOURCE,
        "origin": origin(seal.publisher),
        "tree_size": seal.size,
        "last_position": seal.last_position,
        "leaves": [{"kind": kind, "count": count} for kind, count in sorted(seal.counts.items())],
        "root": seal.root.hex(),
        "hash_algorithm": seal.algorithm,
        "signature_algorithm": SIGNED_WITH,
        "mark_first": seal.marks.first,
        "mark_height": seal.marks.height,
        "marks": seal.marks.data,
        "signed_note": str(note),
    }


def seal_of_record(record: Event) -> tuple[Seal, Note]:
    """Seal and note of an event record. Raises NotASeal where any field is not what the signed text makes it."""
    try:
        note = Note.parse(str(record["signed_note"]))
        seal = seal_of_text(note.text, bytes(record["marks"] or b""))
        same = encode(KIND, seal_record(seal, note)) == encode(KIND, record)
    except (NoteRefused, NotAnEvent) as error:
        raise NotASeal(f"The record is no seal: {error}") from None
    if not same:
        raise NotASeal(f"The record of seal {seal.number} says something else than its signed text.")
    return seal, note
