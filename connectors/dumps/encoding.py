"""Which encoding a text dump is in, and its text as a stream of UTF-8 blocks.

In that stream an undecodable byte is marked, never replaced: a marked block is not valid UTF-8, so no reader takes it
for clean text, and the row that holds the byte can name it.
"""

import codecs
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import cast

from charset_normalizer import from_bytes

from connectors.dumps.layout import DumpUnreadable

SAMPLE = 1 << 20
"""Bytes that are looked at; where they are all ASCII, the next ones are, up to the first that are not."""
BLOCK = (1 << 20) - (1 << 16)
"""Bytes read at a time, a little under CELL_LIMIT: no block alone can hold a cell that is too long."""

BYTE_ORDER_MARKS = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32-le"),  # Before UTF-16, whose mark is its beginning.
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
CHINESE = ("gb2312", "gbk", "gb18030", "cp936")
CONTROLS = bytes(set(range(32)) - set(b"\t\n\v\f\r"))
CONTROLS_SPARED = 8
"""A few of them are faults of single rows; one byte in twenty is no text."""
SURROGATE = re.compile("[\ud800-\udfff]")
SURE = 8
"""Characters of several bytes, all valid UTF-8, that GBK text does not hold by chance (0.14 to the power of 8)."""


@dataclass(frozen=True)
class Encoding:
    """A Python codec name and the length of the byte order mark before the text."""

    name: str
    mark: int = 0

    @property
    def is_utf8(self) -> bool:
        return self.name == "utf-8"

    @property
    def marks(self) -> str:
        """The error handler that makes a marked block text again, one surrogate per undecodable byte."""
        return "surrogateescape" if self.is_utf8 else "surrogatepass"


def recognise(path: Path, stated: str | None) -> Encoding:
    """The encoding of a text dump: byte order mark, then what the profile states, then what the bytes show.

    GBK and GB 2312 are read as GB18030 (GB 18030-2022), which contains both.
    Raises DumpUnreadable where the profile names no encoding, where its GBK is UTF-8, or where nothing fits.
    """
    sample, whole = _sample(path)
    for mark, name in BYTE_ORDER_MARKS:
        if sample.startswith(mark):
            return Encoding(name, len(mark))
    if stated is not None:
        return Encoding(_stated(path, stated, sample, whole))
    return Encoding(_utf16_by_nul(sample) or _shown(path, sample, whole))


def blocks(path: Path, encoding: Encoding, size: int = BLOCK) -> Iterator[bytes]:
    """The text as UTF-8, without byte order mark, `size` bytes of the file at a time; undecodable bytes marked."""
    with path.open("rb") as file:
        file.seek(encoding.mark)
        if encoding.is_utf8:
            while block := file.read(size):
                yield block
            return
        decoder = codecs.getincrementaldecoder(encoding.name)("dump-mark")
        while block := file.read(size):
            yield decoder.decode(block).encode("utf-8", "surrogatepass")
        yield decoder.decode(b"", final=True).encode("utf-8", "surrogatepass")


def marked_byte(text: str) -> tuple[int, int] | None:
    """(Value, place counted from 0) of the first undecodable byte in marked text, None where there is none."""
    found = SURROGATE.search(text)
    return (ord(found[0]) & 0xFF, found.start()) if found else None


def _mark(error: UnicodeError) -> tuple[str, int]:
    fault = cast(UnicodeDecodeError, error)
    return "".join(chr(0xDC00 + byte) for byte in fault.object[fault.start : fault.end]), fault.end


codecs.register_error("dump-mark", _mark)


def _sample(path: Path) -> tuple[bytes, bool]:
    """The first bytes that tell the encoding, and whether they are the whole rest of the file."""
    with path.open("rb") as file:
        sample = file.read(SAMPLE)
        while sample.isascii() and b"\0" not in sample and (more := file.read(SAMPLE)):
            sample = more
        return sample, not file.read(1)


def _stated(path: Path, stated: str, sample: bytes, whole: bool) -> str:
    try:
        name = codecs.lookup(stated).name
        "".encode(name)
    except LookupError:
        raise DumpUnreadable(
            f"{path.name} is said to be in {stated!r}, which is no encoding: name one, such as utf-8 or gb18030"
        ) from None
    if name in ("utf-16", "utf-32"):
        return _utf16_by_nul(sample) or f"{name}-le"
    if name not in CHINESE:
        return "utf-8" if name == "utf-8-sig" else name
    good, bad = _fit(sample, "utf-8", whole)
    if good >= SURE and not bad:
        raise DumpUnreadable(f"{path.name} is said to be in {stated}, but its bytes are UTF-8: set the encoding to utf-8")
    return "gb18030"


def _utf16_by_nul(sample: bytes) -> str | None:
    """UTF-16 without a mark: the NUL bytes of its ASCII characters all fall on one side of the pairs."""
    even, odd = sample[::2].count(0), sample[1::2].count(0)
    name, line_end = ("utf-16-le", b"\n\0") if odd > even else ("utf-16-be", b"\0\n")
    lop_sided = max(even, odd) * 50 >= len(sample) // 2 and min(even, odd) * 20 <= max(even, odd)
    if not sample or not max(even, odd) or not lop_sided or line_end not in sample:
        return None
    return name if _fit(sample, name, whole=False)[1] == 0 else None


def _shown(path: Path, sample: bytes, whole: bool) -> str:
    """UTF-8 where it fits, else GB18030, each also with a few bad bytes; anything else is the last resort."""
    controls = len(sample) - len(sample.translate(None, CONTROLS))
    if controls > CONTROLS_SPARED and controls * 20 > len(sample):
        raise DumpUnreadable(
            f"{path.name} holds {controls} control characters in {len(sample)} bytes and is no text: "
            "ask for csv or xlsx, or name its format or encoding in the profile"
        )
    if sample.isascii():
        return "utf-8"
    good, bad = _fit(sample, "utf-8", whole)
    if good > 4 * bad:
        return "utf-8"
    chinese, strange = _fit(sample, "gb18030", whole)
    if strange == 0:
        return "gb18030"
    if good > bad:
        return "utf-8"
    if chinese > 4 * strange:
        return "gb18030"
    guess = None if b"\0" in sample else from_bytes(sample[: 1 << 16]).best()
    if guess is None:
        raise DumpUnreadable(f"{path.name} is in no encoding that we can tell: is it text? If so, name its encoding")
    return guess.encoding


def _fit(sample: bytes, name: str, whole: bool) -> tuple[int, int]:
    """(Characters beyond ASCII, undecodable bytes) of the sample read in that encoding."""
    text = codecs.getincrementaldecoder(name)("dump-mark").decode(sample, final=whole)
    marks = len(SURROGATE.findall(text))
    return len(text) - marks - len(text.encode("ascii", "ignore")), marks
