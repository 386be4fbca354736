"""The two suites: what `make test` tries a few times, `make test-long` tries many times with the same code."""

import pytest


def few_and_many(name: str, few: int, many: int, limit_s: int = 900) -> pytest.MarkDecorator:
    """Give a test its parameter `name` twice: `few` in the quick suite, `many`, at most `limit_s` seconds, in the long one."""
    return pytest.mark.parametrize(
        name,
        [
            pytest.param(few, id=f"few-{few}"),
            pytest.param(many, id=f"many-{many}", marks=[pytest.mark.long, pytest.mark.timeout(limit_s)]),
        ],
    )


def many_times(name: str, number: int, limit_s: int = 900) -> pytest.MarkDecorator:
    """Give a test its parameter `name` once, in the long suite: what kills or cuts says little when it is tried twice."""
    marks = [pytest.mark.long, pytest.mark.timeout(limit_s)]
    return pytest.mark.parametrize(name, [pytest.param(number, id=str(number), marks=marks)])
