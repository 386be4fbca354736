"""Commands of the hub and of those who read: project, query, rebuild, status, quarantine."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from connectors.commands.deferred import deferred
from connectors.commands.options import (
    DEFAULT_HOME,
    FormatOption,
    HomeOption,
    JsonOption,
    LogOption,
    PurposeOption,
    ReasonOption,
    ToFileOption,
    reading_from,
)
from connectors.commands.printing import ago, print_json, print_outcome, print_table, progress_bar, say, talk, tell

with deferred():
    from connectors.commands import printed_results, printed_seals
    from connectors.home import folder
    from connectors.hub import granted_reads, hub
    from connectors.persons import decryption

quarantine = typer.Typer(no_args_is_help=True, help="Records that could not be applied.")
gaps = typer.Typer(no_args_is_help=True, help="Missing versions.")


def project(
    follow: Annotated[bool, typer.Option("--follow", help="Go on as events come, and answer readers, until stopped.")] = False,
    log: LogOption = None,
    home: HomeOption = DEFAULT_HOME,
    as_json: JsonOption = False,
) -> None:
    """Bring the base up to date with the publishers' logs."""
    opened = reading_from(home, log)
    if follow:
        hub.follow(opened, lambda: talk.print("Following; end with Ctrl-C."), hub.stopping_at_signals(), tell)
        return
    done = hub.perform(opened, "project")
    told = f"{done['events']:,} events applied, {done['duplicates']:,} repeated, {done['quarantined']:,} quarantined."
    print_outcome(as_json, done, f"{told}\ncontent digest: {done['digest']}")


def rebuild(
    accept: Annotated[bool, typer.Option("--accept", help="Make the new file current even if its content differs.")] = False,
    log: LogOption = None,
    home: HomeOption = DEFAULT_HOME,
    as_json: JsonOption = False,
) -> None:
    """Make the base anew from the logs, compare, and switch."""
    with progress_bar("Rebuilding") as progress:
        done = hub.rebuild(reading_from(home, log), accept, lambda number: progress("events", number))
    old = done.old_digest or "none, the old file could not be read"
    told = f"{done.events:,} events replayed into {done.file}.\nold digest: {old}\nnew digest: {done.new_digest}"
    print_outcome(as_json, done, told)
    if not done.switched:
        talk.print("The contents differ; the old file stays current. Look into both, then `yrd rebuild --accept`.")
        raise typer.Exit(1)


def query(
    sql: Annotated[str, typer.Argument(help="One SELECT; questions are views and macros: `FROM catalogue`.")],
    form: FormatOption = "table",
    output: ToFileOption = None,
    purpose: PurposeOption = None,
    grant: Annotated[str | None, typer.Option("--grant", help="Grant under which personal fields are shown.")] = None,
    home: HomeOption = DEFAULT_HOME,
    as_json: JsonOption = False,
) -> None:
    """Ask the base; reads only, beside a running projector too."""
    opened = folder.Home(home)
    if grant is None:
        found = decryption.concealed(hub.read(opened, sql, purpose=purpose))
    else:
        found = granted_reads.read_under_grant(opened, sql, grant, purpose)
    printed_results.print_result(found, "json" if as_json else form, output)


def status(log: LogOption = None, home: HomeOption = DEFAULT_HOME, as_json: JsonOption = False) -> None:
    """Show how far the base is behind the logs, and what waits for somebody."""
    found: dict[str, Any] = hub.perform(reading_from(home, log), "status")
    if as_json:
        print_json(found)
        return
    _print_logs(found["partitions"])
    _print_counts(found)
    _print_doubts(found)
    printed_seals.print_proof_status(found)
    say(f"content digest: {found['digest']}")


def _print_logs(partitions: list[dict[str, Any]]) -> None:
    columns = ("topic", "partition", "end", "checkpoint", "lag", "newest", "quarantined", "gaps")
    filled = [p for p in partitions if p["end"] > (p["lag"] if p["checkpoint"] is None else 0) or p["lag"]]
    print_table("Logs", columns, [[*list(p.values())[:5], ago(p["newest_s"]), p["quarantined"], p["gaps"]] for p in filled])
    if len(filled) < len(partitions):
        say(f"{len(partitions) - len(filled)} further partitions are empty.")


def _print_counts(found: dict[str, Any]) -> None:
    """How many entities the base holds, and what waits. Entities of kinds without a key of their own follow."""
    waits = ("quarantined", "gaps", "duplicates")
    own = [name for name, value in found.items() if isinstance(value, int) and name not in waits]
    print_table("Base", (*own, *waits), [[found[name] for name in (*own, *waits)]])
    later = {kind: number for kind, number in list(found.get("entities", {}).items())[len(own) :] if number}
    if later:
        print_table("", list(later), [list(later.values())])


def _print_doubts(found: dict[str, Any]) -> None:
    """What a status has to say besides figures: a follower that does not move."""
    follower = found["follower"]
    if follower and follower["trouble"]:
        say(f"The follower has not moved since {follower['moved_at']}: {follower['trouble']}")


@quarantine.command("list")
def quarantine_list(purpose: PurposeOption = None, home: HomeOption = DEFAULT_HOME, as_json: JsonOption = False) -> None:
    """List records that wait for a fix or a decision, and those decided."""
    cells = "quarantine_no, topic, partition, log_offset, position, event_type, state, reason, note"
    sql = f"SELECT {cells} FROM quarantine ORDER BY quarantine_no"
    printed_results.print_listed(hub.read(folder.Home(home), sql, purpose=purpose), as_json)


@quarantine.command("retry")
def quarantine_retry(home: HomeOption = DEFAULT_HOME, as_json: JsonOption = False) -> None:
    """Try the held records again, after what was wrong has been put right."""
    done = hub.perform(folder.Home(home), "quarantine_retry")
    print_outcome(as_json, done, f"{done['events']:,} applied, {done['quarantined']:,} still held.")


@quarantine.command("skip")
def quarantine_skip(
    number: Annotated[int, typer.Argument(help="quarantine_no of the record.")],
    reason: ReasonOption,
    home: HomeOption = DEFAULT_HOME,
    as_json: JsonOption = False,
) -> None:
    """Decide not to apply a held record; its bytes and your reason are kept."""
    done = hub.perform(folder.Home(home), "quarantine_skip", number=number, reason=reason)
    print_outcome(as_json, done, f"Record {number} is skipped: {reason}")


@gaps.command("list")
def gaps_list(purpose: PurposeOption = None, home: HomeOption = DEFAULT_HOME, as_json: JsonOption = False) -> None:
    """List versions that must exist and have not arrived."""
    printed_results.print_listed(hub.read(folder.Home(home), "SELECT * FROM gaps ORDER BY ALL", purpose=purpose), as_json)


@gaps.command("skip")
def gaps_skip(
    entity: Annotated[str, typer.Argument(help="Identity of the entity.")],
    version: Annotated[int, typer.Argument(help="The missing version.")],
    reason: ReasonOption,
    home: HomeOption = DEFAULT_HOME,
    as_json: JsonOption = False,
) -> None:
    """Decide not to wait for a missing version."""
    done = hub.perform(folder.Home(home), "gap_skip", entity=entity, version=version, reason=reason)
    print_outcome(as_json, done, f"Version {version} of {entity} is not waited for: {reason}")
