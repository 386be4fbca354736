"""A private PostgreSQL server from Debian's binaries, one for all processes of a test run."""

import os
import pwd
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit
from uuid import uuid4

import psycopg

from tests.support.absent import absent
from tests.support.processes import free_ports
from tests.support.shared import Started, shared
from tests.support.waiting import PATIENCE_S

SETTING = "YRD_TEST_POSTGRES"
"""Address of a server to use instead: postgresql://user:password@host:port/database."""
FASTER = "-c fsync=off -c full_page_writes=off -c synchronous_commit=off -c shared_buffers=16MB"
END = 'kill -QUIT "$0"; for n in $(seq 300); do kill -0 "$0" || break; sleep 0.1; done; rm -rf "$1"'
"""How it is ended: at once, by its process id, and then its folder goes."""


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
def server(folder: Path) -> Iterator[str]:
    """The address of the server of a test run, whose processes share `folder`; skips, visibly, where there is none to be had."""
    if address := os.environ.get(SETTING):
        yield address
        return
    with shared(folder, "postgres", _started) as address:
        yield address


@contextmanager
def database(address: str) -> Iterator[str]:
    """The address of an empty database of its own on a server."""
    name = f"test_{uuid4().hex}"
    with psycopg.connect(address, autocommit=True) as connection:
        connection.execute(f'CREATE DATABASE "{name}"'.encode())
    yield urlsplit(address)._replace(path=f"/{name}").geturl()
    with psycopg.connect(address, autocommit=True) as connection:
        connection.execute(f'DROP DATABASE "{name}" WITH (FORCE)'.encode())


def _started() -> Started:
    folder = binaries()
    if folder is None:
        absent("POSTGRES", f"install Debian's package postgresql, or name a server in {SETTING}")
    place = Path(tempfile.mkdtemp(prefix="yrd-postgres-"))
    data, (port,) = place / "data", free_ports(1)
    owner = _unprivileged(place)
    _run(folder / "initdb", "-D", data, "-U", "postgres", "-A", "trust", "-E", "UTF8", "--no-sync", user=owner)
    options = f"{FASTER} -c listen_addresses=127.0.0.1 -c port={port} -c unix_socket_directories={place}"
    _run(folder / "pg_ctl", "-D", data, "-l", f"{place}/log", "-w", "-o", options, "start", user=owner)
    pid = (data / "postmaster.pid").read_text("utf-8").split()[0]
    return Started(f"postgresql://postgres@127.0.0.1:{port}/postgres", ["sh", "-c", END, pid, str(place)])


def _unprivileged(place: Path) -> str | None:
    """The account that the server must run under, as it refuses to be root; None for our own."""
    if os.geteuid() != 0:
        return None
    names = {entry.pw_name for entry in pwd.getpwall()}
    owner = "postgres" if "postgres" in names else "nobody"
    shutil.chown(place, owner)
    return owner


def _run(*command: object, user: str | None) -> None:
    made = subprocess.run(
        list(map(str, command)), check=False, capture_output=True, text=True, user=user, cwd="/", timeout=PATIENCE_S
    )
    if made.returncode:
        raise RuntimeError(f"{command[0]} failed: {made.stdout}{made.stderr}")
