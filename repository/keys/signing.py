"""Key files of those who sign: a publisher its seals, the regional office its members, the hub its countersignatures."""

import re
import secrets
from pathlib import Path

from repository.keys.secret_files import SECRET_BYTES, KeyMissing, KeyUnreadable, read_own, write_new
from repository.proof.signed_note import COSIGNATURE, ED25519, KeyMalformed, Signer, VerifierKey, verifier_keys

HEADER = "yrd signing key 1"
FORM = re.compile(rf"{HEADER}\n(?P<name>[^\s+]+)\n(?P<type>[14])\n(?P<secret>[0-9a-f]{{64}})\n")
KEYS_LIMIT_BYTES = 1 << 20


def create(path: Path, name: str, witness: bool = False) -> Signer:
    """A new random key that signs under `name`, in `path` for its owner alone (mode 0600). Raises KeyExists."""
    made = Signer(name, COSIGNATURE if witness else ED25519, secrets.token_bytes(SECRET_BYTES))
    write_new(path, (HEADER, made.name, str(made.type_), made.secret.hex()), "signing key")
    return made


def load(path: Path) -> Signer:
    """The key in a file. Raises KeyMissing, KeyExposed or KeyUnreadable."""
    match = read_own(path, FORM, "signing key", "restore it, or make one with `yrd signer create`")
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
