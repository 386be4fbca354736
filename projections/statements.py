"""What of a reader's SQL may be kept: its shape, and the tables and columns it names, and nothing that a reader made up.

A literal may hold a person's name or number, and so may a comment, an alias, or a name that does not exist. So a statement
is taken apart by DuckDB's tokeniser and put together again from what is known beforehand: keywords, signs, and the base's
own tables, columns and functions. Whatever is none of these becomes a question mark or a numbered word.
"""

import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import duckdb

from projections import guard
from schemas.contracts import KINDS, FieldType, fields

LIMIT = 4_000
"""Characters of a masked statement that are kept."""
NAMED = """
    SELECT lower(table_name), 'table' FROM duckdb_tables()
    UNION SELECT lower(view_name), 'table' FROM duckdb_views()
    UNION SELECT lower(function_name), 'table' FROM duckdb_functions() WHERE function_type = 'table_macro' AND NOT internal
    UNION SELECT lower(column_name), 'column' FROM duckdb_columns()
"""
WORD = re.compile(r"\w+")
QUOTED = re.compile(r'"((?:[^"]|"")*)"')
SIGNS = re.compile(r"[^\w\s]+")
COMMENT = re.compile(r"--|/\*")
Token = tuple[str, str]


@dataclass(frozen=True, slots=True)
class Words:
    """Names that the base has, in lower case: tables (views and table macros too), and columns with the cells of entries."""

    tables: frozenset[str]
    columns: frozenset[str]


def words_of(connection: duckdb.DuckDBPyConnection | None) -> Words:
    """The names of a base; without a connection those of the contracts alone."""
    rows = [] if connection is None else connection.execute(NAMED).fetchall()
    cells = {name for kind in KINDS for name in _cells(fields(kind))}
    return Words(
        frozenset(name for name, what in rows if what == "table"),
        frozenset({name for name, what in rows if what == "column"} | cells),
    )


def _cells(known: Mapping[str, FieldType]) -> Iterator[str]:
    for name, type_ in known.items():
        yield name
        yield from _cells(type_.entry)


def masked(sql: str, words: Words) -> str:
    """The statement without literals, comments and made-up names; never more than LIMIT characters."""
    if len(sql) > guard.MAX_CHARACTERS:
        return f"({len(sql)} characters, not kept)"
    kept: dict[str, str] = {}
    parts = [_part(kind, lexeme, words, kept) for kind, lexeme in _tokens(sql)]
    return " ".join(part for part in parts if part)[:LIMIT]


def _tokens(sql: str) -> Iterator[Token]:
    """Kind and text of each token. The text goes on to the next token, blanks and comments included."""
    data = sql.encode("utf-8", "replace")
    try:
        found = duckdb.tokenize(data.decode())
    except duckdb.Error:
        return
    ends = [*(start for start, _ in found[1:]), len(data)][: len(found)]
    for (start, kind), end in zip(found, ends, strict=True):
        yield kind.name, data[start:end].decode("utf-8", "replace")


def _part(kind: str, lexeme: str, words: Words, kept: dict[str, str]) -> str:
    if kind in ("numeric_const", "string_const"):
        return "?"
    if kind == "operator":
        return "".join(SIGNS.findall(COMMENT.split(lexeme)[0])[:1])
    quoted = QUOTED.match(lexeme)
    plain = WORD.match(lexeme)
    name = quoted[1] if quoted else plain[0] if plain else ""
    if kind == "keyword" and not quoted and name.isascii() and name.lower() not in words.columns:
        return name.upper()
    return _name(name.lower(), words, kept)


def _name(name: str, words: Words, kept: dict[str, str]) -> str:
    if name in words.tables or name in words.columns or name in guard.FUNCTIONS or name.upper() in TYPES:
        return name
    return kept.setdefault(name, f"word{len(kept) + 1}")


TYPES = frozenset(["VARCHAR", "DATE", "TIMESTAMPTZ", "BIGINT", "UUID", "BLOB", "JSON", "TEXT"])
"""Type names that the tokeniser does not count among the keywords."""


def named(connection: duckdb.DuckDBPyConnection, sql: str, words: Words) -> tuple[list[str], list[str]]:
    """Tables and columns that a statement names, as far as the base has them; none of a text that is no statement."""
    try:
        tree = guard.parsed(connection, sql)
    except (guard.QueryRefused, RecursionError):
        return [], []
    tables: set[str] = set()
    columns: set[str] = set()
    for node in _nodes(tree):
        if node.get("type") == "BASE_TABLE":
            tables.add(str(node["table_name"]).lower())
        elif node.get("type") == "TABLE_FUNCTION":
            tables.add(str(node["function"].get("function_name", "")).lower())
        elif node.get("class") == "COLUMN_REF":
            columns.update(str(part).lower() for part in node["column_names"])
        elif node.get("class") == "STAR":
            columns.add("*")
    return sorted(tables & words.tables), sorted(columns & (words.columns | {"*"}))


def known_columns(names: Collection[str], words: Words) -> list[str]:
    """Of the columns of a result, those that the base has under that name."""
    return sorted({name.lower() for name in names} & words.columns)


def _nodes(tree: Any) -> Iterator[dict[str, Any]]:
    rest = [tree]
    while rest:
        value = rest.pop()
        if isinstance(value, dict):
            yield value
            rest.extend(value.values())
        elif isinstance(value, list):
            rest.extend(value)
