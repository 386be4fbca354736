"""The contracts as published, and what no version of them may contain."""

import io
import json
from pathlib import Path

import avro.schema
import fastavro
import pytest

from schemas import contracts
from schemas.compatibility import problems
from schemas.contracts import ENVELOPE, KINDS, NAMES, PERSONAL, SchemaError, UnknownSchema
from tests.support.changed_contracts import add, at, copied, edit, keep, told


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return copied(tmp_path)


# The contracts as they are.


def test_published_contracts_have_no_problems() -> None:
    assert problems() == []


@pytest.mark.parametrize("name", NAMES)
def test_both_avro_libraries_read_every_version(name: str) -> None:
    for known in contracts.versions(name):
        assert known.parsed == fastavro.parse_schema(json.loads(known.text))
        assert json.loads(str(avro.schema.parse(known.text)))["name"] == known.schema["name"]


@pytest.mark.parametrize("name", NAMES)
def test_default_record_can_be_written_and_read(name: str) -> None:
    buffer = io.BytesIO()
    fastavro.schemaless_writer(buffer, contracts.contract(name).parsed, {}, strict_allow_default=True)
    buffer.seek(0)
    record = fastavro.schemaless_reader(buffer, contracts.contract(name).parsed, None)
    assert isinstance(record, dict) and list(record) == list(contracts.fields(name))


def test_last_version_is_the_current_contract() -> None:
    for name in NAMES:
        assert contracts.versions(name)[-1] == contracts.contract(name)
        assert contracts.contract(name) is contracts.contract(name)


def test_unknown_kind_is_refused_with_the_known_ones() -> None:
    with pytest.raises(SchemaError, match=r"no schema 'credit'; the schemas are service_object, supply"):
        contracts.contract("credit")


def test_versions_are_counted_from_the_oldest(folder: Path) -> None:
    keep(folder)
    edit(folder, add("example", ["null", "string"]))
    first, second = contracts.versions("supply", folder)
    assert (first.version, second.version) == (1, 2)
    assert [each["name"] for each in second.schema["fields"][len(first.schema["fields"]) :]] == ["example"]


def crc_64_avro(data: bytes) -> int:
    """The fingerprint as the Avro 1.12 specification writes it down, bit by bit."""
    empty = 0xC15D213AA4D7A795
    result = empty
    for byte in data:
        result ^= byte
        for _ in range(8):
            result = (result >> 1) ^ (empty if result & 1 else 0)
    return result


def test_fingerprint_is_little_endian_crc_64_of_the_canonical_form() -> None:
    assert crc_64_avro(b'"int"') == 0x7275D51A3F395C8F  # the value in the test suite of Apache Avro
    for name in NAMES:
        known = contracts.contract(name)
        canonical = fastavro.schema.to_parsing_canonical_form(known.schema)
        assert known.fingerprint == crc_64_avro(canonical.encode()).to_bytes(8, "little")
        assert contracts.by_fingerprint(known.fingerprint) == known


def test_unknown_fingerprint_is_named_in_hex() -> None:
    with pytest.raises(UnknownSchema, match="fingerprint 0102030405060708; install the release"):
        contracts.by_fingerprint(bytes(range(1, 9)))


def test_envelope_ends_with_flags_and_state_follows() -> None:
    assert ENVELOPE[0] == "event_id" and ENVELOPE[-1] == "flags"
    for kind in KINDS:
        assert (*ENVELOPE, *contracts.state_fields(kind)) == tuple(contracts.fields(kind))


@pytest.mark.parametrize(
    ("path", "word", "nullable"),
    [
        ("entity_id", "uuid", False),
        ("event_type", "string", False),
        ("version", "int", False),
        ("valid_from", "date", True),
        ("recorded_at", "timestamp", False),
        ("related_entity_ids", "strings", False),
        ("longitude", "double", True),
        ("offers", "records", False),
        ("offers.capacity", "long", True),
        ("offers[YRD050101].price", "decimal", True),
        ("offers.direct_settlement", "boolean", True),
        ("offers.accepts_from", "strings", False),
    ],
)
def test_field_types_are_one_word(path: str, word: str, nullable: bool) -> None:
    found = contracts.field_at("supply", path)
    assert (found.word, found.nullable) == (word, nullable)


def test_field_type_knows_scale_items_and_default() -> None:
    price = contracts.fields("supply")["offers"].entry["price"]
    assert (price.precision, price.scale) == (18, 4)
    assert contracts.fields("supply")["related_entity_ids"].item == "uuid"
    assert contracts.fields("supply")["status"].default == "active"
    assert contracts.fields("service_object")["personal"].word == "bytes"


def test_path_of_no_field_is_a_key_error() -> None:
    with pytest.raises(KeyError, match="colour"):
        contracts.field_at("supply", "offers.colour")


# Code lists, read from the docs.


def test_code_list_is_read_from_the_doc() -> None:
    assert contracts.codes("supply", "status") == frozenset({"active", "suspended", "closed"})
    assert contracts.codes("supply", "offers.unit") == frozenset({"bed", "seat", "place", "person_time_per_day"})
    assert contracts.codes("supply", "coordinate_system") == frozenset({"WGS-84", "GCJ-02", "BD-09"})
    assert contracts.codes("supply", "ownership") == frozenset({"public", "private", "social", "public_private"})
    assert "derived" in (contracts.codes("standard", "comparator") or ())
    assert "division_statistical" in (contracts.codes("batch", "flags") or ())
    assert contracts.codes(PERSONAL, "sex") == frozenset({"0", "1", "2", "9"})


@pytest.mark.parametrize(
    ("kind", "path"),
    [
        ("supply", "address"),
        ("supply", "event_type"),
        ("standard", "unit"),
        ("service_object", "group_code"),
        (PERSONAL, "name"),
    ],
)
def test_any_text_is_allowed_without_a_closed_list(kind: str, path: str) -> None:
    assert contracts.codes(kind, path) is None


def test_open_list_still_names_its_codes() -> None:
    stated = contracts.code_list(contracts.fields("standard")["unit"].doc)
    assert stated is not None and not stated.closed and "CNY_per_person" in stated.codes


# What no version may contain.

EMPTY_RECORD = {"type": "record", "name": "Empty", "fields": []}
NULLS_RECORD = {"type": "record", "name": "Nulls", "fields": [{"name": "a", "type": "null", "default": None}]}
REFUSED_TYPES: dict[str, tuple[object, str]] = {
    "enum": ({"type": "enum", "name": "E", "symbols": ["a"]}, "is an enum, whose new symbols break older"),
    "nullable enum": (
        ["null", {"type": "enum", "name": "E", "symbols": ["a"]}],
        "write a string with a code",
    ),
    "map": ({"type": "map", "values": "string"}, "is a map, which columnar readers can't read"),
    "recursion": (["null", "SupplyEvent"], "is recursive: it contains SupplyEvent again"),
    "recursion by full name": (
        ["null", "yrd.SupplyEvent"],
        "is recursive: it contains yrd.SupplyEvent again",
    ),
    "recursive array": ({"type": "array", "items": "SupplyEvent"}, "is recursive"),
    "union of three": (["null", "string", "long"], "readers take only [null, T]"),
    "union with null last": (["string", "null"], "readers take only [null, T]"),
    "array of null": ({"type": "array", "items": "null"}, "items of no width: five bytes can claim millions"),
    "array of empty record": ({"type": "array", "items": EMPTY_RECORD}, "items of no width"),
    "array of record of nulls": ({"type": "array", "items": NULLS_RECORD}, "items of no width"),
    "array of fixed of size 0": (
        {"type": "array", "items": {"type": "fixed", "name": "F", "size": 0}},
        "items of no width",
    ),
    "array of int": ({"type": "array", "items": "int"}, "items are strings, uuids or records"),
    "fixed": ({"type": "fixed", "name": "F", "size": 4}, "contracts do not use; take one of boolean, bytes"),
    "float": ("float", "contracts do not use"),
    "milliseconds": ({"type": "long", "logicalType": "timestamp-millis"}, "contracts do not use"),
    "misspelt logical type": ({"type": "int", "logicalType": "dat"}, "contracts do not use"),
    "decimal of no precision": (
        ["null", {"type": "bytes", "logicalType": "decimal"}],
        "is a decimal of precision none; state one from 1 to 38",
    ),
    "decimal too wide": (
        ["null", {"type": "bytes", "logicalType": "decimal", "precision": 50, "scale": 4}],
        "is a decimal of precision 50",
    ),
    "logical type of another kind": ({"type": "string", "logicalType": {}}, "contracts do not use"),
    "record by itself": (EMPTY_RECORD, "is a record by itself"),
    "type by name": ("yrd.supply.Offer", "contracts do not use"),
}


@pytest.mark.parametrize("name", REFUSED_TYPES)
def test_type_is_refused(folder: Path, name: str) -> None:
    avro_type, sentence = REFUSED_TYPES[name]
    edit(folder, add("odd", avro_type))
    assert sentence in told(problems(folder), "odd")


def test_refusal_inside_an_array_names_the_cell(folder: Path) -> None:
    edit(folder, lambda schema: at(schema, "offers.unit").update(type={"type": "map", "values": "string"}))
    assert told(problems(folder), "offers.unit").startswith("supply version 1, offers.unit: is a map")


REFUSED_FIELDS: dict[str, tuple[dict[str, object], str]] = {
    "no default": ({"default": ...}, "has no default, so older events could not be read"),
    "default beside null": ({"default": "x"}, 'may be null, yet its default is "x"; make it null.'),
    "no doc": ({"doc": ...}, "has no doc; say what it means"),
    "blank doc": ({"doc": " "}, "has no doc"),
    "slip in a code list": ({"doc": "Code list: a, b c, d."}, "'b c' in the code list is not a code"),
}


@pytest.mark.parametrize("name", REFUSED_FIELDS)
def test_field_is_refused(folder: Path, name: str) -> None:
    rest, sentence = REFUSED_FIELDS[name]
    edit(folder, add("odd", ["null", "string"], **rest))
    assert sentence in told(problems(folder), "odd")


def test_two_fields_of_one_name_are_refused(folder: Path) -> None:
    edit(folder, add("GRADE", ["null", "string"]))
    assert "a second field has this name" in told(problems(folder), "GRADE")


def test_field_without_name_is_refused(folder: Path) -> None:
    edit(folder, lambda schema: schema["fields"].append({"type": "string"}))
    assert "is not a field; a field has name, type, default and doc" in told(problems(folder), "")


def test_envelope_that_differs_between_kinds_is_refused(folder: Path) -> None:
    edit(folder, lambda schema: at(schema, "reason").update(doc="Why."), "batch")
    (problem,) = problems(folder)
    assert str(problem).startswith("batch version 1, reason: envelope differs here from that of")


def test_envelope_that_lacks_a_field_is_refused(folder: Path) -> None:
    edit(folder, lambda schema: schema["fields"].remove(at(schema, "flags")), "standard")
    assert "write it alike in every kind" in told(problems(folder), "item_code")


# Files that can't be contracts.


def test_missing_earlier_version_is_refused(folder: Path) -> None:
    keep(folder)
    (folder / "earlier" / "supply.1.avsc").rename(folder / "earlier" / "supply.2.avsc")
    (problem,) = problems(folder)
    assert "supply.1.avsc is missing; earlier versions are numbered from 1 without gaps" in str(problem)


def test_missing_current_version_is_refused(folder: Path) -> None:
    (folder / "batch.avsc").unlink()
    assert "batch.avsc is missing" in str(problems(folder)[0])


@pytest.mark.parametrize("name", ["suply.avsc", "earlier/supply.v1.avsc", "earlier/suply.1.avsc"])
def test_file_of_no_kind_is_refused(folder: Path, name: str) -> None:
    (folder / "earlier").mkdir()
    (folder / name).write_text("{}", "utf-8")
    assert "is no version of service_object, supply" in str(problems(folder)[0])


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (b"{", "is not JSON in UTF-8"),
        ("名".encode("gbk"), "is not JSON in UTF-8"),
        (b'"string"', "is not a record schema"),
        (b'{"type": "record", "name": "R"}', "has no list of fields"),
        (b'{"type": "record", "fields": []}', "is not an Avro schema"),
        (b'{"type": "record", "name": "R", "fields": [3]}', "is not a field"),
    ],
)
def test_broken_file_is_refused(folder: Path, content: bytes, sentence: str) -> None:
    (folder / "supply.avsc").write_bytes(content)
    assert any(sentence in str(problem) for problem in problems(folder))
