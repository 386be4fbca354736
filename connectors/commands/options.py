"""Options that commands share."""

from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Annotated

import typer

from connectors.home.folder import Home
from connectors.home.settings import choice
from repository.registers import text

HomeOption = Annotated[Path, typer.Option("--home", envvar="YRD_HOME", help="Folder of the region.", show_default=True)]
JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON object instead of text.")]
PublisherOption = Annotated[str, typer.Option("--publisher", help="Code of the publisher whose log is written, such as 33.")]
SourceOption = Annotated[str, typer.Option("--source", help="Name of the reporting system.")]
ReasonOption = Annotated[str, typer.Option("--reason", help="Why; it is recorded.")]
OperatorOption = Annotated[str | None, typer.Option("--operator", help="Account or role that reports; never a citizen's name.")]
LogOption = Annotated[str | None, typer.Option("--log", help="embedded or kafka; default: the setting log.", show_default=False)]
PurposeOption = Annotated[
    str | None,
    typer.Option("--purpose", envvar="YRD_PURPOSE", help="Duty or number of the case; goes into the access log. No names."),
]
DEFAULT_HOME = Path("var")


def reading_from(home: Path, log: str | None) -> Home:
    """The home, reading from the log that an option names instead of the setting."""
    opened = Home(home)
    if log is not None:
        opened.settings = replace(opened.settings, log=choice("log", log))
    return opened


def day(value: str | None) -> date | None:
    """An option's day, in any usual form. Raises a usage error."""
    if value is None:
        return None
    try:
        return text.day(value)
    except ValueError as error:
        raise typer.BadParameter(str(error)) from error
