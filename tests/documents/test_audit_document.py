"""docs/audit.md shows what its commands print, and names tests that exist."""

import re
from pathlib import Path

import pytest

from tests.documents.test_documents import assert_walks, blocks, read, screen, workplace  # noqa: F401 - fixtures
from tests.support.project import ROOT


@pytest.mark.long
def test_the_document_shows_what_its_commands_print(screen: pytest.MonkeyPatch, workplace: Path) -> None:  # noqa: F811
    for text in blocks("docs/audit.md", "console"):
        assert_walks(text, screen)


def test_every_promise_names_a_test_that_exists() -> None:
    promises = read("docs/audit.md").split("which test attacks it\n")[1].split("\n## ")[0]
    rows = re.findall(r"^\| (?!promise|---)(.+?) \| (.+?) \|$", promises, re.MULTILINE)
    assert len(rows) > 10
    for _, tests in rows:
        for file, named in re.findall(r"`(tests/[\w/]+\.py)`(?:: ([^`]*))?", tests):
            defined = " ".join(re.findall(r"def (test_\w+)", (ROOT / file).read_text("utf-8"))).replace("_", " ")
            for name in re.sub(r"\([^)]*\)", "", named).split(";"):
                assert name.strip() in defined, name
