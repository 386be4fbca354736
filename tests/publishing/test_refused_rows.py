"""Refused rows: whatever is wrong with a row costs that row alone, and what is kept of it names its own line, key and value."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from hypothesis import example, given, settings
from hypothesis import strategies as st

from connectors.publishing.rejections import Rejected, kept
from repository.events.encoding import EVENT_LIMIT_BYTES
from tests.support.dumps_for_tests import MAY, dump, facts, imported, profile, region

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


def _lines(rows: Sequence[tuple[int, Row, bool]]) -> list[int]:
    """The line on which each row begins, the header's being the first."""
    lines, line = [], 2
    for _, row, _ in rows:
        lines.append(line)
        line += 2 if row.tall else 1
    return lines


def _twice(row: Row) -> bool:
    return bool(row.again) and row.flaw in MAPPED


def _told_again(table: Sequence[Row]) -> list[tuple[int, Row, bool]]:
    first = [(number, row, False) for number, row in enumerate(table)]
    return first + [(number, row, True) for number, row in enumerate(table) if _twice(row)]


def _expected(number: int, row: Row, again: bool, line: int) -> tuple[int, str, str] | None:
    """Line, column and value of the rejection of a row; None where it is accepted, or says again what another row says."""
    key = f"院{number}"
    if _twice(row) and row.again == "otherwise":
        return line, "", key
    if row.flaw == "sound" or (again and row.again == "likewise"):
        return None
    shown = {"not a number": ("床位", "many"), "without a key": ("名称", "")}
    return (line, *shown.get(row.flaw, ("", key)))


def _shown(rejected: Rejected) -> tuple[int | None, str, str]:
    value = rejected.value
    if rejected.value.endswith("one too many"):
        value = rejected.value.split(",")[0]
    return rejected.line, rejected.column, value


@given(tables(), st.integers(1, 5))
@example([Row("sound", False, False), Row("sound", False, False), Row("ruled out", False, False)], 10)
@example([Row("ruled out", False, False), Row("sound", False, False), Row("sound", False, False)], 10)
@example([Row("too long", True, False), Row("too long", False, True), Row("sound", False, False)], 10)
@example([Row("without a day", False, False), Row("without a day", False, True), Row("sound", False, True)], 10)
@settings(deadline=None, max_examples=15)
def test_every_rejection_names_its_own_row_and_every_other_row_is_recorded(table: list[Row], chunk_rows: int) -> None:
    with TemporaryDirectory() as folder:
        home = region(Path(folder), import_chunk_rows=chunk_rows)
        source = profile(Path(folder), fields=FIELDS, valid='from = "起"')
        known = [number for number, row in enumerate(table) if row.known]
        imported(home, source, dump(Path(folder), [(f"院{n}", "1", 5, 3, MAY, None) for n in known], COLUMNS))
        before = len(facts(home))

        rows = _told_again(table)
        lines = _lines(rows)
        done = imported(home, source, dump(Path(folder), [row.cells(n, again) for n, row, again in rows], COLUMNS, "second.csv"))

        wanted = [_expected(*row, line) for row, line in zip(rows, lines, strict=True)]
        assert sorted(map(_shown, done.rejected)) == sorted(each for each in wanted if each is not None)
        assert sorted(map(_shown, kept(home.folder / "rejections" / "31.sqlite", 100))) == sorted(map(_shown, done.rejected))
        sound = [(n, row) for n, row in enumerate(table) if row.flaw == "sound" and row.again != "otherwise"]
        shown = {event["business_key"]: event["phone"] for event in facts(home)[before:]}
        assert shown == {f"院{n}": f"2{n}" for n, _ in sound}

        counts, unread = done.counts, sum(row.flaw in UNMAPPED for row in table)
        assert (counts.rows_read, counts.rows_rejected, counts.rows_mapped) == (len(rows), unread, len(rows) - unread)
        assert counts.facts_new == sum(not row.known for _, row in sound)
        assert counts.facts_changed == sum(row.known for _, row in sound)
        assert counts.facts_duplicate == sum(row.again == "likewise" for row in table if _twice(row))
        assert counts.facts_rejected == len(done.rejected) - unread
        assert counts.rows_mapped == counts.facts_new + counts.facts_changed + counts.facts_duplicate + counts.facts_rejected
