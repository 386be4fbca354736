"""A dump beside what is known: its rows mapped and staged, and what of them is rejected, repeated, contradicted or known."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from uuid import UUID

import duckdb
import polars as pl

from connectors.dumps import Dump
from connectors.persons.recording import Persons
from connectors.publishing.batches import Counts
from connectors.publishing.mapping import Mapper
from connectors.publishing.prefetch import ahead
from connectors.publishing.rejections import Rejections
from connectors.publishing.staging import Conflict, Staging

Progress = Callable[[str, int], None]
"""Told what is done and how many more rows or facts are."""


@dataclass
class Comparison:
    """One dump while it is compared: first `read`, then `reopen`, then `settle`, each for the whole of it."""

    dump: Dump
    mapper: Mapper
    staging: Staging
    counts: Counts
    rejections: Rejections
    progress: Progress
    flagged: int = 0

    def read(self) -> None:
        """Map and stage every chunk."""
        for mapped in ahead(map(self.mapper.map, self.dump.chunks())):
            self.staging.add(mapped.facts)
            self.counts.rows_read += mapped.rows_read
            self.counts.rows_mapped += mapped.rows_mapped
            self.counts.rows_rejected += mapped.rows_rejected
            self.counts.rows_skipped += mapped.rows_skipped
            self.counts.facts_rejected += mapped.facts_rejected
            self.flagged += mapped.facts.filter(pl.col("flags").list.len() > 0).height
            self.rejections.keys += mapped.rejected_keys
            for each in mapped.rejections:
                self.rejections.add(each.record, each.column, each.value, each.reason, each.line)
            self.progress("reading", mapped.rows_read)

    def reopen(self, since: int, moved_keys: Mapping[str, UUID]) -> None:
        """Stage the facts that were known and have to be decided on after all (`Staging.torn`), from the dump once more."""
        torn = self.staging.torn(since, moved_keys)
        for number, chunk in enumerate(self.dump.chunks() if torn else ()):
            if number in torn:
                self.staging.add_torn(number, self.mapper.map(chunk).facts)

    def settle(self) -> None:
        """Count what the dump says twice, and refuse what it contradicts itself in."""
        repeated, conflicts = self.staging.collapse()
        self.counts.facts_duplicate += repeated
        self.counts.facts_rejected += len(conflicts)
        lines = self.dump.lines({c.record for c in conflicts} | {c.other for c in conflicts})
        for conflict in conflicts:
            self.rejections.keys.append(conflict.business_key)
            self.rejections.add(conflict.record, "", conflict.business_key, _contradiction(conflict, lines))


def comparison(
    connection: duckdb.DuckDBPyConnection, persons: Persons, dump: Dump, mapper: Mapper, batch_id: str, progress: Progress
) -> Comparison:
    """The comparison of a dump with what the connection knows; staged tables of an earlier one are replaced."""
    profile = mapper.profile
    digests = persons.digests.kept() if profile.personal else None
    staging = Staging(connection, profile.kind, mapper.paths, digests)
    return Comparison(dump, mapper, staging, Counts(), Rejections(batch_id, profile.source, dump), progress)


def _contradiction(conflict: Conflict, lines: Mapping[int, int]) -> str:
    return (
        f"Lines {lines[conflict.record]} and {lines[conflict.other]} state different things of {conflict.business_key} "
        "for the same day; correct one of them or take it out."
    )
