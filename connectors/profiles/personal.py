"""The table [personal] of a source profile: which cells become personal fields, which are encrypted before they are stored."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

import polars as pl

from connectors.profiles.cells import Alternatives, alternatives
from connectors.profiles.conversions import Target, target_at
from connectors.profiles.toml_tables import Table, did_you_mean
from repository.persons.personal import SHORTEST_TOLD, groups
from repository.registers import text
from schemas.contracts import PERSONAL, fields

NUMBER = ("id_type", "id_number")
"""Not kept from dumps: whoever needs the number asks for it, the token is enough to recognise the person."""
PREFIX = "personal."
FREE_TEXTS = ("doc_no", "authority", "reason")
WITHHELD = "(withheld)"
"""Stands in rejections for what a cell of a dump of persons holds."""


def personal_target(name: str) -> Target:
    """Target of a personal field; its column is named apart from the state's fields."""
    return replace(target_at(PERSONAL, name), path=f"{PREFIX}{name}")


def personal_cells(top: Table, nulls: tuple[str, ...]) -> dict[str, Alternatives]:
    """Field -> its cells, in the schema's order. ProfileError for what is no personal field."""
    table = top.table("personal")
    known = [name for name in fields(PERSONAL) if name not in NUMBER]
    for name in table.left:
        if name not in known:
            way_out = (
                "is not kept: the token stands for it"
                if name in NUMBER
                else f"is not a personal field; {did_you_mean(name, known)}"
            )
            raise table.wrong(name, None, way_out.rstrip(".") + ".")
    found = {name: alternatives(table, name, personal_target(name), nulls) for name in known if name in table.left}
    table.asked += known
    table.done()
    return found


def check_personal(top: Table, person: bool, personal: Mapping[str, Alternatives], elsewhere: Sequence[str]) -> None:
    """ProfileError for personal fields without [person], or from a column that is used in clear besides."""
    if personal and not person:
        raise top.wrong(
            "personal", None, "needs [person]: personal fields belong to somebody; name the column of the identity number."
        )
    clear = {text.normalise(name) for name in elsewhere}
    for name, cells in personal.items():
        for column in (column for cell in cells for column in cell.columns):
            if text.normalise(column) in clear:
                raise top.wrong(
                    f"personal.{name}", column, "is used in clear besides; a personal column may be used nowhere else."
                )


def told_in_clear(base: pl.DataFrame) -> list[tuple[str, pl.DataFrame]]:
    """Free text -> the rows (row, reason) whose free text repeats what identifies the person, such as a name."""
    telling = [f"{PREFIX}{name}" for group in ("identity", "contact", "card") for name in groups()[group]]
    present = [name for name in telling if name in base.columns]
    found = []
    for free in (name for name in FREE_TEXTS if name in base.columns):
        repeats = [
            pl.col(free).str.contains(pl.col(name), literal=True) & (pl.col(name).str.len_chars() >= SHORTEST_TOLD)
            for name in present
        ]
        if repeats:
            reason = pl.lit("repeats a personal field in clear; leave it out there.").alias("reason")
            rows = base.with_row_index("row").filter(pl.any_horizontal(repeats).fill_null(False)).select("row", reason)
            found.append((free, rows))
    return found
