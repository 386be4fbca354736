"""Copies of the contracts, changed in one place, for tests of what the check says of that."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

from schemas import contracts
from schemas.compatibility import Problem, problems
from schemas.contracts import NAMES

Json = dict[str, Any]
Change = Callable[[Json], object]


def copied(folder: Path) -> Path:
    """A copy of the contracts' current versions, to be changed."""
    for name in NAMES:
        shutil.copy(contracts.FOLDER / f"{name}.avsc", folder)
    return folder


def at(schema: Json, path: str) -> Json:
    """The field at a path such as `offers.price`, as JSON that may be changed in place."""
    *arrays, last = path.split(".")
    for name in arrays:
        schema = at(schema, name)["type"]["items"]
    return next(each for each in schema["fields"] if each["name"] == last)


def edit(folder: Path, change: Change, kind: str = "supply") -> None:
    """Change the current version in place."""
    path = folder / f"{kind}.avsc"
    schema = json.loads(path.read_text("utf-8"))
    change(schema)
    path.write_text(json.dumps(schema, ensure_ascii=False), "utf-8")


def keep(folder: Path, kind: str = "supply") -> None:
    """Keep the current version as the next earlier one, which is how a new version begins."""
    (folder / "earlier").mkdir(exist_ok=True)
    number = len(contracts.version_files(kind, folder))
    shutil.copy(folder / f"{kind}.avsc", folder / "earlier" / f"{kind}.{number}.avsc")


def add(name: str, avro_type: object, **rest: object) -> Change:
    """Add a field at the end; default and doc are right unless given, and left out where given as `...`."""
    stated = {"name": name, "type": avro_type, "default": None, "doc": "An example."} | rest
    written = {key: value for key, value in stated.items() if value is not ...}
    return lambda schema: schema["fields"].append(written)


def new_version(folder: Path, change: Change, kind: str = "supply") -> list[Problem]:
    keep(folder, kind)
    edit(folder, add("example", ["null", "string"]), kind)
    edit(folder, change, kind)
    return problems(folder)


def told(found: list[Problem], path: str) -> str:
    """Everything said of one path, in one text."""
    return "\n".join(str(problem) for problem in found if problem.path == path)
