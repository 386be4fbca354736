"""Named SQL statements, from a .sql file beside the module that runs them."""

import re
from pathlib import Path

NAME = re.compile(r"^-- name: (\w+)$", re.MULTILINE)


def statements(file_name: str) -> dict[str, str]:
    """Statements of a file of this room by name: each stands below a line `-- name: <name>`, up to the next such line.

    What differs from dump to dump stands in braces, for `str.format`.
    """
    parts = NAME.split((Path(__file__).parent / file_name).read_text("utf-8"))
    return dict(zip(parts[1::2], map(str.strip, parts[2::2]), strict=True))
