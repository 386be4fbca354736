"""A home: the folder in which an embedded region lives. One place for paths, locks and opening stores.

yrd.toml             settings of this home
stores/<code>.sqlite a publisher's event store: the truth
known/<code>.duckdb  what that publisher knows, derived from its store; may be deleted
rejections/<code>.sqlite  dump rows that were not accepted, with reasons
base/                the information base: CURRENT names its one current file; publications.sqlite outlives rebuilds
access/access.sqlite  who asked what of the base, append-only
keys/regional.key    the key that makes pseudonyms
hub.sock             where the process that owns the base answers readers
"""

import fcntl
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import SplitResult, urlsplit

from connectors.home.refused import Refused
from connectors.home.roles import require
from connectors.home.settings import SettingError, Settings, publisher_codes, read_settings, secret
from repository.store.publisher import Publisher, opened_store

LOCK_POLL_S = 0.02


class NoHome(ValueError):
    """The folder is not a home, or is one already; the message says what to run."""


class Busy(RuntimeError):
    """Another process uses what this one needs; the message names it."""


class Home:
    """A folder with its settings. Raises NoHome where it was not made by `create`."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder.resolve()
        if not (self.folder / "yrd.toml").is_file():
            raise NoHome(f"{folder} is no home yet; make it one with `yrd init --home {folder}`.")
        self.settings: Settings = read_settings(self.folder / "yrd.toml")

    @classmethod
    def create(cls, folder: Path, publishers: tuple[str, ...], synthetic: bool) -> "Home":
        """Make a home; its settings file holds what differs from the defaults. Raises NoHome where there is one."""
        publisher_codes("publishers", publishers)
        if (folder / "yrd.toml").exists():
            raise NoHome(f"{folder} is a home already; use it, or name another folder with --home.")
        for name in ("stores", "known", "rejections", "base", "keys", "locks"):
            (folder / name).mkdir(parents=True, exist_ok=True)
        (folder / "keys").chmod(0o700)
        listed = ", ".join(f'"{code}"' for code in publishers)
        (folder / "yrd.toml").write_text(
            f"# Settings of this home; `yrd settings` lists all with their meaning.\n"
            f"publishers = [{listed}]\nsynthetic = {str(synthetic).lower()}\n",
            "utf-8",
        )
        return cls(folder)

    def member(self, code: str) -> str:
        """The publisher code, checked. Raises Refused for one that is no member."""
        if code not in self.settings.publishers:
            raise Refused(f'"{code}" is no publisher of this home; members are {", ".join(self.settings.publishers)}.')
        return code

    # -- opening --

    @contextmanager
    def store(self, code: str, to_read: bool = False, wait_s: int | None = None) -> Iterator[Publisher]:
        """The event store of a publisher, closed at the end. NotPermitted where roles are set up and this is no operator.

        `to_read`: opened for reading alone, which is a matter of who may read the file and of no role. `wait_s`: how long to
        wait for who writes (default: lock_wait_s).
        """
        if not to_read:
            require(self.settings, "publish")
        publisher = opened_store(self.member(code), self._store_environment(code, wait_s))
        try:
            yield publisher
        finally:
            publisher.close()

    @contextmanager
    def stores(self, new_too: bool = False) -> Iterator[list[Publisher]]:
        """The event stores of all members that have one; `new_too`: also empty ones, for who waits for what comes."""
        codes = [c for c in self.settings.publishers if new_too or self.settings.store_url or self.store_file(c).exists()]
        opened: list[Publisher] = []
        try:
            opened += [opened_store(code, self._store_environment(code)) for code in codes]
            yield opened
        finally:
            for publisher in opened:
                publisher.close()

    def store_file(self, code: str) -> Path:
        return self.folder / "stores" / f"{code}.sqlite"

    def _store_environment(self, code: str, wait_s: int | None = None) -> dict[str, str]:
        if not self.settings.store_url:
            # An import holds the store's write lock for as long as it records; other writers wait for it.
            wait = {"SQLITE_LOCK_TIMEOUT": str(self.settings.lock_wait_s if wait_s is None else wait_s)}
            return {"PERSISTENCE_MODULE": "eventsourcing.sqlite", "SQLITE_DBNAME": str(self.store_file(code))} | wait
        url = self._store_address()
        schema = f"yrd_{code}"
        _make_schema(self.settings.store_url, self.store_password, schema)
        return {
            "PERSISTENCE_MODULE": "eventsourcing.postgres",
            "POSTGRES_DBNAME": url.path.lstrip("/"),
            "POSTGRES_HOST": url.hostname or "",
            "POSTGRES_PORT": str(url.port or 5432),
            "POSTGRES_USER": url.username or "",
            "POSTGRES_PASSWORD": self.store_password,
            "POSTGRES_SCHEMA": schema,
        }

    @property
    def store_password(self) -> str:
        """The password of store_url: from the URL, the file that a setting names, or PGPASSWORD. Raises SettingError."""
        in_url = self._store_address().password
        if in_url or not self.settings.store_password_file:
            return in_url or os.environ.get("PGPASSWORD", "")
        return secret("store_password_file", self.settings.store_password_file)

    def _store_address(self) -> SplitResult:
        try:
            return urlsplit(self.settings.store_url)
        except ValueError as error:
            raise SettingError(
                f"The setting store_url is no address ({error}); write postgresql://user@host:port/database."
            ) from error

    # -- locking --

    @contextmanager
    def lock(
        self, name: str, doing: str, instead: Callable[[], bool] = lambda: False, wait_s: float | None = None
    ) -> Iterator[bool]:
        """Hold the lock `name` alone. Yields False, holding nothing, as soon as `instead` is true.

        Raises Busy, naming what holds it, after `wait_s` (default: the setting lock_wait_s).
        """
        path = self.folder / "locks" / f"{name}.lock"
        path.parent.mkdir(exist_ok=True)
        deadline = time.monotonic() + (self.settings.lock_wait_s if wait_s is None else wait_s)
        with path.open("a+") as file:
            while not _try_lock(file.fileno()):
                if instead():
                    yield False
                    return
                if time.monotonic() >= deadline:
                    file.seek(0)
                    raise Busy(
                        f"{doing} has to wait for {file.read().strip() or 'another process'}; end that first or try again later."
                    )
                time.sleep(LOCK_POLL_S)
            file.truncate(0)
            file.write(f"process {os.getpid()} ({doing})")
            file.flush()
            yield True


def _make_schema(url: str, password: str, schema: str) -> None:
    """Make a publisher's schema in PostgreSQL where there is none yet; the library makes tables, and no schema.

    Raises ConnectionError where the server does not let us in.
    """
    import psycopg
    from psycopg.sql import SQL, Identifier

    try:
        connecting = psycopg.connect(url, password=password, autocommit=True)
    except psycopg.OperationalError as error:
        why = " ".join(str(error).split())
        raise ConnectionError(f"The event stores' PostgreSQL does not let us in ({why}); see the setting store_url.") from error
    with connecting as connection:
        there = connection.execute("SELECT 1 FROM pg_namespace WHERE nspname = %s", [schema]).fetchall()
        if not there:
            connection.execute(SQL("CREATE SCHEMA IF NOT EXISTS {}").format(Identifier(schema)))


def _try_lock(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
