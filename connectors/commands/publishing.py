"""Commands of those who publish: a province's staff and systems."""

from __future__ import annotations

import json
import sys
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any

import typer

from connectors.commands.deferred import deferred
from connectors.commands.options import (
    DEFAULT_HOME,
    HomeOption,
    JsonOption,
    KindArgument,
    KindOption,
    OperatorOption,
    PublisherOption,
    ReasonOption,
    SourceOption,
    day,
    identity,
)
from connectors.commands.printing import print_json, print_outcome, print_table, progress_bar, say, talk
from repository.kinds.register import LINKED

with deferred():
    from connectors.home import folder, regional_key
    from connectors.profiles import profile as profiles
    from connectors.publishing import importing, live, rejections, reported_persons
    from repository.decisions import facts

SHOWN_REJECTIONS = 5
MembersOption = Annotated[str, typer.Option("--publishers", help="Codes of the members, separated by commas.")]
SyntheticOption = Annotated[bool, typer.Option("--synthetic", help="All persons in this home are invented.")]


def init(
    publishers: MembersOption = "00,31,32,33,34",
    synthetic: SyntheticOption = False,
    home: HomeOption = DEFAULT_HOME,
    as_json: JsonOption = False,
) -> None:
    """Make a folder the home of a region."""
    made = folder.Home.create(home, tuple(code.strip() for code in publishers.split(",")), synthetic)
    members = made.settings.publishers
    sentence = f"{made.folder} is the home of {', '.join(members)}. Import a dump with `yrd import`."
    print_outcome(as_json, {"home": made.folder, "publishers": members, "synthetic": synthetic}, sentence)


def import_(
    profile: Annotated[str, typer.Argument(help="Bundled source profile, or the path of your own.")],
    file: Annotated[Path, typer.Argument(help="The dump: csv, tsv, xls, xlsx, json, jsonl or parquet.")],
    publisher: PublisherOption,
    as_of: Annotated[
        str | None, typer.Option("--as-of", help="Day that the dump describes, where neither file nor profile says.")
    ] = None,
    max_closures: Annotated[
        float | None, typer.Option("--max-closures", min=0, max=1, help="Share that may close by absence.")
    ] = None,
    home: HomeOption = DEFAULT_HOME,
    as_json: JsonOption = False,
) -> None:
    """Import a dump: record what it says that was not known."""
    opened = folder.Home(home)
    with progress_bar(f"Importing {file.name}") as progress:
        read, tokens = profiles.load(profile), regional_key.tokeniser(opened)
        done = importing.import_dump(opened, read, file, publisher, day(as_of), tokens, max_closures, progress)
    if as_json:
        print_json(_import_result(done))
    else:
        _print_import(done)


def _import_result(done: importing.Imported) -> dict[str, Any]:
    counts = {name: value for name, value in vars(done.counts).items() if name != "events_xor"}
    return {
        "publisher": done.publisher,
        "kind": done.profile.kind,
        "source": done.profile.source,
        **counts,
        "rows_flagged": done.flagged,
        "batch_id": done.batch_id,
    }


def _print_import(done: importing.Imported) -> None:
    c = done.counts
    say(f"[bold]{done.profile.name}[/bold] for publisher {done.publisher} ({done.profile.kind}, source {done.profile.source})")
    say(f"  rows   {c.rows_read:,} read: {c.rows_mapped:,} mapped, {c.rows_rejected:,} rejected, {c.rows_skipped:,} skipped")
    told = f"{c.facts_new:,} new, {c.facts_changed:,} changed, {c.facts_unchanged:,} unchanged, {c.facts_duplicate:,} duplicate"
    say(f"  facts  {told}, {c.facts_rejected:,} rejected; {done.flagged:,} with a doubt; {c.closed:,} closed")
    types = ", ".join(f"{name} {number:,}" for name, number in c.events_by_type.most_common())
    say(f"  events {c.events:,}{f': {types}' if types else ', a heartbeat says so'}")
    for each in done.rejected[:SHOWN_REJECTIONS]:
        talk.print(f"  line {each.line}: {each.column or 'row'} {each.value!r}: {each.reason}", markup=False)
    if len(done.rejected) > SHOWN_REJECTIONS:
        talk.print(
            f"  and {len(done.rejected) - SHOWN_REJECTIONS:,} more rejections: `yrd rejections --publisher {done.publisher}`"
        )


def rejections_(
    publisher: PublisherOption,
    limit: Annotated[int, typer.Option("--limit", min=1, help="How many at most.")] = 100,
    home: HomeOption = DEFAULT_HOME,
    as_json: JsonOption = False,
) -> None:
    """List dump rows that were not accepted, newest first, with line and reason."""
    opened = folder.Home(home)
    found = rejections.kept(opened.folder / "rejections" / f"{opened.member(publisher)}.sqlite", limit)
    if as_json:
        print_json(found)
        return
    rows = [(r.file_name, r.line, r.column, r.value, r.reason) for r in found]
    print_table("", ("file", "line", "column", "value", "reason"), rows)
    if not found:
        say("No rejections.")


def heartbeat(
    publisher: PublisherOption,
    source: SourceOption,
    every: Annotated[int | None, typer.Option("--every", min=1, help="Days until the next one is due.")] = None,
    home: HomeOption = DEFAULT_HOME,
    as_json: JsonOption = False,
) -> None:
    """Say that a source is alive and has nothing new."""
    batch_id = live.heartbeat(folder.Home(home), publisher, source, every)
    sentence = f"{source} of publisher {publisher} is alive and has nothing new."
    print_outcome(as_json, {"publisher": publisher, "source": source, "batch_id": batch_id}, sentence)


def report(
    kind: KindArgument,
    publisher: PublisherOption,
    file: Annotated[Path | None, typer.Argument(help="JSON lines, one fact a line; - or nothing: standard input.")] = None,
    source: SourceOption = "live",
    home: HomeOption = DEFAULT_HOME,
    _json: JsonOption = True,
) -> None:
    """Report facts as they happen: JSON lines in, one JSON result line each out."""
    opened, refused = folder.Home(home), False
    with sys.stdin if file is None or str(file) == "-" else file.open(encoding="utf-8-sig") as lines:
        for answer in live.reported(opened, publisher, kind, lines, source):
            print_json(answer)
            sys.stdout.flush()
            refused |= answer["result"] == "refused"
    if refused:
        raise typer.Exit(1)


KeyOption = Annotated[str, typer.Option("--key", help="Business key of the entity.")]
EventOption = Annotated[str | None, typer.Option("--event", help="The event; default: the one that shows.")]
OnOption = Annotated[str | None, typer.Option("--on", help="Day on which the event shows; default: the newest.")]
NO_EVENT = "event id; it is a UUID, as queries print it."


def correct(
    publisher: PublisherOption,
    kind: KindOption,
    key: KeyOption,
    assignments: Annotated[
        list[str], typer.Argument(metavar="FIELD=VALUE...", help="What is right; VALUE as JSON or plain text.")
    ],
    reason: ReasonOption,
    event: EventOption = None,
    on: OnOption = None,
    operator: OperatorOption = None,
    home: HomeOption = DEFAULT_HOME,
    as_json: JsonOption = False,
) -> None:
    """Correct fields of one event, and later segments that inherited the error."""
    fields = dict(_assignment(each) for each in assignments)
    named, shown_on = identity(event, NO_EVENT), day(on)
    _print_put_right(live.corrected(folder.Home(home), publisher, kind, key, fields, reason, operator, named, shown_on), as_json)


def _assignment(given: str) -> tuple[str, object]:
    path, sign, value = given.partition("=")
    if not sign or not (path.removeprefix(reported_persons.PREFIX).isidentifier() or facts.PATH.match(path)):
        raise typer.BadParameter(f'"{given}" is no assignment; write FIELD=VALUE, such as offers[YRD050101].capacity=358.')
    try:
        return path, json.loads(value, parse_float=Decimal)
    except ValueError:
        return path, value


def retract(
    publisher: PublisherOption,
    kind: KindOption,
    key: KeyOption,
    reason: ReasonOption,
    event: EventOption = None,
    on: OnOption = None,
    operator: OperatorOption = None,
    home: HomeOption = DEFAULT_HOME,
    as_json: JsonOption = False,
) -> None:
    """Annul one event; what was known before it reappears."""
    named, shown_on = identity(event, NO_EVENT), day(on)
    _print_put_right(live.retracted(folder.Home(home), publisher, kind, key, reason, operator, named, shown_on), as_json)


def _print_put_right(events: list[dict[str, Any]], as_json: bool) -> None:
    if as_json:
        print_json({"events": [{name: e[name] for name in ("event_id", "event_type", "changed")} for e in events]})
    elif events:
        rows = [(e["event_type"], e["valid_from"], e["valid_to"], ", ".join(e["changed"])) for e in events]
        print_table("", ("event", "from", "to", "changed"), rows)
    else:
        say("That is what is known already; nothing was recorded.")


def link_(
    file: Annotated[Path, typer.Argument(help="csv with the columns old_key and new_key.")],
    publisher: PublisherOption,
    kind: KindOption = LINKED,
    on: Annotated[str | None, typer.Option("--on", help="Day of the change; default: the newest segment.")] = None,
    source: SourceOption = "links",
    reason: Annotated[str | None, typer.Option("--reason", help="Why; it is recorded.")] = None,
    home: HomeOption = DEFAULT_HOME,
    as_json: JsonOption = False,
) -> None:
    """Record changed keys: one to one is a rename, many to one a merger, one to many a split."""
    answers = live.linked(folder.Home(home), publisher, kind, live.read_links(file), day(on), source, reason)
    if as_json:
        print_json(answers)
    else:
        rows = [
            (a["old_key"], ", ".join(a.get("new_keys", [])), ", ".join(a.get("events", [])) or a["result"], a.get("reason"))
            for a in answers
        ]
        print_table("", ("old key", "new keys", "result", "why"), rows)
    if any(a["result"] == "refused" for a in answers):
        raise typer.Exit(1)
