"""Small dumps made for a test, and what comes out of them."""

from pathlib import Path

import pytest

from connectors.dumps import Dump, DumpUnreadable, Layout, open_dump

Table = list[dict[str, str | None]]


def written(folder: Path, content: str | bytes, name: str = "dump.csv") -> Path:
    path = folder / name
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def rows(dump: Dump) -> Table:
    return [each for chunk in dump.chunks() for each in chunk.table.to_dicts()]


def faults(dump: Dump) -> list[tuple[int, int, str]]:
    return [(each.record, each.line, each.reason) for chunk in dump.chunks() for each in chunk.rejected]


def opened(
    folder: Path, content: str | bytes, layout: Layout | None = None, name: str = "dump.csv", chunk_rows: int = 100_000
) -> Dump:
    return open_dump(written(folder, content, name), layout, chunk_rows)


def refusal(folder: Path, content: str | bytes, layout: Layout | None = None, name: str = "dump.csv") -> str:
    with pytest.raises(DumpUnreadable) as caught:
        list(opened(folder, content, layout, name).chunks())
    return str(caught.value)
