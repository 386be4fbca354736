"""Importing a dump: read, map, compare with what is known, record what is new. All of it in one transaction, or nothing.

The steps, in the order in which they run under the publisher's lock:

1. what is known is brought up to date with the publisher's own store, as that is when the import begins (`known_facts`);
2. the dump is mapped chunk by chunk and staged; rejected rows are collected with line and reason, facts that the dump repeats are
   collapsed, contradictions refused, known facts dropped (`comparison`, `staging`);
3. one transaction of the store takes the first events of new entities, the decisions of known ones, the closures of a
   complete dump (`decisions`, `closures`), and the batch record.

Live reports go on meanwhile, and wait for step 3 alone. What they have recorded since the import began is taken in at the
beginning of that transaction, where nobody else records: the entities that it is about are decided on as they are then.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from pathlib import Path
from uuid import UUID

import duckdb

from connectors.dumps import open_dump
from connectors.home.folder import Home
from connectors.home.regional_key import Tokeniser
from connectors.persons.recording import Persons, persons
from connectors.profiles.profile import Profile
from connectors.proof import sealing
from connectors.publishing import batches, rejections
from connectors.publishing.closures import closures
from connectors.publishing.comparison import Comparison, Progress, comparison
from connectors.publishing.decisions import Decisions, moved_keys
from connectors.publishing.known_facts import catch_up, known, reached
from connectors.publishing.mapping import mapper
from connectors.publishing.rejections import Rejected
from repository.decisions.entity import Recording
from repository.events.identity import leaf_hash
from repository.store.publisher import INSERT_EVENTS, Append, Publisher, StoredRow
from repository.store.stored_leaves import JustRecorded


@dataclass
class Imported:
    """The outcome of one import."""

    publisher: str
    profile: Profile
    batch_id: UUID
    counts: batches.Counts
    rejected: list[Rejected] = field(default_factory=list)
    flagged: int = 0


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
        batch, started, recorded = batches.next_batch(store, profile.source), datetime.now(UTC), JustRecorded()
        compared = comparison(connection, subjects, dump, mapping, str(batch.id), progress)
        compared.read()
        # Once before anybody has to wait: what is left to take in then is little.
        _take_in(home, store, connection, compared)
        compared.settle()
        with store.bulk() as append:
            if store.newest_position() > reached(connection):
                _take_in(home, store, connection, compared)
            ending = closures(connection, profile, mapping.as_of, compared.rejections.keys, max_closures)
            _keep(home, publisher, compared, subjects)
            same = batches.same_file(connection, profile.source, dump.sha256)
            decisions = Decisions(store, subjects, compared, Recording(publisher, datetime.now(UTC), batch.id, same))
            _record(append, decisions.rows(ending), compared.counts, recorded)
            _record_batch(append, decisions, batch, started, recorded)
        subjects.digests.keep()
        # Again, with those that the decisions refused; after a crash in between the same batch id replaces them.
        rejected = _keep(home, publisher, compared, subjects)
        sealing.seal_when_due(home, store, key, recorded=recorded)
        return Imported(publisher, profile, batch.id, compared.counts, rejected, compared.flagged)


def _take_in(home: Home, store: Publisher, connection: duckdb.DuckDBPyConnection, compared: Comparison) -> None:
    """Bring what is known up to date once more, and stage the facts that were known and have to be decided on after all."""
    since = reached(connection)
    catch_up(home, connection, store)
    compared.reopen(since, moved_keys(store, compared.mapper.profile.kind))


def _keep(home: Home, publisher: str, compared: Comparison, subjects: Persons) -> list[Rejected]:
    """Keep what was rejected so far in place of what was kept for this batch before; nobody who is withheld is named in it."""
    rejected = compared.rejections.in_order()
    if rejected and compared.mapper.profile.token_field:
        rejected = rejections.unnamed(rejected, subjects.standings.withheld_texts())
    rejections.keep(home.folder / "rejections" / f"{publisher}.sqlite", compared.rejections.batch_id, rejected)
    return rejected


def _record(append: Append, rows: Iterable[list[StoredRow]], counts: batches.Counts, recorded: JustRecorded) -> None:
    """Append rows as they are decided, many at a time, counted when they go."""
    waiting: list[StoredRow] = []

    def flush() -> None:
        append(waiting)
        recorded.add(waiting, counts.recorded(waiting))
        waiting.clear()

    for decided in rows:
        waiting += decided
        if len(waiting) >= INSERT_EVENTS:
            flush()
    flush()


def _record_batch(
    append: Append, decisions: Decisions, batch: batches.BatchIdentity, started: datetime, recorded: JustRecorded
) -> None:
    """The batch record, last of all that an import records."""
    profile, counts, mapping, dump = decisions.profile, decisions.counts, decisions.comparison.mapper, decisions.comparison.dump
    event_type, finished = batches.IMPORTED if counts.events else batches.UNCHANGED, datetime.now(UTC)
    details = batches.import_details(profile, counts, dump.path.name, dump.sha256, started, finished)
    row = batches.batch_row(decisions.store, batch, profile.source, event_type, mapping.as_of, finished, details)
    append([row])
    recorded.add([row], [leaf_hash(row.state)])
