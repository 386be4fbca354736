"""Leaves of whole logs, gathered in whatever order a broker gives records, and given back in the order of positions.

Topics are per kind and partitions by entity, so positions are in no order across them, and after a relay's restart records
come again. Of each record its position, kind and leaf hash are kept, in a file of DuckDB's that spills where the home's
limit of memory ends; the bytes only of seals and member records, which are read.
"""

from array import array
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final, NamedTuple

import polars as pl

from connectors.home.databases import connect
from connectors.home.folder import Home
from connectors.logs.listed import owner
from projections.leaves import kind_of
from repository.events.columns import MARKER
from repository.events.encoding import HEADER_BYTES
from repository.proof.judgement import Finding, doubled
from repository.proof.member import KIND as MEMBER
from repository.proof.merkle import hashing
from repository.proof.seal import KIND as SEAL
from repository.proof.tree_files import TreeFiles
from repository.proof.whole_log import StoredSeal, WholeLog
from repository.store.log import Record
from schemas.contracts import KINDS, by_fingerprint


def counted_as(kinds: Sequence[str]) -> tuple[str, ...]:
    """What a record may be counted as: its kind; where it stands in another kind's topic, which no reader accepts, neither.

    A kind comes before what is misplaced, so that of the same record in both places the right one counts.
    """
    return (*kinds, *(f"{kind} among {place}" for place in kinds for kind in kinds if kind != place))


NAMES: Final = counted_as(KINDS)
CODE: Final = "H"
"""Array type of the indices into NAMES, of two bytes: those are as many as the square of the kinds."""
KEPT: Final = (SEAL, MEMBER)
GATHERED: Final = {"publisher": pl.String, "position": pl.Int64, "leaf": pl.Binary, "kind": pl.UInt16}
READ_LEAVES = 100_000
AGAIN: Final = (pl.col("position") == pl.col("position").shift(1)).fill_null(False).alias("again")
OTHER: Final = (pl.col("leaf") != pl.col("leaf").shift(1)).fill_null(False).alias("other")


class Ordered(NamedTuple):
    """Leaves one after the other: their positions, kinds (indices into NAMES) and hashes.

    `doubled` is the first position at which another leaf stands besides.
    """

    positions: list[int]
    kinds: list[int]
    leaves: list[bytes]
    doubled: int | None


class LeftOut(NamedTuple):
    """Records of a publisher that its topics hold and that could not be given in stored form: how many, and the first."""

    number: int
    first: Record


class GatheredLeaves:
    """The leaves by one hash algorithm of all records that were added, in a new file in `folder`."""

    def __init__(self, home: Home, folder: Path, algorithm: str) -> None:
        folder.mkdir(parents=True)
        self._leaves_of = hashing(algorithm).leaves
        self._connection = connect(home, folder / "leaves.duckdb")
        self._connection.execute("SET temp_directory = $1", [str(folder / "spill")])
        self._connection.execute("CREATE TABLE leaves (publisher VARCHAR, position BIGINT, leaf BLOB, kind USMALLINT)")
        self._codes: dict[tuple[str, bytes], int] = {}
        self._kept: set[tuple[str, str, int, bytes]] = set()
        self.left_out: dict[str, LeftOut] = {}
        """By publisher. They are no leaves: their bytes are not those that were sealed."""

    def close(self) -> None:
        self._connection.close()

    # -- gathering --

    def add(self, records: Sequence[Record]) -> None:
        """Take records in, in any order and as often as they come."""
        if any(record.problem for record in records):
            self._leave_out([record for record in records if record.problem])
            records = [record for record in records if not record.problem]
        if not records:
            return
        topics, _, _, positions, _, _, values, *_ = zip(*records, strict=True)
        owners = {topic: owner((topic, 0)) for topic in set(topics)}
        codes = [self._code(record) for record in records]
        columns = [[owners[topic] for topic in topics], positions, self._leaves_of(values), codes]
        frame = pl.DataFrame(dict(zip(GATHERED, columns, strict=True)), schema=GATHERED)
        self._connection.register("arriving", frame.to_arrow())
        self._connection.execute("INSERT INTO leaves SELECT * FROM arriving")
        self._connection.unregister("arriving")
        self._keep(records, codes)

    def _code(self, record: Record) -> int:
        known = (record.topic, record.value[:HEADER_BYTES])
        if known not in self._codes:
            place, kind = kind_of(record), by_fingerprint(known[1].removeprefix(MARKER)).kind
            self._codes[known] = NAMES.index(kind if kind == place else f"{kind} among {place}")
        return self._codes[known]

    def _keep(self, records: Sequence[Record], codes: Sequence[int]) -> None:
        kept = {NAMES.index(kind) for kind in KEPT}
        if not kept.isdisjoint(codes):
            of = zip(records, codes, strict=True)
            self._kept |= {(NAMES[c], owner((r.topic, 0)), r.position, r.value) for r, c in of if c in kept}

    def _leave_out(self, records: Sequence[Record]) -> None:
        for record in records:
            publisher = owner((record.topic, 0))
            number, first = self.left_out.get(publisher, (0, record))
            self.left_out[publisher] = LeftOut(number + 1, min(record, first))

    # -- giving back --

    def whole_log(self, publisher: str, tree: TreeFiles) -> WholeLog:
        """A publisher's log, its leaves appended to an empty tree of the same algorithm."""
        positions, kinds, doubled_at = array("q"), array(CODE), list[int]()
        for portion in self.in_order(publisher):
            tree.append(portion.positions, portion.leaves)
            positions.extend(portion.positions)
            kinds.extend(portion.kinds)
            doubled_at += [] if portion.doubled is None else [portion.doubled]
        seals = [StoredSeal(*each) for each in self.kept(publisher, SEAL)]
        found = self._doubled(publisher, doubled_at[0]) if doubled_at else None
        return WholeLog(publisher, positions, kinds, NAMES, lambda _: tree.subtree, seals, found)

    def in_order(self, publisher: str) -> Iterator[Ordered]:
        """A publisher's leaves in the order of positions, each once; of different ones at a position the first alone."""
        # Sorted and told apart as they stream by: grouping them would hold all hashes in memory, beyond any limit.
        sql = "SELECT position, leaf, kind FROM leaves WHERE publisher = ? ORDER BY position, leaf, kind"
        before = pl.DataFrame(schema={name: GATHERED[name] for name in ("position", "leaf", "kind")})
        for batch in self._connection.cursor().execute(sql, [publisher]).to_arrow_reader(READ_LEAVES):
            frame = pl.concat([before, pl.DataFrame(batch)])
            marked = frame.select("position", "leaf", "kind", AGAIN, OTHER).slice(before.height)
            new, before = marked.filter(~pl.col("again")), frame.tail(1)
            doubled_at = marked.filter("again", "other")["position"].to_list()
            positions, kinds, leaves = (new[name].to_list() for name in ("position", "kind", "leaf"))
            yield Ordered(positions, kinds, leaves, next(iter(doubled_at), None))

    def _doubled(self, publisher: str, position: int) -> Finding:
        sql = "SELECT DISTINCT leaf FROM leaves WHERE publisher = ? AND position = ?"
        return doubled(position, [leaf for (leaf,) in self._connection.execute(sql, [publisher, position]).fetchall()])

    def kept(self, publisher: str, kind: str) -> list[tuple[int, bytes]]:
        """Positions and bytes of records that are kept, in the order of positions; of different ones at one position all."""
        return sorted((position, value) for k, code, position, value in self._kept if (k, code) == (kind, publisher))
