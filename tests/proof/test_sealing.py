"""A publisher's side: keys, seals when they are due, and a store that was altered, over which nothing is signed."""

import sqlite3
import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path

import psycopg
import pytest

from connectors.home.folder import Home
from connectors.hub import hub
from connectors.logs.whole_logs import check_all
from connectors.persons.recording import Persons
from connectors.proof import sealing
from connectors.publishing.reporting import report_lines
from repository.events.encoding import decode
from repository.keys import signing
from repository.keys.secret_files import KeyExists, KeyExposed, KeyRefused, KeyUnreadable
from repository.proof.merkle import SHA_256, hashing
from repository.proof.seal import KIND, seal_of_record
from repository.proof.signed_note import ED25519, VerifierKey
from repository.store import stored_leaves
from repository.store.publisher import Publisher
from repository.store.stored_leaves import JustRecorded, stored_portions
from tests.support.dumps_for_tests import (
    JUNE,
    Yrd,
    asked,
    dump,
    imported,
    many,
    profile,
    projected,
    publishing,
    recorded,
    region,
    told,
)
from tests.support.sealed_logs import keyed, sealed_now
from tests.support.waiting import eventually

NOW = datetime(2026, 9, 1, 4, tzinfo=UTC)


def seals(home: Home, publisher: str = "31") -> list[int]:
    """Tree sizes of the seals in a store."""
    return [e["tree_size"] for e in recorded(home, publisher) if e["kind"] == KIND]


# -- keys ----------------------------------------------------------------------------------------------------------


def test_a_key_is_its_owners_alone_and_its_public_half_is_for_all(tmp_path: Path) -> None:
    home = keyed(region(tmp_path), "31")
    assert sealing.key_file(home, "31").stat().st_mode & 0o777 == 0o600
    made = sealing.signer(home, "31")
    assert made is not None and made.name == "yrd/31" and made.type_ == ED25519
    public = sealing.public_key_file(home, "31").read_text("utf-8")
    assert VerifierKey.parse(public.strip()) == made.verifier
    assert made.secret.hex() not in public


def test_a_key_is_never_overwritten(tmp_path: Path) -> None:
    home = keyed(region(tmp_path), "31")
    before = sealing.key_file(home, "31").read_bytes()
    with pytest.raises(KeyExists, match="is not overwritten"):
        sealing.create_key(home, "31")
    assert sealing.key_file(home, "31").read_bytes() == before


@pytest.mark.parametrize(
    "content", [b"", b"yrd signing key 1\n", b"\xff" * 40, b"x" * 9000, b"yrd signing key 1\nyrd/31\n9\n" + b"0" * 64]
)
def test_a_file_that_is_no_key_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "k"
    path.write_bytes(content)
    path.chmod(0o600)
    with pytest.raises(KeyUnreadable, match="is no signing key"):
        signing.load(path)


@pytest.mark.parametrize("mode", [0o644, 0o640, 0o602])
def test_a_key_that_others_may_read_is_refused_before_anything_is_recorded(tmp_path: Path, mode: int) -> None:
    home = keyed(region(tmp_path), "31")
    sealing.key_file(home, "31").chmod(mode)
    with pytest.raises(KeyExposed, match="run chmod 600"):
        imported(home, profile(tmp_path), many(tmp_path, 3))
    assert recorded(home) == []


# -- when ----------------------------------------------------------------------------------------------------------


def test_an_import_without_a_key_seals_nothing(tmp_path: Path) -> None:
    home = region(tmp_path)
    imported(home, profile(tmp_path), many(tmp_path, 3))
    assert seals(home) == []


def test_an_import_seals_the_first_time_then_when_enough_is_new(tmp_path: Path) -> None:
    home, source = keyed(region(tmp_path, seal_every_events=5), "31"), profile(tmp_path)
    imported(home, source, many(tmp_path, 3))
    assert seals(home) == [4], "three events and the batch record"
    imported(home, source, many(tmp_path, 3, phone="2"), as_of=JUNE)
    assert seals(home) == [4], "four records are new, five would be enough"
    imported(home, source, many(tmp_path, 4, phone="2"), as_of=JUNE)
    assert seals(home) == [4, 11]


def test_new_records_are_sealed_after_a_time(tmp_path: Path) -> None:
    home, source = keyed(region(tmp_path, seal_every_s=3600), "31"), profile(tmp_path)
    imported(home, source, many(tmp_path, 3))
    key = sealing.signer(home, "31")
    (first,) = [e for e in recorded(home) if e["kind"] == KIND]
    with home.store("31") as store:
        late = first["recorded_at"] + timedelta(seconds=3600)
        assert sealing.seal_when_due(home, store, key, late) is None, "nothing is new"
        imported(home, source, many(tmp_path, 3, phone="2"), as_of=JUNE)
        assert sealing.seal_when_due(home, store, key, late - timedelta(seconds=1)) is None
        made = sealing.seal_when_due(home, store, key, late)
    assert made is not None and (made.number, made.size) == (2, 9)


def test_where_nothing_but_a_seal_is_new_nothing_is_sealed(tmp_path: Path) -> None:
    home = keyed(region(tmp_path), "31")
    imported(home, profile(tmp_path), many(tmp_path, 3))
    for _ in range(3):
        assert sealed_now(home) is None
    assert seals(home) == [4]


def test_two_who_seal_at_once_make_one_seal(tmp_path: Path) -> None:
    home = region(tmp_path)
    imported(home, profile(tmp_path), many(tmp_path, 300))
    keyed(home, "31")
    made: list[object] = []
    threads = [threading.Thread(target=lambda: made.append(sealed_now(home))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(made) == 4 and len([m for m in made if m is not None]) == 1
    assert seals(home) == [301]


def test_an_empty_log_can_not_be_sealed(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="is empty; there is nothing to seal"):
        sealed_now(keyed(region(tmp_path), "31"))


def test_a_follower_seals_what_is_due_and_judges_it(tmp_path: Path) -> None:
    home = region(tmp_path)
    imported(home, profile(tmp_path), many(tmp_path, 5))
    keyed(home, "31", "hub")
    started, stop = threading.Event(), threading.Event()
    follower = threading.Thread(target=hub.follow, args=(home, started.set, stop))
    follower.start()
    try:
        eventually(started.is_set)
        eventually(lambda: asked(home, "SELECT verdict FROM seal_status") == [{"verdict": "accepted"}])
    finally:
        stop.set()
        follower.join()
    assert asked(home, "SELECT verdict, tree_size FROM seal_status") == [{"verdict": "accepted", "tree_size": 6}]


# -- the stored nodes ----------------------------------------------------------------------------------------------


def test_lost_nodes_are_made_anew_with_the_same_roots(tmp_path: Path) -> None:
    home, source = keyed(region(tmp_path), "31", "hub"), profile(tmp_path)
    imported(home, source, many(tmp_path, 300))
    for file in (home.folder / "trees" / "31" / "sha-256").iterdir():
        file.unlink()
    imported(home, source, many(tmp_path, 300, phone="2"), as_of=JUNE)
    made = sealed_now(home)
    assert made is not None and made.size == 603
    projected(home)
    assert [r["verdict"] for r in asked(home, "SELECT verdict FROM seal_verdicts ORDER BY seal_no")] == ["accepted"] * 2


def test_seals_over_other_positions_than_ranks_hold(tmp_path: Path) -> None:
    # A store whose numbers have a hole, as PostgreSQL leaves one where a transaction is given up.
    home, source = region(tmp_path), profile(tmp_path)
    imported(home, source, many(tmp_path, 5))
    with sqlite3.connect(home.store_file("31")) as file:
        file.execute("UPDATE stored_events SET rowid = rowid + 100 WHERE rowid > 3")
    file.close()
    keyed(home, "31", "hub")
    made = sealed_now(home)
    assert made is not None and (made.size, made.last_position) == (6, 106)
    projected(home)
    assert asked(home, "SELECT verdict FROM seal_status") == [{"verdict": "accepted"}]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ("UPDATE stored_events SET state = CAST(state || x'00' AS BLOB) WHERE rowid = 6", "position 6 that its tree ends with"),
        ("DELETE FROM stored_events WHERE rowid = 6", "position 6 that its tree ends with"),
    ],
)
def test_over_a_store_that_was_altered_at_the_seam_nothing_is_signed(tmp_path: Path, change: str, said: str) -> None:
    home = keyed(region(tmp_path), "31")
    imported(home, profile(tmp_path), many(tmp_path, 5))
    with sqlite3.connect(home.store_file("31")) as file:
        file.execute(change)
    file.close()
    with pytest.raises(sealing.LogAltered, match=said):
        sealed_now(home)
    with home.store("31") as store:
        assert sum(kind == KIND for portion in stored_portions(store, 0) for kind in portion.kinds) == 1


def test_over_a_rewritten_store_nothing_is_signed_even_where_the_nodes_were_made_anew(tmp_path: Path) -> None:
    home, source = keyed(region(tmp_path), "31"), profile(tmp_path)
    imported(home, source, many(tmp_path, 5))
    for file in (home.folder / "trees" / "31" / "sha-256").iterdir():
        file.unlink()
    with sqlite3.connect(home.store_file("31")) as store:
        store.execute("UPDATE stored_events SET state = CAST(replace(state, '院000001', '院000009') AS BLOB) WHERE rowid = 2")
    store.close()
    with pytest.raises(sealing.LogAltered, match=r"have the root .* and were sealed with"):
        sealed_now(home)


def test_told_is_what_the_import_told(tmp_path: Path) -> None:
    # Seals are records of the log, and no facts: whoever counts facts does not count them.
    home = keyed(region(tmp_path), "31")
    imported(home, profile(tmp_path), dump(tmp_path, [("a", "1", 5)]))
    assert [key for key, _ in told(home) if key != "31"] == ["a"]
    assert projected(home)["events"] == 3
    assert asked(home, "SELECT count(*) AS n FROM supply_history") == [{"n": 1}]
    assert asked(home, "SELECT count(*) AS n FROM gaps") == [{"n": 0}]


def test_an_import_hands_its_leaves_over_and_the_seal_is_the_one_over_the_bytes(tmp_path: Path) -> None:
    # Live facts come between, before and after: what was handed over is used where it is the end of the log, else read.
    home, source = region(tmp_path, seal_every_events=1), profile(tmp_path)
    imported(home, source, many(tmp_path, 40))
    keyed(home, "31", "hub")
    key = sealing.signer(home, "31")
    assert key is not None
    imported(home, source, many(tmp_path, 60, phone="2"), as_of=JUNE)
    with home.store("31") as store:
        (portion,) = stored_portions(store, 0)
        (made,) = [s for k, s in zip(portion.kinds, portion.states, strict=True) if k == KIND]
        sha = hashing(SHA_256)
        leaves = [sha.leaf(state) for state in portion.states]
        assert seal_of_record(decode(made)[1])[0].root == sha.root(leaves[:-1])
        list(report_lines(Persons(home, store), "supply", ['{"business_key": "live", "phone": "1"}'], "live"))
        # Leaves that are not the end of the log are not believed: neither others nor those of another place.
        for wrong in (bytes(96), b"".join(leaves[-2:]), b"".join(leaves), b"x"):
            again = sealing.seal_now(home, store, key, NOW, JustRecorded(bytearray(wrong)))
            assert again is None or again.root == sha.root([*leaves, sha.leaf(last_before_seal(store))])
    projected(home)
    assert {row["verdict"] for row in asked(home, "SELECT verdict FROM seal_verdicts")} == {"accepted"}


@pytest.mark.long
def test_logs_in_postgresql_are_sealed_judged_and_checked(tmp_path: Path, database: str) -> None:
    with psycopg.connect(database) as connection:
        for code in ("00", "31", "32", "33", "34"):
            connection.execute(f'CREATE SCHEMA IF NOT EXISTS "yrd_{code}"')
    home = region(tmp_path)
    with (home.folder / "yrd.toml").open("a") as file:
        file.write(f'store_url = "{database}"\n')
    home, source = keyed(Home(home.folder), "31", "hub"), profile(tmp_path)
    imported(home, source, many(tmp_path, 30))
    imported(home, source, many(tmp_path, 30, phone="2"), as_of=JUNE)
    made = sealed_now(home)
    assert made is not None and made.number == 2
    projected(home)
    assert asked(home, "SELECT verdict FROM seal_status") == [{"verdict": "accepted"}]
    keys = signing.read_keys(sealing.public_key_file(home, "31"))
    checked = [c for c in check_all(home, keys) if c.records]
    assert [(c.publisher, c.proved_size, c.findings) for c in checked] == [("31", made.size, [])]


def test_who_goes_on_reporting_is_not_chased_by_who_checks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    home = keyed(region(tmp_path), "31")
    imported(home, profile(tmp_path), many(tmp_path, 30))
    sealed_now(home)
    read = stored_leaves.stored_portion
    told_: list[int] = []

    def portion(store: Publisher, after: int) -> stored_leaves.Portion:
        if len(told_) < 60:
            told_.append(after)
            with publishing(home) as persons:
                list(report_lines(persons, "supply", [f'{{"business_key": "new {len(told_)}", "phone": "1"}}'], "live"))
        return read(store, after, 10)

    monkeypatch.setattr(stored_leaves, "stored_portion", portion)
    (checked,) = [c for c in check_all(home, signing.read_keys(sealing.public_key_file(home, "31"))) if c.publisher == "31"]
    assert checked.findings == [] and 0 < len(told_) < 20


def last_before_seal(store: Publisher) -> bytes:
    """The bytes of the last record that is no seal."""
    return [s for p in stored_portions(store, 0) for k, s in zip(p.kinds, p.states, strict=True) if k != KIND][-1]


# -- the command line ----------------------------------------------------------------------------------------------


@pytest.fixture
def yrd(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Yrd:
    monkeypatch.setenv("NO_COLOR", "1")
    return Yrd(region(tmp_path).folder, capsys)


def test_seals_are_made_on_demand(yrd: Yrd, tmp_path: Path) -> None:
    home = Home(yrd.home)
    assert yrd.json("signer", "create", "--publisher", "31")["verifier_key"].startswith("yrd/31+")
    assert (
        yrd.json("signer", "show", "--publisher", "31")["verifier_key"] + "\n" == sealing.public_key_file(home, "31").read_text()
    )
    imported(Home(yrd.home), profile(tmp_path), many(tmp_path, 2))
    assert yrd.json("seal", "--publisher", "31") is None
    assert yrd("heartbeat", "--publisher", "31", "--source", "s") == 0
    made = yrd.json("seal", "--publisher", "31")
    assert (made["seal"], made["tree_size"], made["leaves"]) == (2, 5, {"batch": 2, "seal": 1, "supply": 2})
    assert yrd("seal", "--publisher", "31") == 0 and "Nothing has come" in yrd.out


def test_what_can_not_be_sealed_is_one_sentence(yrd: Yrd) -> None:
    assert "31.signing is missing: restore it, or make one with `yrd signer create`" in yrd.failure("seal", "--publisher", "31")
    assert "is no publisher of this home" in yrd.failure("seal", "--publisher", "77")
    assert "is no publisher of this home" in yrd.failure("signer", "create", "--publisher", "../31")
    yrd("signer", "create", "--publisher", "31")
    assert "exists already and is not overwritten" in yrd.failure("signer", "create", "--publisher", "31")
    assert "is empty; there is nothing to seal" in yrd.failure("seal", "--publisher", "31")
    sealing.key_file(Home(yrd.home), "31").chmod(0o644)
    assert "open to others: run chmod 600 on it" in yrd.failure("seal", "--publisher", "31")
    assert issubclass(KeyExposed, KeyRefused)


def test_a_setting_that_names_no_hash_is_refused(yrd: Yrd) -> None:
    with (yrd.home / "yrd.toml").open("a") as file:
        file.write('seal_hash = "md5"\n')
    assert 'seal_hash is "md5"; it takes sha-256 or sm3' in yrd.failure("seal", "--publisher", "31")
