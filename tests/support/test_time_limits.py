"""A test that hangs is ended and named, whatever it hangs in, and the others are run."""

import os
import re
import subprocess
import sys
from pathlib import Path

from tests.support.project import ROOT

INI = """
[pytest]
timeout = 60
timeout_grace = 1
"""
HANGING = """
import socket, subprocess, threading, time
import duckdb, pytest

# The first row comes at once, so that it is the fetching that hangs: that never looks for signals.
HANG = "SELECT 1 UNION ALL SELECT a.i FROM range(10000000) a(i), range(100000000) b(i) WHERE a.i + b.i < 0"
soon = pytest.mark.timeout(1)

@pytest.fixture
def slow():
    time.sleep(600)

@pytest.fixture
def untidy():
    yield
    duckdb.connect().execute(HANG).fetch_arrow_table()

@soon
def test_lock():
    threading.Semaphore(0).acquire()

@soon
def test_socket():
    one, other = socket.socketpair()
    one.recv(1)

@soon
def test_process():
    subprocess.run(["sleep", "600"])

@soon
def test_set_up(slow):
    pass

def test_between():
    pass

@soon
def test_duckdb():
    duckdb.connect().execute(HANG).fetch_arrow_table()

@soon
def test_tidying_up_after_a_failure(untidy):
    assert False

def test_after():
    pass
"""


def run(folder: Path, *options: str) -> subprocess.CompletedProcess[str]:
    """A test run of its own over the tests that hang, with the project's limits and distribution."""
    (folder / "pytest.ini").write_text(INI, "utf-8")
    (folder / "test_hanging.py").write_text(HANGING, "utf-8")
    plugins = ["-p", "tests.support.time_limits", "-p", "tests.support.distribution", "-p", "no:cacheprovider"]
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")}
    return subprocess.run(
        [sys.executable, "-m", "pytest", "-v", *plugins, *options],
        cwd=folder,
        env=environment | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
        timeout=200,
    )


def test_what_hangs_is_ended_and_named_and_the_rest_is_run(tmp_path: Path) -> None:
    done = run(tmp_path, "-n", "1", "--dist", "loadfile", "--no-loadscope-reorder")
    assert done.returncode == 1, done.stdout + done.stderr
    named = set(re.findall(r"^(?:FAILED|ERROR) test_hanging.py::(\w+)", done.stdout, re.MULTILINE))
    crashed = set(re.findall(r"crashed while running 'test_hanging.py::(\w+)'", done.stdout))
    assert crashed == {"test_duckdb", "test_tidying_up_after_a_failure"}
    assert named | crashed == set(re.findall(r"@soon\ndef (\w+)", HANGING)), done.stdout
    assert set(re.findall(r"PASSED test_hanging.py::(\w+)", done.stdout)) == {"test_between", "test_after"}, done.stdout


def test_without_other_processes_the_run_ends_and_shows_where_it_hung(tmp_path: Path) -> None:
    done = run(tmp_path, "-k", "duckdb or after")
    assert done.returncode == 1 and "PASSED" not in done.stdout
    assert re.search(r'test_hanging.py", line \d+ in test_duckdb', done.stderr), done.stderr
