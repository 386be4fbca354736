"""The inside of the field `personal`: encrypted per subject and group of fields, one blob per event.

    byte  0       form of the blob: 1
    byte  1       algorithm: 1 AES-256-GCM (NIST SP 800-38D), 2 SM4-GCM (GB/T 32907, RFC 8998)
    byte  2       which groups of fields are there: bit n for group n
    bytes 3-10    id of the subject's key
    bytes 11-22   nonce, random for every blob
    then, per group of fields that states something: its number (1 byte), length (4 bytes, big-endian), ciphertext with tag

The groups' keys are SHAKE256 (FIPS 202) of a label and the subject's key, 32 bytes for each group in the order of the numbers, so
that one group can be handed out without the others; one call makes them all. The associated data are the event's id, the first
eleven bytes and the group's number: a blob opens in its own event only, and no group can be left out. What is encrypted is an
Avro record of the personal schema in single-object encoding, with only the group's fields stated and zeros up to a multiple of
32 bytes, so that lengths of names do not show.
"""

import io
import re
import struct
from collections.abc import Iterable, Mapping, Sequence
from datetime import date
from functools import cache
from hashlib import shake_256
from typing import Any, Final, NamedTuple, Protocol
from uuid import UUID

import fastavro
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from repository.events.columns import EPOCH, MARKER, Column, encode_columns
from repository.events.encoding import UNREADABLE
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
LENGTHS: Final = struct.Struct(f">{len(GROUP_NUMBERS)}I")
"""Before a row's groups in plain: the length of each, in the order of their numbers; 0 where nothing is stated."""
PADDED_TO: Final = 32
SHORTEST_TOLD: Final = 2
"""A personal text of fewer characters is not looked for among the public ones: it may stand there by chance."""
FREE_TEXTS: Final = ("doc_no", "authority", "operator", "reason", "source")
DERIVATION: Final = b"yrd personal field groups\x01"
KEYS_BYTES: Final = KEY_BYTES * len(GROUP_NUMBERS)
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


class BlobHead(NamedTuple):
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
    except (UnknownSchema, *UNREADABLE) as error:
        why = f"The personal fields are in no known form ({type(error).__name__}); install a newer release."
        raise PersonalRefused(why) from None
    left = data[HEADER_BYTES + stream.tell() :].strip(b"\0")
    if known.kind != PERSONAL or not isinstance(record, dict) or data[: len(MARKER)] != MARKER or left:
        raise PersonalRefused("The personal fields are not what a writer of ours makes; nothing is read of them.")
    return Plain({name: value for name, value in record.items() if value is not None})


# -- keys ----------------------------------------------------------------------------------------------------------


def group_keys(secret: bytes, wanted: Sequence[str] = tuple(GROUP_NUMBERS)) -> dict[str, bytes]:
    """The keys of groups of fields, 32 bytes each, derived of a subject's key."""
    keys = shake_256(DERIVATION + secret).digest(KEYS_BYTES)
    return {group: keys[_place(GROUP_NUMBERS[group])] for group in wanted}


def _place(number: int) -> slice:
    """Where the key of a group stands among the derived ones."""
    return slice((number - 1) * KEY_BYTES, number * KEY_BYTES)


# -- encrypting ----------------------------------------------------------------------------------------------------


def packed(encoded: Mapping[str, Sequence[bytes | None]], rows: int) -> list[bytes]:
    """Per row its groups in plain (see `encode_groups`), one after the other behind their lengths; a row may state none."""
    columns = [encoded.get(group, [None] * rows) for group in GROUP_NUMBERS]
    return [_packed([record or b"" for record in row]) for row in zip(*columns, strict=True)]


def _packed(records: Sequence[bytes]) -> bytes:
    return LENGTHS.pack(*map(len, records)) + b"".join(records)


def unpacked(row: bytes) -> tuple[bytes, ...]:
    """The records of the groups that `packed` put together, in the order of their numbers; empty where nothing is stated."""
    identity, demography, contact, card = LENGTHS.unpack_from(row)
    demography_at = LENGTHS.size + identity
    contact_at = demography_at + demography
    card_at = contact_at + contact
    return (
        row[LENGTHS.size : demography_at],
        row[demography_at:contact_at],
        row[contact_at:card_at],
        row[card_at : card_at + card],
    )


def encrypt_rows(
    rows: Sequence[bytes],
    key_ids: Sequence[bytes],
    keys: Sequence[bytes],
    events: Sequence[bytes],
    nonces: Sequence[bytes],
    algorithm: str = AES,
) -> list[bytes | None]:
    """The blobs of many events from their packed groups; None for a row that states none. The path of a first import.

    Of each event its subject's key with its id, the 16 bytes of its own id, and 12 random bytes that are used for its blob alone.
    It goes group by group and not row by row: a loop of one expression is what Python does fastest, and nothing in an import
    costs as much.
    """
    columns = list(zip(*map(unpacked, rows), strict=True)) or [()] * len(GROUP_NUMBERS)
    begins = [bytes((FORM, ALGORITHMS[algorithm], mask)) for mask in range(2 << len(GROUP_NUMBERS))]
    heads = [begins[mask] + key_id for mask, key_id in zip(map(_mask_of, *columns), key_ids, strict=True)]
    bounds = list(map(bytes.__add__, events, heads))
    derived = [shake_256(DERIVATION + key).digest(KEYS_BYTES) for key in keys]
    parts = [_sections(number, column, derived, nonces, bounds, algorithm) for number, column in enumerate(columns, 1)]
    blobs = map(b"".join, zip(heads, nonces, *parts, strict=True))
    return [blob if blob[2] else None for blob in blobs]


def _mask_of(identity: bytes, demography: bytes, contact: bytes, card: bytes) -> int:
    return (2 if identity else 0) | (4 if demography else 0) | (8 if contact else 0) | (16 if card else 0)


def _sections(
    number: int,
    records: Sequence[bytes],
    derived: Sequence[bytes],
    nonces: Sequence[bytes],
    bounds: Sequence[bytes],
    algorithm: str,
) -> list[bytes]:
    """One group of every blob: number, length, ciphertext with tag; empty where nothing is stated."""
    if not any(records):
        return [b""] * len(records)
    cipher, place, own = CIPHERS[algorithm], _place(number), bytes((number,))
    begins = {length: LENGTH.pack(number, length + TAG_BYTES) for length in set(map(len, records))}
    return [
        begins[len(record)] + cipher(keys[place]).encrypt(nonce, record, bound + own) if record else b""
        for record, keys, nonce, bound in zip(records, derived, nonces, bounds, strict=True)
    ]


def encrypt(values: Mapping[str, Any], key: SubjectKey, event_id: UUID, nonce: bytes, algorithm: str = AES) -> bytes | None:
    """The blob of one event from its personal fields by name; None where they state nothing."""
    rows = packed(encode_groups({name: [value] for name, value in values.items()}, 1), 1)
    return encrypt_rows(rows, [key.id], [key.secret], [event_id.bytes], [nonce], algorithm)[0]


def head(blob: bytes) -> BlobHead:
    """Algorithm, key id and nonce that a blob names. Raises PersonalRefused where it names none that is known."""
    if len(blob) < HEAD_BYTES + NONCE_BYTES or blob[0] != FORM or blob[1] not in ALGORITHM_NAMES:
        raise PersonalRefused(
            f"The personal fields begin with {blob[:2].hex() or 'nothing'}, no known form; install a newer release."
        )
    return BlobHead(ALGORITHM_NAMES[blob[1]], blob[3:HEAD_BYTES], blob[HEAD_BYTES : HEAD_BYTES + NONCE_BYTES])


def decrypt(blob: bytes, keys: Mapping[str, bytes], event_id: UUID) -> Plain:
    """The personal fields of the groups that `keys` open (group -> key); other groups are left out.

    Raises PersonalRefused where a key does not fit, or the blob was altered or moved here from another event.
    """
    blob_head = head(blob)
    plain: dict[str, Any] = {}
    for group, ciphertext in _ciphertexts(blob).items():
        if group in keys:
            bound = event_id.bytes + blob[:HEAD_BYTES] + bytes((GROUP_NUMBERS[group],))
            try:
                plain |= decode_group(CIPHERS[blob_head.algorithm](keys[group]).decrypt(blob_head.nonce, ciphertext, bound))
            except InvalidTag:
                raise PersonalRefused(
                    f"The group {group} of event {event_id} does not open: "
                    "the key is another's, or the bytes were altered or moved."
                ) from None
    return Plain(plain)


def _ciphertexts(blob: bytes) -> dict[str, bytes]:
    found: dict[str, bytes] = {}
    place = HEAD_BYTES + NONCE_BYTES
    while place < len(blob):
        number, length = LENGTH.unpack_from(blob, place) if len(blob) - place >= LENGTH.size else (0, 0)
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


class Aead(Protocol):
    """A cipher under one key, with associated data; opening raises InvalidTag."""

    def __init__(self, key: bytes) -> None: ...

    def encrypt(self, nonce: bytes, data: bytes, associated_data: bytes | None) -> bytes: ...

    def decrypt(self, nonce: bytes, data: bytes, associated_data: bytes | None) -> bytes: ...


class Sm4Gcm:
    """SM4-GCM in the shape of the library's AESGCM. It takes the first 16 bytes of a group's key."""

    def __init__(self, key: bytes) -> None:
        self._algorithm = algorithms.SM4(key[:16])

    def encrypt(self, nonce: bytes, data: bytes, associated_data: bytes | None) -> bytes:
        """Ciphertext and tag."""
        cipher = Cipher(self._algorithm, modes.GCM(nonce)).encryptor()
        cipher.authenticate_additional_data(associated_data or b"")
        return cipher.update(data) + cipher.finalize() + cipher.tag

    def decrypt(self, nonce: bytes, data: bytes, associated_data: bytes | None) -> bytes:
        """The plain bytes. Raises InvalidTag."""
        cipher = Cipher(self._algorithm, modes.GCM(nonce, data[-TAG_BYTES:])).decryptor()
        cipher.authenticate_additional_data(associated_data or b"")
        return cipher.update(data[:-TAG_BYTES]) + cipher.finalize()


CIPHERS: Final[Mapping[str, type[Aead]]] = {AES: AESGCM, SM4: Sm4Gcm}


# -- nothing in clear beside it ------------------------------------------------------------------------------------


def refuse_in_clear(record: Mapping[str, Any], plain: Mapping[str, Any]) -> None:
    """Raise PersonalRefused where a free text of an event repeats what identifies the person, such as the name in a reason."""
    telling = [name for group in ("identity", "contact", "card") for name in groups()[group] if name != "id_type"]
    told = [plain[name] for name in telling if len(plain.get(name) or "") >= SHORTEST_TOLD]
    for name in FREE_TEXTS:
        if any(each in (record.get(name) or "") for each in told):
            raise PersonalRefused(f'The field "{name}" repeats a personal field in clear; leave it out there.')
