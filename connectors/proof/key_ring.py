"""Which key signs whose log: as the regional office lists it, or as the files of the home say."""

from typing import Any

import duckdb

from connectors.home.folder import Home
from connectors.proof.sealing import public_key_file
from repository.keys import signing
from repository.proof.member import KIND, Members, members_of
from repository.proof.signed_note import KeyMalformed, NoteRefused, VerifierKey
from schemas.contracts import fields


def office_key(home: Home) -> VerifierKey | None:
    """The public key of the regional office, as the home's settings have it. Raises KeyMalformed."""
    text = home.settings.office_key
    if not text:
        return None
    try:
        return VerifierKey.parse(text)
    except KeyMalformed as error:
        raise KeyMalformed(f"The setting office_key can't be used: {error}") from None


class KeyRing:
    """Which key signs the seals of which publisher, as the base's member records or the home's files say."""

    def __init__(self, home: Home, connection: duckdb.DuckDBPyConnection) -> None:
        self.home, office = home, office_key(home)
        self.members: Members | None = None if office is None else members_of(office, records(connection, KIND))

    def key(self, publisher: str, position: int) -> VerifierKey:
        """The key for a seal of `publisher` whose last leaf stands at `position`. Raises NoteRefused where there is none."""
        if self.members is not None:
            if publisher not in self.members.listed:
                raise NoteRefused(f"Publisher {publisher} is not listed by the regional office.")
            return self.members.listed[publisher].key_for(position)
        path = public_key_file(self.home, publisher)
        if not path.exists():
            raise NoteRefused(f"No public key of {publisher} is known here; put it into {path}, or set office_key.")
        return signing.read_keys(path)[0]


def records(connection: duckdb.DuckDBPyConnection, kind: str, condition: str = "true", *given: object) -> list[dict[str, Any]]:
    """The records of a kind in the base, as they were recorded, in the order of entity and version."""
    names = ", ".join(f'"{name}"' for name in fields(kind))
    sql = f"SELECT {names} FROM {kind}_history WHERE {condition} ORDER BY business_key, version"
    cursor = connection.execute(sql, list(given))
    return [dict(zip(fields(kind), row, strict=True)) for row in cursor.fetchall()]
