"""Files that hold one secret: text under a header that says what for, readable by their owner alone (0600).

KeyRefused             every refusal; a ValueError
|- KeyExists           a key file that stands there already
|- KeyExposed          a key file that others may read
`- KeyUnreadable       a file or text that holds no key
   `- KeyMissing       no key file where one is needed
"""

import os
import re
import secrets
import stat
from pathlib import Path

SECRET_BYTES = 32
FILE_LIMIT_BYTES = 4096


class KeyRefused(ValueError):
    """A key that cannot be used as asked."""


class KeyExists(KeyRefused):
    """A key file stands there already."""


class KeyExposed(KeyRefused):
    """Others than its owner may read the key file."""


class KeyUnreadable(KeyRefused):
    """The file or text holds no key that can be read."""


class KeyMissing(KeyUnreadable):
    """There is no key file where one is needed."""


def create_secret(path: Path, header: str, what: str) -> bytes:
    """A new random secret under a header, written to `path` before anything is made with it. Raises KeyExists."""
    secret = secrets.token_bytes(SECRET_BYTES)
    write_new(path, (header, secret.hex()), what)
    return secret


def load_secret(path: Path, header: str, what: str, way_out: str) -> bytes:
    """The secret under a header in the file `path`. Raises as `read_own`."""
    return bytes.fromhex(read_own(path, re.compile(rf"{re.escape(header)}\n([0-9a-f]{{64}})\n"), what, way_out)[1])


def write_new(path: Path, lines: tuple[str, ...], what: str) -> None:
    """Write a new file for its owner alone, and have it on the disk when this returns. Raises KeyExists."""
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        raise KeyExists(f"{path} exists already and is not overwritten: move it away, or go on with the {what} in it.") from None
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.writelines(f"{line}\n" for line in lines)
        file.flush()
        os.fsync(file.fileno())


def read_own(path: Path, form: re.Pattern[str], what: str, way_out: str) -> re.Match[str]:
    """What a file that its owner alone may read says in this form. Raises KeyMissing, KeyExposed or KeyUnreadable."""
    try:
        with path.open("rb") as file:
            refuse_exposed(path, os.fstat(file.fileno()).st_mode)
            content = file.read(FILE_LIMIT_BYTES)
    except FileNotFoundError:
        raise KeyMissing(f"The {what} {path} is missing: {way_out}.") from None
    except (IsADirectoryError, PermissionError) as error:
        raise KeyUnreadable(f"The {what} {path} can't be read ({error.strerror}): it must be a file of your own.") from None
    match = form.fullmatch(content.decode("utf-8", "replace"))
    if match is None:
        raise KeyUnreadable(f"{path} is no {what}: {way_out}.")
    return match


def refuse_exposed(path: Path, mode: int) -> None:
    """Raise KeyExposed for a key file that others than its owner may read."""
    permissions = stat.S_IMODE(mode)
    if permissions & 0o077:
        raise KeyExposed(f"Key file {path} has mode {permissions:04o}, open to others: run chmod 600 on it.")
