"""What is proved of single events, in a few words each, for those who read a history."""

from collections.abc import Collection

import duckdb

from schemas.contracts import FACT_KINDS

NOT_SEALED = "not sealed"
VERDICTS = """
SELECT publisher, seal_no, last(last_position ORDER BY verdict_no) AS last_position, last(verdict ORDER BY verdict_no) AS verdict
FROM seal_verdicts
GROUP BY ALL
"""
"""Of each seal what was found of it last; taken from the base under the name `verdicts`."""
STATUS = f"""
WITH events AS ({" UNION ALL ".join(f"SELECT event_id, publisher, position FROM {kind}_history" for kind in FACT_KINDS)})
SELECT e.event_id::VARCHAR,
       arg_min(v.seal_no, v.seal_no) FILTER (v.verdict = 'accepted') AS accepted,
       arg_max({{'no': v.seal_no, 'verdict': v.verdict}}, v.seal_no) FILTER (v.verdict NOT IN ('accepted', 'pending')) AS doubted
FROM events AS e
JOIN verdicts AS v ON v.publisher = e.publisher AND v.last_position >= e.position
GROUP BY ALL
"""


def proof_status(taken: duckdb.DuckDBPyConnection, event_ids: Collection[str]) -> dict[str, str]:
    """Proof status by event id; events that are not in it are NOT_SEALED.

    The connection holds the tables that `audit_tables.history` takes from the base. An event is sealed by the first accepted
    seal that covers it; a later finding against a seal that covers it is said instead.
    """
    found = {}
    for event_id, accepted, doubted in taken.execute(STATUS).fetchall():
        if event_id in event_ids and doubted is not None:
            found[event_id] = f"in doubt: seal {doubted['no']} is {doubted['verdict']}"
        elif event_id in event_ids and accepted is not None:
            found[event_id] = f"sealed, seal {accepted} accepted"
    return found
