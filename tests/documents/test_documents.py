"""The documents: what they show is what the program does. `python -m tests.documents.test_documents` pastes the help texts anew."""

import os
import re
import shlex
from collections.abc import Iterator
from contextlib import redirect_stderr, redirect_stdout
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
import typer.rich_utils
from typer.main import get_command

from connectors.command_line import app, run
from connectors.commands import printing
from projections.questions import Question, questions
from tests.support.demonstration import Demonstration
from tests.support.project import ROOT

READMES = ("README.md", "README.zh-CN.md")
COMMANDS, QUESTIONS = "docs/commands.md", "docs/questions.md"
DOCUMENTS = (
    *READMES, "ARCHITECTURE.md", "CHANGELOG.md", "CONTRIBUTING.md", COMMANDS, QUESTIONS, "docs/audit.md", "docs/deploy.md",
    "docs/privacy.md", "docs/proof.md", "docs/source-profiles.md",
    "examples/README.md", "schemas/README.md",
)  # fmt: skip
BLOCK = re.compile(r"^```(?P<language>\w*)\n(?P<text>.*?)^```$", re.MULTILINE | re.DOTALL)
HEADING = re.compile(r"^(#+) (.+)$", re.MULTILINE)
LINK = re.compile(r"\]\((?!\w+:|#)([^)#]+)")
PATH = re.compile(r"`((?:schemas|repository|projections|connectors|tests|examples|benchmarks|docs)/[\w./-]*)`")
COLUMNS = 80


def read(document: str) -> str:
    return (ROOT / document).read_text("utf-8")


def prose(document: str) -> str:
    return BLOCK.sub("", read(document))


def blocks(document: str, *languages: str) -> list[str]:
    """Text of the code blocks of these languages; of all, where none is named."""
    return [m["text"] for m in BLOCK.finditer(read(document)) if not languages or m["language"] in languages]


def sections(document: str) -> dict[str, str]:
    """Heading of the second level -> the text below it."""
    return dict(part.split("\n", 1) for part in re.split(r"^## ", read(document), flags=re.MULTILINE)[1:])


# -- running what is shown -----------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def screen() -> Iterator[pytest.MonkeyPatch]:
    """A screen of 80 columns without colours, whatever the tests run on."""
    with pytest.MonkeyPatch.context() as patch:
        for name in ("FORCE_COLOR", "YRD_HOME", "YRD_STORE_URL", "YRD_SYNTHETIC"):
            patch.delenv(name, raising=False)
        for console in (printing.out, printing.talk):
            patch.setattr(console, "_width", COLUMNS)
        patch.setattr(typer.rich_utils, "MAX_WIDTH", COLUMNS)
        patch.setattr(typer.rich_utils, "FORCE_TERMINAL", None)
        yield patch


@pytest.fixture
def workplace(screen: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Path]:
    """A folder with the examples, as a copy of the repository has them, to work in."""
    (tmp_path / "examples").symlink_to(ROOT / "examples")
    (tmp_path / "var").mkdir()
    before = Path.cwd()
    os.chdir(tmp_path)
    yield tmp_path
    os.chdir(before)
    screen.delenv("YRD_HOME", raising=False)


def said(arguments: list[str]) -> str:
    """All that a command prints, without blanks at the ends of lines."""
    output = StringIO()
    with redirect_stdout(output), redirect_stderr(output):
        run(arguments)
    return "".join(f"{line.rstrip()}\n" for line in output.getvalue().splitlines())


def dialogue(text: str) -> list[tuple[str, str]]:
    """Command -> output, of a block in which commands begin with a dollar sign and may go on after a backslash."""
    parts = re.split(r"^\$ ", text.replace("\\\n", ""), flags=re.MULTILINE)[1:]
    return [(command, output) for command, _, output in (part.partition("\n") for part in parts)]


def performed(command: str, screen: pytest.MonkeyPatch, demonstration: Demonstration | None = None) -> str | None:
    """Output of a shown command; None for those that only a shell or make can do. The demonstration has run already."""
    words = shlex.split(command)
    if words == ["make", "demo"] and demonstration is not None:
        return demonstration.text_at(demonstration.copied_to(Path("var") / "demo"))
    if words[0] == "yrd":
        return said(words[1:])
    if words[0] == "export":
        screen.setenv(*words[1].split("=", 1))
        return ""
    if words[0] == "echo":
        Path(words[3]).write_text(f"{words[1]}\n", "utf-8")
        return ""
    return None


def assert_shown(expected: str, output: str) -> None:
    """The output is what a document shows, wherever lines are broken; … stands for anything."""
    # Where `yrd` is not on the path, the demonstration names it by the path from here, which is nobody else's.
    wanted, got = (" ".join(re.sub(r"\S*\.venv/bin/yrd", "yrd", text).split()) for text in (expected, output))
    pattern = re.escape(wanted).replace(r"\ …", r"(?: .*)?").replace("…", ".*")
    assert re.fullmatch(pattern, got), f"{output}\nis not as shown:\n{expected}"


def assert_walks(text: str, screen: pytest.MonkeyPatch, demonstration: Demonstration | None = None) -> None:
    for command, expected in dialogue(text):
        output = performed(command, screen, demonstration)
        if output is not None:
            assert_shown(expected, output)


@pytest.mark.timeout(600)
def test_the_readme_shows_what_its_commands_print(
    screen: pytest.MonkeyPatch, workplace: Path, demonstration: Demonstration
) -> None:
    for text in blocks("README.md", "console"):
        assert_walks(text, screen, demonstration)


@pytest.mark.timeout(600)
def test_each_question_is_answered_as_shown(screen: pytest.MonkeyPatch, workplace: Path, demonstration: Demonstration) -> None:
    demonstration.copied_to(workplace / "var" / "demo")
    screen.setenv("YRD_HOME", "var/demo")
    for text in blocks(QUESTIONS, "console"):
        assert_walks(text, screen)


def shown_commands() -> list[str]:
    """Every command line of ours in the documents."""
    found = []
    for document in DOCUMENTS:
        lines = "\n".join(blocks(document, "console", "sh", "text")).replace("\\\n", "").splitlines()
        found += [line.removeprefix("$ ") for line in lines if re.match(r"(\$ )?yrd [a-z]+ ", line)]
    return sorted(set(found))


def test_shown_commands_parse() -> None:
    lines = shown_commands()
    assert len(lines) > 20
    for line in lines:
        words = shlex.split(line, comments=True)[1:]
        command: Any = get_command(app)
        while hasattr(command, "commands"):
            command = command.commands[words.pop(0)]
        command.make_context(line, words)


# -- what must be there --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("document", DOCUMENTS)
def test_links_and_paths_lead_to_files(document: str) -> None:
    folder = (ROOT / document).parent
    missing = [name for name in LINK.findall(prose(document)) if not (folder / name).exists()]
    missing += [name for name in PATH.findall(prose(document)) if not (ROOT / name).exists()]
    assert missing == []


def test_both_readmes_have_the_same_structure_and_the_same_blocks() -> None:
    english, chinese = ([len(level) for level, _ in HEADING.findall(prose(readme))] for readme in READMES)
    assert english == chinese
    assert blocks(READMES[0]) == blocks(READMES[1])


def test_the_architecture_fits_on_one_page() -> None:
    assert len(read("ARCHITECTURE.md").splitlines()) <= 110


@pytest.mark.parametrize("question", questions(), ids=lambda q: q.name)
def test_every_question_is_documented_with_its_parameters(question: Question) -> None:
    call = question.name + (f"({', '.join(question.parameters)})" if question.parameters else "")
    section = sections(QUESTIONS)[call]
    assert question.text in " ".join(section.split())
    assert blocks(QUESTIONS, "console") and f"{question.name}" in "".join(m["text"] for m in BLOCK.finditer(section))


def test_no_question_is_documented_that_does_not_exist() -> None:
    calls = {heading.partition("(")[0] for heading in sections(QUESTIONS)} - {"Tables and views to build on"}
    assert calls == {q.name for q in questions()}


# -- help ----------------------------------------------------------------------------------------------------------


def command_names() -> list[str]:
    """Every command, those of groups with the group's name before them, as they are typed."""
    names = ["yrd"]
    for name, command in get_command(app).commands.items():  # type: ignore[attr-defined]
        names += [f"yrd {name}", *(f"yrd {name} {part}" for part in getattr(command, "commands", ()))]
    return names


def help_of(name: str) -> str:
    return said([*name.split()[1:], "--help"]).strip("\n") + "\n"


@pytest.mark.parametrize("name", command_names())
def test_every_command_is_documented_with_its_help(screen: pytest.MonkeyPatch, name: str) -> None:
    (shown,) = [m["text"] for m in BLOCK.finditer(sections(COMMANDS)[name]) if m["language"] == "text"]
    assert shown == help_of(name), "paste it anew with `python -m tests.documents.test_documents`"


def test_no_command_is_documented_that_does_not_exist() -> None:
    assert list(sections(COMMANDS)) == command_names()


def paste_help() -> None:
    """Put every command's help into the document, in the order of the commands, keeping what is written around it."""
    head, *_ = read(COMMANDS).partition("\n## ")
    written = sections(COMMANDS)
    parts = []
    for name in command_names():
        shown = f"```text\n{help_of(name)}```"
        own = re.sub(r"```text\n.*?```", lambda _, s=shown: s, written.get(name, f"\n{shown}\n"), flags=re.DOTALL)  # type: ignore[misc]
        parts.append(f"\n## {name}\n{own.rstrip()}\n")
    (ROOT / COMMANDS).write_text(head.rstrip() + "\n" + "".join(parts), "utf-8")


if __name__ == "__main__":
    typer.rich_utils.MAX_WIDTH = COLUMNS
    paste_help()
