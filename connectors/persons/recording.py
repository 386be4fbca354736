"""Personal fields at one publisher: opened for a decision, encrypted for the store, sealed while a dump is compared.

The publisher's rules decide on plain fields (`opened`); what they decide is encrypted per event (`encrypted`). In between, and in
everything that DuckDB holds, there is ciphertext only: a staged row carries a keyed digest, by which an unchanged one is
recognised, and its fields under a key that lives as long as the import.
"""

import os
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final
from uuid import UUID

import polars as pl
import pyarrow as pa
import pyarrow.compute as pc

from connectors.home.folder import Home
from connectors.persons.cipher_process import CipherProcess, Waiting, worth_it
from connectors.persons.columns import BYTES, packed_columns
from connectors.persons.spill import SetAside
from repository.controls.subject_measure import ERASURE, FREE, KIND, Standing, SubjectWithheld, decide, standings
from repository.decisions.entity import Entity, Record
from repository.decisions.state import default_of
from repository.events.encoding import decode_own
from repository.events.identity import entity_id
from repository.kinds.register import PERSONS
from repository.kinds.rules import Person, Violation
from repository.persons.key_blocks import SUBJECT_BYTES, cut
from repository.persons.personal import (
    NONCE_BYTES,
    Plain,
    decode_group,
    decrypt,
    encrypt,
    encrypt_rows,
    group_keys,
    head,
    refuse_in_clear,
    unpacked,
)
from repository.persons.subject_keys import DIGEST_BYTES, ENTRY_BYTES, SubjectKeys, load_master
from repository.store.publisher import Publisher
from schemas.contracts import PERSONAL_FIELD, fields

CHINA: Final = timezone(timedelta(hours=8))
TOKEN: Final = re.compile("t[0-9a-f]{8}:[0-9a-f]{64}")
REFUSED: Final = (SubjectWithheld, Violation)


def master_file(home: Home, code: str) -> Path:
    """Where a home keeps the master key of a publisher."""
    return home.folder / "keys" / f"master-{code}.key"


def key_store_file(home: Home, code: str) -> Path:
    """Where a home keeps the subjects' keys of a publisher, unless the setting key_store_url names a database."""
    return home.folder / "keys" / f"{code}.sqlite"


def open_keys(home: Home, store: Publisher) -> SubjectKeys:
    """The publisher's key store with every erasure of its log carried out, also where the store is an old copy.

    Raises KeyUnreadable or KeyExposed, one sentence, where the master key is missing, another's, or open to others.
    """
    path = master_file(home, store.code)
    if not path.exists() and not key_store_file(home, store.code).exists():
        raise ValueError(
            f"Personal fields need a master key, and {path} is missing: make it with `yrd keys create --publisher {store.code}`."
        )
    master = load_master(path)
    url = home.settings.key_store_url
    if url:
        keys = SubjectKeys.in_postgres(url, f"yrd_keys_{store.code}", master)
    else:
        keys = SubjectKeys.in_file(key_store_file(home, store.code), master)
    carry_out_erasures(keys, store)
    return keys


def carry_out_erasures(keys: SubjectKeys, store: Publisher) -> None:
    """Destroy what the log says is erased, from where the key store has followed it to its end."""
    position = keys.noted_position()
    recorded = store.controls(position)
    for notification in recorded:
        kind, record = decode_own(notification.state)
        if kind == KIND and record["measure"] == ERASURE and record["in_force"]:
            keys.destroy(UUID(str(record["subject_id"])), record["subject_version"])
    if recorded:
        keys.note_position(recorded[-1].id)


class Persons:
    """What one publisher's process needs to record persons. Its key store is opened when the first personal field asks for it."""

    def __init__(self, home: Home, store: Publisher) -> None:
        self.home, self.store = home, store
        self._keys: SubjectKeys | None = None
        self._measures: list[Record] = []
        self._standings: dict[UUID, Standing] = {}
        self._followed = 0
        self._tokens: tuple[int, Mapping[str, Standing]] | None = None
        self._pending: list[bytes] = []
        self._aside: SetAside | None = None
        self._ciphers: CipherProcess | None = None
        self._used: tuple[UUID, bytes] | None = None
        """The subject opened last and the id of its key, which its next event needs."""

    @property
    def keys(self) -> SubjectKeys:
        """The key store, opened. Raises as `open_keys`."""
        if self._keys is None:
            self._keys = open_keys(self.home, self.store)
        return self._keys

    def close(self) -> None:
        with ExitStack() as closing:
            for each in (self._keys, self._aside, self._ciphers):
                if each is not None:
                    closing.callback(each.close)

    # -- what holds for subjects --

    def standing(self, subject: UUID) -> Standing:
        """What holds for a subject now, after the newest measure in the log."""
        self._follow()
        return self._standings.get(subject, FREE)

    def standings(self) -> Mapping[UUID, Standing]:
        """What holds for every subject about which something was decided."""
        self._follow()
        return self._standings

    def _follow(self) -> None:
        recorded = self.store.controls(self._followed)
        if recorded:
            decoded = (decode_own(notification.state) for notification in recorded)
            self._measures += [record for kind, record in decoded if kind == KIND]
            self._standings = standings(self._measures)
            self._followed = recorded[-1].id

    def decided_keys(self, kind: str) -> dict[str, UUID]:
        """Business key -> entity, of all subjects of a kind about which something was decided: never plainly new to an import."""
        if kind not in PERSONS:
            return {}
        decided = (entity for entity in self._decided() if entity.kind == kind)
        return {str(record["business_key"]): entity.id for entity in decided for record in entity.records}

    def _decided(self) -> Iterator[Entity]:
        """The entities about which something was decided."""
        for subject in self.standings():
            entity = self.store.by_id(subject)
            if entity is not None and entity.kind in PERSONS:
                yield entity

    def token_standings(self) -> Mapping[str, Standing]:
        """Token -> what holds for the person, of all whose data may not be recorded now, whichever kind it was decided in."""
        if self._tokens is None or self._tokens[0] != self._known_until():
            found: dict[str, Standing] = {}
            for entity in self._decided():
                standing = self._standings[entity.id]
                if standing.erased or standing.restricted:
                    token = PERSONS[entity.kind].token
                    found |= {str(record[token]): standing for record in entity.records if record[token]}
            self._tokens = (self._followed, found)
        return self._tokens[1]

    def _known_until(self) -> int:
        self._follow()
        return self._followed

    def refuse_withheld(self, kind: str, fields: Mapping[str, object]) -> None:
        """Raise SubjectWithheld for a fact about a person whose data may not be recorded, under whatever key it comes."""
        if kind in PERSONS and (token := fields.get(PERSONS[kind].token)) is not None:
            self.token_standings().get(str(token), FREE).refuse()

    # -- for decisions --

    def opened(self, entity: Entity) -> Entity:
        """The entity with its personal fields in plain, as far as their keys exist. Raises SubjectWithheld.

        What was erased is not known any more, neither fields nor pseudonym.
        """
        if entity.kind not in PERSONS:
            return entity
        standing = self.standing(entity.id)
        standing.refuse()
        return self.shown(entity, standing)

    def shown(self, entity: Entity, standing: Standing = FREE) -> Entity:
        """As `opened`, whatever holds for the subject: for the person's own record, and for audit."""
        rule, erased_to = PERSONS[entity.kind], standing.erased_to or 0
        return replace(entity, records=[self._shown(entity.kind, rule, record, erased_to) for record in entity.records])

    def _shown(self, kind: str, rule: Person, record: Record, erased_to: int) -> Record:
        if not rule.of(record):
            return record
        if record["version"] <= erased_to:
            gone = [name for name in (rule.token, *rule.others, PERSONAL_FIELD) if name in record]
            return record | {name: default_of(fields(kind)[name]) for name in gone}
        return {**record, PERSONAL_FIELD: self.plain(record)} if PERSONAL_FIELD in record else record

    def plain(self, record: Record) -> Plain | None:
        """The personal fields of one stored event; None where it has none or their key is destroyed."""
        blob = record.get(PERSONAL_FIELD)
        if not isinstance(blob, bytes):
            return None
        subject, key_id = UUID(str(record["entity_id"])), head(blob).key_id
        key, self._used = self.keys.by_id(subject, key_id), (subject, key_id)
        return None if key is None else decrypt(blob, group_keys(key.secret), UUID(str(record["event_id"])))

    def erase_late(self, entity: Entity, stated: Mapping[str, object] = MappingProxyType({})) -> None:
        """Extend an erasure to what was recorded while it was being made. Raises SubjectWithheld where that happened.

        Whoever comes second, the one who erases or the one who reports, sees the other's record, so nothing slips between.
        `stated` are the fields of the fact just recorded: its person may have been erased under another key.
        """
        standing = self.standing(entity.id)
        if not standing.erased and entity.kind in PERSONS:
            standing = self.token_standings().get(str(stated.get(PERSONS[entity.kind].token)), standing)
            standing = replace(standing, erased_to=0)
        if not standing.erased:
            return
        late = self.store.by_id(entity.id)
        if late is not None and late.version > (standing.erased_to or 0):
            self.record_measure(late, ERASURE, True, FREE, {"reason": "recorded while the subject was being erased"})
        standing.refuse()

    def record_measure(
        self, subject: Entity, measure: str, in_force: bool, standing: Standing, said: Mapping[str, Any]
    ) -> Record:
        """Record a measure, and destroy the keys of an erased subject. Raises MeasureRefused."""
        now = datetime.now(UTC)
        version = self.store.last_version(entity_id(self.store.code, KIND, f"{measure}|{subject.id}"))
        record = decide(subject, measure, in_force, standing, version, said, now, now.astimezone(CHINA).date())
        self.store.record(KIND, [record])
        if measure == ERASURE and (self.home.settings.key_store_url or key_store_file(self.home, self.store.code).exists()):
            carry_out_erasures(self.keys, self.store)
        return record

    # -- for the store --

    def encrypted(self, kind: str, records: Sequence[Record]) -> list[Record]:
        """The decided events of a kind as they are stored. Raises PersonalRefused or Violation for what may not be in a log."""
        rule = PERSONS.get(kind)
        return [self._encrypted(rule, record) for record in records] if rule is not None else list(records)

    def _encrypted(self, rule: Person, record: Record) -> Record:
        self._refuse_recognisable(rule, record)
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

    def _refuse_recognisable(self, rule: Person, record: Record) -> None:
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

    # -- in bulk --

    @property
    def aside(self) -> SetAside:
        """Where staged rows lie."""
        if self._aside is None:
            self._aside = SetAside(self.home.folder)
        return self._aside

    def sealed(self, columns: Mapping[str, pl.Series], tokens: pl.Series) -> pl.Series:
        """A staged cell per row: the keyed digest of what it states, and where that lies sealed. Null where there is no token."""
        rows = packed_columns(columns, len(tokens))
        parts = (tokens.fill_null("").to_arrow().cast(BYTES), pa.scalar(",".join(columns).encode(), BYTES), rows)
        stated = pc.binary_join_element_wise(*parts, pa.scalar(b"\0", BYTES))
        digests, places = self.keys.digests_of(stated.to_pylist()), self.aside.put(rows.to_pylist())
        cells = pl.Series(list(map(bytes.__add__, digests, places)), dtype=pl.Binary).to_frame("personal")
        return cells.select(pl.when(tokens.is_not_null()).then("personal")).to_series()

    def unsealed(self, cell: bytes, names: Sequence[str]) -> Plain:
        """What a staged row states of the fields `names`; those it leaves empty are None."""
        stated: dict[str, Any] = dict.fromkeys(names)
        for record in unpacked(self.aside.get(cell[DIGEST_BYTES:])):
            stated |= decode_group(record) if record else {}
        return Plain(stated)

    def begin_encrypting(self, entities: Sequence[str], events: Sequence[str], cells: Sequence[bytes]) -> Waiting:
        """Begin with the blobs of the first events of new subjects, from staged cells; the function returned gives them.

        Their keys are durable before this returns.
        """
        subjects, rows = _id_bytes(entities), [self.aside.get(cell[DIGEST_BYTES:]) for cell in cells]
        made = self.keys.for_new(subjects, 1)
        ids, keys = [made[subject].id for subject in subjects], [made[subject].secret for subject in subjects]
        batch = (rows, ids, keys, _id_bytes(events), fresh_nonces(len(rows)), self.home.settings.personal_cipher)
        if self._ciphers is None and worth_it(len(rows)):
            self._ciphers = CipherProcess()
        return partial(encrypt_rows, *batch) if self._ciphers is None else self._ciphers.start(*batch)

    def stated(self, entities: Sequence[str], events: Sequence[str], cells: Sequence[bytes]) -> None:
        """Remember that events say what staged rows state; kept by `keep_digests` when they are recorded for certain."""
        said = (cell[:DIGEST_BYTES] for cell in cells)
        self._pending += map(b"".join, zip(_id_bytes(entities), _id_bytes(events), said, strict=True))

    def keep_digests(self) -> None:
        """Keep what `stated` remembered. Lost when the process ends before: then the rows are decided one by one once more."""
        if self._pending:
            self.keys.note_digests(self._pending)
            self._pending = []

    def known_digests(self) -> pl.DataFrame:
        """Columns event_id (text) and digest, to compare staged rows with."""
        entries = self.keys.digests()
        number = len(entries) // ENTRY_BYTES
        whole = pa.Array.from_buffers(pa.binary(ENTRY_BYTES), number, [None, pa.py_buffer(entries)])
        events, digests = pc.binary_slice(whole, DIGEST_BYTES, 2 * DIGEST_BYTES), pc.binary_slice(whole, 2 * DIGEST_BYTES)
        return pl.DataFrame({"event_id": events, "digest": digests}).with_columns(pl.col("event_id").bin.encode("hex")).unique()


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


def _id_bytes(identities: Sequence[str]) -> list[bytes]:
    """The 16 bytes of each of many UUIDs."""
    return cut(bytes.fromhex("".join(identities).replace("-", "")), SUBJECT_BYTES)


def fresh_nonces(number: int) -> list[bytes]:
    """Random nonces of 12 bytes, from one call of the system."""
    return cut(os.urandom(NONCE_BYTES * number), NONCE_BYTES)
