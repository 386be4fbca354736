"""`yrd demo`: from the dumps of four provinces to answers across the region, in a home of its own.

Every step asks a question, does what the commands do, by the same functions, and prints what came of it. Dumps, profiles
and days are fixed, so that the content digest at the end is the same on every machine.
"""

from __future__ import annotations

import shlex
import shutil
import sys
from contextlib import nullcontext
from pathlib import Path
from typing import Annotated

import typer

from connectors.commands.deferred import deferred
from connectors.commands.demo.deliveries import JIANGSU_JULY, JULY, NAMES
from connectors.commands.options import LogOption
from connectors.commands.printing import out

with deferred():
    from connectors.commands.demo import kafka, steps
    from connectors.home import folder, refused, settings
    from connectors.hub import owner

EXAMPLES = Path(__file__).resolve().parents[3] / "examples"
MARK = "made-by-yrd-demo"
"""A file in the home that says that the demonstration made it, and so may replace it."""
HomeOption = Annotated[Path, typer.Option("--home", help="Folder to make; an earlier demonstration there is replaced.")]


def demo(home: HomeOption = Path("var/demo"), log: LogOption = None) -> None:
    """Show on invented data how dumps become events, and events answers across provinces."""
    if not EXAMPLES.is_dir():
        raise refused.Refused(
            f"The dumps of the demonstration are not at {EXAMPLES}; run it from a copy of the project's repository."
        )
    made = _fresh(home, log)
    out.print(f"Four provinces and the regional office, in {home}. All homes and persons are invented.")
    with kafka.running(made) if made.settings.log == "kafka" else nullcontext():
        digest = steps.walk(made, EXAMPLES)
        out.print(f"\ncontent digest: {digest}", soft_wrap=True)
    out.print("\n[bold]What to try next[/bold]")
    for command in next_commands(home, made.settings.log):
        out.print(f"  {command}", soft_wrap=True, markup=False)


def next_commands(home: Path, log: str = "embedded") -> list[str]:
    """Commands that work on the home which the demonstration leaves."""
    here = Path.cwd()
    examples = EXAMPLES.relative_to(here) if EXAMPLES.is_relative_to(here) else EXAMPLES
    profile, dump = (str(examples / name) for name in ("profiles/jiangsu_homes.toml", JIANGSU_JULY))
    commands = (
        ["query", "SELECT name, question FROM catalogue"],
        ["query", "FROM change_log('无锡市|示例蠡湖养老院')", "--format", "json"],
        ["query", "FROM standards_in_force('2026-06-30', NULL)", "--format", "csv"],
        ["rejections", "--publisher", "31"],
        ["import", profile, dump, "--publisher", "32", "--as-of", str(JULY)],
        ["status"],
    )
    # What asks the base asks the log first, and the brokers that the demonstration ran beside may be gone.
    offered = [command for command in commands if log == "embedded" or command[0] not in ("query", "status")]
    return [" ".join(map(_quoted, [_program(), *command, "--home", str(home)])) for command in offered]


def _program() -> str:
    """How the command is called here: by name where the shell finds it, else as it lies beside this Python."""
    beside = Path(sys.executable).with_name("yrd")
    if shutil.which("yrd") or not beside.exists():
        return "yrd"
    return str(beside.relative_to(Path.cwd()) if beside.is_relative_to(Path.cwd()) else beside)


def _quoted(word: str) -> str:
    """A word for the shell; text with single quotes, as SQL has them, in double ones, where that is safe."""
    return f'"{word}"' if "'" in word and not set(word) & set('"$`\\!') else shlex.quote(word)


# -- the home ------------------------------------------------------------------------------------------------------


def _fresh(at: Path, log: str | None) -> folder.Home:
    """A new synthetic home, reading from `log` where one is named. Raises Refused where the folder holds anything else."""
    if at.exists() and any(at.iterdir()):
        _remove(at)
    at.mkdir(parents=True, exist_ok=True)
    (at / MARK).write_text("The demonstration made this folder, and replaces it when it runs again.\n", "utf-8")
    folder.Home.create(at, tuple(NAMES), synthetic=True)
    if log is not None:
        with (at / "yrd.toml").open("a", encoding="utf-8") as file:
            file.write(f'log = "{settings.choice("log", log)}"\n')
    home = folder.Home(at)
    if home.settings.store_url or not home.settings.synthetic:
        raise refused.Refused(
            "The demonstration needs a synthetic home with stores of its own; unset YRD_STORE_URL and YRD_SYNTHETIC."
        )
    return home


def _remove(at: Path) -> None:
    ours = (at / MARK).is_file() and not at.is_symlink()
    if not ours or ((at / "yrd.toml").exists() and not folder.Home(at).settings.synthetic):
        raise refused.Refused(f"{at} holds something else than an earlier demonstration; name another folder with --home.")
    if (at / "yrd.toml").exists():
        # Whoever follows this home is told to end first.
        with folder.Home(at).lock(owner.BASE_LOCK, "the demonstration", wait_s=0):
            pass
    shutil.rmtree(at)
