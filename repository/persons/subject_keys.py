"""The key store of one publisher: a key per subject, wrapped under the publisher's master key. It is the publisher's own, in a
SQLite file or a PostgreSQL database, and never in a log.

    subject_keys      key id, subject, first event version it may serve, wrapped key (NULL: destroyed)
    key_blocks        the same for many subjects of one dump in a row, encrypted together (`repository/persons/key_blocks.py`)
    personal_digests  per event, keyed digests of what sources stated of its personal fields, to recognise an unchanged row
    digest_blocks     the same for many events in a row
    noted             how far the log's erasures were carried out here, and a check of the master key

A key is wrapped with AES-256-GCM (NIST SP 800-38D) under the master key; key id and subject are its associated data. Destroying a
key leaves its row, so that the event says which key is gone. Digests are keyed too and go with the key.
"""

import secrets
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from hashlib import blake2b
from hmac import compare_digest, digest
from pathlib import Path
from typing import Any, Final, Self
from uuid import UUID

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from repository.keys.secret_files import KeyUnreadable, create_secret, load_secret, refuse_exposed
from repository.persons.key_blocks import (
    BLOCK,
    NAME_BYTES,
    SUBJECT_BYTES,
    KeyBlock,
    decrypted,
    digest_blocks,
    entries_without,
    new_blocks,
    place_of,
)
from repository.persons.personal import KEY_BYTES, KEY_ID_BYTES, NONCE_BYTES, SubjectKey

MASTER_HEADER: Final = "yrd master key 1"
MASTER_WAY_OUT: Final = "restore it from its safe copy; without it no personal field of this publisher can be opened"
DIGEST_BYTES: Final = 16
ENTRY_BYTES: Final = 3 * DIGEST_BYTES
"""Subject, event and digest: what is kept to recognise what an event says."""
LOCK_WAIT_S: Final = 60
CACHE_KIB: Final = 65_536
ASKED_AT_ONCE: Final = 500
TABLES: Final = (
    # One tree per table, in the order of subjects: every further index would be as dear as the encryption itself.
    "CREATE TABLE IF NOT EXISTS subject_keys (subject {bytes} NOT NULL, key_id {bytes} NOT NULL, since_version INTEGER NOT NULL, "
    "wrapped {bytes}, PRIMARY KEY (subject, key_id)){clustered}",
    "CREATE TABLE IF NOT EXISTS personal_digests (subject {bytes} NOT NULL, event_id {bytes} NOT NULL, digest {bytes} NOT NULL, "
    "PRIMARY KEY (subject, event_id, digest)){clustered}",
    "CREATE TABLE IF NOT EXISTS key_blocks (name {bytes} PRIMARY KEY, first_subject {bytes} NOT NULL, "
    "last_subject {bytes} NOT NULL, since_version INTEGER NOT NULL, subjects {bytes} NOT NULL, sealed {bytes} NOT NULL)",
    "CREATE INDEX IF NOT EXISTS key_blocks_span ON key_blocks (first_subject, last_subject)",
    "CREATE TABLE IF NOT EXISTS digest_blocks (name {bytes} PRIMARY KEY, first_subject {bytes} NOT NULL, "
    "last_subject {bytes} NOT NULL, entries {bytes} NOT NULL)",
    "CREATE INDEX IF NOT EXISTS digest_blocks_span ON digest_blocks (first_subject, last_subject)",
    "CREATE TABLE IF NOT EXISTS noted (name TEXT PRIMARY KEY, value {bytes} NOT NULL)",
)
StoredRow = Sequence[Any]


@dataclass(frozen=True, slots=True)
class MasterKey:
    """The secret that wraps all keys of one publisher; never printed."""

    secret: bytes = field(repr=False)

    def part(self, purpose: bytes) -> bytes:
        """A key for one purpose: HKDF-Expand (RFC 5869) with SHA-256."""
        return digest(self.secret, b"yrd " + purpose + b"\x01", "sha256")


def create_master(path: Path) -> MasterKey:
    """A new master key in the file `path` (mode 0600). Raises KeyExists."""
    return MasterKey(create_secret(path, MASTER_HEADER, "master key"))


def load_master(path: Path) -> MasterKey:
    """The master key in the file `path`. Raises KeyExposed or KeyUnreadable."""
    return MasterKey(load_secret(path, MASTER_HEADER, "master key", MASTER_WAY_OUT))


class SubjectKeys:
    """The opened key store. Every method is one transaction; what it made is durable when it returns."""

    def __init__(self, connection: Any, master: MasterKey, where: str) -> None:
        self._connection = connection
        self._sqlite = isinstance(connection, sqlite3.Connection)
        self._wrapping = AESGCM(master.part(b"subject key wrapping"))
        self._block_cipher = AESGCM(master.part(b"subject key blocks"))
        self._digesting = master.part(b"personal digest")
        for statement in TABLES:
            words = ("BLOB", " WITHOUT ROWID") if self._sqlite else ("BYTEA", "")
            self._run(statement.format(bytes=words[0], clustered=words[1]))
        self._check_master(master, where)

    @classmethod
    def in_file(cls, path: Path, master: MasterKey) -> Self:
        """The key store in a SQLite file, made where there is none (mode 0600). Raises KeyExposed, KeyUnreadable."""
        if path.exists():
            refuse_exposed(path, path.stat().st_mode)
        else:
            path.touch(mode=0o600)
        connection = sqlite3.connect(path, timeout=LOCK_WAIT_S, isolation_level=None, check_same_thread=False)
        # A destroyed key is overwritten in the file, not only taken off its lists; the journal goes with the transaction.
        connection.execute("PRAGMA secure_delete = ON")
        connection.execute("PRAGMA journal_mode = DELETE")
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute(f"PRAGMA cache_size = -{CACHE_KIB}")
        return cls(connection, master, str(path))

    @classmethod
    def in_postgres(cls, url: str, schema: str, master: MasterKey) -> Self:
        """The key store in a PostgreSQL schema of its own."""
        import psycopg

        connection = psycopg.connect(url, autocommit=True)
        connection.execute(f'CREATE SCHEMA IF NOT EXISTS "{schema}"'.encode())
        connection.execute(f'SET search_path TO "{schema}"'.encode())
        return cls(connection, master, f"schema {schema}")

    def close(self) -> None:
        self._connection.close()

    # -- keys --

    def live(self, subjects: Iterable[UUID]) -> dict[UUID, SubjectKey]:
        """Subject -> its key, for those that have one that was not destroyed."""
        asked = [subject.bytes for subject in subjects]
        found = self._live_alone(asked)
        for subject in asked:
            for block in () if subject in found else self._blocks_of(subject):
                key = block.key(subject)
                found |= {} if key is None else {subject: key}
        return {UUID(bytes=subject): key for subject, key in found.items()}

    def _live_alone(self, subjects: Sequence[bytes]) -> dict[bytes, SubjectKey]:
        """The keys of subjects that have a row of their own."""
        found: dict[bytes, SubjectKey] = {}
        if not self._run("SELECT 1 FROM subject_keys LIMIT 1"):
            return found
        for start in range(0, len(subjects), ASKED_AT_ONCE):
            part = subjects[start : start + ASKED_AT_ONCE]
            marks = ", ".join("?" * len(part))
            sql = f"SELECT subject, key_id, wrapped FROM subject_keys WHERE wrapped IS NOT NULL AND subject IN ({marks})"
            for subject, key, wrapped in self._run(sql, part):
                found[bytes(subject)] = self._unwrapped(key, subject, wrapped)
        return found

    def by_id(self, subject: UUID, key_id: bytes) -> SubjectKey | None:
        """One of a subject's keys; None where it was destroyed or never was here."""
        rows = self._run(
            "SELECT wrapped FROM subject_keys WHERE subject = ? AND key_id = ? AND wrapped IS NOT NULL", [subject.bytes, key_id]
        )
        if rows:
            return self._unwrapped(key_id, subject.bytes, rows[0][0])
        block = self._block(key_id[:NAME_BYTES])
        key = None if block is None else block.key(subject.bytes)
        return key if key is not None and key.id == key_id else None

    def all(self) -> Iterator[tuple[UUID, SubjectKey, int]]:
        """Every subject with its key that was not destroyed, and the first event version it may serve."""
        for subject, key, wrapped, since in self._run(
            "SELECT subject, key_id, wrapped, since_version FROM subject_keys WHERE wrapped IS NOT NULL"
        ):
            yield UUID(bytes=bytes(subject)), self._unwrapped(key, subject, wrapped), since
        for row in self._run("SELECT name, since_version, subjects, sealed FROM key_blocks"):
            block = self._decrypted(row)
            for subject, found in block.live():
                yield UUID(bytes=subject), found, block.since_version

    def ensure(self, subject: UUID, since_version: int, used: bytes | None = None) -> SubjectKey:
        """The key of one subject, made where there is none; `since_version` is the version of the event that needs it.

        `used` is the id of the key that its newest event names: found at once, where the subject is looked for in many blocks.

        Durable before it returns: an event is never stored whose key could be lost. A key without an event is harmless and is
        found again by the next one.
        """
        with self._transaction():
            found = (self.by_id(subject, used) if used else None) or self.live([subject]).get(subject)
            return found or self._made_alone([subject.bytes], since_version)[subject.bytes]

    def for_new(self, subjects: Sequence[bytes], since_version: int) -> dict[bytes, SubjectKey]:
        """Keys for different subjects (the 16 bytes of their ids) that have no event yet. As durable as that of `ensure`.

        Not looked for in blocks: there a subject without events has a key only where an import broke off, and its second
        is destroyed together with its first.
        """
        with self._transaction():
            found = self._live_alone(subjects)
            new = [subject for subject in subjects if subject not in found] if found else subjects
            if len(new) < BLOCK:
                return found | self._made_alone(new, since_version)
            blocks = new_blocks(new, since_version)
            self._many(
                "INSERT INTO key_blocks VALUES (?, ?, ?, ?, ?, ?)",
                [(b.name, b.first, b.last, b.since_version, b.subjects, b.encrypted(self._block_cipher)) for b in blocks],
            )
        for block in blocks:
            found.update(block.live())
        return found

    def _made_alone(self, subjects: Sequence[bytes], since_version: int) -> dict[bytes, SubjectKey]:
        made = {s: SubjectKey(secrets.token_bytes(KEY_ID_BYTES), secrets.token_bytes(KEY_BYTES)) for s in sorted(subjects)}
        rows = []
        for subject, key in made.items():
            nonce = secrets.token_bytes(NONCE_BYTES)
            rows.append((subject, key.id, since_version, nonce + self._wrapping.encrypt(nonce, key.secret, key.id + subject)))
        self._many("INSERT INTO subject_keys VALUES (?, ?, ?, ?)", rows)
        return made

    def destroy(self, subject: UUID, until_version: int) -> int:
        """Destroy the subject's keys that may serve events up to `until_version`, and its digests; how many keys there were."""
        with self._transaction():
            count = self._run(
                "SELECT count(*) FROM subject_keys WHERE subject = ? AND since_version <= ? AND wrapped IS NOT NULL",
                [subject.bytes, until_version],
            )[0][0]
            self._run(
                "UPDATE subject_keys SET wrapped = NULL WHERE subject = ? AND since_version <= ?", [subject.bytes, until_version]
            )
            self._run("DELETE FROM personal_digests WHERE subject = ?", [subject.bytes])
            self._cut_digests(subject.bytes)
            return int(count) + self._destroy_in_blocks(subject.bytes, until_version)

    def _destroy_in_blocks(self, subject: bytes, until_version: int) -> int:
        count = 0
        for block in self._blocks_of(subject):
            if block.since_version <= until_version and block.key(subject) is not None:
                encrypted = block.without(subject).encrypted(self._block_cipher)
                self._run("UPDATE key_blocks SET sealed = ? WHERE name = ?", [encrypted, block.name])
                count += 1
        return count

    def _cut_digests(self, subject: bytes) -> None:
        sql = "SELECT name, entries FROM digest_blocks WHERE first_subject <= ? AND last_subject >= ?"
        for name, entries in self._run(sql, [subject, subject]):
            if place_of(bytes(entries), subject, ENTRY_BYTES) is not None:
                left = entries_without(bytes(entries), subject, ENTRY_BYTES)
                self._run("UPDATE digest_blocks SET entries = ? WHERE name = ?", [left, bytes(name)])

    def _blocks_of(self, subject: bytes) -> list[KeyBlock]:
        """The blocks in which a subject stands, also with a destroyed key."""
        rows = self._run(
            "SELECT name, subjects FROM key_blocks WHERE first_subject <= ? AND last_subject >= ?", [subject, subject]
        )
        names = [name for name, subjects in rows if place_of(bytes(subjects), subject, SUBJECT_BYTES) is not None]
        return [block for name in names if (block := self._block(bytes(name))) is not None]

    def _block(self, name: bytes) -> KeyBlock | None:
        rows = self._run("SELECT name, since_version, subjects, sealed FROM key_blocks WHERE name = ?", [name])
        return self._decrypted(rows[0]) if rows else None

    def _decrypted(self, row: StoredRow) -> KeyBlock:
        name, since_version, subjects, encrypted = bytes(row[0]), int(row[1]), bytes(row[2]), bytes(row[3])
        try:
            return decrypted(self._block_cipher, name, since_version, subjects, encrypted)
        except InvalidTag:
            raise KeyUnreadable(
                f"The keys {name.hex()} do not open: the key store was altered; restore it from a backup."
            ) from None

    def _unwrapped(self, key_id: bytes, subject: bytes, wrapped: bytes) -> SubjectKey:
        key_id, subject, wrapped = bytes(key_id), bytes(subject), bytes(wrapped)
        try:
            return SubjectKey(key_id, self._wrapping.decrypt(wrapped[:NONCE_BYTES], wrapped[NONCE_BYTES:], key_id + subject))
        except InvalidTag:
            raise KeyUnreadable(
                f"The key {key_id.hex()} does not open: the key store was altered; restore it from a backup."
            ) from None

    # -- recognising what is known --

    def digests_of(self, stated: Iterable[bytes]) -> list[bytes]:
        """Keyed digests (BLAKE2b, RFC 7693) of what a source states of subjects' personal fields; 16 bytes each.

        The statement begins with the subject's token, so that nobody can tell that two persons say the same.
        """
        key = self._digesting
        return [blake2b(each, digest_size=DIGEST_BYTES, key=key).digest() for each in stated]

    def note_digests(self, entries: Sequence[bytes]) -> None:
        """Keep entries (subject, event, digest: 48 bytes) for events that were recorded or found to say just this."""
        with self._transaction():
            if len(entries) < BLOCK:
                cut = ((entry[:16], entry[16:32], entry[32:]) for entry in sorted(entries))
                self._many("INSERT INTO personal_digests VALUES (?, ?, ?) ON CONFLICT DO NOTHING", list(cut))
                return
            rows = [(secrets.token_bytes(NAME_BYTES), *block) for block in digest_blocks(entries)]
            self._many("INSERT INTO digest_blocks VALUES (?, ?, ?, ?)", rows)

    def digests(self) -> bytes:
        """All entries, one after the other."""
        alone = self._run("SELECT subject, event_id, digest FROM personal_digests")
        blocks = self._run("SELECT entries FROM digest_blocks")
        return b"".join(bytes(part) for row in (*alone, *blocks) for part in row)

    # -- how far the log was followed --

    def noted_position(self) -> int:
        """Position in the publisher's log up to which erasures were carried out here."""
        rows = self._run("SELECT value FROM noted WHERE name = 'position'")
        return int(bytes(rows[0][0])) if rows else 0

    def note_position(self, position: int) -> None:
        """Note that erasures up to a position were carried out."""
        self._note("position", str(position).encode())

    def _check_master(self, master: MasterKey, where: str) -> None:
        check = master.part(b"key store check")
        rows = self._run("SELECT value FROM noted WHERE name = 'master key check'")
        if not rows:
            self._note("master key check", check)
        elif not compare_digest(bytes(rows[0][0]), check):
            self.close()
            raise KeyUnreadable(f"The master key is not the one of the key store {where}: put the right one in its place.")

    def _note(self, name: str, value: bytes) -> None:
        self._run("INSERT INTO noted VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET value = excluded.value", [name, value])

    # -- the two databases --

    def _run(self, sql: str, given: Sequence[Any] = ()) -> list[StoredRow]:
        cursor = self._connection.execute(sql if self._sqlite else sql.replace("?", "%s"), list(given))
        return list(cursor.fetchall()) if cursor.description else []

    def _many(self, sql: str, rows: Sequence[StoredRow]) -> None:
        if self._sqlite:
            self._connection.executemany(sql, rows)
        elif rows:
            with self._connection.cursor() as cursor:
                cursor.executemany(sql.replace("?", "%s"), rows)

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        if not self._sqlite:
            with self._connection.transaction():
                yield
            return
        self._connection.execute("BEGIN IMMEDIATE")
        try:
            yield
        except BaseException:
            self._connection.execute("ROLLBACK")
            raise
        self._connection.execute("COMMIT")
