"""Stored bytes to columns: many events of one schema version at once, and one by one where that fails.

The bodies, joined, are the data block of an Avro object container file in memory, which polars decodes in columns, some
ten times faster than record by record. Its reader is lenient (an index of -1, a boolean of 7, a number past 32 bits read
fine), and one bad record can shift all behind it; so the columns are encoded again and must give back the very bytes.
Where they do not, or the reader gives up, each record of that group is decoded alone by fastavro, which names the bad one.
"""

import io
import json
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import polars as pl

from repository.events.columns import Column, Constant, Entries, encode_columns, fields_of, zigzag
from repository.events.encoding import HEADER_BYTES, NotAnEvent, decode, writer_of
from schemas.contracts import KINDS, Contract, FieldType, fields

ROW = "_row"
"""Column with each event's place in the batch, from 0."""
SYNC = b"one batch, yrd.\n"
FAST_FROM = 8
"""Below this many events the column reader's setting up costs more than it saves."""
DAY_RANGE = (-719_162, 2_932_896)
"""0001-01-01 to 9999-12-31 in days since 1970-01-01: what a day may be."""
MOMENT_RANGE = (-62_135_596_800_000_000, 253_402_300_799_999_999)
"""The same range for a moment, in microseconds since 1970-01-01 UTC."""
UUID_FORM = "^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$"

TYPES: dict[str, Any] = {
    "string": pl.String,
    "uuid": pl.String,
    "int": pl.Int32,
    "long": pl.Int64,
    "double": pl.Float64,
    "boolean": pl.Boolean,
    "bytes": pl.Binary,
    "date": pl.Date,
    "timestamp": pl.Datetime("us", "UTC"),
    "decimal": pl.Decimal(18, 4),
    "strings": pl.List(pl.String),
}


@dataclass
class Decoded:
    """A batch in columns: a frame per kind, with the schema's columns and ROW; and the rows that could not be decoded."""

    frames: dict[str, pl.DataFrame] = field(default_factory=dict)
    refused: list[tuple[int, str]] = field(default_factory=list)


def decode_batch(values: Sequence[bytes]) -> Decoded:
    """Decode stored events of any kinds and versions; every value is either in a frame or refused with its reason."""
    decoded = Decoded()
    parts: dict[str, list[pl.DataFrame]] = {kind: [] for kind in KINDS}
    for known, rows in _by_writer(values, decoded).items():
        frame = _columns(known, values, rows)
        parts[known.kind].append(frame if frame is not None else _one_by_one(known, values, rows, decoded))
    for kind, frames in parts.items():
        frame = pl.concat(frames).sort(ROW) if frames else empty_frame(kind)
        if frame.height:
            decoded.frames[kind] = frame
    return decoded


def _by_writer(values: Sequence[bytes], decoded: Decoded) -> dict[Contract, list[int]]:
    groups: dict[Contract, list[int]] = {}
    seen: dict[bytes, list[int]] = {}
    for row, value in enumerate(values):
        rows = seen.get(value[:HEADER_BYTES])
        if rows is None or len(value) > 1 << 20:
            try:
                known = writer_of(value)
            except NotAnEvent as error:
                decoded.refused.append((row, str(error)))
                continue
            rows = seen[value[:HEADER_BYTES]] = groups.setdefault(known, [])
        rows.append(row)
    return groups


# -- in columns ----------------------------------------------------------------------------------------------------


def _columns(known: Contract, values: Sequence[bytes], rows: list[int]) -> pl.DataFrame | None:
    """The group in columns of the current schema; None where the bytes are not plainly what our writers produce."""
    if len(rows) < FAST_FROM:
        return None
    stored = [values[row] for row in rows]
    frame = _read(known, stored)
    if frame is None or frame.height != len(rows) or not _plausible(known, frame):
        return None
    if encode_columns(known.kind, _physical(known, frame), len(rows), known) != stored:
        return None
    return _current(known, frame).with_columns(pl.Series(ROW, rows, dtype=pl.UInt32))


def _read(known: Contract, stored: Sequence[bytes]) -> pl.DataFrame | None:
    block = b"".join([value[HEADER_BYTES:] for value in stored])
    container = b"".join((_header(known), zigzag(len(stored)), zigzag(len(block)), block, SYNC))
    try:
        with _quiet_panics():
            return pl.read_avro(io.BytesIO(container))
    except (pl.exceptions.PolarsError, pl.exceptions.PanicException, OSError, OverflowError, ValueError):
        # A Rust panic is a BaseException of its own; whatever it was, the slow way finds the record and says why.
        return None


@contextmanager
def _quiet_panics() -> Iterator[None]:
    """Rust prints a panic's backtrace to file descriptor 2 itself; the record is quarantined with a sentence instead."""
    if os.environ.get("RUST_BACKTRACE") == "full":
        yield
        return
    with Path(os.devnull).open("wb") as nowhere:
        kept = os.dup(2)
        os.dup2(nowhere.fileno(), 2)
        try:
            yield
        finally:
            os.dup2(kept, 2)
            os.close(kept)


@cache
def _header(known: Contract) -> bytes:
    """Head of an object container file whose schema is the writer's, without what the column reader can't take."""
    schema = json.dumps(_bare(known.schema)).encode()
    key = b"avro.schema"
    return b"".join((b"Obj\x01", zigzag(1), zigzag(len(key)), key, zigzag(len(schema)), schema, zigzag(0), SYNC))


def _bare(schema: Any) -> Any:
    """The schema without docs and defaults, and with UUIDs as the texts they are encoded as."""
    if isinstance(schema, list):
        return [_bare(each) for each in schema]
    if not isinstance(schema, dict):
        return schema
    if schema.get("logicalType") == "uuid":
        return "string"
    return {key: _bare(value) for key, value in schema.items() if key not in ("doc", "default")}


def _plausible(known: Contract, frame: pl.DataFrame) -> bool:
    """Whether no number is NaN, no day outside the calendar, no UUID other text; the encoding can't tell."""
    return all(_sound(frame[name], type_) for name, type_ in fields_of(known).items())


def _sound(series: pl.Series, type_: FieldType) -> bool:
    if type_.word not in ("records", "strings"):
        check = SOUND.get(type_.word)
        return check is None or bool(check(series).all())
    if type_.item == "string" or not series.list.len().sum():
        return True
    items = series.explode().drop_nulls()
    if type_.word == "strings":
        return bool(SOUND[type_.item](items).all())
    return all(_sound(items.struct.field(cell), cell_type) for cell, cell_type in type_.entry.items())


SOUND: dict[str, Callable[[pl.Series], pl.Series]] = {
    "uuid": lambda s: s.str.contains(UUID_FORM),
    "double": lambda s: s.is_finite(),
    "date": lambda s: s.to_physical().is_between(*DAY_RANGE),
    "timestamp": lambda s: s.to_physical().is_between(*MOMENT_RANGE),
    "decimal": lambda s: s.abs() < 10**14,
}


def _physical(known: Contract, frame: pl.DataFrame) -> dict[str, Column]:
    """The columns as `encode_columns` takes them; one that holds a single value throughout as a constant."""
    return {name: _column(frame[name], type_) for name, type_ in fields_of(known).items()}


def _column(series: pl.Series, type_: FieldType) -> Column:
    if type_.word == "records":
        return _entries(series, type_)
    if type_.word == "strings":
        return series.to_list() if series.list.len().sum() else Constant([])
    if type_.word in ("date", "timestamp"):
        series = series.to_physical()
    elif type_.word == "decimal":
        series = series.to_physical().cast(pl.Int64)
    nulls = series.null_count()
    same = nulls == len(series) or (nulls == 0 and bool((series == series.head(1)).all()))
    return Constant(series[0] if len(series) else None) if same else series.to_list()


def _entries(series: pl.Series, type_: FieldType) -> Column:
    lengths = series.list.len()
    if not lengths.sum():
        return Constant([])
    cells = series.filter(lengths > 0).explode().struct.unnest()
    return Entries(lengths.to_list(), {name: _column(cells[name], cell) for name, cell in type_.entry.items()})


def _current(known: Contract, frame: pl.DataFrame) -> pl.DataFrame:
    """The frame with the current schema's columns: what an earlier version lacks holds its default (Avro resolution)."""
    written = fields_of(known)
    return frame.select(_resolved(pl.col(n), written.get(n), t).alias(n) for n, t in fields(known.kind).items())


def _resolved(value: pl.Expr, written: FieldType | None, type_: FieldType) -> pl.Expr:
    if written is None:
        return pl.lit(_default(type_), dtype=polars_type(type_))
    if type_.word == "records" and written.entry.keys() != type_.entry.keys():
        of_entry = (_resolved(pl.element().struct.field(c), written.entry.get(c), t).alias(c) for c, t in type_.entry.items())
        value = value.list.eval(pl.struct(*of_entry))
    return value.cast(polars_type(type_))


def _default(type_: FieldType) -> object:
    return [] if type_.word in ("strings", "records") else type_.default


@cache
def _polars_types(kind: str) -> dict[str, Any]:
    return {name: polars_type(type_) for name, type_ in fields(kind).items()}


def polars_type(type_: FieldType) -> Any:
    """The column type of a field."""
    if type_.word == "records":
        return pl.List(pl.Struct({name: polars_type(cell) for name, cell in type_.entry.items()}))
    return TYPES[type_.word]


def empty_frame(kind: str) -> pl.DataFrame:
    """A frame of the kind's columns and ROW without rows."""
    return pl.DataFrame(schema={**_polars_types(kind), ROW: pl.UInt32})


# -- one by one ----------------------------------------------------------------------------------------------------


def _one_by_one(known: Contract, values: Sequence[bytes], rows: list[int], decoded: Decoded) -> pl.DataFrame:
    """The group decoded record by record; the bad ones are refused by name, the rest goes on."""
    good: list[dict[str, Any]] = []
    for row in rows:
        try:
            _, record = decode(values[row])
        except NotAnEvent as error:
            decoded.refused.append((row, str(error)))
        else:
            good.append({name: _plain(value) for name, value in record.items()} | {ROW: row})
    return (
        pl.DataFrame(good, schema={**_polars_types(known.kind), ROW: pl.UInt32}, orient="row")
        if good
        else empty_frame(known.kind)
    )


def _plain(value: Any) -> Any:
    if isinstance(value, list):
        return [_plain(each) for each in value]
    return str(value) if hasattr(value, "hex") and not isinstance(value, bytes | float) else value
