"""Servers that the tests run beside themselves: started on loopback, answered for, ended by their process id alone."""

import fcntl
import os
import random
import re
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from tests.support.waiting import PATIENCE_S

PAUSE_S = 0.05


class ServerFailed(RuntimeError):
    """A server ended or did not answer; the message has the end of its log."""


class Server:
    """One process: `command` as given at every start, output appended to `log`. Start, stop, kill and start again at will."""

    def __init__(self, command: Sequence[str], place: Path, answers: Callable[[], bool], environment: Mapping[str, str]) -> None:
        self.command, self.place, self.answers, self.environment = list(command), place, answers, dict(environment)
        self.log = place / "server.log"
        self._process: subprocess.Popen[bytes] | None = None
        self._watcher: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        """Its process id. Raises ServerFailed where it does not run."""
        if self._process is None:
            raise ServerFailed(f"{self.command[0]} is not running; start it first.")
        return self._process.pid

    def start(self) -> None:
        """Run it and come back when it answers; nothing where it runs already. Raises ServerFailed."""
        if self._process is not None:
            return
        with self.log.open("ab") as output:
            self._process = subprocess.Popen(
                self.command, stdin=subprocess.DEVNULL, stdout=output, stderr=output, cwd=self.place, env=self.environment
            )
        self._watcher = _ended_with_us(self._process.pid)
        try:
            self._await_answer()
        except BaseException:
            self.kill()
            raise

    def stop(self) -> None:
        """End it in good order (SIGTERM). Raises ServerFailed where it does not end; it is killed then."""
        if self._process is None:
            return
        self._process.send_signal(signal.SIGTERM)
        try:
            self._process.wait(PATIENCE_S)
        except subprocess.TimeoutExpired:
            self.kill()
            raise ServerFailed(f"{self.command[0]} did not end within {PATIENCE_S} s: {self.log_end()}") from None
        self._forget()

    def kill(self) -> None:
        """End it at once (SIGKILL), as a power cut would."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._forget()

    def log_end(self, lines: int = 15) -> str:
        """The last lines of its log."""
        return "\n".join(self.log.read_text("utf-8", "replace").splitlines()[-lines:])

    def resident_mb(self) -> int:
        """Memory that it occupies now, in MB."""
        found = re.search(r"^VmRSS:\s+(\d+) kB", Path(f"/proc/{self.pid}/status").read_text("utf-8"), re.MULTILINE)
        return int(found[1]) // 1024 if found else 0

    def _await_answer(self) -> None:
        until = time.monotonic() + PATIENCE_S
        while not self.answers():
            ended = self._process is None or self._process.poll() is not None
            if ended or time.monotonic() > until:
                raise ServerFailed(f"{self.command[0]} {'ended' if ended else 'does not answer'}: {self.log_end()}")
            time.sleep(PAUSE_S)

    def _forget(self) -> None:
        self._process = None
        if self._watcher is not None:
            self._watcher.kill()
            self._watcher.communicate()
            self._watcher = None


def _ended_with_us(pid: int) -> subprocess.Popen[bytes]:
    """A shell that kills the server when we are gone, however that came: its input ends with us."""
    return subprocess.Popen(["sh", "-c", "read -r _; kill -9 $0", str(pid)], stdin=subprocess.PIPE, start_new_session=True)


def ended(pid: int) -> bool:
    """Whether a process is gone, or only waits for somebody to ask how it ended."""
    try:
        return Path(f"/proc/{pid}/stat").read_text("utf-8").rpartition(")")[2].split()[0] == "Z"
    except FileNotFoundError:
        return True


def free_ports(count: int) -> list[int]:
    """Ports of the loopback that nobody listens on now, and that no other process of any test run gets while this one lives.

    They lie below those that the system gives to outgoing connections: a stopped server finds its own free again.
    """
    found: set[int] = set()
    draw = random.SystemRandom()
    while len(found) < count:
        port = draw.randrange(20_000, 32_000)
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) != 0 and _claimed(port):
                found.add(port)
    return sorted(found)


def _claimed(port: int) -> bool:
    """Claim a port until this process ends, by locking a file of its number; whether nobody else has."""
    try:
        claim = os.open(Path(tempfile.gettempdir()) / f"yrd-port-{port}", os.O_CREAT | os.O_RDWR, 0o600)
        fcntl.flock(claim, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True
