"""Exports: whole tables of the base as they stood in one commit, streamed to the auditor who asked, who writes them.

The owner of the base writes no file for anybody: it is shut off from the file system, and a reader must not be able to
have it overwrite one. The conversation at the socket, after the request {"op": "export", "name": ..., ...arguments}:

    header    {"ok": true, "positions": [{"topic", "partition", "next_offset", "last_position"}, ...]}
    table     {"ok": true, "table": <name>}, then an Arrow IPC stream; again for every table
    trailer   {"ok": true, "rows": 123}, or at any place instead {"ok": false, "error": "..."}
"""

import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, BinaryIO

import duckdb
import pyarrow as pa

from connectors.access.refused import ReadRefused
from connectors.reading.query import Watch, refusing, transaction
from projections.audit_tables import POSITIONS, Part

BATCH_ROWS = 100_000
Positions = list[dict[str, Any]]
Take = Callable[[str, pa.RecordBatchReader], None]
"""What is done with one table: called with its name and its rows, which it takes to the end."""
Sent = Callable[[int], None]


@dataclass(frozen=True, slots=True)
class Tables:
    """An export under way: where the base stands, and the tables, each to be taken before the next."""

    positions: Positions
    readers: Iterator[tuple[str, pa.RecordBatchReader]]


@contextmanager
def exporting(
    cursor: duckdb.DuckDBPyConnection,
    parts: Sequence[Part],
    time_s: float,
    sent: Sent,
    stopped: Callable[[], str | None] = lambda: None,
) -> Iterator[Tables]:
    """The tables of one export, all of one commit; `sent` is told of rows as they go. Raises ReadRefused, also while taken."""
    with transaction(cursor), Watch(cursor, time_s, stopped) as watch:
        with refusing(watch):
            found = cursor.execute(POSITIONS).fetchall()
        names = ("topic", "partition", "next_offset", "last_position")
        positions = [dict(zip(names, row, strict=True)) for row in found]
        yield Tables(positions, _readers(cursor, parts, watch, sent))


def _readers(
    cursor: duckdb.DuckDBPyConnection, parts: Sequence[Part], watch: Watch, sent: Sent
) -> Iterator[tuple[str, pa.RecordBatchReader]]:
    for part in parts:
        with refusing(watch):
            reader = cursor.execute(part.sql, part.parameters).to_arrow_reader(BATCH_ROWS)
        with reader:
            yield part.table, pa.RecordBatchReader.from_batches(reader.schema, _batches(reader, watch, sent))


def _batches(reader: pa.RecordBatchReader, watch: Watch, sent: Sent) -> Iterator[pa.RecordBatch]:
    while True:
        try:
            with refusing(watch):
                batch = reader.read_next_batch()
        except StopIteration:
            return
        if watch.why:
            raise ReadRefused(watch.why)
        sent(batch.num_rows)
        yield batch


def send(file: BinaryIO, tables: Tables) -> dict[str, object]:
    """Write an export as the conversation has it; the trailer, which is not written."""
    file.write(_line({"ok": True, "positions": tables.positions}))
    rows = 0
    try:
        for name, reader in tables.readers:
            file.write(_line({"ok": True, "table": name}))
            with pa.ipc.new_stream(file, reader.schema) as writer:
                for batch in reader:
                    writer.write_batch(batch)
                    rows += batch.num_rows
    except ReadRefused as refusal:
        return {"ok": False, "error": str(refusal)}
    return {"ok": True, "rows": rows}


def receive(file: BinaryIO, line: Callable[[], dict[str, Any]], take: Take) -> Positions:
    """Take an export from a conversation; `line` reads one line of it and raises what it refuses. The positions."""
    positions: Positions = line()["positions"]
    while "table" in (said := line()):
        with pa.ipc.open_stream(file) as reader:
            take(said["table"], reader)
            # What `take` left would be read as the next line.
            for _ in reader:
                pass
    return positions


def _line(value: dict[str, object]) -> bytes:
    return json.dumps(value, ensure_ascii=False, default=str).encode() + b"\n"
