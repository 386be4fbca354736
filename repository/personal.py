"""The inside of the field `personal`: encrypted per subject and group of fields, one blob per event.

    byte  0       form of the blob: 1
    byte  1       algorithm: 1 AES-256-GCM (NIST SP 800-38D), 2 SM4-GCM (GB/T 32907, RFC 8998)
    byte  2       which groups of fields are there: bit n for group n
    bytes 3-10    id of the subject's key
    bytes 11-22   nonce, random for every blob
    then, per group of fields that states something: its number (1 byte), length (4 bytes, big-endian), ciphertext with tag

A group's key is HKDF-Expand (RFC 5869, SHA-512) of the subject's key, so that one group can be handed out without the others. The
associated data are the event's id, the first eleven bytes and the group's number: a blob opens in its own event only, and no
group can be left out. What is encrypted is an Avro record of the personal schema in single-object encoding, with only the group's
fields stated and zeros up to a multiple of 32 bytes, so that lengths of names do not show.
"""

import io
import re
import struct
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import date
from functools import cache
from hmac import digest
from typing import Any, Final, NamedTuple
from uuid import UUID

import fastavro
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from repository.columns import EPOCH, MARKER, Column, encode_columns
from schemas.contracts import PERSONAL, UnknownSchema, by_fingerprint, contract, fields

FORM: Final = 1
AES, SM4 = "AES-256-GCM", "SM4-GCM"
ALGORITHMS: Final = {AES: 1, SM4: 2}
ALGORITHM_NAMES: Final = {number: name for name, number in ALGORITHMS.items()}
GROUP_NUMBERS: Final = {"identity": 1, "demography": 2, "contact": 3, "card": 4}
"""Numbers of the groups in the blob: part of the stored data, never changed."""
GROUP_NAMES: Final = {number: name for name, number in GROUP_NUMBERS.items()}
KEY_BYTES, KEY_ID_BYTES, NONCE_BYTES, TAG_BYTES = 32, 8, 12, 16
HEADER_BYTES: Final = len(MARKER) + 8
HEAD_BYTES: Final = 3 + KEY_ID_BYTES
LENGTH: Final = struct.Struct(">BI")
pack, unpack = LENGTH.pack, LENGTH.unpack_from
PADDED_TO: Final = 32
SHORTEST_TOLD: Final = 2
"""A personal text of fewer characters is not looked for among the public ones: it may stand there by chance."""
FREE_TEXTS: Final = ("doc_no", "authority", "operator", "reason", "source")
DERIVATION: Final = (b"yrd personal field groups 1 of 2\x01", b"yrd personal field groups 2 of 2\x01")
_GROUP: Final = re.compile(r"^Group (\w+)\.")


class PersonalRefused(ValueError):
    """Personal fields that cannot be encrypted, opened or stated as asked; no message shows one of their values."""


class Plain(dict[str, Any]):
    """Personal fields in plain: only those that state something. Not shown when printed, so that no error message shows them."""

    def __repr__(self) -> str:
        return "(personal fields)"

    __str__ = __repr__

    def with_stated(self, mentioned: Mapping[str, Any]) -> "Plain | None":
        """These fields with the mentioned ones put in; one mentioned as None is unknown from then on. None: nothing is left."""
        merged = {name: value for name, value in {**self, **mentioned}.items() if value is not None}
        return Plain(merged) if merged else None

    def agrees_with(self, known: "Mapping[str, Any] | None") -> bool:
        """Whether what these mention, also as unknown, is what is known."""
        return all((known or {}).get(name) == value for name, value in self.items())


class SubjectKey(NamedTuple):
    """The key of one subject at one publisher: 32 random bytes, never printed, and the 8 bytes it is known by."""

    id: bytes
    secret: bytes

    def __repr__(self) -> str:
        return f"SubjectKey({self.id.hex()})"


class Head(NamedTuple):
    """What a blob says of itself."""

    algorithm: str
    key_id: bytes
    nonce: bytes


@cache
def groups() -> dict[str, tuple[str, ...]]:
    """Group -> its fields, as the docs of the personal schema state them, in the order of GROUP_NUMBERS."""
    found: dict[str, list[str]] = {name: [] for name in GROUP_NUMBERS}
    for name, type_ in fields(PERSONAL).items():
        stated = _GROUP.match(type_.doc)
        if stated is None or stated[1] not in found:
            raise PersonalRefused(f"The field {name} of the personal schema states no group of fields; begin its doc with one.")
        found[stated[1]].append(name)
    return {name: tuple(members) for name, members in found.items()}


# -- groups in plain -----------------------------------------------------------------------------------------------


def encode_groups(values: Mapping[str, Sequence[Any]], rows: int) -> dict[str, list[bytes | None]]:
    """Per group and row the padded Avro record, None where the row states nothing of the group.

    `values` has a column per field, days as date or as number since 1970-01-01; absent fields are unknown in every row.
    """
    encoded: dict[str, list[bytes | None]] = {}
    for group, members in groups().items():
        columns = {name: values[name] for name in members if name in values}
        if columns:
            encoded[group] = _encode_group(columns, rows)
    return encoded


def _encode_group(columns: Mapping[str, Sequence[Any]], rows: int) -> list[bytes | None]:
    given: dict[str, Column] = {name: _days(column) for name, column in columns.items()}
    records = encode_columns(PERSONAL, given, rows)
    states = [any(value is not None for value in row) for row in zip(*columns.values(), strict=True)]
    return [record + bytes(-len(record) % PADDED_TO) if said else None for record, said in zip(records, states, strict=True)]


def _days(column: Sequence[Any]) -> Sequence[Any]:
    return [(value - EPOCH).days if isinstance(value, date) else value for value in column]


def decode_group(data: bytes) -> Plain:
    """The stated fields of one group. Raises PersonalRefused where the bytes are no such record."""
    stream = io.BytesIO(data[HEADER_BYTES:])
    try:
        known = by_fingerprint(data[len(MARKER) : HEADER_BYTES])
        record = fastavro.schemaless_reader(stream, known.parsed, contract(PERSONAL).parsed)
    except (UnknownSchema, EOFError, ValueError, LookupError, TypeError, struct.error) as error:
        why = f"The personal fields are in no known form ({type(error).__name__}); install a newer release."
        raise PersonalRefused(why) from None
    left = data[HEADER_BYTES + stream.tell() :].strip(b"\0")
    if known.kind != PERSONAL or not isinstance(record, dict) or data[: len(MARKER)] != MARKER or left:
        raise PersonalRefused("The personal fields are not what a writer of ours makes; nothing is read of them.")
    return Plain({name: value for name, value in record.items() if value is not None})


# -- keys ----------------------------------------------------------------------------------------------------------


def group_keys(secret: bytes, wanted: Sequence[str] = tuple(GROUP_NUMBERS)) -> dict[str, bytes]:
    """The keys of groups of fields, 32 bytes each: HKDF-Expand (RFC 5869, SHA-512) of a subject's key, two groups per output."""
    outputs: dict[int, bytes] = {}
    keys = {}
    for group in wanted:
        half, place = divmod(GROUP_NUMBERS[group] - 1, 2)
        if half not in outputs:
            outputs[half] = digest(secret, DERIVATION[half], "sha512")
        keys[group] = outputs[half][place * KEY_BYTES : (place + 1) * KEY_BYTES]
    return keys


# -- encrypting ----------------------------------------------------------------------------------------------------


def packed(encoded: Mapping[str, Sequence[bytes | None]], rows: int) -> list[bytes]:
    """Per row its groups in plain (see `encode_groups`), one after the other: number, length, record; empty where none are."""
    columns = [
        [b"" if data is None else pack(number, len(data)) + data for data in encoded[group]]
        for group, number in GROUP_NUMBERS.items()
        if group in encoded
    ]
    return list(map(b"".join, zip(*columns, strict=True))) if columns else [b""] * rows


def unpacked(groups_in_plain: bytes) -> list[tuple[int, bytes]]:
    """Number and record of each group that `packed` put together."""
    found, place = [], 0
    while place < len(groups_in_plain):
        number, length = unpack(groups_in_plain, place)
        place += LENGTH.size + length
        found.append((number, groups_in_plain[place - length : place]))
    return found


def encrypt_packed(groups_in_plain: bytes, key: SubjectKey, event_id: bytes, nonce: bytes, algorithm: str = AES) -> bytes | None:
    """The blob of one event from its packed groups; None where there are none. On the path of every row of a first import.

    `event_id` are the UUID's 16 bytes, `nonce` 12 random bytes that are used for this blob alone.
    """
    stated = unpacked(groups_in_plain)
    if not stated:
        return None
    head = bytes((FORM, ALGORITHMS[algorithm], sum(1 << number for number, _ in stated))) + key.id
    seal, bound = CIPHERS[algorithm][0], event_id + head
    parts, outputs = [head, nonce], [b"", b""]
    for number, data in stated:
        half = (number - 1) // 2
        outputs[half] = outputs[half] or digest(key.secret, DERIVATION[half], "sha512")
        group_key = outputs[half][:KEY_BYTES] if number % 2 else outputs[half][KEY_BYTES:]
        sealed = seal(group_key, nonce, data, bound + number.to_bytes(1, "big"))
        parts += (pack(number, len(sealed)), sealed)
    return b"".join(parts)


def encrypt(values: Mapping[str, Any], key: SubjectKey, event_id: UUID, nonce: bytes, algorithm: str = AES) -> bytes | None:
    """The blob of one event from its personal fields by name; None where they state nothing."""
    (groups_in_plain,) = packed(encode_groups({name: [value] for name, value in values.items()}, 1), 1)
    return encrypt_packed(groups_in_plain, key, event_id.bytes, nonce, algorithm)


def head(blob: bytes) -> Head:
    """Algorithm, key id and nonce that a blob names. Raises PersonalRefused where it names none that is known."""
    if len(blob) < HEAD_BYTES + NONCE_BYTES or blob[0] != FORM or blob[1] not in ALGORITHM_NAMES:
        raise PersonalRefused(
            f"The personal fields begin with {blob[:2].hex() or 'nothing'}, no known form; install a newer release."
        )
    return Head(ALGORITHM_NAMES[blob[1]], blob[3:HEAD_BYTES], blob[HEAD_BYTES : HEAD_BYTES + NONCE_BYTES])


def decrypt(blob: bytes, keys: Mapping[str, bytes], event_id: UUID) -> Plain:
    """The personal fields of the groups that `keys` open (group -> key); other groups are left out.

    Raises PersonalRefused where a key does not fit, or the blob was altered or moved here from another event.
    """
    said = head(blob)
    plain: dict[str, Any] = {}
    for group, sealed in _sealed_groups(blob).items():
        if group in keys:
            bound = event_id.bytes + blob[:HEAD_BYTES] + bytes((GROUP_NUMBERS[group],))
            try:
                plain |= decode_group(CIPHERS[said.algorithm][1](keys[group], said.nonce, sealed, bound))
            except InvalidTag:
                raise PersonalRefused(
                    f"The group {group} of event {event_id} does not open: "
                    "the key is another's, or the bytes were altered or moved."
                ) from None
    return Plain(plain)


def _sealed_groups(blob: bytes) -> dict[str, bytes]:
    found: dict[str, bytes] = {}
    place = HEAD_BYTES + NONCE_BYTES
    while place < len(blob):
        number, length = unpack(blob, place) if len(blob) - place >= LENGTH.size else (0, 0)
        place += LENGTH.size
        if number not in GROUP_NAMES or GROUP_NAMES[number] in found or not TAG_BYTES <= length <= len(blob) - place:
            raise PersonalRefused("The personal fields are cut off or hold a group that is not known; nothing is read.")
        found[GROUP_NAMES[number]] = blob[place : place + length]
        place += length
    if _mask(found) != blob[2]:
        raise PersonalRefused("The personal fields lack a group that was there or hold one that was not; nothing is read.")
    return found


def _mask(present: Iterable[str]) -> int:
    return sum(1 << GROUP_NUMBERS[group] for group in present)


def _sm4_encrypt(key: bytes, nonce: bytes, data: bytes, bound: bytes) -> bytes:
    cipher = Cipher(algorithms.SM4(key[:16]), modes.GCM(nonce)).encryptor()
    cipher.authenticate_additional_data(bound)
    return cipher.update(data) + cipher.finalize() + cipher.tag


def _sm4_decrypt(key: bytes, nonce: bytes, sealed: bytes, bound: bytes) -> bytes:
    cipher = Cipher(algorithms.SM4(key[:16]), modes.GCM(nonce, sealed[-TAG_BYTES:])).decryptor()
    cipher.authenticate_additional_data(bound)
    return cipher.update(sealed[:-TAG_BYTES]) + cipher.finalize()


_Cipher = Callable[[bytes, bytes, bytes, bytes], bytes]
CIPHERS: Final[Mapping[str, tuple[_Cipher, _Cipher]]] = {
    AES: (
        lambda key, nonce, data, bound: AESGCM(key).encrypt(nonce, data, bound),
        lambda key, nonce, data, bound: AESGCM(key).decrypt(nonce, data, bound),
    ),
    SM4: (_sm4_encrypt, _sm4_decrypt),
}
"""Encrypting and opening, per algorithm: (key, nonce, data, associated data). SM4 takes the first 16 bytes of a group's key."""


# -- nothing in clear beside it ------------------------------------------------------------------------------------


def refuse_in_clear(record: Mapping[str, Any], plain: Mapping[str, Any]) -> None:
    """Raise PersonalRefused where a free text of an event repeats what identifies the person, such as the name in a reason."""
    telling = [name for group in ("identity", "contact", "card") for name in groups()[group] if name != "id_type"]
    told = [plain[name] for name in telling if len(plain.get(name) or "") >= SHORTEST_TOLD]
    for name in FREE_TEXTS:
        if any(each in (record.get(name) or "") for each in told):
            raise PersonalRefused(f'The field "{name}" repeats a personal field in clear; leave it out there.')
