"""Commands about persons: keys, grants, erasure, restriction, legal hold, a person's own record."""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path
from typing import Annotated, Any

import typer

from connectors.commands.deferred import deferred
from connectors.commands.options import (
    CHINA,
    DEFAULT_HOME,
    BasisOption,
    HomeOption,
    JsonOption,
    LiftOption,
    OperatorOption,
    PublisherOption,
    ReasonOption,
    SubjectArgument,
    day,
)
from connectors.commands.printing import print_json, print_outcome, talk

with deferred():
    from connectors.commands import printed_results
    from connectors.home import folder, regional_key
    from connectors.hub import hub
    from connectors.persons import decryption, grants, key_store, subject_rights
    from repository.controls import subject_measure
    from repository.persons import subject_keys

grant = typer.Typer(no_args_is_help=True, help="Who may see which personal fields.")
keys = typer.Typer(
    no_args_is_help=True, help="Keys of personal fields: a publisher's master key, a hub's key pair, granted keys."
)
subject = typer.Typer(no_args_is_help=True, help="A person's own record.")
GrantArgument = Annotated[str, typer.Argument(help="Name of the grant.")]
Event = dict[str, Any]
Said = dict[str, Any]
"""What is recorded about a decision: reason, basis, operator, and what else was said."""


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
    records = _take(home, publisher, subject_name, subject_measure.ERASURE, True, _said(reason, basis, operator))
    apart = {each["subject_id"] for each in records if not each["in_force"]}
    records = [each for each in records if each["subject_id"] not in apart]
    for subject_ in sorted(map(str, apart)):
        talk.print(
            f"Subject {subject_} once stood under this name, by mistake, and is somebody else's now: only what it said under the "
            "name is erased.",
            soft_wrap=True,
        )
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
    records = _take(home, publisher, subject_name, subject_measure.ERASURE, False, _said(reason, basis, operator))
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
    records = _take(home, publisher, subject_name, subject_measure.RESTRICTION, not lift, said)
    _tell(as_json, records, "Processing of subject {subject} is " + ("free again." if lift else "restricted to storage."))


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
    records = _take(home, publisher, subject_name, subject_measure.HOLD, not lift, _said(reason, basis, operator))
    _tell(as_json, records, "Subject {subject} " + ("may be erased again." if lift else "is held and not erased."))


def _take(home: Path, publisher: str, name: str, measure: str, in_force: bool, said: Said) -> list[Event]:
    opened = folder.Home(home)
    return subject_rights.take_measure(opened, publisher, _named(name), measure, in_force, said, regional_key.tokeniser(opened))


def _said(reason: str, basis: str, operator: str | None) -> Said:
    return {"reason": reason, "basis": basis, "operator": operator}


def _named(name: str) -> str:
    """The subject, typed unseen where it is an identity number: arguments stand in the shell's history and in process lists."""
    return str(typer.prompt("id_type|number", hide_input=True, err=True)) if name == "-" else name


def _tell(as_json: bool, records: list[Event], sentence: str) -> None:
    """One sentence per entity about the person; in JSON the first record, and all their identities."""
    names = ("event_id", "event_type", "publisher", "subject_id", "measure", "in_force", "recorded_at")
    first = {name: records[0][name] for name in names}
    told = "\n".join(sentence.format(subject=record["subject_id"]) for record in records)
    print_outcome(as_json, {**first, "subject_ids": [record["subject_id"] for record in records]}, told)


@subject.command("export")
def subject_export(subject_name: SubjectArgument, publisher: PublisherOption, home: HomeOption = DEFAULT_HOME) -> None:
    """Print all that a publisher has recorded of a person, in plain, as JSON: for that person alone."""
    opened = folder.Home(home)
    print_json(subject_rights.own_record(opened, publisher, _named(subject_name), regional_key.tokeniser(opened)))


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
    """Let an account at the hub see groups of personal fields of this publisher's subjects; then `yrd personal-keys export`."""
    listed = [each.strip() for each in groups.split(",") if each.strip()]
    said = {"basis": basis, "operator": operator}
    record = grants.issue_grant(folder.Home(home), publisher, name, to, purpose, listed, _end_of(until), said)
    _granted(as_json, record, f"{to} may see {', '.join(record['field_groups'])} of publisher {publisher} until {until}.")


def _end_of(until: str) -> datetime:
    last = day(until) or date.max
    return datetime.combine(last + timedelta(days=1), time(), CHINA).astimezone(UTC)


@grant.command("revoke")
def grant_revoke(
    name: GrantArgument,
    publisher: PublisherOption,
    reason: ReasonOption,
    home: HomeOption = DEFAULT_HOME,
    as_json: JsonOption = False,
) -> None:
    """End a grant before its time; the hub destroys its keys when it sees this."""
    record = grants.revoke_grant(folder.Home(home), publisher, name, {"reason": reason})
    _granted(as_json, record, f"Grant {name} of publisher {publisher} is revoked.")


def _granted(as_json: bool, record: Event, sentence: str) -> None:
    names = ("event_id", "event_type", "publisher", "business_key", "field_groups", "in_force")
    print_outcome(as_json, {name: record[name] for name in names}, sentence)


@grant.command("list")
def grant_list(home: HomeOption = DEFAULT_HOME, as_json: JsonOption = False) -> None:
    """List the grants that the base knows."""
    sql = "SELECT grant_name, publisher, grantee, purpose, field_groups, expires_at, in_force FROM grants ORDER BY ALL"
    printed_results.print_listed(hub.read(folder.Home(home), sql), as_json)


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
    opened = folder.Home(home)
    if (publisher is None) == (hub_file is None):
        raise typer.BadParameter("say either --publisher CODE or --hub FILE.")
    if hub_file is not None:
        mark = grants.create_hub_key(opened, hub_file)
        told = f"Wrote the public key {mark} to {hub_file}; send it to the publishers."
        print_outcome(as_json, {"fingerprint": mark, "file": hub_file}, told)
        return
    path = key_store.master_file(opened, opened.member(str(publisher)))
    subject_keys.create_master(path)
    told = f"Made {path}. Keep a copy in a safe place: without it no personal field of {publisher} opens."
    print_outcome(as_json, {"file": path}, told)


@keys.command("export")
def keys_export(
    name: GrantArgument,
    file: Annotated[Path, typer.Argument(help="File to write.")],
    publisher: PublisherOption,
    to: Annotated[Path, typer.Option("--to", help="The hub's public key, as `yrd personal-keys create --hub` wrote it.")],
    home: HomeOption = DEFAULT_HOME,
    as_json: JsonOption = False,
) -> None:
    """Write the keys that a grant opens, wrapped to the hub's public key. Again after imports: new subjects have new keys."""
    count = grants.export_keys(folder.Home(home), publisher, name, to, file)
    told = f"Wrote keys of {count:,} subjects to {file}; only the hub's private key opens it."
    print_outcome(as_json, {"subjects": count, "file": file}, told)


@keys.command("import")
def keys_import(
    file: Annotated[Path, typer.Argument(help="Keys that a publisher exported for a grant.")],
    home: HomeOption = DEFAULT_HOME,
    as_json: JsonOption = False,
) -> None:
    """Take over the keys of a grant, at the hub."""
    said = decryption.import_keys(folder.Home(home), file)
    told = f"Took over keys of {said['subjects']:,} subjects for grant {said['grant']} of publisher {said['publisher']}."
    print_outcome(as_json, {name: said[name] for name in ("publisher", "grant", "groups", "subjects")}, told)
