"""Files that hold one secret: 32 bytes in hexadecimal under a header that says what for, readable by their owner alone (0600)."""

import os
import re
import secrets
import stat
from pathlib import Path

SECRET_BYTES = 32


class KeyRefused(ValueError):
    """A key that cannot be used as asked."""


class KeyExists(KeyRefused):
    """A key file stands there already."""


class KeyExposed(KeyRefused):
    """Others than its owner may read the key file."""


class KeyUnreadable(KeyRefused):
    """The file or text holds no key that can be read."""


def create_secret(path: Path, header: str, what: str) -> bytes:
    """A new random secret, written to `path` before anything is made with it. Raises KeyExists."""
    secret = secrets.token_bytes(SECRET_BYTES)
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        raise KeyExists(f"{path} exists already and is not overwritten: the {what} is there.") from None
    with os.fdopen(descriptor, "w", encoding="ascii") as file:
        file.write(f"{header}\n{secret.hex()}\n")
        file.flush()
        os.fsync(file.fileno())
    return secret


def load_secret(path: Path, header: str, what: str, way_out: str) -> bytes:
    """The secret in the file `path`. Raises KeyUnreadable where it is missing or no such file, KeyExposed."""
    try:
        with path.open("rb") as file:
            refuse_exposed(path, os.fstat(file.fileno()).st_mode)
            content = file.read(4096)
    except FileNotFoundError:
        raise KeyUnreadable(f"The {what} {path} is missing: {way_out}.") from None
    match = re.fullmatch(rf"{re.escape(header)}\n([0-9a-f]{{64}})\n".encode(), content)
    if match is None:
        raise KeyUnreadable(f"{path} is not the {what}: {way_out}.")
    return bytes.fromhex(match[1].decode())


def refuse_exposed(path: Path, mode: int) -> None:
    """Raise KeyExposed for a key file that others than its owner may read."""
    permissions = stat.S_IMODE(mode)
    if permissions & 0o077:
        raise KeyExposed(f"Key file {path} has mode {permissions:04o}, open to others: run chmod 600 on it.")
