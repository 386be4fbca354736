"""Random tables in which rows are refused for every reason there is."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from hypothesis import strategies as st

from repository.events.encoding import EVENT_LIMIT_BYTES
from tests.support.dumps_for_tests import dump

COLUMNS = "名称,电话,床位,空床,起,备注"
FIELDS = '"offers[YRD050101].available" = "空床"\nremarks = "备注"'
HALF = "9" * (EVENT_LIMIT_BYTES // 2)
LAST_DAY = "9999-12-31"
MAPPED = ("sound", "ruled out", "too long", "without a day")
"""What may be true of a row that its profile can read: one that the rules refuse, or that makes no event, is read all the same."""

UNMAPPED = ("not a number", "without a key", "in too many cells")


@dataclass(frozen=True)
class Row:
    """A row of a random table: what is wrong with it, whether it takes two lines, and whether it comes again."""

    flaw: str
    tall: bool
    known: bool
    again: str = ""

    def cells(self, number: int, again: bool = False) -> list[object]:
        long = HALF if self.flaw == "too long" else ""
        phone = f"2{number}" + ("0" if again and self.again == "otherwise" else "") + long
        return [
            "" if self.flaw == "without a key" else f"院{number}",
            f'"{phone}\n"' if self.tall else phone,
            "many" if self.flaw == "not a number" else 5,
            9 if self.flaw == "ruled out" else 3,
            LAST_DAY if self.flaw == "without a day" else "2026-06-01",
            long,
            *(["one too many"] if self.flaw == "in too many cells" else []),
        ]


ROWS = st.builds(
    Row, st.sampled_from((*MAPPED, *UNMAPPED)), st.booleans(), st.booleans(), st.sampled_from(("", "", "likewise", "otherwise"))
)


def tables() -> st.SearchStrategy[list[Row]]:
    """Tables of at most ten rows; few of them are too long, which take a megabyte each."""
    return st.lists(ROWS, max_size=10).filter(lambda rows: sum(row.flaw == "too long" for row in rows) <= 2)


def lines(rows: Sequence[tuple[int, Row, bool]]) -> list[int]:
    """The line on which each row begins, the header's being the first."""
    found, line = [], 2
    for _, row, _ in rows:
        found.append(line)
        line += 2 if row.tall else 1
    return found


def twice(row: Row) -> bool:
    """Whether a row comes again."""
    return bool(row.again) and row.flaw in MAPPED


def told_again(table: Sequence[Row]) -> list[tuple[int, Row, bool]]:
    """The rows with their numbers, and whether each comes again."""
    first = [(number, row, False) for number, row in enumerate(table)]
    return first + [(number, row, True) for number, row in enumerate(table) if twice(row)]


def written(folder: Path, table: Sequence[Row], name: str = "table.csv") -> Path:
    """The table as a dump."""
    return dump(folder, [row.cells(number, again) for number, row, again in told_again(table)], COLUMNS, name)
