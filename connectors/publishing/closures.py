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
from repository.kinds.register import RULES
from schemas.contracts import FACT_KINDS


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
    name, value = RULES[profile.kind].still
    listed = (
        f"SELECT t.entity_id, t.business_key FROM {profile.kind}_timeline AS t "
        "JOIN batch_history AS b ON b.event_id = t.batch_id "
        f"WHERE t.source = $source AND b.scope IS NOT DISTINCT FROM $scope AND t.{name} = '{value}' "
        "AND (t.valid_from IS NULL OR t.valid_from <= $as_of) AND (t.valid_to IS NULL OR t.valid_to > $as_of)"
    )
    given = {"source": profile.source, "scope": profile.scope, "as_of": as_of}
    # Keys are compared by hash, as the comparison of facts is; a former key counts as listed.
    connection.execute(
        "CREATE OR REPLACE TEMP TABLE listed_keys AS "
        "SELECT key_hash FROM mentioned UNION SELECT former_hash FROM mentioned WHERE former_hash IS NOT NULL"
    )
    total = connection.execute(f"SELECT count(*) FROM ({listed})", given).fetchall()[0][0]
    absent = connection.execute(
        # A renamed entity is present under any of its keys; only the few that seem absent are looked up by all of them.
        f"SELECT entity_id, business_key FROM ({listed}) AS l WHERE hash(business_key) NOT IN (SELECT key_hash FROM listed_keys) "
        f"AND NOT EXISTS (SELECT 1 FROM {profile.kind}_history AS h "
        "JOIN listed_keys AS m ON m.key_hash = hash(h.business_key) WHERE h.entity_id = l.entity_id) "
        "AND NOT list_contains($rejected, business_key) ORDER BY business_key",
        given | {"rejected": [key for key in rejected_keys if key is not None]},
    ).fetchall()
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
    newest = connection.execute(
        "SELECT max(valid_from) FROM batch_history "
        "WHERE source = ? AND scope IS NOT DISTINCT FROM ? AND completeness = 'complete'",
        [profile.source, profile.scope],
    ).fetchall()[0][0]
    return newest is not None and newest > as_of
