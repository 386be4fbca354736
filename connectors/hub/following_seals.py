"""What a following hub does for proof besides projecting, and what `yrd status` says of it."""

import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from typing import Any

import duckdb

from connectors.access.sealing import sealable, sealing_status
from connectors.home.folder import Home
from connectors.proof.key_ring import KeyRing
from connectors.proof.sealing import LogAltered, key_file, seal_all_due
from repository.events.identity import LOG
from repository.keys.secret_files import KeyRefused

SEALING_EVERY_S = 1.0
"""How often a following hub looks whether a publisher of its home has a seal due."""
SEAL_COLUMNS = (
    "publisher, seal_no, tree_size, sealed_at, verdict, first_bad_position, expected, found, reason, proved_size, records_after"
)


def proof_status(connection: duckdb.DuckDBPyConnection, home: Home, unlisted: list[str]) -> dict[str, Any]:
    """Seals with what was found of them, topics that are not read, member records that were refused, clocks that disagree."""
    members = KeyRing(home, connection).members
    refused = [] if members is None else members.refused
    return {
        "seals": _rows(connection, f"SELECT {SEAL_COLUMNS} FROM seal_status"),
        "unlisted_topics": unlisted,
        "refused_member_records": [dict(zip(("member", "number", "reason"), row, strict=True)) for row in refused],
        "clock_skew": _rows(connection, "SELECT * FROM clock_skew"),
        "access_log": sealing_status(home),
    }


def _rows(connection: duckdb.DuckDBPyConnection, sql: str) -> list[dict[str, Any]]:
    cursor = connection.execute(sql)
    names = [column[0] for column in cursor.description or ()]
    plain = (tuple(v.isoformat() if isinstance(v, datetime) else v for v in row) for row in cursor.fetchall())
    return [dict(zip(names, row, strict=True)) for row in plain]


@contextmanager
def sealing(home: Home, stop: threading.Event) -> Iterator[None]:
    """Seal what is due of the home's logs that have a key, the access log among them, in a thread of its own.

    Until the caller ends.
    """
    ended = threading.Event()
    failures: list[Exception] = []
    thread = threading.Thread(target=_seal_on, args=(home, ended, stop, failures), name="sealing", daemon=True)
    if any(key_file(home, code).exists() for code in (*home.settings.publishers, LOG)):
        thread.start()
    try:
        yield
    finally:
        ended.set()
        if thread.ident is not None:
            thread.join()
    if failures:
        raise failures[0]


def _seal_on(home: Home, ended: threading.Event, stop: threading.Event, failures: list[Exception]) -> None:
    publishes = any(key_file(home, code).exists() for code in home.settings.publishers)
    with ExitStack() as stack:
        logs = stack.enter_context(home.stores(new_too=True)) if publishes else []
        logs = [*logs, stack.enter_context(sealable(home, LOG))]
        while not ended.wait(SEALING_EVERY_S):
            try:
                seal_all_due(home, logs, datetime.now(UTC))
            except (LogAltered, KeyRefused, ValueError, OSError) as error:
                # An altered store or an unusable key ends the following: it must be seen, and nothing be sealed over it.
                failures.append(error)
                stop.set()
                return
