"""What a complete dump ends by no longer listing it, and when it may not.

Absence closes only what this source asserted last, inside the scope that the dump claims to list in full. It closes
nothing when the dump is older than one already imported, or when a rejected row can't be told from an absent one; and it
stops the import when it would close more than the profile allows, which is far more often a broken dump than the world.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from uuid import UUID

import duckdb

from connectors.profiles.profile import Profile
from connectors.publishing.statements import statements
from repository.kinds.register import RULES
from schemas.contracts import FACT_KINDS

SQL = statements("closures.sql")


class TooManyClosures(ValueError):
    """A dump that would close more than it may; nothing was recorded."""


@dataclass(frozen=True, slots=True)
class Closure:
    """An entity to close."""

    entity: UUID
    business_key: str


def closures(
    connection: duckdb.DuckDBPyConnection,
    profile: Profile,
    as_of: date | None,
    rejected_keys: Sequence[str | None],
    max_closures: float | None,
) -> list[Closure]:
    """Entities that the staged dump ends; `rejected_keys` None stands for a row whose key could not be read.

    Raises TooManyClosures above `max_closures` (share of what the source listed; default: the profile's).
    """
    if profile.completeness != "complete" or as_of is None or profile.kind not in FACT_KINDS:
        return []
    if not RULES[profile.kind].closes or None in rejected_keys or _older(connection, profile, as_of):
        return []
    still, value = RULES[profile.kind].still
    given = {"source": profile.source, "scope": profile.scope, "as_of": as_of, "value": value}
    connection.execute(SQL["listed_keys"])
    connection.execute(SQL["listed_before"].format(kind=profile.kind, still=still), given)
    total = connection.execute(SQL["listed_number"]).fetchall()[0][0]
    rejected = [key for key in rejected_keys if key is not None]
    absent = connection.execute(SQL["absent"].format(kind=profile.kind), {"rejected": rejected}).fetchall()
    allowed = profile.max_closures if max_closures is None else max_closures
    if len(absent) > allowed * total:
        raise TooManyClosures(
            f"The dump no longer lists {len(absent)} of {total} that {profile.source} listed before, "
            f"more than the {allowed:.0%} allowed; "
            "check that it is whole, or import it with --max-closures 1 when they really closed. Nothing was recorded."
        )
    return [Closure(entity, key) for entity, key in absent]


def _older(connection: duckdb.DuckDBPyConnection, profile: Profile, as_of: date) -> bool:
    """Whether a dump of the same list that describes a later day was imported before."""
    newest = connection.execute(SQL["newest"], {"source": profile.source, "scope": profile.scope}).fetchall()[0][0]
    return newest is not None and newest > as_of
