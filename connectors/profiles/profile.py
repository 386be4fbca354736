"""Source profiles: how one layout of dump becomes facts of one kind, as a TOML file that staff can edit.

`load` reads and checks a profile; docs/source-profiles.md lists every key. Whatever cannot be right is a
ProfileError that names the file, the key, the value and the way out. Bundled profiles are in bundled/.
"""

import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import date
from functools import cache
from pathlib import Path
from typing import Final

from connectors.dumps import Layout
from connectors.profiles.cells import Alternatives, alternatives, field_target, one_cell
from connectors.profiles.conversions import Cell, Target, convert, target_at
from connectors.profiles.personal import check_personal, personal_cells
from connectors.profiles.toml_tables import ProfileError, Table, did_you_mean
from repository.kinds.register import PERSONS, RULES
from repository.registers import text
from schemas.contracts import FACT_KINDS, PERSONAL_FIELD, state_fields

__all__ = [
    "KeyPart",
    "Person",
    "Profile",
    "ProfileError",
    "Publisher",
    "Skip",
    "Unpivot",
    "Valid",
    "bundled",
    "load",
    "parse",
]

BUNDLED: Final = Path(__file__).resolve().parent / "bundled"
ENVELOPE_TARGETS: Final = {
    "doc_no": Target("doc_no", "string"),
    "authority": Target("authority", "string"),
    "published_on": Target("published_on", "date"),
    "reason": Target("reason", "string"),
}
KEY: Final = Target("key", "string")
VALID_FROM: Final = Target("valid_from", "date")
STATED_TO: Final = Target("stated_to", "date")
ID_TYPES: Final = ("citizen_number", "hmt_residence_permit", "foreign_permanent_resident", "other")
AS_OF: Final = "as_of"


@dataclass(frozen=True, slots=True)
class KeyPart:
    """One part of a business key: the first stated cell, or the value of a mapped `field` (a state path)."""

    cells: Alternatives = ()
    field: str = ""


@dataclass(frozen=True, slots=True)
class Publisher:
    """Rows of other publishers are skipped. `by` is code or name; `unresolved` (skip, reject) is for unknown places."""

    column: str
    by: str
    unresolved: str


@dataclass(frozen=True, slots=True)
class Valid:
    """From and to when a fact holds. Without `start` cells the day is `as_of` (start_as_of) or not stated (undated)."""

    start: Alternatives = ()
    start_as_of: bool = False
    undated: bool = False
    end: Alternatives = ()
    end_inclusive: bool = True


@dataclass(frozen=True, slots=True)
class Skip:
    """Rows to pass over: those whose cell is empty, is one of `values`, or matches `pattern`."""

    column: str
    because: str
    empty: bool = False
    values: frozenset[str] = frozenset()
    pattern: str = ""


@dataclass(frozen=True, slots=True)
class Unpivot:
    """One column, or every column whose name matches `pattern`, that gives one fact per row.

    `path` is the field that takes the cell, `constants` go into others, by state path; with a pattern, they are
    templates over its named groups, each translated by `words` first. `valid_from` None: the row's own.
    """

    cell: Cell
    path: str
    constants: Mapping[str, str]
    pattern: re.Pattern[str] | None = None
    words: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    valid_from: date | None = None


@dataclass(frozen=True, slots=True)
class Person:
    """Rows about persons: the column of the identity number and its type. Only the token of it is kept."""

    column: str
    id_type: str


@dataclass(frozen=True, slots=True)
class Profile:
    """One checked source profile; `fields` and `authority` give the cells for each state path or envelope field."""

    name: str
    description: str
    kind: str
    source: str
    scope: str
    completeness: str
    max_closures: float
    expected_every: int | None
    as_of: date | None
    data_level: int
    publishers: tuple[str, ...]
    layout: Layout
    publisher: Publisher | None
    key: tuple[KeyPart, ...]
    previous_key: tuple[KeyPart, ...]
    fields: Mapping[str, Alternatives]
    valid: Valid
    authority: Mapping[str, Alternatives]
    skips: tuple[Skip, ...]
    unpivot: tuple[Unpivot, ...]
    person: Person | None
    path: Path
    personal: Mapping[str, Alternatives] = field(default_factory=dict)
    """The cells of each personal field, by its name in the personal schema."""

    @property
    def token_field(self) -> str:
        """The field for the token of a row's person; empty where the kind leads to nobody."""
        rule = PERSONS.get(self.kind)
        return "" if rule is None else rule.token

    @property
    def keyed_by_token(self) -> bool:
        """Whether the token of a row's person is its key, too."""
        return self.person is not None and self.kind in PERSONS and PERSONS[self.kind].token_is_key

    def target(self, path: str) -> Target:
        """Type and codes of one state path of this profile's kind."""
        return target_at(self.kind, path)

    def columns(self) -> tuple[str, ...]:
        """Names of all columns that the profile expects, without those that patterns find; in order, once each."""
        names = [name for cells in self._cells() for cell in cells for name in (*cell.columns, cell.within_column)]
        names += [skip.column for skip in self.skips]
        names += [self.publisher.column] if self.publisher else []
        names += [self.person.column] if self.person else []
        return tuple(dict.fromkeys(name for name in names if name))

    def _cells(self) -> list[Alternatives]:
        parts = [part.cells for part in (*self.key, *self.previous_key)]
        entries = [(entry.cell,) for entry in self.unpivot]
        return [
            *parts,
            *self.fields.values(),
            *self.personal.values(),
            self.valid.start,
            self.valid.end,
            *self.authority.values(),
            *entries,
        ]


def load(name_or_path: str | Path) -> Profile:
    """A checked profile: a bundled one by name, or one of your own by its path. ProfileError where it cannot be used."""
    path = Path(name_or_path)
    if path.suffix != ".toml" and not path.is_file():
        path = BUNDLED / f"{name_or_path}.toml"
        if not path.is_file():
            known = sorted(each.stem for each in BUNDLED.glob("*.toml"))
            way_out = f"is neither a bundled profile nor a .toml file; {did_you_mean(str(name_or_path), known)}"
            raise ProfileError(str(name_or_path), "profile", None, way_out)
    try:
        content = path.read_text("utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise ProfileError(str(path), "file", None, f"cannot be read as UTF-8 text: {error}.") from None
    return parse(content, path)


@cache
def bundled() -> tuple[Profile, ...]:
    """The profiles that come with the project, in the order of their names."""
    return tuple(load(path) for path in sorted(BUNDLED.glob("*.toml")))


def parse(content: str, path: Path) -> Profile:
    """A checked profile from the text of its file; `path` is for messages and the default name."""
    try:
        top = Table(path.name, "", tomllib.loads(content))
    except tomllib.TOMLDecodeError as error:
        raise ProfileError(path.name, "file", None, f"is not TOML: {error}.") from None
    kind = top.choice("kind", FACT_KINDS)
    nulls = tuple(text.normalise(each) for each in top.texts("nulls"))
    person = _person(top)
    unpivot = tuple(_unpivot(table, kind, nulls) for table in top.tables("unpivot"))
    fields = _fields(top.table("fields"), kind, nulls)
    profile = Profile(
        name=top.text("name", path.stem),
        description=top.text("description", ""),
        kind=kind,
        source=top.text("source"),
        scope=top.text("scope"),
        completeness=top.choice("completeness", ("complete", "partial")),
        max_closures=top.number("max_closures", 0, 1, 0.05),
        expected_every=_expected_every(top),
        as_of=top.day("as_of"),
        data_level=int(top.number("data_level", 1, 4, 1)),
        publishers=top.texts("publishers"),
        layout=_layout(top.table("file")),
        publisher=_publisher(top),
        key=_key(top, "key", nulls),
        previous_key=_key(top, "previous_key", nulls),
        fields=_with_defaults(fields, kind, person, unpivot),
        valid=_valid(top.table("valid"), unpivot, nulls),
        authority=_authority(top.table("authority"), nulls),
        skips=tuple(_skip(table) for table in top.tables("skip")),
        unpivot=unpivot,
        person=person,
        path=path,
        personal=personal_cells(top, nulls),
    )
    top.done()
    _check_whole(profile, top)
    return profile


def _expected_every(top: Table) -> int | None:
    days = top.number("expected_every", 0, 36600, 0)
    return int(days) or None


def _layout(table: Table) -> Layout:
    given = {key: table.text(key, "") or None for key in ("format", "encoding", "delimiter", "sheet", "records")}
    columns = table.texts("columns")
    header = int(table.number("header", 0, 1000, 0 if columns else 1)) or None
    table.done()
    try:
        return Layout(**given, columns=columns, header=header)
    except ValueError as error:
        raise ProfileError(table.file, table.where, None, f"{error}.") from None


def _publisher(top: Table) -> Publisher | None:
    if "publisher" not in top.left:
        top.take("publisher")
        return None
    table = top.table("publisher")
    found = Publisher(
        table.text("column"),
        table.choice("division", ("code", "name")),
        table.choice("unresolved", ("skip", "reject"), "skip"),
    )
    table.done()
    return found


def _person(top: Table) -> Person | None:
    if "person" not in top.left:
        top.take("person")
        return None
    table = top.table("person")
    found = Person(table.text("column"), table.choice("id_type", ID_TYPES))
    table.done()
    return found


def _skip(table: Table) -> Skip:
    pattern = table.pattern("pattern")
    found = Skip(
        column=table.text("column"),
        because=table.text("because"),
        empty=table.truth("empty", False),
        values=frozenset(text.normalise(each) for each in table.texts("values")),
        pattern=pattern.pattern if pattern else "",
    )
    if not (found.empty or found.values or found.pattern):
        raise table.wrong("column", found.column, "needs empty = true, values = [...] or pattern = '...' beside it.")
    table.done()
    return found


# Parts of a profile.


def _key(top: Table, key: str, nulls: tuple[str, ...]) -> tuple[KeyPart, ...]:
    listed = top.take(key, [])
    if not isinstance(listed, list):
        raise top.wrong(key, listed, 'must be a list of parts, such as ["城市", "名称"].')
    parts = []
    for number, each in enumerate(listed, 1):
        if isinstance(each, dict) and "field" in each:
            table = Table(top.file, f"{key}[{number}]", each)
            parts.append(KeyPart(field=table.text("field")))
            table.done()
        else:
            holder = Table(top.file, "", {f"{key}[{number}]": each})
            parts.append(KeyPart(alternatives(holder, f"{key}[{number}]", KEY, nulls)))
    return tuple(parts)


def _fields(table: Table, kind: str, nulls: tuple[str, ...]) -> dict[str, Alternatives]:
    return {path: alternatives(table, path, field_target(table, kind, path), nulls) for path in list(table.left)}


def _with_defaults(
    fields: dict[str, Alternatives], kind: str, person: Person | None, unpivot: tuple[Unpivot, ...]
) -> dict[str, Alternatives]:
    """What is listed is in being, where the kind has it so and no field says otherwise; rows with an identity are persons."""
    given = {path for entry in unpivot for path in (entry.path, *entry.constants)} | set(fields)
    rules = RULES[kind]
    defaults = dict([rules.still]) if rules.listing_implies_still else {}
    if person is not None and rules.person is not None and rules.person.only is not None:
        defaults |= dict([rules.person.only])
    return fields | {path: (Cell(constant=value),) for path, value in defaults.items() if path not in given}


def _valid(table: Table, unpivot: tuple[Unpivot, ...], nulls: tuple[str, ...]) -> Valid:
    undated = table.choice("from_missing", ("reject", "undated"), "reject") == "undated"
    as_of = table.left.get("from") == AS_OF
    if as_of:
        table.take("from")
    start = alternatives(table, "from", VALID_FROM, nulls) if "from" in table.left else ()
    inclusive = True
    if isinstance(table.left.get("to"), dict):
        inner = Table(table.file, f"{table.where}.to", table.left["to"])
        inclusive = inner.truth("inclusive", True)
        table.left["to"] = inner.left
    end = alternatives(table, "to", STATED_TO, nulls) if "to" in table.left else ()
    dated = bool(unpivot) and all(entry.valid_from for entry in unpivot)
    if not (start or as_of or undated or dated):
        way_out = 'is missing: say from when the facts hold, as a column, a constant or "as_of", or set from_missing.'
        raise table.wrong("from", None, way_out)
    table.asked += ["from", "to"]
    table.done()
    return Valid(start, as_of, undated, end, inclusive)


def _authority(table: Table, nulls: tuple[str, ...]) -> dict[str, Alternatives]:
    found = {name: alternatives(table, name, target, nulls) for name, target in ENVELOPE_TARGETS.items() if name in table.left}
    table.asked += list(ENVELOPE_TARGETS)
    table.done()
    return found


def _unpivot(table: Table, kind: str, nulls: tuple[str, ...]) -> Unpivot:
    path = table.text("field")
    value_target = field_target(Table(table.file, f"{table.where}.field", {}), kind, path)
    pattern = table.pattern("pattern")
    column = "" if pattern else table.text("column")
    constants = table.words("set")
    words = table.take("words", {})
    for name, constant in constants.items():
        target = field_target(Table(table.file, f"{table.where}.set", {}), kind, name)
        if pattern is None:
            _checked(table, name, constant, target)
    found = Unpivot(
        cell=one_cell(table, value_target, nulls, (column,) if column else ()),
        path=path,
        constants=constants,
        pattern=pattern,
        words=words,
        valid_from=table.day("valid_from"),
    )
    table.done()
    return found


def _checked(table: Table, name: str, constant: str, target: Target) -> None:
    try:
        convert(Cell(), target, constant)
    except ValueError as error:
        raise table.wrong(f"set.{name}", constant, str(error)) from None


def _check_whole(profile: Profile, top: Table) -> None:
    """What only the whole profile can tell."""
    if RULES[profile.kind].occurrence and profile.completeness == "complete":
        way_out = f'can\'t be said of {profile.kind}: each is an event of its day, which no list closes; write "partial".'
        raise top.wrong("completeness", profile.completeness, way_out)
    if profile.personal and PERSONAL_FIELD not in state_fields(profile.kind):
        raise top.wrong("personal", None, f"has no place in {profile.kind}, which holds no personal fields; remove the table.")
    check_personal(top, profile.person is not None, profile.personal, replace(profile, person=None, personal={}).columns())
    if profile.person is not None:
        _check_person(profile, profile.person, top)
    if not profile.key and not profile.keyed_by_token:
        raise top.wrong(
            "key",
            None,
            'is missing: name the columns that tell one entity from another, as ["城市", "名称"].',
        )
    mapped = set(profile.fields) | {path for entry in profile.unpivot for path in (entry.path, *entry.constants)}
    for part in (*profile.key, *profile.previous_key):
        if part.field and part.field not in mapped:
            raise top.wrong("key", part.field, f"is not a mapped field; {did_you_mean(part.field, sorted(mapped))}")
    for entry in profile.unpivot:
        twice = {entry.path, *entry.constants} & set(profile.fields)
        if twice:
            raise top.wrong("unpivot", min(twice), "is also in [fields]; say it once.")
    if profile.data_level < 3 and profile.person is not None:
        raise top.wrong("data_level", profile.data_level, "must be 3 or 4 for persons (GB/T 43697-2024).")


def _check_person(profile: Profile, person: Person, top: Table) -> None:
    rule = PERSONS.get(profile.kind)
    if rule is None:
        kinds = ", ".join(PERSONS)
        raise top.wrong("person.column", person.column, f"is only for kinds about persons ({kinds}); remove [person].")
    if rule.token_is_key and (profile.key or profile.previous_key):
        raise top.wrong("key", None, "is not given for persons: their token is the key; remove it.")
    elsewhere = replace(profile, person=None).columns()
    if text.normalise(person.column) in (text.normalise(name) for name in elsewhere):
        raise top.wrong("person.column", person.column, "may be used nowhere else: the identity number is not kept.")
