"""Commands of auditors about the past: history, asof, said, diff, rebuild. docs/audit.md says which question is which."""

from __future__ import annotations

from itertools import groupby
from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape

from connectors.commands.deferred import deferred
from connectors.commands.options import (
    DEFAULT_HOME,
    KINDS,
    MOMENT,
    FormatOption,
    HomeOption,
    JsonOption,
    PurposeOption,
    ToFileOption,
    day,
    moment,
)
from connectors.commands.printing import print_json, print_table, progress_bar, say, talk

with deferred():
    from connectors.audit import replays
    from connectors.commands import printed_results
    from connectors.home import folder, refused

IntoOption = Annotated[
    Path | None, typer.Option("--into", help="New file to write: .duckdb or .db, else a folder of Parquet files.")
]


def valid_day(text: str | None) -> str | None:
    """A day that was typed, as ISO 8601. Raises a usage error."""
    given = day(text)
    return None if given is None else given.isoformat()


def history(
    entity: Annotated[str, typer.Argument(help="Business key, former key, or identity of the entity.")],
    publisher: Annotated[str | None, typer.Option("--publisher", help="Only this publisher's.")] = None,
    kind: Annotated[str | None, typer.Option("--kind", help=f"Only {KINDS}.")] = None,
    purpose: PurposeOption = None,
    home: HomeOption = DEFAULT_HOME,
    as_json: JsonOption = False,
) -> None:
    """Show every event of an entity, field by field: old, new, on whose word, and what is proved of it."""
    rows = replays.history(folder.Home(home), entity, publisher, kind, purpose)
    if as_json:
        print_json(rows)
        return
    if not rows:
        raise refused.Refused(f"Nothing is known under {entity}; check key, publisher and kind.")
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
    found = replays.asof(folder.Home(home), str(valid_day(valid)), moment(known), into, purpose)
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
        found = replays.said(folder.Home(home), moment(at), into, purpose, lambda number: progress("events", number))
    _tell(found, as_json, f"What the base showed at {moment(at)}, committed at {found.committed_at}:")


def _tell(found: replays.Held, as_json: bool, title: str, digest: str = "content digest") -> None:
    offsets = _offsets(found.offsets)
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


def _offsets(offsets: replays.Offsets) -> dict[str, int]:
    return {f"{topic}/{partition}": offset for (topic, partition), offset in offsets.items()}


def diff(
    first: Annotated[str, typer.Argument(help=f"Earlier moment of knowledge, {MOMENT}.")],
    second: Annotated[str, typer.Argument(help="Later moment of knowledge.")],
    valid: Annotated[str | None, typer.Option("--valid", help="Only what concerns this day in the world.")] = None,
    form: FormatOption = "table",
    output: ToFileOption = None,
    purpose: PurposeOption = None,
    home: HomeOption = DEFAULT_HOME,
    as_json: JsonOption = False,
) -> None:
    """What appeared, changed and disappeared between what the logs held at two moments, per entity and field."""
    if moment(first) > moment(second):
        raise typer.BadParameter(f"{first} is later than {second}; give the earlier moment first.")
    rows = replays.difference(folder.Home(home), moment(first), moment(second), valid_day(valid), purpose)
    printed_results.print_differences(rows, "json" if as_json else form, output)


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
    opened = folder.Home(home)
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
        print_json({"same": found.same, **digests, "offsets": _offsets(found.offsets), "tables": found.tables})
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
    say(f"First difference in {where}: in the base {first.live!r}, replayed {first.replayed!r}.")
