"""Bytes that are no event, each with its name: what a damaged or hostile log may hold."""

from struct import pack
from typing import Any

from repository.events.columns import MARKER, encoder_of, fields_of, zigzag
from repository.events.encoding import HEADER_BYTES, encode
from schemas.contracts import PERSONAL, contract
from tests.support.histories import physical, plain_record

OFFER: dict[str, Any] = {
    "item_code": "YRD050101", "capacity": 5, "available": None, "unit": "bed", "price": None,
    "price_period": None, "direct_settlement": True, "accepts_from": ["319999"],
}  # fmt: skip
RECORD = plain_record("supply", provider_name="甲", longitude=121.5, latitude=31.2, offers=[OFFER])
HUGE = (1 << 20, 1 << 31, 1 << 40, 1 << 62, -5, -(1 << 40), -(1 << 63))


def with_field(name: str, data: bytes, record: dict[str, Any] = RECORD) -> bytes:
    """The stored bytes of a supply event in which one field's bytes are replaced."""
    known = contract("supply")
    parts = [MARKER + known.fingerprint]
    parts += [data if n == name else encoder_of(t)(physical(t, record[n])) for n, t in fields_of(known).items()]
    return b"".join(parts)


def with_cell(name: str, data: bytes) -> bytes:
    """The stored bytes of a supply event in whose one offer one cell's bytes are replaced."""
    entry = fields_of(contract("supply"))["offers"].entry
    cells = [data if n == name else encoder_of(t)(OFFER[n]) for n, t in entry.items()]
    return with_field("offers", zigzag(1) + b"".join(cells) + b"\x00")


def _sizes() -> dict[str, bytes]:
    """Sizes and counts that promise far more than follows, or less than nothing."""
    known = fields_of(contract("supply"))
    sized = {n: t for n, t in known.items() if t.word in ("string", "uuid", "bytes", "strings", "records")}
    return {
        f"{name} of size {size}": with_field(name, (b"\x02" if type_.nullable else b"") + zigzag(size))
        for name, type_ in sized.items()
        for size in HUGE
    }


def _money(digits: int) -> bytes:
    number = 10**digits
    data = number.to_bytes(number.bit_length() // 8 + 1, "big")
    return bytes(b"\x02" + zigzag(len(data)) + data)


GOOD = encode("supply", RECORD)
HOSTILE: dict[str, bytes] = {
    "nothing": b"",
    "one byte": MARKER[:1],
    "a header without body": GOOD[:HEADER_BYTES],
    "another marker": b"\xc3\x02" + GOOD[2:],
    "an unknown fingerprint": MARKER + bytes(8) + GOOD[HEADER_BYTES:],
    "the schema of personal fields": MARKER + contract(PERSONAL).fingerprint + bytes(40),
    "trailing bytes": GOOD + b"\x00",
    "two events in one": GOOD + GOOD,
    "too large": GOOD + bytes(1 << 20),
    "union index 2": with_field("grade", b"\x04"),
    "union index -1": with_field("grade", b"\x01"),
    "union index past 64 bits": with_field("grade", b"\xff" * 11 + b"\x01"),
    "boolean 7": with_cell("direct_settlement", b"\x02\x07"),
    "a number past 32 bits": with_field("version", zigzag(1 << 32 | 1)),
    "a day past 32 bits": with_field("valid_from", b"\x02" + zigzag(1 << 33)),
    "a day after the calendar": with_field("valid_from", b"\x02" + zigzag(2_932_897)),
    "a day before the calendar": with_field("valid_to", b"\x02" + zigzag(-719_163)),
    "a moment after the calendar": with_field("recorded_at", zigzag(1 << 62)),
    "a moment at the end of numbers": with_field("recorded_at", zigzag((1 << 63) - 1)),
    "a varint longer than needed": with_field("version", b"\x82\x00"),
    "a varint of 64 bytes": with_field("version", b"\x80" * 63 + b"\x01"),
    "a varint without end": with_field("version", b"\xff" * 1000),
    "invalid UTF-8": with_field("status", b"\x04\xff\xfe"),
    "half a surrogate": with_field("status", b"\x06\xed\xa0\x80"),
    "a cut character": with_field("status", b"\x04\xe7\x94"),
    "NaN": with_field("longitude", b"\x02" + pack("<d", float("nan"))),
    "infinity": with_field("latitude", b"\x02" + pack("<d", float("inf"))),
    "money of 19 digits": with_cell("price", _money(18)),
    "money of 40 digits": with_cell("price", _money(40)),
    "money of no bytes": with_cell("price", b"\x02\x00"),
    "money longer than needed": with_cell("price", b"\x02\x04\x00\x05"),
    "money of 900,000 bytes": with_cell("price", b"\x02" + zigzag(900_000) + b"\x01" * 900_000),
    "an identity that is no UUID": with_field("entity_id", b"\x48" + b"z" * 36),
    "an identity in capitals": with_field("entity_id", b"\x48" + str(RECORD["entity_id"]).upper().encode().replace(b"1", b"A")),
    "an identity of another length": with_field("event_id", b"\x02a"),
    "a related identity that is no UUID": with_field("related_entity_ids", zigzag(1) + b"\x48" + b"-" * 36 + b"\x00"),
    "an array in two blocks": with_field("flags", zigzag(1) + b"\x02a" + zigzag(1) + b"\x02b" + b"\x00"),
    "an array with its size in bytes": with_field("flags", zigzag(-1) + zigzag(2) + b"\x02a\x00"),
    "an array without end": with_field("flags", (zigzag(1) + b"\x02a") * 1000),
    "an array of empty blocks": with_field("flags", zigzag(-1) + zigzag(0)),
    "a million empty texts": with_field("flags", zigzag(900_000) + bytes(900_000)),
    **{f"five bytes {data.hex()}": GOOD[:HEADER_BYTES] + data for data in (b"\xff" * 5, b"\x00" * 5, b"\x80" * 5, b"\x01" * 5)},
    **_sizes(),
}
