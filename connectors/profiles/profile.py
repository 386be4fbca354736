"""Source profiles: how one layout of dump becomes facts of one kind, as a TOML file that staff can edit.

`load` reads and checks a profile; docs/source-profiles.md lists every key. Whatever cannot be right is a
ProfileError that names the file, the key, the value and the way out. Bundled profiles are in bundled/.
"""

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import date
from functools import cache
from pathlib import Path
from typing import Final

from connectors.dumps import Layout
from connectors.profiles.cells import Alternatives, alternatives, field_target
from connectors.profiles.conversions import Cell, Target, target_at
from connectors.profiles.parts import (
    KeyPart,
    Person,
    Publisher,
    Skip,
    Unpivot,
    Valid,
    read_authority,
    read_key,
    read_layout,
    read_person,
    read_publisher,
    read_skip,
    read_unpivot,
    read_valid,
)
from connectors.profiles.personal import check_personal, personal_cells
from connectors.profiles.toml_tables import ProfileError, Table, did_you_mean
from repository.kinds.register import PERSONS, RULES
from repository.registers import text
from schemas.contracts import FACT_KINDS, PERSONAL_FIELD, state_fields

__all__ = ["Profile", "ProfileError", "bundled", "load", "parse"]

BUNDLED: Final = Path(__file__).resolve().parent / "bundled"


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
    person = read_person(top)
    unpivot = tuple(read_unpivot(table, kind, nulls) for table in top.tables("unpivot"))
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
        layout=read_layout(top.table("file")),
        publisher=read_publisher(top),
        key=read_key(top, "key", nulls),
        previous_key=read_key(top, "previous_key", nulls),
        fields=_with_defaults(fields, kind, person, unpivot),
        valid=read_valid(top.table("valid"), unpivot, nulls),
        authority=read_authority(top.table("authority"), nulls),
        skips=tuple(read_skip(table) for table in top.tables("skip")),
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


def _check_whole(profile: Profile, top: Table) -> None:
    """What only the whole profile can tell."""
    if RULES[profile.kind].occurrence and profile.completeness == "complete":
        way_out = f'can\'t be said of {profile.kind}: each is an event of its day, which no list closes; write "partial".'
        raise top.wrong("completeness", profile.completeness, way_out)
    rule = PERSONS.get(profile.kind)
    if rule is not None and rule.only is None and profile.person is None:
        raise top.wrong("person", None, f"is missing: rows of {profile.kind} are about persons; name the column of the number.")
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
