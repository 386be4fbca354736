"""What auditors take away from a base: whole tables, each by one SELECT, all of them from one commit.

Every function gives the parts of one such answer from its arguments; nothing is executed here. Moments and days are
given as ISO 8601 text and cast in the SQL.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from projections.proof_status import VERDICTS
from schemas.contracts import FACT_KINDS, KINDS

POSITIONS = "SELECT topic, partition, next_offset, last_position FROM checkpoints ORDER BY ALL"
"""Where a base stands in each partition; read in the transaction of the tables that are taken away."""
QUARANTINE_CELLS = "topic, partition, log_offset, position, entity_id, event_type, value, received_at"
"""What the log alone determines of a held record: not its number, the wording of the reason, or what people decided."""


class Part(NamedTuple):
    """One table of an answer: its name, the SELECT that gives it, and the parameters of that."""

    table: str
    sql: str
    parameters: Sequence[Any] = ()


Arguments = Mapping[str, Any]


def asof(given: Arguments) -> list[Part]:
    """Per kind of fact, what the logs held at `known` about the day `valid`: one row per entity."""
    return [Part(kind, f"SELECT * FROM {kind}_asof(?, ?)", [given["valid"], given["known"]]) for kind in FACT_KINDS]


def history(given: Arguments) -> list[Part]:
    """The change log of `entity` (key or identity), and its events whole; `publisher` and `kind` narrow, where given."""
    narrowed = "WHERE ($publisher IS NULL OR publisher = $publisher) AND ($kind IS NULL OR kind = $kind)"
    parameters = {"entity": given["entity"], "publisher": given.get("publisher"), "kind": given.get("kind")}
    log = Part("change_log", f"SELECT * FROM change_log($entity) {narrowed}", parameters)  # type: ignore[arg-type]
    return [log, Part("verdicts", VERDICTS), *(_events(kind, given["entity"]) for kind in FACT_KINDS)]


def _events(kind: str, entity: str) -> Part:
    sql = f"""
        SELECT h.*
        FROM {kind}_history AS h
        SEMI JOIN (
            SELECT entity_id FROM {kind}_history WHERE business_key = $1 OR entity_id::VARCHAR = $1
        ) USING (entity_id)
        ORDER BY version
    """
    return Part(f"{kind}_history", sql, [entity])


def changes(given: Arguments) -> list[Part]:
    """Per kind, all events known at `second` of the entities of which something arrived after `first` and until then."""
    return [Part(f"{kind}_history", _changes(kind), [given["first"], given["second"]]) for kind in FACT_KINDS]


def _changes(kind: str) -> str:
    return f"""
        SELECT h.*
        FROM {kind}_history AS h
        SEMI JOIN (
            SELECT entity_id
            FROM {kind}_history
            WHERE received_at > $1::TIMESTAMPTZ AND received_at <= $2::TIMESTAMPTZ
        ) USING (entity_id)
        WHERE h.received_at <= $2::TIMESTAMPTZ
    """


def held(given: Arguments) -> list[Part]:
    """All tables that the log determines, as they stand: histories, timelines, what holds today, checkpoints, quarantine.

    Where `until` is given ([topic, partition, last position] of each partition), only what lies up to there, and neither
    timelines nor checkpoints, which say how things stand now.
    """
    until = given.get("until")
    where, parameters = _bound(until)
    parts = [Part(f"{kind}_history", f"SELECT * FROM {kind}_history{where}", parameters) for kind in KINDS]
    parts.append(Part("quarantine", f"SELECT {QUARANTINE_CELLS} FROM quarantine{where}", parameters))
    if until is not None:
        return parts
    shown = [f"{kind}_{what}" for kind in FACT_KINDS for what in ("timeline", "current")]
    parts += [Part(table, f"SELECT * FROM {table}") for table in shown]
    return [*parts, Part("checkpoints", "SELECT * FROM checkpoints")]


def _bound(until: Sequence[Sequence[Any]] | None) -> tuple[str, list[Any]]:
    if until is None:
        return "", []
    each = " OR ".join("(topic = ? AND partition = ? AND position <= ?)" for _ in until)
    return f" WHERE {each or 'false'}", [value for bound in until for value in bound]


def entities_of(entity: str) -> Part:
    """The identities of the entities that `entity` (key, former key or identity) means, in one column."""
    each = (f"SELECT entity_id FROM {kind}_history WHERE business_key = $1 OR entity_id::VARCHAR = $1" for kind in FACT_KINDS)
    return Part("entities", " UNION ".join(each), [entity])


PARTS: dict[str, Callable[[Arguments], list[Part]]] = {
    "audit_asof": asof,
    "audit_history": history,
    "audit_diff": changes,
    "audit_rebuild": held,
}
"""The answers by the names under which the owner of the base gives them."""
