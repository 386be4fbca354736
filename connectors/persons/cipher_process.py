"""A second process for the ciphers of a large import: it encrypts one batch of first events while the first records another.

Python runs one thread at a time and the cipher library gives way for long texts only, so a thread would not help. The process
gets keys and plain fields over a socket pair that has no name, keeps nothing, and ends with the one that started it.
"""

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Sequence
from multiprocessing.connection import Connection, Pipe
from pathlib import Path
from typing import Any, Final

from repository.persons.personal import encrypt_rows

WORTH: Final = 10_000
"""Rows in a batch from which a process of their own is worth starting, which takes some tenths of a second."""
Blobs = list[bytes | None]
Waiting = Callable[[], Blobs]
"""Gives the blobs of a batch, when they are there."""


class CiphersEnded(RuntimeError):
    """The second process is gone, and with it what it was to encrypt."""


class CipherProcess:
    """The second process, seen from the first. Batches are encrypted in the order in which they were started."""

    def __init__(self) -> None:
        self._connection, there = Pipe()
        with there:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "connectors.persons.cipher_process", str(there.fileno())],
                pass_fds=(there.fileno(),), stdin=subprocess.DEVNULL, cwd=Path(__file__).resolve().parents[2],
            )  # fmt: skip
        self._awaited: list[Blobs] | None = None

    def close(self) -> None:
        """End the process, also in the middle of a batch."""
        self._connection.close()
        self._process.kill()
        self._process.wait()

    def start(self, *batch: Any) -> Waiting:
        """Have a batch encrypted: what `encrypt_rows` takes. Raises CiphersEnded, as does the function that it returns."""
        # Whatever was started before is taken in first: nobody reads a batch while its own answer waits to be read.
        self._collect()
        try:
            self._connection.send(batch)
        except OSError as error:
            raise _ended() from error
        answer: list[Blobs] = []
        self._awaited = answer

        def waiting() -> Blobs:
            if not answer:
                self._collect()
            return answer.pop()

        return waiting

    def _collect(self) -> None:
        if self._awaited is not None:
            try:
                self._awaited.append(self._connection.recv())
            except (EOFError, OSError) as error:
                raise _ended() from error
            self._awaited = None


def _ended() -> CiphersEnded:
    return CiphersEnded("The process that encrypts personal fields ended; nothing was recorded, so import the dump again.")


def worth_it(rows: int) -> bool:
    """Whether so many rows are better encrypted by a second process, which needs a processor of its own."""
    allowed = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return rows >= WORTH and allowed > 1


def main(arguments: Sequence[str]) -> None:
    """Encrypt batches until the other side closes."""
    # An interruption at the keyboard goes to both; the first process decides, and its end ends this one.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    with Connection(int(arguments[0])) as parent:
        while True:
            try:
                batch = parent.recv()
            except EOFError:
                return
            parent.send(encrypt_rows(*batch))


if __name__ == "__main__":
    main(sys.argv[1:])
