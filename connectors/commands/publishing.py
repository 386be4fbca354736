"""Commands of those who publish: a province's staff and systems."""

import csv
import json
import sys
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any
from uuid import UUID

import typer

from connectors.commands.options import (
    DEFAULT_HOME,
    HomeOption,
    JsonOption,
    OperatorOption,
    PublisherOption,
    ReasonOption,
    SourceOption,
    day,
)
from connectors.commands.printing import print_json, print_table, progress_bar, say, talk
from connectors.home.folder import Home
from connectors.home.regional_key import tokeniser
from connectors.persons.recording import persons
from connectors.profiles.profile import load
from connectors.publishing import batches, rejections
from connectors.publishing.importing import Imported, import_dump
from connectors.publishing.reported_persons import PREFIX
from connectors.publishing.reporting import correct_fact, link, report_lines, retract_fact, shown_event
from repository.decisions.entity import Entity
from repository.decisions.facts import PATH
from repository.kinds.register import LINKED, RULES
from repository.registers import text

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
    made = Home.create(home, tuple(code.strip() for code in publishers.split(",")), synthetic)
    if as_json:
        print_json({"home": made.folder, "publishers": made.settings.publishers, "synthetic": synthetic})
    else:
        say(f"{made.folder} is the home of {', '.join(made.settings.publishers)}. Import a dump with `yrd import`.")


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
    opened = Home(home)
    with progress_bar(f"Importing {file.name}") as progress:
        done = import_dump(opened, load(profile), file, publisher, day(as_of), tokeniser(opened), max_closures, progress)
    if as_json:
        print_json(_import_result(done))
    else:
        _print_import(done)


def _import_result(done: Imported) -> dict[str, Any]:
    counts = {name: value for name, value in vars(done.counts).items() if name != "events_xor"}
    return {
        "publisher": done.publisher,
        "kind": done.profile.kind,
        "source": done.profile.source,
        **counts,
        "rows_flagged": done.flagged,
        "batch_id": done.batch_id,
    }


def _print_import(done: Imported) -> None:
    c = done.counts
    say(f"[bold]{done.profile.name}[/bold] for publisher {done.publisher} ({done.profile.kind}, source {done.profile.source})")
    say(f"  rows   {c.rows_read:,} read: {c.rows_mapped:,} mapped, {c.rows_rejected:,} rejected, {c.rows_skipped:,} skipped")
    facts = f"{c.facts_new:,} new, {c.facts_changed:,} changed, {c.facts_unchanged:,} unchanged, {c.facts_duplicate:,} duplicate"
    say(f"  facts  {facts}, {c.facts_rejected:,} rejected; {done.flagged:,} with a doubt; {c.closed:,} closed")
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
    opened = Home(home)
    found = rejections.kept(opened.folder / "rejections" / f"{opened.member(publisher)}.sqlite", limit)
    if as_json:
        print_json(found)
        return
    print_table(
        "", ("file", "line", "column", "value", "reason"), [(r.file_name, r.line, r.column, r.value, r.reason) for r in found]
    )
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
    opened = Home(home)
    with opened.lock(f"publisher-{opened.member(publisher)}", "a heartbeat"), opened.store(publisher) as store:
        batch, now = batches.next_batch(store, source), datetime.now(UTC)
        details = {"expected_every_days": every, "started_at": now, "finished_at": now}
        with store.bulk() as append:
            append([batches.batch_row(store, batch, source, batches.HEARTBEAT, now.date(), now, details)])
    if as_json:
        print_json({"publisher": publisher, "source": source, "batch_id": batch.id})
    else:
        say(f"{source} of publisher {publisher} is alive and has nothing new.")


def report(
    kind: Annotated[str, typer.Argument(help="service_object, supply or standard.")],
    publisher: PublisherOption,
    file: Annotated[Path | None, typer.Argument(help="JSON lines, one fact a line; - or nothing: standard input.")] = None,
    source: SourceOption = "live",
    home: HomeOption = DEFAULT_HOME,
    _json: JsonOption = True,
) -> None:
    """Report facts as they happen: JSON lines in, one JSON result line each out."""
    _check_kind(kind)
    opened = Home(home)
    lines = sys.stdin if file is None or str(file) == "-" else file.open(encoding="utf-8-sig")
    results: Counter[str] = Counter()
    with lines, opened.store(publisher) as store, persons(opened, store) as known:
        for answer in report_lines(known, kind, lines, source, tokeniser(opened)):
            print_json(answer)
            sys.stdout.flush()
            results[answer["result"]] += 1
    if results["refused"]:
        raise typer.Exit(1)


KindOption = Annotated[str, typer.Option("--kind", help="service_object, supply or standard.")]
KeyOption = Annotated[str, typer.Option("--key", help="Business key of the entity.")]
EventOption = Annotated[str | None, typer.Option("--event", help="The event; default: the one that shows.")]
OnOption = Annotated[str | None, typer.Option("--on", help="Day on which the event shows; default: the newest.")]


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
    _put_right(home, publisher, kind, key, event, on, as_json, lambda s, e, w: correct_fact(s, e, w, fields, operator, reason))


def _assignment(given: str) -> tuple[str, object]:
    path, sign, value = given.partition("=")
    if not sign or not (path.removeprefix(PREFIX).isidentifier() or PATH.match(path)):
        raise typer.BadParameter(f'"{given}" is no assignment; write FIELD=VALUE, such as offers[YRD050101].capacity=358.')
    try:
        return path, json.loads(value)
    except json.JSONDecodeError:
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
    _put_right(home, publisher, kind, key, event, on, as_json, lambda s, e, w: retract_fact(s, e, w, operator, reason))


def _put_right(
    home: Path, publisher: str, kind: str, key: str, event: str | None, on: str | None, as_json: bool, work: Any
) -> None:
    _check_kind(kind)
    named, shown_on = _event(event), day(on)
    opened = Home(home)
    with opened.store(publisher) as store, persons(opened, store) as known:
        entity: Entity = known.opened(store.entity(kind, text.normalise(key)))
        if not entity.records:
            raise ValueError(f"Publisher {publisher} has recorded nothing under {key}; check key and kind.")
        events = work(known, entity, named or shown_event(entity, shown_on))
    if as_json:
        print_json(
            {"events": [{"event_id": e["event_id"], "event_type": e["event_type"], "changed": e["changed"]} for e in events]}
        )
    elif events:
        print_table(
            "",
            ("event", "from", "to", "changed"),
            [(e["event_type"], e["valid_from"], e["valid_to"], ", ".join(e["changed"])) for e in events],
        )
    else:
        say("That is what is known already; nothing was recorded.")


def _event(given: str | None) -> UUID | None:
    try:
        return UUID(given) if given else None
    except ValueError as error:
        raise typer.BadParameter(f'"{given}" is no event id; it is a UUID, as queries print it.') from error


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
    _check_kind(kind)
    with file.open(encoding="utf-8-sig", newline="") as lines:
        rows = list(csv.DictReader(lines))
    if not rows or {"old_key", "new_key"} - set(rows[0]):
        raise ValueError(f"{file} needs a header with the columns old_key and new_key, and at least one row.")
    pairs = [(text.normalise(r["old_key"] or ""), text.normalise(r["new_key"] or "")) for r in rows]
    opened = Home(home)
    with opened.store(publisher) as store, persons(opened, store) as known:
        answers = list(link(known, kind, pairs, day(on), source, reason))
    if as_json:
        print_json(answers)
    else:
        print_table(
            "",
            ("old key", "new keys", "result", "why"),
            [
                (a["old_key"], ", ".join(a.get("new_keys", [])), ", ".join(a.get("events", [])) or a["result"], a.get("reason"))
                for a in answers
            ],
        )
    if any(a["result"] == "refused" for a in answers):
        raise typer.Exit(1)


def _check_kind(kind: str) -> None:
    if kind not in RULES:
        raise typer.BadParameter(f'"{kind}" is no kind of fact; use {", ".join(RULES)}.')
