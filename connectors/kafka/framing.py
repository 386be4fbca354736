"""Between stored bytes and Kafka records: the header of the stored form is swapped for the registry's, and nothing else.

Stored: C3 01, the schema's fingerprint (8 bytes), the body. On a topic: 0, the schema's number (4 bytes, big-endian), the
same body: the Confluent wire format, which stock deserialisers read. Key: the entity's identity as text. Headers: those of
CloudEvents 1.0's Kafka binding that a reader needs before decoding, or all of them, and the position in the publisher's store.
"""

import struct
from collections.abc import Callable
from datetime import datetime
from functools import lru_cache
from typing import NamedTuple

from eventsourcing.persistence import Notification

from connectors.kafka import names
from repository.events.columns import MARKER
from repository.events.encoding import HEADER_BYTES, decode_own, event_id_of
from repository.store.log import FRAME_BYTES, Record
from schemas.contracts import Contract, by_fingerprint

MAGIC = b"\x00"
FRAME = struct.Struct(">I")
MILLISECOND_US = 1000
Headers = list[tuple[str, bytes]]
MadeHeaders = Callable[[str, Notification], Headers]


class Framed(NamedTuple):
    """A record as it is sent: topic, key, value and headers."""

    topic: str
    key: bytes
    value: bytes
    headers: Headers


class Framing:
    """How one publisher's stored events are sent. `number_of` gives the number of a contract under a topic."""

    def __init__(self, publisher: str, number_of: Callable[[str, Contract], int], headers: str = "short") -> None:
        self.publisher, self._number_of, self._headers_of = publisher, number_of, HEADERS[headers]
        self._known: dict[bytes, tuple[str, bytes]] = {}
        """Header of the stored form -> topic and header of the sent form, which are the same for all events of a schema."""

    def frame(self, event: Notification) -> Framed:
        """A stored event as it is sent."""
        state = event.state
        header = state[:HEADER_BYTES]
        topic, prefix = self._known.get(header) or self._learn(header)
        return Framed(
            topic, str(event.originator_id).encode(), prefix + state[HEADER_BYTES:], self._headers_of(self.publisher, event)
        )

    def _learn(self, header: bytes) -> tuple[str, bytes]:
        known = by_fingerprint(header[2:])
        topic = names.topic_of(self.publisher, known.kind)
        self._known[header] = topic, MAGIC + FRAME.pack(self._number_of(topic, known))
        return self._known[header]


def short_headers(_publisher: str, event: Notification) -> Headers:
    """What a reader needs before it decodes: whose event, what happened, and where it stood in the publisher's store."""
    return [("ce_id", event_id_of(event.state)), ("ce_type", event.topic.encode()), ("position", b"%d" % event.id)]


def cloudevents_headers(publisher: str, event: Notification) -> Headers:
    """All of CloudEvents 1.0 in binary mode; ce_time needs the event decoded, which is why this is not the default."""
    kind, record = decode_own(event.state)
    recorded_at = record["recorded_at"]
    assert isinstance(recorded_at, datetime)
    return [
        *short_headers(publisher, event),
        ("ce_specversion", b"1.0"),
        ("ce_source", f"/yrd/{publisher}".encode()),
        ("ce_subject", str(record["entity_id"]).encode()),
        ("ce_time", recorded_at.isoformat().replace("+00:00", "Z").encode()),
        ("ce_dataschema", f"/schemas/{kind}/{by_fingerprint(event.state[2:HEADER_BYTES]).version}".encode()),
        ("content-type", b"application/avro"),
    ]


HEADERS: dict[str, MadeHeaders] = {"short": short_headers, "cloudevents": cloudevents_headers}


class Arrived(NamedTuple):
    """A Kafka record as a client gives it: `timestamp_ms` is when the broker appended it, in milliseconds UTC."""

    topic: str
    partition: int
    offset: int
    key: bytes | None
    value: bytes | None
    headers: "list[tuple[str, bytes | None]]"
    timestamp_ms: int


class Restoring:
    """How arrived records are given in stored form, as an embedded log has them. `contract_of` gives the contract of a number.

    What can't be restored keeps its bytes and says why in `problem`. Whatever `contract_of` raises goes through: the registry
    does not answer, which is no fault of the record's.
    """

    def __init__(self, contract_of: Callable[[int], Contract | None]) -> None:
        self._contract_of = contract_of
        self._known: dict[bytes, bytes] = {}
        """Header of the sent form -> that of the stored form."""

    def restore(self, arrived: Arrived) -> Record:
        """The record in stored form."""
        topic, partition, offset, key, value, headers, timestamp_ms = arrived
        value = value or b""
        position, event_type = _placed(headers)
        header = self._known.get(value[:FRAME_BYTES])
        stored, problem = (header + value[FRAME_BYTES:], "") if header else self._learn(value)
        if position < 0 and not problem:
            problem = 'The record has no whole number in its header "position"; it was not sent by a relay of this system.'
        entity = key.decode("utf-8", "replace") if key else ""
        return Record(topic, partition, offset, position, entity, event_type, stored, timestamp_ms * MILLISECOND_US, problem)

    def _learn(self, value: bytes) -> tuple[bytes, str]:
        stored, problem = restored(value, self._contract_of)
        if not problem:
            self._known[value[:FRAME_BYTES]] = stored[:HEADER_BYTES]
        return stored, problem


def restored(value: bytes, contract_of: Callable[[int], Contract | None]) -> tuple[bytes, str]:
    """Stored bytes from a topic's, or the bytes as they are and why they can't be restored."""
    if len(value) < FRAME_BYTES or value[:1] != MAGIC:
        return value, f"The record begins with {value[:1].hex() or 'nothing'} and not with 00, so it has no schema number."
    (number,) = FRAME.unpack_from(value, 1)
    known = contract_of(number)
    if known is None:
        return value, (
            f"No contract of this release has the schema number {number}; install the release that knows it, "
            "then `yrd quarantine retry`."
        )
    return b"".join((MARKER, known.fingerprint, value[FRAME_BYTES:])), ""


def _placed(headers: "list[tuple[str, bytes | None]]") -> tuple[int, str]:
    """Position and event type from the headers; -1 and nothing where they are missing."""
    try:
        (second, type_), (third, position) = headers[1:3]
        if second != "ce_type" or third != "position":
            given = dict(headers)
            type_, position = given.get("ce_type"), given["position"]
        assert position is not None
        number = int(position) if position.isdigit() and len(position) < 19 else -1
        return number, _text(type_ or b"")
    except (ValueError, KeyError, AssertionError):
        return -1, ""


@lru_cache(maxsize=1024)
def _text(type_: bytes) -> str:
    return type_.decode("utf-8", "replace")
