"""The hub's verbs: ask the owner of the base, whoever that is, look into the access log, rebuild, and follow the log."""

import signal
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any

import pyarrow as pa

from connectors.base.base import opened
from connectors.base.files import BaseDamaged, Progress, Rebuilt, replace_damaged
from connectors.base.pulse import Pulse, Tell
from connectors.home.folder import Home
from connectors.home.roles import require
from connectors.hub import metrics
from connectors.hub.base_operations import Result
from connectors.hub.following_seals import sealing
from connectors.hub.owner import BASE_LOCK, Remote, owner, owning
from connectors.logs.opened import opened_log
from connectors.reading.exports import Positions, Take


def read(home: Home, sql: str, parameters: Sequence[object] = (), purpose: str | None = None, granted: bool = False) -> pa.Table:
    """The result of one SELECT on the base; see `Owner.read`. Raises ReadRefused with a sentence; never a lock error."""
    with owner(home, "a query") as asked:
        return asked.read(sql, parameters, purpose, granted)


def export(home: Home, name: str, take: Take, purpose: str | None = None, **arguments: Any) -> Positions:
    """Hand the tables of an export (see PARTS) to `take`, all of one commit; where the base stands. Raises ReadRefused."""
    with owner(home, name) as asked:
        return asked.export(name, take, purpose, **arguments)


def perform(home: Home, operation: str, purpose: str | None = None, **arguments: Any) -> Result:
    """An operation on the base (see BASE_OPERATIONS), by the process that owns it."""
    with owner(home, operation, serves=True) as asked:
        return asked.perform(operation, purpose, **arguments)


def look(home: Home, operation: str, purpose: str | None = None, **arguments: Any) -> Result:
    """An operation on the access log (see ACCESS_OPERATIONS), by the owner of the base or, where there is none, here.

    For that the base is not opened: the log can be looked into where the base can't be used.
    """
    return Remote(home, operation).look(operation, purpose, **arguments)


def rebuild(home: Home, accept: bool, progress: Progress) -> Rebuilt:
    """Rebuild the base from the log, by its owner; also where its file can't be opened."""
    require(home.settings, "rebuild")
    with suppress(BaseDamaged), owner(home, "rebuilding", serves=True) as asked:
        return asked.rebuild(accept, progress)
    with home.lock(BASE_LOCK, "rebuilding"), opened_log(home) as log:
        return replace_damaged(home, log, progress)


def follow(home: Home, started: Callable[[], None], stop: threading.Event, tell: Tell = lambda _sentence: None) -> None:
    """Own the base and apply what comes until `stop`. Raises Busy at once when another process owns it.

    `tell` is given a sentence when something is in the way, such as brokers that don't answer, and when it no longer is.
    """
    require(home.settings, "project")
    pulse = Pulse(tell, home.settings.stalled_after_s)
    with home.lock(BASE_LOCK, "yrd project --follow", wait_s=1), opened_log(home, new_too=True) as log, opened(home) as base:
        base.pulse = pulse
        if not base.await_log(log, stop, pulse):
            return
        measured = metrics.served(home.settings, lambda: metrics.of_projector(pulse))
        with owning(home, base, log, foreseen=True) as ours, ours.served(), measured, sealing(home, stop):
            started()
            base.follow(log, stop, pulse)


def stopping_at_signals() -> threading.Event:
    """An event that SIGINT and SIGTERM set."""
    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda _number, _frame: stop.set())
    return stop
