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
