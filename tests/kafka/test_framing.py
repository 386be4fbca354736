"""Between stored bytes and Kafka records: nothing but the header changes, and what can't be restored says why."""

import io
import struct
from typing import Any
from uuid import UUID

import fastavro
import pytest
from eventsourcing.persistence import Notification

from connectors.kafka.framing import HEADERS, Arrived, Framing, Headers, Restoring, restored
from connectors.kafka.names import kind_of, listed, principal, subject, topic_of, topics
from connectors.kafka.registry import LockedNumbers, RegistryUnavailable
from repository.events.encoding import event_id_of
from repository.store.log import Record, body_hash
from schemas.contracts import KINDS, Contract, contract, fields, versions
from tests.support.histories import CODE, log_record, plain_record

NUMBERS = LockedNumbers()
Sent = tuple[str, bytes, bytes, Headers]


def event(kind: str, position: int = 7) -> Notification:
    """A stored event as the notification log gives it."""
    record = log_record(kind, plain_record(kind, 3), position)
    return Notification(UUID(record.entity_id), 1, record.event_type, record.value, position)


def arrived(sent: Sent, **rest: Any) -> Arrived:
    """What was sent, as a client gives it back; `rest` replaces fields."""
    name, key, value, headers = sent
    return Arrived(name, 1, 4, key, value, [*headers], 1_790_000_000_123)._replace(**rest)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("headers", HEADERS)
def test_a_record_is_restored_as_it_was_stored(kind: str, headers: str) -> None:
    stored = event(kind)
    sent = Framing(CODE, NUMBERS.number_of, headers).frame(stored)
    back = Restoring(NUMBERS.contract_of).restore(arrived(sent))
    identity = str(stored.originator_id)
    assert back == Record(topic_of(CODE, kind), 1, 4, 7, identity, stored.topic, stored.state, 1_790_000_000_123_000, "")
    assert body_hash(back.value) == body_hash(sent.value)


@pytest.mark.parametrize("kind", KINDS)
def test_the_value_is_the_confluent_wire_format(kind: str) -> None:
    sent = Framing(CODE, NUMBERS.number_of).frame(event(kind))
    magic, number = struct.unpack_from(">bI", sent.value)
    assert (magic, NUMBERS.contract_of(number)) == (0, contract(kind))
    body = io.BytesIO(sent.value[5:])
    read = fastavro.schemaless_reader(body, contract(kind).parsed, None)
    assert isinstance(read, dict) and str(read["event_id"]).encode() == dict(sent.headers)["ce_id"]
    assert body.tell() == len(sent.value) - 5


def test_all_headers_of_cloudevents_are_there_by_setting() -> None:
    headers = dict(Framing(CODE, NUMBERS.number_of, "cloudevents").frame(event("supply")).headers)
    assert headers["ce_specversion"] == b"1.0" and headers["content-type"] == b"application/avro"
    assert headers["ce_source"] == f"/yrd/{CODE}".encode() and headers["ce_dataschema"] == b"/schemas/supply/1"
    assert headers["ce_time"].endswith(b"Z") and len(headers["ce_subject"]) == 36
    assert list(headers)[:3] == ["ce_id", "ce_type", "position"]


def test_the_identity_is_the_first_field_of_every_version() -> None:
    assert all(known.schema["fields"][0]["name"] == "event_id" for kind in KINDS for known in versions(kind))
    for kind in KINDS:
        record = plain_record(kind, 3)
        assert event_id_of(event(kind).state).decode() == str(record["event_id"])
        assert next(iter(fields(kind))) == "event_id"


GOOD = Framing(CODE, NUMBERS.number_of).frame(event("supply"))


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        ({"value": None}, "begins with nothing and not with 00"),
        ({"value": b""}, "begins with nothing"),
        ({"value": b"\x00\x00\x00"}, "begins with 00 and not"),
        ({"value": b"\xc3\x01" + GOOD.value}, "begins with c3"),
        ({"value": b"\x00" + struct.pack(">I", 99_999) + GOOD.value[5:]}, "has the schema number 99999; install the release"),
        ({"headers": []}, 'no whole number in its header "position"'),
        ({"headers": [("ce_id", b"x"), ("ce_type", b"y"), ("position", b"-3")]}, 'header "position"'),
        ({"headers": [("ce_id", b"x"), ("ce_type", b"y"), ("position", b"9" * 40)]}, 'header "position"'),
        ({"headers": [("ce_id", None), ("ce_type", None), ("position", None)]}, 'header "position"'),
        ({"headers": [("position", b"\xff"), ("position", b"zwei")]}, 'header "position"'),
    ],
)
def test_what_cannot_be_restored_keeps_its_bytes_and_says_why(changed: dict[str, Any], reason: str) -> None:
    bent = arrived(GOOD, **changed)
    back = Restoring(NUMBERS.contract_of).restore(bent)
    assert reason in back.problem
    if "value" in changed:
        assert back.value == (changed["value"] or b"")
    assert (back.topic, back.partition, back.offset) == bent[:3]


def test_headers_in_another_order_and_further_ones_are_read() -> None:
    shuffled = [("trace", b"1"), ("position", b"7"), ("ce_type", b"supply.CapacityChanged"), ("ce_id", b"x")]
    back = Restoring(NUMBERS.contract_of).restore(arrived(GOOD, headers=shuffled))
    assert (back.position, back.event_type, back.problem) == (7, "supply.CapacityChanged", "")


def test_a_key_that_is_no_text_is_no_obstacle_here_and_refused_later() -> None:
    assert Restoring(NUMBERS.contract_of).restore(arrived(GOOD, key=b"\xff\xfe")).entity_id == "��"
    assert Restoring(NUMBERS.contract_of).restore(arrived(GOOD, key=None)).entity_id == ""


def test_a_number_that_cannot_be_looked_up_now_is_no_fault_of_the_record() -> None:
    def silent(_: int) -> Contract | None:
        raise RegistryUnavailable("it does not answer")

    with pytest.raises(RegistryUnavailable):
        restored(GOOD.value, silent)


def test_names_of_topics_are_per_publisher_and_kind() -> None:
    assert topic_of("33", "service_object") == "yrd.33.service-object" and kind_of("yrd.33.service-object") == "service_object"
    assert topics(["31"]) == [topic_of("31", kind) for kind in KINDS if kind != "member"]
    assert set(topics(["00"])) - {name.replace("31", "00") for name in topics(["31"])} == {"yrd.00.member"}
    assert subject("yrd.33.supply") == "yrd.33.supply-value" and principal("33") == "User:publisher-33"


@pytest.mark.parametrize(
    "name", ["yrd.34.supply", "yrd.33.member", "yrd.33.foo", "yrd.33", "yrd.33.supply.x", "x.33.supply", "yrd.3.supply"]
)
def test_only_topics_of_members_and_kinds_are_listed(name: str) -> None:
    assert listed("yrd.33.supply", ["33"]) and not listed(name, ["33"])
