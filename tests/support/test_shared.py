"""A server shared by the processes of a run: started once, there for as long as anybody uses it, gone after the last, however that left."""

import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from tests.support.processes import ended
from tests.support.project import ROOT
from tests.support.waiting import eventually

USER = """
import subprocess, sys
from pathlib import Path
from tests.support.shared import Started, shared

def start():
    made = subprocess.run(["sh", "-c", "sleep 600 >/dev/null 2>&1 & echo $!"], capture_output=True, text=True).stdout.strip()
    return Started(made, ["sh", "-c", "kill -9 " + made])

with shared(Path(sys.argv[1]), "sleeper", start) as address:
    print(address, flush=True)
    sys.stdin.read()
"""


@contextmanager
def user(folder: Path) -> Iterator[tuple[subprocess.Popen[str], int]]:
    """A process that uses the server until its input ends, and the server's process id."""
    command = [sys.executable, "-c", USER, str(folder)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=ROOT, text=True) as process:
        assert process.stdout is not None
        yield process, int(process.stdout.readline())


def test_all_users_have_the_same_server_until_the_last_has_left(tmp_path: Path) -> None:
    with ExitStack() as stack:
        _, first = stack.enter_context(user(tmp_path))
        with user(tmp_path) as (_, second):
            assert first == second
        assert not ended(first)
    eventually(lambda: ended(first))


def test_users_that_are_killed_leave_too(tmp_path: Path) -> None:
    with user(tmp_path) as (one, server), user(tmp_path) as (other, _):
        one.send_signal(signal.SIGKILL)
        one.wait()
        assert not ended(server)
        other.send_signal(signal.SIGKILL)
        other.wait()
        eventually(lambda: ended(server))


def test_after_the_last_the_next_starts_another(tmp_path: Path) -> None:
    with user(tmp_path) as (_, first):
        pass
    with user(tmp_path) as (_, second):
        assert ended(first) and not ended(second) and first != second
