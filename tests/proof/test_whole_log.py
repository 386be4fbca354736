"""Whole logs: every log that was cut, moved, doubled or flipped is refused, with the first bad position."""

from datetime import timedelta
from random import Random

import pytest

from repository.events.encoding import decode
from repository.proof.judgement import ALTERED, REFUSED, REWRITTEN, WITHHELD
from repository.proof.merkle import SM3
from repository.proof.seal import Seal
from repository.proof.signed_note import Note
from repository.proof.whole_log import Checked, check_log, keys_by_name
from repository.store.log import Record
from tests.support.bases import NOON, Logs
from tests.support.sealed_logs import key_of, own, put, seal_of, sealed, told, twice_sealed, whole
from tests.support.suites import few_and_many

KEYS = keys_by_name([key_of("31").verifier])


def checked(records: list[Record], known: list[Note] | None = None) -> Checked:
    return check_log(whole(records), KEYS, [(note, None) for note in known or []])


def notes(logs: Logs) -> list[Note]:
    """The notes of a log's seals, as its reader keeps them."""
    return [Note.parse(str(decode(r.value)[1]["signed_note"])) for r in own(logs) if r.event_type.startswith("seal.")]


def renumbered(records: list[Record]) -> list[Record]:
    """The records at the positions 1, 2, 3: as one who alters a store leaves no hole."""
    return [r._replace(position=n, offset=n) for n, r in enumerate(records, 1)]


def flipped(record: Record, bit: int) -> Record:
    number = int.from_bytes(record.value, "big") ^ 1 << bit
    return record._replace(value=number.to_bytes(len(record.value), "big"))


def test_a_log_that_nobody_touched_is_proved_up_to_its_last_seal() -> None:
    logs, (_, last) = twice_sealed()
    found = checked(own(logs), notes(logs))
    assert found.findings == []
    assert (found.seals, found.proved_size, found.proved_position) == (2, last.size, last.last_position) == (2, 10, 10)
    assert (found.records, found.unsealed) == (11, 1)


def test_a_sealed_log_of_sm3_is_proved() -> None:
    logs = Logs()
    told(logs, 7)
    sealed(logs, algorithm=SM3)
    assert checked(own(logs)).findings == [] and checked(own(logs)).proved_size == 7


@pytest.mark.parametrize("position", range(1, 11))
def test_a_flipped_bit_is_named_by_its_position(position: int) -> None:
    logs, _ = twice_sealed()
    records = own(logs)
    records[position - 1] = flipped(records[position - 1], 5)
    found = checked(records)
    assert found.first_bad_position == position
    findings = [f for _, f in found.findings if f.verdict == ALTERED and f.first_bad_position == position == f.last_bad_position]
    assert findings and all(f.expected != f.found for f in findings)


@pytest.mark.parametrize("position", [1, 3, 5, 7, 8, 9])
@pytest.mark.parametrize("numbering", ["with a hole", "without a hole"])
def test_a_dropped_record_is_named_by_its_position(position: int, numbering: str) -> None:
    logs, _ = twice_sealed()
    records = [r for r in own(logs) if r.position != position]
    found = checked(records if numbering == "with a hole" else renumbered(records))
    assert found.findings[0][1].verdict == (WITHHELD if numbering == "with a hole" else ALTERED)
    assert found.first_bad_position == position


@pytest.mark.parametrize("position", range(1, 9))
def test_two_exchanged_records_are_named_by_the_first(position: int) -> None:
    logs, _ = twice_sealed()
    records = own(logs)
    records[position - 1], records[position] = records[position], records[position - 1]
    found = checked(renumbered(records))
    assert (found.findings[0][1].verdict, found.first_bad_position) == (ALTERED, position)


@pytest.mark.parametrize("position", [1, 4, 8])
def test_an_inserted_record_is_named_by_its_position(position: int) -> None:
    logs, _ = twice_sealed()
    other = Logs()
    told(other, 1, prefix="又")
    records = own(logs)
    records.insert(position - 1, other.records[0])
    finding = checked(renumbered(records)).findings[0][1]
    assert (finding.verdict, finding.first_bad_position) == (ALTERED, position)


def test_an_end_that_is_cut_off_is_missed_by_who_knows_a_later_seal() -> None:
    logs, (one, two) = twice_sealed()
    records, known = own(logs), notes(logs)
    assert checked(records[:6]).findings == [], "alone, it is the log as it was at its first seal"
    ((number, finding),) = checked(records[:6], known).findings
    assert (number, finding.verdict) == (two.number, WITHHELD)
    assert one.size < (finding.last_bad_position or 0) == two.last_position


def test_a_seal_that_is_no_longer_in_the_log_is_missed() -> None:
    logs, (_, two) = twice_sealed()
    ((number, finding),) = checked(own(logs)[:-1], notes(logs)).findings
    assert (number, finding.verdict, finding.first_bad_position) == (2, ALTERED, two.last_position + 1)


def test_another_history_under_a_seal_of_the_same_size_is_rewritten() -> None:
    logs, (one, two) = twice_sealed()
    put(logs, Seal("31", 3, two.size, two.last_position, bytes(32), two.algorithm, two.counts, NOON, two.marks))
    assert checked(own(logs)).findings[0][1].verdict == REWRITTEN
    assert one.size < two.size


def test_a_tree_that_shrinks_is_rewritten() -> None:
    logs, (one, two) = twice_sealed()
    smaller = seal_of(own(logs)[:8], one, NOON + timedelta(hours=2))
    put(logs, Seal(**{n: getattr(smaller, n) for n in smaller.__slots__} | {"number": 3}))
    ((number, finding),) = checked(own(logs)).findings
    assert (number, finding.verdict) == (3, REWRITTEN)
    assert f"covers 8 leaves, and seal 2 before it {two.size}" in finding.reason


def test_a_seal_with_another_key_is_refused() -> None:
    logs = Logs()
    told(logs, 3)
    sealed(logs, key=key_of("31", 1))
    ((_, finding),) = checked(own(logs)).findings
    assert finding.verdict == REFUSED and "not signed by" in finding.reason


def test_a_seal_of_another_publisher_is_refused() -> None:
    logs, other = Logs(), Logs()
    told(logs, 3)
    told(other, 3, "32")
    sealed(other, publisher="32")
    records = [*own(logs), own(other, "32")[-1]]
    assert checked(renumbered(records)).findings[0][1].verdict == REFUSED


def test_a_log_without_a_seal_proves_nothing() -> None:
    logs = Logs()
    told(logs, 3)
    found = checked(own(logs))
    assert (found.proved, found.proved_size, found.unsealed) == (None, 0, 3)


# -- ten thousand of each ------------------------------------------------------------------------------------------


def cut(chance: Random, records: list[Record]) -> list[Record]:
    """Without a part from the middle or the end; the positions are those of the store, or closed up."""
    first = chance.randrange(len(records))
    rest = records[:first] + records[first + chance.randrange(1, len(records) + 1 - first) :]
    return renumbered(rest) if chance.randrange(2) else rest


def moved(chance: Random, records: list[Record]) -> list[Record]:
    """In another order: the places stay, what stands at them changes; or records stand where they are not in order."""
    shuffled = list(records)
    while shuffled == records:
        a, b = chance.sample(range(len(records)), 2)
        shuffled[a], shuffled[b] = shuffled[b], shuffled[a]
    return renumbered(shuffled) if chance.randrange(2) else shuffled


def doubled(chance: Random, records: list[Record]) -> list[Record]:
    """With a record twice within what is sealed, at its position or at a new one."""
    # Not right behind the last sealed record, which would leave all that is sealed as it was.
    one, at = chance.choice(records[:-2]), chance.randrange(len(records) - 1)
    more = [*records[:at], one, *records[at:]]
    return renumbered(more) if chance.randrange(2) else more


def bent(chance: Random, records: list[Record]) -> list[Record]:
    """With one bit of one record flipped."""
    at = chance.randrange(len(records))
    return [*records[:at], flipped(records[at], chance.randrange(8 * len(records[at].value))), *records[at + 1 :]]


@few_and_many("times", 200, 10_000)
@pytest.mark.parametrize("spoil", [cut, moved, doubled, bent])
def test_spoiled_logs_are_refused_with_position_or_reason(spoil, times: int) -> None:  # type: ignore[no-untyped-def]
    logs, _ = twice_sealed()
    chance, records, known = Random(25), own(logs), notes(logs)
    for _ in range(times):
        found = checked(spoil(chance, records), known)
        assert found.findings, "a spoiled log was accepted"
        for _, finding in found.findings:
            assert finding.reason.endswith(".") and "Traceback" not in finding.reason
