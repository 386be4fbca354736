"""Loads the contracts: one Avro schema (Apache Avro 1.12) per kind of event, with every earlier version.

The current contract of a kind is `<kind>.avsc`, its earlier versions are `earlier/<kind>.<n>.avsc` with n
from 1. Field types and code lists are read from those files, so a contract is written down once.
"""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any, Final

import fastavro
from fastavro.schema import SchemaParseException, UnknownType, fingerprint, to_parsing_canonical_form
from fastavro.types import Schema

FACT_KINDS: Final = (
    "service_object",
    "supply",
    "standard",
)
"""Kinds of facts: they say something of the world, have a timeline and make up the content digest."""
KINDS: Final = (*FACT_KINDS, "batch", "seal", "member", "measure", "grant")
LOCAL_KINDS: Final = ("access",)
"""Kinds of records that stay where they are stored: never in a publisher's log, nor in the base."""
PERSONAL: Final = "personal"
"""The record inside the encrypted field of the same name: no kind of event, but evolved by the same rules."""
PERSONAL_FIELD: Final = "personal"
"""The field of encrypted personal information, in every kind that has it."""
NAMES: Final = (*KINDS, *LOCAL_KINDS, PERSONAL)
FOLDER: Final = Path(__file__).resolve().parent
EARLIER: Final = "earlier"

WORDS: Final = {
    ("string", None): "string",
    ("string", "uuid"): "uuid",
    ("int", None): "int",
    ("int", "date"): "date",
    ("long", None): "long",
    ("long", "timestamp-micros"): "timestamp",
    ("double", None): "double",
    ("boolean", None): "boolean",
    ("bytes", None): "bytes",
    ("bytes", "decimal"): "decimal",
}
"""The word for each pair of Avro type and logical type that a contract may use outside an array."""


class SchemaError(ValueError):
    """A contract is missing, unreadable or uses what contracts here do not use."""


class UnknownSchema(LookupError):
    """Bytes name a schema that is not among the contracts and their earlier versions."""


@dataclass(frozen=True, slots=True)
class Contract:
    """One version of one schema. `version` counts from 1.

    `schema` is the JSON as written, `parsed` what fastavro reads and writes with. `fingerprint` is the
    CRC-64-AVRO of the Parsing Canonical Form: 8 bytes, little-endian, as they follow the marker C3 01
    in Avro's single-object encoding.
    """

    kind: str
    version: int
    text: str = field(repr=False)
    schema: dict[str, Any] = field(repr=False, compare=False)
    parsed: Schema = field(repr=False, compare=False)
    fingerprint: bytes


@dataclass(frozen=True, slots=True)
class FieldType:
    """Type of one field, in one word.

    `word` is string, uuid, int, long, double, boolean, bytes, date, timestamp (microseconds, UTC),
    decimal (with `precision` and `scale`), strings (array; `item` is string or uuid) or records (array;
    `entry` holds the cells of one record by name). `default` is the JSON value in the schema.
    """

    word: str
    nullable: bool
    doc: str = ""
    default: object = None
    precision: int | None = None
    scale: int | None = None
    item: str = ""
    entry: dict[str, "FieldType"] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class CodeList:
    """Codes that a doc names, in its order. `closed` is False where the doc also allows other values."""

    codes: tuple[str, ...]
    closed: bool


def version_files(kind: str, folder: Path = FOLDER) -> tuple[Path, ...]:
    """Files of all versions of one schema, oldest first. SchemaError where one of them is missing."""
    if kind not in NAMES:
        raise SchemaError(f"There is no schema {kind!r}; the schemas are {', '.join(NAMES)}.")
    count = len(list((folder / EARLIER).glob(f"{kind}.*.avsc")))
    earlier = [folder / EARLIER / f"{kind}.{number}.avsc" for number in range(1, count + 1)]
    files = (*earlier, folder / f"{kind}.avsc")
    for path in files:
        if not path.is_file():
            raise SchemaError(f"{path} is missing; earlier versions are numbered from 1 without gaps: restore the file.")
    return files


def read_json(path: Path) -> tuple[str, dict[str, Any]]:
    """Text and JSON of one schema file, whose top is a record. SchemaError says what is wrong with it."""
    try:
        text = path.read_text("utf-8")
        schema = json.loads(text)
    except ValueError as error:
        raise SchemaError(f"{path} is not JSON in UTF-8 ({error}); correct it there.") from error
    if not isinstance(schema, dict) or schema.get("type") != "record":
        raise SchemaError(f"{path} is not a record schema; an event is always a record.")
    if not isinstance(schema.get("fields"), list):
        raise SchemaError(f"{path} has no list of fields; state them.")
    return text, schema


def read(kind: str, version: int, path: Path) -> Contract:
    """One version of one schema from its file. SchemaError where it is not an Avro schema."""
    text, schema = read_json(path)
    try:
        parsed = fastavro.parse_schema(schema)
    except (SchemaParseException, UnknownType, KeyError, TypeError) as error:
        raise SchemaError(f"{path} is not an Avro schema ({error!r}); correct it there.") from error
    # fastavro, because the canonical form of the `avro` package keeps {"type": "string"} where the
    # specification's rule PRIMITIVES asks for "string", so its fingerprints are not those of other tools.
    digest = fingerprint(to_parsing_canonical_form(schema), "CRC-64-AVRO")
    return Contract(kind, version, text, schema, parsed, bytes.fromhex(digest))


def versions(kind: str, folder: Path = FOLDER) -> tuple[Contract, ...]:
    """All versions of one schema, oldest first; the last one is current."""
    return tuple(read(kind, number, path) for number, path in enumerate(version_files(kind, folder), 1))


@cache
def contract(kind: str) -> Contract:
    """Current contract of a kind (or of PERSONAL). SchemaError for any other name."""
    return versions(kind)[-1]


@cache
def _all_by_fingerprint() -> dict[bytes, Contract]:
    return {known.fingerprint: known for name in NAMES for known in versions(name)}


def by_fingerprint(fp: bytes) -> Contract:
    """The version, of any kind, that bytes with this fingerprint (8 bytes, little-endian) were written by.

    UnknownSchema where there is none: the bytes must wait, no other schema may be tried on them.
    """
    try:
        return _all_by_fingerprint()[fp]
    except KeyError:
        raise UnknownSchema(f"No schema has the fingerprint {fp.hex()}; install the release whose schemas/ holds it.") from None


def split_null(avro_type: Any) -> tuple[bool, Any]:
    """(True, T) for the union [null, T], else (False, the type as it is)."""
    if isinstance(avro_type, list) and len(avro_type) == 2 and avro_type[0] == "null":
        return True, avro_type[1]
    return False, avro_type


def word_of(avro_type: Any) -> str | None:
    """Word for a type that is neither union nor array; None where contracts do not use it."""
    if isinstance(avro_type, dict):
        physical, logical = avro_type.get("type"), avro_type.get("logicalType")
    else:
        physical, logical = avro_type, None
    if not isinstance(physical, str) or not isinstance(logical, str | None):
        return None
    return WORDS.get((physical, logical))


def _array_type(items: Any, nullable: bool, doc: str, default: object) -> FieldType | None:
    word = word_of(items)
    if word in ("string", "uuid"):
        return FieldType("strings", nullable, doc, default, item=word)
    if isinstance(items, dict) and items.get("type") == "record":
        return FieldType("records", nullable, doc, default, entry=_cells(items))
    return None


def field_type(field_json: dict[str, Any]) -> FieldType:
    """Type of one field of a record, as written in JSON. SchemaError where contracts do not use it."""
    nullable, bare = split_null(field_json["type"])
    doc, default = field_json.get("doc", ""), field_json.get("default")
    found: FieldType | None = None
    if isinstance(bare, dict) and bare.get("type") == "array":
        found = _array_type(bare.get("items"), nullable, doc, default)
    elif word := word_of(bare):
        options = bare if word == "decimal" else {}
        scale = options.get("scale", 0) if options else None
        found = FieldType(word, nullable, doc, default, options.get("precision"), scale)
    if found is None:
        raise SchemaError(f"Contracts do not use the type {json.dumps(bare)} of {field_json['name']}.")
    return found


def _cells(record: dict[str, Any]) -> dict[str, FieldType]:
    return {cell["name"]: field_type(cell) for cell in record["fields"]}


@cache
def fields(kind: str) -> dict[str, FieldType]:
    """Types of all fields of the current contract, in its order. Shared between callers: read only."""
    return _cells(contract(kind).schema)


def envelope_of(schema: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """The leading fields that all kinds share, up to and including `flags`."""
    for each in schema["fields"]:
        yield each
        if each["name"] == "flags":
            return


ENVELOPE: Final[tuple[str, ...]] = tuple(each["name"] for each in envelope_of(read_json(FOLDER / f"{KINDS[0]}.avsc")[1]))
"""Names of the envelope's fields, in order: what happened, to whom, when, on whose word."""


@cache
def state_fields(kind: str) -> dict[str, FieldType]:
    """Types of the fields after the envelope: the state over the event's valid interval. Read only."""
    return {name: kept for name, kept in fields(kind).items() if name not in ENVELOPE}


def field_at(kind: str, path: str) -> FieldType:
    """Type at `status`, `offers.unit` or the state path `offers[YRD050101].unit`. KeyError where none is."""
    cells = fields(kind)
    *arrays, last = re.sub(r"\[[^\]]*\]", "", path).split(".")
    for name in arrays:
        cells = cells[name].entry
    return cells[last]


_LIST = re.compile(r"Code list: (.*?)(?:\.(?:\s|$)|$)")
_CODE = re.compile(r"[A-Za-z0-9_-]+")
_REMARK = re.compile(r"\s*\([^()]*\)")


def code_list(doc: str) -> CodeList | None:
    """The list that a doc states as "Code list: a, b (remark), c."; None where it states none in codes.

    A list that ends in "or the source's own word", or that goes on in prose after a semicolon, is open.
    SchemaError for a list where only some entries are codes: one of them is a slip of the pen.
    """
    stated = _LIST.search(_REMARK.sub("", doc))
    if stated is None:
        return None
    head, _, prose = stated[1].partition(";")
    entries = [entry.strip() for entry in head.split(",")]
    closed = not prose and not entries[-1].startswith("or ")
    codes = entries[:-1] if entries[-1].startswith("or ") else entries
    wrong = [entry for entry in codes if not _CODE.fullmatch(entry)]
    if len(wrong) == len(codes):
        return None
    if wrong:
        raise SchemaError(f"{wrong[0]!r} in the code list is not a code; write one word between commas.")
    return CodeList(tuple(codes), closed)


@cache
def codes(kind: str, path: str) -> frozenset[str] | None:
    """Codes allowed at a path (see field_at); None where any text is: no list is stated, or it is open."""
    stated = code_list(field_at(kind, path).doc)
    return frozenset(stated.codes) if stated is not None and stated.closed else None
