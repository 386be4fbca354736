"""A dump's facts, staged beside what is known, and sorted by what has to happen with each.

The comparison runs in columns: facts that are known already, which in a repeated dump are nearly all, never become Python
objects. What is not plainly known, nor plainly new, is left to the entity's own decision.
"""

from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import duckdb
import polars as pl

from connectors.publishing.statements import statements
from projections.tables import sql_type
from repository.decisions.facts import PATH
from repository.persons.subject_keys import DIGEST_BYTES
from schemas.contracts import FieldType, field_at

STAGED_COLUMNS = (
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
SQL = statements("staging.sql")
PERSONAL = "personal"
"""Staged encrypted; what is compared of it is the keyed digest that stands before it."""


@dataclass(frozen=True, slots=True)
class Conflict:
    """Two records of one dump that state different things of the same key and day."""

    record: int
    other: int
    business_key: str


class Staging:
    """Facts of one dump, in temporary tables of the connection to what is known (`staging.sql`).

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
        self._run("staged", cells="".join(f', "{p}" {sql_type(field_at(kind, p))}' for p in self.paths))
        self._run("mentioned")
        self._run("nothing_gone")
        if digests is not None:
            with self._registered("known_digests", digests):
                self._run("personal_digests")
        self._run_shown()

    def _run(self, name: str, parameters: Mapping[str, object] | None = None, **parts: str) -> duckdb.DuckDBPyConnection:
        """Run a statement of `staging.sql` on the connection itself: temporary tables are its own."""
        return self.connection.execute(SQL[name].format(kind=self.kind, **parts), parameters)

    def _number(self, name: str) -> int:
        return int(self._run(name).fetchall()[0][0])

    @contextmanager
    def _registered(self, name: str, frame: pl.DataFrame) -> Iterator[None]:
        """A frame as a table, for as long as it is used."""
        self.connection.register(name, frame.to_arrow())
        yield
        self.connection.unregister(name)

    def _run_shown(self) -> None:
        entries = "".join(
            f", list_filter(t.{array}, lambda e: e.item_code = '{item}')[1] AS {alias}"
            for (array, item), alias in self._entries().items()
        )
        said = ", ".join(("stated_to", *PROVENANCE, *(self._cell(path) for path in self.paths)))
        digests = "LEFT JOIN personal_digests AS d USING (event_id)" if PERSONAL in self.paths else ""
        self._run("shown", said=said, entries=entries, digests=digests)

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

    def _stated(self, path: str) -> str:
        """What a cell states, in the type of its field: a field that can't be null holds its default."""
        if path == PERSONAL:
            return f'array_slice("{PERSONAL}", 1, {DIGEST_BYTES})'
        type_ = field_at(self.kind, path)
        default = _sql_default(type_)
        cell = f'"{path}"::{sql_type(type_)}'
        value = f"coalesce({cell}, {default})" if default else cell
        return value if PATH.match(path) is None else f"false, {value}"

    # -- what the dump says --

    def add(self, facts: pl.DataFrame) -> None:
        """Stage the facts of the next chunk, except those that the timeline shows already."""
        self.firsts.append(self.facts)
        if not facts.height:
            return
        with self._chunk(facts, self.facts):
            self._run("hashed", said=", ".join(("stated_to", *PROVENANCE, *map(self._stated, self.paths))))
            self._run("known_facts")
            self._run("mention", {"chunk_no": len(self.firsts) - 1})
            if self._number("known_number") < facts.height:
                self._run("stage")
        self.facts += facts.height

    def _chunk(self, facts: pl.DataFrame, first: int) -> AbstractContextManager[None]:
        return self._registered("chunk", facts.select(*STAGED_COLUMNS, *self.paths).with_row_index(FACT, first))

    def torn(self, since: int, moved_keys: Mapping[str, UUID]) -> set[int]:
        """The numbers of the chunks with known facts that count as not known, to be given to `add_torn` once more.

        These are facts of entities of which the dump says something new besides: what is new may cover them, and only the
        entity, that decides on all in the order of valid time, can tell. And of entities that others have changed behind the
        store's position `since`; `moved_keys` lead to an entity that they don't name.
        """
        self._move(moved_keys)
        self._run("torn", {"since": since})
        self._run("not_shown")
        return {number for (number,) in self._run("torn_chunks").fetchall()}

    def add_torn(self, chunk_no: int, facts: pl.DataFrame) -> None:
        """Stage those of a chunk's facts that `torn` found, and that the dump does not say twice."""
        with self._chunk(facts, self.firsts[chunk_no]):
            self._run("stage_torn")

    def collapse(self) -> tuple[int, list[Conflict]]:
        """Settle what the dump says twice: the number of repetitions, and the contradictions.

        Repetitions go; of a contradiction all sides go.
        """
        self._run("twice")
        self._run("gone")
        conflicts = [
            Conflict(record, next((r for r in records if r != record), record), key or "")
            for records, key in self._run("conflicts").fetchall()
            for record in records
        ]
        self._run("unstage")
        return self._number("repetitions"), conflicts

    # -- against what is known --

    def unchanged(self) -> int:
        """How many facts are known already and need no decision; a repetition is not counted again."""
        return self._number("unchanged")

    def keys_stating(self, path: str, values: Collection[str]) -> list[str]:
        """Business keys of the staged facts that state one of `values` at `path`; none where the dump does not mention it."""
        if not values or path not in self.paths:
            return []
        with self._registered("wanted", pl.DataFrame({"value": list(values)})):
            return [key for (key,) in self._run("keys_stating", path=path).fetchall()]

    def take_new(self, known_otherwise: Collection[str]) -> Iterator[pl.DataFrame]:
        """Take out, in chunks, the facts about entities of which nothing is known and of which the dump states one fact.

        Facts under the keys `known_otherwise` stay, though no history has them: they are renamed, or about somebody withheld.
        """
        keys = pl.DataFrame({"business_key": list(known_otherwise)}, schema={"business_key": pl.String})
        with self._registered("known_otherwise", keys):
            self._run("plainly_new")
        yield from self._frames("new")
        self._run("take_new")

    def _move(self, moved_keys: Mapping[str, UUID]) -> None:
        moved = {"business_key": list(moved_keys), "entity_id": list(map(str, moved_keys.values()))}
        with self._registered("moved_texts", pl.DataFrame(moved, schema={"business_key": pl.String, "entity_id": pl.String})):
            self._run("moved")

    def successors(self) -> Iterator[dict[str, Any]]:
        """Of what is left, the facts that name a former key, in the order of valid time: renames follow one another."""
        return (row for frame in self._frames("successors") for row in frame.iter_rows(named=True))

    def rest(self) -> Iterator[dict[str, Any]]:
        """What is left, for the entities to decide: one entity after the other, each in the order of valid time."""
        return (row for frame in self._frames("rest") for row in frame.iter_rows(named=True))

    def _frames(self, name: str) -> Iterator[pl.DataFrame]:
        """The rows of a query in pieces. Nothing else may run on the connection while they are read."""
        for batch in self._run(name).to_arrow_reader(FETCH_ROWS):
            frame = pl.from_arrow(batch)
            assert isinstance(frame, pl.DataFrame)
            yield frame


def _sql_default(type_: FieldType) -> str:
    """The value that a field which can't be null holds when a source states it as unknown; empty for one that can."""
    if type_.nullable:
        return ""
    if type_.word in ("strings", "records"):
        return "[]"
    return f"'{type_.default}'" if type_.word == "string" else str(type_.default)
