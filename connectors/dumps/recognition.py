"""Which of the known formats a file is in: by its first bytes where they are decisive, else by its name, else by its text."""

import json
from pathlib import Path

from connectors.dumps.layout import DumpUnreadable

SUFFIXES = {
    ".csv": "csv",
    ".txt": "csv",
    ".tsv": "tsv",
    ".tab": "tsv",
    ".xls": "xls",
    ".xlsx": "xlsx",
    ".json": "json",
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".parquet": "parquet",
}
MAGIC = ((b"PK\x03\x04", "xlsx"), (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "xls"), (b"PAR1", "parquet"))
BINARY = tuple(name for _, name in MAGIC)
WORKBOOKS = ("xls", "xlsx")
FOREIGN = (
    (b"\x1f\x8b", "a gzip archive: unpack it first"),
    (b"Rar!", "a rar archive: unpack it first"),
    (b"7z\xbc\xaf", "a 7z archive: unpack it first"),
    (b"%PDF", "a PDF document: ask for a table"),
)
MARKUP = (b"<html", b"<!doctype", b"<table", b"<?xml")
HEAD = 1 << 16


def recognise_format(path: Path, stated: str | None) -> str:
    """One of FORMATS. An xls that is called xlsx, or the other way round, is read as what it is.

    Raises DumpUnreadable for an empty file, an archive, a web page, and a file whose bytes contradict the profile.
    """
    with path.open("rb") as file:
        head = file.read(HEAD)
    if not head.strip():
        raise DumpUnreadable(f"{path.name} is empty ({path.stat().st_size} bytes): ask for the dump again")
    held = next((name for magic, name in MAGIC if head.startswith(magic)), None)
    claimed = stated or SUFFIXES.get(path.suffix.lower())
    if held is not None:
        return _held(path, held, stated)
    _refuse_foreign(path, head)
    if claimed in BINARY:
        raise DumpUnreadable(
            f"{path.name} should be {claimed}, but does not begin like one: "
            "ask for the dump again, or set its format to csv or tsv if it is text"
        )
    return claimed or _text_format(head)


def _held(path: Path, held: str, stated: str | None) -> str:
    if stated in (None, held) or (stated in WORKBOOKS and held in WORKBOOKS):
        return held
    raise DumpUnreadable(f"{path.name} is said to be {stated}, but holds {held}: set its format to {held}")


def _refuse_foreign(path: Path, head: bytes) -> None:
    for magic, what in FOREIGN:
        if head.startswith(magic):
            raise DumpUnreadable(f"{path.name} is {what}")
    if head.lstrip(b"\xef\xbb\xbf \t\r\n").lower().startswith(MARKUP):
        raise DumpUnreadable(f"{path.name} holds HTML or XML, no table that we read: save it as csv or xlsx")


def _text_format(head: bytes) -> str:
    """The format of a file with a suffix that says nothing. NUL bytes are passed over, for UTF-16 has them."""
    text = head.replace(b"\0", b"").lstrip(b"\xef\xbb\xbf\xff\xfe \t\r\n")
    if text[:1] not in (b"{", b"["):
        return "csv"
    return "jsonl" if text[:1] == b"{" and _is_json(text.splitlines()[0]) and len(text.splitlines()) > 1 else "json"


def _is_json(line: bytes) -> bool:
    try:
        json.loads(line)
    except ValueError:
        return False
    return True
