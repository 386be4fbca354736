"""Servers beside the tests: they come back when they answer, say why when they do not, and never outlive the tests."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.processes import Server, ServerFailed, ended, free_ports
from tests.support.project import ROOT

STARTER = """
import os, sys
from pathlib import Path
from tests.support.processes import Server
server = Server(["sleep", "600"], Path(sys.argv[1]), lambda: True, os.environ)
server.start()
print(server.pid, flush=True)
sys.stdin.read()
"""


@pytest.fixture
def sleeper(tmp_path: Path) -> Iterator[Server]:
    server = Server(["sleep", "600"], tmp_path, lambda: True, os.environ)
    yield server
    server.kill()


def test_started_again_it_is_another_process(sleeper: Server) -> None:
    sleeper.start()
    first = sleeper.pid
    sleeper.start()
    assert sleeper.pid == first
    sleeper.stop()
    assert ended(first)
    sleeper.start()
    assert sleeper.pid != first


@pytest.mark.parametrize("end", [Server.stop, Server.kill])
def test_what_is_ended_has_no_process_and_may_be_ended_again(sleeper: Server, end: object) -> None:
    sleeper.start()
    end(sleeper)  # type: ignore[operator]
    end(sleeper)  # type: ignore[operator]
    with pytest.raises(ServerFailed, match="not running"):
        _ = sleeper.pid


def test_one_that_ends_before_it_answers_shows_its_log(tmp_path: Path) -> None:
    server = Server(["sh", "-c", "echo no room left; exit 3"], tmp_path, lambda: False, os.environ)
    with pytest.raises(ServerFailed, match="ended: no room left"):
        server.start()


def test_it_does_not_outlive_the_process_that_started_it(tmp_path: Path) -> None:
    root = ROOT
    command = [sys.executable, "-c", STARTER, str(tmp_path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=root, text=True) as starter:
        assert starter.stdout is not None
        pid = int(starter.stdout.readline())
        assert not ended(pid)
        starter.send_signal(signal.SIGKILL)
    # Its watcher learns of it from the closed pipe; there is nothing to wait on but the process itself.
    subprocess.run(
        ["timeout", "60", "sh", "-c", f"while grep -qs '^State:.[^Z]' /proc/{pid}/status; do sleep 0.05; done"], check=True
    )
    assert ended(pid)


def test_free_ports_are_as_many_as_asked_for_and_below_those_of_outgoing_connections() -> None:
    lowest = int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text("utf-8").split()[0])
    ports = free_ports(4)
    assert len(set(ports)) == 4
    assert max(ports) < lowest
