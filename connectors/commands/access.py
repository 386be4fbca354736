"""The group `yrd access`: who asked what of the base."""

from typing import Annotated, Any
from uuid import UUID

import typer

from connectors import hub
from connectors.commands.auditing import moment
from connectors.commands.options import DEFAULT_HOME, HomeOption, JsonOption, PurposeOption
from connectors.home import Home
from connectors.printing import print_json, print_table, say, talk

access = typer.Typer(no_args_is_help=True, help="Who asked what of the base, and for what.")
SHOWN = ("asked_at", "account", "role", "purpose", "command", "tables", "result_rows", "outcome", "statement")


@access.command("list")
def list_(
    account: Annotated[str | None, typer.Option("--account", help="Only this account's.")] = None,
    entity: Annotated[str | None, typer.Option("--entity", help="Only those about this entity, by its identity.")] = None,
    since: Annotated[str | None, typer.Option("--since", help="Only from this moment on.")] = None,
    until: Annotated[str | None, typer.Option("--until", help="Only before this moment.")] = None,
    limit: Annotated[int, typer.Option("--limit", min=1, help="How many at most.")] = 100,
    purpose: PurposeOption = None,
    home: HomeOption = DEFAULT_HOME,
    as_json: JsonOption = False,
) -> None:
    """List who asked what, newest first; looking here is recorded too."""
    asked = {"account": account, "entity": _identity(entity), "since": _moment(since), "until": _moment(until), "limit": limit}
    found: dict[str, Any] = hub.look(Home(home), "access_list", purpose, **asked)
    if as_json:
        print_json(found["accesses"])
        return
    print_table("", SHOWN, [[_cell(name, one[name]) for name in SHOWN] for one in found["accesses"]])
    if found["further"]:
        talk.print("There are further ones; see them with --limit, --since and --until.")


def _moment(text: str | None) -> str | None:
    return None if text is None else moment(text)


def _identity(text: str | None) -> str | None:
    try:
        return None if text is None else str(UUID(text))
    except ValueError as error:
        raise typer.BadParameter(f'"{text}" is no identity; `yrd audit history` prints it beside the key.') from error


def _cell(name: str, value: Any) -> Any:
    if name == "asked_at":
        return str(value)[:19]
    return ", ".join(value) if isinstance(value, list) else value


@access.command("check")
def check(purpose: PurposeOption = None, home: HomeOption = DEFAULT_HOME, as_json: JsonOption = False) -> None:
    """Check that the access log is whole in itself: no position missing, no identity altered, no purge unrecorded."""
    found: dict[str, Any] = hub.look(Home(home), "access_check", purpose)
    if as_json:
        print_json(found)
    else:
        for each in found["problems"]:
            talk.print(each, markup=False)
        problems = len(found["problems"]) or "no"
        say(f"{found['records']:,} records, {found['purged']:,} of them purged: {problems} problems.")
    if found["problems"]:
        raise typer.Exit(1)


@access.command("purge")
def purge(
    before: Annotated[str | None, typer.Option("--before", help="Only records before this moment; default: all past it.")] = None,
    purpose: PurposeOption = None,
    home: HomeOption = DEFAULT_HOME,
    as_json: JsonOption = False,
) -> None:
    """Take out records past their retention; their leaf hashes stay, so that every seal still verifies."""
    found: dict[str, Any] = hub.look(Home(home), "access_purge", purpose, before=_moment(before))
    if as_json:
        print_json(found)
    elif found["purged"]:
        say(f"{found['purged']:,} records purged, up to position {found['to']:,}; that is recorded.")
    else:
        say("No record is past its retention.")
