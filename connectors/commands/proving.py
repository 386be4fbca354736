"""Commands of auditors: prove an event, check a proof, check whole logs, prove that a log only grew."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from connectors.commands.deferred import deferred
from connectors.commands.options import (
    DEFAULT_HOME,
    HomeOption,
    JsonOption,
    KeysOption,
    LogOption,
    ProofOption,
    PublisherOption,
    reading_from,
)
from connectors.commands.printing import print_json, print_outcome, say, warn

with deferred():
    from connectors.audit import proving, statements
    from connectors.home import folder, refused
    from connectors.logs import whole_logs
    from repository.keys import secret_files, signing
    from repository.proof import proof as proofs
    from repository.proof import signed_note


def prove(
    event_id: Annotated[str, typer.Argument(help="Identity of the event, as the column event_id has it.")],
    output: ProofOption = Path("proof.json"),
    home: HomeOption = DEFAULT_HOME,
    as_json: JsonOption = False,
) -> None:
    """Write the proof that an event is in the log that its publisher sealed and the hub accepted."""
    write_proof(output, proving.prove(folder.Home(home), event_id), as_json, ", or with docs/verify.py")


def consistency(
    size1: Annotated[int, typer.Argument(help="Number of records under the earlier seal.")],
    size2: Annotated[int, typer.Argument(help="Number of records under the later seal.")],
    publisher: PublisherOption,
    output: ProofOption = Path("consistency.json"),
    home: HomeOption = DEFAULT_HOME,
    as_json: JsonOption = False,
) -> None:
    """Write the proof that what an earlier seal covers is the beginning of what a later one covers."""
    write_proof(output, proving.prove_growth(folder.Home(home), publisher, size1, size2), as_json)


def write_proof(output: Path, text: str, as_json: bool, otherwise: str = "") -> None:
    """Write a proof to its file and say so."""
    output.write_text(text, "utf-8")
    sentence = f"Wrote {output}. Check it with `yrd audit verify {output} --key FILE`{otherwise}."
    print_outcome(as_json, {"proof": output, "bytes": len(text.encode())}, sentence)


def verify(
    proof: Annotated[Path | None, typer.Argument(help="A proof; it is checked without database and network.")] = None,
    key: KeysOption = None,
    everything: Annotated[bool, typer.Option("--all", help="Check the whole logs that the home reads instead.")] = False,
    log: LogOption = None,
    home: HomeOption = DEFAULT_HOME,
    as_json: JsonOption = False,
) -> None:
    """Check a proof, or with --all whole logs from their bytes to the signatures, and say what is proved."""
    if everything == (proof is not None):
        raise typer.BadParameter("Name a proof to check, or --all to check the whole logs that the home reads.")
    if log is not None and not everything:
        raise typer.BadParameter("--log says where whole logs are read; name it with --all.")
    if key is None:
        raise secret_files.KeyMissing("Without a public key nothing is proved; name your own copy of it with --key FILE.")
    keys = signing.read_keys(key)
    if proof is None:
        _verify_all(reading_from(home, log), keys, as_json)
        return
    proved = proofs.check_proof(proof.read_bytes(), keys)
    if as_json:
        print_json(statements.proved_fields(proved))
    else:
        say(statements.proved_words(proved))


def _verify_all(home: folder.Home, keys: list[signed_note.VerifierKey], as_json: bool) -> None:
    found = whole_logs.check_all(home, keys, warn)
    if as_json:
        print_json([statements.log_fields(checked) for checked in found])
    for checked in () if as_json else found:
        for line in statements.finding_words(checked):
            warn(line)
        say(statements.log_words(checked))
    if not found:
        raise refused.Refused("There is no log in this home; nothing was checked.")
    if not all(map(statements.is_proved, found)):
        raise typer.Exit(1)
