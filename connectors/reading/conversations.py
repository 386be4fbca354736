"""The conversations at a unix socket: one thread each, so many at once, and all of them ended when the socket closes.

What is said in a conversation is not known here; see `connectors/reading/server.py`.
"""

import select
import shutil
import socket
import stat
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO

from connectors.access.refused import ReadRefused
from connectors.reading.query import socket_address

ACCEPT_S = 0.1  # how long closing may go unnoticed while nobody connects
CLOSE_S = 2.0  # how long readers are given to take the end of their answer before the connection is cut
Converse = Callable[[socket.socket, BinaryIO], None]


class SocketTaken(RuntimeError):  # noqa: N818 - names the state of the file
    """The path of the socket is in use; the message is one sentence."""


class Conversations:
    """Has `converse` answer everybody who connects to the socket `path`, at most `most` at once, each in its thread.

    `converse` is given the link and where to write; it may wait `idle_s` seconds for the other side. The socket is for the
    owner of the file only (mode 0600), or for a `group` too.
    """

    def __init__(self, path: Path, converse: Converse, most: int, idle_s: float, group: str = "") -> None:
        self._path, self._converse, self._idle_s, self._group = path, converse, idle_s, group
        self._room = threading.BoundedSemaphore(most)
        self._closing = threading.Event()
        self._links: dict[threading.Thread, socket.socket] = {}
        self._links_lock = threading.Lock()
        self._listener: socket.socket | None = None
        self._inode = 0
        self._acceptor = threading.Thread(target=self._accept, name="read-acceptor", daemon=True)

    def start(self) -> None:
        """Listen, and converse from threads of their own; raises `SocketTaken` when no socket can be made at the path."""
        self._listener = _listening(self._path, self._group)
        self._inode = self._path.stat().st_ino
        self._acceptor.start()

    def close(self) -> None:
        """Take nobody on any more, remove the socket, and end all conversations; does nothing when not started."""
        if self._listener is None:
            return
        self._closing.set()
        self._acceptor.join()
        self._listener.close()
        self._listener = None
        with suppress(FileNotFoundError):
            if self._path.stat().st_ino == self._inode:
                self._path.unlink()
        self._end_all()

    def ending(self, link: socket.socket) -> Callable[[], str | None]:
        """Tells, when called, why what is done for a link has lost its purpose: it was hung up, or the socket closes."""
        poll = select.poll()
        poll.register(link, 0)  # a hang-up is reported without being asked for

        def why() -> str | None:
            if self._closing.is_set():
                return "The server is closing; ask again when it is back."
            return "The reader hung up." if poll.poll(0) else None

        return why

    # -- accepting --

    def _accept(self) -> None:
        listener = self._listener
        while listener is not None and not self._closing.is_set():
            # Beyond the limit nobody is accepted, and the operating system keeps the queue.
            if self._room.acquire(timeout=ACCEPT_S) and not self._admit(listener):
                self._room.release()

    def _admit(self, listener: socket.socket) -> bool:
        try:
            link, _ = listener.accept()
        except (TimeoutError, ConnectionAbortedError):
            return False
        link.settimeout(self._idle_s)
        thread = threading.Thread(target=self._run, args=(link,), name="read-conversation", daemon=True)
        with self._links_lock:
            self._links[thread] = link
        thread.start()
        return True

    def _run(self, link: socket.socket) -> None:
        try:
            # A reader that hangs up, or does not take its answer in time, has nobody else to tell.
            with link, suppress(OSError), link.makefile("wb") as file:
                self._converse(link, file)
        finally:
            with self._links_lock:
                del self._links[threading.current_thread()]
            self._room.release()

    # -- ending --

    def _end_all(self) -> None:
        end = time.monotonic() + CLOSE_S
        for thread in self._threads():
            thread.join(max(0.0, end - time.monotonic()))
        with self._links_lock:
            for link in self._links.values():
                with suppress(OSError):  # the reader has hung up already
                    link.shutdown(socket.SHUT_RDWR)
        for thread in self._threads():
            thread.join()

    def _threads(self) -> list[threading.Thread]:
        with self._links_lock:
            return list(self._links)


# -- the socket's file ---------------------------------------------------------------------------------------------


def _listening(path: Path, group: str) -> socket.socket:
    _clear(path)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        with socket_address(path) as address:
            listener.bind(address)
        # Before listening, so nobody ever connects with the wider mode that bind gave it.
        path.chmod(0o600)
        if group:
            shutil.chown(path, group=group)
            path.chmod(0o660)
        listener.listen(socket.SOMAXCONN)
        listener.settimeout(ACCEPT_S)
    except (OSError, LookupError, ReadRefused) as error:
        listener.close()
        raise SocketTaken(f"No socket can be made at {path} ({error}); check the folder.") from error
    return listener


def _clear(path: Path) -> None:
    """Remove the socket that a dead process left; refuse to touch anything else."""
    try:
        mode = path.lstat().st_mode
    except OSError:
        return
    if not stat.S_ISSOCK(mode):
        raise SocketTaken(f"{path} is not a socket; move it away or choose another path.")
    if _answers(path):
        raise SocketTaken(f"Another server listens at {path}; stop it first.")
    path.unlink(missing_ok=True)


def _answers(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe, socket_address(path) as address:
        probe.settimeout(ACCEPT_S)
        try:
            probe.connect(address)
        except (ConnectionRefusedError, FileNotFoundError):
            return False
        except OSError:  # alive, with a full queue or another owner
            return True
        return True
