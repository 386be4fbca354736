"""Looking for planted texts in everything that a home holds: raw bytes, and every value through each format's own reader."""

import sqlite3
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import duckdb

from repository.events.encoding import decode_own

ENCODINGS = ("utf-8", "utf-16-le", "utf-16-be", "gbk")


def spellings(planted: str) -> list[bytes]:
    """A text in every encoding in which it might be written."""
    return list(dict.fromkeys(planted.encode(encoding) for encoding in ENCODINGS))


def holds(content: bytes, planted: str) -> bool:
    return any(spelling in content for spelling in spellings(planted))


def raw_files(folder: Path) -> dict[Path, bytes]:
    """Every file below a folder with its bytes."""
    return {path: path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def sqlite_values(path: Path) -> Iterator[bytes]:
    """Every text and binary value of a SQLite file; of stored events, their decoded fields too."""
    connection = sqlite3.connect(path)
    try:
        names = [name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        for name in names:
            for row in connection.execute(f'SELECT * FROM "{name}"'):
                yield from _values(row)
    finally:
        connection.close()


def duckdb_values(path: Path) -> Iterator[bytes]:
    """Every text and binary value of a DuckDB file, nested ones as text."""
    connection = duckdb.connect(str(path), read_only=True)
    try:
        for (name,) in connection.execute("SELECT table_name FROM duckdb_tables() WHERE NOT temporary").fetchall():
            columns = connection.execute(f'SELECT * FROM "{name}"')
            while rows := columns.fetchmany(10_000):
                for row in rows:
                    yield from _values(row)
    finally:
        connection.close()


def _values(row: Iterable[Any]) -> Iterator[bytes]:
    for value in row:
        if isinstance(value, list | tuple | dict):
            yield from _values(value.values() if isinstance(value, dict) else value)
        elif isinstance(value, bytes):
            yield value
            if value[:2] == b"\xc3\x01":
                yield repr(decode_own(value)).encode()
        elif value is not None:
            yield str(value).encode()


def found_in(folder: Path, planted: str) -> list[str]:
    """Where a text stands below a folder: file names, marked raw or read."""
    found = [f"{path.relative_to(folder)} raw" for path, content in raw_files(folder).items() if holds(content, planted)]
    readers = {".sqlite": sqlite_values, ".duckdb": duckdb_values}
    for path in sorted(folder.rglob("*")):
        reader = readers.get(path.suffix)
        if reader is not None and path.is_file() and any(holds(value, planted) for value in reader(path)):
            found.append(f"{path.relative_to(folder)} read")
    return found
