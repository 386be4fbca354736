"""The hub's side of grants: keys it was given, and plain fields in the result of a query under a grant.

A personal column of the base is NULL. Under a grant the query gives ciphertext in its place, marked with field, publisher,
subject and event; only here, in the reader's process and after the query, it becomes text. So plain fields are in no table, no
spill file and no log of the hub, and cannot be filtered or grouped by.
"""

import os
import sqlite3
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from hmac import digest
from pathlib import Path
from typing import Any, Final
from uuid import UUID

import duckdb
import pyarrow as pa
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from connectors.home.folder import Home
from connectors.persons.grants import hub_secret, read_bundle
from repository.controls.grant import GrantRefused
from repository.keys.secret_files import KeyUnreadable, refuse_exposed
from repository.persons.personal import NONCE_BYTES, decrypt, groups, head

ENCRYPTED: Final = pa.struct([("encrypted", pa.binary())])
"""Type of a personal column in a result: field|publisher|subject|event| and the blob."""
TABLE: Final = """
CREATE TABLE IF NOT EXISTS granted (
    publisher TEXT, grant_name TEXT, subject BLOB, key_id BLOB, since_version INTEGER, field_group TEXT, nonce BLOB, wrapped BLOB,
    PRIMARY KEY (publisher, grant_name, subject, key_id, field_group)
)
"""
GRANTS_OF_NAME: Final = (
    "SELECT publisher, grant_name, grantee, field_groups, expires_at, in_force, purpose FROM grants WHERE grant_name = ?"
)


@dataclass(frozen=True, slots=True)
class LiveGrant:
    """A grant that holds now for this reader: publisher, name, and the fields it opens."""

    publisher: str
    name: str
    fields: frozenset[str]


def granted_keys_file(home: Home) -> Path:
    """Where a hub keeps the keys that came with grants, wrapped under a key made of its own private key."""
    return home.folder / "keys" / "granted.sqlite"


@contextmanager
def _opened(home: Home) -> Iterator[sqlite3.Connection]:
    path = granted_keys_file(home)
    if path.exists():
        refuse_exposed(path, path.stat().st_mode)
    else:
        path.touch(mode=0o600)
    connection = sqlite3.connect(path, timeout=60)
    try:
        connection.execute("PRAGMA secure_delete = ON")
        connection.execute(TABLE)
        with connection:
            yield connection
    finally:
        connection.close()


def _wrapping(home: Home) -> AESGCM:
    return AESGCM(digest(hub_secret(home), b"yrd granted key wrapping\x01", "sha256"))


def import_keys(home: Home, file: Path) -> dict[str, Any]:
    """Take over the keys of a grant; what the file says of itself. Raises KeyUnreadable."""
    said, keys = read_bundle(home, file)
    wrapping = _wrapping(home)
    rows = []
    for each in keys:
        for group, key in each.keys.items():
            nonce = os.urandom(NONCE_BYTES)
            wrapped = wrapping.encrypt(nonce, key, each.subject.bytes + each.key_id)
            rows.append(
                (said["publisher"], said["grant"], each.subject.bytes, each.key_id, each.since_version, group, nonce, wrapped)
            )
    with _opened(home) as connection:
        connection.executemany("INSERT OR REPLACE INTO granted VALUES (?, ?, ?, ?, ?, ?, ?, ?)", rows)
    return said


def forget_keys(home: Home, base: duckdb.DuckDBPyConnection) -> None:
    """Destroy the hub's keys of erased subjects and of grants that ended, as the base knows them; also those of an old copy."""
    if not granted_keys_file(home).exists():
        return
    erased = base.execute(
        "SELECT publisher, subject_id::VARCHAR, erased_to FROM subject_measures WHERE measure = 'erasure'"
    ).fetchall()
    ended = base.execute(
        "SELECT publisher, grant_name FROM grants WHERE NOT in_force OR expires_at <= ?", [datetime.now(UTC)]
    ).fetchall()
    with _opened(home) as connection:
        connection.executemany(
            "DELETE FROM granted WHERE publisher = ? AND subject = ? AND since_version <= ?",
            [(publisher, UUID(subject).bytes, until) for publisher, subject, until in erased],
        )
        connection.executemany("DELETE FROM granted WHERE publisher = ? AND grant_name = ?", ended)


# -- plain fields in a result --------------------------------------------------------------------------------------


def live_grants(rows: Sequence[Mapping[str, Any]], name: str, reader: str, now: datetime) -> list[LiveGrant]:
    """The grants of this name that hold for the reader. Raises GrantRefused, saying why none does."""
    for_reader = [row for row in rows if row["grantee"] == reader]
    if not rows:
        raise GrantRefused(f"The base knows no grant {name}; list them with `yrd grant list`, or bring the base up to date.")
    if not for_reader:
        raise GrantRefused(
            f"Grant {name} is for {rows[0]['grantee']} and not for {reader}; ask the publisher for one of your own."
        )
    holding = [row for row in for_reader if row["in_force"] and row["expires_at"] > now]
    if not holding:
        raise GrantRefused(f"Grant {name} has expired or was revoked; ask the publisher for a new one.")
    return [LiveGrant(row["publisher"], name, frozenset(f for g in row["field_groups"] for f in groups()[g])) for row in holding]


def decrypted(home: Home, table: pa.Table, grants: Sequence[LiveGrant]) -> pa.Table:
    """A result with plain fields in place of their ciphertext, where a grant opens them; NULL where none does.

    Raises KeyUnreadable where the hub has no key pair.
    """
    with _opened(home) as connection:
        cells = _CellDecryption(connection, _wrapping(home), {grant.publisher: grant for grant in grants})
        return _replaced(table, cells.text)


def concealed(table: pa.Table) -> pa.Table:
    """A result whose personal columns are plain NULL texts, as it is for everyone without a grant."""
    return _replaced(table, lambda _: None)


def _replaced(table: pa.Table, text: Callable[[bytes], str | None]) -> pa.Table:
    for place, field in enumerate(table.schema):
        if field.type == ENCRYPTED:
            cells = (cell and cell["encrypted"] for cell in table.column(place).to_pylist())
            table = table.set_column(place, field.name, pa.array([cell and text(cell) for cell in cells], pa.string()))
    return table


@dataclass
class _CellDecryption:
    """Decrypts cells with the granted keys of one hub."""

    connection: sqlite3.Connection
    wrapping: AESGCM
    grants: Mapping[str, LiveGrant]

    def text(self, cell: bytes) -> str | None:
        """The field that a cell holds, as text; None where no grant or no key opens it."""
        name, publisher, subject, event, blob = cell.split(b"|", 4)
        grant = self.grants.get(publisher.decode())
        if grant is None or name.decode() not in grant.fields:
            return None
        group = next(each for each, members in groups().items() if name.decode() in members)
        key = self._key(grant, UUID(subject.decode()), head(blob).key_id, group)
        if key is None:
            return None
        value = decrypt(blob, {group: key}, UUID(event.decode())).get(name.decode())
        return None if value is None else str(value)

    def _key(self, grant: LiveGrant, subject: UUID, key_id: bytes, group: str) -> bytes | None:
        row = self.connection.execute(
            "SELECT nonce, wrapped FROM granted "
            "WHERE publisher = ? AND grant_name = ? AND subject = ? AND key_id = ? AND field_group = ?",
            (grant.publisher, grant.name, subject.bytes, key_id, group),
        ).fetchone()
        if row is None:
            return None
        try:
            return self.wrapping.decrypt(row[0], row[1], subject.bytes + key_id)
        except InvalidTag:
            raise KeyUnreadable("The hub's key is not the one under which granted keys were kept: import them again.") from None
