"""Between stored bytes and Kafka records: the header of the stored form is swapped for the registry's, and nothing else.

Stored: C3 01, the schema's fingerprint (8 bytes), the body. On a topic: 0, the schema's number (4 bytes, big-endian), the
same body: the Confluent wire format, which stock deserialisers read. Key: the entity's identity as text. Headers: those of
CloudEvents 1.0's Kafka binding that a reader needs before decoding, or all of them, and the position in the publisher's store.
"""

import struct
from collections.abc import Callable
from datetime import datetime
from typing import NamedTuple
from uuid import UUID

from eventsourcing.persistence import Notification

from connectors.kafka import names
from repository.columns import MARKER
from repository.encoding import HEADER_BYTES, decode_own, event_id_of
from repository.log import FRAME_BYTES, Record
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


def frame(publisher: str, event: Notification, number_of: Callable[[str, Contract], int], headers_of: MadeHeaders) -> Framed:
    """A stored event as it is sent; `number_of` gives the number of a contract under a topic."""
    kind = event.topic.partition(".")[0]
    topic = names.topic(publisher, kind)
    number = number_of(topic, by_fingerprint(event.state[2:HEADER_BYTES]))
    value = MAGIC + FRAME.pack(number) + event.state[HEADER_BYTES:]
    return Framed(topic, str(_uuid(event)).encode(), value, headers_of(publisher, event))


def _uuid(event: Notification) -> UUID:
    identity = event.originator_id
    return identity if isinstance(identity, UUID) else UUID(identity)


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


def restore(arrived: Arrived, contract_of: Callable[[int], Contract | None]) -> Record:
    """The record in stored form, as an embedded log has it.

    What can't be restored keeps its bytes and says why in `problem`. Whatever `contract_of` raises goes through: the
    registry does not answer, which is no fault of the record's.
    """
    topic, partition, offset, key, value, headers, timestamp_ms = arrived
    position, event_type = _placed(headers)
    stored, problem = restored(value or b"", contract_of)
    if position < 0 and not problem:
        problem = 'The record has no whole number in its header "position"; it was not sent by a relay of this system.'
    entity = key.decode("utf-8", "replace") if key else ""
    return Record(topic, partition, offset, position, entity, event_type, stored, timestamp_ms * MILLISECOND_US, problem)


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
        (_, _), (second, type_), (third, position) = headers[:3]
        if second != "ce_type" or third != "position":
            given = dict(headers)
            type_, position = given.get("ce_type"), given["position"]
        assert position is not None
        number = int(position) if position.isdigit() and len(position) < 19 else -1
        return number, (type_ or b"").decode("utf-8", "replace")
    except (ValueError, KeyError, AssertionError):
        return -1, ""
