"""The questions that the base answers: one .sql file each, whose first comment is the question in plain words."""

import re
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import duckdb
import polars as pl

FOLDER = Path(__file__).resolve().parent / "questions"
CREATES = re.compile(r"^CREATE (?P<what>VIEW|MACRO) (?P<name>\w+)(?:\((?P<parameters>[^)]*)\))? AS\b", re.MULTILINE)

CATALOGUE: tuple[tuple[str, pl.DataType], ...] = (
    ("name", pl.String()),
    ("parameters", pl.List(pl.String)),
    ("question", pl.String()),
    ("notes", pl.String()),
)


@dataclass(frozen=True, slots=True)
class Question:
    """One question: `name` is the view or table macro to select from, `parameters` what the macro takes, as written.

    `text` is the question itself, `notes` what its answer means. Views have no parameters and no brackets.
    """

    name: str
    what: str
    parameters: tuple[str, ...]
    text: str
    notes: str
    sql: str


@cache
def questions() -> tuple[Question, ...]:
    """All questions, in the order in which they are created: by name."""
    return tuple(_question(path) for path in sorted(FOLDER.glob("*.sql")))


def macros() -> frozenset[str]:
    """Names of every macro that the questions create, for readers' SQL to be checked against."""
    return frozenset(m["name"] for q in questions() for m in CREATES.finditer(q.sql) if m["what"] == "MACRO")


def load_catalogue(connection: duckdb.DuckDBPyConnection) -> None:
    """Create the table `catalogue`: name, parameters and words of every question, for readers of the base."""
    rows = [(q.name, list(q.parameters), q.text, q.notes) for q in questions()]
    table = pl.DataFrame(rows, schema=pl.Schema(CATALOGUE), orient="row")
    connection.register("arriving_catalogue", table.to_arrow())
    connection.execute("CREATE OR REPLACE TABLE catalogue AS SELECT * FROM arriving_catalogue ORDER BY name")
    connection.unregister("arriving_catalogue")


def _question(path: Path) -> Question:
    sql = path.read_text("utf-8")
    created = next((m for m in CREATES.finditer(sql) if m["name"] == path.stem), None)
    comment = _first_comment(sql)
    if created is None or not comment:
        raise ValueError(f"{path.name} must begin with its question as a comment and create a view or macro {path.stem}.")
    listed = (created["parameters"] or "").split(",")
    text, _, notes = comment.partition("?")
    return Question(
        name=path.stem,
        what=created["what"].lower(),
        parameters=tuple(p.strip() for p in listed if p.strip()),
        text=f"{text}?",
        notes=notes.strip(),
        sql=sql,
    )


def _first_comment(sql: str) -> str:
    lines = []
    for line in sql.splitlines():
        if not line.startswith("--"):
            break
        lines.append(line.removeprefix("--").strip())
    return " ".join(lines)
