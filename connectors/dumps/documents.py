"""Reading json and jsonl (RFC 8259): the records of a document, their values as the text that stands in the file."""

import json
import re
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, NoReturn

from connectors.dumps.encoding import Encoding, blocks, marked_byte
from connectors.dumps.layout import DumpUnreadable, Layout, header_names, shortened
from connectors.dumps.pieces import Piece, Rows

DOCUMENT_LIMIT = 256 << 20
"""Most bytes of a json document, which is held in memory as a whole; a jsonl may be of any length."""
LINE_LIMIT = 16 << 20
"""Most bytes of one line of jsonl."""
PIECE_ROWS = 20_000
STEP = re.compile(r"^(?P<key>[^\[\]]*)(?P<each>\[\])?$")


class Number(str):
    """A number as it is written in the file; 31.130099547739015 keeps its digits."""


class RepeatedKey(dict[str, Any]):
    """An object that names a key twice, so that nobody knows which value is meant."""


class Document:
    """The reader of one json document."""

    def __init__(self, path: Path, layout: Layout, encoding: Encoding) -> None:
        document = _parsed(path, encoding)
        if layout.records is None:
            self._records: list[Any] = _only_list(path, document)
        else:
            self._records = records_at(path, document, layout.records)
        self._keys = _keys(self._records)
        if not self._keys:
            raise DumpUnreadable(f"{path.name} holds no record where they should be: correct `records` in the profile")
        self._columns = header_names(path, self._keys)

    @property
    def columns(self) -> tuple[str, ...]:
        return self._columns

    def pieces(self) -> Iterator[Piece]:
        """The records in the order of the document; the line of a record is its place in the list, from 1."""
        for start in range(0, len(self._records), PIECE_ROWS):
            rows = Rows(self._columns)
            for place, record in enumerate(self._records[start : start + PIECE_ROWS], start + 1):
                _add(rows, place, record, self._keys, f"record {place}")
            yield rows.piece()


class JsonLines:
    """The reader of one jsonl file. The file is read twice: once for the keys, which may first appear in any line."""

    def __init__(self, path: Path, encoding: Encoding) -> None:
        self._path, self._encoding = path, encoding
        self._keys = _keys(_loaded(text) for _, text in self._lines())
        if not self._keys:
            raise DumpUnreadable(f"{path.name} holds no object in any line: is it jsonl?")
        self._columns = header_names(path, self._keys)

    @property
    def columns(self) -> tuple[str, ...]:
        return self._columns

    def pieces(self) -> Iterator[Piece]:
        """The records in file order, with their lines; a line that is no object is rejected."""
        rows = Rows(self._columns)
        for line, text in self._lines():
            self._add(rows, line, text)
            if len(rows) == PIECE_ROWS:
                yield rows.piece()
                rows = Rows(self._columns)
        yield rows.piece()

    def _add(self, rows: Rows, line: int, text: str) -> None:
        record = _loaded(text)
        if marked := marked_byte(text):
            rows.refuse(
                line,
                text,
                f"line {line} holds byte 0x{marked[0]:02X} after {marked[1]} characters, which is not {self._encoding.name}",
            )
        elif isinstance(record, ValueError):
            rows.refuse(line, text, f"line {line} is not JSON: {record}")
        else:
            _add(rows, line, record, self._keys, f"line {line}")

    def _lines(self) -> Iterator[tuple[int, str]]:
        """The lines that are not blank, with their number."""
        for number, line in enumerate(_split(self._path, blocks(self._path, self._encoding)), 1):
            if line.strip():
                yield number, line.decode("utf-8", self._encoding.marks)


def records_at(path: Path, document: Any, where: str) -> list[Any]:
    """The records at a path such as `provinces[].cities[].hospitals[]`; `[]` goes through a list.

    A record inherits the scalar values of the objects it was found in, the nearest first, under their own keys and
    where it has no such key itself. An envelope that is not gone through with `[]` passes nothing on.
    """
    level: list[tuple[Any, dict[str, Any]]] = [(document, {})]
    for step in where.split("."):
        level = _descend(path, level, step, where)
    records: list[Any] = []
    for value, inherited in level:
        records.extend(_inheriting(item, inherited) for item in (value if isinstance(value, list) else [value]))
    return records


def compact(value: Any) -> str:
    """JSON text without blanks, numbers as they were written."""
    if isinstance(value, dict):
        return "{" + ",".join(f"{_quoted(key)}:{compact(each)}" for key, each in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ",".join(map(compact, value)) + "]"
    return str(value) if isinstance(value, Number) else _quoted(value)


def _quoted(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)


def _cell(value: Any) -> str | None:
    if value is None or type(value) is str:
        return value
    if isinstance(value, Number):
        return str(value)
    return compact(value)


def _add(rows: Rows, line: int, record: Any, keys: tuple[str, ...], name: str) -> None:
    if not isinstance(record, dict):
        rows.refuse(line, compact(record), f"{name} is no object with named values")
    elif isinstance(record, RepeatedKey):
        rows.refuse(line, compact(record), f"{name} has a key twice: only one value can be meant")
    else:
        rows.check(line, [_cell(record.get(key)) for key in keys])


def _keys(records: Iterable[Any]) -> tuple[str, ...]:
    """All keys of all records in the order in which they first appear."""
    keys: dict[str, None] = {}
    for record in records:
        if isinstance(record, dict) and not record.keys() <= keys.keys():
            keys.update(dict.fromkeys(record))
    return tuple(keys)


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    made = dict(pairs)
    return made if len(made) == len(pairs) else RepeatedKey(made)


_decode: Callable[[str], Any] = json.JSONDecoder(
    object_pairs_hook=_object, parse_float=Number, parse_int=Number, parse_constant=Number
).decode


def _loaded(text: str) -> Any:
    """The value of one line, or the error as a value."""
    try:
        return _decode(text)
    except RecursionError:
        return ValueError("it is nested too deeply")
    except ValueError as error:
        return error


def _parsed(path: Path, encoding: Encoding) -> Any:
    size = path.stat().st_size
    if size > DOCUMENT_LIMIT:
        raise DumpUnreadable(f"{path.name} has {size} bytes, a json document may have {DOCUMENT_LIMIT}: ask for jsonl or csv")
    data = path.read_bytes()[encoding.mark :]
    try:
        return _decode(data.decode(encoding.name))
    except UnicodeDecodeError as error:
        raise DumpUnreadable(
            f"{path.name} holds byte 0x{data[error.start]:02X} at {error.start + encoding.mark}, which is "
            f"not {encoding.name}: set the right encoding"
        ) from error
    except json.JSONDecodeError as error:
        raise DumpUnreadable(
            f"{path.name} is not JSON in line {error.lineno}, column {error.colno} ({error.msg}): ask for the dump again"
        ) from error
    except RecursionError:
        raise DumpUnreadable(f"{path.name} is nested too deeply to be a list of records") from None


def _only_list(path: Path, document: Any) -> list[Any]:
    found = dict(_lists(document, ""))
    if len(found) == 1:
        return next(iter(found.values()))
    if not found:
        raise DumpUnreadable(f"{path.name} holds no list of records: name where they are as `records` in the profile")
    raise DumpUnreadable(f"{path.name} holds several lists of records ({', '.join(found)}): name one as `records`")


def _lists(value: Any, where: str) -> Iterator[tuple[str, list[Any]]]:
    """The lists that hold objects, outside of other lists."""
    if isinstance(value, dict):
        for key, each in value.items():
            yield from _lists(each, f"{where}.{key}".lstrip("."))
    elif isinstance(value, list) and (not where or any(isinstance(each, dict) for each in value)):
        yield where, value


def _descend(path: Path, level: list[tuple[Any, dict[str, Any]]], step: str, where: str) -> list[tuple[Any, dict[str, Any]]]:
    parts = STEP.match(step)
    if parts is None:
        raise DumpUnreadable(f"{where!r} is no path to the records of {path.name}: write it like data.items[]")
    key = parts["key"]
    if key:
        found = [(value[key], inherited) for value, inherited in level if isinstance(value, dict) and key in value]
        if not found:
            _refuse_path(path, level, key, where)
        level = found
    if not parts["each"]:
        return level
    return [(item, inherited | _scalars(item)) for value, inherited in level for item in _items(path, value, step)]


def _items(path: Path, value: Any, step: str) -> list[Any]:
    """The items of a list; none where the key is there without a value."""
    if value is None or isinstance(value, list):
        return value or []
    raise DumpUnreadable(f"{path.name} has no list at {step!r}, but {shortened(compact(value))!r}: correct `records`")


def _scalars(value: Any) -> dict[str, Any]:
    own = value.items() if isinstance(value, dict) else ()
    return {key: each for key, each in own if not isinstance(each, dict | list)}


def _inheriting(record: Any, inherited: dict[str, Any]) -> Any:
    if not isinstance(record, dict) or isinstance(record, RepeatedKey) or inherited.keys() <= record.keys():
        return record
    return record | {key: value for key, value in inherited.items() if key not in record}


def _refuse_path(path: Path, level: list[tuple[Any, dict[str, Any]]], key: str, where: str) -> NoReturn:
    known = ", ".join(_keys(value for value, _ in level)) or "no object"
    raise DumpUnreadable(f"{path.name} has no {key!r} on the way {where!r} to its records, there is: {known}")


def _split(path: Path, stream: Iterable[bytes]) -> Iterator[bytes]:
    """Lines of a stream of blocks, each ended by \\n."""
    rest = b""
    for block in stream:
        *lines, rest = (rest + block).split(b"\n")
        yield from lines
        if len(rest) > LINE_LIMIT:
            raise DumpUnreadable(f"{path.name} has a line of more than {LINE_LIMIT} bytes: is it jsonl, or one json document?")
    yield rest
