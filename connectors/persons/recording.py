"""Personal fields at one publisher: decrypted for a decision, encrypted for the store.

The publisher's rules decide on plain fields (`opened`); what they decide is encrypted per event (`encrypted`). In between, and in
everything that DuckDB holds, there is ciphertext only (`staged_cells`).
"""

import os
import re
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import replace
from typing import Final
from uuid import UUID

from connectors.home.folder import Home
from connectors.persons.key_store import KeyStore
from connectors.persons.staged_cells import StagedCells, StatedDigests
from connectors.persons.standings import Standings
from repository.controls.subject_measure import FREE, Standing, SubjectWithheld
from repository.decisions.entity import Entity, Event
from repository.decisions.state import default_of
from repository.kinds.register import PERSONS
from repository.kinds.rules import Person, Violation
from repository.persons.personal import NONCE_BYTES, Plain, decrypt, encrypt, group_keys, head, refuse_in_clear
from repository.persons.subject_keys import SubjectKeys
from repository.store.publisher import Publisher
from schemas.contracts import PERSONAL_FIELD, fields

TOKEN: Final = re.compile("t[0-9a-f]{8}:[0-9a-f]{64}")
REFUSED: Final = (SubjectWithheld, Violation)


class Persons:
    """What one publisher's process needs to record persons. Its key store is opened when the first personal field asks for it."""

    def __init__(self, home: Home, store: Publisher, keys: SubjectKeys | None = None) -> None:
        self.home, self.store = home, store
        self.key_store = KeyStore(home, store, keys)
        self.standings = Standings(store, self.key_store)
        self.staged = StagedCells(home, self.key_store)
        self.digests = StatedDigests(self.key_store)
        self._used: tuple[UUID, bytes] | None = None
        """The subject decrypted last and the id of its key, which its next event needs."""

    @property
    def keys(self) -> SubjectKeys:
        """The key store, opened. Raises as `KeyStore.keys`."""
        return self.key_store.keys

    def close(self) -> None:
        with ExitStack() as closing:
            closing.callback(self.key_store.close)
            closing.callback(self.staged.close)

    # -- for decisions --

    def opened(self, entity: Entity) -> Entity:
        """The entity with its personal fields in plain, as far as their keys exist. Raises SubjectWithheld.

        What was erased is not known any more, neither fields nor pseudonym.
        """
        if entity.kind not in PERSONS:
            return entity
        standing = self.standings.of(entity.id)
        standing.refuse()
        return self.shown(entity, standing)

    def shown(self, entity: Entity, standing: Standing = FREE) -> Entity:
        """As `opened`, whatever holds for the subject: for the person's own record, and for audit."""
        rule, erased_to = PERSONS[entity.kind], standing.erased_to or 0
        return replace(entity, records=[self._shown(entity.kind, rule, record, erased_to) for record in entity.records])

    def _shown(self, kind: str, rule: Person, record: Event, erased_to: int) -> Event:
        if not rule.of(record):
            return record
        if record["version"] <= erased_to:
            gone = [name for name in (rule.token, *rule.others, PERSONAL_FIELD) if name in record]
            return record | {name: default_of(fields(kind)[name]) for name in gone}
        return {**record, PERSONAL_FIELD: self.plain(record)} if PERSONAL_FIELD in record else record

    def plain(self, record: Event) -> Plain | None:
        """The personal fields of one stored event; None where it has none or their key is destroyed."""
        blob = record.get(PERSONAL_FIELD)
        if not isinstance(blob, bytes):
            return None
        subject, key_id = UUID(str(record["entity_id"])), head(blob).key_id
        key, self._used = self.keys.by_id(subject, key_id), (subject, key_id)
        return None if key is None else decrypt(blob, group_keys(key.secret), UUID(str(record["event_id"])))

    # -- for the store --

    def encrypted(self, kind: str, records: Sequence[Event]) -> list[Event]:
        """The decided events of a kind as they are stored. Raises PersonalRefused or Violation for what may not be in a log."""
        rule = PERSONS.get(kind)
        return [self._encrypted(rule, record) for record in records] if rule is not None else list(records)

    def _encrypted(self, rule: Person, record: Event) -> Event:
        self._refuse_recognisable(rule, record)
        if rule.only is None and not record[rule.token] and record["operation"] != "retract":
            raise Violation("Whose this is can't be told: state the person's identity; without it no erasure would find it.")
        plain = record.get(PERSONAL_FIELD)
        if plain is None:
            return record
        if not rule.of(record):
            raise Violation("Personal fields belong to a person; leave them out, or state the person's identity.")
        if not isinstance(plain, Plain):
            raise Violation("Personal fields of another event are not taken over as they are; open the entity first.")
        refuse_in_clear(record, plain)
        subject = UUID(str(record["entity_id"]))
        used = self._used[1] if self._used is not None and self._used[0] == subject else None
        key = self.keys.ensure(subject, record["version"], used)
        nonce = os.urandom(NONCE_BYTES)
        blob = encrypt(plain, key, UUID(str(record["event_id"])), nonce, self.home.settings.personal_cipher)
        return {**record, PERSONAL_FIELD: blob}

    def _refuse_recognisable(self, rule: Person, record: Event) -> None:
        """Outside synthetic homes a person stands under a token of the regional key, and under nothing else."""
        token = record[rule.token]
        if self.home.settings.synthetic or rule.of_nobody(record):
            return
        keyed = not rule.token_is_key or record["business_key"] == token
        if not rule.of(record) or not TOKEN.fullmatch(token or "") or not keyed:
            raise Violation(
                f"{_whoever(rule)} is recorded as a person under the token of the regional key alone; "
                'state "identity" with id_type and number, and this publisher makes the token.'
            )


@contextmanager
def persons(home: Home, store: Publisher) -> Iterator[Persons]:
    """A publisher's persons; the key store, where it was opened, is closed at the end."""
    opened = Persons(home, store)
    try:
        yield opened
    finally:
        with suppress(OSError):
            opened.close()


def _whoever(rule: Person) -> str:
    nobody = " or ".join(each.replace("_", " ") for each in rule.nobody)
    return f"A subject that is no {nobody}" if nobody else "Whoever this is about"
