"""The access log: every query, export and audit command, recorded before anything is given and again when it has ended.

access/access.sqlite is an event store like a publisher's (`repository.access.records` has its records), written by the process
that answers. Triggers refuse to change or delete a record; what a purge may do is in `access_reading.py`, seals are in
`access_sealing.py`. What cannot be recorded is not answered, and nothing is given over a log that was altered.
"""

import os
import socket
import sqlite3
import struct
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import uuid4

import duckdb
from eventsourcing.persistence import PersistenceError

from connectors.access.refused import ReadRefused
from connectors.home.folder import Home
from connectors.home.roles import NotPermitted, account_name, require, role_of
from connectors.home.settings import SettingError
from connectors.proof.sealing import LogAltered, seal_all_due
from projections.audit_tables import entities_of
from projections.statements import Words, known_columns, masked, named, words_of
from repository.access.access_store import AccessStore
from repository.access.records import ANSWERED, BROKEN_OFF, KIND, REFUSED, Asking, Caller, asked, ended
from repository.keys.secret_files import KeyRefused
from repository.store.publisher import stored_row

TRIGGERS = Path(__file__).with_name("append_only.sql")
LOCK_WAIT_S = 10
RECORDED = ("audit_", "access_", "subject_")
"""How the names of operations begin that are recorded besides queries."""
Cursor = Callable[[], duckdb.DuckDBPyConnection]


class Unrecorded(ReadRefused):
    """The access log can't be written, so nothing is given; the message says why."""


@dataclass(slots=True)
class Access:
    """One access under way: who asks, what was handed over so far, and whether that is all of it."""

    caller: Caller | None = None
    rows: int | None = None
    whole: bool = False
    columns: Sequence[str] = field(default_factory=tuple)

    def sent(self, rows: int) -> None:
        """Count rows that were handed over."""
        self.rows = (self.rows or 0) + rows

    def answered(self, rows: int | None = None, columns: Sequence[str] = ()) -> None:
        """All was given: `rows` rows with these columns, where they were not counted before."""
        self.whole, self.columns = True, [*self.columns, *columns]
        if rows is not None:
            self.rows = rows


class AccessLog:
    """The access log of a home, for one process that answers. Its store is opened when there is something to record."""

    def __init__(self, home: Home, cursor: Cursor | None = None) -> None:
        self.home = home
        self._cursor = cursor
        self._store: AccessStore | None = None
        self._altered: str | None = None
        self._words: Words | None = None
        self._parser: duckdb.DuckDBPyConnection | None = None
        self._opening = threading.Lock()

    def close(self) -> None:
        if self._store is not None:
            self._store.close()
            self._store = None

    @contextmanager
    def asked(self, uid: int, request: Mapping[str, Any]) -> Iterator[Access]:
        """Admit and record one request of the account `uid` around the answer that is given inside.

        `request` is what the conversation at the socket carries: op (of an export its name), and purpose, sql, entity.
        Raises ReadRefused where the account may not, where a purpose is required and missing, and where the log can't be
        written; whatever is raised inside is recorded as refused, or as broken off once rows were sent.
        """
        name = str(request["name"] if request["op"] == "export" else request["op"])
        access = Access()
        if not _is_recorded(name):
            self._admit(account_name(uid), name)
            yield access
            return
        caller, key = self._caller(uid, request.get("purpose")), _key()
        asking = self._asking(name, request)
        self._append(asked(key, caller, asking, datetime.now(UTC)))
        try:
            self._admit(caller.account, name)
            self._check_purpose(caller)
            self._refuse_altered(name)
            access.caller = caller
            yield access
        finally:
            self._end(key, caller, asking, access)

    def _end(self, key: str, caller: Caller, asking: Asking, access: Access) -> None:
        words = self._known_words()
        asking.columns = [*asking.columns, *known_columns(access.columns, words)]
        outcome = ANSWERED if access.whole else BROKEN_OFF if access.rows is not None else REFUSED
        self._append(ended(key, caller, asking, outcome, access.rows, datetime.now(UTC)))

    def _admit(self, account: str, name: str) -> None:
        try:
            require(self.home.settings, name, account)
        except (NotPermitted, SettingError) as refusal:
            raise ReadRefused(str(refusal)) from refusal

    def _check_purpose(self, caller: Caller) -> None:
        if self.home.settings.purpose_required and not (caller.purpose or "").strip():
            raise ReadRefused("This home requires a purpose; state the duty or the number of the case with --purpose.")

    def _refuse_altered(self, name: str) -> None:
        # Looking into the log goes on: how else would anybody find what is wrong with it.
        if self._altered is not None and not name.startswith("access_"):
            raise Unrecorded(f"Nothing is given over an access log that was altered. {self._altered}")

    def _caller(self, uid: int, purpose: object) -> Caller:
        account, role = account_name(uid), None
        # Settings that contradict each other are told when the request is admitted; who asked is recorded all the same.
        with suppress(SettingError):
            role = role_of(self.home.settings, account)
        return Caller(account, uid, role, None if purpose is None else str(purpose))

    # -- what is asked --

    def _asking(self, name: str, request: Mapping[str, Any]) -> Asking:
        sql = request.get("sql")
        if not isinstance(sql, str):
            entity = request.get("entity")
            return Asking(name, entities=self._entities(entity) if isinstance(entity, str) else ())
        words = self._known_words()
        with self._opening:
            self._parser = self._parser or duckdb.connect()
        with self._parser.cursor() as parser:
            tables, columns = named(parser, sql, words)
        return Asking(name, masked(sql, words), tables, columns)

    def _entities(self, entity: str) -> list[str]:
        """Which entities a key means: the identity is recorded, and not the key, which of a person is the pseudonym."""
        part = entities_of(entity)
        try:
            with self._cursor() if self._cursor else duckdb.connect() as cursor:
                return [str(found) for (found,) in cursor.execute(part.sql, part.parameters).fetchall()]
        except duckdb.Error:
            return []

    def _known_words(self) -> Words:
        if self._words is None:
            try:
                with self._cursor() if self._cursor else duckdb.connect() as cursor:
                    self._words = words_of(cursor)
            except duckdb.Error:
                # Whatever is wrong with the base, that somebody asked is recorded; of its names only the contracts' are known.
                return words_of(None)
        return self._words

    # -- the store --

    def store(self) -> AccessStore:
        """The event store of the log, made where there is none yet, and sealed where that is due. Raises Unrecorded."""
        with self._opening:
            if self._store is None:
                try:
                    self._store = open_store(self.home)
                    seal_all_due(self.home, [self._store], datetime.now(UTC))
                except LogAltered as error:
                    self._altered = str(error)
                except (OSError, sqlite3.Error, PersistenceError, KeyRefused) as error:
                    raise _unrecorded(error) from error
            assert self._store is not None
            return self._store

    def _append(self, record: dict[str, Any]) -> None:
        store = self.store()
        try:
            with store.bulk() as append:
                append([stored_row(KIND, record)])
        except (OSError, sqlite3.Error, PersistenceError) as error:
            raise _unrecorded(error) from error


def store_file(home: Home) -> Path:
    """Where the log's event store lies."""
    return home.folder / "access" / "access.sqlite"


def open_store(home: Home) -> AccessStore:
    """The log's event store, with the triggers that keep it append-only."""
    file = store_file(home)
    file.parent.mkdir(mode=0o700, exist_ok=True)
    environment = {"PERSISTENCE_MODULE": "eventsourcing.sqlite", "SQLITE_DBNAME": str(file)}
    store = AccessStore(environment | {"SQLITE_LOCK_TIMEOUT": str(LOCK_WAIT_S)})
    file.chmod(0o600)
    with sqlite3.connect(file, timeout=LOCK_WAIT_S) as connection:
        connection.executescript(TRIGGERS.read_text("utf-8"))
    connection.close()
    return store


@contextmanager
def opened(home: Home, cursor: Cursor | None = None) -> Iterator[AccessLog]:
    """The access log for the time of one command."""
    log = AccessLog(home, cursor)
    try:
        yield log
    finally:
        log.close()


def peer(link: socket.socket) -> int:
    """The account (uid) of the process at the other end of a Unix socket, as the operating system knows it.

    Where it does not tell, only the owner of the socket could have connected, by the socket's mode.
    """
    if not hasattr(socket, "SO_PEERCRED"):
        return os.getuid()
    credentials = struct.Struct("3i")
    _, uid, _ = credentials.unpack(link.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, credentials.size))
    return int(uid)


def _is_recorded(name: str) -> bool:
    return name == "query" or name.startswith(RECORDED)


def _key() -> str:
    return f"{datetime.now(UTC):%Y-%m-%d}|{uuid4()}"


def _unrecorded(error: BaseException) -> Unrecorded:
    said = " ".join(str(error).split())
    return Unrecorded(f"The access log can't be written ({said}), and nothing is given without it; make room, or ask its owner.")
