"""Puts mapped columns together: keys, ends, flags, and the rejections with the cells they are about."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import polars as pl

from connectors.dumps import RowRejection
from connectors.profiles.conversions import POLARS
from connectors.profiles.parts import KeyPart
from connectors.profiles.personal import WITHHELD
from connectors.profiles.profile import Profile
from repository.registers import text

ROW: Final = "_row"
"""Number of the row within the chunk, from 0, among the rows that count."""

REFUSED: Final = "_refused"
"""Marks a fact that cannot be accepted; it is kept for its key, which closes nothing."""

REGION: Final = (114.8, 123.3, 27.0, 35.3)
"""West, east, south and north of Shanghai, Jiangsu, Zhejiang and Anhui, in degrees, sea included and rounded
outwards: wide enough that the difference between WGS-84, GCJ-02 and BD-09 (under 0.02 degrees) does not matter."""

OUTSIDE: Final = "coordinates_outside_region"
LONGEST_SHOWN: Final = 200
"""A rejected value is shown up to this many characters."""

FACT_COLUMNS: Final[Mapping[str, pl.DataType]] = {
    "valid_from": POLARS["date"],
    "stated_to": POLARS["date"],
    "doc_no": POLARS["string"],
    "authority": POLARS["string"],
    "published_on": POLARS["date"],
    "reason": POLARS["string"],
}


@dataclass(frozen=True, slots=True)
class Rejection:
    """Why one row, or one fact of it, was not accepted: `record` from 1, `value` masked and cut. `line` None: not known."""

    record: int
    line: int | None
    column: str
    value: str
    reason: str


@dataclass(frozen=True, slots=True)
class Lost:
    """Rows that gave no fact for something bad in them, facts that other rows lost, and the keys of all these."""

    rows: int = 0
    facts: int = 0
    keys: tuple[str | None, ...] = ()


@dataclass(frozen=True, slots=True)
class About:
    """What a reason is about: a slot, and the columns of the profile that it is read from."""

    slot: str
    columns: tuple[str, ...]


def hidden(number: str) -> str:
    """An identity number of which only the first two characters are shown."""
    return number[:2] + "*" * (len(number) - 2)


class BadCells:
    """What cannot be accepted in one chunk: frames of row, reason, slot, columns, whole_row."""

    def __init__(
        self, raw: pl.DataFrame, records: pl.Series, names: Mapping[str, str], secret: str = "", withheld: bool = False
    ) -> None:
        """`withheld`: the rows hold personal fields, and no cell is shown: where columns have slipped, any may hold a name."""
        self.raw, self.records, self.names, self.secret, self.withheld = raw, records, names, secret, withheld
        self.frames: list[pl.DataFrame] = []

    def add(self, slot: str, columns: Sequence[str], found: pl.DataFrame, whole_row: bool = True) -> None:
        """Take over a frame of row and reason about one slot, read from these columns of the profile."""
        if found.height:
            about = (
                pl.lit(slot).alias("slot"),
                pl.lit(list(columns)).alias("columns"),
                pl.lit(whole_row).alias("whole_row"),
            )
            self.frames.append(found.select(pl.col("row").cast(pl.UInt32), "reason", *about))

    def rows(self, slot: str) -> pl.Series:
        """For each row whether it is bad in one slot."""
        return self.marks([frame["row"] for frame in self.frames if frame["slot"][0] == slot])

    def whole_rows(self) -> pl.Series:
        """For each row whether something bad concerns the whole of it."""
        return self.marks([frame["row"] for frame in self.frames if frame["whole_row"][0]])

    def marks(self, rows: Sequence[pl.Series]) -> pl.Series:
        """For each row whether it is among these."""
        marked = pl.repeat(False, len(self.records), dtype=pl.Boolean, eager=True)
        return marked.scatter(pl.concat(rows).unique(), True) if rows else marked

    def rejections(self) -> list[Rejection]:
        """One per bad cell, in the order of the records."""
        if not self.frames:
            return []
        every = pl.concat(self.frames).sort("row", maintain_order=True)
        return [self._rejection(*row) for row in every.select("row", "reason", "columns").iter_rows()]

    def _rejection(self, row: int, reason: str, columns: list[str]) -> Rejection:
        cells = [str(self.raw[column][row]) for column in columns if self.raw[column][row] is not None]
        if self.withheld:
            shown = ", ".join(self.names[column] for column in columns)
            return Rejection(self.records[row], None, shown, WITHHELD if cells else "", without(cells, reason))
        value = ", ".join(hidden(cell) if self.secret in columns else text.mask(cell) for cell in cells)
        names = ", ".join(self.names[column] for column in columns)
        return Rejection(self.records[row], None, names, value[:LONGEST_SHOWN], text.mask(reason))


def without(cells: Sequence[str], reason: str) -> str:
    """A reason without the cells it is about, however they were normalised."""
    for cell in sorted({*cells, *map(text.normalise, cells)}, key=len, reverse=True):
        reason = reason.replace(cell, WITHHELD) if cell else reason
    return text.mask(reason)


def unreadable(row: RowRejection, withheld: bool = False) -> Rejection:
    """The rejection of a row that the dump's reader could not even split into cells."""
    if withheld:
        return Rejection(row.record, row.line, "", WITHHELD, text.mask(row.reason))
    return Rejection(row.record, row.line, "", text.mask(row.text)[:LONGEST_SHOWN], text.mask(row.reason))


def key_slots(profile: Profile) -> dict[str, KeyPart]:
    """The parts of both keys that have cells of their own, by the name of their column."""
    return {
        name: part
        for prefix, parts in (("key", profile.key), ("previous_key", profile.previous_key))
        for name, part in _named(prefix, parts).items()
        if not part.field
    }


def _named(prefix: str, parts: Sequence[KeyPart]) -> dict[str, KeyPart]:
    return {part.field or f"{prefix}[{number}]": part for number, part in enumerate(parts, 1)}


def keyed(facts: pl.DataFrame, profile: Profile, bad: BadCells) -> pl.DataFrame:
    """Facts with business_key (null where it cannot be told) and previous_key; what is wrong is marked refused."""
    if REFUSED not in facts.columns:
        facts = facts.with_columns(pl.lit(False).alias(REFUSED))
    if profile.keyed_by_token:
        facts = facts.with_columns(business_key=profile.token_field, previous_key=pl.lit(None, pl.String))
    else:
        facts = _with_keys(facts, profile, bad)
    return _without_early_ends(_without_undated(facts, profile, bad), profile, bad)


def _with_keys(facts: pl.DataFrame, profile: Profile, bad: BadCells) -> pl.DataFrame:
    parts, previous = _named("key", profile.key), _named("previous_key", profile.previous_key)
    facts = _without_bad_parts(facts, profile, parts, bad)
    facts = facts.with_columns(business_key=_joined(parts), previous_key=_joined(previous))
    facts = _without_bad_parts(facts, profile, previous, bad, nulls_allowed=True)
    renamed = pl.col("previous_key") != pl.col("business_key")
    return facts.with_columns(previous_key=pl.when(renamed).then("previous_key"))


def _joined(parts: Mapping[str, KeyPart]) -> pl.Expr:
    """Parts joined by |, null where one of them is null or holds that mark itself."""
    if not parts:
        return pl.lit(None, pl.String)
    whole = [pl.col(name).cast(pl.String) for name in parts]
    usable = pl.all_horizontal(~part.str.contains("|", literal=True) for part in whole)
    return pl.when(usable).then(pl.concat_str(whole, separator="|"))


def _without_bad_parts(
    facts: pl.DataFrame,
    profile: Profile,
    parts: Mapping[str, KeyPart],
    bad: BadCells,
    nulls_allowed: bool = False,
) -> pl.DataFrame:
    for name, part in parts.items():
        whole = pl.col(name).cast(pl.String)
        mark = pl.lit("holds the mark | that separates the parts of a key; take it out of the cell.")
        empty = pl.lit("no key: this part of the key is empty; fill in the cell or choose other columns.")
        absent = pl.lit(False) if nulls_allowed else whole.is_null()
        reason = pl.when(whole.str.contains("|", literal=True)).then(mark).when(absent).then(empty)
        facts = _refuse(facts, reason, About(name, _columns_of(profile, name, part)), profile, bad)
    return facts


def _columns_of(profile: Profile, name: str, part: KeyPart) -> tuple[str, ...]:
    cells = profile.fields.get(name, ()) if part.field else part.cells
    return tuple(dict.fromkeys(column for cell in cells for column in cell.columns))


def _without_undated(facts: pl.DataFrame, profile: Profile, bad: BadCells) -> pl.DataFrame:
    if profile.valid.undated:
        return facts
    missing = pl.lit('states no start of validity; fill in the cell, or set from_missing = "undated".')
    columns = tuple(column for cell in profile.valid.start for column in cell.columns)
    return _refuse(facts, pl.when(pl.col("valid_from").is_null()).then(missing), About("valid_from", columns), profile, bad)


def _without_early_ends(facts: pl.DataFrame, profile: Profile, bad: BadCells) -> pl.DataFrame:
    """An inclusive end becomes the day after it (exclusive)."""
    if "stated_to" not in facts.columns:
        return facts
    last = pl.date(9999, 12, 31)
    early = pl.format("ends on {}, before it starts on {}; correct one of the two.", "stated_to", "valid_from")
    end = pl.col("stated_to")
    start = pl.col("valid_from") if profile.valid.end_inclusive else pl.col("valid_from").dt.offset_by("1d")
    reason = (
        pl.when(end == last)
        .then(pl.lit("is the last day there is; name it in nulls if it means that no end is known."))
        .when(end < start)
        .then(early)
    )
    columns = tuple(column for cell in profile.valid.end for column in cell.columns)
    facts = _refuse(facts, reason, About("stated_to", columns), profile, bad)
    return facts.with_columns(end.dt.offset_by("1d")) if profile.valid.end_inclusive else facts


def _refuse(facts: pl.DataFrame, reason: pl.Expr, about: About, profile: Profile, bad: BadCells) -> pl.DataFrame:
    """Marks the facts that have a reason; a row that is bad in this slot already is not reported twice."""
    reasons = facts.select(reason).to_series()
    if reasons.null_count() == len(reasons):
        return facts
    found = facts.select(row=ROW, reason=reasons).filter(pl.col("reason").is_not_null())
    found = found.filter(~bad.rows(about.slot).gather(found["row"]))
    bad.add(about.slot, about.columns, found, whole_row=not profile.unpivot)
    return facts.with_columns(pl.col(REFUSED) | reasons.is_not_null())


def without_bad(facts: pl.DataFrame, bad: BadCells) -> pl.DataFrame:
    """Facts that can be accepted: not refused, and of rows in which nothing bad concerns the whole row."""
    return facts.filter(~_refused(facts, bad)) if bad.frames else facts


def lost(facts: pl.DataFrame, bad: BadCells) -> Lost:
    """What could not be accepted of all the facts."""
    if not bad.frames:
        return Lost()
    refused = _refused(facts, bad)
    given = facts.filter(~refused)[ROW].unique()
    gone = facts.filter(refused)
    rows = pl.concat(bad.frames)["row"].unique()
    empty = rows.filter(~rows.is_in(facts[ROW].implode()))
    keys = (*gone["business_key"].unique().sort(), *[None] * len(empty))
    rejected = rows.filter(~rows.is_in(given.implode()))
    return Lost(len(rejected), gone.filter(pl.col(ROW).is_in(given.implode())).height, keys)


def _refused(facts: pl.DataFrame, bad: BadCells) -> pl.Series:
    return facts[REFUSED] | bad.whole_rows().gather(facts[ROW])


def finished(
    good: pl.DataFrame, types: Mapping[str, pl.DataType], flags: Sequence[pl.DataFrame], records: pl.Series
) -> pl.DataFrame:
    """The columns of `Mapped.facts`, in its order; `types` names the state paths."""
    wanted = {**FACT_COLUMNS, **types}
    columns = {name: pl.col(name) if name in good.columns else pl.lit(None, dtype).alias(name) for name, dtype in wanted.items()}
    raised = _flags(good, [*flags, _outside(good)])
    return good.select(
        records.gather(good[ROW]).alias("record"),
        "business_key",
        "previous_key",
        *(columns[name] for name in FACT_COLUMNS),
        raised,
        *(columns[name] for name in types),
    )


def _outside(good: pl.DataFrame) -> pl.DataFrame:
    if not {"longitude", "latitude"} <= set(good.columns):
        return pl.DataFrame(schema={"row": pl.UInt32, "flag": pl.String})
    west, east, south, north = REGION
    inside = pl.col("longitude").is_between(west, east) & pl.col("latitude").is_between(south, north)
    return good.filter(~inside).select(row=ROW, flag=pl.lit(OUTSIDE))


def _flags(good: pl.DataFrame, frames: Sequence[pl.DataFrame]) -> pl.Series:
    """Flags of each fact, sorted, once each; an empty list where there are none."""
    none = pl.Series("flags", [[]], pl.List(pl.String))
    raised = pl.concat(frames) if frames else pl.DataFrame()
    if not raised.height:
        return none.new_from_index(0, good.height)
    by_row = raised.group_by("row").agg(flags=pl.col("flag").unique().sort())
    joined = good.select(row=ROW).join(by_row, on="row", how="left", maintain_order="left")
    return joined["flags"].fill_null(none)
