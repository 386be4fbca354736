"""Key files of those who sign: a publisher its seals, the regional office its members, the hub its countersignatures.

KeyMissing    no key file where one is needed; a tokens.KeyRefused, as are KeyExists, KeyExposed and KeyUnreadable
"""

import os
import re
import secrets
import stat
from pathlib import Path

from repository.keys.secret_files import KeyExists, KeyExposed, KeyRefused, KeyUnreadable
from repository.proof.signed_note import COSIGNATURE, ED25519, KeyMalformed, Signer, VerifierKey, verifier_keys

HEADER = "yrd signing key 1"
FORM = re.compile(rf"{HEADER}\n(?P<name>[^\s+]+)\n(?P<type>[14])\n(?P<secret>[0-9a-f]{{64}})\n")
SECRET_BYTES = 32
FILE_LIMIT_BYTES = 4096
KEYS_LIMIT_BYTES = 1 << 20


class KeyMissing(KeyRefused):
    """There is no key file where one is needed."""


def create(path: Path, name: str, witness: bool = False) -> Signer:
    """A new random key that signs under `name`, in `path` for its owner alone (mode 0600). Raises KeyExists."""
    made = Signer(name, COSIGNATURE if witness else ED25519, secrets.token_bytes(SECRET_BYTES))
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        raise KeyExists(f"{path} exists already and is not overwritten: move it away, or go on with it.") from None
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(f"{HEADER}\n{made.name}\n{made.type_}\n{made.secret.hex()}\n")
        file.flush()
        os.fsync(file.fileno())
    return made


def load(path: Path) -> Signer:
    """The key in a file. Raises KeyMissing, KeyExposed or KeyUnreadable."""
    try:
        with path.open("rb") as file:
            mode = stat.S_IMODE(os.fstat(file.fileno()).st_mode)
            content = file.read(FILE_LIMIT_BYTES)
    except FileNotFoundError:
        raise KeyMissing(f"{path} is missing; restore it, or make a key with `yrd signer create`.") from None
    except (IsADirectoryError, PermissionError) as error:
        raise KeyUnreadable(f"{path} can't be read ({error.strerror}); it must be a file of your own.") from None
    if mode & 0o077:
        raise KeyExposed(f"Key file {path} has mode {mode:04o}, open to others: run chmod 600 on it.")
    match = FORM.fullmatch(content.decode("utf-8", "replace"))
    if match is None:
        raise KeyUnreadable(f"{path} is no signing key; make one with `yrd signer create`.")
    return Signer(match["name"], int(match["type"]), bytes.fromhex(match["secret"]))


def read_keys(path: Path) -> list[VerifierKey]:
    """The public keys of a file with a verifier key on each line. Raises KeyMissing or KeyUnreadable."""
    try:
        if path.stat().st_size > KEYS_LIMIT_BYTES:
            raise KeyUnreadable(f"{path} is longer than {KEYS_LIMIT_BYTES} bytes; it must hold a verifier key a line.")
        keys = verifier_keys(path.read_text("utf-8"))
    except FileNotFoundError:
        raise KeyMissing(f"{path} is missing; it must hold your own copy of the public keys, one a line.") from None
    except (UnicodeDecodeError, KeyMalformed) as error:
        raise KeyUnreadable(f"{path} holds no public key: {error}") from None
    except OSError as error:
        raise KeyUnreadable(f"{path} can't be read ({error.strerror}).") from None
    if not keys:
        raise KeyUnreadable(f"{path} holds no public key; one reads name+key id+base64, as `yrd signer show` prints it.")
    return keys
