"""Commands of auditors about the past: history, asof, said, diff, rebuild. docs/audit.md says which question is which."""

from datetime import UTC, datetime, timedelta, timezone
from itertools import groupby
from pathlib import Path
from typing import Annotated

import pyarrow as pa
import typer
from rich.markup import escape

from connectors.audit import replays
from connectors.commands.options import DEFAULT_HOME, HomeOption, JsonOption, PurposeOption, day
from connectors.commands.printing import print_json, print_result, print_table, progress_bar, say, talk
from connectors.home.folder import Home

CHINA = timezone(timedelta(hours=8))
"""Asia/Shanghai, which has had no summer time since 1991; a moment without a zone is read in it."""
IntoOption = Annotated[
    Path | None, typer.Option("--into", help="New file to write: .duckdb or .db, else a folder of Parquet files.")
]
MOMENT = "such as 2026-06-30T12:00 (Shanghai) or with a zone"
DIFFERENCES = (
    {name: pa.string() for name in ("kind", "publisher", "business_key", "change", "field", "before", "after")}
    | {"valid_from": pa.date32(), "valid_to": pa.date32()}
    | {name: pa.string() for name in ("entity_id", "event_before", "event_after")}
)


def moment(text: str) -> str:
    """A moment that was typed, as ISO 8601 in UTC. Raises a usage error."""
    try:
        given = datetime.fromisoformat(text)
    except ValueError as error:
        raise typer.BadParameter(f'"{text}" is no moment; write it {MOMENT}.') from error
    return (given if given.tzinfo else given.replace(tzinfo=CHINA)).astimezone(UTC).isoformat()


def valid_day(text: str | None) -> str | None:
    """A day that was typed, as ISO 8601. Raises a usage error."""
    given = day(text)
    return None if given is None else given.isoformat()


def history(
    entity: Annotated[str, typer.Argument(help="Business key, former key, or identity of the entity.")],
    publisher: Annotated[str | None, typer.Option("--publisher", help="Only this publisher's.")] = None,
    kind: Annotated[str | None, typer.Option("--kind", help="Only service_object, supply or standard.")] = None,
    purpose: PurposeOption = None,
    home: HomeOption = DEFAULT_HOME,
    as_json: JsonOption = False,
) -> None:
    """Show every event of an entity, field by field: old, new, on whose word, and what is proved of it."""
    rows = replays.history(Home(home), entity, publisher, kind, purpose)
    if as_json:
        print_json(rows)
        return
    if not rows:
        raise ValueError(f"Nothing is known under {entity}; check key, publisher and kind.")
    for (version, event), fields in groupby(rows, lambda r: (r["version"], r["event_id"])):
        _print_event(version, event, list(fields))


def _print_event(version: int, event: object, rows: list[replays.AuditRow]) -> None:
    one = rows[0]
    days = f"from {one['valid_from'] or 'the beginning'} to {one['valid_to'] or 'further notice'}"
    say(f"[bold]{one['event_type']}[/bold], version {version} of {one['kind']} {one['publisher']} {escape(one['business_key'])}")
    say(f"  {days}; recorded {one['recorded_at']}, received {one['received_at']}")
    said = [("operator", one["operator"]), ("document", one["doc_no"]), ("reason", one["reason"])]
    said += [("annuls", one["corrects_event_id"]), ("proof", one["proof"])]
    say("  " + "; ".join(f"{name} {escape(str(value))}" for name, value in said if value is not None))
    say(f"  event {event}, entity {one['entity_id']}")
    fields = [(r["field"], r["before"], r["after"]) for r in rows if r["field"] is not None]
    if fields:
        print_table("", ("  field", "before", "after"), [(f"  {name}", before, after) for name, before, after in fields])


def asof(
    valid: Annotated[str, typer.Option("--valid", help="Day in the world that is asked about.")],
    known: Annotated[str, typer.Option("--known", help=f"Moment of knowledge, {MOMENT}.")],
    into: IntoOption = None,
    purpose: PurposeOption = None,
    home: HomeOption = DEFAULT_HOME,
    as_json: JsonOption = False,
) -> None:
    """What the logs held at a moment about a day, by when they had received it."""
    found = replays.asof(Home(home), str(valid_day(valid)), moment(known), into, purpose)
    _tell(found, as_json, f"What the logs held at {moment(known)} about {valid_day(valid)}:", "digest of the answer")
    if found.behind is None:
        talk.print("Whether the logs hold more than the base has applied can't be seen by this account; `yrd status` tells.")
    elif found.behind:
        talk.print(f"{found.behind:,} records of the logs are not in the base yet; `yrd project` applies them.")


def said(
    at: Annotated[str, typer.Argument(metavar="MOMENT", help=f"Moment, {MOMENT}.")],
    into: IntoOption = None,
    purpose: PurposeOption = None,
    home: HomeOption = DEFAULT_HOME,
    as_json: JsonOption = False,
) -> None:
    """What the base showed at a moment: the logs replayed up to where its last commit until then had come."""
    with progress_bar("Replaying") as progress:
        found = replays.said(Home(home), moment(at), into, purpose, lambda number: progress("events", number))
    _tell(found, as_json, f"What the base showed at {moment(at)}, committed at {found.committed_at}:")


def _tell(found: replays.Held, as_json: bool, title: str, digest: str = "content digest") -> None:
    offsets = {f"{topic}/{partition}": offset for (topic, partition), offset in found.offsets.items()}
    if as_json:
        cells = {"rows": found.rows, "digest": found.digest, "offsets": offsets, "committed_at": found.committed_at}
        print_json({**cells, "behind": found.behind, "into": found.into})
        return
    say(title)
    print_table("", list(found.rows), [list(found.rows.values())])
    say(f"{digest}: {found.digest}")
    say("offsets: " + (", ".join(f"{place}={offset}" for place, offset in offsets.items()) or "none"))
    if found.into is not None:
        say(f"Wrote {found.into}.")


def diff(
    first: Annotated[str, typer.Argument(help=f"Earlier moment of knowledge, {MOMENT}.")],
    second: Annotated[str, typer.Argument(help="Later moment of knowledge.")],
    valid: Annotated[str | None, typer.Option("--valid", help="Only what concerns this day in the world.")] = None,
    form: Annotated[str, typer.Option("--format", help="table, csv, json or parquet.")] = "table",
    output: Annotated[Path | None, typer.Option("--output", help="File to write; default: standard output.")] = None,
    purpose: PurposeOption = None,
    home: HomeOption = DEFAULT_HOME,
    as_json: JsonOption = False,
) -> None:
    """What appeared, changed and disappeared between what the logs held at two moments, per entity and field."""
    if moment(first) > moment(second):
        raise typer.BadParameter(f"{first} is later than {second}; give the earlier moment first.")
    rows = replays.difference(Home(home), moment(first), moment(second), valid_day(valid), purpose)
    table = pa.Table.from_pylist(rows, pa.schema(list(DIFFERENCES.items())))
    form = "json" if as_json else form
    # People see the words; the identities are in the forms that programs read.
    print_result(table.select(list(DIFFERENCES)[1:9]) if form == "table" else table, form, output)


def rebuild(
    until: Annotated[
        str | None, typer.Option("--until", help="Moment, or offsets such as yrd.31=120,yrd.32=40; default: where the base is.")
    ] = None,
    compare: Annotated[bool, typer.Option("--compare", help="Compare with the base, table by table.")] = False,
    into: IntoOption = None,
    purpose: PurposeOption = None,
    home: HomeOption = DEFAULT_HOME,
    as_json: JsonOption = False,
) -> None:
    """Replay the logs into a file of its own, and compare with the base; never switches to it, as `yrd rebuild` does."""
    opened = Home(home)
    offsets = replays.offsets_of(until) if until and "=" in until else None
    if offsets is None and (until or not compare):
        offsets = replays.shown_at(opened, moment(until) if until else None, purpose)
    with progress_bar("Replaying") as progress:
        if not compare:
            assert offsets is not None
            _tell(replays.rebuilt(opened, offsets, into, lambda number: progress("events", number)), as_json, "Replayed:")
            return
        found = replays.compared(opened, offsets, into, purpose, lambda number: progress("events", number))
    _tell_compared(found, as_json)
    if not found.same:
        raise typer.Exit(1)


def _tell_compared(found: replays.Comparison, as_json: bool) -> None:
    if as_json:
        digests = {"live_digest": found.live_digest, "replayed_digest": found.replayed_digest}
        offsets = {f"{topic}/{partition}": offset for (topic, partition), offset in found.offsets.items()}
        print_json({"same": found.same, **digests, "offsets": offsets, "tables": found.tables})
        return
    rows = [(t.table, t.live_rows, t.replayed_rows, "differs" if t.difference else "same") for t in found.tables]
    print_table("", ("table", "in the base", "replayed", ""), rows)
    say(f"digest of the base: {found.live_digest}\nreplayed digest:    {found.replayed_digest}")
    first = next((t.difference for t in found.tables if t.difference), None)
    if first is None:
        say("The base is what the logs add up to.")
        return
    key = ", ".join(f"{name} {value}" for name, value in first.key.items())
    where = f"{first.table}: {key}" + (f", {first.column}" if first.column else "")
    say(
        f"First difference in {where}: in the base {first.live!r}, replayed {first.replayed!r}.",
    )
