"""What the tests need and a machine may lack: Apache Kafka, PostgreSQL, a schema registry. Skipped, never silently."""

import os
from collections import Counter
from collections.abc import Iterable
from typing import NoReturn

import pytest

NAMES = {"KAFKA": "Apache Kafka", "POSTGRES": "PostgreSQL", "REGISTRY": "a schema registry"}
MARK = "not at hand: "


def absent(what: str, reason: str) -> NoReturn:
    """Skip what needs a thing of NAMES that cannot be had; with YRD_REQUIRE_<what>=1 it fails instead.

    `reason` is one line that names every way to provide the thing.
    """
    line = f"{NAMES[what]} {MARK}{reason}"
    if os.environ.get(f"YRD_REQUIRE_{what}") == "1":
        pytest.fail(f"{line} (YRD_REQUIRE_{what}=1)", pytrace=False)
    pytest.skip(line)


def counted(reasons: Iterable[str]) -> dict[str, int]:
    """How many of these reasons for skipping are the want of each thing of NAMES."""
    found = Counter(name for reason in reasons for name in NAMES.values() if f"{name} {MARK}" in reason)
    return dict(sorted(found.items()))


def summary(counts: dict[str, int]) -> str:
    """One line that nobody overlooks."""
    parts = ", ".join(f"{n} for want of {name}" for name, n in counts.items())
    return (
        f"NOT TESTED HERE: {parts}. The reasons above say how to provide it; YRD_REQUIRE_<KAFKA|POSTGRES|REGISTRY>=1 forbids it."
    )
