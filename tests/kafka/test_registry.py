"""Numbers from a Confluent-compatible registry: a stock client reads our topics, and nothing is decoded by guessing."""

import json
import struct
from pathlib import Path
from typing import Any

import httpx
import pytest
from confluent_kafka.schema_registry import SchemaRegistryClient
from confluent_kafka.schema_registry.avro import AvroDeserializer
from confluent_kafka.serialization import MessageField, SerializationContext

from connectors.home.folder import Home
from connectors.hub import hub
from connectors.kafka.framing import FRAME
from connectors.kafka.names import subject
from connectors.kafka.registry import Registry, RegistryUnavailable, SchemaRefused
from connectors.publishing.reporting import report_lines
from repository.events.encoding import decode
from schemas.contracts import Contract, contract, read
from tests.support.broker import Broker
from tests.support.dumps_for_tests import asked, following, imported, many, profile, projected, publishing
from tests.support.kafka_region import embedded_digest, kafka_region, on_topic, put, relayed, with_settings
from tests.support.registry import Registry as Server
from tests.support.waiting import eventually

ROWS = 15


def filled(folder: Path, kafka: Broker, registry: Server, **settings: Any) -> Home:
    home = kafka_region(folder, kafka, schema_registry_url=registry.url, **settings)
    imported(home, profile(folder), many(folder, ROWS))
    return home


def test_a_stock_client_reads_a_topic(tmp_path: Path, kafka: Broker, registry: Server) -> None:
    home = filled(tmp_path, kafka, registry)
    relayed(home)
    with SchemaRegistryClient({"url": registry.url}) as client:
        deserialise = AvroDeserializer(client)
        with home.store("31") as store:
            stored = {n.id: decode(n.state)[1] for n in store.notifications(0, 1000)}
        for topic in ("yrd.31.supply", "yrd.31.batch"):
            for record in on_topic(kafka, topic):
                event = deserialise(record.value, SerializationContext(topic, MessageField.VALUE))
                assert event == stored.pop(int(dict(record.headers)["position"]))
    assert stored == {}


@pytest.mark.long
def test_numbers_and_subjects_are_the_registrys(tmp_path: Path, kafka: Broker, registry: Server) -> None:
    home = filled(tmp_path, kafka, registry)
    relayed(home)
    numbers = {FRAME.unpack_from(record.value, 1)[0] for record in on_topic(kafka, "yrd.31.supply")}
    client = Registry(registry.url)
    assert numbers == {client.number_of("yrd.31.supply", contract("supply"))}
    assert client.contract_of(*numbers) == contract("supply")
    config = httpx.get(f"{registry.url}/config/{subject('yrd.31.supply')}").json()
    assert config["compatibilityLevel"] == "FULL_TRANSITIVE"
    assert projected(home)["digest"] == embedded_digest(home)
    assert hub.rebuild(home, False, lambda _: None).switched


def test_registering_again_gives_the_same_number(registry: Server) -> None:
    numbers = {Registry(registry.url).number_of("yrd.34.standard", contract("standard")) for _ in range(3)}
    assert len(numbers) == 1


def crafted(folder: Path, version: int, *fields: tuple[str, object, object]) -> Contract:
    """A version of a schema with these fields: name, type, default."""
    cells = [{"name": name, "type": type_, "default": default} for name, type_, default in fields]
    path = folder / f"crafted.{version}.avsc"
    path.write_text(json.dumps({"type": "record", "name": "Crafted", "namespace": "yrd", "fields": cells}), "utf-8")
    return read("supply", version, path)


def test_versions_that_fit_pairwise_and_not_together_are_refused(tmp_path: Path, registry: Server) -> None:
    client = Registry(registry.url)
    first = crafted(tmp_path, 1, ("id", "string", ""), ("a", "string", ""))
    second = crafted(tmp_path, 2, ("id", "string", ""))
    third = crafted(tmp_path, 3, ("id", "string", ""), ("a", "int", 0))
    client.number_of("yrd.99.crafted", first)
    client.number_of("yrd.99.crafted", second)
    with pytest.raises(SchemaRefused, match=r"versions under yrd.99.crafted-value that supply version 3 does not fit"):
        client.number_of("yrd.99.crafted", third)


def test_a_number_of_another_systems_schema_is_nobodys(tmp_path: Path, kafka: Broker, registry: Server) -> None:
    home = filled(tmp_path, kafka, registry)
    relayed(home)
    client = Registry(registry.url)
    schema = json.loads(contract("supply").text)
    # The same fingerprint (it ignores logical types), another meaning: microseconds read as milliseconds.
    next(f for f in schema["fields"] if f["name"] == "recorded_at")["type"]["logicalType"] = "timestamp-millis"
    text = {"schema": json.dumps(schema), "schemaType": "AVRO"}
    number = httpx.post(f"{registry.url}/subjects/elsewhere-value/versions", json=text).json()["id"]
    assert client.contract_of(number) is None and client.contract_of(10_000_000) is None
    good = on_topic(kafka, "yrd.31.supply")[0]
    put(kafka, [good], value=b"\x00" + struct.pack(">I", number) + good.value[5:])
    done = projected(home)
    assert (done["events"], done["quarantined"]) == (ROWS + 1, 1)
    (row,) = asked(home, "SELECT reason FROM quarantine")
    assert f"No contract of this release has the schema number {number}" in row["reason"]


@pytest.mark.long
def test_a_registry_that_is_down_stops_neither_known_numbers_nor_other_partitions(
    tmp_path: Path, kafka: Broker, registry: Server
) -> None:
    home = filled(tmp_path, kafka, registry)
    relayed(home)
    home = with_settings(home, kafka_wait_s=3)
    with following(home) as process:
        eventually(lambda: asked(home, "SELECT count(*) AS n FROM supply_history")[0]["n"] == ROWS)
        good = on_topic(kafka, "yrd.31.supply")
        (held_up,) = {record.partition for record in good[:1]}
        registry.stop()
        try:
            put(kafka, good[:1], value=b"\x00" + struct.pack(">I", 9_000_001) + good[0].value[5:])
            put(kafka, good)
            said = process.stderr.readline()
            assert "schema registry at" in said and "does not answer" in said, said
            elsewhere = [record for record in good if record.partition != held_up]
            eventually(lambda: repeated(home) >= len(elsewhere))
            assert asked(home, "SELECT count(*) AS n FROM quarantine")[0]["n"] == 0
            assert repeated(home) == len(elsewhere)
        finally:
            registry.start()
        eventually(lambda: asked(home, "SELECT count(*) AS n FROM quarantine")[0]["n"] == 1)
        eventually(lambda: repeated(home) == ROWS)
        assert process.poll() is None
    assert projected(home)["digest"] == embedded_digest(home)


def repeated(home: Home) -> int:
    return int(asked(home, "SELECT coalesce(sum(records), 0)::BIGINT AS n FROM duplicates")[0]["n"])


@pytest.mark.long
def test_a_relay_waits_for_the_registry_and_loses_nothing(tmp_path: Path, kafka: Broker, registry: Server) -> None:
    home = with_settings(filled(tmp_path, kafka, registry), kafka_wait_s=3)
    registry.stop()
    try:
        with pytest.raises(RegistryUnavailable, match=r"schema registry at .* does not answer"):
            relayed(home)
        with following(home, "relay", "--publisher", "31", "--follow") as process:
            assert "schema registry at" in process.stderr.readline()
            with publishing(home, "31") as persons:
                list(report_lines(persons, "supply", ['{"business_key": "during"}'], "live"))
            registry.start()
            eventually(lambda: len(on_topic(kafka, "yrd.31.supply")) == ROWS + 1)
    finally:
        registry.start()
