"""Waiting for a thing to come true, however busy the machine is."""

import time
from collections.abc import Callable

PATIENCE_S = 180
"""Generous, since it is reached only where something is broken; below a test's own time limit, so that this is what fails."""


def eventually(reached: Callable[[], bool], patience_s: float = PATIENCE_S) -> None:
    """Come back once it is so. Fails where it does not come true within a generous time."""
    deadline = time.monotonic() + patience_s
    while not reached():
        assert time.monotonic() < deadline, "it never came true"
        time.sleep(0.02)
