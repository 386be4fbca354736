"""Every kind is known everywhere: nothing that is asked of a base leaves one out."""

from pathlib import Path

import pytest

from repository.kinds.register import RULES
from schemas.contracts import FACT_KINDS, fields
from tests.kinds.example import example_of
from tests.kinds.walk import walked


@pytest.mark.parametrize("kind", FACT_KINDS)
def test_a_kind_goes_through_everything(kind: str, tmp_path: Path) -> None:
    found = walked(tmp_path / "home", example_of(kind))
    assert found["types"] and found["proved"]


def test_the_two_registers_are_one() -> None:
    assert tuple(RULES) == FACT_KINDS


@pytest.mark.parametrize("kind", FACT_KINDS)
def test_rules_name_fields_that_the_contract_has(kind: str) -> None:
    rules, known = RULES[kind], fields(kind)
    named = {*rules.reads, *rules.first_reads, *rules.ended, rules.still[0], *rules.codes}
    assert named <= known.keys()
    if rules.person is not None:
        leading = [known[name] for name in (rules.person.token, *rules.person.others)]
        assert all(type_.nullable or type_.word == "strings" for type_ in leading), "what leads to a person can be emptied"
