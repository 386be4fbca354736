"""Rows spilled to disk while a dump is compared: their bytes, encrypted, in a file that has no name, and where each of them lies.

What is staged of a row is its place alone. Many rows are encrypted together, because a cipher call costs the same for 200 bytes
and for 20,000; and not all of them, because a decision about one person decrypts all that was encrypted with that row.
"""

import secrets
import struct
import tempfile
from collections.abc import Sequence
from itertools import accumulate
from pathlib import Path
from typing import Final

from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from repository.persons.personal import KEY_BYTES, NONCE_BYTES, TAG_BYTES

ENCRYPTED_TOGETHER: Final = 128
PLACE: Final = struct.Struct(">QIII")
"""Where rows encrypted together begin in the file, how long they are in plain, and where in them one row begins and ends."""


class SpilledRows:
    """Rows encrypted with AES-256-GCM under a key that nobody has when the process has ended. One writer at a time."""

    def __init__(self, folder: Path) -> None:
        # Outside memory: a dump of millions of rows would be as large there as in its file.
        self._file = tempfile.TemporaryFile(dir=folder)  # noqa: SIM115
        self._cipher = AESGCM(secrets.token_bytes(KEY_BYTES))
        self._end = 0
        self._decrypted: tuple[int, bytes] = (-1, b"")

    def close(self) -> None:
        self._file.close()

    def put(self, rows: Sequence[bytes]) -> list[bytes]:
        """Spill rows; the place of each."""
        places: list[bytes] = []
        for first in range(0, len(rows), ENCRYPTED_TOGETHER):
            together = rows[first : first + ENCRYPTED_TOGETHER]
            ends = list(accumulate(map(len, together)))
            start, length = self._append(b"".join(together)), ends[-1]
            places += [PLACE.pack(start, length, *each) for each in zip((0, *ends), ends, strict=False)]
        return places

    def _append(self, plain: bytes) -> int:
        start, nonce = self._end, secrets.token_bytes(NONCE_BYTES)
        self._file.seek(start)
        self._end += self._file.write(nonce + self._cipher.encrypt(nonce, plain, _bound(start)))
        return start

    def get(self, place: bytes) -> bytes:
        """The row at a place. Raises InvalidTag where the file was altered meanwhile."""
        start, length, begin, end = PLACE.unpack(place)
        if self._decrypted[0] != start:
            self._decrypted = start, self._read(start, length)
        return self._decrypted[1][begin:end]

    def _read(self, start: int, length: int) -> bytes:
        self._file.seek(start)
        encrypted = self._file.read(NONCE_BYTES + length + TAG_BYTES)
        return self._cipher.decrypt(encrypted[:NONCE_BYTES], encrypted[NONCE_BYTES:], _bound(start))


def _bound(start: int) -> bytes:
    """Rows decrypt at their own place in the file alone."""
    return start.to_bytes(8, "big")
