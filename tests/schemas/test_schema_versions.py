"""New versions of contracts: what they may change, and every change that must be refused."""

import shutil
from pathlib import Path

import pytest

from schemas import contracts
from schemas.compatibility import problems
from schemas.contracts import ENVELOPE, KINDS, LOCAL_KINDS
from tests.support.changed_contracts import Json, add, at, copied, edit, keep, new_version, told


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return copied(tmp_path)


# What a new version may change, and what not.


def test_new_nullable_field_is_a_good_version(folder: Path) -> None:
    assert new_version(folder, lambda schema: None) == []


def test_new_cell_in_an_array_is_a_good_version(folder: Path) -> None:
    def change(schema: Json) -> None:
        add("note", ["null", "string"])(at(schema, "offers")["type"]["items"])

    assert new_version(folder, change) == []


def test_new_code_is_a_good_version(folder: Path) -> None:
    doc = "Whether the service point works. Code list: active, suspended, moving, closed."
    assert new_version(folder, lambda schema: at(schema, "status").update(doc=doc)) == []


def test_new_envelope_field_goes_into_every_kind(folder: Path) -> None:
    new = {"name": "note", "type": ["null", "string"], "default": None, "doc": "An example."}
    for kind in (*KINDS, *LOCAL_KINDS):
        keep(folder, kind)
        edit(folder, lambda schema: schema["fields"].insert(len(ENVELOPE) - 1, new), kind)
    assert problems(folder) == []


def test_unchanged_copy_is_no_problem(folder: Path) -> None:
    keep(folder)
    assert problems(folder) == []


DECIMAL = {"type": "bytes", "logicalType": "decimal", "precision": 18, "scale": 4}
REFUSED_CHANGES: dict[str, tuple[str, dict[str, object], str]] = {
    "scale": ("offers.price", {"type": ["null", DECIMAL | {"scale": 2}]}, "scale is 2, and 4 in version 1"),
    "precision": (
        "offers.price",
        {"type": ["null", DECIMAL | {"precision": 20}]},
        "precision is 20, and 18 in version 1",
    ),
    "logical type": ("valid_to", {"type": ["null", "int"]}, "logical type is none, and date in version 1"),
    "resolution of time": (
        "recorded_at",
        {"type": {"type": "long", "logicalType": "timestamp-millis"}},
        "logical type is timestamp-millis, and timestamp-micros in version 1",
    ),
    "logical type of items": (
        "related_entity_ids",
        {"type": {"type": "array", "items": "string"}},
        "logical type is none, and uuid in version 1",
    ),
    "type": ("offers.capacity", {"type": ["null", "double"]}, "type is double, and long in version 1"),
    "string to bytes": ("address", {"type": ["null", "bytes"]}, "type is bytes, and string in version 1"),
    "promotion": ("version", {"type": "long"}, "type is long, and int in version 1"),
    "null": ("status", {"type": ["null", "string"], "default": None}, "null is allowed, and not allowed in"),
    "default": ("status", {"default": "closed"}, 'default is "closed", and "active" in version 1'),
    "unit": ("offers.price", {"doc": "Price (unit: fen)."}, "unit is fen, and CNY per price_period in"),
    "unit left out": ("offers.price", {"doc": "Price."}, "unit is none, and CNY per price_period in"),
    "code dropped": (
        "status",
        {"doc": "Code list: active, closed."},
        "code list drops suspended of version 1",
    ),
    "code list dropped": (
        "status",
        {"doc": "Any."},
        "code list drops active, suspended, closed of version 1",
    ),
}


@pytest.mark.parametrize("name", REFUSED_CHANGES)
def test_change_is_refused(folder: Path, name: str) -> None:
    path, change, sentence = REFUSED_CHANGES[name]
    found = new_version(folder, lambda schema: at(schema, path).update(change))
    assert f"supply version 2, {path}: {sentence}" in told(found, path)


def test_code_list_that_is_closed_later_is_refused(folder: Path) -> None:
    def close(schema: Json) -> None:
        at(schema, "unit")["doc"] = at(schema, "unit")["doc"].replace(", or the source's own word", "")

    assert "code list is closed, and open in version 1" in told(new_version(folder, close, "standard"), "unit")


def test_removed_field_is_refused(folder: Path) -> None:
    found = new_version(folder, lambda schema: schema["fields"].remove(at(schema, "phone")))
    assert "is gone since version 1: readers would lose it in silence; keep it." in told(found, "phone")


def test_removed_array_is_told_once(folder: Path) -> None:
    found = new_version(folder, lambda schema: schema["fields"].remove(at(schema, "offers")))
    assert [problem.path for problem in found] == ["offers"]


def test_moved_field_is_refused(folder: Path) -> None:
    def swap(schema: Json) -> None:
        cells = at(schema, "offers")["type"]["items"]["fields"]
        cells[1], cells[2] = cells[2], cells[1]

    found = told(new_version(folder, swap), "offers.available")
    assert "stands where version 1 has offers.capacity; keep the order" in found


def test_renamed_record_is_refused(folder: Path) -> None:
    found = told(new_version(folder, lambda schema: schema.update(name="Supply")), "")
    assert "is named yrd.Supply, and yrd.SupplyEvent in version 1; keep the name." in found
    assert "can't read what version 1 wrote (expected: yrd.SupplyEvent)" in found


def test_types_that_do_not_resolve_name_field_and_direction(folder: Path) -> None:
    change = {"type": ["null", "double"]}
    found = told(new_version(folder, lambda schema: at(schema, "offers.capacity").update(change)), "offers")
    assert found.startswith("supply version 2, offers: can't be read by version 1 (")


def test_chain_that_avro_allows_in_pairs_only_is_refused(folder: Path) -> None:
    edit(folder, add("note", ["null", "string"]))
    keep(folder)
    edit(folder, lambda schema: schema["fields"].remove(at(schema, "note")))
    keep(folder)
    edit(folder, add("note", "long", default=0))
    found = problems(folder)
    unread = [problem for problem in found if "can't" in problem.sentence]
    assert {(problem.version, problem.path) for problem in unread} == {(3, "note")}
    assert all("version 1" in problem.sentence for problem in unread)  # 1 with 2 and 2 with 3 would pass
    assert "version 3, note: type is long, and string in version 1" in told(found, "note")
    assert "version 2, note: is gone since version 1" in told(found, "note")


# One fingerprint, two meanings.


def test_two_versions_that_share_a_fingerprint_are_refused(folder: Path) -> None:
    keep(folder)
    edit(folder, lambda schema: at(schema, "offers.price")["type"][1].update(scale=2))
    shared = contracts.contract("supply").fingerprint.hex()
    found = told(problems(folder), "offers.price")
    assert f"has the fingerprint {shared} of supply version 1, and differs" in found


def test_milliseconds_share_the_fingerprint_of_microseconds(folder: Path) -> None:
    keep(folder, "batch")
    millis = {"type": "long", "logicalType": "timestamp-millis"}
    edit(folder, lambda schema: at(schema, "started_at").update(type=millis), "batch")
    assert "of batch version 1, and differs" in told(problems(folder), "started_at")


def test_version_that_changes_only_docs_is_refused(folder: Path) -> None:
    keep(folder)
    edit(folder, lambda schema: at(schema, "address").update(doc="Where it is."))
    (problem,) = problems(folder)
    assert problem.path == "address" and "edit it in place without a new version" in problem.sentence


def test_two_kinds_of_one_schema_are_refused(folder: Path) -> None:
    shutil.copy(folder / "supply.avsc", folder / "standard.avsc")
    assert "of supply version 1, and differs" in told(problems(folder), "")
