"""Signed notes (c2sp.org/signed-note) and the countersignatures of witnesses (c2sp.org/tlog-cosignature), with Ed25519.

A note is a text that ends with a line feed, a blank line, and a line per signature: an em dash, the signer's name, and in
base64 the first four bytes that the key is known by and the signature. A verifier key ("vkey") is name, key id and public
key in one line. The type of a key is its first byte: 1 signs the text (RFC 8032), 4 signs it with the moment of signing.
The format keeps 0xff for algorithms that carry their own name, which is where SM2 (GB/T 32918) would go.

    NoteRefused       every refusal below; a ValueError
    |- KeyMalformed   a text that is no verifier key
    |- NoteMalformed  a text that is no signed note
    `- NotSigned      no signature of the key, or a wrong one
"""

import base64
import binascii
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Final

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

ED25519, COSIGNATURE = 1, 4
TYPES: Final = {ED25519: "Ed25519", COSIGNATURE: "Ed25519 cosignature/v1"}
KEY_ID_BYTES, KEY_BYTES, SIGNATURE_BYTES, TIME_BYTES = 4, 32, 64, 8
NOTE_LIMIT_BYTES = 1 << 17
SIGNATURE_LIMIT = 16
NAME = re.compile(r"[^\s+]+")
VKEY = re.compile(r"(?P<name>[^\s+]+)\+(?P<id>[0-9a-f]{8})\+(?P<key>[A-Za-z0-9+/]+={0,2})")
LINE = re.compile(r"\u2014 (?P<name>[^\s+]+) (?P<signature>[A-Za-z0-9+/]+={0,2})")


class NoteRefused(ValueError):
    """A note or key that proves nothing."""


class KeyMalformed(NoteRefused):
    """A text is no verifier key."""


class NoteMalformed(NoteRefused):
    """A text is no signed note."""


class NotSigned(NoteRefused):
    """The note does not carry a valid signature of the key."""


def plain_base64(text: str) -> bytes:
    """Bytes of base64 in its one canonical form (RFC 4648, section 4). Raises ValueError for any other spelling."""
    try:
        data = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as error:
        raise ValueError(f'"{text[:60]}" is not base64.') from error
    if base64.b64encode(data).decode() != text:
        raise ValueError(f'"{text[:60]}" is base64 in another spelling than the canonical one.')
    return data


def base64_text(data: bytes) -> str:
    """Bytes in base64."""
    return base64.b64encode(data).decode("ascii")


@dataclass(frozen=True, slots=True)
class VerifierKey:
    """A public key with the name it signs under."""

    name: str
    type_: int
    public: bytes

    @property
    def key_id(self) -> bytes:
        """The four bytes by which signatures name the key."""
        return sha256(self.name.encode() + b"\n" + bytes([self.type_]) + self.public).digest()[:KEY_ID_BYTES]

    @property
    def label(self) -> str:
        """Name and key id, which tell a key apart without giving it."""
        return f"{self.name}+{self.key_id.hex()}"

    def __str__(self) -> str:
        return f"{self.label}+{base64_text(bytes([self.type_]) + self.public)}"

    @classmethod
    def parse(cls, text: str) -> "VerifierKey":
        """The key of a vkey line. Raises KeyMalformed."""
        match = VKEY.fullmatch(text)
        try:
            coded = plain_base64(match["key"]) if match else b""
        except ValueError:
            coded = b""
        if match is None or len(coded) != 1 + KEY_BYTES:
            raise KeyMalformed(
                f'"{text[:100]}" is no verifier key; one reads name+key id+base64, as `yrd signer show` prints it.'
            )
        key = cls(match["name"], coded[0], coded[1:])
        if key.type_ not in TYPES:
            raise KeyMalformed(f"The key {key.name} is of type {key.type_}; known are {', '.join(map(str, TYPES))}.")
        if key.key_id.hex() != match["id"]:
            raise KeyMalformed(
                f"The key {key.name} has the id {key.key_id.hex()} and its line says {match['id']}; copy it again."
            )
        return key


@dataclass(frozen=True, slots=True)
class Signature:
    """One signature line: who signed, the key's id, and the signature's bytes."""

    name: str
    key_id: bytes
    data: bytes

    @property
    def label(self) -> str:
        """Name and key id, as in `VerifierKey.label`."""
        return f"{self.name}+{self.key_id.hex()}"

    def __str__(self) -> str:
        return f"\u2014 {self.name} {base64_text(self.key_id + self.data)}\n"


@dataclass(frozen=True, slots=True)
class Note:
    """A text with its signatures. The text ends with a line feed."""

    text: str
    signatures: tuple[Signature, ...]

    def __str__(self) -> str:
        return f"{self.text}\n{''.join(map(str, self.signatures))}"

    @classmethod
    def parse(cls, text: str) -> "Note":
        """The note of its text. Raises NoteMalformed; whether a signature is right is for `check`."""
        if len(text.encode("utf-8", "surrogatepass")) > NOTE_LIMIT_BYTES:
            raise NoteMalformed(f"The note is longer than {NOTE_LIMIT_BYTES} bytes.")
        if any(character < " " and character != "\n" for character in text) or "\x7f" in text:
            raise NoteMalformed("The note holds a control character.")
        body, blank, lines = text.rpartition("\n\n")
        if not blank or not body or not lines.endswith("\n"):
            raise NoteMalformed("The text is no signed note: a text, a blank line and the lines of the signatures.")
        listed = lines[:-1].split("\n")
        if len(listed) > SIGNATURE_LIMIT:
            raise NoteMalformed(f"The note has {len(listed)} signatures and the limit is {SIGNATURE_LIMIT}.")
        return cls(f"{body}\n", tuple(map(_signature, listed)))

    def signed_by(self, key: VerifierKey) -> bool:
        """Whether a line claims to be the key's; whether it is right is for `check`."""
        return any((s.name, s.key_id) == (key.name, key.key_id) for s in self.signatures)

    def check(self, key: VerifierKey) -> int | None:
        """Check the key's signature. The moment of signing (seconds, UNIX time) of a countersignature, else None.

        Raises NotSigned where the note has no signature of the key, or a wrong one.
        """
        for each in self.signatures:
            if (each.name, each.key_id) == (key.name, key.key_id):
                return _checked(self.text, each, key)
        signers = ", ".join(s.label for s in self.signatures)
        raise NotSigned(f"The note is not signed by {key.label}; it is signed by {signers}.")

    def check_one_of(self, keys: Sequence[VerifierKey]) -> VerifierKey:
        """The key of these that the note says has signed it, checked. Raises NotSigned where none has."""
        claimed = [key for key in keys if self.signed_by(key)] or list(keys[:1])
        if not claimed:
            raise NotSigned("No public key is given to check the note with.")
        self.check(claimed[0])
        return claimed[0]

    def with_signature(self, signature: Signature) -> "Note":
        """The note with one more signature."""
        return Note(self.text, (*self.signatures, signature))


def _signature(line: str) -> Signature:
    match = LINE.fullmatch(line)
    try:
        data = plain_base64(match["signature"]) if match else b""
    except ValueError:
        data = b""
    if match is None or len(data) <= KEY_ID_BYTES:
        raise NoteMalformed(f'"{line[:80]}" is no signature line of a note.')
    return Signature(match["name"], data[:KEY_ID_BYTES], data[KEY_ID_BYTES:])


def _checked(text: str, signature: Signature, key: VerifierKey) -> int | None:
    moment, data = None, signature.data
    if key.type_ == COSIGNATURE:
        moment, data = int.from_bytes(data[:TIME_BYTES], "big"), data[TIME_BYTES:]
    try:
        Ed25519PublicKey.from_public_bytes(key.public).verify(data, _message(text, moment))
    except (InvalidSignature, ValueError):
        raise NotSigned(f"The signature of {key.label} is not of this text; one of the two was altered.") from None
    return moment


def _message(text: str, moment: int | None) -> bytes:
    """What is signed: the text, and for a countersignature before it the moment (seconds, UNIX time)."""
    return text.encode() if moment is None else f"cosignature/v1\ntime {moment}\n{text}".encode()


@dataclass(frozen=True, slots=True)
class Signer:
    """A private key with the name it signs under; the key is never printed."""

    name: str
    type_: int
    secret: bytes = field(repr=False)

    @property
    def verifier(self) -> VerifierKey:
        """The public half."""
        public = Ed25519PrivateKey.from_private_bytes(self.secret).public_key().public_bytes_raw()
        return VerifierKey(self.name, self.type_, public)

    def sign(self, text: str, moment: int | None = None) -> Signature:
        """The signature of a text that ends with a line feed; `moment` (seconds, UNIX time) for a countersignature."""
        if (moment is None) == (self.type_ == COSIGNATURE):
            raise ValueError(f"A key of type {self.type_} signs {'with' if moment is None else 'without'} a moment.")
        data = Ed25519PrivateKey.from_private_bytes(self.secret).sign(_message(text, moment))
        stamp = b"" if moment is None else moment.to_bytes(TIME_BYTES, "big")
        return Signature(self.name, self.verifier.key_id, stamp + data)


def signed(text: str, signers: Sequence[Signer]) -> Note:
    """A text that ends with a line feed, signed by each."""
    return Note(text, tuple(signer.sign(text) for signer in signers))


def verifier_keys(lines: str) -> list[VerifierKey]:
    """The keys of a text with a vkey on each line; blank lines and those that begin with # are left out."""
    return [VerifierKey.parse(line.strip()) for line in lines.splitlines() if line.strip() and not line.lstrip().startswith("#")]


def of_name(keys: Iterable[VerifierKey], name: str) -> list[VerifierKey]:
    """The keys that sign under a name."""
    return [key for key in keys if key.name == name]
