"""What a seal, and a check of proofs and whole logs, says: as fields for programs, in sentences for people."""

from collections.abc import Iterator
from datetime import datetime
from typing import Any

from repository.events.identity import LOG
from repository.proof.proof import ProvedEvent, ProvedGrowth, Witnessed
from repository.proof.seal import Seal
from repository.proof.whole_log import Checked

# -- of a proof ----------------------------------------------------------------------------------------------------


def proved_fields(proved: ProvedEvent | ProvedGrowth) -> dict[str, Any]:
    """What a proof proves, and of which seals."""
    if isinstance(proved, ProvedGrowth):
        return {"proved": "consistency", "first_seal": _seal_fields(proved.first), "second_seal": _seal_fields(proved.second)}
    return {
        "proved": "inclusion",
        "event_id": proved.event_id,
        "kind": proved.kind,
        "event": proved.record,
        "leaf_index": proved.index,
        "seal": _seal_fields(proved.witnessed),
    }


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


def proved_words(proved: ProvedEvent | ProvedGrowth) -> str:
    """The same in lines for people."""
    if isinstance(proved, ProvedEvent):
        seal = proved.witnessed.seal
        return (
            f"Proved: event {proved.event_id}, {_what(proved)}, is record {proved.index + 1:,} of the {seal.size:,} in "
            f"{_log(seal.publisher)} that seal {seal.number} of {_time(seal.sealed_at)} covers, byte for byte.\n"
            f"{_signed_words(proved.witnessed)}"
        )
    a, b = proved.first.seal, proved.second.seal
    return (
        f"Proved: {_log(a.publisher)} with {a.size:,} records, sealed at {_time(a.sealed_at)}, is the "
        f"beginning of its log with {b.size:,} records, sealed at {_time(b.sealed_at)}: of those records none was changed, taken "
        f"out or put in.\n{_signed_words(proved.first)}\n{_signed_words(proved.second)}"
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


def _time(moment: datetime) -> str:
    return f"{moment:%Y-%m-%d %H:%M:%S} UTC"


def sealed_fields(seal: Seal) -> dict[str, Any]:
    """What a seal covers."""
    return {
        "publisher": seal.publisher,
        "seal": seal.number,
        "tree_size": seal.size,
        "last_position": seal.last_position,
        "root": seal.root.hex(),
        "hash_algorithm": seal.algorithm,
        "leaves": dict(seal.counts),
        "sealed_at": seal.sealed_at,
    }


# -- of a whole log ------------------------------------------------------------------------------------------------


def log_fields(checked: Checked) -> dict[str, Any]:
    """How much of a log its seals prove, and what was found wrong."""
    return {
        "publisher": checked.publisher,
        "records": checked.records,
        "seals": checked.seals,
        "proved_size": checked.proved_size,
        "proved_position": checked.proved_position,
        "findings": [{"seal": number, "finding": finding} for number, finding in checked.findings],
    }


def finding_words(checked: Checked) -> Iterator[str]:
    """What was found wrong with a log, a line each."""
    for number, finding in checked.findings:
        at = "" if number is None else f"seal {number}: "
        yield f"{checked.publisher}: {finding.verdict}: {at}{finding.reason}"
        if finding.expected or finding.found:
            yield f"  expected {finding.expected}; found {finding.found}"


def log_words(checked: Checked) -> str:
    """How much of a log its seals prove, in a sentence."""
    if not checked.records:
        return f"{checked.publisher}: the log is empty."
    if checked.proved is None:
        return f"{checked.publisher}: of {checked.records:,} records nothing is proved; no seal holds."
    return (
        f"{checked.publisher}: the first {checked.proved_size:,} records, up to position {checked.proved_position:,}, are "
        f"those that seal {checked.proved.number} of {_time(checked.proved.sealed_at)} signs; {checked.unsealed:,} behind it "
        f"{'is' if checked.unsealed == 1 else 'are'} not proved by it."
    )


def is_proved(checked: Checked) -> bool:
    """Whether nothing was found wrong, and a log that holds records has a seal."""
    return not checked.findings and bool(checked.seals or not checked.records)


# -- of the access log ---------------------------------------------------------------------------------------------


def access_words(found: dict[str, Any]) -> Iterator[str]:
    """What `access_check` counted, and how much of it seals prove where they were asked for, a line each."""
    problems = len(found["problems"]) or "no"
    yield f"{found['records']:,} records, {found['purged']:,} of them purged: {problems} problems."
    sealed = found["sealed"]
    if sealed is not None and sealed["proved"]:
        yield f"The first {sealed['proved']:,} are those that were sealed; {sealed['unproved']:,} behind them are under no seal."
    elif sealed is not None:
        yield "Nothing of it is proved; no seal holds."


def access_is_whole(found: dict[str, Any]) -> bool:
    """Whether nothing was found wrong with the access log, and it has a seal where seals were asked for."""
    sealed = found["sealed"]
    return not found["problems"] and (sealed is None or bool(sealed["seals"] and not sealed["findings"]))
