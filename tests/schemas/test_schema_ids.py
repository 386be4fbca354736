"""Numbers of the contracts without a registry: given once, never changed, and a contract changed in place is noticed."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from schemas import ids
from schemas.contracts import FOLDER, KINDS, SchemaError, contract, versions


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """A copy of the contracts' folder, to change."""
    folder = tmp_path / "schemas"
    shutil.copytree(FOLDER, folder, ignore=shutil.ignore_patterns("__pycache__", "*.py"))
    return folder


def edit(folder: Path, kind: str, change: Callable[[Any], object], to: str = "") -> None:
    """Change a contract's file, or write the changed one as `to`."""
    path = folder / f"{kind}.avsc"
    schema = json.loads(path.read_text("utf-8"))
    change(schema)
    target = folder / to if to else path
    target.parent.mkdir(exist_ok=True)
    target.write_text(json.dumps(schema, ensure_ascii=False), "utf-8")


def field(schema: Any, name: str) -> dict[str, Any]:
    return next(each for each in schema["fields"] if each["name"] == name)


def test_every_version_of_every_kind_has_its_own_number() -> None:
    assert ids.unlocked() == []
    lines = ids.locked()
    assert len({line.id for line in lines}) == len(lines) == sum(len(versions(kind)) for kind in KINDS)
    assert ids.by_shape()[ids.shape(contract("supply").schema)] == contract("supply")


def test_editing_a_doc_changes_no_shape(copy: Path) -> None:
    edit(copy, "supply", lambda s: s["fields"][0].update(doc="Reworded."))
    assert ids.unlocked(copy) == []


@pytest.mark.parametrize(
    "change",
    [
        lambda s: field(s, "recorded_at").update(type={"type": "long", "logicalType": "timestamp-millis"}),
        lambda s: s["fields"].append({"name": "more", "type": ["null", "string"], "default": None}),
        lambda s: s["fields"][1].update(default="Other"),
        lambda s: s["fields"].pop(),
    ],
)
def test_a_contract_changed_in_place_is_noticed(copy: Path, change: Callable[[Any], object]) -> None:
    edit(copy, "supply", change)
    (found,) = ids.unlocked(copy)
    assert "supply version 1 is another schema than the one numbered" in found and "keep a copy in earlier/" in found


def test_a_new_version_gets_the_next_number_and_the_old_ones_stay(copy: Path) -> None:
    before = ids.locked(copy)
    edit(copy, "supply", lambda s: None, to="earlier/supply.1.avsc")
    edit(copy, "supply", lambda s: s["fields"].append({"name": "more", "type": ["null", "string"], "default": None}))
    assert ids.unlocked(copy) == [f"supply version 2 has no number in {ids.LOCK}; give it one with `yrd schemas lock`."]
    (new,) = ids.lock(copy)
    assert (new.kind, new.version, new.id) == ("supply", 2, max(line.id for line in before) + 1)
    assert ids.locked(copy) == (*before, new) and ids.unlocked(copy) == [] and ids.lock(copy) == []


def test_a_version_that_is_gone_is_noticed(copy: Path) -> None:
    lines = json.loads((copy / ids.LOCK).read_text("utf-8"))
    lines.append({"id": 99, "kind": "supply", "version": 7, "shape": "x"})
    (copy / ids.LOCK).write_text(json.dumps(lines), "utf-8")
    assert ids.unlocked(copy) == [f"{ids.LOCK} numbers supply version 7, which is gone; restore its file in earlier/."]


@pytest.mark.parametrize("text", [None, "no json", '[{"id": 1}]'])
def test_a_damaged_lock_file_is_a_sentence(copy: Path, text: str | None) -> None:
    if text is None:
        (copy / ids.LOCK).unlink()
    else:
        (copy / ids.LOCK).write_text(text, "utf-8")
    with pytest.raises(SchemaError, match=r"ids.lock can't be read .*; restore it from the release"):
        ids.locked(copy)


def test_the_shape_is_that_of_the_schema_however_it_is_written() -> None:
    schema = json.loads(contract("batch").text)
    schema["fields"][1]["type"] = {"type": "string"}
    schema["name"], schema["namespace"] = "yrd.BatchEvent", ""
    assert ids.shape(schema) == ids.shape(contract("batch").schema)
