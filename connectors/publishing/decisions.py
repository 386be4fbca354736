"""What an import decides about its staged facts: events on their way into the store, and the facts that it refuses."""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from typing import Any
from uuid import UUID

import polars as pl

from connectors.persons.cipher_process import Waiting
from connectors.persons.recording import Persons
from connectors.profiles.profile import Profile
from connectors.publishing.batches import Counts
from connectors.publishing.closures import Closure
from connectors.publishing.comparison import Comparison
from connectors.publishing.prefetch import one_behind
from connectors.publishing.rejections import NO_ROW, WITHHELD_KEY
from connectors.publishing.staging import FACT, STAGED_COLUMNS
from repository.controls.subject_measure import SubjectWithheld
from repository.decisions.entity import Entity, Event, Recording, Superseded, rename, report
from repository.decisions.facts import Authority, Fact, refuse_empty
from repository.decisions.state import NotAState
from repository.decisions.timeline import BEGINNING, FOREVER
from repository.events.encoding import NotAnEvent
from repository.kinds.register import PERSONS, RULES
from repository.kinds.rules import Violation
from repository.persons.personal import PersonalRefused, Plain
from repository.store.bulk import FirstEvents
from repository.store.publisher import Publisher, StoredRow, stored_row
from schemas.contracts import codes

REFUSALS = (NotAState, Violation, Superseded, PersonalRefused, NotAnEvent, SubjectWithheld)
"""What a decision raises about one fact, which costs that fact and nothing else."""


@dataclass(frozen=True, slots=True)
class New:
    """A batch of first events: the records they come from, the staged personal fields, and what gives their ciphertext."""

    records: list[int]
    first: FirstEvents
    staged: Sequence[bytes] = ()
    encrypted: Waiting = list


@dataclass
class Decisions:
    """The decisions of one import, on what its publisher has recorded when they are made."""

    store: Publisher
    persons: Persons
    comparison: Comparison
    recording: Recording
    refused: set[int] = field(default_factory=set)
    """Numbers of the facts that were refused together with their new key."""
    moved: dict[str, UUID] = field(default_factory=dict)
    """The keys that lead to an entity that is not first known under them."""
    several: set[UUID] = field(default_factory=set)
    """The entities that several keys lead to."""
    grown: dict[UUID, Entity] = field(default_factory=dict)
    """Those of them that were looked at, with what this import says of them: the store shows it only when all is done."""

    @property
    def profile(self) -> Profile:
        return self.comparison.mapper.profile

    @property
    def counts(self) -> Counts:
        return self.comparison.counts

    def rows(self, closing: Iterable[Closure] = ()) -> Iterator[list[StoredRow]]:
        """Everything that the dump says anew, as stored rows in the order in which they are recorded."""
        staging = self.comparison.staging
        self.counts.facts_unchanged += staging.unchanged()
        self.moved = moved_keys(self.store, self.profile.kind)
        self.several = set(self.moved.values())
        # New ones first: they leave the staging table, and what remains is for the entities to decide.
        for new in one_behind(self._new(frame) for frame in staging.take_new(self._known_otherwise())):
            yield self._first_events(new)
        for row in staging.successors():
            yield self._renamed(row)
        for key, facts in groupby(staging.rest(), key=lambda row: str(row["business_key"])):
            yield from self._decided(key, [row for row in facts if row[FACT] not in self.refused])
        for closure in closing:
            yield self._closed(closure)

    def _known_otherwise(self) -> set[str]:
        """Keys of which the history knows nothing and something is known: renamed ones, and those of persons who are withheld."""
        moved, standings, token = set(self.moved), self.persons.standings, self.profile.token_field
        if not token:
            return moved
        staging = self.comparison.staging
        withheld = staging.keys_stating(token, standings.by_token().keys())
        unnamed = staging.keys_stating(*self._unnamed())
        return moved | standings.decided_keys(self.profile.kind).keys() | set(withheld) | set(unnamed)

    def _unnamed(self) -> tuple[str, Collection[str]]:
        """The field and values by which a row without a token is about somebody all the same: they are not recorded in bulk."""
        rule = PERSONS[self.profile.kind]
        if rule.only is None or self.profile.person is not None or self.persons.home.settings.synthetic:
            return "", ()
        return rule.only[0], (codes(self.profile.kind, rule.only[0]) or set[str]()) - set(rule.nobody)

    def _refuse(self, record: int, key: str, reason: str) -> None:
        self.counts.facts_rejected += 1
        self.comparison.rejections.add(record, "", key, reason)

    def _stored(self, events: Sequence[Event]) -> list[StoredRow]:
        """Decided events as they are stored; their personal fields are in plain until here."""
        return [stored_row(self.profile.kind, record) for record in self.persons.encrypted(self.profile.kind, events)]

    # -- new entities, in columns --

    def _new(self, frame: pl.DataFrame) -> New:
        """A batch of plainly new facts, whose personal fields begin to be encrypted."""
        profile, recording, records = self.profile, self.recording, frame["record"].to_list()
        columns = {name: _physical(frame[name]) for name in frame.columns if name not in ("record", "previous_key")}
        envelope = {"source": profile.source, "batch_id": str(recording.batch_id), "data_level": profile.data_level}
        first = FirstEvents(profile.kind, recording.publisher, frame.height, columns, envelope, recording.recorded_at)
        if not profile.personal:
            return New(records, first)
        staged = first.columns["personal"]
        return New(records, first, staged, self.persons.staged.begin_blobs(first.entities, first.events, staged))

    def _first_events(self, new: New) -> list[StoredRow]:
        rows, refused = new.first.stored(new.encrypted() if self.profile.personal else None)
        if self.profile.personal:
            self._remember_first(new, rows)
        for row, reason in refused:
            self._refuse(new.records[row], new.first.keys[row], reason)
        self.counts.facts_new += len(rows)
        self.comparison.progress("recording", len(rows))
        return rows

    def _remember_first(self, new: New, rows: Sequence[StoredRow]) -> None:
        """As `_remember`, of the first events that became rows; of one that was refused nothing is known."""
        entities, events, staged = new.first.entities, new.first.events, new.staged
        if len(rows) == len(entities):
            self.persons.digests.remember(entities, events, staged)
            return
        stored = {row.entity for row in rows}
        for entity, event, cell in zip(entities, events, staged, strict=True):
            if entity.replace("-", "") in stored:
                self.persons.digests.remember([entity], [event], [cell])

    # -- known entities, one after the other --

    def _entity(self, key: str) -> Entity:
        """The entity that a key means, opened. Raises SubjectWithheld."""
        if key in self.moved and self.moved[key] in self.grown:
            return self.grown[self.moved[key]]
        entity = self.persons.opened(self.store.entity(self.profile.kind, key, look=False))
        return self.grown.setdefault(entity.id, entity) if entity.id in self.several else entity

    def _renamed(self, row: dict[str, Any]) -> list[StoredRow]:
        """Rename the entity known under a row's former key, where the new key is nobody's yet."""
        key = str(row["business_key"])
        try:
            former = self._entity(row["previous_key"])
            if not former.records or self._entity(key).records:
                return []
            refuse_empty(key, row["valid_from"], row["stated_to"])
            events = rename(former, key, row["valid_from"], self.recording, self._fact(row))
            rows = self._stored(events)
        except REFUSALS as error:
            self.refused.add(row[FACT])
            self._refuse(row["record"], WITHHELD_KEY if isinstance(error, SubjectWithheld) else key, str(error))
            return []
        renamed = Entity.of(former.kind, [*former.records, *events])
        self.grown[renamed.id] = renamed
        self.several.add(renamed.id)
        self.moved |= {str(record["business_key"]): renamed.id for record in renamed.records}
        return rows

    def _decided(self, key: str, facts: list[dict[str, Any]]) -> Iterator[list[StoredRow]]:
        """All staged facts about one key, decided one after the other on the history that grows with them."""
        try:
            entity = self._entity(key)
        except SubjectWithheld as error:
            for row in facts:
                self._refuse(row["record"], WITHHELD_KEY, str(error))
            return
        for row in facts:
            try:
                rows = self._decided_one(entity, row)
            except REFUSALS as error:
                self._refuse(row["record"], WITHHELD_KEY if isinstance(error, SubjectWithheld) else key, str(error))
            else:
                yield rows
        self.comparison.progress("recording", len(facts))

    def _decided_one(self, entity: Entity, row: dict[str, Any]) -> list[StoredRow]:
        """Decide on one fact, which the entity knows afterwards. Raises one of REFUSALS."""
        fact = self._fact(row)
        start = fact.valid_from
        knew = any((start is None or s.start <= start) and (start is None or start < s.end) for s in entity.timeline)
        self.persons.standings.refuse_withheld(entity.kind, fact.fields, fact.business_key)
        events = report(entity, fact, self.recording)
        rows = self._stored(events)
        if not events:
            self.counts.facts_unchanged += 1
        elif knew:
            self.counts.facts_changed += 1
        else:
            self.counts.facts_new += 1
        entity.records += events
        self._remember(entity, fact, row)
        return rows

    def _remember(self, entity: Entity, fact: Fact, row: Mapping[str, Any]) -> None:
        """Note which events that show now say what the row states of personal fields, to recognise it in columns next time."""
        if not self.profile.personal:
            return
        start, end, mentioned = fact.valid_from or BEGINNING, fact.stated_to or FOREVER, fact.fields["personal"]
        assert isinstance(mentioned, Plain)
        for segment in entity.timeline:
            personal, event = segment.statement.state["personal"], segment.statement.state["event_id"]
            assert personal is None or isinstance(personal, Plain)
            if segment.end > start and segment.start < end and mentioned.agrees_with(personal):
                self.persons.digests.remember([str(entity.id)], [str(event)], [row["personal"]])

    def _fact(self, row: Mapping[str, Any]) -> Fact:
        fields = {name: value for name, value in row.items() if name != FACT and name not in STAGED_COLUMNS}
        if self.profile.personal:
            fields["personal"] = self.persons.staged.decrypt(row["personal"], tuple(self.profile.personal))
        return Fact(
            kind=self.profile.kind,
            business_key=row["business_key"],
            valid_from=row["valid_from"],
            stated_to=row["stated_to"],
            fields=fields,
            source=self.profile.source,
            rests_on=Authority(row["doc_no"], row["authority"], row["published_on"]),
            reason=row["reason"],
            data_level=self.profile.data_level,
            flags=tuple(row["flags"] or ()),
        )

    # -- absence --

    def _closed(self, closure: Closure) -> list[StoredRow]:
        entity, as_of = self.grown.get(closure.entity) or self.store.by_id(closure.entity), self.comparison.mapper.as_of
        assert entity is not None and as_of is not None
        fact = Fact(
            kind=entity.kind,
            business_key=entity.business_key,
            valid_from=as_of,
            fields=RULES[entity.kind].ended,
            source=self.profile.source,
            reason=f"No longer listed in {self.comparison.dump.path.name}, which lists all of: {self.profile.scope}",
            data_level=self.profile.data_level,
        )
        try:
            events = report(self.persons.opened(entity), fact, self.recording)
            rows = self._stored(events)
        except REFUSALS as error:
            # No row is about it: it is kept without a line, and the entity stays as it was.
            key = WITHHELD_KEY if isinstance(error, SubjectWithheld) else closure.business_key
            self.comparison.rejections.add(NO_ROW, "", key, f"It is no longer listed, and can't be closed: {error}")
            return []
        self.counts.closed += bool(events)
        return rows


def _physical(series: pl.Series) -> list[Any]:
    return series.to_physical().to_list() if series.dtype == pl.Date else series.to_list()


def moved_keys(store: Publisher, kind: str) -> dict[str, UUID]:
    """The keys of a kind that lead to an entity that is not first known under them, as of now."""
    return {key: entity for (each, key), entity in store.moved_keys().items() if each == kind}
