"""Commands about persons: keys, grants, erasure, restriction, legal hold, a person's own record."""

from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path
from typing import Annotated, Any

import typer

from connectors.commands.options import DEFAULT_HOME, HomeOption, JsonOption, OperatorOption, PublisherOption, ReasonOption, day
from connectors.commands.printing import print_json, print_result, say
from connectors.home.folder import Home
from connectors.home.regional_key import tokeniser
from connectors.hub import hub
from connectors.persons import decryption, grants
from connectors.persons.key_store import master_file
from connectors.persons.subject_rights import own_record, take_measure
from repository.controls.subject_measure import ERASURE, HOLD, RESTRICTION
from repository.decisions.entity import Record
from repository.persons.subject_keys import create_master
from repository.registers.identifiers import CHINA

grant = typer.Typer(no_args_is_help=True, help="Who may see which personal fields.")
keys = typer.Typer(
    no_args_is_help=True, help="Keys of personal fields: a publisher's master key, a hub's key pair, granted keys."
)
subject = typer.Typer(no_args_is_help=True, help="A person's own record.")

SubjectArgument = Annotated[
    str, typer.Argument(metavar="SUBJECT", help="Pseudonym or entity id, or - to type id_type|number, which is not shown.")
]
BasisOption = Annotated[str, typer.Option("--basis", help="Legal basis, such as 'PIPL art. 47(1)'; it is recorded.")]
LiftOption = Annotated[bool, typer.Option("--lift", help="End it.")]


def erase(
    subject_name: SubjectArgument,
    publisher: PublisherOption,
    reason: ReasonOption,
    basis: BasisOption,
    operator: OperatorOption = None,
    home: HomeOption = DEFAULT_HOME,
    as_json: JsonOption = False,
) -> None:
    """Destroy a person's key and take pseudonym and personal fields out of every base; the events' bytes stay."""
    records = _measure(home, publisher, subject_name, ERASURE, True, _said(reason, basis, operator))
    _tell(as_json, records, "Subject {subject} is erased; bases take it out when they next see the log.")


def readmit(
    subject_name: SubjectArgument,
    publisher: PublisherOption,
    reason: ReasonOption,
    basis: BasisOption,
    operator: OperatorOption = None,
    home: HomeOption = DEFAULT_HOME,
    as_json: JsonOption = False,
) -> None:
    """Let an erased person be recorded again from now on; what was erased stays erased."""
    records = _measure(home, publisher, subject_name, ERASURE, False, _said(reason, basis, operator))
    _tell(as_json, records, "Subject {subject} may be recorded again from now on.")


def restrict(
    subject_name: SubjectArgument,
    publisher: PublisherOption,
    reason: ReasonOption,
    basis: BasisOption,
    until: Annotated[str | None, typer.Option("--until", help="Day on which the statutory retention ends; a note.")] = None,
    lift: LiftOption = False,
    operator: OperatorOption = None,
    home: HomeOption = DEFAULT_HOME,
    as_json: JsonOption = False,
) -> None:
    """Stop every use of a person's data but storage and audit, while it may not be erased yet."""
    retained = day(until)
    said = _said(reason, basis, operator) | ({} if retained is None else {"retention_until": retained})
    records = _measure(home, publisher, subject_name, RESTRICTION, not lift, said)
    ends = "free again" if lift else "restricted to storage"
    _tell(as_json, records, f"Processing of subject {{subject}} is {ends}.")


def hold(
    subject_name: SubjectArgument,
    publisher: PublisherOption,
    reason: ReasonOption,
    basis: BasisOption,
    lift: LiftOption = False,
    operator: OperatorOption = None,
    home: HomeOption = DEFAULT_HOME,
    as_json: JsonOption = False,
) -> None:
    """Place a legal hold, which forbids erasure."""
    records = _measure(home, publisher, subject_name, HOLD, not lift, _said(reason, basis, operator))
    ends = "may be erased again" if lift else "is held and not erased"
    _tell(as_json, records, f"Subject {{subject}} {ends}.")


def _measure(home: Path, publisher: str, name: str, measure: str, in_force: bool, said: dict[str, Any]) -> list[Record]:
    opened = Home(home)
    return take_measure(opened, publisher, _named(name), measure, in_force, said, tokeniser(opened))


def _said(reason: str, basis: str, operator: str | None) -> dict[str, Any]:
    return {"reason": reason, "basis": basis, "operator": operator}


def _named(name: str) -> str:
    """The subject, typed unseen where it is an identity number: arguments stand in the shell's history and in process lists."""
    return str(typer.prompt("id_type|number", hide_input=True, err=True)) if name == "-" else name


def _tell(as_json: bool, records: list[Record], sentence: str) -> None:
    """One sentence per entity about the person; in JSON the first record, and all their identities."""
    if as_json:
        names = ("event_id", "event_type", "publisher", "subject_id", "measure", "in_force", "recorded_at")
        first = {name: records[0][name] for name in names}
        print_json({**first, "subject_ids": [record["subject_id"] for record in records]})
        return
    for record in records:
        say(sentence.format(subject=record["subject_id"]))


@subject.command("export")
def subject_export(subject_name: SubjectArgument, publisher: PublisherOption, home: HomeOption = DEFAULT_HOME) -> None:
    """Print all that a publisher has recorded of a person, in plain, as JSON: for that person alone."""
    opened = Home(home)
    print_json(own_record(opened, publisher, _named(subject_name), tokeniser(opened)))


# -- grants --------------------------------------------------------------------------------------------------------


@grant.command("issue")
def grant_issue(
    name: Annotated[str, typer.Argument(help="Name of the grant, such as the number of the agreement.")],
    publisher: PublisherOption,
    to: Annotated[str, typer.Option("--to", help="Account at the hub that may see the fields.")],
    purpose: Annotated[str, typer.Option("--purpose", help="What for; it is recorded.")],
    groups: Annotated[str, typer.Option("--groups", help="identity, demography, contact, card; separated by commas.")],
    until: Annotated[str, typer.Option("--until", help="Last day on which it holds.")],
    basis: BasisOption,
    operator: OperatorOption = None,
    home: HomeOption = DEFAULT_HOME,
    as_json: JsonOption = False,
) -> None:
    """Let an account at the hub see groups of personal fields of this publisher's subjects; then `yrd keys export`."""
    listed = [each.strip() for each in groups.split(",") if each.strip()]
    said = {"basis": basis, "operator": operator}
    record = grants.issue_grant(Home(home), publisher, name, to, purpose, listed, _end_of(until), said)
    _granted(as_json, record, f"{to} may see {', '.join(record['field_groups'])} of publisher {publisher} until {until}.")


def _end_of(until: str) -> datetime:
    last = day(until) or date.max
    return datetime.combine(last + timedelta(days=1), time(), CHINA).astimezone(UTC)


@grant.command("revoke")
def grant_revoke(
    name: Annotated[str, typer.Argument(help="Name of the grant.")],
    publisher: PublisherOption,
    reason: ReasonOption,
    home: HomeOption = DEFAULT_HOME,
    as_json: JsonOption = False,
) -> None:
    """End a grant before its time; the hub destroys its keys when it sees this."""
    record = grants.revoke_grant(Home(home), publisher, name, {"reason": reason})
    _granted(as_json, record, f"Grant {name} of publisher {publisher} is revoked.")


def _granted(as_json: bool, record: Record, sentence: str) -> None:
    if as_json:
        print_json(
            {name: record[name] for name in ("event_id", "event_type", "publisher", "business_key", "field_groups", "in_force")}
        )
    else:
        say(sentence)


@grant.command("list")
def grant_list(home: HomeOption = DEFAULT_HOME, as_json: JsonOption = False) -> None:
    """List the grants that the base knows."""
    sql = "SELECT grant_name, publisher, grantee, purpose, field_groups, expires_at, in_force FROM grants ORDER BY ALL"
    print_result(hub.read(Home(home), sql), "json" if as_json else "table", None)


# -- keys ----------------------------------------------------------------------------------------------------------


@keys.command("create")
def keys_create(
    publisher: Annotated[str | None, typer.Option("--publisher", help="Make the master key of this publisher.")] = None,
    hub_file: Annotated[
        Path | None, typer.Option("--hub", help="Make the hub's key pair and write its public key to this file.")
    ] = None,
    home: HomeOption = DEFAULT_HOME,
    as_json: JsonOption = False,
) -> None:
    """Make a publisher's master key, or a hub's key pair; secrets are never printed."""
    opened = Home(home)
    if (publisher is None) == (hub_file is None):
        raise typer.BadParameter("say either --publisher CODE or --hub FILE.")
    if hub_file is not None:
        mark = grants.create_hub_key(opened, hub_file)
        _key(as_json, f"Wrote the public key {mark} to {hub_file}; send it to the publishers.", fingerprint=mark, file=hub_file)
        return
    path = master_file(opened, opened.member(str(publisher)))
    create_master(path)
    _key(as_json, f"Made {path}. Keep a copy in a safe place: without it no personal field of {publisher} opens.", file=path)


@keys.command("export")
def keys_export(
    name: Annotated[str, typer.Argument(help="Name of the grant.")],
    file: Annotated[Path, typer.Argument(help="File to write.")],
    publisher: PublisherOption,
    to: Annotated[Path, typer.Option("--to", help="The hub's public key, as `yrd keys create --hub` wrote it.")],
    home: HomeOption = DEFAULT_HOME,
    as_json: JsonOption = False,
) -> None:
    """Write the keys that a grant opens, wrapped to the hub's public key. Again after imports: new subjects have new keys."""
    count = grants.export_keys(Home(home), publisher, name, to, file)
    _key(as_json, f"Wrote keys of {count:,} subjects to {file}; only the hub's private key opens it.", subjects=count, file=file)


@keys.command("import")
def keys_import(
    file: Annotated[Path, typer.Argument(help="Keys that a publisher exported for a grant.")],
    home: HomeOption = DEFAULT_HOME,
    as_json: JsonOption = False,
) -> None:
    """Take over the keys of a grant, at the hub."""
    said = decryption.import_keys(Home(home), file)
    sentence = f"Took over keys of {said['subjects']:,} subjects for grant {said['grant']} of publisher {said['publisher']}."
    _key(as_json, sentence, **{name: said[name] for name in ("publisher", "grant", "groups", "subjects")})


def _key(as_json: bool, sentence: str, **fields: object) -> None:
    if as_json:
        print_json(fields)
    else:
        say(sentence)
