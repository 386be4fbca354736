"""Personal columns of a dump as packed groups in plain, all rows at once: the same bytes as `repository.persons.personal.packed`.

A row of a first import would spend as long in Python on its three small Avro records as in the ciphers; joined as columns, they
cost next to nothing. Both ways are compared byte for byte in the tests.
"""

from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any, Final

import polars as pl
import pyarrow as pa
import pyarrow.compute as pc

from repository.events.columns import MARKER, WORDS, encoder_of, zigzag
from repository.persons.personal import LENGTHS, PADDED_TO, groups
from schemas.contracts import PERSONAL, FieldType, contract, fields

BYTES: Final = pa.large_binary()
DAYS: Final = 1 << 16
"""Days whose bytes are kept: those of 180 years, as dates of birth differ in most rows."""
LENGTH_BYTES: Final = LENGTHS.size // len(groups())


def packed_columns(columns: Mapping[str, pl.Series], rows: int) -> pa.Array:
    """Per row its groups in plain, as `packed(encode_groups(columns, rows), rows)` has them; `columns` by personal field."""
    records = [_group({name: columns[name] for name in members if name in columns}, rows) for members in groups().values()]
    lengths = [_through_table(pc.binary_length(each), _length) for each in records]
    return _joined([*lengths, *records])


def _length(number: int) -> bytes:
    return number.to_bytes(LENGTH_BYTES, "big")


def _group(columns: Mapping[str, pl.Series], rows: int) -> pa.Array:
    """The padded Avro records of one group; empty where a row states nothing of it."""
    stated = [column.is_not_null().to_arrow() for column in columns.values() if column.null_count() < rows]
    if not stated:
        return pa.repeat(pa.scalar(b"", BYTES), rows)
    known = contract(PERSONAL)
    parts: list[Any] = [MARKER + known.fingerprint]
    for name, type_ in fields(PERSONAL).items():
        if name in columns:
            parts += [_field(type_, columns[name]), b""]
        else:
            # What is the same in every row is joined before the rows are.
            parts[-1] += encoder_of(type_)(type_.default)
    records = _joined([pa.scalar(each, BYTES) if isinstance(each, bytes) else each for each in parts])
    padding = _through_table(pc.binary_length(records), lambda length: bytes(-length % PADDED_TO))
    said = stated[0]
    for each in stated[1:]:
        said = pc.or_(said, each)
    return pc.if_else(said, _joined([records, padding]), pa.scalar(b"", BYTES))


def _field(type_: FieldType, column: pl.Series) -> pa.Array:
    """One field of every row in Avro: the branch of its union, and the value where it states one."""
    if type_.word != "string":
        return _through_table(
            column.to_physical().to_arrow(), _number if type_.word == "date" else WORDS[type_.word], b"\x02", b"\x00"
        )
    texts = column.to_arrow().cast(BYTES)
    begun = _through_table(pc.binary_length(texts), zigzag, b"\x02")
    return pc.fill_null(_joined([begun, texts]), pa.scalar(b"\x00", BYTES))


_number = lru_cache(DAYS)(zigzag)


def _through_table(column: pa.Array, made: Callable[[Any], bytes], before: bytes = b"", null: bytes | None = None) -> pa.Array:
    """`before` and what is made of each value, once for every different one."""
    coded = column.dictionary_encode()
    table = pa.array([before + made(value) for value in coded.dictionary.to_pylist()], BYTES)
    found = table.take(coded.indices)
    return found if null is None else pc.fill_null(found, pa.scalar(null, BYTES))


def _joined(parts: list[Any]) -> pa.Array:
    """Columns and constants joined row by row; null where one of them is."""
    return pc.binary_join_element_wise(*parts, pa.scalar(b"", BYTES))
