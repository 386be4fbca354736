"""Extracts: tables that auditors take away have the types of the base, whatever a kind is called."""

import pytest

from connectors.audit.extracts import kind_of
from schemas.contracts import FACT_KINDS


@pytest.mark.parametrize("kind", ["card", "card_application"])
@pytest.mark.parametrize("suffix", ["", "_history", "_timeline", "_current"])
def test_a_table_is_of_the_kind_that_its_whole_name_says(kind: str, suffix: str) -> None:
    assert kind_of(f"{kind}{suffix}", ("card", "card_application")) == kind


def test_a_table_of_something_else_is_of_no_kind() -> None:
    assert kind_of("change_log") is kind_of(f"{FACT_KINDS[0]}_notes") is kind_of("card_application_history", ("card",)) is None
