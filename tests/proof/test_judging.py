"""The hub's judgement: accepted, withheld, altered, rewritten or refused, in whatever order records come, never overwritten."""

import sqlite3
from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from random import Random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from connectors.home.folder import Home
from connectors.proof import sealing
from connectors.proof.hub_tree import hub_tree_folder
from connectors.proof.judging import Judge
from projections.projector import Projector
from repository.proof.merkle import SM3
from repository.proof.seal import Seal
from repository.proof.signed_note import Note
from repository.proof.tree_files import opened_tree
from repository.store.log import Record
from tests.support.bases import NOON, Logs, ask, empty_base
from tests.support.dumps_for_tests import region
from tests.support.sealed_logs import by_kind, key_of, keyed, own, put, seal_of, sealed, told, twice_sealed

LATER = NOON + timedelta(hours=2)
GRACE = timedelta(seconds=600)
Verdicts = list[tuple[int, str, int | None]]


def trusting(folder: Path, **what: Any) -> Home:
    """A home that knows the public key of 31, as one without an office's key has it in a file."""
    home = keyed(region(folder, **what), "hub")
    sealing.public_key_file(home, "31").write_text(f"{key_of('31').verifier}\n")
    return home


class Hub:
    """A base in memory with its judge; `judge` says what is known of each seal after that."""

    def __init__(self, home: Home, algorithm: str = "sha-256") -> None:
        self.home, self.connection = home, empty_base()
        self.projector = Projector(self.connection, None, algorithm)
        self.of = Judge(home)
        self.of.verdicts.load(self.connection)

    def take(self, records: Iterable[Record], at: datetime = NOON) -> Verdicts:
        self.projector.apply(list(records), NOON)
        return self.judge(at)

    def judge(self, at: datetime = NOON) -> Verdicts:
        self.of.judge(self.connection, at)
        return self.verdicts()

    def verdicts(self) -> Verdicts:
        """(seal, newest verdict, first bad position) per seal."""
        rows = {row["seal_no"]: row for row in ask(self.connection, "SELECT * FROM seal_verdicts ORDER BY verdict_no")}
        return [(n, rows[n]["verdict"], rows[n]["first_bad_position"]) for n in sorted(rows)]

    def history(self, seal_no: int) -> list[str]:
        """All verdicts on a seal, in order."""
        rows = ask(self.connection, f"SELECT verdict FROM seal_verdicts WHERE seal_no = {seal_no} ORDER BY verdict_no")
        return [row["verdict"] for row in rows]

    def close(self) -> None:
        self.of.close()
        self.connection.close()


@pytest.fixture
def hub(tmp_path: Path) -> Iterable[Hub]:
    made = Hub(trusting(tmp_path))
    yield made
    made.close()


def flipped(record: Record) -> Record:
    """The record with another letter in its business key: a good event still, of other bytes."""
    return record._replace(value=record.value.replace("点".encode(), "店".encode()))


# -- accepted ------------------------------------------------------------------------------------------------------


def test_seals_over_what_arrived_are_accepted_and_countersigned(hub: Hub) -> None:
    logs, seals = twice_sealed()
    assert hub.take(own(logs), LATER) == [(1, "accepted", None), (2, "accepted", None)]
    countersigned = ask(hub.connection, "SELECT * FROM countersigned_seals ORDER BY seal_no")
    key = sealing.signer(hub.home, "hub")
    assert key is not None
    for row, seal in zip(countersigned, seals, strict=True):
        note = Note.parse(row["note"])
        assert note.text == seal.text and note.check(key.verifier) == int(LATER.timestamp())
        note.check(key_of("31").verifier)


def test_judging_again_says_nothing_new(hub: Hub) -> None:
    logs, _ = twice_sealed()
    hub.take(own(logs))
    for _ in range(3):
        hub.judge(LATER)
        hub.of.forget()
    assert hub.history(1) == hub.history(2) == ["accepted"]


def test_a_hub_without_a_key_accepts_and_countersigns_when_it_has_one(tmp_path: Path) -> None:
    home = region(tmp_path)
    sealing.public_key_file(home, "31").write_text(f"{key_of('31').verifier}\n")
    hub, (logs, _) = Hub(home), twice_sealed()
    assert hub.take(own(logs)) == [(1, "accepted", None), (2, "accepted", None)]
    assert ask(hub.connection, "SELECT * FROM countersigned_seals") == []
    keyed(home, "hub")
    hub.of.forget()
    hub.judge(LATER)
    assert len(ask(hub.connection, "SELECT * FROM countersigned_seals")) == 2
    hub.close()


def test_records_that_are_refused_are_leaves_all_the_same(hub: Hub) -> None:
    logs = Logs()
    told(logs, 3)
    logs.records[1] = logs.records[1]._replace(value=b"no event at all")
    sealed(logs)
    assert hub.take(own(logs)) == [(1, "accepted", None)]
    assert len(ask(hub.connection, "SELECT * FROM quarantine")) == 1


def test_seals_in_sm3_are_judged_where_sm3_is_kept(tmp_path: Path) -> None:
    logs = Logs()
    told(logs, 4)
    sealed(logs, algorithm=SM3)
    home = trusting(tmp_path)
    without, with_ = Hub(home), Hub(home, SM3)
    assert without.take(own(logs)) == [(1, "refused", None)]
    assert 'set seal_hash = "sm3"' in ask(without.connection, "SELECT reason FROM seal_verdicts")[0]["reason"]
    assert with_.take(own(logs)) == [(1, "accepted", None)]
    without.close()
    with_.close()


# -- withheld ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("missing", [1, 3, 5, 6, 8, 10])
def test_missing_records_are_waited_for_then_withheld_then_accepted_when_they_come(hub: Hub, missing: int) -> None:
    logs, _ = twice_sealed()
    records = own(logs)
    seal_no = 1 if missing <= 5 else 2
    hub.take([r for r in records if r.position != missing])
    assert hub.verdicts()[-1] == (seal_no, "pending", None)
    assert hub.judge(NOON + GRACE - timedelta(seconds=1))[-1][1] == "pending"
    assert (seal_no, "withheld", missing) in hub.judge(NOON + GRACE)
    assert hub.take([records[missing - 1]], LATER) == [(1, "accepted", None), (2, "accepted", None)]
    assert hub.history(seal_no) == ["pending", "withheld", "accepted"], "nothing was overwritten"


def test_a_pass_is_due_when_a_grace_ends(hub: Hub) -> None:
    logs, _ = twice_sealed()
    assert hub.of.due(NOON), "before the first pass it is always due"
    hub.take(own(logs)[1:])
    assert not hub.of.due(NOON + GRACE - timedelta(seconds=1)) and hub.of.due(NOON + GRACE)
    hub.judge(NOON + GRACE)
    hub.judge(NOON + 2 * GRACE)
    assert not hub.of.due(NOON + 9 * GRACE), "there is nothing left to wait for"


def test_a_missing_seal_holds_up_those_behind_it_for_the_grace(hub: Hub) -> None:
    logs, _ = twice_sealed()
    records = own(logs)
    assert hub.take([r for r in records if r.position != 6])[-1] == (2, "pending", None)
    assert hub.judge(NOON + GRACE)[-1] == (2, "withheld", 6)


# -- altered -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("position", [1, 4, 5, 7, 10])
def test_an_altered_record_is_named_with_what_was_sealed_and_what_came(hub: Hub, position: int) -> None:
    logs, _ = twice_sealed()
    records = own(logs)
    records[position - 1] = flipped(records[position - 1])
    assert next(v for v in hub.take(records) if v[1] != "accepted") == (1 if position < 6 else 2, "altered", position)
    row = ask(hub.connection, "SELECT * FROM seal_verdicts WHERE verdict = 'altered' ORDER BY verdict_no")[0]
    assert row["expected"] != row["found"] and str(position) in row["reason"]
    assert ask(hub.connection, "SELECT verdict FROM seal_status")[0]["verdict"] == "altered"


def test_one_more_record_than_was_sealed_is_altered(hub: Hub) -> None:
    logs = Logs()
    told(logs, 4)
    records = own(logs)
    seal = seal_of([*records[:2], records[3]])
    put(logs, seal)
    assert hub.take(own(logs)) == [(1, "altered", 3)]


def test_another_record_at_a_place_that_is_taken_is_altered_whichever_came_first(tmp_path: Path) -> None:
    logs, _ = twice_sealed()
    records = own(logs)
    found = []
    for n, order in enumerate(([*records, flipped(records[2])], [flipped(records[2]), *records])):
        hub = Hub(trusting(tmp_path / str(n)))
        found.append(hub.take(order))
        hub.close()
    assert found[0] == found[1] == [(1, "altered", 3), (2, "altered", 3)]


def test_another_record_that_comes_after_acceptance_is_found_as_well(hub: Hub) -> None:
    logs, _ = twice_sealed()
    records = own(logs)
    hub.take(records)
    assert hub.take([flipped(records[7])], LATER) == [(1, "accepted", None), (2, "altered", 8)]
    assert hub.history(2) == ["accepted", "altered"]


def test_a_record_that_turns_up_within_what_was_accepted_is_found(hub: Hub) -> None:
    logs = Logs()
    told(logs, 5)
    extra = logs.records.pop(2)
    sealed(logs)
    records = own(logs)
    hub.take(records)
    assert hub.verdicts() == [(1, "accepted", None)]
    assert hub.take([extra], LATER) == [(1, "altered", 3)]


def test_a_seal_that_reaches_too_far_holds_up_no_other_and_the_tree_keeps_what_was_accepted(hub: Hub) -> None:
    logs, (_, two) = twice_sealed()
    three = seal_of(own(logs), two)
    put(logs, replace(three, last_position=10**6))
    told(logs, 4)
    four = sealed(logs, three)
    told(logs, 3)
    records = own(logs)
    assert [v[:2] for v in hub.take(records)] == [(1, "accepted"), (2, "accepted"), (3, "altered"), (4, "accepted")]
    with opened_tree(hub_tree_folder(hub.home, "31", "sha-256"), "sha-256") as tree:
        assert (tree.size, tree.last_position, tree.root()) == (four.size, four.last_position, four.root)


# -- rewritten -----------------------------------------------------------------------------------------------------


def test_two_roots_for_one_size_are_rewritten(hub: Hub) -> None:
    logs, (_, two) = twice_sealed()
    put(logs, Seal("31", 3, two.size, two.last_position, bytes(32), two.algorithm, two.counts, NOON, two.marks))
    assert hub.take(own(logs)) == [(1, "accepted", None), (2, "accepted", None), (3, "rewritten", None)]


def test_a_shrinking_tree_is_rewritten(hub: Hub) -> None:
    logs, (one, two) = twice_sealed()
    smaller = seal_of(own(logs)[:8], one)
    put(logs, Seal("31", 3, 8, 8, smaller.root, two.algorithm, smaller.counts, NOON, smaller.marks))
    assert hub.take(own(logs))[2] == (3, "rewritten", 9)


def test_a_log_that_was_rewritten_before_a_rebuild_is_found_at_its_first_position(tmp_path: Path) -> None:
    home = trusting(tmp_path)
    logs, _ = twice_sealed()
    first = Hub(home)
    first.take(own(logs))
    first.close()
    # Another history, sealed with the publisher's own key: nothing in it is wrong by itself.
    other = Logs()
    told(other, 3)
    told(other, 2, prefix="又")
    one = sealed(other)
    told(other, 4)
    sealed(other, one)
    rebuilt = Hub(home)
    assert rebuilt.take(own(other), LATER) == [(1, "rewritten", 4), (2, "rewritten", 4)]
    assert rebuilt.history(1) == ["accepted", "rewritten"]
    rebuilt.close()


def test_a_rebuild_from_the_same_log_changes_no_verdict(tmp_path: Path) -> None:
    home = trusting(tmp_path)
    logs, _ = twice_sealed()
    for _ in range(2):
        hub = Hub(home)
        assert hub.take(own(logs), LATER) == [(1, "accepted", None), (2, "accepted", None)]
        assert hub.history(1) == ["accepted"]
        hub.close()


@pytest.mark.parametrize(("left", "missed"), [(10, 11), (9, 10), (6, 7), (4, 5), (0, 1)])
def test_a_rebuild_from_a_log_that_was_cut_misses_what_was_accepted(tmp_path: Path, left: int, missed: int) -> None:
    home = trusting(tmp_path)
    logs, _ = twice_sealed()
    Hub(home).take(own(logs))
    rebuilt = Hub(home)
    assert rebuilt.take(own(logs)[:left], LATER)[1][:2] == (2, "pending")
    assert rebuilt.judge(LATER + GRACE)[1] == (2, "withheld", missed)
    assert rebuilt.history(2) == ["accepted", "pending", "withheld"]
    assert rebuilt.verdicts()[0] == ((1, "accepted", None) if left >= 6 else (1, "withheld", missed))
    assert rebuilt.take(own(logs), LATER + GRACE) == [(1, "accepted", None), (2, "accepted", None)]


def test_a_hub_that_lost_its_tree_makes_it_anew(tmp_path: Path) -> None:
    home = trusting(tmp_path)
    logs, _ = twice_sealed()
    Hub(home).take(own(logs)[:6])
    tree = hub_tree_folder(home, "31", "sha-256")
    for file in tree.iterdir():
        file.unlink()
    assert Hub(home).take(own(logs)) == [(1, "accepted", None), (2, "accepted", None)]


def test_a_damaged_tree_of_the_hub_is_said_and_stops_nothing(tmp_path: Path) -> None:
    home = trusting(tmp_path)
    logs, _ = twice_sealed()
    Hub(home).take(own(logs)[:6])
    (hub_tree_folder(home, "31", "sha-256") / "head").write_text("{")
    hub = Hub(home)
    assert {v for _, v, _ in hub.take(own(logs))} == {"refused"}
    assert "made anew from the log" in ask(hub.connection, "SELECT max_by(reason, verdict_no) AS r FROM seal_verdicts")[0]["r"]


# -- refused -------------------------------------------------------------------------------------------------------


def test_a_seal_with_an_unknown_key_is_refused_and_those_behind_are_judged(hub: Hub) -> None:
    logs = Logs()
    told(logs, 3)
    one = sealed(logs, key=key_of("31", 1))
    told(logs, 3)
    sealed(logs, one)
    assert hub.take(own(logs)) == [(1, "refused", None), (2, "accepted", None)]


def test_a_publisher_without_a_known_key_is_refused_with_the_way_out(tmp_path: Path) -> None:
    hub, (logs, _) = Hub(region(tmp_path)), twice_sealed()
    assert hub.take(own(logs)) == [(1, "refused", None), (2, "refused", None)]
    assert (
        "No public key of 31 is known here; put it into" in ask(hub.connection, "SELECT reason FROM seal_verdicts")[0]["reason"]
    )
    hub.close()


def test_a_record_that_says_something_else_than_its_signed_text_is_refused(hub: Hub) -> None:
    logs = Logs()
    told(logs, 3)
    seal = seal_of(own(logs))
    put(logs, seal)
    record = logs.records[-1]
    logs.records[-1] = record._replace(value=record.value.replace(seal.root.hex().encode(), b"0" * 64))
    assert logs.records[-1] != record
    assert hub.take(own(logs)) == [(1, "refused", None)]


# -- whatever the order --------------------------------------------------------------------------------------------


def spoiled(records: list[Record], how: str) -> list[Record]:
    match how:
        case "altered":
            return [flipped(r) if r.position == 8 else r for r in records]
        case "withheld":
            return [r for r in records if r.position != 8]
        case "doubled":
            return [*records, flipped(records[3])]
    return records


@pytest.mark.long
@settings(max_examples=25)
@given(
    seed=st.integers(0, 2**32), how=st.sampled_from(["whole", "altered", "withheld", "doubled"]), topics=st.sampled_from([1, 3])
)
def test_redelivery_batching_and_interleaving_give_the_same_verdicts(
    tmp_path_factory: pytest.TempPathFactory, seed: int, how: str, topics: int
) -> None:
    logs, _ = twice_sealed()
    records = spoiled(own(logs), how)
    expected = {
        "whole": [(1, "accepted", None), (2, "accepted", None)],
        "altered": [(1, "accepted", None), (2, "altered", 8)],
        "withheld": [(1, "accepted", None), (2, "withheld", 8)],
        "doubled": [(1, "altered", 4), (2, "altered", 4)],
    }[how]
    chance = Random(seed)
    delivered = by_kind(records) if topics > 1 else list(records)
    delivered += chance.sample(delivered, chance.randrange(len(delivered)))
    chance.shuffle(delivered)
    hub = Hub(trusting(tmp_path_factory.mktemp("hub")))
    for batch in portions(chance, delivered):
        hub.take(batch)
    assert hub.judge(NOON + GRACE) == expected
    hub.close()


def portions(chance: Random, records: Sequence[Record]) -> Iterable[Sequence[Record]]:
    while records:
        size = chance.randrange(1, 6)
        yield records[:size]
        records = records[size:]


# -- kept ----------------------------------------------------------------------------------------------------------


def test_findings_can_neither_be_changed_nor_deleted(hub: Hub) -> None:
    logs, _ = twice_sealed()
    hub.take(own(logs))
    file = sqlite3.connect(hub.home.folder / "base" / "proofs.sqlite")
    for sql in ("UPDATE seal_verdicts SET verdict = 'accepted'", "DELETE FROM seal_verdicts", "DELETE FROM countersigned_seals"):
        with pytest.raises(sqlite3.DatabaseError, match="never changed"):
            file.execute(sql)
    file.close()


def test_clocks_a_day_off_change_no_verdict_and_are_shown(hub: Hub) -> None:
    logs = Logs()
    told(logs, 2)
    told(logs, 2)
    one = sealed(logs, at=NOON + timedelta(days=1))
    told(logs, 2)
    sealed(logs, one, at=NOON)
    assert hub.take(own(logs)) == [(1, "accepted", None), (2, "accepted", None)]
    (row,) = ask(hub.connection, "clock_skew")
    assert (row["publisher"], row["stepped_back_s"], row["stepped_back_at_position"]) == ("31", 86400, 6)
    assert row["ahead_of_hub_s"] == 86400
