"""What holds for the subjects of one publisher, after the newest subject measure in its log, and recording a further one."""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from types import MappingProxyType
from typing import Any
from uuid import UUID

from connectors.persons.key_store import KeyStore
from repository.controls.subject_measure import ERASURE, FREE, KIND, Standing, decide, standings
from repository.decisions.entity import Entity, Event
from repository.events.encoding import decode_own
from repository.events.identity import entity_id
from repository.kinds.register import PERSONS
from repository.registers.identifiers import CHINA
from repository.store.publisher import Publisher


class Standings:
    """Whose processing is restricted, who is erased, and who is held; the log is followed with every question."""

    def __init__(self, store: Publisher, key_store: KeyStore) -> None:
        self.store, self.key_store = store, key_store
        self._measures: list[Event] = []
        self._standings: dict[UUID, Standing] = {}
        self._followed = 0
        self._by_token: tuple[int, Mapping[str, Standing]] | None = None

    def of(self, subject: UUID) -> Standing:
        """What holds for a subject now."""
        return self.all().get(subject, FREE)

    def all(self) -> Mapping[UUID, Standing]:
        """What holds for every subject about which something was decided."""
        recorded = self.store.controls(self._followed)
        if recorded:
            decoded = (decode_own(notification.state) for notification in recorded)
            self._measures += [record for kind, record in decoded if kind == KIND]
            self._standings = standings(self._measures)
            self._followed = recorded[-1].id
        return self._standings

    def decided_keys(self, kind: str) -> dict[str, UUID]:
        """Business key -> entity, of all subjects of a kind about which something was decided: never plainly new to an import."""
        if kind not in PERSONS:
            return {}
        decided = (entity for entity, _ in self._decided() if entity.kind == kind)
        return {str(record["business_key"]): entity.id for entity in decided for record in entity.records}

    def _decided(self) -> Iterator[tuple[Entity, Standing]]:
        """The entities about which something was decided, with what holds for them."""
        for subject, standing in self.all().items():
            entity = self.store.by_id(subject)
            if entity is not None and entity.kind in PERSONS:
                yield entity, standing

    def by_token(self) -> Mapping[str, Standing]:
        """Token -> what holds for the person, of all whose data may not be recorded now, whichever kind it was decided in."""
        self.all()
        if self._by_token is None or self._by_token[0] != self._followed:
            found: dict[str, Standing] = {}
            for entity, standing in self._decided():
                # Under which it stood by mistake, and was corrected, was somebody else's token, or nobody's.
                if standing.erased or standing.restricted:
                    found |= dict.fromkeys(tokens_now(entity), standing)
            self._by_token = (self._followed, found)
        return self._by_token[1]

    def refuse_withheld(self, kind: str, fields: Mapping[str, object], key: str = "") -> None:
        """Raise SubjectWithheld for a fact about a person whose data may not be recorded, under whatever key it comes.

        `key` is the business key, which may hold the pseudonym as well.
        """
        if kind in PERSONS:
            for token in (fields.get(PERSONS[kind].token), key):
                self.by_token().get(str(token), FREE).refuse()

    def withheld_texts(self) -> set[str]:
        """The keys and pseudonyms of all whose data may not be recorded now: people read no such text anywhere."""
        withheld = [entity for entity, standing in self._decided() if standing.erased or standing.restricted]
        keys = {str(record["business_key"]) for entity in withheld for record in entity.records}
        return keys | self.by_token().keys()

    def record(self, subject: Entity, measure: str, in_force: bool, standing: Standing, said: Mapping[str, Any]) -> Event:
        """Record a subject measure, and destroy the keys of an erased subject. Raises MeasureRefused."""
        now = datetime.now(UTC)
        version = self.store.last_version(entity_id(self.store.code, KIND, f"{measure}|{subject.id}"))
        record = decide(subject, measure, in_force, standing, version, said, now, now.astimezone(CHINA).date())
        self.store.record(KIND, [record])
        if measure == ERASURE:
            self.key_store.carry_out_erasures()
        return record

    def erase_late(self, entity: Entity, stated: Mapping[str, object] = MappingProxyType({})) -> None:
        """Extend an erasure to what was recorded while it was being made. Raises SubjectWithheld where that happened.

        Whoever comes second, the one who erases or the one who reports, sees the other's record, so nothing slips between.
        `stated` are the fields of the fact just recorded: its person may have been erased under another key.
        """
        standing = self.of(entity.id)
        if not standing.erased and entity.kind in PERSONS:
            standing = self.by_token().get(str(stated.get(PERSONS[entity.kind].token)), standing)
            standing = replace(standing, erased_to=0)
        if not standing.erased:
            return
        late = self.store.by_id(entity.id)
        if late is not None and late.version > (standing.erased_to or 0):
            self.record(late, ERASURE, True, FREE, {"reason": "recorded while the subject was being erased"})
        standing.refuse()


def tokens_now(entity: Entity) -> set[str]:
    """The tokens under which an entity stands in its timeline; what was corrected or retracted does not count."""
    token = PERSONS[entity.kind].token
    return {str(found) for segment in entity.timeline if (found := segment.statement.state[token])}
