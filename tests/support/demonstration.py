"""The demonstration, run once for a whole test run: tests copy the home that it left."""

import shutil
from contextlib import redirect_stderr, redirect_stdout
from io import StringIO
from pathlib import Path

import pytest

from connectors.command_line import run
from tests.support.artifacts import made_once


def said(arguments: list[str]) -> tuple[int, str, str]:
    """Exit status, standard output and standard error of one command, on a screen of 80 columns."""
    with pytest.MonkeyPatch.context() as patch, redirect_stdout(StringIO()) as output, redirect_stderr(StringIO()) as errors:
        patch.setenv("COLUMNS", "80")
        status = run(arguments)
    return status, output.getvalue(), errors.getvalue()


class Demonstration:
    """The home that the demonstration left, and what it printed."""

    def __init__(self, run_folder: Path) -> None:
        self._made = made_once("demonstration", _demonstrated, run_folder)

    @property
    def text(self) -> str:
        return (self._made / "printed").read_text("utf-8")

    def text_at(self, home: Path) -> str:
        """What it would have printed with another home."""
        return self.text.replace((self._made / "made at").read_text("utf-8"), str(home))

    def copied_to(self, home: Path) -> Path:
        """A copy of the home for one test."""
        return shutil.copytree(self._made / "demo", home, symlinks=True)


def _demonstrated(folder: Path) -> None:
    folder.mkdir()
    status, text, errors = said(["demo", "--home", str(folder / "demo")])
    assert status == 0, errors
    (folder / "printed").write_text(text, "utf-8")
    (folder / "made at").write_text(str(folder / "demo"), "utf-8")
