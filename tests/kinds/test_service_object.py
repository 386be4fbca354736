"""Service objects: which population groups there are."""

import pytest

from repository.kinds.service_object import is_group_code


@pytest.mark.parametrize(
    "text",
    ["total", "male", "urban", "household", "age_0_14", "age_60_plus", "male_1_4", "female_85_plus"],
)
def test_group_codes_are_accepted(text: str) -> None:
    assert is_group_code(text)


@pytest.mark.parametrize(
    "text", ["", "men", "age_14_0", "age_00_14", "age_60", "age_plus", "age_60_plus\n", "urban_0_4", "Total"]
)
def test_other_group_codes_are_refused(text: str) -> None:
    assert not is_group_code(text)
