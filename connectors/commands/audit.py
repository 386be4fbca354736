"""The group `yrd audit`."""

import typer

from connectors.commands import auditing, proving

audit = typer.Typer(no_args_is_help=True, help="Replay history, ask what was known when, prove events, check whole logs.")
for name, command in (
    ("history", auditing.history),
    ("asof", auditing.asof),
    ("said", auditing.said),
    ("diff", auditing.diff),
    ("rebuild", auditing.rebuild),
    ("prove", proving.prove),
    ("verify", proving.verify),
    ("consistency", proving.consistency),
):
    audit.command(name)(command)
