"""Seals of the access log: what was altered, cut off or made anew is found by who kept a seal, and purges break none."""

import os
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import Random
from typing import Any

import pytest

from connectors.access import log as access_log
from connectors.access import reading as access_reading
from connectors.access import sealing as access_sealing
from connectors.access.refused import ReadRefused
from connectors.home.folder import Home
from connectors.home.roles import account_name
from connectors.hub import hub
from connectors.proof import sealing
from repository.access.records import Asking, Caller, asked, ended, leaf_of
from repository.events.encoding import encode
from repository.events.identity import LOG
from repository.keys.signing import read_keys
from repository.proof.merkle import SM3, hashing
from repository.proof.proof import ProvedEvent, ProvedGrowth, check_proof
from repository.proof.seal import Marks, Seal, seal_record
from repository.proof.signed_note import signed
from repository.store.publisher import stored_row
from tests.support.dumps_for_tests import Yrd, followed, region
from tests.support.project import ROOT
from tests.support.sealed_logs import keyed
from tests.support.suites import few_and_many
from tests.support.waiting import eventually

LONG_AGO = datetime.now(UTC) - timedelta(days=1500)


def sealed_home(folder: Path, **settings: Any) -> Home:
    """A home with six accesses, of which four lie long back, all under seal 1."""
    home = region(folder, **settings)
    caller = Caller("clerk", 7, None, "old case")
    with access_log.opened(home) as log:
        for n in range(4):
            asking = Asking("query", "SELECT ?", ["supply_current"], ["phone"])
            for row in (asked(f"old|{n}", caller, asking, LONG_AGO), ended(f"old|{n}", caller, asking, "answered", n, LONG_AGO)):
                with log.store().bulk() as append:
                    append([stored_row("access", row)])
    hub.read(home, "SELECT 1", purpose="new case")
    hub.read(home, "SELECT 2", purpose="new case")
    seal(keyed(home, LOG))
    return home


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return sealed_home(tmp_path)


def seal(home: Home) -> Seal:
    key = sealing.signer(home, LOG)
    assert key is not None
    with access_sealing.sealable(home, LOG) as store:
        made = sealing.seal_now(home, store, key, datetime.now(UTC))
    assert made is not None
    return made


def keys(home: Home) -> list[str]:
    return [str(key) for key in read_keys(sealing.public_key_file(home, LOG))]


def note(home: Home) -> str:
    found = hub.look(home, "access_seal")["note"]
    assert isinstance(found, str)
    return found


def held(home: Home, *kept: str) -> access_sealing.AccessResult:
    """What a check finds with the public key, and with seals that were kept."""
    with access_log.opened(home) as log:
        return access_reading.checked(log, {"keys": keys(home), "kept": kept})


def altered(home: Home, *statements: str) -> None:
    """Alter the file as its owner can, having dropped the triggers."""
    with sqlite3.connect(access_log.store_file(home)) as file:
        for (name,) in file.execute("SELECT name FROM sqlite_master WHERE type = 'trigger'").fetchall():
            file.execute(f"DROP TRIGGER {name}")
        for statement in statements:
            file.execute(statement)
    file.close()


# -- sealed the same way -------------------------------------------------------------------------------------------


def test_the_log_is_proved_up_to_its_last_seal(home: Home) -> None:
    hub.read(home, "SELECT 3")
    found = held(home, note(home))
    assert (found["problems"], found["seals"]) == ([], 1)
    # Behind the seal: itself, the query, and taking the seal away, each of both with a beginning and an end.
    assert found["sealed"] == {"seals": 1, "proved": 12, "unproved": 5, "findings": []}


def test_a_seal_follows_when_it_is_due_without_being_asked_for(tmp_path: Path) -> None:
    home = sealed_home(tmp_path, seal_every_events=2)
    hub.read(home, "SELECT 1")
    hub.read(home, "SELECT 2")
    before = int(str(hub.look(home, "access_seal")["seal"]))
    assert before > 1
    with followed(home):
        hub.read(home, "SELECT 3")
        eventually(lambda: int(str(hub.look(home, "access_seal")["seal"])) > before)
    assert held(home)["sealed"]["findings"] == []


def test_status_says_how_much_is_under_no_seal(home: Home, capsys: pytest.CaptureFixture[str]) -> None:
    found = hub.perform(home, "status")["access_log"]
    assert isinstance(found, dict) and (found["seal"], found["tree_size"], found["records_after"], found["key"]) == (
        1,
        12,
        0,
        True,
    )


def test_a_log_without_a_key_is_recorded_and_not_sealed(tmp_path: Path) -> None:
    home = region(tmp_path, seal_every_events=1)
    hub.read(home, "SELECT 1")
    hub.read(home, "SELECT 2")
    with pytest.raises(ValueError, match="is not sealed yet; make its key with `yrd signer create --publisher access`"):
        hub.look(home, "access_seal")
    found = hub.perform(home, "status")["access_log"]
    assert isinstance(found, dict) and (found["seal"], found["records_after"], found["key"]) == (None, 6, False)


def test_it_is_sealed_with_sha_256_whatever_publishers_use(tmp_path: Path) -> None:
    home = sealed_home(tmp_path, seal_hash="sm3")
    hub.look(home, "access_purge")
    assert "hash sha-256" in note(home) and held(home)["sealed"]["findings"] == []


# -- what was altered ----------------------------------------------------------------------------------------------


@few_and_many("ways", 20, 1000)
def test_every_spoiled_byte_cut_and_swap_under_a_seal_is_found(home: Home, ways: int) -> None:
    """A bit flipped, bytes cut off, two records swapped, one removed, one replaced by the mark of a purge."""
    altered(home)
    with sqlite3.connect(access_log.store_file(home)) as file:
        rows = file.execute("SELECT rowid, state FROM stored_events WHERE rowid <= 12 ORDER BY rowid").fetchall()
    file.close()
    chance = Random(31)
    for _ in range(ways):
        at = chance.randrange(12)
        spoiled = chance.choice((_flipped, _cut))(rows[at][1], chance)
        assert _found_after(home, {at + 1: spoiled}, rows)
    for _ in range(ways // 10):
        one, other = chance.sample(range(12), 2)
        assert _found_after(home, {one + 1: rows[other][1], other + 1: rows[one][1]}, rows)


def _flipped(state: bytes, chance: Random) -> bytes:
    at = chance.randrange(len(state))
    return state[:at] + bytes([state[at] ^ 1 << chance.randrange(8)]) + state[at + 1 :]


def _cut(state: bytes, chance: Random) -> bytes:
    return state[: chance.randrange(len(state))]


def _found_after(home: Home, states: dict[int, bytes], before: list[tuple[int, bytes]]) -> bool:
    """Whether the seal shows that records were replaced; they are put back."""
    with sqlite3.connect(access_log.store_file(home)) as file:
        file.executemany("UPDATE stored_events SET state = ?2 WHERE rowid = ?1", list(states.items()))
    file.close()
    with access_sealing.sealable(home, LOG) as store:
        altered(home)
        found = access_sealing.held_against_seals(_Opened(home, store), keys(home), [])["findings"]
    with sqlite3.connect(access_log.store_file(home)) as file:
        file.executemany("UPDATE stored_events SET state = ?2 WHERE rowid = ?1", [(at, before[at - 1][1]) for at in states])
    file.close()
    return "altered: Records" in str(found) or "altered: The log" in str(found)


class _Opened(access_log.AccessLog):
    """The log over a store that is open already: nothing is sealed and no trigger made."""

    def __init__(self, home: Home, store: object) -> None:
        super().__init__(home)
        self._store = store  # type: ignore[assignment]


def test_a_log_that_was_made_anew_with_its_own_key_is_found_by_who_kept_a_seal(home: Home) -> None:
    kept = note(home)
    # As who runs the hub could: the file without one access, no stored nodes, and a fresh seal over it all.
    altered(home, "DELETE FROM stored_events WHERE rowid IN (9, 10)", "DELETE FROM stored_events WHERE topic LIKE 'seal.%'")
    for file in (home.folder / "trees" / LOG / "sha-256").iterdir():
        file.unlink()
    seal(home)
    assert held(home)["sealed"]["findings"] == []
    assert "Seal 1: withheld: 2 of 12 sealed records" in str(held(home, kept)["sealed"]["findings"])
    assert held(home)["problems"][0] == "Position 9 is missing; the next one there is 11."


def test_a_log_that_was_cut_back_is_found_by_who_kept_a_seal(home: Home) -> None:
    hub.read(home, "SELECT 3")
    seal(home)
    kept = note(home)
    altered(home, "DELETE FROM stored_events WHERE rowid > 13")
    for file in (home.folder / "trees" / LOG / "sha-256").iterdir():
        file.unlink()
    assert held(home)["sealed"]["findings"] == []
    assert "Seal 2: withheld" in str(held(home, kept)["sealed"]["findings"])


def test_nothing_is_given_over_a_log_that_was_cut_and_what_is_wrong_can_be_looked_at(tmp_path: Path) -> None:
    home = sealed_home(tmp_path, seal_every_events=1)
    altered(home, "DELETE FROM stored_events WHERE rowid >= 12")
    with pytest.raises(ReadRefused, match=r"Nothing is given over an access log that was altered\..*yrd access check --key FILE"):
        hub.read(home, "SELECT 1")
    assert held(home)["problems"] == ["Position 12 is missing; the next one there is 13."] or held(home)["sealed"]["seals"] == 0


def test_a_seal_by_another_algorithm_or_of_another_log_holds_nothing(home: Home) -> None:
    hub.look(home, "access_purge")
    key = sealing.signer(home, LOG)
    assert key is not None
    with access_sealing.sealable(home, LOG) as store:
        last = sealing.last_seal(store)
        assert last is not None
        marks = Marks(0, 4, hashing(SM3).digest(bytes(8)), bytes(8))
        forged = Seal(LOG, 2, 13, 13, last.root, SM3, {"access": 12, "seal": 1}, datetime.now(UTC), marks)
        store.record("seal", [seal_record(forged, signed(forged.text, [key]))])
    assert "Seal 2: altered" in str(held(home)["sealed"]["findings"])
    record = seal_record(forged, signed(forged.text, [key])) | {"tree_size": 12}
    altered(
        home,
        f"UPDATE stored_events SET state = x'{encode('seal', record).hex()}' WHERE originator_version = 2 AND topic LIKE 'seal.%'",
    )
    assert "is refused" in str(held(home)["sealed"]["findings"])
    found = hub.perform(home, "status")["access_log"]
    assert isinstance(found, dict) and "can't be read" in str(found["trouble"])
    with pytest.raises(ReadRefused, match=r"Nothing is given over an access log that was altered. A seal in the store of access"):
        hub.read(home, "SELECT 1")


# -- retention -----------------------------------------------------------------------------------------------------


def test_a_purge_breaks_no_seal_and_no_growth(home: Home) -> None:
    kept = note(home)
    with access_sealing.sealable(home, LOG) as store:
        before = [leaf_of(n.state) for n in store.notifications(0, 100)]
    assert hub.look(home, "access_purge")["purged"] == 8
    with access_sealing.sealable(home, LOG) as store:
        assert [leaf_of(n.state) for n in store.notifications(0, len(before))] == before
    later = seal(home)
    assert held(home, kept)["sealed"]["findings"] == [] and held(home, kept)["problems"] == []
    proof = str(hub.look(home, "access_growth", first=12)["proof"])
    proved = check_proof(proof.encode(), read_keys(sealing.public_key_file(home, LOG)))
    assert isinstance(proved, ProvedGrowth) and (proved.first.seal.size, proved.second.seal.size) == (12, later.size)


def test_after_a_purge_the_nodes_are_made_anew_from_the_hashes_that_are_left(home: Home) -> None:
    hub.look(home, "access_purge")
    for file in (home.folder / "trees" / LOG / "sha-256").iterdir():
        file.unlink()
    assert seal(home).number == 2 and held(home)["sealed"]["findings"] == []


def test_seals_stay_when_what_they_cover_is_purged(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(access_reading, "timedelta", lambda days: timedelta(days=-days))
    done = hub.look(home, "access_purge")
    assert done["purged"] == 13 and note(home)
    assert held(home)["sealed"]["findings"] == [] and held(home)["problems"] == []


# -- proofs --------------------------------------------------------------------------------------------------------


def accesses(home: Home) -> list[dict[str, object]]:
    with access_log.opened(home) as log:
        return list(reversed(access_reading.listed(log, {})["accesses"]))


def test_one_access_is_proved_to_who_has_the_key_alone(home: Home, tmp_path: Path) -> None:
    one = next(each for each in accesses(home) if each["purpose"] == "new case")
    proof = str(hub.look(home, "access_prove", access=one["business_key"])["proof"])
    proved = check_proof(proof.encode(), read_keys(sealing.public_key_file(home, LOG)))
    assert isinstance(proved, ProvedEvent) and proved.record is not None
    assert (proved.record["purpose"], proved.record["outcome"], proved.index) == ("new case", "answered", 9)
    (tmp_path / "proof.json").write_text(proof, "utf-8")
    files = (ROOT / "docs" / "verify.py", tmp_path / "proof.json", sealing.public_key_file(home, LOG))
    command = [sys.executable, *map(str, files)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0 and "is record 10 of the 12 of yrd/access" in done.stdout, done.stderr


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (lambda home: {"access": "nobody|1"}, 'holds no access "nobody|1"'),
        (lambda home: {"access": accesses(home)[-1]["business_key"]}, "is under no seal yet; seal the log with"),
        (lambda home: (hub.look(home, "access_purge"), {"access": "old|1"})[1], "old.1 is past its retention and was purged"),
    ],
)
def test_what_can_not_be_proved_is_a_sentence(home: Home, given: Callable[[Home], dict[str, Any]], message: str) -> None:
    hub.read(home, "SELECT 'later'")
    with pytest.raises(ValueError, match=message):
        hub.look(home, "access_prove", **given(home))


def test_growth_is_proved_between_sealed_sizes_alone(home: Home) -> None:
    for first, second in ((3, None), (12, 99)):
        with pytest.raises(ValueError, match=r"No seal of the access log covers .* records; sealed sizes are 12"):
            hub.look(home, "access_growth", first=first, second=second)
    hub.read(home, "SELECT 3")
    later = seal(home)
    with pytest.raises(ValueError, match=f"{later.size} is more than 12"):
        hub.look(home, "access_growth", first=later.size, second=12)


# -- the commands --------------------------------------------------------------------------------------------------


def test_an_auditor_takes_a_seal_away_and_checks_with_it(
    home: Home, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    yrd, key = Yrd(home.folder, capsys), str(sealing.public_key_file(home, LOG))
    assert yrd("access", "seal") == 0 and "Wrote access.seal: seal 1, 12 records up to position 12" in yrd.out
    assert yrd("seal", "--publisher", "access") == 0 and "Seal 2 of access covers" in yrd.out
    assert yrd("access", "check", "--key", key, "--kept", "access.seal") == 0
    assert "no problems" in yrd.out and "are those that were sealed" in yrd.out
    assert yrd("access", "consistency", "12") == 0 and yrd("audit", "verify", "consistency.json", "--key", key) == 0
    assert "Proved: the access log with 12 records" in yrd.out
    altered(home, "UPDATE stored_events SET state = CAST(replace(state, 'new case', 'old case') AS BLOB) WHERE rowid = 10")
    assert yrd("access", "check") == 0, "by itself it is another whole log"
    assert yrd("access", "check", "--key", key) == 1 and "altered" in yrd.err


def test_each_failure_of_the_commands_is_a_sentence(home: Home, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    yrd, key = Yrd(home.folder, capsys), str(sealing.public_key_file(home, LOG))
    (tmp_path / "bad.seal").write_bytes(b"\xff")
    (tmp_path / "no.seal").write_text("no note")
    assert "nothing" in yrd.failure("access", "check", "--kept", str(tmp_path / "no.seal"))
    assert "is missing" in yrd.failure("access", "check", "--key", str(tmp_path / "gone"))
    assert yrd("access", "check", "--key", key, "--kept", str(tmp_path / "bad.seal")) == 2
    assert "can't be read" in " ".join(yrd.err.replace("│", "").split()), "however its lines are broken"
    assert "note" in yrd.failure("access", "check", "--key", key, "--kept", str(tmp_path / "no.seal"))
    assert "No seal of the access log covers 5 records" in yrd.failure("access", "consistency", "5")


def test_an_operator_may_not_take_seals_or_proofs(home: Home) -> None:
    with (home.folder / "yrd.toml").open("a") as file:
        file.write(f'operators = "{account_name(os.getuid())}"\nauditors = "someone-else"\n')
    for name in ("access_seal", "access_prove", "access_growth"):
        with pytest.raises(ReadRefused, match="is no auditor of this home"):
            hub.look(Home(home.folder), name, access="x", first=12)
