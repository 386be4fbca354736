"""One server for all processes of a test run: whoever needs it first starts it, and it ends when the last user has left, however that came.

The kernel counts the users: each holds a lock on a file that others may share, and a keeper beside them waits to have it alone.
A user that is killed leaves like any other.
"""

import fcntl
import subprocess
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Started:
    """A server that outlives the process that started it: its address, and the command that ends it and removes what it left."""

    address: str
    end: Sequence[str]


@contextmanager
def shared(folder: Path, name: str, start: Callable[[], Started]) -> Iterator[str]:
    """The address of the one server of that name in a folder that all who share it know; started where nobody uses it yet."""
    address, users = folder / f"{name}.address", folder / f"{name}.users"
    with users.open("a") as using:
        with (folder / f"{name}.lock").open("a") as joining:
            fcntl.flock(joining, fcntl.LOCK_EX)
            # While its keeper ends it, this waits; then there is no address any more.
            fcntl.flock(using, fcntl.LOCK_SH)
            if not address.exists():
                started = start()
                _keep(address, users, started.end)
                address.write_text(started.address, "utf-8")
        yield address.read_text("utf-8")


def _keep(address: Path, users: Path, end: Sequence[str]) -> None:
    """A process of its own that ends the server once nobody has the users' file locked, whatever became of us."""
    end_it = 'rm -f "$0"; exec "$@"'
    keeper = ["setsid", "flock", "--exclusive", str(users), "sh", "-c", end_it, str(address), *end]
    subprocess.run(["sh", "-c", '"$0" "$@" </dev/null >/dev/null 2>&1 &', *keeper], check=True)
