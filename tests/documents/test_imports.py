"""Who may know whom: read from the source, so that an import inside a function counts too."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.project import ROOT

OURS = {"schemas", "repository", "projections", "connectors"}
MAY_KNOW = {
    "schemas": {"schemas"},
    "repository": {"schemas", "repository"},
    "projections": {"schemas", "repository", "projections"},
    "connectors": OURS,
}
NEVER = {
    "schemas": {"duckdb", "kafka", "polars", "eventsourcing"},
    "repository": {"duckdb", "kafka", "polars", "pyarrow"},
    "projections": {"kafka", "eventsourcing"},
    "connectors": set[str](),
}


def imported(path: Path) -> Iterator[str]:
    """Names of the top-level packages that a file imports, anywhere in it."""
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name.split(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield (node.module or "").split(".")[0] if not node.level else path.relative_to(ROOT).parts[0]


@pytest.mark.parametrize("package", sorted(OURS))
def test_a_package_imports_only_what_it_may_know(package: str) -> None:
    files = sorted((ROOT / package).rglob("*.py"))
    assert files
    for path in files:
        names = set(imported(path))
        assert names & (OURS | {"tests"}) <= MAY_KNOW[package], path
        assert not names & NEVER[package], path
