"""The demonstration over Kafka: a relay per publisher and a following projector, each a process of its own, as in earnest."""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from connectors.base.base import wait_until
from connectors.commands.printing import out
from connectors.home.folder import Home
from connectors.home.refused import Refused
from connectors.hub import owner
from connectors.kafka import topics
from connectors.kafka.relay import tracked

PATIENCE_S = 60


@contextmanager
def running(home: Home) -> Iterator[None]:
    """Topics made, relays and projector following; at the end they are told to stop, and waited for."""
    publishers = home.settings.publishers
    made = topics.prepare(home.settings, publishers).made
    names = [("project", "--follow"), *(("relay", "--publisher", code, "--follow") for code in publishers)]
    processes = [_begun(home, *name) for name in names]
    try:
        if not wait_until(lambda: owner.serving(home), PATIENCE_S):
            raise Refused(f"The following projector did not start within {PATIENCE_S} s; see {home.folder / 'kafka.log'}.")
        out.print(f"Over Kafka: {len(made)} topics, {len(publishers)} relays and a projector that follows.")
        yield
    finally:
        for process in processes:
            process.terminate()
        for process in processes:
            process.wait(PATIENCE_S)


def _begun(home: Home, *arguments: str) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "connectors.command_line", *arguments, "--home", str(home.folder)]
    with (home.folder / "kafka.log").open("ab") as told:
        return subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=told, stderr=told)


def wait_for_relays(home: Home) -> None:
    """Wait until the brokers have acknowledged everything recorded. Raises Refused where it takes long."""
    with home.stores() as stores:
        for store in stores:
            sent = tracked(store, home.settings)
            if not wait_until(lambda sent=sent, store=store: sent.position >= store.newest_position(), PATIENCE_S):  # type: ignore[misc]
                raise Refused(
                    f"The relay of publisher {store.code} did not send everything within {PATIENCE_S} s; "
                    f"see {home.folder / 'kafka.log'}."
                )
