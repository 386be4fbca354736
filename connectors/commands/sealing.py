"""Commands of those who sign: seal a log, make signing keys, keep the member list."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from connectors.commands.deferred import deferred
from connectors.commands.options import DEFAULT_HOME, HomeOption, JsonOption, PublisherOption
from connectors.commands.printing import print_outcome

with deferred():
    from connectors.access import sealing as access_sealing
    from connectors.audit import statements
    from connectors.commands import printed_results
    from connectors.home import folder
    from connectors.hub import hub
    from connectors.proof import member_list as members
    from connectors.proof import sealing
    from repository.events import identity
    from repository.keys import signing
    from repository.proof import member as member_records
    from repository.proof import signed_note

signer = typer.Typer(
    no_args_is_help=True, help="Signing keys: a publisher's and the access log's for seals, the hub's for countersignatures."
)
member = typer.Typer(no_args_is_help=True, help="The member list, which the regional office signs.")
WhoOption = Annotated[str, typer.Option("--publisher", help="Code of the publisher that signs, or hub, or access.")]
CodeArgument = Annotated[str, typer.Argument(help="Code of the member.")]
FromOption = Annotated[int, typer.Option("--from", min=0, help="Position in the member's log from which on it holds.")]
KeyFileArgument = Annotated[Path, typer.Argument(help="File with the member's public key, a verifier key.")]


def seal(publisher: PublisherOption, home: HomeOption = DEFAULT_HOME, as_json: JsonOption = False) -> None:
    """Seal a log, a publisher's or "access": sign the Merkle root of all that it holds, and record that as an event."""
    opened = folder.Home(home)
    key = signing.load(sealing.key_file(opened, publisher if publisher == identity.LOG else opened.member(publisher)))
    with opened.lock(f"publisher-{publisher}", "sealing"), access_sealing.sealable(opened, publisher) as store:
        made = sealing.seal_now(opened, store, key, datetime.now(UTC))
    told = sealing.said_of(made) if made else f"Nothing has come since the last seal of {publisher}."
    print_outcome(as_json, None if made is None else statements.sealed_fields(made), told)


@signer.command("create")
def signer_create(publisher: WhoOption, home: HomeOption = DEFAULT_HOME, as_json: JsonOption = False) -> None:
    """Make the signing key of a publisher or of the hub; the private half never leaves its file."""
    opened = folder.Home(home)
    made = sealing.create_key(opened, _who(opened, publisher))
    told = f"Made {sealing.key_file(opened, publisher)}. Hand out its public half:\n{made.verifier}"
    print_outcome(as_json, {"verifier_key": str(made.verifier), "file": sealing.public_key_file(opened, publisher)}, told)


@signer.command("show")
def signer_show(publisher: WhoOption, home: HomeOption = DEFAULT_HOME, as_json: JsonOption = False) -> None:
    """Print a public key in the form of signed notes: name, key id, key."""
    opened = folder.Home(home)
    key = str(signing.load(sealing.key_file(opened, _who(opened, publisher))).verifier)
    print_outcome(as_json, {"verifier_key": key}, key)


def _who(home: folder.Home, publisher: str) -> str:
    return publisher if publisher in (sealing.HUB, identity.LOG) else home.member(publisher)


@member.command("add")
def member_add(
    code: CodeArgument, key: KeyFileArgument, first: FromOption = 0, home: HomeOption = DEFAULT_HOME, as_json: JsonOption = False
) -> None:
    """List a member with its public key; signed with the key of the regional office in this home."""
    _tell(as_json, members.list_member(folder.Home(home), code, _key(key), first, datetime.now(UTC)))


@member.command("rotate")
def member_rotate(
    code: CodeArgument,
    key: KeyFileArgument,
    first: FromOption,
    signed_by: Annotated[
        Path | None, typer.Option("--signed-by", help="Private key that signs: the member's former one; default: the office's.")
    ] = None,
    home: HomeOption = DEFAULT_HOME,
    as_json: JsonOption = False,
) -> None:
    """Give a member another key, from a position of its log on."""
    by = None if signed_by is None else signing.load(signed_by)
    _tell(as_json, members.rotate_key(folder.Home(home), code, _key(key), first, datetime.now(UTC), by))


@member.command("revoke")
def member_revoke(
    code: CodeArgument, key: KeyFileArgument, first: FromOption, home: HomeOption = DEFAULT_HOME, as_json: JsonOption = False
) -> None:
    """Revoke a member's key: seals from a position of its log on are refused."""
    _tell(as_json, members.revoke_key(folder.Home(home), code, _key(key), first, datetime.now(UTC)))


@member.command("list")
def member_list(home: HomeOption = DEFAULT_HOME, as_json: JsonOption = False) -> None:
    """List the member records that the base holds."""
    cells = "member, version AS number, event_type, verifier_key, from_position, recorded_at"
    sql = f"SELECT {cells} FROM member_history ORDER BY member, version"
    printed_results.print_listed(hub.read(folder.Home(home), sql), as_json)


def _key(path: Path) -> signed_note.VerifierKey:
    return signing.read_keys(path)[0]


def _tell(as_json: bool, made: member_records.Statement) -> None:
    fields = {"event_type": made.event_type, "member": made.member, "number": made.number, "key": made.key.label}
    told = f"{made.event_type}: member {made.member}, key {made.key.label}, from position {made.from_position} of its log on."
    print_outcome(as_json, {**fields, "from_position": made.from_position}, told)
