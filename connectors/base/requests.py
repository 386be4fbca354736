"""What other threads ask of the one that owns the base: it alone writes, between two batches."""

import queue
import threading
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import suppress
from typing import Any


class BaseClosed(RuntimeError):
    """What was asked of the owner of the base came when it was ending; nothing was done."""


class Requests:
    """Waiting requests; any thread may `ask`, the owning one answers."""

    def __init__(self) -> None:
        self._waiting: queue.Queue[tuple[Callable[[], Any], Future[Any]]] = queue.Queue()
        self._ended = threading.Event()

    def ask(self, work: Callable[[], Any], wait_s: float) -> Any:
        """Have the owning thread run `work` between two batches, and wait for its result."""
        future: Future[Any] = Future()
        self._waiting.put((work, future))
        if self._ended.is_set():
            self.refuse()
        return future.result(timeout=wait_s)

    def refuse(self) -> None:
        """Refuse what other threads ask from now on, and what waits: the owning thread runs nothing any more."""
        self._ended.set()
        with suppress(queue.Empty):
            while True:
                _, future = self._waiting.get_nowait()
                future.set_exception(BaseClosed("The owner of the base is ending; ask again."))

    def answer(self) -> None:
        """Run what other threads have asked for."""
        while not self._waiting.empty():
            work, future = self._waiting.get()
            try:
                future.set_result(work())
            except Exception as error:  # noqa: BLE001 - it is the asker's, who gets it raised
                future.set_exception(error)
