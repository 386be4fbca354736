"""Gathered leaves: whatever order records come in, and however often, a log comes to what its store comes to."""

from collections.abc import Sequence
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from connectors.home.folder import Home
from connectors.logs import gathered_leaves
from connectors.logs.gathered_leaves import GatheredLeaves
from repository.proof.judgement import ALTERED, WITHHELD
from repository.proof.merkle import SHA_256, SM3, hashing
from repository.proof.signed_note import Note
from repository.proof.tree_files import opened_tree
from repository.proof.whole_log import Checked, check_log, keys_by_name
from repository.store.log import Record
from schemas.contracts import KINDS
from tests.support.bases import Logs
from tests.support.dumps_for_tests import region
from tests.support.sealed_logs import by_kind, key_of, own, put, seal_of, sealed, told, twice_sealed, whole

KEYS = keys_by_name([key_of("31").verifier, key_of("32").verifier])
Batches = Sequence[Sequence[Record]]


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Home:
    return region(tmp_path_factory.mktemp("gathered"))


def checked(home: Home, batches: Batches, publisher: str = "31", algorithm: str = SHA_256, known: Sequence[Note] = ()) -> Checked:
    """A log checked from the records of topics in batches."""
    with TemporaryDirectory() as folder, opened_tree(Path(folder) / "tree", algorithm, True) as tree:
        gathered = GatheredLeaves(home, Path(folder) / "leaves", algorithm)
        for batch in batches:
            gathered.add(batch)
        found = check_log(gathered.whole_log(publisher, tree), KEYS, [(note, None) for note in known])
        gathered.close()
        return found


def shuffled(records: Sequence[Record], chance: Random) -> Batches:
    """All records in any order, some of them several times, in batches of any size."""
    came = [*records, *chance.choices(records, k=chance.randrange(len(records)))]
    chance.shuffle(came)
    cuts = sorted(chance.randrange(len(came) + 1) for _ in range(chance.randrange(4)))
    return [came[low:high] for low, high in zip([0, *cuts], [*cuts, len(came)], strict=True)]


def spoiled(records: Sequence[Record], chance: Random) -> list[Record]:
    """The log of a store as it is, or with one record missing or altered."""
    at = chance.randrange(len(records))
    return [
        list(records),
        [*records[:at], *records[at + 1 :]],
        [*records[:at], altered(records[at]), *records[at + 1 :]],
    ][chance.randrange(3)]


def altered(record: Record) -> Record:
    """Another record of the same kind: a bit of its last byte is another."""
    return record._replace(value=record.value[:-1] + bytes([record.value[-1] ^ 1]))


def test_forty_kinds_more_are_told_apart(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    kinds = [*(f"made_up_{number}" for number in range(40)), *KINDS]
    monkeypatch.setattr(gathered_leaves, "NAMES", gathered_leaves.counted_as(kinds))
    logs, _ = twice_sealed()
    records = by_kind(own(logs))
    assert checked(home, [records]).findings == []
    at = next(n for n, record in enumerate(records) if record.topic.endswith(".supply"))
    misplaced = records[at]._replace(topic="yrd.31.service-object")
    found = checked(home, [[*records[:at], misplaced, *records[at + 1 :]]]).findings
    assert "supply among service_object 1" in (found[0][1].found or "")


def two_logs() -> Logs:
    """A log of 31 with two seals and a log of 32 with one, told by turns."""
    logs, _ = twice_sealed()
    told(logs, 3, "32")
    sealed(logs, publisher="32")
    told(logs, 2)
    return logs


@pytest.mark.long
@settings(max_examples=60)
@given(st.randoms(use_true_random=False))
def test_any_order_and_repetition_comes_to_what_the_store_comes_to(home: Home, chance: Random) -> None:
    logs = two_logs()
    found = {"31": spoiled(own(logs), chance), "32": spoiled(own(logs, "32"), chance)}
    batches = shuffled(by_kind([*found["31"], *found["32"]]), chance)
    for publisher, records in found.items():
        assert checked(home, batches, publisher) == check_log(whole(records, publisher), KEYS)


@pytest.mark.long
@settings(max_examples=40)
@given(st.randoms(use_true_random=False))
def test_different_records_at_a_position_are_altered_in_whatever_order_they_come(home: Home, chance: Random) -> None:
    logs, (one, two) = twice_sealed()
    records = own(logs)
    wrong = chance.sample(records, chance.randrange(1, 4))
    first = min(record.position for record in wrong)
    found = checked(home, shuffled(by_kind([*records, *map(altered, wrong)]), chance))
    ((expected, both),) = {
        (f.expected, f.found) for _, f in found.findings if f.verdict == ALTERED and f.first_bad_position == first
    }
    original = hashing(SHA_256).leaf(records[first - 1].value).hex()
    assert expected == "one leaf" and original in str(both)
    proved = [seal.size for seal in (one, two) if seal.last_position < first]
    assert found.proved_size == max(proved, default=0)


def test_different_records_behind_the_last_seal_are_said_as_well(home: Home) -> None:
    logs, (_, two) = twice_sealed()
    told(logs, 1)
    records = own(logs)
    ((number, finding),) = checked(home, [by_kind([*records, altered(records[-1])])]).findings
    assert (number, finding.verdict, finding.first_bad_position) == (None, ALTERED, records[-1].position)
    assert checked(home, [by_kind([*records, altered(records[-1])])]).proved_size == two.size


def test_what_stands_at_one_position_is_told_apart_where_reading_pauses(
    home: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Leaves are read some at a time; three at each position, the 683rd position lies on both sides of the first pause.
    monkeypatch.setattr(gathered_leaves, "READ_LEAVES", 2048)
    logs, _ = twice_sealed()
    (first, *_) = by_kind(own(logs))
    records = [first._replace(position=n, value=first.value + n.to_bytes(4, "big")) for n in range(1, 3001)]
    for name, wrong in (("none", []), ("one", [altered(records[682])])):
        gathered = GatheredLeaves(home, tmp_path / name, SHA_256)
        gathered.add([*wrong, *records, *records, *(r for r in records if not wrong or r.position != 683)])
        portions = list(gathered.in_order("31"))
        gathered.close()
        assert len(portions) > 1 and [n for p in portions for n in p.positions] == list(range(1, 3001))
        assert [p.doubled for p in portions if p.doubled is not None] == ([683] if wrong else [])


def test_a_record_in_another_kinds_topic_does_not_stand_in_for_its_own(home: Home) -> None:
    logs, _ = twice_sealed()
    records = by_kind(own(logs))
    astray = records[2]._replace(topic="yrd.31.standard", offset=1)
    assert checked(home, [[astray], records]).findings == [], "a copy astray is refused by every reader, and harms nobody"
    found = checked(home, [[*records[:2], astray, *records[3:]]])
    assert [f.verdict for _, f in found.findings] == [ALTERED, ALTERED]
    assert "supply among standard 1" in str(found.findings[0][1].found)


def test_what_is_not_in_stored_form_is_counted_and_is_no_leaf(home: Home, tmp_path: Path) -> None:
    logs, _ = twice_sealed()
    records = by_kind(own(logs))
    lost = records[4]._replace(value=b"\x00\x00\x00\x27\x0fxyz", problem="No contract has the schema number 9999.")
    noise = records[-1]._replace(offset=99, position=-1, value=b"noise", problem="It begins with 6e.")
    gathered = GatheredLeaves(home, tmp_path / "leaves", SHA_256)
    gathered.add([noise, *records[:4], lost, *records[5:]])
    gathered.add([noise])
    gathered.close()
    assert [(publisher, left.number) for publisher, left in gathered.left_out.items()] == [("31", 3)]
    assert gathered.left_out["31"].first == min(noise, lost)
    found = checked(home, [[noise, *records[:4], lost, *records[5:]]])
    assert (found.findings[0][1].verdict, found.first_bad_position) == (WITHHELD, 5)


def test_a_log_of_nothing_misses_the_seals_that_are_known(home: Home) -> None:
    logs = Logs()
    told(logs, 3)
    note = put(logs, seal_of(own(logs)))
    ((number, finding),) = checked(home, [[]], known=[note]).findings
    assert (number, finding.verdict, finding.first_bad_position) == (1, WITHHELD, 1)
    assert checked(home, []) == Checked("31", 0)


def test_a_log_that_is_sealed_with_sm3_is_gathered_by_sm3(home: Home) -> None:
    logs = Logs()
    told(logs, 7)
    made = seal_of(own(logs), algorithm=SM3)
    sealed(logs, algorithm=SM3)
    found = checked(home, [by_kind(own(logs))], algorithm=SM3)
    assert (found.findings, found.proved_size) == ([], made.size)
