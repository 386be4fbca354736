"""A private PostgreSQL server from Debian's binaries, for as long as the tests that use it run."""

import os
import pwd
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

from tests.support.absent import absent

SETTING = "YRD_TEST_POSTGRES"
"""Address of a server to use instead: postgresql://user:password@host:port/database."""
FASTER = "-c fsync=off -c full_page_writes=off -c synchronous_commit=off -c shared_buffers=16MB"


def binaries() -> Path | None:
    """The folder of initdb and pg_ctl, which Debian keeps out of PATH."""
    debian = sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)
    on_path = shutil.which("initdb")
    found = [*debian, *([Path(on_path).resolve().parent] if on_path else [])]
    return next((folder for folder in found if (folder / "initdb").exists() and (folder / "pg_ctl").exists()), None)


def environment(address: str) -> dict[str, str]:
    """What the event store needs to know, from a server's address."""
    parts = urlsplit(address)
    return {
        "PERSISTENCE_MODULE": "eventsourcing.postgres",
        "POSTGRES_DBNAME": parts.path.lstrip("/") or "postgres",
        "POSTGRES_HOST": parts.hostname or "127.0.0.1",
        "POSTGRES_PORT": str(parts.port or 5432),
        "POSTGRES_USER": parts.username or "postgres",
        "POSTGRES_PASSWORD": parts.password or "",
    }


@contextmanager
def server() -> Iterator[str]:
    """The address of a running server; skips, visibly, where there is none to be had."""
    if address := os.environ.get(SETTING):
        yield address
        return
    folder = binaries()
    if folder is None:
        absent("POSTGRES", f"install Debian's package postgresql, or name a server in {SETTING}")
    with tempfile.TemporaryDirectory(prefix="yrd-postgres-", ignore_cleanup_errors=True) as place:
        data = Path(place) / "data"
        owner = _unprivileged(Path(place))
        port = _free_port()
        _run(folder / "initdb", "-D", data, "-U", "postgres", "-A", "trust", "-E", "UTF8", "--no-sync", user=owner)
        options = f"{FASTER} -c listen_addresses=127.0.0.1 -c port={port} -c unix_socket_directories={place}"
        _run(folder / "pg_ctl", "-D", data, "-l", f"{place}/log", "-w", "-o", options, "start", user=owner)
        try:
            yield f"postgresql://postgres@127.0.0.1:{port}/postgres"
        finally:
            _run(folder / "pg_ctl", "-D", data, "-m", "immediate", "stop", user=owner)


def _unprivileged(place: Path) -> str | None:
    """The account that the server must run under, as it refuses to be root; None for our own."""
    if os.geteuid() != 0:
        return None
    names = {entry.pw_name for entry in pwd.getpwall()}
    owner = "postgres" if "postgres" in names else "nobody"
    shutil.chown(place, owner)
    return owner


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _run(*command: object, user: str | None) -> None:
    made = subprocess.run(list(map(str, command)), check=False, capture_output=True, text=True, user=user, cwd="/", timeout=60)
    if made.returncode:
        raise RuntimeError(f"{command[0]} failed: {made.stdout}{made.stderr}")
