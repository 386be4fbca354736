"""Regional keys, and the tokens that stand for persons in the log.

A token is t<key id>: and the HMAC-SHA-256 (RFC 2104, FIPS 180-4) of "id type|number" under a key that the
publishers of a region share, so that one person has one token at all of them. Identity numbers are few enough
to be tried one by one: without the key a token tells nothing, with it everything. Tokens remain personal
information in the sense of PIPL art. 73(3), and a key file is worth as much as all numbers behind them.

A passphrase too short or wrong and an altered export are KeyUnreadable; the published key, outside a home marked
synthetic, is a DemoKey.
"""

import hashlib
import hmac
import json
import re
import secrets
import unicodedata
from dataclasses import dataclass, field
from pathlib import Path

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.hmac import HMAC

from repository.keys.secret_files import SECRET_BYTES, KeyRefused, KeyUnreadable, create_secret, load_secret, write_new

KEY_ID_DIGITS = 8
NORMALISED_NUMBER = re.compile(r"[A-Z0-9()/.]+")
KEY_FILE_HEADER = "yrd regional key 1"
WHAT, WAY_OUT = "regional key", "make one with `yrd key create`, or import it from another publisher's export"
SHORTEST_PASSPHRASE = 12

EXPORT_FORMAT = "yrd regional key export 1"
SCRYPT_N, SCRYPT_R, SCRYPT_P = 131072, 8, 1
"""128 MiB and some tenths of a second for every passphrase tried, as the OWASP cheat sheet advises."""
SCRYPT_MEMORY_BYTES = 192 * 1024 * 1024
SALT_BYTES, NONCE_BYTES = 16, 12
ALGORITHMS = {
    "format": EXPORT_FORMAT,
    "kdf": "scrypt (RFC 7914)",
    "n": SCRYPT_N,
    "r": SCRYPT_R,
    "p": SCRYPT_P,
    "cipher": "AES-256-GCM (NIST SP 800-38D)",
}


class DemoKey(KeyRefused):
    """The published key was to stand for real persons."""


@dataclass(frozen=True, slots=True)
class RegionalKey:
    """A secret of 32 bytes, never printed, and the 8 hexadecimal digits it is known by."""

    secret: bytes = field(repr=False)
    key_id: str = field(init=False)
    mac: HMAC = field(init=False, repr=False, compare=False)
    """Begun with the secret and never ended itself: a copy of it costs a third of beginning anew for every person."""

    def __post_init__(self) -> None:
        if len(self.secret) != SECRET_BYTES:
            raise KeyUnreadable(f"A regional key has {SECRET_BYTES} bytes, not {len(self.secret)}: get it anew.")
        digest = hashlib.sha256(b"yrd regional key id|" + self.secret).hexdigest()
        object.__setattr__(self, "key_id", digest[:KEY_ID_DIGITS])
        object.__setattr__(self, "mac", HMAC(self.secret, SHA256()))


DEMO_KEY = RegionalKey(hashlib.sha256(b"yrd demo key: published, for made-up persons only").digest())
"""A key that everybody knows, for homes marked synthetic; refuse_demo_key() keeps it out of all others."""


def token(key: RegionalKey, id_type: str, number: str) -> str:
    """The token of a person: "t<key id>:" and 64 hexadecimal digits. Deterministic.

    `id_type` and `number` are those of an identifiers.Identity: already normalised. Raises ValueError for a
    number that plainly is not, as it would give the person a second token.
    """
    if not NORMALISED_NUMBER.fullmatch(number):
        raise ValueError(f"A number of kind {id_type} is not normalised: pass it through identifiers.identity().")
    mac = key.mac.copy()
    mac.update(f"{id_type}|{number}".encode())
    return f"t{key.key_id}:{mac.finalize().hex()}"


def refuse_demo_key(key: RegionalKey, synthetic: bool) -> None:
    """Raises DemoKey where the published key would stand for persons of a home not marked synthetic."""
    if not synthetic and hmac.compare_digest(key.secret, DEMO_KEY.secret):
        raise DemoKey(f"Key {key.key_id} is the published demo key: create or import a regional key, or mark the home synthetic.")


def create(path: Path) -> RegionalKey:
    """A new random key, written to `path` for its owner alone (mode 0600). Raises KeyExists."""
    return RegionalKey(create_secret(path, KEY_FILE_HEADER, WHAT))


def load(path: Path) -> RegionalKey:
    """The key in the file `path`. Raises KeyMissing, KeyExposed or KeyUnreadable."""
    return RegionalKey(load_secret(path, KEY_FILE_HEADER, WHAT, WAY_OUT))


def export(path: Path, passphrase: str) -> str:
    """The key in the file `path`, wrapped under `passphrase`: one line of JSON that names its algorithms.

    The text may travel where the passphrase does not. Raises as load(), and KeyUnreadable for a passphrase
    of fewer than 12 characters.
    """
    key = load(path)
    salt, nonce = secrets.token_bytes(SALT_BYTES), secrets.token_bytes(NONCE_BYTES)
    header = {**ALGORITHMS, "key_id": key.key_id, "salt": salt.hex(), "nonce": nonce.hex()}
    wrapped = AESGCM(_wrapping_key(passphrase, salt)).encrypt(nonce, key.secret, _bound(header))
    return json.dumps(header | {"wrapped": wrapped.hex()})


def import_(text: str, passphrase: str, path: Path) -> RegionalKey:
    """The key of an exported `text`, written to `path` as by create().

    Raises KeyExists, and KeyUnreadable where the text is no export, was altered, or the passphrase is wrong.
    """
    header, salt, nonce, wrapped = _parse_export(text)
    try:
        secret = AESGCM(_wrapping_key(passphrase, salt)).decrypt(nonce, wrapped, _bound(header))
    except InvalidTag:
        raise KeyUnreadable(
            "The exported key does not open: the passphrase is wrong, or the text was altered on its way."
        ) from None
    key = RegionalKey(secret)
    write_new(path, (KEY_FILE_HEADER, secret.hex()), WHAT)
    return key


def _parse_export(text: str) -> tuple[dict[str, object], bytes, bytes, bytes]:
    try:
        header = json.loads(text)
        wrapped = bytes.fromhex(header.pop("wrapped"))
        salt, nonce = bytes.fromhex(header["salt"]), bytes.fromhex(header["nonce"])
    except (ValueError, KeyError, TypeError, AttributeError):
        raise KeyUnreadable("The text is not an exported regional key: export it again.") from None
    known = {name: header.get(name) for name in ALGORITHMS} == ALGORITHMS
    if not known or (len(salt), len(nonce)) != (SALT_BYTES, NONCE_BYTES):
        raise KeyUnreadable(f"The exported key does not follow {EXPORT_FORMAT!r}: export it again.")
    return header, salt, nonce, wrapped


def _bound(header: dict[str, object]) -> bytes:
    """What the cipher authenticates with the key, so that no part of the text can be altered."""
    return json.dumps(header, sort_keys=True).encode()


def _wrapping_key(passphrase: str, salt: bytes) -> bytes:
    if len(passphrase) < SHORTEST_PASSPHRASE:
        raise KeyUnreadable(f"The passphrase has fewer than {SHORTEST_PASSPHRASE} characters: take a longer one.")
    password = unicodedata.normalize("NFC", passphrase).encode()
    limits = {"n": SCRYPT_N, "r": SCRYPT_R, "p": SCRYPT_P, "maxmem": SCRYPT_MEMORY_BYTES}
    return hashlib.scrypt(password, salt=salt, dklen=SECRET_BYTES, **limits)
