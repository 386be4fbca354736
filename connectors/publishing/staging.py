"""A dump's facts, staged beside what is known, and sorted by what has to happen with each.

The comparison runs in columns: facts that are known already, which in a repeated dump are nearly all, never become Python
objects. What is not plainly known, nor plainly new, is left to the entity's own decision.
"""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import duckdb
import polars as pl

from projections.tables import sql_type
from repository.decisions.facts import PATH
from repository.persons.subject_keys import DIGEST_BYTES
from schemas.contracts import FieldType, field_at

ENVELOPE = (
    "record",
    "business_key",
    "previous_key",
    "valid_from",
    "stated_to",
    "doc_no",
    "authority",
    "published_on",
    "reason",
    "flags",
)
PROVENANCE = ("doc_no", "authority", "published_on")
FACT = "fact_no"
FETCH_ROWS = 20_000
PERSONAL = "personal"
"""Staged under seal; what is compared of it is the keyed digest that stands before it."""


@dataclass(frozen=True, slots=True)
class Conflict:
    """Two records of one dump that state different things of the same key and day."""

    record: int
    other: int
    business_key: str


class Staging:
    """Facts of one dump, in temporary tables of the connection to what is known.

    `mentioned` has of every fact only hashes: of its key, and of what it says. `shown` has the same hashes of the
    timeline's segments, so that a fact is recognised as known by joining 16 bytes a row. Only facts that are not go, whole,
    into `staged`.
    """

    def __init__(
        self, connection: duckdb.DuckDBPyConnection, kind: str, paths: Sequence[str], digests: pl.DataFrame | None = None
    ) -> None:
        """`digests` (event_id, digest) tells what the personal fields of known events say, where the dump has such fields."""
        self.connection, self.kind, self.paths = connection, kind, list(paths)
        self.facts = 0
        self.firsts: list[int] = []
        """The number of each chunk's first fact."""
        cells = "".join(f', "{p}" {sql_type(field_at(kind, p))}' for p in self.paths)
        connection.execute(
            f"""
            CREATE OR REPLACE TEMP TABLE staged (
                {FACT} BIGINT, record BIGINT, business_key VARCHAR, previous_key VARCHAR, valid_from DATE, stated_to DATE,
                doc_no VARCHAR, authority VARCHAR, published_on DATE, reason VARCHAR, flags VARCHAR[]{cells}
            )
            """
        )
        connection.execute(
            f"""
            CREATE OR REPLACE TEMP TABLE mentioned (
                {FACT} BIGINT, chunk_no INTEGER, record BIGINT, key_hash UBIGINT, former_hash UBIGINT, valid_from DATE,
                said UBIGINT, shown BOOLEAN
            )
            """
        )
        connection.execute(f"CREATE OR REPLACE TEMP TABLE gone ({FACT} BIGINT)")
        if digests is not None:
            connection.register("known_digests", digests.to_arrow())
            connection.execute(
                "CREATE OR REPLACE TEMP TABLE personal_digests AS SELECT event_id::UUID AS event_id, digest FROM known_digests"
            )
            connection.unregister("known_digests")
        connection.execute(f"CREATE OR REPLACE TEMP TABLE shown AS {self._shown()}")

    def _shown(self) -> str:
        """Hashes of every segment of the timeline, of what a fact of this dump would say to be the same."""
        entries = "".join(
            f", list_filter(t.{array}, lambda e: e.item_code = '{item}')[1] AS {alias}"
            for (array, item), alias in self._entries().items()
        )
        said = ", ".join(("stated_to", *PROVENANCE, *(self._cell(path) for path in self.paths)))
        hashes = f"SELECT hash(business_key) AS key_hash, hash({said}) AS said, valid_from AS starts, valid_to AS ends"
        # Several digests of one event are several ways of saying the same.
        digests = "LEFT JOIN personal_digests AS d USING (event_id)" if PERSONAL in self.paths else ""
        segments = f"FROM (SELECT *{entries} FROM {self.kind}_timeline AS t {digests}) AS s"
        # A segment that ends where no other begins leaves room behind it, which only the entity's own decision fills.
        next_one = f"SELECT 1 FROM {self.kind}_timeline AS n WHERE n.entity_id = s.entity_id AND n.valid_from = s.valid_to"
        return f"""
            {hashes}, true AS goes_on {segments} WHERE valid_to IS NULL
            UNION ALL
            {hashes}, EXISTS ({next_one}) {segments} WHERE valid_to IS NOT NULL
        """

    def _entries(self) -> dict[tuple[str, str], str]:
        """The array entries that the dump's paths address, each with a name for it."""
        matches = [m for path in self.paths if (m := PATH.match(path)) is not None]
        return {
            (m["array"], m["item"]): f"entry_{n}" for n, m in enumerate({(m["array"], m["item"]): m for m in matches}.values())
        }

    def _cell(self, path: str) -> str:
        match = PATH.match(path)
        if match is None:
            return "digest" if path == PERSONAL else f'"{path}"'
        # An entry that is absent differs from one whose cells are all unknown.
        entry = self._entries()[match["array"], match["item"]]
        return f"{entry} IS NULL, {entry}.{match['cell']}"

    def add(self, facts: pl.DataFrame) -> None:
        """Stage the facts of the next chunk, except those that the timeline shows already."""
        self.firsts.append(self.facts)
        if not facts.height:
            return
        chosen = facts.select(*ENVELOPE, *self.paths).with_row_index(FACT, self.facts)
        self.facts += facts.height
        self.connection.register("chunk", chosen.to_arrow())
        said = ", ".join(("stated_to", *PROVENANCE, *map(self._stated, self.paths)))
        self.connection.execute(
            f"""
            CREATE OR REPLACE TEMP TABLE hashed AS
            SELECT {FACT}, record, hash(business_key) AS key_hash, hash(previous_key) AS former_hash, valid_from, stated_to,
                   previous_key IS NULL AS keeps_key, hash({said}) AS said
            FROM chunk
            """
        )
        self.connection.execute(
            f"""
            CREATE OR REPLACE TEMP TABLE known_facts AS
            SELECT DISTINCT f.{FACT}
            FROM hashed AS f
            JOIN shown AS t ON t.key_hash = f.key_hash AND t.said = f.said
            WHERE f.keeps_key
              AND (t.starts IS NULL OR t.starts <= f.valid_from)
              AND (f.valid_from IS NOT NULL OR t.starts IS NULL)
              AND (t.ends IS NULL OR f.valid_from IS NULL OR t.ends > f.valid_from)
              AND (t.ends >= f.stated_to OR (f.stated_to IS NULL AND t.goes_on))
            """
        )
        self.connection.execute(
            f"""
            INSERT INTO mentioned
            SELECT {FACT}, {len(self.firsts) - 1}, record, key_hash, CASE WHEN NOT keeps_key THEN former_hash END, valid_from,
                   said, {FACT} IN (SELECT {FACT} FROM known_facts)
            FROM hashed
            """
        )
        if self.connection.execute("SELECT count(*) FROM known_facts").fetchall()[0][0] < facts.height:
            self.connection.execute(f"INSERT INTO staged SELECT * FROM chunk ANTI JOIN known_facts USING ({FACT})")
        self.connection.unregister("chunk")

    def torn(self, since: int, moved_keys: Mapping[str, UUID]) -> set[int]:
        """The numbers of the chunks with known facts that count as not known, to be given to `add_torn` once more.

        These are facts of entities of which the dump says something new besides: what is new may cover them, and only the
        entity, that decides on all in the order of valid time, can tell. And of entities that others have changed behind the
        store's position `since`; `moved_keys` lead to an entity that they don't name.
        """
        self._register_moved(moved_keys)
        self.connection.execute(
            f"""
            CREATE OR REPLACE TEMP TABLE torn AS
            WITH changed AS (
                SELECT DISTINCT entity_id FROM {self.kind}_history WHERE position > $since
            ), open AS (
                SELECT key_hash FROM mentioned WHERE NOT shown
                UNION
                SELECT hash(business_key) FROM {self.kind}_history SEMI JOIN changed USING (entity_id)
                UNION
                SELECT hash(business_key) FROM moved SEMI JOIN changed USING (entity_id)
            )
            SELECT {FACT}, chunk_no FROM mentioned SEMI JOIN open USING (key_hash) WHERE shown
            """,
            {"since": since},
        )
        self.connection.execute(f"UPDATE mentioned SET shown = false WHERE {FACT} IN (SELECT {FACT} FROM torn)")
        return {number for (number,) in self.connection.execute("SELECT DISTINCT chunk_no FROM torn").fetchall()}

    def add_torn(self, chunk_no: int, facts: pl.DataFrame) -> None:
        """Stage those of a chunk's facts that `torn` found, and that the dump does not say twice."""
        chosen = facts.select(*ENVELOPE, *self.paths).with_row_index(FACT, self.firsts[chunk_no])
        self.connection.register("chunk", chosen.to_arrow())
        self.connection.execute(
            f"INSERT INTO staged SELECT * FROM chunk SEMI JOIN torn USING ({FACT}) ANTI JOIN gone USING ({FACT})"
        )
        self.connection.unregister("chunk")

    def _stated(self, path: str) -> str:
        """What a cell states, in the type of its field: a field that can't be null holds its default."""
        if path == PERSONAL:
            return f'array_slice("{PERSONAL}", 1, {DIGEST_BYTES})'
        type_ = field_at(self.kind, path)
        default = _sql_default(type_)
        cell = f'"{path}"::{sql_type(type_)}'
        value = f"coalesce({cell}, {default})" if default else cell
        return value if PATH.match(path) is None else f"false, {value}"

    # -- within the dump --

    def collapse(self) -> tuple[int, list[Conflict]]:
        """Settle what the dump says twice: the number of repetitions, and the contradictions.

        Repetitions go; of a contradiction all sides go.
        """
        self.connection.execute(
            f"""
            CREATE OR REPLACE TEMP TABLE twice AS
            SELECT key_hash, valid_from, min({FACT}) AS first, count(DISTINCT said) AS versions
            FROM mentioned
            GROUP BY ALL
            HAVING count(*) > 1
            """
        )
        self.connection.execute(
            f"""
            CREATE OR REPLACE TEMP TABLE gone AS
            SELECT m.{FACT}, m.record, m.key_hash, m.valid_from, versions
            FROM mentioned AS m
            JOIN twice AS t ON m.key_hash = t.key_hash AND m.valid_from IS NOT DISTINCT FROM t.valid_from
            WHERE versions > 1 OR m.{FACT} <> first
            """
        )
        conflicts = self._conflicts()
        repeated = self.connection.execute("SELECT count(*) FROM gone WHERE versions = 1").fetchall()[0][0]
        self.connection.execute(f"DELETE FROM staged WHERE {FACT} IN (SELECT {FACT} FROM gone)")
        return repeated, conflicts

    def unchanged(self) -> int:
        """How many facts are known already and need no decision; a repetition is not counted again."""
        counted = f"SELECT count(*) FROM mentioned ANTI JOIN gone USING ({FACT}) WHERE shown"
        return int(self.connection.execute(counted).fetchall()[0][0])

    def _conflicts(self) -> list[Conflict]:
        rows = self.connection.execute(
            "SELECT list(g.record ORDER BY g.record), any_value(s.business_key) FROM gone AS g "
            f"LEFT JOIN staged AS s USING ({FACT}) WHERE g.versions > 1 GROUP BY g.key_hash, g.valid_from ORDER BY min(g.record)"
        ).fetchall()
        return [
            Conflict(record, next((r for r in records if r != record), record), key or "")
            for records, key in rows
            for record in records
        ]

    # -- against what is known --

    def keys_stating(self, path: str, values: Collection[str]) -> list[str]:
        """Business keys of the staged facts that state one of `values` at `path`; none where the dump does not mention it."""
        if not values or path not in self.paths:
            return []
        self.connection.register("wanted", pl.DataFrame({"value": list(values)}).to_arrow())
        sql = f'SELECT DISTINCT business_key FROM staged SEMI JOIN wanted ON wanted.value = staged."{path}"'
        found = self.connection.execute(sql).fetchall()
        self.connection.unregister("wanted")
        return [key for (key,) in found]

    def take_new(self, known_otherwise: Collection[str]) -> Iterator[pl.DataFrame]:
        """Take out, in chunks, the facts about entities of which nothing is known and of which the dump states one fact.

        Facts under the keys `known_otherwise` stay, though no history has them: they are renamed, or about somebody withheld.
        """
        self.connection.register(
            "known_otherwise",
            pl.DataFrame({"business_key": list(known_otherwise)}, schema={"business_key": pl.String}).to_arrow(),
        )
        self.connection.execute(
            "CREATE OR REPLACE TEMP TABLE plainly_new AS SELECT business_key FROM staged "
            f"ANTI JOIN {self.kind}_history USING (business_key) ANTI JOIN known_otherwise USING (business_key) "
            "GROUP BY business_key HAVING count(*) = 1 AND count(previous_key) = 0"
        )
        self.connection.unregister("known_otherwise")
        # On the connection itself: temporary tables are its own. Nothing else may run on it while this is read.
        reader = self.connection.execute(
            f"SELECT staged.* EXCLUDE ({FACT}) FROM staged SEMI JOIN plainly_new USING (business_key)"
        ).to_arrow_reader(FETCH_ROWS)
        for batch in reader:
            frame = pl.from_arrow(batch)
            assert isinstance(frame, pl.DataFrame)
            yield frame
        self.connection.execute("DELETE FROM staged WHERE business_key IN (SELECT business_key FROM plainly_new)")

    def _register_moved(self, moved_keys: Mapping[str, UUID]) -> None:
        moved = {"business_key": list(moved_keys), "entity_id": list(map(str, moved_keys.values()))}
        frame = pl.DataFrame(moved, schema={"business_key": pl.String, "entity_id": pl.String})
        self.connection.register("moved_texts", frame.to_arrow())
        self.connection.execute(
            "CREATE OR REPLACE TEMP TABLE moved AS SELECT business_key, entity_id::UUID AS entity_id FROM moved_texts"
        )
        self.connection.unregister("moved_texts")

    def successors(self) -> Iterator[dict[str, Any]]:
        """Of what is left, the facts that name a former key, in the order of valid time: renames follow one another."""
        return self._rows("WHERE previous_key IS NOT NULL ORDER BY valid_from NULLS FIRST, record")

    def rest(self) -> Iterator[dict[str, Any]]:
        """What is left, for the entities to decide: one entity after the other, each in the order of valid time."""
        return self._rows("ORDER BY business_key, valid_from NULLS FIRST, record")

    def _rows(self, chosen: str) -> Iterator[dict[str, Any]]:
        reader = self.connection.execute(f"SELECT * FROM staged {chosen}").to_arrow_reader(FETCH_ROWS)
        for batch in reader:
            frame = pl.from_arrow(batch)
            assert isinstance(frame, pl.DataFrame)
            yield from frame.iter_rows(named=True)


def _sql_default(type_: FieldType) -> str:
    """The value that a field which can't be null holds when a source states it as unknown; empty for one that can."""
    if type_.nullable:
        return ""
    if type_.word in ("strings", "records"):
        return "[]"
    return f"'{type_.default}'" if type_.word == "string" else str(type_.default)
