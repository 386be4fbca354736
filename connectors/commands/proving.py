"""Commands of auditors: prove an event, check a proof, check whole logs, prove that a log only grew."""

from datetime import datetime
from pathlib import Path
from typing import Annotated, Any

import typer

from connectors.audit import proving
from connectors.commands.options import DEFAULT_HOME, HomeOption, JsonOption, LogOption, PublisherOption, reading_from
from connectors.commands.printing import print_json, say, talk
from connectors.home.folder import Home
from connectors.logs import whole_logs
from repository.events.identity import LOG
from repository.keys.secret_files import KeyMissing
from repository.keys.signing import read_keys
from repository.proof.proof import ProvedEvent, ProvedGrowth, Witnessed, check_proof
from repository.proof.signed_note import VerifierKey
from repository.proof.whole_log import Checked

OutputOption = Annotated[Path, typer.Option("--output", "-o", help="File to write the proof to.")]
KeyOption = Annotated[Path | None, typer.Option("--key", help="Your own copy of the public keys, one verifier key a line.")]


def prove(
    event_id: Annotated[str, typer.Argument(help="Identity of the event, as the column event_id has it.")],
    output: OutputOption = Path("proof.json"),
    home: HomeOption = DEFAULT_HOME,
    as_json: JsonOption = False,
) -> None:
    """Write the proof that an event is in the log that its publisher sealed and the hub accepted."""
    write_proof(output, proving.prove(Home(home), event_id), as_json, ", or with docs/verify.py")


def consistency(
    size1: Annotated[int, typer.Argument(help="Number of records under the earlier seal.")],
    size2: Annotated[int, typer.Argument(help="Number of records under the later seal.")],
    publisher: PublisherOption,
    output: OutputOption = Path("consistency.json"),
    home: HomeOption = DEFAULT_HOME,
    as_json: JsonOption = False,
) -> None:
    """Write the proof that what an earlier seal covers is the beginning of what a later one covers."""
    write_proof(output, proving.prove_growth(Home(home), publisher, size1, size2), as_json)


def write_proof(output: Path, text: str, as_json: bool, otherwise: str = "") -> None:
    """Write a proof to its file and say so."""
    output.write_text(text, "utf-8")
    if as_json:
        print_json({"proof": output, "bytes": len(text.encode())})
    else:
        say(f"Wrote {output}. Check it with `yrd audit verify {output} --key FILE`{otherwise}.")


def verify(
    proof: Annotated[Path | None, typer.Argument(help="A proof; it is checked without database and network.")] = None,
    key: KeyOption = None,
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
        raise KeyMissing("Without a public key nothing is proved; name your own copy of it with --key FILE.")
    keys = read_keys(key)
    if proof is None:
        _verify_all(reading_from(home, log), keys, as_json)
    else:
        _say_proved(check_proof(proof.read_bytes(), keys), as_json)


# -- in words ------------------------------------------------------------------------------------------------------


def _say_proved(proved: ProvedEvent | ProvedGrowth, as_json: bool) -> None:
    if as_json:
        print_json(_event_fields(proved) if isinstance(proved, ProvedEvent) else _growth_fields(proved))
        return
    if isinstance(proved, ProvedEvent):
        say(_event_words(proved))
        return
    a, b = proved.first.seal, proved.second.seal
    say(
        f"Proved: {_log(a.publisher)} with {a.size:,} records, sealed at {_time(a.sealed_at)}, is the "
        f"beginning of its log with {b.size:,} records, sealed at {_time(b.sealed_at)}: of those records none was changed, taken "
        f"out or put in."
    )
    say(_signed_words(proved.first))
    say(_signed_words(proved.second))


def _event_words(proved: ProvedEvent) -> str:
    seal = proved.witnessed.seal
    return (
        f"Proved: event {proved.event_id}, {_what(proved)}, is record {proved.index + 1:,} of the {seal.size:,} in "
        f"{_log(seal.publisher)} that seal {seal.number} of {_time(seal.sealed_at)} covers, byte for byte.\n"
        f"{_signed_words(proved.witnessed)}"
    )


def _log(code: str) -> str:
    return "the access log" if code == LOG else f"the log of publisher {code}"


def _what(proved: ProvedEvent) -> str:
    record = proved.record
    if record is None:
        return f"a record of {proved.kind}, a schema that this release does not know"
    recorded = _time(record["recorded_at"])
    return f"{record['event_type']} of {record['business_key']} (version {record['version']}, recorded at {recorded})"


def _signed_words(witnessed: Witnessed) -> str:
    seal = witnessed.seal
    words = f"Seal {seal.number} is signed with the key {witnessed.signed_by} ({seal.algorithm}, Ed25519)."
    if witnessed.countersigned_at is not None:
        words += f" {witnessed.countersigned_by} saw the whole log agree with it at {_time(witnessed.countersigned_at)}."
    if witnessed.unchecked:
        words += f" Not checked, for want of their keys: the signatures of {', '.join(witnessed.unchecked)}."
    return words


def _event_fields(proved: ProvedEvent) -> dict[str, Any]:
    return {
        "proved": "inclusion",
        "event_id": proved.event_id,
        "kind": proved.kind,
        "event": proved.record,
        "leaf_index": proved.index,
        "seal": _seal_fields(proved.witnessed),
    }


def _growth_fields(proved: ProvedGrowth) -> dict[str, Any]:
    return {"proved": "consistency", "first_seal": _seal_fields(proved.first), "second_seal": _seal_fields(proved.second)}


def _seal_fields(witnessed: Witnessed) -> dict[str, Any]:
    seal = witnessed.seal
    return {
        "publisher": seal.publisher,
        "number": seal.number,
        "tree_size": seal.size,
        "root": seal.root.hex(),
        "sealed_at": seal.sealed_at,
        "signed_by": witnessed.signed_by,
        "countersigned_by": witnessed.countersigned_by,
        "countersigned_at": witnessed.countersigned_at,
        "unchecked": witnessed.unchecked,
    }


def _time(moment: datetime) -> str:
    return f"{moment:%Y-%m-%d %H:%M:%S} UTC"


def _verify_all(home: Home, keys: list[VerifierKey], as_json: bool) -> None:
    found = whole_logs.check_all(home, keys, lambda sentence: talk.print(sentence, markup=False, soft_wrap=True))
    if as_json:
        print_json([_log_fields(checked) for checked in found])
    else:
        for checked in found:
            _say_log(checked)
    if not found:
        raise ValueError("There is no log in this home; nothing was checked.")
    if any(checked.findings or (checked.records and not checked.seals) for checked in found):
        raise typer.Exit(1)


def _say_log(checked: Checked) -> None:
    for number, finding in checked.findings:
        talk.print(f"{checked.publisher}: {finding.verdict}: {_at(number)}{finding.reason}", markup=False, soft_wrap=True)
        if finding.expected or finding.found:
            talk.print(f"  expected {finding.expected}; found {finding.found}", markup=False, soft_wrap=True)
    if not checked.records:
        say(f"{checked.publisher}: the log is empty.")
    elif checked.proved is None:
        say(f"{checked.publisher}: of {checked.records:,} records nothing is proved; no seal holds.")
    else:
        say(
            f"{checked.publisher}: the first {checked.proved_size:,} records, up to position {checked.proved_position:,}, are "
            f"those that seal {checked.proved.number} of {_time(checked.proved.sealed_at)} signs; {checked.unsealed:,} behind it "
            f"{'is' if checked.unsealed == 1 else 'are'} not proved by it."
        )


def _at(number: int | None) -> str:
    return "" if number is None else f"seal {number}: "


def _log_fields(checked: Checked) -> dict[str, Any]:
    return {
        "publisher": checked.publisher,
        "records": checked.records,
        "seals": checked.seals,
        "proved_size": checked.proved_size,
        "proved_position": checked.proved_position,
        "findings": [{"seal": number, "finding": finding} for number, finding in checked.findings],
    }
