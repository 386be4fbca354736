"""The schema registry of the tests is a real one: Confluent's own client finds there what its documentation promises."""

import json
from collections.abc import Iterator
from uuid import uuid4

import httpx
import pytest
from confluent_kafka.schema_registry import Schema, SchemaRegistryClient
from confluent_kafka.schema_registry.avro import AvroDeserializer, AvroSerializer
from confluent_kafka.schema_registry.error import SchemaRegistryError
from confluent_kafka.serialization import MessageField, SerializationContext

from tests.support.registry import SETTING, Registry


def schema(*fields: tuple[str, str, object]) -> Schema:
    columns = [{"name": name, "type": kind, "default": default} for name, kind, default in fields]
    return Schema(json.dumps({"type": "record", "name": "Observation", "fields": columns}), "AVRO")


NAMED = schema(("name", "string", ""))
LONGER = schema(("name", "string", ""), ("beds", "int", 0))
OTHER = schema(("name", "int", 0))


@pytest.fixture
def client(registry: Registry) -> SchemaRegistryClient:
    return SchemaRegistryClient({"url": registry.url})


@pytest.fixture
def subject() -> str:
    """A subject that no other test has."""
    return f"registry-{uuid4().hex}-value"


@pytest.fixture
def own(registry: Registry) -> Iterator[Registry]:
    """A registry that may be stopped; it runs again afterwards, whatever the test did."""
    yield registry
    registry.start()


def test_a_schema_has_one_number_under_every_subject(client: SchemaRegistryClient, subject: str) -> None:
    number = client.register_schema(subject, NAMED)
    assert client.register_schema(f"other-{subject}", NAMED) == number
    assert client.register_schema(subject, LONGER) != number


def test_a_number_leads_to_its_text(client: SchemaRegistryClient, subject: str) -> None:
    number = client.register_schema(subject, NAMED)
    assert json.loads(client.get_schema(number).schema_str or "") == json.loads(NAMED.schema_str or "")


def test_the_latest_version_and_a_look_up_tell_the_number(client: SchemaRegistryClient, subject: str) -> None:
    first, second = client.register_schema(subject, NAMED), client.register_schema(subject, LONGER)
    latest, found = client.get_latest_version(subject), client.lookup_schema(subject, NAMED)
    assert (latest.version, latest.schema_id) == (2, second)
    assert (found.version, found.schema_id) == (1, first)


@pytest.mark.parametrize(("path", "code"), [("subjects/{subject}/versions/latest", 40401), ("schemas/ids/2000000000", 40403)])
def test_what_is_unknown_is_told_by_its_code(registry: Registry, subject: str, path: str, code: int) -> None:
    answer = httpx.get(f"{registry.url}/{path.format(subject=subject)}", trust_env=False)
    assert (answer.status_code, answer.json()["error_code"]) == (404, code)


def test_an_unknown_schema_of_a_known_subject_is_not_found(client: SchemaRegistryClient, subject: str) -> None:
    client.register_schema(subject, NAMED)
    with pytest.raises(SchemaRegistryError) as raised:
        client.lookup_schema(subject, OTHER)
    assert raised.value.error_code == 40403


def test_an_incompatible_version_is_refused(client: SchemaRegistryClient, registry: Registry, subject: str) -> None:
    client.register_schema(subject, NAMED)
    httpx.put(f"{registry.url}/config/{subject}", json={"compatibility": "FULL_TRANSITIVE"}, trust_env=False).raise_for_status()
    with pytest.raises(SchemaRegistryError) as raised:
        client.register_schema(subject, OTHER)
    assert raised.value.http_status_code == 409
    assert client.register_schema(subject, LONGER) == client.get_latest_version(subject).schema_id


def test_confluents_deserializer_reads_what_its_serializer_wrote(client: SchemaRegistryClient) -> None:
    context = SerializationContext(f"registry.{uuid4().hex}", MessageField.VALUE)
    written = AvroSerializer(client, NAMED.schema_str or "")({"name": "松江"}, context)
    assert written is not None and written[:1] == b"\0"
    assert AvroDeserializer(client)(written, context) == {"name": "松江"}


@pytest.mark.long
def test_stopped_it_is_not_reached_and_started_again_it_has_kept_its_schemas(own: Registry, subject: str) -> None:
    number = SchemaRegistryClient({"url": own.url}).register_schema(subject, NAMED)
    own.stop()
    with pytest.raises(httpx.ConnectError):
        httpx.get(f"{own.url}/subjects", trust_env=False)
    own.start()
    assert SchemaRegistryClient({"url": own.url}).register_schema(subject, NAMED) == number


def test_a_registry_of_others_is_not_disturbed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("YRD_REQUIRE_REGISTRY", raising=False)
    for disturb in (Registry("http://127.0.0.1:1").stop, Registry("http://127.0.0.1:1").start):
        with pytest.raises(pytest.skip.Exception, match=SETTING):
            disturb()
