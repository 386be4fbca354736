"""The group `yrd access`: who asked what of the base."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from connectors.commands.deferred import deferred
from connectors.commands.options import (
    DEFAULT_HOME,
    HomeOption,
    JsonOption,
    KeysOption,
    ProofOption,
    PurposeOption,
    identity,
    moment_if_given,
)
from connectors.commands.printing import print_json, print_outcome, print_table, say, talk, warn
from connectors.commands.proving import write_proof

with deferred():
    from connectors.audit import statements
    from connectors.home import folder
    from connectors.hub import hub
    from repository.keys import secret_files, signing

access = typer.Typer(no_args_is_help=True, help="Who asked what of the base, and for what.")
ACCESS_COLUMNS = ("asked_at", "account", "role", "purpose", "command", "tables", "result_rows", "outcome", "statement")


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
    about = identity(entity, "identity; `yrd audit history` prints it beside the key.")
    asked = {
        "account": account,
        "entity": None if about is None else str(about),
        "since": moment_if_given(since),
        "until": moment_if_given(until),
        "limit": limit,
    }
    found: dict[str, Any] = hub.look(folder.Home(home), "access_list", purpose, **asked)
    if as_json:
        print_json(found["accesses"])
        return
    print_table("", ACCESS_COLUMNS, [[_cell(name, one[name]) for name in ACCESS_COLUMNS] for one in found["accesses"]])
    if found["further"]:
        talk.print("There are further ones; see them with --limit, --since and --until.")


def _cell(name: str, value: Any) -> Any:
    if name == "asked_at":
        return str(value)[:19]
    return ", ".join(value) if isinstance(value, list) else value


@access.command("check")
def check(
    key: KeysOption = None,
    kept: Annotated[list[Path] | None, typer.Option("--kept", help="A seal you kept; may be given several times.")] = None,
    purpose: PurposeOption = None,
    home: HomeOption = DEFAULT_HOME,
    as_json: JsonOption = False,
) -> None:
    """Check that the access log is whole: no position missing, no purge unrecorded; with --key, that it is what was sealed."""
    if kept and key is None:
        raise secret_files.KeyMissing(
            "Without a public key a kept seal proves nothing; name your own copy of it with --key FILE."
        )
    keys = [str(each) for each in signing.read_keys(key)] if key else []
    found: dict[str, Any] = hub.look(
        folder.Home(home), "access_check", purpose, keys=keys, kept=[_text(path) for path in kept or []]
    )
    if as_json:
        print_json(found)
    else:
        for each in (*found["problems"], *(found["sealed"] or {"findings": ()})["findings"]):
            warn(each)
        for line in statements.access_words(found):
            say(line)
    if not statements.access_is_whole(found):
        raise typer.Exit(1)


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
    found: dict[str, Any] = hub.look(folder.Home(home), "access_seal", purpose)
    output.write_text(found.pop("note"), "utf-8")
    covered = f"seal {found['seal']}, {found['tree_size']:,} records up to position {found['last_position']:,}"
    print_outcome(as_json, {"file": output, **found}, f"Wrote {output}: {covered}. Keep it where the hub cannot reach it.")


@access.command("prove")
def prove(
    key: Annotated[str, typer.Argument(metavar="ACCESS", help="The access, as `yrd access list --json` has it: business_key.")],
    output: ProofOption = Path("proof.json"),
    purpose: PurposeOption = None,
    home: HomeOption = DEFAULT_HOME,
    as_json: JsonOption = False,
) -> None:
    """Write the proof that an access is in the access log that a seal covers."""
    found: dict[str, Any] = hub.look(folder.Home(home), "access_prove", purpose, access=key)
    write_proof(output, found["proof"], as_json, ", or with docs/verify.py")


@access.command("consistency")
def consistency(
    size1: Annotated[int, typer.Argument(help="Number of records under the seal that you kept.")],
    size2: Annotated[int | None, typer.Argument(help="Number of records under a later seal; default: the newest.")] = None,
    output: ProofOption = Path("consistency.json"),
    purpose: PurposeOption = None,
    home: HomeOption = DEFAULT_HOME,
    as_json: JsonOption = False,
) -> None:
    """Write the proof that the access log under an earlier seal is the beginning of the one under a later seal."""
    found: dict[str, Any] = hub.look(folder.Home(home), "access_growth", purpose, first=size1, second=size2)
    write_proof(output, found["proof"], as_json)


@access.command("purge")
def purge(
    before: Annotated[str | None, typer.Option("--before", help="Only records before this moment; default: all past it.")] = None,
    purpose: PurposeOption = None,
    home: HomeOption = DEFAULT_HOME,
    as_json: JsonOption = False,
) -> None:
    """Take out records past their retention; their leaf hashes stay, so that every seal still verifies."""
    found: dict[str, Any] = hub.look(folder.Home(home), "access_purge", purpose, before=moment_if_given(before))
    told = f"{found['purged']:,} records purged, up to position {found['to']:,}; that is recorded." if found["purged"] else ""
    print_outcome(as_json, found, told or "No record is past its retention.")
