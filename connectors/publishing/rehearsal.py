"""An import rehearsed: what it would make of a dump in an empty home, by the import's own code, and nothing of it kept.

Store, key store and what is known are in memory; rows with personal fields lie encrypted in a file without a name, as in an
import.
"""

import secrets
import sqlite3
from collections import deque
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import UTC, date, datetime
from itertools import islice
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

from connectors.dumps import Dump, open_dump
from connectors.home.databases import connect
from connectors.home.folder import Home
from connectors.home.regional_key import Tokeniser
from connectors.persons.recording import Persons
from connectors.profiles.profile import Profile
from connectors.publishing import batches
from connectors.publishing.comparison import comparison
from connectors.publishing.decisions import Decisions
from connectors.publishing.mapping import Mapper, mapper
from connectors.publishing.rejections import Rejected
from projections import tables
from repository.decisions.entity import Recording
from repository.persons.personal import KEY_BYTES
from repository.persons.subject_keys import MasterKey, SubjectKeys
from repository.store.publisher import Publisher

SHOWN_FACTS: Final = 10
IN_MEMORY: Final = ":memory:"


@dataclass(frozen=True)
class Rehearsed:
    """What an import would come to: its counts, every rejection, how many facts its rows give, and the first of them."""

    counts: batches.Counts
    rejected: list[Rejected]
    facts: int
    first: list[dict[str, Any]]


def rehearse(
    profile: Profile, path: Path, publisher: str, as_of: date | None = None, tokeniser: Tokeniser | None = None
) -> Rehearsed:
    """Rehearse the import of one dump. Raises DumpUnreadable or ProfileError, as the import does."""
    dump = open_dump(path, profile.layout)
    plain = mapper(profile, dump.columns, publisher, as_of, tokeniser)
    with _empty(publisher) as (home, store, persons), closing(connect(home, Path(IN_MEMORY))) as connection:
        tables.create(connection)
        mapping = mapper(profile, dump.columns, publisher, as_of, tokeniser, persons.staged.encrypt)
        batch = batches.next_batch(store, profile.source)
        compared = comparison(connection, persons, dump, mapping, str(batch.id), lambda _step, _number: None)
        compared.read()
        compared.reopen(0, {})
        compared.settle()
        decisions = Decisions(store, persons, compared, Recording(publisher, datetime.now(UTC), batch.id))
        deque(decisions.rows(), maxlen=0)
        return Rehearsed(compared.counts, compared.rejections.in_order(), compared.staging.facts, _first(dump, plain))


def _first(dump: Dump, mapping: Mapper) -> list[dict[str, Any]]:
    """The first facts as they are shown, without personal fields."""
    facts = (fact for chunk in dump.chunks() for fact in mapping.map(chunk).facts.iter_rows(named=True))
    return list(islice(facts, SHOWN_FACTS))


@contextmanager
def _empty(publisher: str) -> Iterator[tuple[Home, Publisher, Persons]]:
    """A home of one publisher in which nothing is recorded, with keys that nobody has."""
    with TemporaryDirectory(prefix="yrd-") as folder, closing(_keys()) as keys:
        home = Home.create(Path(folder), (publisher,), synthetic=True)
        store = Publisher(publisher, {"PERSISTENCE_MODULE": "eventsourcing.sqlite", "SQLITE_DBNAME": IN_MEMORY})
        with closing(store), closing(Persons(home, store, keys)) as persons:
            yield home, store, persons


def _keys() -> SubjectKeys:
    connection = sqlite3.connect(IN_MEMORY, isolation_level=None, check_same_thread=False)
    return SubjectKeys(connection, MasterKey(secrets.token_bytes(KEY_BYTES)), "memory")
