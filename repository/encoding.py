"""Stored bytes: an event encoded once, as Avro single-object encoding (Avro 1.12, "Single-object encoding").

Two bytes C3 01, the schema's CRC-64-AVRO fingerprint in little-endian order, then the body. `encode` is the definition,
by fastavro; `encode_columns` gives the same bytes for many events at once and is several times faster, because a column
is encoded in one pass and a column that holds one value throughout is encoded once.
"""

import io
import math
import re
import struct
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from functools import cache
from itertools import repeat
from typing import Any
from uuid import UUID

import fastavro

from schemas.contracts import (
    KINDS,
    Contract,
    FieldType,
    UnknownSchema,
    by_fingerprint,
    contract,
    field_type,
    fields,
)

MARKER = b"\xc3\x01"
HEADER_BYTES = 10
EVENT_LIMIT_BYTES = 1 << 20
"""Largest stored event. A larger one is refused before it is stored and quarantined where it arrives."""
EPOCH = date(1970, 1, 1)
EPOCH_MOMENT = datetime(1970, 1, 1, tzinfo=UTC)
MONEY_SCALE = Decimal("0.0001")
MONEY_DIGITS = 18
MONEY_BYTES = 8
UUID_FORM = re.compile("[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")
LONE_SURROGATE = re.compile("[\ud800-\udfff]")

Record = Mapping[str, Any]


class NotAnEvent(ValueError):
    """Bytes that are no stored event, or an event that may not be stored; the message is for people."""


def encode(kind: str, record: Record) -> bytes:
    """The stored bytes of one event record; refuses what Avro writers would silently bend.

    Raises NotAnEvent for an unknown field, a float where an integer belongs, a naive datetime, NaN, money of more than
    18 digits or 4 decimals, or more than EVENT_LIMIT_BYTES.
    """
    refuse_bent(kind, record)
    known = contract(kind)
    out = io.BytesIO()
    out.write(MARKER + known.fingerprint)
    fastavro.schemaless_writer(out, known.parsed, dict(record), strict_allow_default=True)
    if out.tell() > EVENT_LIMIT_BYTES:
        raise NotAnEvent(f"The event has {out.tell()} bytes and the limit is {EVENT_LIMIT_BYTES}; split it or shorten its text.")
    return out.getvalue()


def decode(data: bytes) -> tuple[str, dict[str, Any]]:
    """Kind and record of one stored event, read by the schema it was written with into the current one.

    Raises NotAnEvent when the bytes are truncated, oversized, trailing, or legal Avro that no writer of ours produces.
    """
    known = writer_of(data)
    stream = io.BytesIO(data)
    stream.seek(HEADER_BYTES)
    out = io.BytesIO()
    try:
        written = fastavro.schemaless_reader(stream, known.parsed, None)
        assert isinstance(written, dict)
        fastavro.schemaless_writer(out, known.parsed, written)
    except (EOFError, ValueError, LookupError, ArithmeticError, TypeError, struct.error) as error:
        raise NotAnEvent(f"The body is not {known.kind} version {known.version}: {error or type(error).__name__}.") from error
    if stream.tell() != len(data):
        raise NotAnEvent(f"{len(data) - stream.tell()} bytes follow the event; it was not written by this system.")
    # What a writer of ours produces is canonical: anything else (index -1, a boolean of 7) reads fine and encodes differently.
    if out.getvalue() != data[HEADER_BYTES:]:
        raise NotAnEvent("The body is not in the form that Avro writers produce (an index, boolean or number out of range).")
    current = contract(known.kind)
    record = (
        written if known is current else fastavro.schemaless_reader(io.BytesIO(data[HEADER_BYTES:]), known.parsed, current.parsed)
    )
    assert isinstance(record, dict)
    refuse_bent(known.kind, record)
    return known.kind, record


def _read_money(data: bytes, schema: Any = None, _: Any = None) -> Decimal:
    """Money from its bytes. The library's own reader takes minutes for a number of a megabyte; 18 digits fit in 8 bytes."""
    if len(data) > MONEY_BYTES:
        raise ValueError(f"money of {len(data)} bytes, and {MONEY_BYTES} hold {MONEY_DIGITS} digits")
    return Decimal(int.from_bytes(data, "big", signed=True)).scaleb(-schema["scale"])


fastavro.read.LOGICAL_READERS["bytes-decimal"] = _read_money


def writer_of(data: bytes) -> Contract:
    """The schema version an event was written with. Raises NotAnEvent where the header names no kind of event."""
    try:
        known = by_fingerprint(fingerprint(data))
    except UnknownSchema as error:
        raise NotAnEvent(str(error.args[0])) from None
    if known.kind not in KINDS:
        raise NotAnEvent(f"The record is of schema {known.kind}, which is no event; nothing of it is read.")
    return known


def fingerprint(data: bytes) -> bytes:
    """The schema fingerprint in the header; raises NotAnEvent where there is no header or the event is oversized."""
    if len(data) > EVENT_LIMIT_BYTES:
        raise NotAnEvent(f"The record has {len(data)} bytes and the limit is {EVENT_LIMIT_BYTES}.")
    if len(data) < HEADER_BYTES or data[:2] != MARKER:
        raise NotAnEvent(f"The record begins with {data[:2].hex() or 'nothing'} and not with c301, so it is no stored event.")
    return data[2:HEADER_BYTES]


# -- what may be stored --------------------------------------------------------------------------------------------


def refuse_bent(kind: str, record: Record) -> None:
    """Raise NotAnEvent for a field the schema does not have, or a value the writer would bend to fit."""
    known = fields(kind)
    for name, value in record.items():
        if name not in known:
            raise NotAnEvent(f'The schema of {kind} has no field "{name}"; known are {", ".join(known)}.')
        _refuse_value(name, known[name], value)


def _refuse_value(name: str, type_: FieldType, value: object) -> None:
    if value is None:
        if not type_.nullable:
            raise NotAnEvent(f'The field "{name}" may not be null.')
    elif type_.word == "records":
        for entry in _sequence(name, value):
            _refuse_entry(name, type_, entry)
    elif type_.word == "strings":
        if not all(map(CHECKS[type_.item], _sequence(name, value))):
            raise NotAnEvent(f'The field "{name}" takes a list, each {MEANING[type_.item]}, not {value!r}.')
    elif not CHECKS[type_.word](value):
        raise NotAnEvent(f'The field "{name}" takes {MEANING[type_.word]}, not {value!r} ({type(value).__name__}).')


def _refuse_entry(name: str, type_: FieldType, entry: object) -> None:
    if not isinstance(entry, Mapping) or set(entry) - set(type_.entry):
        raise NotAnEvent(f'An entry of "{name}" takes the cells {", ".join(type_.entry)}, not {entry!r}.')
    for cell, cell_type in type_.entry.items():
        if cell in entry:
            _refuse_value(f"{name}.{cell}", cell_type, entry[cell])


def _sequence(name: str, value: object) -> Sequence[object]:
    if not isinstance(value, list | tuple):
        raise NotAnEvent(f'The field "{name}" takes a list, not {value!r}.')
    return value


def _whole(bits: int) -> Callable[[object], bool]:
    low, high = -(1 << bits - 1), (1 << bits - 1) - 1
    return lambda v: isinstance(v, int) and not isinstance(v, bool) and low <= v <= high


def _is_text(value: object) -> bool:
    return isinstance(value, str) and (value.isascii() or not LONE_SURROGATE.search(value))


def _is_uuid(value: object) -> bool:
    return isinstance(value, UUID) or (isinstance(value, str) and UUID_FORM.fullmatch(value) is not None)


def _is_money(value: object) -> bool:
    if not isinstance(value, Decimal) or not value.is_finite() or abs(value) >= 10 ** (MONEY_DIGITS - 4):
        return False
    return value == value.quantize(MONEY_SCALE)


CHECKS: dict[str, Callable[[object], bool]] = {
    "string": _is_text,
    "uuid": _is_uuid,
    "int": _whole(32),
    "long": _whole(64),
    "double": lambda v: isinstance(v, float) and math.isfinite(v),
    "boolean": lambda v: isinstance(v, bool),
    "bytes": lambda v: isinstance(v, bytes),
    "date": lambda v: isinstance(v, date) and not isinstance(v, datetime),
    "timestamp": lambda v: isinstance(v, datetime) and v.tzinfo is not None,
    "decimal": _is_money,
}
MEANING = {
    "string": "a text of whole characters",
    "uuid": "a UUID in lower case with its hyphens",
    "int": "a whole number of 32 bits",
    "long": "a whole number of 64 bits",
    "double": "a finite decimal number",
    "boolean": "true or false",
    "bytes": "bytes",
    "date": "a day",
    "timestamp": "a moment with its time zone",
    "decimal": "money of at most 14 digits before and 4 after the point",
}


# -- many events at once -------------------------------------------------------------------------------------------


class Constant:
    """A column that holds one value in every row."""

    __slots__ = ("value",)

    def __init__(self, value: object) -> None:
        self.value = value


Column = Constant | Sequence[Any]


def encode_columns(kind: str, columns: Mapping[str, Column], rows: int, version: Contract | None = None) -> list[bytes]:
    """Stored bytes of `rows` events given column by column; a field that no column names holds its default.

    Byte for byte what `encode` gives for each row, or under an earlier `version` what its writer gave. Columns hold
    physical values where those are cheaper: a day is its number of days since 1970-01-01, a moment its microseconds.
    Arrays of records are lists of complete entries, as `encode` takes them. Sizes and ranges are the caller's to check.
    """
    known = version or contract(kind)
    parts: list[Iterable[bytes]] = []
    pending = MARKER + known.fingerprint
    for name, type_ in fields_of(known).items():
        column = columns.get(name, Constant(type_.default))
        encoder = encoder_of(type_, PHYSICAL)
        if isinstance(column, Constant):
            pending += encoder(column.value)
        else:
            parts += [repeat(pending, rows), map(encoder, column)] if pending else [map(encoder, column)]
            pending = b""
    if pending:
        parts.append(repeat(pending, rows))
    return list(map(b"".join, zip(*parts, strict=True)))


@cache
def fields_of(known: Contract) -> dict[str, FieldType]:
    """Field types of any version of a contract."""
    return {each["name"]: field_type(each) for each in known.schema["fields"]}


def encoder_of(type_: FieldType, words: Mapping[str, Callable[[Any], bytes]]) -> Callable[[Any], bytes]:
    """The function from one value of a type to its Avro bytes."""
    plain = _records_encoder(type_) if type_.word == "records" else words[type_.word]
    if not type_.nullable:
        return plain
    return lambda value: b"\x00" if value is None else b"\x02" + plain(value)


def zigzag(number: int) -> bytes:
    """A long as Avro's variable-length zig-zag."""
    if -64 <= number < 64:
        return ONE_BYTE[number + 64]
    number = (number << 1) ^ (number >> 63)
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    out.append(number)
    return bytes(out)


ONE_BYTE = [bytes([(n << 1) ^ (n >> 63)]) for n in range(-64, 64)]


def _text(value: str) -> bytes:
    data = value.encode()
    return zigzag(len(data)) + data


def _uuid(value: str | UUID) -> bytes:
    return b"\x48" + str(value).encode()


def _bytes(value: bytes) -> bytes:
    return zigzag(len(value)) + value


def _day(value: date) -> bytes:
    return zigzag((value - EPOCH).days)


def _moment(value: datetime) -> bytes:
    return zigzag(microseconds(value))


def microseconds(value: datetime) -> int:
    """Microseconds since 1970-01-01 UTC of an aware moment."""
    return (value - EPOCH_MOMENT) // timedelta(microseconds=1)


def _money(value: Decimal) -> bytes:
    number = int(value.scaleb(4))
    # As fastavro writes it: -128 takes two bytes, where the shortest form would take one.
    return _bytes(number.to_bytes(number.bit_length() // 8 + 1, "big", signed=True))


def _texts(values: Sequence[str]) -> bytes:
    if not values:
        return b"\x00"
    return zigzag(len(values)) + b"".join(map(_text, map(str, values))) + b"\x00"


def _records_encoder(type_: FieldType) -> Callable[[Sequence[Mapping[str, Any]]], bytes]:
    cells = [(name, encoder_of(cell, LOGICAL)) for name, cell in type_.entry.items()]

    def entries(values: Sequence[Mapping[str, Any]]) -> bytes:
        if not values:
            return b"\x00"
        return zigzag(len(values)) + b"".join(e(v[name]) for v in values for name, e in cells) + b"\x00"

    return entries


LOGICAL: dict[str, Callable[[Any], bytes]] = {
    "string": _text,
    "uuid": _uuid,
    "int": zigzag,
    "long": zigzag,
    "double": struct.Struct("<d").pack,
    "boolean": lambda value: b"\x01" if value else b"\x00",
    "bytes": _bytes,
    "date": _day,
    "timestamp": _moment,
    "decimal": _money,
    "strings": _texts,
}
PHYSICAL = LOGICAL | {"date": zigzag, "timestamp": zigzag}
