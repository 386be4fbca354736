"""What all tests share: the servers they ask for, and the line that says what was not tested for want of one."""

import os
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from uuid import uuid4

import pytest
from hypothesis import HealthCheck, settings

from repository.persons.subject_keys import SubjectKeys, create_master
from tests.support.absent import counted, summary
from tests.support.broker import Broker, broker
from tests.support.demonstration import Demonstration
from tests.support.postgres import database as empty_database
from tests.support.postgres import server
from tests.support.registry import Registry
from tests.support.registry import registry as running_registry

# No property fails for want of time: Hypothesis would count 200 ms an example, which a busy machine does not keep.
settings.register_profile("busy machine", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("busy machine")
pytest_plugins = ("tests.support.time_limits", "tests.support.distribution")


@pytest.fixture(scope="session")
def kafka() -> Iterator[Broker]:
    """A running Apache Kafka, one for the test run, since all that need it run in one process; who stops it starts it again."""
    with broker() as running:
        yield running


@pytest.fixture(scope="session")
def registry() -> Iterator[Registry]:
    """A running schema registry, one for the test run like the broker; who stops it starts it again."""
    with running_registry() as running:
        yield running


@pytest.fixture(scope="session")
def run_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that all processes of the test run know."""
    folder = tmp_path_factory.getbasetemp()
    return folder.parent if "PYTEST_XDIST_WORKER" in os.environ else folder


@pytest.fixture(scope="session")
def postgres(run_folder: Path) -> Iterator[str]:
    """The address of a running PostgreSQL, one for the whole test run; what is made there has a name of its own."""
    with server(run_folder) as address:
        yield address


@pytest.fixture(scope="session")
def demonstration(run_folder: Path) -> Demonstration:
    """The demonstration, which ran once for the whole test run."""
    return Demonstration(run_folder)


@pytest.fixture
def database(postgres: str) -> Iterator[str]:
    """The address of an empty PostgreSQL database of the test's own."""
    with empty_database(postgres) as address:
        yield address


@pytest.fixture(params=["sqlite", "postgres"])
def keys(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[SubjectKeys]:
    """An empty store of subjects' keys, in each of the two databases."""
    master = create_master(tmp_path / "master.key")
    if request.param == "sqlite":
        store = SubjectKeys.in_file(tmp_path / "31.sqlite", master)
    else:
        store = SubjectKeys.in_postgres(request.getfixturevalue("postgres"), f"keys_{uuid4().hex[:8]}", master)
    with closing(store):
        yield store


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> Iterator[None]:
    """Say at the very end, behind pytest's own list, what this machine could not test."""
    yield
    skipped = terminalreporter.stats.get("skipped", [])
    counts = counted(str(report.longrepr) for report in skipped)
    if counts:
        terminalreporter.write_line(summary(counts), yellow=True, bold=True)
