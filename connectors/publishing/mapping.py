"""Rows of a dump become facts, in columns, by the rules of one source profile.

`mapper` binds a profile to the columns of one file; `Mapper.map` takes one chunk at a time. A row is
accepted or rejected whole; of a row that gives several facts (unpivot) only the bad ones are rejected.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date
from functools import cached_property
from typing import TypeAlias

import polars as pl

from connectors.dumps import Chunk
from connectors.home.regional_key import Tokeniser
from connectors.profiles.cells import Alternatives
from connectors.profiles.column_conversions import ConvertedColumn, convert_column, fast, normalised, stated
from connectors.profiles.conversions import Cell, Target, convert
from connectors.profiles.parts import ENVELOPE_TARGETS, KEY, STATED_TO, VALID_FROM, Unpivot
from connectors.profiles.personal import PREFIX, personal_target, told_in_clear
from connectors.profiles.profile import Profile
from connectors.profiles.toml_tables import ProfileError
from connectors.publishing import assembly
from connectors.publishing.assembly import BadCells, Rejection
from connectors.publishing.row_choice import choose
from repository.registers import text
from schemas.contracts import PERSONAL_FIELD

EncryptCells: TypeAlias = Callable[[Mapping[str, pl.Series], pl.Series], pl.Series]
"""(personal columns by field, tokens) -> the column `personal` as it is staged: nothing of it readable."""


@dataclass(frozen=True, slots=True)
class Mapped:
    """What one chunk gave. Rows are counted once each: read = mapped + rejected + skipped.

    `facts` has the columns record, business_key, previous_key, valid_from, stated_to (exclusive), doc_no,
    authority, published_on, reason, flags, then one column per mentioned state path. `skipped` counts the
    skipped rows by reason; `facts_rejected` the facts lost from rows that gave others. `rejected_keys` has the
    business keys of what was rejected, None where the key itself cannot be told.
    """

    facts: pl.DataFrame
    rejections: list[Rejection]
    rows_read: int
    rows_mapped: int
    rows_rejected: int
    rows_skipped: int
    facts_rejected: int = 0
    skipped: Mapping[str, int] = field(default_factory=dict)
    rejected_keys: list[str | None] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Slot:
    """One column to fill for every row: its name, what it is for, and the cells to try in turn."""

    name: str
    target: Target
    cells: Alternatives


@dataclass(frozen=True, slots=True)
class Filling:
    """One chunk while its columns are filled: normalised columns, the first texts of each slot, and what is done.

    `settled` holds the values of which the fast conversion is certain, for the slots that have one.
    """

    clean: pl.DataFrame
    texts: pl.DataFrame
    settled: pl.DataFrame
    bad: BadCells
    done: dict[str, pl.Series] = field(default_factory=dict)
    flags: list[pl.DataFrame] = field(default_factory=list)

    def first(self, slot: Slot, day: pl.Series | date | None) -> tuple[pl.Series, pl.Series]:
        """Values by the first cell, and for each row whether that settles it."""
        cell = slot.cells[0]
        if not cell.columns:
            values = self._constant(slot, cell)
            return values, pl.repeat(True, len(values), dtype=pl.Boolean, eager=True)
        ready = self.settled[slot.name] if slot.name in self.settled.columns else None
        values = self._converted(slot, cell, self.texts[slot.name], ready, day)
        if len(slot.cells) == 1:
            return values, values.is_not_null()
        return values, values.is_not_null() | self.bad.rows(slot.name)

    def further(self, slot: Slot, cell: Cell, taken: pl.Series, day: pl.Series | date | None) -> pl.Series:
        """Values by a later cell, for the rows that are not taken."""
        if not cell.columns:
            return self._constant(slot, cell)
        source = self.clean.select(_texts(cell)).to_series().set(taken, None)
        return self._converted(slot, cell, source, None, day)

    def _constant(self, slot: Slot, cell: Cell) -> pl.Series:
        return pl.Series([cell.constant], dtype=slot.target.dtype).new_from_index(0, self.clean.height)

    def _converted(
        self, slot: Slot, cell: Cell, source: pl.Series, ready: pl.Series | None, day: pl.Series | date | None
    ) -> pl.Series:
        within = self.clean[cell.within_column] if cell.within_column else None
        found = convert_column(cell, slot.target, source, settled=ready, within=within, on=day)
        self.bad.add(slot.name, cell.columns, found.bad)
        self.flags.append(found.flags)
        return found.values


@dataclass(frozen=True)
class Mapper:
    """A profile bound to the columns of one file; see `mapper`. `names` are the file's names of the profile's columns."""

    profile: Profile
    names: Mapping[str, str]
    publisher: str
    as_of: date | None
    tokeniser: Tokeniser | None
    entries: Sequence[Unpivot]
    encrypt: EncryptCells | None = None

    @cached_property
    def slots(self) -> tuple[Slot, ...]:
        """Every column to fill, in the order in which they are filled."""
        return _slots(self.profile)

    @cached_property
    def types(self) -> dict[str, pl.DataType]:
        """Every state path that a fact mentions, with the type of its column."""
        return _paths(self.profile, self.entries, self.encrypt is not None)

    @property
    def paths(self) -> tuple[str, ...]:
        """The state paths that every fact mentions: the columns of `Mapped.facts` after flags, in their order."""
        return tuple(self.types)

    def map(self, chunk: Chunk) -> Mapped:
        """Facts, rejections and counts of one chunk. Never raises for what stands in a cell."""
        raw = chunk.table.select(pl.col(actual).alias(name) for name, actual in self.names.items())
        clean = normalised(raw)
        choice = choose(self.profile, self.publisher, chunk.table, clean)
        records = chunk.records
        if choice.kept is not None:
            raw, clean, records = (
                raw.filter(choice.kept),
                clean.filter(choice.kept),
                records.filter(choice.kept),
            )
        secret = self.profile.person.column if self.profile.person is not None else ""
        bad = BadCells(raw, records, self.names, secret, withheld=bool(self.profile.personal))
        if choice.bad is not None and self.profile.publisher is not None:
            reasons = choice.bad.alias("reason").to_frame().with_row_index("row").drop_nulls()
            bad.add("publisher", (self.profile.publisher.column,), reasons)
        base, flags = self._base(clean, bad)
        facts = self._unpivoted(base, clean, bad) if self.entries else base.with_row_index(assembly.ROW)
        facts = assembly.keyed(facts, self.profile, bad)
        return self._mapped(chunk, facts, flags, bad, choice.skipped)

    def _base(self, clean: pl.DataFrame, bad: BadCells) -> tuple[pl.DataFrame, list[pl.DataFrame]]:
        """One row per row: every slot's value. `bad` is added to; the flags come back as frames (row, flag)."""
        texts = clean.select(_texts(slot.cells[0]).alias(slot.name) for slot in self.slots if _from_file(slot))
        settled = texts.select(
            value.alias(slot.name)
            for slot in self.slots
            if _from_file(slot) and (value := fast(slot.cells[0], slot.target, pl.col(slot.name))) is not None
        )
        filling = Filling(clean, texts, settled, bad)
        for slot in self.slots:
            filling.done[slot.name] = self._filled(slot, filling).alias(slot.name)
        if self.profile.person is not None:
            filling.done[self.profile.token_field] = self._tokens(clean[self.profile.person.column], bad)
        return self._encrypted(pl.DataFrame(list(filling.done.values())), bad), filling.flags

    def _encrypted(self, base: pl.DataFrame, bad: BadCells) -> pl.DataFrame:
        """The frame with its personal columns encrypted into one, as nothing else of a row may be staged."""
        columns = {name: base[f"{PREFIX}{name}"] for name in self.profile.personal}
        if not columns:
            return base
        for slot, rows in told_in_clear(base):
            bad.add(slot, tuple(c for cell in self.profile.authority.get(slot, ()) for c in cell.columns), rows)
        rest = base.drop([f"{PREFIX}{name}" for name in columns])
        return rest if self.encrypt is None else rest.with_columns(self.encrypt(columns, base[self.profile.token_field]))

    def _filled(self, slot: Slot, filling: Filling) -> pl.Series:
        """Values of one slot: of each row the first of its cells that states something or is bad."""
        values, taken = filling.first(slot, self._day(filling.done))
        for cell in slot.cells[1:]:
            if taken.all():
                break
            found = filling.further(slot, cell, taken, self._day(filling.done))
            values = values.zip_with(taken, found)
            taken = values.is_not_null() | filling.bad.rows(slot.name)
        return values

    def _day(self, done: Mapping[str, pl.Series]) -> pl.Series | date | None:
        """Day as of which divisions are understood: the row's first valid day, else the unpivot's last one."""
        last = max((entry.valid_from for entry in self.entries if entry.valid_from), default=self.as_of)
        start = done.get("valid_from")
        if start is None:
            return last
        return start.fill_null(last) if last is not None else start

    def _tokens(self, numbers: pl.Series, bad: BadCells) -> pl.Series:
        person, tokeniser = self.profile.person, self.tokeniser
        assert person is not None and tokeniser is not None
        tokens: dict[str, str] = {}
        reasons: dict[str, str] = {}
        for number in numbers.drop_nulls().unique():
            try:
                tokens[number] = tokeniser(person.id_type, number)
            except ValueError as error:
                reasons[number] = str(error).replace(number, assembly.hidden(number))
        frame = numbers.alias("number").to_frame().with_row_index("row")
        missing = pl.lit("states no identity number, so nobody can be found by it; complete the row or leave it out.")
        reason = pl.col("number").replace_strict(reasons, default=None, return_dtype=pl.String)
        found = frame.with_columns(reason=pl.when(pl.col("number").is_null()).then(missing).otherwise(reason))
        bad.add(self.profile.token_field, (person.column,), found.filter(pl.col("reason").is_not_null()).select("row", "reason"))
        return numbers.replace_strict(tokens, default=None, return_dtype=pl.String).alias(self.profile.token_field)

    def _unpivoted(self, base: pl.DataFrame, clean: pl.DataFrame, bad: BadCells) -> pl.DataFrame:
        """One row per row and entry whose cell states something; a bad cell costs only its own fact."""
        numbered = base.with_row_index(assembly.ROW)
        parts = []
        for entry in self.entries:
            found = self._entry_values(entry, clean)
            bad.add(entry.path, entry.cell.columns, found.bad, whole_row=False)
            refused = bad.marks([found.bad["row"]])
            sets = [pl.lit(value).alias(path) for path, value in entry.constants.items()]
            starts = [pl.lit(entry.valid_from).alias("valid_from")] if entry.valid_from else []
            part = numbered.with_columns(found.values.alias(entry.path), refused.alias(assembly.REFUSED), *sets, *starts)
            parts.append(part.filter(pl.col(entry.path).is_not_null() | pl.col(assembly.REFUSED)))
        return pl.concat(parts, how="diagonal").sort(assembly.ROW, maintain_order=True)

    def _entry_values(self, entry: Unpivot, clean: pl.DataFrame) -> ConvertedColumn:
        target = self.profile.target(entry.path)
        source = clean.select(_texts(entry.cell).alias("source"))
        settled = fast(entry.cell, target, pl.col("source"))
        ready = None if settled is None else source.select(settled).to_series()
        return convert_column(entry.cell, target, source["source"], settled=ready)

    def _mapped(
        self,
        chunk: Chunk,
        facts: pl.DataFrame,
        flags: list[pl.DataFrame],
        bad: BadCells,
        skipped: Mapping[str, int],
    ) -> Mapped:
        good = assembly.without_bad(facts, bad)
        mapped = good[assembly.ROW].n_unique()
        lost = assembly.lost(facts, bad)
        counts = dict(skipped)
        silent = len(bad.records) - mapped - lost.rows
        if silent:
            counts["states nothing"] = silent
        return Mapped(
            facts=assembly.finished(good, self.types, flags, bad.records),
            rejections=[
                *bad.rejections(),
                *(assembly.unreadable(row, self.profile.person is not None) for row in chunk.rejected),
            ],
            rows_read=chunk.table.height + len(chunk.rejected),
            rows_mapped=mapped,
            rows_rejected=lost.rows + len(chunk.rejected),
            rows_skipped=sum(counts.values()),
            facts_rejected=lost.facts,
            skipped=counts,
            rejected_keys=[*lost.keys, *[None] * len(chunk.rejected)],
        )


def _paths(profile: Profile, entries: Sequence[Unpivot], encrypting: bool) -> dict[str, pl.DataType]:
    """Every state path that a fact of this profile mentions, in the order of the columns, with its type."""
    own = [profile.token_field] if profile.person is not None else []
    unpivoted = [path for entry in entries for path in (*entry.constants, entry.path)]
    types = {path: profile.target(path).dtype for path in (*profile.fields, *own, *unpivoted)}
    return types | ({PERSONAL_FIELD: pl.Binary()} if profile.personal and encrypting else {})


def _from_file(slot: Slot) -> bool:
    return bool(slot.cells[0].columns)


def _texts(cell: Cell) -> pl.Expr:
    """Texts of one cell's columns, null where they state nothing."""
    if len(cell.columns) == 1:
        return stated(cell, pl.col(cell.columns[0]))
    joined = pl.concat_str([stated(cell, pl.col(name)) for name in cell.columns], separator=cell.join, ignore_nulls=True)
    return pl.when(joined != "").then(joined)


def _slots(profile: Profile) -> tuple[Slot, ...]:
    """Every column to fill; valid_from comes first, because divisions are resolved as of it."""
    valid = ((VALID_FROM, profile.valid.start), (STATED_TO, profile.valid.end))
    envelope = ((ENVELOPE_TARGETS[name], cells) for name, cells in profile.authority.items())
    fields = ((profile.target(path), cells) for path, cells in profile.fields.items())
    personal = ((personal_target(name), cells) for name, cells in profile.personal.items())
    filled = [Slot(target.path, target, cells) for target, cells in (*valid, *envelope, *fields, *personal) if cells]
    keys = [Slot(name, KEY, part.cells) for name, part in assembly.key_slots(profile).items()]
    return (*filled, *keys)


def mapper(
    profile: Profile,
    columns: Sequence[str],
    publisher: str,
    as_of: date | None,
    tokeniser: Tokeniser | None = None,
    encrypt: EncryptCells | None = None,
) -> Mapper:
    """A mapper for a file with these columns, for the rows of one publisher (31, 32, 33, 34 or 00).

    Personal fields are given to `encrypt`; without it, in a trial, they are read and left out.

    `as_of` is the day that the dump describes and overrides the profile's. Column names are compared after
    normalisation, so width and blanks do not matter. ProfileError where a column, the day or the means to
    make tokens is missing.
    """
    if profile.publishers and publisher not in profile.publishers:
        way_out = f"is whose dump this profile reads, not that of publisher {publisher}; use that publisher's own profile."
        raise ProfileError(profile.path.name, "publishers", ", ".join(profile.publishers), way_out)
    day = as_of or profile.as_of
    bound = _bound(profile, day)
    actual = _actual_columns(profile, columns)
    entries = tuple(one for entry in bound.unpivot for one in _entries(profile, entry, list(actual)))
    used = (*bound.columns(), *(column for entry in entries for column in entry.cell.columns))
    names = {}
    for column in dict.fromkeys(used):
        if text.normalise(column) not in actual:
            raise _missing(profile, column, columns)
        names[column] = actual[text.normalise(column)]
    if profile.person is not None and tokeniser is None:
        way_out = "needs the regional key, which makes the tokens of persons; import it into this home first."
        raise ProfileError(profile.path.name, "person.column", profile.person.column, way_out)
    return Mapper(bound, names, publisher, day, tokeniser, entries, encrypt)


def _bound(profile: Profile, day: date | None) -> Profile:
    """The profile with from = "as_of" made the day itself."""
    if day is None and (profile.valid.start_as_of or profile.completeness == "complete"):
        way_out = "is missing: say which day the dump describes, with as_of in the profile or --as-of."
        raise ProfileError(profile.path.name, "as_of", None, way_out)
    if not profile.valid.start_as_of:
        return profile
    return replace(profile, valid=replace(profile.valid, start=(Cell(constant=day),)))


def _actual_columns(profile: Profile, columns: Sequence[str]) -> dict[str, str]:
    """Actual name of each column by its normalised name; two columns of one name cannot be told apart."""
    actual: dict[str, str] = {}
    wanted = {text.normalise(column) for column in profile.columns()}
    for column in columns:
        name = text.normalise(column)
        if name in actual and name in wanted:
            way_out = "stands above two columns of the file; rename one of them there."
            raise ProfileError(profile.path.name, "column", name, way_out)
        actual.setdefault(name, column)
    return actual


def _missing(profile: Profile, column: str, columns: Sequence[str]) -> ProfileError:
    listed = ", ".join(columns[:60]) + (", …" if len(columns) > 60 else "")
    way_out = f'the profile expects column "{column}"; the file has: {listed}.'
    return ProfileError(profile.path.name, "column", None, way_out)


def _entries(profile: Profile, entry: Unpivot, columns: Sequence[str]) -> list[Unpivot]:
    """The entry itself, or one for each column that its pattern matches in full."""
    if entry.pattern is None:
        return [entry]
    matches = [(name, found) for name in columns if (found := entry.pattern.fullmatch(name))]
    if not matches:
        way_out = f"matches no column; the file has: {', '.join(columns[:60])}."
        raise ProfileError(profile.path.name, "unpivot.pattern", entry.pattern.pattern, way_out)
    return [_entry(profile, entry, name, found.groupdict("")) for name, found in matches]


def _entry(profile: Profile, entry: Unpivot, column: str, groups: Mapping[str, str]) -> Unpivot:
    words = {group: entry.words.get(group, {}).get(found, found) for group, found in groups.items()}
    try:
        constants = {path: template.format_map(words) for path, template in entry.constants.items()}
        for path, constant in constants.items():
            convert(Cell(), profile.target(path), constant)
    except (KeyError, ValueError) as error:
        way_out = f"column {column!r} gives no usable value: {error}"
        raise ProfileError(profile.path.name, "unpivot.set", str(dict(entry.constants)), way_out) from None
    return replace(entry, cell=replace(entry.cell, columns=(column,)), constants=constants, pattern=None)
