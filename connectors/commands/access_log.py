"""The group `yrd access`: who asked what of the base."""

from pathlib import Path
from typing import Annotated, Any
from uuid import UUID

import typer

from connectors.commands.auditing import moment
from connectors.commands.options import DEFAULT_HOME, HomeOption, JsonOption, PurposeOption
from connectors.commands.printing import print_json, print_table, say, talk
from connectors.commands.proving import KeyOption, OutputOption, write_proof
from connectors.home.folder import Home
from connectors.hub import hub
from repository.keys.secret_files import KeyMissing
from repository.keys.signing import read_keys

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
def check(
    key: KeyOption = None,
    kept: Annotated[list[Path] | None, typer.Option("--kept", help="A seal you kept; may be given several times.")] = None,
    purpose: PurposeOption = None,
    home: HomeOption = DEFAULT_HOME,
    as_json: JsonOption = False,
) -> None:
    """Check that the access log is whole: no position missing, no purge unrecorded; with --key, that it is what was sealed."""
    if kept and key is None:
        raise KeyMissing("Without a public key a kept seal proves nothing; name your own copy of it with --key FILE.")
    asked = {
        "keys": [str(each) for each in read_keys(key)] if key else [],
        "kept": [_text(path) for path in kept or []],
    }
    found: dict[str, Any] = hub.look(Home(home), "access_check", purpose, **asked)
    if as_json:
        print_json(found)
    else:
        for each in found["problems"]:
            talk.print(each, markup=False)
        problems = len(found["problems"]) or "no"
        say(f"{found['records']:,} records, {found['purged']:,} of them purged: {problems} problems.")
        _say_sealed(found["sealed"])
    if found["problems"] or (found["sealed"] and (found["sealed"]["findings"] or not found["sealed"]["seals"])):
        raise typer.Exit(1)


def _say_sealed(sealed: dict[str, Any] | None) -> None:
    if sealed is None:
        return
    for each in sealed["findings"]:
        talk.print(each, markup=False, soft_wrap=True)
    if sealed["proved"]:
        say(f"The first {sealed['proved']:,} are those that were sealed; {sealed['unproved']:,} behind them are under no seal.")
    else:
        say("Nothing of it is proved; no seal holds.")


def _text(path: Path) -> str:
    try:
        return path.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise typer.BadParameter(f"{path} can't be read ({error}); it must be a seal, as `yrd access seal` writes it.") from error


@access.command("seal")
def seal(
    output: Annotated[Path, typer.Option("--output", "-o", help="File to write the seal to.")] = Path("access.seal"),
    purpose: PurposeOption = None,
    home: HomeOption = DEFAULT_HOME,
    as_json: JsonOption = False,
) -> None:
    """Take away the newest seal of the access log; every later log must contain the one that it covers."""
    found: dict[str, Any] = hub.look(Home(home), "access_seal", purpose)
    output.write_text(found.pop("note"), "utf-8")
    if as_json:
        print_json({"file": output, **found})
    else:
        say(
            f"Wrote {output}: seal {found['seal']}, {found['tree_size']:,} records up to position {found['last_position']:,}. "
            f"Keep it where the hub cannot reach it."
        )


@access.command("prove")
def prove(
    key: Annotated[str, typer.Argument(metavar="ACCESS", help="The access, as `yrd access list --json` has it: business_key.")],
    output: OutputOption = Path("proof.json"),
    purpose: PurposeOption = None,
    home: HomeOption = DEFAULT_HOME,
    as_json: JsonOption = False,
) -> None:
    """Write the proof that an access is in the access log that a seal covers."""
    found: dict[str, Any] = hub.look(Home(home), "access_prove", purpose, access=key)
    write_proof(output, found["proof"], as_json, ", or with docs/verify.py")


@access.command("consistency")
def consistency(
    size1: Annotated[int, typer.Argument(help="Number of records under the seal that you kept.")],
    size2: Annotated[int | None, typer.Argument(help="Number of records under a later seal; default: the newest.")] = None,
    output: OutputOption = Path("consistency.json"),
    purpose: PurposeOption = None,
    home: HomeOption = DEFAULT_HOME,
    as_json: JsonOption = False,
) -> None:
    """Write the proof that the access log under an earlier seal is the beginning of the one under a later seal."""
    found: dict[str, Any] = hub.look(Home(home), "access_growth", purpose, first=size1, second=size2)
    write_proof(output, found["proof"], as_json)


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
