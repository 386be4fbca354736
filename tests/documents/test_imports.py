"""Who may know whom: read from the source, so that an import inside a function counts too."""

from itertools import pairwise
from pathlib import Path

import pytest

from tests.support.floors import PACKAGES, between_rooms, circle, floors, imports, modules, named, table, within
from tests.support.project import ROOT

BELOW = {
    "schemas": set[str](),
    "repository": {"schemas"},
    "projections": {"schemas", "repository"},
    "connectors": {"schemas", "repository", "projections"},
}
"""Package -> the packages whose every room it may know."""
MAY_KNOW = {
    "schemas": "",
    "repository.registers": "",
    "repository.events": "",
    "repository.kinds": "",
    "repository.proof": "events",
    "repository.keys": "proof",
    "repository.persons": "events keys",
    "repository.decisions": "events kinds persons",
    "repository.controls": "decisions events kinds persons",
    "repository.store": "controls decisions events kinds proof",
    "repository.access": "events proof registers store",
    "projections": "",
    "connectors": "",
    "connectors.collecting": "",
    "connectors.dumps": "",
    "connectors.profiles": "dumps",
    "connectors.home": "",
    "connectors.kafka": "home",
    "connectors.persons": "home",
    "connectors.proof": "home",
    "connectors.base": "home persons proof",
    "connectors.logs": "home kafka proof",
    "connectors.publishing": "dumps home persons profiles proof",
    "connectors.access": "home logs proof",
    "connectors.reading": "access",
    "connectors.hub": "access base home kafka logs persons proof reading",
    "connectors.audit": "base home hub logs proof reading",
    "connectors.commands": "access audit base dumps home hub kafka logs persons profiles proof publishing reading",
    "connectors.command_line": "access base collecting commands home kafka proof publishing reading",
}
"""Room -> the rooms of its package that it may know. A row names only rooms above it, so that imports go down and never in a circle."""
NEVER = {
    "schemas": {"duckdb", "kafka", "polars", "eventsourcing"},
    "repository": {"duckdb", "kafka", "polars", "pyarrow"},
    "projections": {"kafka", "eventsourcing"},
    "connectors": set[str](),
}
GRAPH = imports()


@pytest.mark.parametrize("room", MAY_KNOW)
def test_a_room_imports_only_rooms_that_it_may_know(room: str) -> None:
    package = room.split(".", maxsplit=1)[0]
    allowed = {f"{package}.{name}" for name in MAY_KNOW[room].split()}
    known = between_rooms(GRAPH)[room]
    assert {name for name in known if name.split(".")[0] not in BELOW[package]} <= allowed


def test_every_room_has_a_row() -> None:
    assert set(MAY_KNOW) == set(between_rooms(GRAPH)), "a new room needs a row, and a room that is gone has none"


def test_a_row_names_only_rooms_above_it() -> None:
    above: set[str] = set()
    for room, names in MAY_KNOW.items():
        assert {f"{room.split('.')[0]}.{name}" for name in names.split()} <= above, room
        above.add(room)


@pytest.mark.parametrize("room", MAY_KNOW)
def test_no_modules_of_a_room_import_each_other_in_a_circle(room: str) -> None:
    assert circle(within(GRAPH, room)) == []


@pytest.mark.parametrize("package", PACKAGES)
def test_a_package_keeps_away_from_foreign_libraries_and_tests(package: str) -> None:
    for module, source in modules(ROOT, package).items():
        names = {origin.split(".")[0] for origin, _ in named(module, source)}
        assert not names & (NEVER[package] | {"tests", "benchmarks"}), module


# -- the counting itself -------------------------------------------------------------------------------------------


def project(folder: Path, **sources: str) -> Path:
    """A project whose modules import as told; double underscores stand for dots."""
    for name, source in sources.items():
        path = folder / f"{name.replace('__', '/')}.py"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(source, "utf-8")
    return folder


def test_imports_are_found_wherever_and_however_they_stand(tmp_path: Path) -> None:
    root = project(
        tmp_path,
        repository__a__one="import repository.a.two, json\n",
        repository__a__two="def f():\n    from . import three\n    from ..b import four as other\n",
        repository__a__three="from repository.b.four import name\nfrom repository import gone\n",
        repository__b__four="",
    )
    assert imports(root) == {
        "repository.a.one": {"repository.a.two"},
        "repository.a.two": {"repository.a.three", "repository.b.four"},
        "repository.a.three": {"repository.b.four"},
        "repository.b.four": set(),
    }
    assert floors(imports(root)) == 4 and between_rooms(imports(root))["repository.a"] == {"repository.b"}
    assert [line.split() for line in table("repository", imports(root)).splitlines()[1:]] == [
        ["modules", "4", "4", "4"],
        ["rooms", "2", "2", "1"],
    ]


def test_a_circle_is_found_and_named(tmp_path: Path) -> None:
    root = project(
        tmp_path, schemas__a="from schemas import b", schemas__b="from schemas.c import x", schemas__c="import schemas.a"
    )
    found = circle(imports(root))
    assert len(found) == 4 and found[0] == found[-1] and set(found) == {"schemas.a", "schemas.b", "schemas.c"}
    assert all(after in imports(root)[before] for before, after in pairwise(found))
    assert "circle" in table("schemas", imports(root))
