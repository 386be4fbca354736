"""Nothing shared names a kind: a kind is its contract, its rules, its questions, its words, and two lines in registers."""

import re

import pytest

from schemas.contracts import FACT_KINDS
from tests.support.project import ROOT

SUFFIXES = ("py", "sql", "toml", "csv")
OWN = ("repository/kinds/{kind}.py", "projections/kinds/{kind}.sql", "connectors/profiles/words/{kind}.toml")
REGISTERS = ("schemas/contracts.py", "repository/kinds/register.py")
CONTENT = ("projections/questions/", "connectors/profiles/bundled/", "connectors/commands/demo/")
"""Questions, source profiles and the demonstration speak of the world, in the words of kinds."""


def named(kind: str, text: str) -> list[str]:
    """Lines in which a text names a kind: as a word in quotes, as a table, as a topic, or as a module."""
    dashed = kind.replace("_", "-")
    names = (
        rf"""["'`]{kind}["'`]|\b{kind}_(history|timeline|current|asof)\b|kinds(\.| import .*\b){kind}\b|\byrd\.\w*\.{dashed}\b"""
    )
    return [line for line in text.splitlines() if re.search(names, line) or (dashed != kind and dashed in line)]


@pytest.mark.parametrize("kind", FACT_KINDS)
def test_no_file_but_its_own_names_a_kind(kind: str) -> None:
    found = {}
    for folder in ("schemas", "repository", "projections", "connectors"):
        for path in sorted(each for suffix in SUFFIXES for each in (ROOT / folder).rglob(f"*.{suffix}")):
            name = str(path.relative_to(ROOT))
            own = name in REGISTERS or name in [each.format(kind=kind) for each in OWN] or name.startswith(CONTENT)
            if not own and (lines := named(kind, path.read_text("utf-8"))):
                found[name] = lines
    assert not found


def test_the_search_finds_what_it_looks_for() -> None:
    for line in ('if kind == "supply":', "FROM supply_history", "from repository.kinds import standard, supply", "yrd.31.supply"):
        assert named("supply", line) == [line]
    assert named("service_object", '.replace("service-object", "service_object")')
    assert named("standard", "to standard output") == [] and named("supply", "a supply of beds") == []
