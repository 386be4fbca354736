"""Commands about what a region rests on: source profiles, contracts, the regional key, settings."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from connectors.commands.options import DEFAULT_HOME, HomeOption, JsonOption, PublisherOption, day
from connectors.commands.printing import print_json, print_table, say, talk
from connectors.home import regional_key
from connectors.home.folder import Home
from connectors.home.settings import SETTINGS, Settings
from connectors.profiles.drafting import draft
from connectors.profiles.profile import bundled, load
from connectors.publishing.rehearsal import rehearse
from repository.keys import regional
from repository.registers.identifiers import identity
from schemas import ids
from schemas.compatibility import problems
from schemas.contracts import NAMES, versions

profiles = typer.Typer(no_args_is_help=True, help="Source profiles: how a dump's layout maps to facts.")
schemas = typer.Typer(no_args_is_help=True, help="Contracts: the Avro schemas of events.")
key = typer.Typer(no_args_is_help=True, help="The regional key, from which pseudonyms of persons are made.")


@profiles.command("list")
def profiles_list(as_json: JsonOption = False) -> None:
    """List the bundled profiles."""
    rows = [(p.name, p.kind, p.completeness, p.description) for p in bundled()]
    if as_json:
        print_json([dict(zip(("name", "kind", "completeness", "description"), row, strict=True)) for row in rows])
    else:
        print_table("", ("profile", "kind", "list", "description"), rows)


@profiles.command("show")
def profiles_show(profile: Annotated[str, typer.Argument(help="Bundled profile, or a path.")]) -> None:
    """Print a profile's text, to copy and change."""
    sys.stdout.write(load(profile).path.read_text("utf-8"))


@profiles.command("check")
def profiles_check(
    profile: Annotated[str, typer.Argument(help="Bundled profile, or a path.")],
    file: Annotated[Path, typer.Argument(help="A dump to try it on.")],
    publisher: PublisherOption = "33",
    as_of: Annotated[str | None, typer.Option("--as-of", help="Day that the dump describes.")] = None,
    as_json: JsonOption = False,
) -> None:
    """Show what a profile makes of a dump, and every row that an import would reject; nothing is recorded."""
    trial = rehearse(load(profile), file, publisher, day(as_of), _demonstration_tokeniser)
    counted = ("rows_read", "rows_mapped", "rows_rejected", "rows_skipped", "facts_rejected")
    totals = {name: getattr(trial.counts, name) for name in counted} | {"facts": trial.facts}
    listed = [{"line": r.line, "column": r.column, "value": r.value, "reason": r.reason} for r in trial.rejected]
    if as_json:
        print_json({**totals, "facts_duplicate": trial.counts.facts_duplicate, "preview": trial.first, "rejections": listed})
        return
    print_table("Counts", list(totals), [list(totals.values())])
    for number, fact in enumerate(trial.first, 1):
        said = [(name, value) for name, value in fact.items() if value not in (None, []) and name != "record"]
        print_table(f"Fact {number}", ("field", "value"), said)
    if listed:
        print_table("Rejections", ("line", "column", "value", "reason"), [list(r.values()) for r in listed])


def _demonstration_tokeniser(id_type: str, number: str) -> str:
    known = identity(id_type, number, synthetic=True)
    return regional.token(regional.DEMO_KEY, known.id_type, known.number)


@profiles.command("draft")
def profiles_draft(
    file: Annotated[Path, typer.Argument(help="A dump of the new layout.")],
    output: Annotated[Path | None, typer.Option("--output", help="File to write; default: standard output.")] = None,
) -> None:
    """Write a first profile from a dump, with notes on what to check."""
    made = draft(file)
    if output is None:
        sys.stdout.write(made)
    elif output.exists():
        raise ValueError(f"{output} exists already; name another file.")
    else:
        output.write_text(made, "utf-8")
        talk.print(f"Look through {output}, then try it: yrd profiles check {output} {file}")


@schemas.command("check")
def schemas_check(as_json: JsonOption = False) -> None:
    """Check every contract against every earlier version and against what may not be in it."""
    found = [*map(str, problems()), *ids.unlocked()]
    if as_json:
        print_json({"problems": found})
    else:
        for each in found:
            talk.print(each, markup=False)
        say(f"{len(NAMES)} schemas, {sum(len(versions(name)) for name in NAMES)} versions: {len(found) or 'no'} problems.")
    if found:
        raise typer.Exit(1)


@schemas.command("lock")
def schemas_lock(as_json: JsonOption = False) -> None:
    """Number new versions of the contracts, for topics without a schema registry; numbers given before are kept."""
    found = problems()
    if found:
        raise ValueError(f"{found[0]} What may not be published gets no number.")
    new = ids.lock()
    if as_json:
        print_json(new)
    else:
        say("".join(f"{line.kind} version {line.version} is number {line.id}.\n" for line in new) or "Nothing new to number.")


@key.command("create")
def key_create(home: HomeOption = DEFAULT_HOME, as_json: JsonOption = False) -> None:
    """Make the regional key, once for the region; it is never printed."""
    made = regional.create(regional_key.key_file(Home(home)))
    told = f"Made key {made.key_id}. Hand it to the other publishers with `yrd key export` and `yrd key import`."
    _tell(as_json, told, key_id=made.key_id)


def _tell(as_json: bool, sentence: str, **fields: object) -> None:
    if as_json:
        print_json(fields)
    else:
        say(sentence)


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
    if file.exists():
        raise ValueError(f"{file} exists already; name another file.")
    file.write_text(regional.export(regional_key.key_file(Home(home)), passphrase), "utf-8")
    _tell(as_json, f"Wrote {file}; send the passphrase another way.", file=file)


@key.command("import")
def key_import(
    file: Annotated[Path, typer.Argument(help="A wrapped key.")],
    passphrase: PassphraseOption,
    home: HomeOption = DEFAULT_HOME,
    as_json: JsonOption = False,
) -> None:
    """Take over the regional key from another publisher."""
    made = regional.import_(file.read_text("utf-8"), passphrase, regional_key.key_file(Home(home)))
    _tell(as_json, f"Took over key {made.key_id}.", key_id=made.key_id)


def settings(home: HomeOption = DEFAULT_HOME, as_json: JsonOption = False) -> None:
    """List all settings with value, default and meaning."""
    current = Home(home).settings if (home / "yrd.toml").exists() else Settings()
    rows = [(name, getattr(current, name), each.default, each.meaning) for name, each in SETTINGS.items()]
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
