"""The group `yrd audit`."""

import typer

from connectors.commands import proving

audit = typer.Typer(no_args_is_help=True, help="What auditors ask: history, proof, whole logs.")
audit.command("prove")(proving.prove)
audit.command("verify")(proving.verify)
audit.command("consistency")(proving.consistency)
