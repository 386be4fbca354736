"""Refuses schemas that would break a reader: what one version may look like, and what a new one may change.

Every version is compared with every earlier one that is kept, in both directions (FULL_TRANSITIVE): logs
are never rewritten, so the first version is still read when the tenth is written. The reader and writer
rules of Avro 1.12 are judged by the checker of the `avro` package; what that checker and the CRC-64-AVRO
fingerprint leave out (logical types, precision, scale, defaults, units and code lists) is judged here.
"""

import json
import re
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import combinations, zip_longest
from pathlib import Path
from typing import Any, cast

import avro.schema
from avro.compatibility import ReaderWriterCompatibilityChecker, SchemaCompatibilityType
from avro.errors import AvroException, IgnoredLogicalType
from avro.schema import RecordSchema

from schemas.contracts import (
    EARLIER,
    FOLDER,
    KINDS,
    LOCAL_KINDS,
    NAMES,
    WORDS,
    Contract,
    SchemaError,
    code_list,
    envelope_of,
    read_json,
    split_null,
    version_files,
    versions,
    word_of,
)

WIDEST_DECIMAL = 38
"""Digits that Arrow's decimal128 and DuckDB's DECIMAL hold."""

Json = dict[str, Any]
Finding = tuple[str, str]
"""A field path and what is wrong there, both for people."""


@dataclass(frozen=True, slots=True)
class Problem:
    """Why a schema is refused. `path` is a field such as `offers.unit`, or empty for the schema as a whole.

    `version` is the newer of two versions that do not go together, 0 where no version can be named.
    """

    kind: str
    version: int
    path: str
    sentence: str

    def __str__(self) -> str:
        where = f", {self.path}" if self.path else ""
        return f"{self.kind} version {self.version}{where}: {self.sentence}"


def problems(folder: Path = FOLDER) -> list[Problem]:
    """Everything in a folder of contracts that must not be published; an empty list where all is well."""
    found = list(_strangers(folder))
    known: list[Contract] = []
    for kind in NAMES:
        try:
            found += _history_problems(kind, [read_json(path)[1] for path in version_files(kind, folder)])
            known += versions(kind, folder)
        except SchemaError as error:
            found.append(Problem(kind, 0, "", str(error)))
    return [*found, *_resolution_problems(known), *_envelope_problems(known), *_shared_fingerprints(known)]


def _strangers(folder: Path) -> Iterator[Problem]:
    """Files that no kind reads: a misspelt name would otherwise go unchecked."""
    for path in sorted(folder.glob("*.avsc")) + sorted((folder / EARLIER).glob("*")):
        name, _, rest = path.name.partition(".")
        expected = "avsc" if path.parent == folder else r"[1-9]\d*\.avsc"
        if name not in NAMES or not re.fullmatch(expected, rest):
            yield Problem(name, 0, "", f"{path} is no version of {', '.join(NAMES)}; rename or remove it.")


def _history_problems(kind: str, schemas: list[Json]) -> Iterator[Problem]:
    """What each version of one kind, oldest first, may not contain or may not change of an earlier one."""
    for number, schema in enumerate(schemas, 1):
        yield from (Problem(kind, number, *each) for each in shape_findings(schema))
    for (older, old), (newer, new) in combinations(enumerate(schemas, 1), 2):
        yield from (Problem(kind, newer, *each) for each in change_findings(old, older, new))


# What one version may look like.


def shape_findings(schema: Json) -> Iterator[Finding]:
    """What no contract may contain, whatever came before it."""
    yield from _record_findings(schema, "", ())


def _record_findings(record: Json, path: str, enclosing: tuple[str, ...]) -> Iterator[Finding]:
    names = (*enclosing, str(record.get("name")), f"{record.get('namespace')}.{record.get('name')}")
    seen: set[str] = set()
    for each in record.get("fields", []):
        if not isinstance(each, dict) or "name" not in each or "type" not in each:
            yield path, f"{json.dumps(each)} is not a field; a field has name, type, default and doc."
            continue
        here = f"{path}.{each['name']}" if path else str(each["name"])
        # Column names are compared without case in SQL, so two such fields would meet in one column.
        if here.casefold() in seen:
            yield here, "a second field has this name, capitals aside; give it another."
        seen.add(here.casefold())
        yield from _field_findings(each, here)
        yield from _type_findings(each["type"], here, names)


def _field_findings(each: Json, path: str) -> Iterator[Finding]:
    if "default" not in each:
        yield path, "has no default, so older events could not be read; state one."
    elif split_null(each["type"])[0] and each["default"] is not None:
        yield path, f"may be null, yet its default is {json.dumps(each['default'])}; make it null."
    if not str(each.get("doc", "")).strip():
        yield path, "has no doc; say what it means, its unit and its code list."
    try:
        code_list(str(each.get("doc", "")))
    except SchemaError as error:
        yield path, str(error)


def _type_findings(avro_type: Any, path: str, enclosing: tuple[str, ...]) -> Iterator[Finding]:
    bare = split_null(avro_type)[1]
    if isinstance(bare, list):
        yield path, f"is the union {json.dumps(bare)}; readers take only [null, T] with one T."
    elif isinstance(bare, str) and bare in enclosing:
        yield path, f"is recursive: it contains {bare} again; refer to the other by its key instead."
    elif isinstance(bare, dict) and bare.get("type") == "array":
        yield from _items_findings(bare.get("items"), path, enclosing)
    elif isinstance(bare, dict) and bare.get("type") == "record":
        yield path, "is a record by itself; make its cells fields, or make it an array of records."
        yield from _record_findings(bare, path, enclosing)
    elif word_of(bare) is None:
        yield path, _unused(bare)
    elif word_of(bare) == "decimal" and bare.get("precision") not in range(1, WIDEST_DECIMAL + 1):
        stated = bare.get("precision", "none")
        yield path, f"is a decimal of precision {stated}; state one from 1 to {WIDEST_DECIMAL}."


_WORDS = ", ".join(sorted(WORDS.values()))
_INSTEAD = {
    "enum": "is an enum, whose new symbols break older readers; write a string with a code list in doc.",
    "map": "is a map, which columnar readers can't read; write an array of records with the key as a cell.",
}


def _unused(bare: Any) -> str:
    physical = bare.get("type") if isinstance(bare, dict) else bare
    unknown = f"has the type {json.dumps(bare)}, which contracts do not use; take one of {_WORDS}."
    return _INSTEAD.get(str(physical), unknown)


def _items_findings(items: Any, path: str, enclosing: tuple[str, ...]) -> Iterator[Finding]:
    if _zero_width(items):
        yield path, "is an array of items of no width: five bytes can claim millions; give items a cell."
    elif isinstance(items, str) and items in enclosing:
        yield from _type_findings(items, path, enclosing)
    elif isinstance(items, dict) and items.get("type") == "record":
        yield from _record_findings(items, path, enclosing)
    elif word_of(items) not in ("string", "uuid"):
        yield path, f"is an array of {json.dumps(items)}; items are strings, uuids or records."


def _zero_width(avro_type: Any) -> bool:
    """Whether a value takes no bytes in Avro's binary encoding."""
    if not isinstance(avro_type, dict):
        return bool(avro_type == "null")
    physical = avro_type.get("type")
    if physical == "record":
        return all(_zero_width(cell.get("type")) for cell in avro_type.get("fields", []))
    return physical == "null" or (physical == "fixed" and avro_type.get("size") == 0)


# What a new version may change.


def change_findings(old: Json, older: int, new: Json) -> Iterator[Finding]:
    """What a newer version changed of an older one, whose number is `older`, and may not."""
    if _full_name(old) != _full_name(new):
        yield "", f"is named {_full_name(new)}, and {_full_name(old)} in version {older}; keep the name."
    before, after = dict(_walk(old)), dict(_walk(new))
    for path, field_before in before.items():
        if path in after:
            yield from _field_changes(field_before, older, after[path], path)
        elif path.rpartition(".")[0] in ("", *after):
            yield path, f"is gone since version {older}: readers would lose it in silence; keep it."
    yield from _moved(list(before), older, list(after))


def _moved(before: list[str], older: int, after: list[str]) -> Iterator[Finding]:
    kept_before = [path for path in before if path in after]
    kept_after = [path for path in after if path in before]
    for was, now in zip(kept_before, kept_after, strict=True):
        if was != now:
            yield now, f"stands where version {older} has {was}; keep the order and add new fields after."
            return


def _walk(record: Json, path: str = "") -> Iterator[tuple[str, Json]]:
    """All fields by path in order; the cells of an array's records follow it as `offers.unit`."""
    for each in record.get("fields", []):
        if not isinstance(each, dict) or "name" not in each or "type" not in each:
            continue
        here = f"{path}.{each['name']}" if path else str(each["name"])
        yield here, each
        bare = split_null(each["type"])[1]
        items = bare.get("items") if isinstance(bare, dict) else None
        if isinstance(items, dict) and "fields" in items:
            yield from _walk(items, here)


def _field_changes(old: Json, older: int, new: Json, path: str) -> Iterator[Finding]:
    was, now = _traits(old), _traits(new)
    for trait in was:
        if was[trait] != now[trait]:
            change = f"{trait} is {now[trait]}, and {was[trait]} in version {older}"
            yield path, f"{change}: readers of the two would differ; keep it and add a new field beside it."
    yield from _dropped_codes(old, older, new, path)


def _traits(field_json: Json) -> dict[str, str]:
    """What must never change about a field, each in words."""
    nullable, bare = split_null(field_json["type"])
    array = isinstance(bare, dict) and bare.get("type") == "array"
    value = bare.get("items") if array else bare
    options = value if isinstance(value, dict) else {"type": value}
    unit = re.search(r"\(unit: ([^)]*)\)", str(field_json.get("doc", "")))
    return {
        "type": ("array of " if array else "") + _type_name(options),
        "null": "allowed" if nullable else "not allowed",
        "logical type": str(options.get("logicalType", "none")),
        "precision": str(options.get("precision", "none")),
        "scale": str(options.get("scale", "none")),
        "default": json.dumps(field_json.get("default")),
        "unit": unit[1] if unit else "none",
    }


def _type_name(options: Json) -> str:
    named = f" {_full_name(options)}" if "name" in options else ""
    physical = options.get("type")
    return f"{physical}{named}" if isinstance(physical, str) else json.dumps(physical)


def _full_name(record: Json) -> str:
    namespace = record.get("namespace")
    return f"{namespace}.{record.get('name')}" if namespace else str(record.get("name"))


def _dropped_codes(old: Json, older: int, new: Json, path: str) -> Iterator[Finding]:
    try:
        was, now = code_list(str(old.get("doc", ""))), code_list(str(new.get("doc", "")))
    except SchemaError:
        return  # Already told of the version where the list can't be read.
    if was is None:
        return
    kept = now.codes if now is not None else ()
    if dropped := [code for code in was.codes if code not in kept]:
        yield path, f"code list drops {', '.join(dropped)} of version {older}: old events hold them."
    elif now is not None and now.closed and not was.closed:
        yield path, f"code list is closed, and open in version {older}: old events hold other words."


# What Avro itself says of a pair.


def _resolution_problems(known: list[Contract]) -> Iterator[Problem]:
    """Whether each version can read what every other one of its kind wrote, by Avro's schema resolution."""
    parsed: list[tuple[Contract, RecordSchema]] = []
    for each in known:
        try:
            parsed.append((each, _avro_schema(each.text)))
        except AvroException as error:
            yield Problem(each.kind, each.version, "", f"is no Avro schema ({error}); correct it.")
    for (before, old), (after, new) in combinations(parsed, 2):
        if before.kind == after.kind:
            for path, why in _disagreements(new, old):
                yield _unreadable(after, path, f"can't read what version {before.version} wrote ({why})")
            for path, why in _disagreements(old, new):
                yield _unreadable(after, path, f"can't be read by version {before.version} ({why})")


def _unreadable(newer: Contract, path: str, said: str) -> Problem:
    return Problem(newer.kind, newer.version, path, f"{said}; keep the field and add a new one.")


def _avro_schema(text: str) -> RecordSchema:
    with warnings.catch_warnings():
        # It warns of logical types that it does not know; shape_findings refuses them.
        warnings.simplefilter("ignore", IgnoredLogicalType)
        return cast(RecordSchema, avro.schema.parse(text))


def _disagreements(reader: RecordSchema, writer: RecordSchema) -> Iterator[Finding]:
    """Top-level fields that the reader can't take from the writer; the record itself where it is no field."""
    whole = _disagreement(reader, writer)
    if whole is None:
        return
    # The checker loses its place inside unions, so each field is asked for again by itself.
    pairs = [(each.name, each.type, writer.fields_dict.get(each.name)) for each in reader.fields]
    asked = [(name, _disagreement(wanted, given.type)) for name, wanted, given in pairs if given is not None]
    by_field = [(name, why) for name, why in asked if why is not None]
    yield from by_field or [("", whole)]


def _disagreement(reader: avro.schema.Schema, writer: avro.schema.Schema) -> str | None:
    checker = ReaderWriterCompatibilityChecker()  # type: ignore[no-untyped-call]
    result = checker.get_compatibility(reader, writer)
    if result.compatibility is SchemaCompatibilityType.compatible:
        return None
    return "; ".join(sorted(result.messages))


# What the contracts say together.


def _envelope_problems(known: list[Contract]) -> Iterator[Problem]:
    """The leading fields must be the same, doc and all: one reader handles the envelope of every kind."""
    current = list({each.kind: each for each in known if each.kind in (*KINDS, *LOCAL_KINDS)}.values())
    for other in current[1:]:
        for there, here in zip_longest(envelope_of(current[0].schema), envelope_of(other.schema)):
            if here != there:
                said = f"envelope differs here from that of {current[0].kind}; write it alike in every kind."
                yield Problem(other.kind, other.version, (here or there)["name"], said)
                break


def _shared_fingerprints(known: list[Contract]) -> Iterator[Problem]:
    """Stored bytes name their schema by fingerprint alone, so two schemas must not share one."""
    for one, other in combinations(known, 2):
        if one.fingerprint != other.fingerprint or (one.kind == other.kind and one.schema == other.schema):
            continue
        said = f"has the fingerprint {one.fingerprint.hex()} of {one.kind} version {one.version}, and differs"
        way = "add a field, or where only a doc differs, edit it in place without a new version."
        yield Problem(other.kind, other.version, _first_difference(one, other), f"{said}; {way}")


def _first_difference(one: Contract, other: Contract) -> str:
    """Path of the first field that is written differently; empty where the difference is not in a field."""
    there = dict(_walk(one.schema))
    differing = [path for path, each in _walk(other.schema) if there.get(path) != each]
    # An array differs where one of its cells does: the cell is the place to look.
    cells = [path for path in differing if not any(deeper.startswith(f"{path}.") for deeper in differing)]
    return cells[0] if cells else ""
