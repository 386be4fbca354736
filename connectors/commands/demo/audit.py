"""The demonstration's last minute belongs to an auditor, who needs a file, two public keys, and nobody's word."""

import json
import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from connectors.audit import replays
from connectors.audit.proving import prove
from connectors.commands.printing import out, print_table
from connectors.home.folder import Home
from connectors.home.regional_key import tokeniser
from connectors.hub import hub
from connectors.persons.subject_rights import take_measure
from connectors.proof import sealing
from repository.controls.subject_measure import ERASURE
from repository.proof.proof import proof_text

VERIFIER = Path(__file__).resolve().parents[3] / "docs" / "verify.py"
"""A third party's own program; it shares no code with the system."""
RESIDENT = "citizen_number", "319999199003070016"
"""An invented person, of a division that does not exist."""
EVENTS_OF = "SELECT event_id::VARCHAR FROM {kind}_history WHERE business_key = ? ORDER BY version DESC LIMIT 1"
ENROLLED = """
SELECT count(*) AS enrolments, count(subject_token) AS "with a pseudonym"
FROM enrolments WHERE publisher = '31'
"""

Project = Callable[[Home], Any]


def auditors_minute(home: Home, corrected: str, project: Project) -> None:
    """Prove the correction of the home `corrected` and a resident's enrolment; tamper with a proof; erase the resident."""
    seal_logs(home, ("33", "31"))
    project(home)
    _history(home, corrected)
    decision = _proof(home, "decision", EVENTS_OF.format(kind="supply"), corrected)
    out.print(_checked(home, decision), soft_wrap=True)
    out.print(f"One byte of it altered by a forger: {_checked(home, _altered(decision))}", soft_wrap=True)
    _erasure(home, project)


def seal_logs(home: Home, publishers: tuple[str, ...]) -> None:
    """Give publishers and the hub signing keys, and have the publishers sign what their logs hold."""
    for who in (*publishers, "hub"):
        sealing.create_key(home, who)
    for code in publishers:
        with home.lock(f"publisher-{code}", "sealing"), home.store(code) as store:
            key = sealing.signer(home, code)
            assert key is not None
            sealing.seal_now(home, store, key, datetime.now(UTC))


def _history(home: Home, corrected: str) -> None:
    rows = {row["version"]: row for row in replays.history(home, corrected, "33")}
    shown = [(row["event_type"], row["operator"], row["reason"], row["proof"]) for row in rows.values()]
    print_table("", ("event", "operator", "reason", "proof"), shown)


def _proof(home: Home, name: str, sql: str, key: str) -> Path:
    """Write the proof of the newest event of a key."""
    (event,) = hub.read(home, sql, [key]).column(0).to_pylist()
    return _written(home, name, prove(home, str(event)))


def _written(home: Home, name: str, text: str) -> Path:
    folder = home.folder / "audit"
    folder.mkdir(exist_ok=True)
    path = folder / f"{name}.json"
    path.write_text(text, "utf-8")
    keys = [sealing.public_key_file(home, who).read_text("utf-8") for who in ("31", "33", "hub")]
    (folder / "keys").write_text("".join(keys), "utf-8")
    return path


def _checked(home: Home, proof: Path) -> str:
    """What the third party's program says of a proof, without its moments, which differ from run to run."""
    command = [sys.executable, str(VERIFIER), str(proof), str(home.folder / "audit" / "keys")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return (done.stdout or done.stderr).strip().partition(", sealed ")[0].rstrip(".") + "."


def _altered(proof: Path) -> Path:
    """A copy of the proof with one letter of the event's bytes changed, and the file's checksum made to fit: a forger's work."""
    content = json.loads(proof.read_text("utf-8"))
    event, form = content["event"], content.pop("format")
    del content["sha256"]
    at = len(event) // 2
    content["event"] = event[:at] + ("A" if event[at] != "A" else "B") + event[at + 1 :]
    path = proof.with_name("tampered.json")
    path.write_text(proof_text(form, content), "utf-8")
    return path


def _erasure(home: Home, project: Project) -> None:
    """Erase a resident, and show that nothing but the person is gone."""
    tokens = tokeniser(home)
    assert tokens is not None
    token = tokens(*RESIDENT)
    proof = _proof(home, "resident", EVENTS_OF.format(kind="service_object"), token)
    before = project(home)["digest"], _counted(home)
    said = {"reason": "the person asked for it", "basis": "PIPL art. 47", "operator": "31 data protection desk"}
    take_measure(home, "31", token, ERASURE, True, said, tokens)
    after = project(home)["digest"], _counted(home)
    out.print("\n[bold]And a resident of Shanghai asks to be forgotten: what is left?[/bold]")
    print_table("", ("", "enrolments", "with a pseudonym"), [("before", *before[1]), ("after", *after[1])])
    same = "the same" if before[0] == after[0] else "ANOTHER"
    out.print(f"The key is destroyed, the totals stay, the content digest is {same}; the log still proves what it held:")
    out.print(_checked(home, proof), soft_wrap=True)


def _counted(home: Home) -> tuple[int, int]:
    (row,) = hub.read(home, ENROLLED).to_pylist()
    return row["enrolments"], row["with a pseudonym"]
