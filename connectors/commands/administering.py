"""Commands about what a region rests on: source profiles, contracts, the regional key, settings."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from connectors.commands.deferred import deferred
from connectors.commands.options import DEFAULT_HOME, HomeOption, JsonOption, PublisherOption, ToFileOption, day
from connectors.commands.printing import print_json, print_outcome, print_table, say, talk, warn
from schemas.contracts import NAMES, versions

with deferred():
    from connectors.home import folder, refused, regional_key
    from connectors.home import settings as settings_list
    from connectors.profiles import drafting
    from connectors.profiles import profile as source_profiles
    from connectors.publishing import rehearsal
    from repository.keys import regional
    from repository.registers import identifiers
    from schemas import compatibility, ids

COUNTED = ("rows_read", "rows_mapped", "rows_rejected", "rows_skipped", "facts_rejected")

profiles = typer.Typer(no_args_is_help=True, help="Source profiles: how a dump's layout maps to facts.")
schemas = typer.Typer(no_args_is_help=True, help="Contracts: the Avro schemas of events.")
key = typer.Typer(no_args_is_help=True, help="The regional key, from which pseudonyms of persons are made.")
ProfileArgument = Annotated[str, typer.Argument(help="Bundled profile, or a path.")]


@profiles.command("list")
def profiles_list(as_json: JsonOption = False) -> None:
    """List the bundled profiles."""
    rows = [(p.name, p.kind, p.completeness, p.description) for p in source_profiles.bundled()]
    if as_json:
        print_json([dict(zip(("name", "kind", "completeness", "description"), row, strict=True)) for row in rows])
    else:
        print_table("", ("profile", "kind", "list", "description"), rows)


@profiles.command("show")
def profiles_show(profile: ProfileArgument) -> None:
    """Print a profile's text, to copy and change."""
    sys.stdout.write(source_profiles.load(profile).path.read_text("utf-8"))


@profiles.command("check")
def profiles_check(
    profile: ProfileArgument,
    file: Annotated[Path, typer.Argument(help="A dump to try it on.")],
    publisher: PublisherOption = "33",
    as_of: Annotated[str | None, typer.Option("--as-of", help="Day that the dump describes.")] = None,
    as_json: JsonOption = False,
) -> None:
    """Show what a profile makes of a dump, and every row that an import would reject; nothing is recorded."""
    found = rehearsal.rehearse(source_profiles.load(profile), file, publisher, day(as_of), _demonstration_token)
    rejections = [{"line": r.line, "column": r.column, "value": r.value, "reason": r.reason} for r in found.rejected]
    totals = {name: getattr(found.counts, name) for name in COUNTED} | {"facts": found.facts}
    if as_json:
        duplicates = found.counts.facts_duplicate
        print_json({**totals, "facts_duplicate": duplicates, "preview": found.first, "rejections": rejections})
        return
    print_table("Counts", list(totals), [list(totals.values())])
    for number, fact in enumerate(found.first, 1):
        said = [(name, value) for name, value in fact.items() if value not in (None, []) and name != "record"]
        print_table(f"Fact {number}", ("field", "value"), said)
    if rejections:
        print_table("Rejections", ("line", "column", "value", "reason"), [list(r.values()) for r in rejections])


def _demonstration_token(id_type: str, number: str) -> str:
    """The token under the published key: a rehearsal needs no other."""
    known = identifiers.identity(id_type, number, synthetic=True)
    return regional.token(regional.DEMO_KEY, known.id_type, known.number)


@profiles.command("draft")
def profiles_draft(
    file: Annotated[Path, typer.Argument(help="A dump of the new layout.")],
    output: ToFileOption = None,
) -> None:
    """Write a first profile from a dump, with notes on what to check."""
    made = drafting.draft(file)
    if output is None:
        sys.stdout.write(made)
    else:
        _write_new(output, made)
        talk.print(f"Look through {output}, then try it: yrd profiles check {output} {file}")


def _write_new(file: Path, content: str) -> None:
    if file.exists():
        raise refused.Refused(f"{file} exists already; name another file.")
    file.write_text(content, "utf-8")


@schemas.command("check")
def schemas_check(as_json: JsonOption = False) -> None:
    """Check every contract against every earlier version and against what may not be in it."""
    found = [*map(str, compatibility.problems()), *ids.unlocked()]
    if as_json:
        print_json({"problems": found})
    else:
        for each in found:
            warn(each)
        say(f"{len(NAMES)} schemas, {sum(len(versions(name)) for name in NAMES)} versions: {len(found) or 'no'} problems.")
    if found:
        raise typer.Exit(1)


@schemas.command("lock")
def schemas_lock(as_json: JsonOption = False) -> None:
    """Number new versions of the contracts, for topics without a schema registry; numbers given before are kept."""
    found = compatibility.problems()
    if found:
        raise refused.Refused(f"{found[0]} What may not be published gets no number.")
    new = ids.lock()
    told = "".join(f"{line.kind} version {line.version} is number {line.id}.\n" for line in new)
    print_outcome(as_json, new, told or "Nothing new to number.")


@key.command("create")
def key_create(home: HomeOption = DEFAULT_HOME, as_json: JsonOption = False) -> None:
    """Make the regional key, once for the region; it is never printed."""
    made = regional.create(regional_key.key_file(folder.Home(home)))
    told = f"Made key {made.key_id}. Hand it to the other publishers with `yrd key export` and `yrd key import`."
    print_outcome(as_json, {"key_id": made.key_id}, told)


PassphraseOption = Annotated[
    str, typer.Option("--passphrase", envvar="YRD_PASSPHRASE", prompt=True, hide_input=True, help="Wraps the key.")
]


@key.command("export")
def key_export(
    file: Annotated[Path, typer.Argument(help="File to write.")],
    passphrase: PassphraseOption,
    home: HomeOption = DEFAULT_HOME,
    as_json: JsonOption = False,
) -> None:
    """Write the key, wrapped under a passphrase, for another publisher."""
    _write_new(file, regional.export(regional_key.key_file(folder.Home(home)), passphrase))
    print_outcome(as_json, {"file": file}, f"Wrote {file}; send the passphrase another way.")


@key.command("import")
def key_import(
    file: Annotated[Path, typer.Argument(help="A wrapped key.")],
    passphrase: PassphraseOption,
    home: HomeOption = DEFAULT_HOME,
    as_json: JsonOption = False,
) -> None:
    """Take over the regional key from another publisher."""
    made = regional.import_(file.read_text("utf-8"), passphrase, regional_key.key_file(folder.Home(home)))
    print_outcome(as_json, {"key_id": made.key_id}, f"Took over key {made.key_id}.")


def settings(home: HomeOption = DEFAULT_HOME, as_json: JsonOption = False) -> None:
    """List all settings with value, default and meaning."""
    current = folder.Home(home).settings if (home / "yrd.toml").exists() else settings_list.Settings()
    rows = [(name, getattr(current, name), each.default, each.meaning) for name, each in settings_list.SETTINGS.items()]
    if as_json:
        print_json({name: value for name, value, *_ in rows})
    else:
        print_table("", ("setting", "value", "default", "meaning"), [(n, _listed(v), _listed(d), m) for n, v, d, m in rows])
        say(
            "poll_interval_ms is read from YRD_POLL_INTERVAL_MS, else from the home's yrd.toml, else holds its default; "
            "so are all."
        )


def _listed(value: object) -> object:
    return ",".join(value) if isinstance(value, tuple) else str(value)
