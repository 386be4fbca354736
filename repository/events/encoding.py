"""Stored bytes: an event encoded once, as Avro single-object encoding (Avro 1.12, "Single-object encoding").

Two bytes C3 01, the schema's CRC-64-AVRO fingerprint in little-endian order, then the body. This is the definition, by
fastavro, one event at a time; `columns.encode_columns` gives the same bytes for many events at once.
"""

import io
import math
import re
import struct
from collections.abc import Callable, Collection, Mapping, Sequence
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

import fastavro

from repository.events.columns import EPOCH_MOMENT, MARKER, fields_of
from schemas.contracts import KINDS, LOCAL_KINDS, Contract, FieldType, UnknownSchema, by_fingerprint, contract, fields

HEADER_BYTES = 10
EVENT_LIMIT_BYTES = 1 << 20
"""Largest stored event. A larger one is refused before it is stored and quarantined where it arrives."""
MONEY_SCALE = Decimal("0.0001")
MONEY_DIGITS = 18
MONEY_BYTES = 8
UUID_FORM = re.compile("[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")
LONE_SURROGATE = re.compile("[\ud800-\udfff]")

UNREADABLE = (EOFError, ValueError, LookupError, ArithmeticError, TypeError, struct.error)
"""All that fastavro raises for bytes that are no record of the schema; a day beyond every calendar is an OverflowError."""

Event = Mapping[str, Any]


class NotAnEvent(ValueError):
    """Bytes that are no stored event, or an event that may not be stored; the message is for people."""


def encode(kind: str, record: Event) -> bytes:
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
        raise NotAnEvent(too_long(out.tell()))
    return out.getvalue()


def too_long(size: int) -> str:
    """Why an event of so many bytes is not stored."""
    return f"The event has {size} bytes and the limit is {EVENT_LIMIT_BYTES}; split it or shorten its text."


def decode(data: bytes, kinds: Collection[str] = KINDS) -> tuple[str, dict[str, Any]]:
    """Kind and record of one stored event, read by the schema it was written with into the current one.

    `kinds`: those that may stand there. Raises NotAnEvent when the bytes are truncated, oversized, trailing, of another kind,
    or legal Avro that no writer of ours produces.
    """
    known = writer_of(data, kinds)
    stream = io.BytesIO(data)
    stream.seek(HEADER_BYTES)
    out = io.BytesIO()
    try:
        written = fastavro.schemaless_reader(stream, known.parsed, None)
        assert isinstance(written, dict)
        fastavro.schemaless_writer(out, known.parsed, written)
    except UNREADABLE as error:
        raise NotAnEvent(
            f"The body is not {known.kind} version {known.version}: {str(error) or type(error).__name__}."
        ) from error
    if stream.tell() != len(data):
        raise NotAnEvent(f"{len(data) - stream.tell()} bytes follow the event; it was not written by this system.")
    # What a writer of ours produces is canonical: anything else (index -1, a boolean of 7) reads fine and encodes differently.
    if out.getvalue() != data[HEADER_BYTES:]:
        raise NotAnEvent("The body is not in the form that Avro writers produce (an index, boolean or number out of range).")
    record = written if _is_current(known) else _resolved(known, data)
    refuse_bent(known.kind, record)
    return known.kind, record


def decode_own(data: bytes) -> tuple[str, dict[str, Any]]:
    """Like `decode`, for bytes from a store of our own: they were checked when they were written, and are not compared again.

    Raises NotAnEvent when they have been damaged so that no record comes out of them.
    """
    known = writer_of(data, (*KINDS, *LOCAL_KINDS))
    try:
        if not _is_current(known):
            return known.kind, _resolved(known, data)
        record = fastavro.schemaless_reader(io.BytesIO(data[HEADER_BYTES:]), known.parsed, None)
    except UNREADABLE as error:
        raise NotAnEvent(f"The stored {known.kind} is damaged: {str(error) or type(error).__name__}.") from error
    assert isinstance(record, dict)
    return known.kind, record


def _is_current(known: Contract) -> bool:
    """Whether an event needs no resolution, which costs a third more."""
    return known.fingerprint == contract(known.kind).fingerprint


def _resolved(known: Contract, data: bytes) -> dict[str, Any]:
    """An event of an earlier version in the current one; the library leaves the default of a moment as its number."""
    record = fastavro.schemaless_reader(io.BytesIO(data[HEADER_BYTES:]), known.parsed, contract(known.kind).parsed)
    assert isinstance(record, dict)
    for name, type_ in fields(known.kind).items():
        if type_.word == "timestamp" and name not in fields_of(known) and isinstance(type_.default, int):
            record[name] = EPOCH_MOMENT + timedelta(microseconds=type_.default)
    return record


def _read_money(data: bytes, schema: Any = None, _: Any = None) -> Decimal:
    """Money from its bytes. The library's own reader takes minutes for a number of a megabyte; 18 digits fit in 8 bytes."""
    if len(data) > MONEY_BYTES:
        raise ValueError(f"money of {len(data)} bytes, and {MONEY_BYTES} hold {MONEY_DIGITS} digits")
    return Decimal(int.from_bytes(data, "big", signed=True)).scaleb(-schema["scale"])


fastavro.read.LOGICAL_READERS["bytes-decimal"] = _read_money


def writer_of(data: bytes, kinds: Collection[str] = KINDS) -> Contract:
    """The schema version an event was written with. Raises NotAnEvent where the header names no kind of event in a log."""
    try:
        known = by_fingerprint(fingerprint(data))
    except UnknownSchema as error:
        raise NotAnEvent(str(error.args[0])) from None
    if known.kind not in kinds:
        raise NotAnEvent(f"The record is of schema {known.kind}, which is no event; nothing of it is read.")
    return known


def event_id_of(stored: bytes) -> bytes:
    """The event's identity as its 36 letters, read off without decoding: it is the first field of every contract."""
    return stored[HEADER_BYTES + 1 : HEADER_BYTES + 37]


def fingerprint(data: bytes) -> bytes:
    """The schema fingerprint in the header; raises NotAnEvent where there is no header or the event is oversized."""
    if len(data) > EVENT_LIMIT_BYTES:
        raise NotAnEvent(f"The record has {len(data)} bytes and the limit is {EVENT_LIMIT_BYTES}.")
    if len(data) < HEADER_BYTES or data[:2] != MARKER:
        raise NotAnEvent(f"The record begins with {data[:2].hex() or 'nothing'} and not with c301, so it is no stored event.")
    return data[2:HEADER_BYTES]


# -- what may be stored --------------------------------------------------------------------------------------------


def refuse_bent(kind: str, record: Event) -> None:
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
