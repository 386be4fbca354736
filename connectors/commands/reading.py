"""Commands of the hub and of those who read: project, query, rebuild, status, quarantine."""

from pathlib import Path
from typing import Annotated

import typer

from connectors import hub
from connectors.commands.options import DEFAULT_HOME, HomeOption, JsonOption, ReasonOption
from connectors.granted import concealed
from connectors.granted_reads import read_under_grant
from connectors.home import Home
from connectors.printing import print_json, print_result, print_table, progress_bar, say, talk

quarantine = typer.Typer(no_args_is_help=True, help="Records that could not be applied.")
gaps = typer.Typer(no_args_is_help=True, help="Missing versions.")


def project(
    follow: Annotated[bool, typer.Option("--follow", help="Go on as events come, and answer readers, until stopped.")] = False,
    home: HomeOption = DEFAULT_HOME,
    as_json: JsonOption = False,
) -> None:
    """Bring the base up to date with the publishers' logs."""
    opened = Home(home)
    if follow:
        hub.follow(opened, lambda: talk.print("Following; end with Ctrl-C."), hub.stopping_at_signals())
        return
    done = hub.perform(opened, "project")
    if as_json:
        print_json(done)
    else:
        say(f"{done['events']:,} events applied, {done['duplicates']:,} repeated, {done['quarantined']:,} quarantined.")
        say(f"content digest: {done['digest']}")


def rebuild(
    accept: Annotated[bool, typer.Option("--accept", help="Make the new file current even if its content differs.")] = False,
    home: HomeOption = DEFAULT_HOME,
    as_json: JsonOption = False,
) -> None:
    """Make the base anew from the logs, compare, and switch."""
    with progress_bar("Rebuilding") as progress:
        done = hub.rebuild(Home(home), accept, lambda number: progress("events", number))
    if as_json:
        print_json(done)
    else:
        say(f"{done.events:,} events replayed into {done.file}.")
        say(f"old digest: {done.old_digest or 'none, the old file could not be read'}\nnew digest: {done.new_digest}")
    if not done.switched:
        talk.print("The contents differ; the old file stays current. Look into both, then `yrd rebuild --accept`.")
        raise typer.Exit(1)


def query(
    sql: Annotated[str, typer.Argument(help="One SELECT; questions are views and macros: `FROM catalogue`.")],
    form: Annotated[str, typer.Option("--format", help="table, csv, json or parquet.")] = "table",
    output: Annotated[Path | None, typer.Option("--output", help="File to write; default: standard output.")] = None,
    grant: Annotated[str | None, typer.Option("--grant", help="Grant under which personal fields are shown.")] = None,
    home: HomeOption = DEFAULT_HOME,
    as_json: JsonOption = False,
) -> None:
    """Ask the base; reads only, beside a running projector too."""
    found = concealed(hub.read(Home(home), sql)) if grant is None else read_under_grant(Home(home), sql, grant)
    print_result(found, "json" if as_json else form, output)


def status(home: HomeOption = DEFAULT_HOME, as_json: JsonOption = False) -> None:
    """Show how far the base is behind the logs, and what waits for somebody."""
    found = hub.perform(Home(home), "status")
    if as_json:
        print_json(found)
        return
    partitions = found["partitions"]
    assert isinstance(partitions, list)
    print_table("Logs", ("topic", "partition", "end", "checkpoint", "lag"), [list(p.values()) for p in partitions])
    names = ("service_objects", "supplies", "standards", "quarantined", "gaps", "duplicates")
    print_table("Base", names, [[found[name] for name in names]])
    say(f"content digest: {found['digest']}")


@quarantine.command("list")
def quarantine_list(home: HomeOption = DEFAULT_HOME, as_json: JsonOption = False) -> None:
    """List records that wait for a fix or a decision, and those decided."""
    cells = "quarantine_no, topic, partition, log_offset, position, event_type, state, reason, note"
    sql = f"SELECT {cells} FROM quarantine ORDER BY quarantine_no"
    print_result(hub.read(Home(home), sql), "json" if as_json else "table", None)


@quarantine.command("retry")
def quarantine_retry(home: HomeOption = DEFAULT_HOME, as_json: JsonOption = False) -> None:
    """Try the held records again, after what was wrong has been put right."""
    done = hub.perform(Home(home), "quarantine_retry")
    if as_json:
        print_json(done)
    else:
        say(f"{done['events']:,} applied, {done['quarantined']:,} still held.")


@quarantine.command("skip")
def quarantine_skip(
    number: Annotated[int, typer.Argument(help="quarantine_no of the record.")],
    reason: ReasonOption,
    home: HomeOption = DEFAULT_HOME,
    as_json: JsonOption = False,
) -> None:
    """Decide not to apply a held record; its bytes and your reason are kept."""
    done = hub.perform(Home(home), "quarantine_skip", number=number, reason=reason)
    if as_json:
        print_json(done)
    else:
        say(f"Record {number} is skipped: {reason}")


@gaps.command("list")
def gaps_list(home: HomeOption = DEFAULT_HOME, as_json: JsonOption = False) -> None:
    """List versions that must exist and have not arrived."""
    print_result(hub.read(Home(home), "SELECT * FROM gaps ORDER BY ALL"), "json" if as_json else "table", None)


@gaps.command("skip")
def gaps_skip(
    entity: Annotated[str, typer.Argument(help="Identity of the entity.")],
    version: Annotated[int, typer.Argument(help="The missing version.")],
    reason: ReasonOption,
    home: HomeOption = DEFAULT_HOME,
    as_json: JsonOption = False,
) -> None:
    """Decide not to wait for a missing version."""
    done = hub.perform(Home(home), "gap_skip", entity=entity, version=version, reason=reason)
    if as_json:
        print_json(done)
    else:
        say(f"Version {version} of {entity} is not waited for: {reason}")
