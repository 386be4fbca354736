"""Floors, rooms, modules and the imports between them, read from the source: how the house is built, counted.

A room is a sub-package of a package that has some (`connectors/hub`), or a module beside them (`connectors.command_line`); a package without
sub-packages is one room. Floors are the modules, or rooms, on the longest chain of imports.

`python -m tests.support.floors [FOLDER]` prints one small table per package of this project, or of another copy of it.
"""

import ast
import sys
from collections.abc import Iterator, Mapping
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

from tests.support.project import ROOT

PACKAGES = ("schemas", "repository", "projections", "connectors")
Graph = Mapping[str, set[str]]
"""Name of a module or room -> names of those that it imports, itself left out."""


def modules(root: Path, package: str) -> dict[str, ast.Module]:
    """Dotted name -> source of every module of a package; an __init__ counts where it holds more than a docstring."""
    found = {}
    for path in sorted((root / package).rglob("*.py")):
        source = ast.parse(path.read_text("utf-8"))
        parts = path.relative_to(root).with_suffix("").parts
        if parts[-1] != "__init__":
            found[".".join(parts)] = source
        elif len(source.body) > 1:
            found[".".join(parts[:-1])] = source
    return found


def named(module: str, source: ast.Module) -> Iterator[tuple[str, str]]:
    """(module, name in it or nothing) of every import in a source, those inside functions too."""
    for node in ast.walk(source):
        if isinstance(node, ast.Import):
            yield from ((alias.name, "") for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            above = ".".join(module.split(".")[: -node.level]) if node.level else ""
            origin = ".".join(part for part in (above, node.module or "") if part)
            yield from ((origin, alias.name) for alias in node.names)


def imports(root: Path = ROOT) -> dict[str, set[str]]:
    """Module -> the modules of the packages that it imports."""
    known = {name: source for package in PACKAGES for name, source in modules(root, package).items()}
    return {name: {m for pair in named(name, source) if (m := _module(pair, known))} - {name} for name, source in known.items()}


def _module(imported: tuple[str, str], known: Mapping[str, object]) -> str | None:
    """The module of ours that an import means: the name itself where it is a module, else where it stands."""
    origin, name = imported
    return next((m for m in (f"{origin}.{name}", origin) if m in known), None)


def within(graph: Graph, where: str) -> dict[str, set[str]]:
    """The part of a graph that lies in one package or room."""
    inside = {name for name in graph if name == where or name.startswith(f"{where}.")}
    return {name: graph[name] & inside for name in inside}


def rooms(graph: Graph) -> dict[str, str]:
    """Module -> its room."""
    divided = {name.split(".")[0] for name in graph if name.count(".") > 1}
    return {name: ".".join(name.split(".")[:2]) if name.split(".")[0] in divided else name.split(".")[0] for name in graph}


def between_rooms(graph: Graph) -> dict[str, set[str]]:
    """Room -> the other rooms that its modules import."""
    room = rooms(graph)
    found: dict[str, set[str]] = {each: set() for each in room.values()}
    for name, known in graph.items():
        found[room[name]] |= {room[each] for each in known} - {room[name]}
    return found


def circle(graph: Graph) -> list[str]:
    """Names that import each other in a circle, the first repeated at the end; empty where there is none."""
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        return [str(name) for name in reversed(error.args[1])]
    return []


def floors(graph: Graph) -> int:
    """How many stand on the longest chain of imports. Raises graphlib.CycleError where there is a circle."""
    floor: dict[str, int] = {}
    for name in TopologicalSorter(graph).static_order():
        floor[name] = 1 + max((floor[each] for each in graph[name]), default=0)
    return max(floor.values(), default=0)


def table(package: str, graph: Graph) -> str:
    """What a package counts, its modules and its rooms in one line each."""
    rows = [("modules", within(graph, package)), ("rooms", within(between_rooms(graph), package))]
    lines = [f"{package:12} {'':>6} {'floors':>6} {'imports between them':>21}"]
    for what, part in rows:
        height: object = "circle" if circle(part) else floors(part)
        lines.append(f"  {what:10} {len(part):>6} {height:>6} {sum(map(len, part.values())):>21}")
    return "\n".join(lines)


if __name__ == "__main__":
    read = imports(Path(sys.argv[1]) if len(sys.argv) > 1 else ROOT)
    sys.stdout.write("\n\n".join(table(package, read) for package in PACKAGES) + "\n")
