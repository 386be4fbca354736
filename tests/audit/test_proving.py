"""The auditor's commands, on real homes: proofs made and checked, whole logs checked, and every failure one sentence."""

import json
import sqlite3
import subprocess
import sys
from pathlib import Path
from random import Random

import pytest

from connectors.home.folder import Home
from connectors.proof import sealing
from tests.support.dumps_for_tests import JUNE, Yrd, asked, dump, imported, many, profile, projected, region
from tests.support.project import ROOT
from tests.support.sealed_logs import keyed, keys_file, sealed_now
from tests.support.suites import many_times


@pytest.fixture
def yrd(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Yrd:
    """The command line at a home whose publisher 31 has sealed twice, and whose hub has countersigned."""
    monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.chdir(tmp_path)
    home, source = keyed(region(tmp_path), "31", "hub"), profile(tmp_path)
    imported(home, source, many(tmp_path, 20))
    imported(home, source, dump(tmp_path, [("院000003", "9", 3)], name="two.csv"), as_of=JUNE)
    sealed_now(home)
    projected(home)
    keys_file(home, "31", "hub")
    return Yrd(home.folder, capsys)


def event(yrd: Yrd, key: str = "院000007") -> str:
    (row,) = asked(Home(yrd.home), f"SELECT event_id::VARCHAR AS e FROM supply_history WHERE business_key = '{key}' LIMIT 1")
    return str(row["e"])


def store(yrd: Yrd, *statements: str) -> None:
    """Alter the store behind everybody's back."""
    with sqlite3.connect(Home(yrd.home).store_file("31")) as file:
        for statement in statements:
            file.execute(statement)
    file.close()


# -- one event -----------------------------------------------------------------------------------------------------


def test_an_event_is_proved_and_the_proof_checked_without_a_home(yrd: Yrd, tmp_path: Path) -> None:
    assert yrd("audit", "prove", event(yrd), "-o", "p.json") == 0
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "p.json").write_bytes((tmp_path / "p.json").read_bytes())
    (elsewhere / "keys").write_bytes((tmp_path / "auditor.keys").read_bytes())
    command = [sys.executable, "-m", "connectors.command_line", "audit", "verify", "p.json", "--key", "keys"]
    done = subprocess.run(
        command,
        cwd=elsewhere,
        env={"PYTHONPATH": str(ROOT), "PATH": ""},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    said = " ".join(done.stdout.split())
    assert f"Proved: event {event(yrd)}, ServicePointRegistered of 院000007 (version 1" in said
    assert "is record 8 of the 21 in the log of publisher 31 that seal 1 of" in said
    assert "Seal 1 is signed with the key yrd/31+" in said and "yrd/hub+" in said and "saw the whole log agree" in said
    by_hand = [sys.executable, "-I", str(ROOT / "docs" / "verify.py"), "p.json", "keys"]
    done = subprocess.run(by_hand, cwd=elsewhere, capture_output=True, text=True, check=False)
    assert done.returncode == 0 and f"event {event(yrd)} is record 8 of the 21 of yrd/31" in done.stdout
    assert sorted(p.name for p in elsewhere.iterdir()) == ["keys", "p.json"], "checking leaves nothing behind"


def test_what_is_proved_is_also_said_to_programs(yrd: Yrd) -> None:
    yrd("audit", "prove", event(yrd), "-o", "p.json")
    assert yrd("audit", "verify", "p.json", "--key", "auditor.keys", "--json", home=False) == 0
    proved = json.loads(yrd.out)
    assert (proved["proved"], proved["event"]["business_key"], proved["leaf_index"]) == ("inclusion", "院000007", 7)


@pytest.mark.long
def test_every_event_of_a_log_is_proved(yrd: Yrd) -> None:
    rows = asked(
        Home(yrd.home), "SELECT event_id::VARCHAR AS e FROM supply_history UNION ALL SELECT event_id::VARCHAR FROM batch_history"
    )
    assert len(rows) == 23
    for row in rows:
        assert yrd("audit", "prove", row["e"], "-o", "p.json") == 0
        assert yrd("audit", "verify", "p.json", "--key", "auditor.keys", home=False) == 0


@pytest.mark.long
def test_without_a_key_or_with_a_wrong_one_it_is_one_sentence(yrd: Yrd, tmp_path: Path) -> None:
    yrd("audit", "prove", event(yrd), "-o", "p.json")

    def fails(*more: str) -> str:
        return yrd.failure("audit", "verify", "p.json", *more, home=False)

    assert "Without a public key nothing is proved; name your own copy of it with --key FILE" in fails()
    assert "nowhere is missing; it must hold your own copy of the public keys" in fails("--key", "nowhere")
    (tmp_path / "empty").write_text("\n")
    assert "holds no public key" in fails("--key", "empty")
    (tmp_path / "bad").write_bytes(b"\xff\xfe key")
    assert "holds no public key" in fails("--key", "bad")
    assert "holds no public key" in fails("--key", str(sealing.key_file(Home(yrd.home), "31")))
    sealing.create_key(Home(yrd.home), "32")
    assert "of that no public key is given" in fails("--key", str(sealing.public_key_file(Home(yrd.home), "32")))
    assert "can't be read" in fails("--key", str(tmp_path))


@many_times("bytes_", 200)
def test_a_tampered_byte_is_caught(yrd: Yrd, tmp_path: Path, bytes_: int) -> None:
    yrd("audit", "prove", event(yrd), "-o", "p.json")
    data, chance = bytearray((tmp_path / "p.json").read_bytes()), Random(4)
    for _ in range(bytes_):
        at = chance.randrange(len(data))
        data[at] ^= 1
        (tmp_path / "p.json").write_bytes(data)
        yrd.failure("audit", "verify", "p.json", "--key", "auditor.keys", home=False)
        data[at] ^= 1


@pytest.mark.long
def test_what_can_not_be_proved_yet_says_what_to_do(yrd: Yrd) -> None:
    home = Home(yrd.home)
    assert "is no event id" in yrd.failure("audit", "prove", "x")
    assert "holds no event" in yrd.failure("audit", "prove", "00000000-0000-4000-8000-000000000000")
    yrd("heartbeat", "--publisher", "31", "--source", "s")
    projected(home)
    (row,) = asked(home, "SELECT event_id::VARCHAR AS e FROM batch_history ORDER BY position DESC LIMIT 1")
    assert "is under no accepted seal yet; seal it with `yrd seal --publisher 31`" in yrd.failure("audit", "prove", row["e"])
    assert "No accepted seal of 31 covers 4 records; sealed sizes are 21, 24" in yrd.failure(
        "audit", "consistency", "4", "24", "--publisher", "31"
    )
    assert "name the smaller size first" in yrd.failure("audit", "consistency", "24", "21", "--publisher", "31")


def test_a_record_that_was_altered_since_is_not_proved(yrd: Yrd) -> None:
    store(yrd, "UPDATE stored_events SET state = CAST(replace(state, '院000007', '院000009') AS BLOB) WHERE rowid = 8")
    assert "no longer holds the record that was accepted at position 8" in yrd.failure("audit", "prove", event(yrd))


def test_growth_is_proved_and_checked(yrd: Yrd) -> None:
    assert yrd("audit", "consistency", "21", "24", "--publisher", "31", "-o", "c.json") == 0
    assert yrd("audit", "verify", "c.json", "--key", "auditor.keys", home=False) == 0
    assert "with 21 records, sealed at" in yrd.out and "is the beginning of its log with 24 records" in yrd.out
    assert yrd.json("audit", "consistency", "21", "21", "--publisher", "31")["proof"] == "consistency.json"


# -- whole logs ----------------------------------------------------------------------------------------------------


def test_a_whole_log_is_checked_from_its_bytes_to_the_signatures(yrd: Yrd) -> None:
    (checked,) = yrd.json("audit", "verify", "--all", "--key", "auditor.keys")
    assert checked == {
        "publisher": "31", "records": 25, "seals": 2, "proved_size": 24, "proved_position": 24, "findings": [],
    }  # fmt: skip
    assert yrd("audit", "verify", "--all", "--key", "auditor.keys") == 0
    assert "31: the first 24 records, up to position 24, are those that seal 2 of" in yrd.out


@pytest.mark.long
@pytest.mark.parametrize(
    ("change", "first_bad"),
    [
        ("UPDATE stored_events SET state = CAST(replace(state, '院000007', '院000009') AS BLOB) WHERE rowid = 8", 8),
        ("UPDATE stored_events SET state = 'a text' WHERE rowid = 8", 8),
        ("UPDATE stored_events SET state = 17 WHERE rowid = 21", 21),
        ("UPDATE stored_events SET state = x'' WHERE rowid = 23", 23),
        ("UPDATE stored_events SET topic = 'standard.X' WHERE rowid = 8", None),
        ("DELETE FROM stored_events WHERE rowid = 8", 8),
        ("DELETE FROM stored_events WHERE rowid > 20", 21),
        ("DELETE FROM stored_events WHERE rowid > 24", 25),
    ],
)
def test_whatever_is_done_to_a_store_is_found_with_its_position(yrd: Yrd, change: str, first_bad: int | None) -> None:
    store(yrd, change)
    (checked,) = yrd.json("audit", "verify", "--all", "--key", "auditor.keys", status=1)
    firsts = [f["finding"]["first_bad_position"] for f in checked["findings"]]
    assert checked["findings"]
    assert first_bad is None or (first_bad in firsts and min(p for p in firsts if p) >= 1)
    assert yrd("audit", "verify", "--all", "--key", "auditor.keys") == 1 and "Traceback" not in yrd.err


@pytest.mark.long
def test_a_history_says_of_each_event_what_is_proved(yrd: Yrd, tmp_path: Path) -> None:
    home = Home(yrd.home)

    def proofs() -> dict[int, str]:
        return {row["version"]: row["proof"] for row in yrd.json("audit", "history", "院000007")}

    imported(home, profile(tmp_path), dump(tmp_path, [("院000007", "8", 3)], name="three.csv"), as_of=JUNE)
    projected(home)
    assert proofs() == {1: "sealed, seal 1 accepted", 2: "not sealed"}
    imported(home, profile(tmp_path), dump(tmp_path, [("院000008", "8", 3)], name="four.csv"), as_of=JUNE)
    sealed_now(home)
    store(yrd, "UPDATE stored_events SET state = CAST(replace(state, '院000008', '院000009') AS BLOB) WHERE rowid = 28")
    projected(home)
    assert set(proofs().values()) == {"in doubt: seal 3 is altered"}


def test_two_exchanged_records_are_found_by_the_first(yrd: Yrd) -> None:
    store(
        yrd,
        "UPDATE stored_events SET rowid = -8 WHERE rowid = 8",
        "UPDATE stored_events SET rowid = 8 WHERE rowid = 12",
        "UPDATE stored_events SET rowid = 12 WHERE rowid = -8",
    )
    (checked,) = yrd.json("audit", "verify", "--all", "--key", "auditor.keys", status=1)
    assert checked["findings"][0]["finding"]["first_bad_position"] == 8


@pytest.mark.long
def test_a_store_that_is_gone_is_missed_where_its_seals_were_countersigned(yrd: Yrd) -> None:
    Home(yrd.home).store_file("31").unlink()
    assert yrd("audit", "verify", "--all", "--key", "auditor.keys") == 1
    assert "31: withheld: seal 1:" in yrd.err and "31: the log is empty." in yrd.out


@pytest.mark.long
def test_a_log_that_nobody_sealed_proves_nothing_and_fails(yrd: Yrd, tmp_path: Path) -> None:
    imported(Home(yrd.home), profile(tmp_path), many(tmp_path, 2), "32")
    assert yrd("audit", "verify", "--all", "--key", "auditor.keys") == 1
    assert "32: of 3 records nothing is proved; no seal holds." in yrd.out


def test_keys_may_come_from_the_list_that_the_office_signs(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    home = keyed(region(tmp_path), "00", "31")
    yrd = Yrd(home.folder, capsys)
    assert yrd("member", "add", "31", sealing.public_key_file(home, "31")) == 0
    imported(home, profile(tmp_path), many(tmp_path, 2))
    sealed_now(home, "00")
    found = yrd.json("audit", "verify", "--all", "--key", sealing.public_key_file(home, "00"))
    assert [(c["publisher"], c["proved_size"], c["findings"]) for c in found] == [("00", 1, []), ("31", 3, [])]
    assert yrd.json("audit", "verify", "--all", "--key", sealing.public_key_file(home, "31"), status=1)[0]["findings"]


def test_wrong_usage_is_said(yrd: Yrd) -> None:
    assert yrd("audit", "verify", "--key", "auditor.keys") == 2
    assert yrd("audit", "verify", "p.json", "--all", "--key", "auditor.keys") == 2
    assert yrd("audit", "verify", "p.json", "--log", "kafka", "--key", "auditor.keys") == 2


# -- status and the member commands --------------------------------------------------------------------------------


@pytest.mark.long
def test_status_shows_what_was_found_and_where(yrd: Yrd, tmp_path: Path) -> None:
    assert yrd("status") == 0 and "accepted" in yrd.out
    imported(Home(yrd.home), profile(tmp_path), many(tmp_path, 4, phone="5"), as_of=JUNE)
    sealed_now(Home(yrd.home))
    store(yrd, "UPDATE stored_events SET state = CAST(replace(state, '院000001', '院000009') AS BLOB) WHERE rowid = 27")
    projected(Home(yrd.home))
    assert yrd("status") == 0
    assert "Seal 3 of 31 is altered: The log holds other bytes than were sealed, beginning at position 27." in yrd.out
    assert "expected mark " in yrd.out


def test_member_commands_keep_the_list(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    home = keyed(region(tmp_path), "00", "31")
    yrd = Yrd(home.folder, capsys)
    key = sealing.public_key_file(home, "31")
    assert yrd.json("member", "add", "31", key)["event_type"] == "MemberListed"
    assert "is listed already" in yrd.failure("member", "add", "31", key)
    assert yrd.json("member", "revoke", "31", key, "--from", "9")["from_position"] == 9
    key.chmod(0o600)
    assert "is no signing key" in yrd.failure("member", "rotate", "31", key, "--from", "9", "--signed-by", key)
    projected(home)
    assert [row["event_type"] for row in yrd.json("member", "list")] == ["MemberListed", "KeyRevoked"]
