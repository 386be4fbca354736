"""Keys and digests of many subjects in one row of the key store, as a dump of new persons makes them.

A row per person, in the order of random identities, touches every page of the store with every thousand persons; blocks are
written one behind the other. In a block the subjects stand in order, and the store knows the first and the last of them, so one
subject is found without an index over all.

    keys      a name (6 random bytes), which with a key's number in the block (2 bytes) is the key's id; subjects of 16 bytes; and
              their secrets of 32, encrypted as a whole with AES-256-GCM under the master key, with the rest of the block bound
    digests   subject, event and digest, 16 bytes each

One key is destroyed by encrypting the block anew with zeros in its place, over the old bytes.
"""

import secrets
import struct
from collections.abc import Iterator, Sequence
from typing import Final, NamedTuple

from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from repository.persons.personal import KEY_BYTES, KEY_ID_BYTES, NONCE_BYTES, SubjectKey

BLOCK: Final = 512
"""Subjects in a block: opening one key opens this many, and storing one row stores as many."""
SUBJECT_BYTES: Final = 16
NAME_BYTES: Final = 6
DESTROYED: Final = bytes(KEY_BYTES)
NUMBERS: Final = [number.to_bytes(KEY_ID_BYTES - NAME_BYTES, "big") for number in range(BLOCK)]


class KeyBlock(NamedTuple):
    """Keys of subjects in order, decrypted. `since_version` is the first event version that they may serve."""

    name: bytes
    since_version: int
    subjects: bytes
    secrets: bytes

    def __repr__(self) -> str:
        return f"KeyBlock({self.name.hex()})"

    @property
    def first(self) -> bytes:
        return self.subjects[:SUBJECT_BYTES]

    @property
    def last(self) -> bytes:
        return self.subjects[-SUBJECT_BYTES:]

    def live(self) -> Iterator[tuple[bytes, SubjectKey]]:
        """Every subject whose key was not destroyed, with it."""
        entries = zip(cut(self.subjects, SUBJECT_BYTES), NUMBERS, cut(self.secrets, KEY_BYTES), strict=False)
        return ((subject, SubjectKey(self.name + number, key)) for subject, number, key in entries if key != DESTROYED)

    def key(self, subject: bytes) -> SubjectKey | None:
        """The key of one subject; None where it was destroyed or is not here."""
        number = self._number(subject)
        key = None if number is None else self._key(number)
        return None if key is None or key.secret == DESTROYED else key

    def without(self, subject: bytes) -> "KeyBlock":
        """The block with zeros in place of a subject's key."""
        number = self._number(subject)
        if number is None:
            return self
        start = number * KEY_BYTES
        return self._replace(secrets=self.secrets[:start] + DESTROYED + self.secrets[start + KEY_BYTES :])

    def encrypted(self, cipher: AESGCM) -> bytes:
        """The secrets as they are stored, under a new nonce."""
        nonce = secrets.token_bytes(NONCE_BYTES)
        return nonce + cipher.encrypt(nonce, self.secrets, _bound(self.name, self.since_version, self.subjects))

    def _number(self, subject: bytes) -> int | None:
        return place_of(self.subjects, subject, SUBJECT_BYTES)

    def _key(self, number: int) -> SubjectKey:
        return SubjectKey(self.name + NUMBERS[number], self.secrets[number * KEY_BYTES : (number + 1) * KEY_BYTES])


def new_blocks(subjects: Sequence[bytes], since_version: int) -> list[KeyBlock]:
    """Blocks of new keys for different subjects."""
    ordered = sorted(subjects)
    parts = [ordered[start : start + BLOCK] for start in range(0, len(ordered), BLOCK)]
    return [
        KeyBlock(secrets.token_bytes(NAME_BYTES), since_version, b"".join(part), secrets.token_bytes(KEY_BYTES * len(part)))
        for part in parts
    ]


def decrypted(cipher: AESGCM, name: bytes, since_version: int, subjects: bytes, encrypted: bytes) -> KeyBlock:
    """A block from its stored form. Raises InvalidTag where anything of it was altered."""
    bound = _bound(name, since_version, subjects)
    return KeyBlock(name, since_version, subjects, cipher.decrypt(encrypted[:NONCE_BYTES], encrypted[NONCE_BYTES:], bound))


def _bound(name: bytes, since_version: int, subjects: bytes) -> bytes:
    return name + since_version.to_bytes(4, "big") + subjects


def digest_blocks(entries: Sequence[bytes]) -> list[tuple[bytes, bytes, bytes]]:
    """(first subject, last subject, entries) of each block; an entry is subject, event and digest, one after the other."""
    ordered = sorted(entries)
    parts = [ordered[start : start + BLOCK] for start in range(0, len(ordered), BLOCK)]
    return [(part[0][:SUBJECT_BYTES], part[-1][:SUBJECT_BYTES], b"".join(part)) for part in parts]


def entries_without(entries: bytes, subject: bytes, size: int) -> bytes:
    """A block's entries but those of one subject."""
    return b"".join(entry for entry in cut(entries, size) if entry[:SUBJECT_BYTES] != subject)


def place_of(entries: bytes, subject: bytes, size: int) -> int | None:
    """The number of the first entry that begins with a subject; its bytes may stand across two others by chance."""
    place = entries.find(subject)
    while place >= 0 and place % size:
        place = entries.find(subject, place + 1)
    return None if place < 0 else place // size


def cut(data: bytes, size: int) -> list[bytes]:
    """The parts of `size` bytes that stand in `data`, which is a multiple of it."""
    return [part for (part,) in struct.iter_unpack(f"{size}s", data)]
