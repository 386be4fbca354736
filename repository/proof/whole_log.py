"""A whole log held against all of its seals: from the bytes to the roots to the signatures, in words and positions.

What a log alone can't show is that its end is missing: cut back to an earlier seal it is an earlier log. Therefore seals
that the reader knows from elsewhere (his own copies, or those that the hub has countersigned) are held against it as well.
"""

from bisect import bisect_right
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import NamedTuple

from repository.events.encoding import NotAnEvent, decode
from repository.proof.judgement import ACCEPTED, ALTERED, REFUSED, REWRITTEN, Finding, Leaves, held_against
from repository.proof.merkle import Subtree
from repository.proof.seal import KIND, NotASeal, Seal, origin, seal_of_record, seal_of_text
from repository.proof.signed_note import Note, NoteRefused, VerifierKey, of_name

KeysFor = Callable[[str, int], Sequence[VerifierKey]]
"""(publisher, position of a seal's last leaf) -> the keys that may sign it. Raises NoteRefused where there is none."""


class StoredSeal(NamedTuple):
    """A seal record as it stands in the log."""

    position: int
    value: bytes


@dataclass
class WholeLog:
    """All records of a publisher's log in the order in which they were read: positions, kinds, and the tree over them.

    `subtree_of` gives the tree over them by hash algorithm. `kinds` holds a number per record, an index into `names`.
    `doubled` is the first position at which different records stand, of which one is in the tree; a store has none.
    """

    publisher: str
    positions: Sequence[int]
    kinds: Sequence[int]
    names: Sequence[str]
    subtree_of: Callable[[str], Subtree]
    seals: Sequence[StoredSeal] = ()
    doubled: Finding | None = None

    def until(self, position: int, algorithm: str) -> Leaves:
        """The leaves up to a position."""
        size = bisect_right(self.positions, position)
        counted = Counter(self.kinds[:size])
        counts = {self.names[code]: number for code, number in counted.items()}
        return Leaves(size, counts, self.positions.__getitem__, self.subtree_of(algorithm))

    def held_against(self, seal: Seal) -> Finding:
        """What the log comes to up to a seal's last position."""
        if self.doubled is not None and (self.doubled.first_bad_position or 0) <= seal.last_position:
            return self.doubled
        return held_against(seal, self.until(seal.last_position, seal.algorithm))


@dataclass
class Checked:
    """What a whole log came to. `findings` holds what was found wrong: (number of the seal or None, finding)."""

    publisher: str
    records: int
    seals: int = 0
    proved_size: int = 0
    proved_position: int = 0
    proved: Seal | None = None
    findings: list[tuple[int | None, Finding]] = field(default_factory=list)

    @property
    def first_bad_position(self) -> int | None:
        """Position from which on the log is not what was sealed, as the first finding has it."""
        return next((f.first_bad_position for _, f in self.findings if f.first_bad_position is not None), None)

    @property
    def unsealed(self) -> int:
        """Records behind the last seal that holds; of them nothing is proved."""
        return self.records - self.proved_size


def check_log(log: WholeLog, keys_for: KeysFor, known: Sequence[tuple[Note, bytes | None]] = ()) -> Checked:
    """Hold a whole log against its seals, and against those known from elsewhere, with their marks where these were kept."""
    checked = Checked(log.publisher, len(log.positions))
    disorder = _disorder(log.positions)
    if disorder is not None:
        checked.findings.append((None, disorder))
        return checked
    stated: dict[str, Seal] = {}
    for number, stored in enumerate(log.seals, 1):
        _check_stored(log, keys_for, checked, number, stored, stated)
    for note, marks in known:
        _check_known(log, keys_for, checked, note, marks, stated)
    if log.doubled is not None and log.doubled not in [finding for _, finding in checked.findings]:
        checked.findings.append((None, log.doubled))
    return checked


def _disorder(positions: Sequence[int]) -> Finding | None:
    """Positions only grow; where they do not, a record was repeated or moved."""
    for before, position in pairwise(positions):
        if position <= before:
            reason = f"The record at position {position} stands behind the one at position {before}: repeated or reordered."
            return Finding(ALTERED, reason, position, before, f"a position above {before}", f"position {position}")
    return None


def _check_stored(
    log: WholeLog, keys_for: KeysFor, checked: Checked, number: int, stored: StoredSeal, stated: dict[str, Seal]
) -> None:
    try:
        seal, note = _read(log, stored)
        note.check_one_of(keys_for(log.publisher, seal.last_position))
    except (NotAnEvent, NotASeal, NoteRefused) as error:
        where = stored.position
        checked.findings.append((number, Finding(REFUSED, f"The seal at position {where} is refused: {error}", where, where)))
        return
    checked.seals += 1
    finding = _of_order(seal, stated) or log.held_against(seal)
    stated[note.text] = seal
    if finding.verdict != ACCEPTED:
        checked.findings.append((seal.number, finding))
    elif not checked.findings:
        checked.proved_size, checked.proved_position, checked.proved = seal.size, seal.last_position, seal


def _of_order(seal: Seal, stated: dict[str, Seal]) -> Finding | None:
    """A seal that covers no more than one before it. One that is left out is a leaf that is missing, which the tree shows."""
    largest = max(stated.values(), key=lambda s: s.size, default=None)
    if largest is not None and seal.size <= largest.size:
        reason = f"Seal {seal.number} covers {seal.size} leaves, and seal {largest.number} before it {largest.size}."
        return Finding(REWRITTEN, reason, seal.last_position)
    return None


def _read(log: WholeLog, stored: StoredSeal) -> tuple[Seal, Note]:
    kind, record = decode(stored.value)
    if kind != KIND:
        raise NotASeal(f"its bytes are of kind {kind}.")
    seal, note = seal_of_record(record)
    if seal.publisher != log.publisher:
        raise NotASeal(f"it is of publisher {seal.publisher} and stands in the log of {log.publisher}.")
    return seal, note


def _check_known(
    log: WholeLog, keys_for: KeysFor, checked: Checked, note: Note, marks: bytes | None, stated: dict[str, Seal]
) -> None:
    """A seal that is known from elsewhere must hold as well; that it stands in the log would not be enough."""
    if note.text in stated:
        return
    try:
        seal = seal_of_text(note.text, marks)
        note.check_one_of(keys_for(log.publisher, seal.last_position))
    except (NotASeal, NoteRefused) as error:
        checked.findings.append((None, Finding(REFUSED, f"A seal known from elsewhere is refused: {error}")))
        return
    finding = log.held_against(seal)
    if finding.verdict == ACCEPTED:
        finding = Finding(
            ALTERED, f"Seal {seal.number}, known from elsewhere, is no longer in the log.", seal.last_position + 1, None
        )  # fmt: skip
    checked.findings.append((seal.number, finding))


def keys_by_name(keys: Sequence[VerifierKey]) -> KeysFor:
    """Keys chosen by the name that they sign under, whatever the position."""

    def keys_for(publisher: str, _position: int) -> Sequence[VerifierKey]:
        own = of_name(keys, origin(publisher))
        if not own:
            raise NoteRefused(f"of {origin(publisher)} no public key is given.")
        return own

    return keys_for
