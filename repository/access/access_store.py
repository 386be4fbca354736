"""The access log's event store: a publisher's, but that a purged record counts by the leaf hash that is left of it."""

from collections.abc import Sequence
from uuid import UUID

from eventsourcing.sqlite import SQLiteApplicationRecorder

from repository.access.records import leaf_of
from repository.events.identity import LOG
from repository.proof.merkle import SHA_256, Hashing
from repository.store.publisher import Publisher


class AccessStore(Publisher):
    """The event store of the access log. What a purge leaves of a record are SHA-256 hashes, so no other can seal this log."""

    hash_algorithm = SHA_256

    def __init__(self, env: dict[str, str]) -> None:
        super().__init__(LOG, env)

    def position_of(self, entity: UUID, version: int) -> int | None:
        """Position of one record; None where there is none."""
        recorder = self.recorder
        assert isinstance(recorder, SQLiteApplicationRecorder), type(recorder)
        with recorder.datastore.transaction(commit=False) as cursor:
            chosen = f"FROM {recorder.events_table_name} WHERE originator_id = ? AND originator_version = ?"
            cursor.execute(f"SELECT rowid {chosen}", (entity.hex, version))
            found = cursor.fetchone()
        return None if found is None else int(found[0])

    def leaves(self, algorithm: Hashing, states: Sequence[bytes]) -> list[bytes]:
        """Leaf hashes of stored bytes: of what they were, where a purge left the hash alone."""
        if algorithm.name != self.hash_algorithm:
            # Of what was purged there is no hash by another; a seal that claims one does not fit, and is found.
            return super().leaves(algorithm, states)
        return [leaf_of(state) for state in states]
