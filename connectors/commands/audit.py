"""The group `yrd audit`."""

import typer

from connectors.commands import auditing

audit = typer.Typer(no_args_is_help=True, help="Replay history, ask what was known when, compare the base with its logs.")
for name, command in (
    ("history", auditing.history),
    ("asof", auditing.asof),
    ("said", auditing.said),
    ("diff", auditing.diff),
    ("rebuild", auditing.rebuild),
):
    audit.command(name)(command)
