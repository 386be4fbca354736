"""What is fetched once: whole or not at all, and by one of those that ask at the same time."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.artifacts import CACHE, Missing, java, made_once
from tests.support.project import ROOT

ASKER = """
import sys
from pathlib import Path
from tests.support.artifacts import made_once
def make(folder):
    folder.mkdir()
    with Path(sys.argv[1]).open("a") as made:
        made.write("made\\n")
print(made_once("thing", make))
"""


@pytest.fixture(autouse=True)
def cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    monkeypatch.setenv(CACHE, str(tmp_path / "cache"))
    return tmp_path / "cache"


def test_those_that_ask_at_once_get_what_one_of_them_made(cache: Path, tmp_path: Path) -> None:
    command = [sys.executable, "-c", ASKER, str(tmp_path / "count")]
    askers = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT) for _ in range(4)]
    assert {asker.communicate()[0].strip() for asker in askers} == {str(cache / "thing")}
    assert (tmp_path / "count").read_text("utf-8") == "made\n"


def test_what_was_broken_off_is_made_anew_and_leaves_nothing(cache: Path) -> None:
    def broken(folder: Path) -> None:
        folder.mkdir()
        raise Missing("the line was cut")

    with pytest.raises(Missing):
        made_once("thing", broken)
    assert [path.name for path in cache.iterdir()] == ["thing.lock"]
    assert made_once("thing", Path.mkdir).is_dir()


def test_a_java_that_is_too_old_is_not_taken(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    old = tmp_path / "bin" / "java"
    old.parent.mkdir()
    old.write_text("#!/bin/sh\necho 'openjdk version \"11.0.2\"' >&2\n", "utf-8")
    old.chmod(0o755)
    monkeypatch.setenv("JAVA_HOME", str(tmp_path))
    with pytest.raises(Missing, match="not Java 17 or newer"):
        java()
