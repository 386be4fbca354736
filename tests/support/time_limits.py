"""A time limit for every test, its fixtures and its tidying up included, that holds whatever a test hangs in.

Two limits, one behind the other. The alarm of pytest-timeout (`timeout` in pyproject.toml, or the mark of a test that needs longer) ends what
Python can interrupt: a lock, a socket, another process. The test fails with everybody's stacks, and the run goes on. But what runs in C may
never look for signals (a fetch from DuckDB, SQLite waiting for a lock, polars do not), and a test that hangs again while it tidies up has no
alarm any more. GRACE_S later a watchdog that needs no Python ends the process: its stacks stand on standard error, and with xdist
`tests.support.distribution` names the test and goes on in a new process.
"""

import faulthandler
import os
import sys
from collections.abc import Iterator
from typing import Any

import pytest

GRACE = "timeout_grace"
LIMIT_S = pytest.StashKey[float]()
SCREEN = pytest.StashKey[int]()


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addini(
        GRACE, "Seconds between a test's alarm and the end of its process, where the alarm did not end the test.", default="30"
    )


def pytest_configure(config: pytest.Config) -> None:
    assert sys.__stderr__ is not None
    config.stash[SCREEN] = os.dup(sys.__stderr__.fileno())


def pytest_unconfigure(config: pytest.Config) -> None:
    os.close(config.stash[SCREEN])


@pytest.hookimpl(optionalhook=True, wrapper=True)
def pytest_timeout_set_timer(item: pytest.Item, settings: Any) -> Iterator[None]:
    """Set the watchdog with the alarm."""
    item.stash[LIMIT_S] = float(settings.timeout)
    _watch(item)
    return (yield)


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_teardown(item: pytest.Item) -> Iterator[None]:
    """Set it again: a test that failed has neither alarm nor watchdog any more."""
    _watch(item)
    return (yield)


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_protocol() -> Iterator[None]:
    try:
        return (yield)
    finally:
        faulthandler.cancel_dump_traceback_later()


def _watch(item: pytest.Item) -> None:
    """End this process, its stacks shown, where the test is not over by then."""
    limit = item.stash.get(LIMIT_S, 0.0)
    if limit:
        grace = float(item.config.getini(GRACE))
        faulthandler.dump_traceback_later(limit + grace, file=item.config.stash[SCREEN], exit=True)
