"""Options that commands share, and what is typed in them."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta, timezone
from pathlib import Path
from typing import Annotated
from uuid import UUID

import typer

from connectors.commands.deferred import deferred
from schemas import contracts

with deferred():
    from connectors.home import folder, settings
    from repository.registers import text

KINDS = " or ".join((", ".join(contracts.FACT_KINDS[:-1]), contracts.FACT_KINDS[-1]))
CHINA = timezone(timedelta(hours=8))
"""Asia/Shanghai, which has had no summer time since 1991; a moment without a zone is read in it."""
MOMENT = "such as 2026-06-30T12:00 (Shanghai) or with a zone"


def _fact_kind(kind: str) -> str:
    if kind not in contracts.FACT_KINDS:
        raise typer.BadParameter(f'"{kind}" is no kind of fact; use {", ".join(contracts.FACT_KINDS)}.')
    return kind


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
KindArgument = Annotated[str, typer.Argument(help=f"{KINDS}.", callback=_fact_kind)]
KindOption = Annotated[str, typer.Option("--kind", help=f"{KINDS}.", callback=_fact_kind)]
FormatOption = Annotated[str, typer.Option("--format", help="table, csv, json or parquet.")]
ToFileOption = Annotated[Path | None, typer.Option("--output", help="File to write; default: standard output.")]
ProofOption = Annotated[Path, typer.Option("--output", "-o", help="File to write the proof to.")]
KeysOption = Annotated[Path | None, typer.Option("--key", help="Your own copy of the public keys, one verifier key a line.")]
SubjectArgument = Annotated[
    str, typer.Argument(metavar="SUBJECT", help="Pseudonym or entity id, or - to type id_type|number, which is not shown.")
]
BasisOption = Annotated[str, typer.Option("--basis", help="Legal basis, such as 'PIPL art. 47(1)'; it is recorded.")]
LiftOption = Annotated[bool, typer.Option("--lift", help="End it.")]
DEFAULT_HOME = Path("var")


def reading_from(home: Path, log: str | None) -> folder.Home:
    """The home, reading from the log that an option names instead of the setting."""
    opened = folder.Home(home)
    if log is not None:
        opened.settings = replace(opened.settings, log=settings.choice("log", log))
    return opened


def day(value: str | None) -> date | None:
    """An option's day, in any usual form. Raises a usage error."""
    if value is None:
        return None
    try:
        return text.day(value)
    except ValueError as error:
        raise typer.BadParameter(str(error)) from error


def moment(value: str) -> str:
    """A moment that was typed, as ISO 8601 in UTC. Raises a usage error."""
    try:
        given = datetime.fromisoformat(value)
        return (given if given.tzinfo else given.replace(tzinfo=CHINA)).astimezone(UTC).isoformat()
    except (ValueError, OverflowError) as error:
        raise typer.BadParameter(f'"{value}" is no moment; write it {MOMENT}.') from error


def moment_if_given(value: str | None) -> str | None:
    """The moment, or None."""
    return None if value is None else moment(value)


def identity(value: str | None, otherwise: str) -> UUID | None:
    """An identity that was typed. Raises a usage error, which goes on with `otherwise`."""
    try:
        return UUID(value) if value else None
    except ValueError as error:
        raise typer.BadParameter(f'"{value}" is no {otherwise}') from error
