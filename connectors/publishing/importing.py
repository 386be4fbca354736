"""Importing a dump: read, map, compare with what is known, record what is new. All of it in one transaction, or nothing.

The steps, in the order in which they run under the publisher's lock:

1. what is known is brought up to date with the publisher's own store, as that is when the import begins;
2. the dump is mapped chunk by chunk and staged; rejected rows are collected with line and reason;
3. facts that the dump repeats are collapsed, contradictions refused, known facts dropped;
4. one transaction of the store takes the decisions of known entities, the first events of new ones, the closures of a
   complete dump, and the batch record.

Live reports go on meanwhile, and wait for step 4 alone. What they have recorded since the import began is taken in at the
beginning of that transaction, where nobody else records: the entities that it is about are decided on as they are then.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime
from itertools import groupby
from pathlib import Path
from typing import Any
from uuid import UUID

import duckdb
import polars as pl

from connectors.dumps import Dump, open_dump
from connectors.home.folder import Home
from connectors.home.regional_key import Tokeniser
from connectors.persons.cipher_process import Waiting
from connectors.persons.recording import Persons, persons
from connectors.profiles.profile import Profile
from connectors.proof import sealing
from connectors.publishing import batches, rejections
from connectors.publishing.closures import Closure, closures
from connectors.publishing.known_facts import catch_up, known, reached
from connectors.publishing.mapping import Mapped, mapper
from connectors.publishing.prefetch import ahead, one_behind
from connectors.publishing.rejections import NO_ROW, Rejected
from connectors.publishing.staging import ENVELOPE, FACT, Staging
from repository.controls.subject_measure import SubjectWithheld
from repository.decisions.entity import Entity, Recording, Superseded, rename, report
from repository.decisions.facts import Authority, Fact, refuse_empty
from repository.decisions.state import NotAState
from repository.decisions.timeline import BEGINNING, FOREVER
from repository.events.encoding import NotAnEvent
from repository.events.identity import leaf_hash
from repository.kinds.register import RULES
from repository.kinds.rules import Violation
from repository.persons.personal import PersonalRefused, Plain
from repository.store.bulk import FirstEvents
from repository.store.publisher import INSERT_EVENTS, Append, Publisher, StoredRow, stored_row
from repository.store.stored_leaves import JustRecorded

REFUSALS = (NotAState, Violation, Superseded, PersonalRefused, NotAnEvent, SubjectWithheld)
"""What a decision raises about one fact, which costs that fact and nothing else."""

Progress = Callable[[str, int], None]
"""Told what is done and how many more rows or facts are."""


@dataclass
class Imported:
    """The outcome of one import."""

    publisher: str
    profile: Profile
    batch_id: UUID
    counts: batches.Counts
    rejected: list[Rejected] = field(default_factory=list)
    flagged: int = 0


@dataclass
class _Import:
    """One import under way."""

    store: Publisher
    persons: Persons
    profile: Profile
    dump: Dump
    staging: Staging
    batch: batches.BatchIdentity
    as_of: date | None
    started: datetime
    repeated: frozenset[str]
    progress: Progress
    counts: batches.Counts = field(default_factory=batches.Counts)
    rejected: list[Rejected] = field(default_factory=list)
    rejected_keys: list[str | None] = field(default_factory=list)
    flagged: int = 0
    refused: set[int] = field(default_factory=set)
    """Numbers of the facts that were refused before they were decided on."""
    recorded: JustRecorded = field(default_factory=JustRecorded)
    """Leaf hashes of what was recorded, in order: a seal that follows need not read and hash it again."""
    renamed: dict[str, Entity] = field(default_factory=dict)
    """Entities renamed by this import, under each of their keys: the store shows them only when it is done."""

    def reject(self, record: int, line: int | None, column: str, value: str, reason: str) -> None:
        self.rejected.append(
            Rejected(str(self.batch.id), self.profile.source, self.dump.path.name, record, line, column, value, reason)
        )


def import_dump(
    home: Home,
    profile: Profile,
    path: Path,
    publisher: str,
    as_of: date | None = None,
    tokeniser: Tokeniser | None = None,
    max_closures: float | None = None,
    progress: Progress = lambda _step, _number: None,
) -> Imported:
    """Import one dump. Raises DumpUnreadable, ProfileError or TooManyClosures, and then has recorded nothing."""
    with (
        home.lock(f"publisher-{home.member(publisher)}", f"importing {path.name}"),
        home.store(publisher) as store,
        known(home, store) as connection,
        persons(home, store) as subjects,
    ):
        # Read before anything is recorded, so that a key that can't be used stops the import, not the seal after it.
        key = sealing.signer(home, publisher)
        dump = open_dump(path, profile.layout, home.settings.import_chunk_rows)
        mapping = mapper(profile, dump.columns, publisher, as_of, tokeniser, subjects.staged.encrypt)
        staging = Staging(connection, profile.kind, mapping.paths, subjects.digests.kept() if profile.personal else None)
        batch = batches.next_batch(store, profile.source)
        repeated = batches.same_file(connection, profile.source, dump.sha256)
        day, now = as_of or profile.as_of, datetime.now(UTC)
        work = _Import(store, subjects, profile, dump, staging, batch, day, now, repeated, progress)
        _stage(work, mapping.map)
        # Once before anybody has to wait: what is left to take in then is little.
        _take_in(work, home, connection, mapping.map)
        _compare(work)
        _number_lines(work)
        with store.bulk() as append:
            if store.newest_position() > reached(connection):
                _take_in(work, home, connection, mapping.map)
            closing = closures(connection, profile, work.as_of, work.rejected_keys, max_closures)
            rejections.keep(home.folder / "rejections" / f"{publisher}.sqlite", str(batch.id), work.rejected)
            _record(work, append, closing)
        subjects.digests.keep()
        # Again, with those that the decisions refused; after a crash in between the same batch id replaces them.
        _number_lines(work)
        rejections.keep(home.folder / "rejections" / f"{publisher}.sqlite", str(batch.id), work.rejected)
        sealing.seal_when_due(home, store, key, recorded=work.recorded)
        return Imported(publisher, profile, batch.id, work.counts, work.rejected, work.flagged)


# -- reading and comparing -----------------------------------------------------------------------------------------


def _stage(work: _Import, map_chunk: Callable[[Any], Mapped]) -> None:
    for mapped in ahead(map(map_chunk, work.dump.chunks())):
        work.staging.add(mapped.facts)
        counts = work.counts
        counts.rows_read += mapped.rows_read
        counts.rows_mapped += mapped.rows_mapped
        counts.rows_rejected += mapped.rows_rejected
        counts.rows_skipped += mapped.rows_skipped
        counts.facts_rejected += mapped.facts_rejected
        work.flagged += mapped.facts.filter(pl.col("flags").list.len() > 0).height
        work.rejected_keys += mapped.rejected_keys
        for each in mapped.rejections:
            work.reject(each.record, each.line, each.column, each.value, each.reason)
        work.progress("reading", mapped.rows_read)


def _take_in(work: _Import, home: Home, connection: duckdb.DuckDBPyConnection, map_chunk: Callable[[Any], Mapped]) -> None:
    """Bring what is known up to date once more, and stage the facts that were known and have to be decided on after all."""
    since = reached(connection)
    catch_up(home, connection, work.store)
    torn = work.staging.torn(since, _moved_keys(work))
    for number, chunk in enumerate(work.dump.chunks() if torn else ()):
        if number in torn:
            work.staging.add_torn(number, map_chunk(chunk).facts)


def _moved_keys(work: _Import) -> dict[str, UUID]:
    """The keys that lead to an entity that is not first known under them."""
    return {key: to for (kind, key), to in work.store.moved_keys().items() if kind == work.profile.kind}


def _compare(work: _Import) -> None:
    repeated, conflicts = work.staging.collapse()
    work.counts.facts_duplicate += repeated
    work.counts.facts_rejected += len(conflicts)
    lines = work.dump.lines({c.record for c in conflicts} | {c.other for c in conflicts})
    for conflict in conflicts:
        work.rejected_keys.append(conflict.business_key)
        work.reject(
            conflict.record,
            lines.get(conflict.record),
            "",
            conflict.business_key,
            f"Lines {lines.get(conflict.record)} and {lines.get(conflict.other)} state different things "
            f"of {conflict.business_key} for the same day; correct one of them or take it out.",
        )


def _number_lines(work: _Import) -> None:
    """Put physical line numbers to the rejections that only know their record."""
    unknown = {r.record for r in work.rejected if r.line is None and r.record != NO_ROW}
    lines = work.dump.lines(unknown) if unknown else {}
    work.rejected = [replace(r, line=lines.get(r.record)) if r.line is None else r for r in work.rejected]


# -- recording -----------------------------------------------------------------------------------------------------


def _record(work: _Import, append: Append, closing: list[Closure]) -> None:
    """Everything this import records, in the transaction of `append`."""
    recording = Recording(work.store.code, work.started, work.batch.id, work.repeated)
    buffer = _Buffer(append, work.counts, work.recorded, work.persons)
    work.counts.facts_unchanged += work.staging.unchanged()
    # New ones first: they leave the staging table, and what remains is for the entities to decide.
    for new in one_behind(_new(work, frame) for frame in work.staging.take_new(_known_otherwise(work))):
        _record_new(work, buffer, new)
    for successor in work.staging.successors():
        _rename(work, buffer, recording, successor)
    for _, facts in groupby(work.staging.rest(), key=lambda row: row["business_key"]):
        _decide(work, buffer, recording, list(facts))
    for closure in closing:
        _close(work, buffer, recording, closure)
    buffer.flush()
    counts = work.counts
    event_type = batches.IMPORTED if counts.events else batches.UNCHANGED
    finished = datetime.now(UTC)
    details = batches.import_details(work.profile, counts, work.dump.path.name, work.dump.sha256, work.started, finished)
    row = batches.batch_row(work.store, work.batch, work.profile.source, event_type, work.as_of, finished, details)
    append([row])
    work.recorded.add([row], [leaf_hash(row.state)])


def _known_otherwise(work: _Import) -> set[str]:
    """Keys of which the history knows nothing and something is known: renamed ones, and those of persons who are withheld."""
    kind, moved = work.profile.kind, set(_moved_keys(work))
    if not work.profile.token_field:
        return moved
    withheld = work.staging.keys_stating(work.profile.token_field, work.persons.standings.by_token().keys())
    return moved | work.persons.standings.decided_keys(kind).keys() | set(withheld)


@dataclass
class _Buffer:
    """Stored rows on their way into the transaction, counted when they go."""

    append: Append
    counts: batches.Counts
    recorded: JustRecorded
    persons: Persons
    rows: list[StoredRow] = field(default_factory=list)

    def add(self, kind: str, records: list[dict[str, Any]]) -> None:
        """Decided events, their personal fields in plain until here."""
        self.rows += [stored_row(kind, record) for record in self.persons.encrypted(kind, records)]
        if len(self.rows) >= INSERT_EVENTS:
            self.flush()

    def flush(self) -> None:
        self.append(self.rows)
        self.recorded.add(self.rows, self.counts.recorded(self.rows))
        self.rows = []


@dataclass(frozen=True, slots=True)
class _New:
    """A batch of first events: the records they come from, the staged personal fields, and what gives their ciphertext."""

    records: list[int]
    first: FirstEvents
    staged: Sequence[bytes] = ()
    encrypted: Waiting = list


def _new(work: _Import, frame: pl.DataFrame) -> _New:
    """A batch of plainly new facts, whose personal fields begin to be encrypted."""
    profile, records = work.profile, frame["record"].to_list()
    columns = {name: _physical(frame[name]) for name in frame.columns if name not in ("record", "previous_key")}
    envelope = {"source": profile.source, "batch_id": str(work.batch.id), "data_level": profile.data_level}
    first = FirstEvents(profile.kind, work.store.code, frame.height, columns, envelope, work.started)
    if not profile.personal:
        return _New(records, first)
    staged = first.columns["personal"]
    return _New(records, first, staged, work.persons.staged.begin_blobs(first.entities, first.events, staged))


def _record_new(work: _Import, buffer: _Buffer, new: _New) -> None:
    rows, refused = new.first.stored(new.encrypted() if work.profile.personal else None)
    if work.profile.personal:
        _remember_first(work, new, rows)
    for row, reason in refused:
        _refuse(work, new.records[row], new.first.keys[row], reason)
    work.counts.facts_new += len(rows)
    buffer.rows += rows
    buffer.flush()
    work.progress("recording", len(rows))


def _remember_first(work: _Import, new: _New, rows: Sequence[StoredRow]) -> None:
    """As `_remember`, of the first events that became rows; of one that was refused nothing is known."""
    entities, events, staged = new.first.entities, new.first.events, new.staged
    if len(rows) == len(entities):
        work.persons.digests.remember(entities, events, staged)
        return
    stored = {row.entity for row in rows}
    for entity, event, cell in zip(entities, events, staged, strict=True):
        if entity.replace("-", "") in stored:
            work.persons.digests.remember([entity], [event], [cell])


def _physical(series: pl.Series) -> list[Any]:
    return series.to_physical().to_list() if series.dtype == pl.Date else series.to_list()


def _decide(work: _Import, buffer: _Buffer, recording: Recording, facts: list[dict[str, Any]]) -> None:
    """All staged facts about one key, decided one after the other on the history that grows with them."""
    try:
        entity = work.persons.opened(_entity(work, facts[0]["business_key"]))
    except SubjectWithheld as error:
        for row in facts:
            _refuse(work, row["record"], row["business_key"], str(error))
        return
    for row in facts:
        if row[FACT] in work.refused:
            continue
        fact = _fact(work, row)
        start = fact.valid_from
        knew = any((start is None or s.start <= start) and (start is None or start < s.end) for s in entity.timeline)
        try:
            work.persons.standings.refuse_withheld(entity.kind, fact.fields)
            events = report(entity, fact, recording)
            buffer.add(entity.kind, events)
        except REFUSALS as error:
            _refuse(work, row["record"], row["business_key"], str(error))
            continue
        if not events:
            work.counts.facts_unchanged += 1
        elif knew:
            work.counts.facts_changed += 1
        else:
            work.counts.facts_new += 1
        entity.records += events
        _remember(work, entity, fact, row)
    work.progress("recording", len(facts))


def _refuse(work: _Import, record: int, key: str, reason: str) -> None:
    work.counts.facts_rejected += 1
    work.reject(record, None, "", key, reason)


def _remember(work: _Import, entity: Entity, fact: Fact, row: Mapping[str, Any]) -> None:
    """Note which events that show now say what the row states of personal fields, to recognise it in columns next time."""
    if not work.profile.personal:
        return
    start, end, mentioned = fact.valid_from or BEGINNING, fact.stated_to or FOREVER, fact.fields["personal"]
    assert isinstance(mentioned, Plain)
    for segment in entity.timeline:
        personal, event = segment.statement.state["personal"], segment.statement.state["event_id"]
        assert personal is None or isinstance(personal, Plain)
        if segment.end > start and segment.start < end and mentioned.agrees_with(personal):
            work.persons.digests.remember([str(entity.id)], [str(event)], [row["personal"]])


def _entity(work: _Import, key: str) -> Entity:
    """The entity that a key means, with what this import has recorded of a renamed one."""
    return work.renamed.get(key) or work.store.entity(work.profile.kind, key, look=False)


def _rename(work: _Import, buffer: _Buffer, recording: Recording, row: dict[str, Any]) -> None:
    """Rename the entity known under a row's former key, where the new key is nobody's yet."""
    kind, former = work.profile.kind, _entity(work, row["previous_key"])
    if not former.records or _entity(work, row["business_key"]).records:
        return
    try:
        refuse_empty(row["business_key"], row["valid_from"], row["stated_to"])
        events = rename(former, row["business_key"], row["valid_from"], recording, _fact(work, row))
        buffer.add(kind, events)
    except REFUSALS as error:
        work.refused.add(row[FACT])
        _refuse(work, row["record"], row["business_key"], str(error))
        return
    renamed = Entity.of(kind, [*former.records, *events])
    work.renamed |= {str(record["business_key"]): renamed for record in renamed.records}


def _fact(work: _Import, row: Mapping[str, Any]) -> Fact:
    profile = work.profile
    fields = {name: value for name, value in row.items() if name != FACT and name not in ENVELOPE}
    if profile.personal:
        fields["personal"] = work.persons.staged.decrypt(row["personal"], tuple(profile.personal))
    return Fact(
        kind=profile.kind,
        business_key=row["business_key"],
        valid_from=row["valid_from"],
        stated_to=row["stated_to"],
        fields=fields,
        source=profile.source,
        rests_on=Authority(row["doc_no"], row["authority"], row["published_on"]),
        reason=row["reason"],
        data_level=profile.data_level,
        flags=tuple(row["flags"] or ()),
    )


def _close(work: _Import, buffer: _Buffer, recording: Recording, closure: Closure) -> None:
    entity = work.store.by_id(closure.entity)
    assert entity is not None and work.as_of is not None
    fact = Fact(
        kind=entity.kind,
        business_key=entity.business_key,
        valid_from=work.as_of,
        fields=RULES[entity.kind].ended,
        source=work.profile.source,
        reason=f"No longer listed in {work.dump.path.name}, which lists all of: {work.profile.scope}",
        data_level=work.profile.data_level,
    )
    try:
        events = report(entity, fact, recording)
        buffer.add(entity.kind, events)
    except REFUSALS as error:
        # No row is about it: it is kept without a line, and the entity stays as it was.
        work.reject(NO_ROW, None, "", closure.business_key, f"It is no longer listed, and can't be closed: {error}")
        return
    work.counts.closed += bool(events)
