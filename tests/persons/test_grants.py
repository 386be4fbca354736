"""Grants: personal fields are NULL to everybody but whom they were granted to, for the groups and the time granted."""

import sqlite3
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from connectors.access.refused import ReadRefused
from connectors.base.base import opened
from connectors.home.folder import Home
from connectors.home.regional_key import tokeniser
from connectors.hub import hub
from connectors.hub.granted_reads import read_under_grant, reader
from connectors.logs.opened import opened_log
from connectors.persons.decryption import decrypted, forget_keys, granted_keys_file, import_keys, live_grants
from connectors.persons.grants import export_keys, hub_key_file, issue_grant, read_bundle, read_public, revoke_grant
from connectors.persons.subject_rights import take_measure
from projections.subject_measures import waits_for_scrubbing
from repository.controls.grant import GrantRefused
from repository.keys.secret_files import KeyExposed, KeyRefused, KeyUnreadable
from tests.support.dumps_for_tests import JUNE, followed, region
from tests.support.dumps_for_tests import Yrd as CommandLine
from tests.support.leaks import found_in
from tests.support.persons_for_tests import EVERYBODY, MOSS, REED, ROSE, Someone, home_of_persons, hub_key, insured, token_of
from tests.support.waiting import eventually

ASK = "SELECT publisher, subject_token, name, phone, birth_date, sex FROM persons_current ORDER BY publisher, subject_token"
NAMES = "SELECT name FROM persons_current WHERE publisher = '31' ORDER BY subject_token"
SAID = {"reason": "asked", "basis": "PIPL art. 47"}
SOON = timedelta(days=3)


def granted(
    folder: Path, groups: tuple[str, ...] = ("identity", "contact"), to: str | None = None, publishers: tuple[str, ...] = ("31",)
) -> Home:
    """A home whose publishers recorded everybody and granted fields to the account that runs the test."""
    home = home_of_persons(folder, "31", "33")
    public = hub_key(home, folder)
    for code in ("31", "33"):
        insured(home, folder, *(each.row() for each in EVERYBODY), publisher=code)
    for code in publishers:
        issue_grant(
            home, code, "G1", to or reader(), "double enrolment", groups, datetime.now(UTC) + SOON, {"basis": "agreement 7"}
        )
        export_keys(home, code, "G1", public, folder / f"{code}.keys")
        import_keys(home, folder / f"{code}.keys")
    hub.perform(home, "project")
    return home


def names(home: Home, grant: str = "G1") -> set[str | None]:
    return set(read_under_grant(home, NAMES, grant).column(0).to_pylist())


ALL = {ROSE.name, REED.name, MOSS.name}


def test_without_a_grant_personal_fields_are_null_and_the_token_joins(tmp_path: Path) -> None:
    home = granted(tmp_path)
    rows = hub.read(home, ASK).to_pylist()
    assert {(r["name"], r["phone"], r["birth_date"]) for r in rows} == {(None, None, None)} and len(rows) == 6
    assert hub.read(home, "SELECT count(*) AS n FROM duplicate_enrolment('2026-06-01')").to_pylist() == [{"n": 3}]


def test_a_grant_shows_its_groups_of_its_publisher_and_no_more(tmp_path: Path) -> None:
    home = granted(tmp_path, groups=("identity", "demography"))
    rows = {(r["publisher"], r["subject_token"]): r for r in read_under_grant(home, ASK, "G1").to_pylist()}
    shown = rows["31", token_of(home, ROSE)]
    assert (shown["name"], shown["birth_date"], shown["sex"], shown["phone"]) == (ROSE.name, "1990-03-07", "2", None)
    assert {r["name"] for (code, _), r in rows.items() if code == "33"} == {None}


@pytest.mark.long
def test_double_enrolment_shows_both_sides_under_grants_of_both_publishers(tmp_path: Path) -> None:
    home = granted(tmp_path, publishers=("31", "33"))
    sql = "SELECT name_a, phone_a, name_b FROM duplicate_enrolment('2026-06-01') ORDER BY subject_token"
    rows = read_under_grant(home, sql, "G1").to_pylist()
    assert {(r["name_a"], r["phone_a"], r["name_b"]) for r in rows} == {(p.name, p.phone, p.name) for p in EVERYBODY}
    lasting = "SELECT name_a, ends_publisher, why FROM duplicate_enrolment_lasting('2027-06-01', 12)"
    assert {(r["name_a"], r["ends_publisher"]) for r in read_under_grant(home, lasting, "G1").to_pylist()} == {
        (p.name, None) for p in EVERYBODY
    }


@pytest.mark.long
def test_personal_columns_give_nothing_to_filters_and_expressions(tmp_path: Path) -> None:
    home = granted(tmp_path)
    for filtering in (f"name = '{ROSE.name}'", "name = 'Rose'", "name LIKE '%'", "length(phone) > 3"):
        with pytest.raises(ReadRefused):
            read_under_grant(home, f"SELECT count(*) FROM persons_current WHERE {filtering}", "G1")
    # Grouping is by ciphertext, which differs from event to event, and a list of them stays closed.
    assert len(read_under_grant(home, "SELECT name, count(*) FROM persons_current GROUP BY name", "G1")) == 6
    assert ROSE.name not in str(read_under_grant(home, "SELECT list(name) AS l FROM persons_current", "G1").to_pylist())
    with pytest.raises(ReadRefused, match="personal_field is not open"):
        hub.read(home, "SELECT personal_field('name', '31', 'x', 'y', 'z'::BLOB)")
    with pytest.raises(ReadRefused, match="getvariable is not open"):
        hub.read(home, "SELECT getvariable('granted')")


@pytest.mark.long
def test_what_a_grant_showed_is_in_no_file_of_the_hub(tmp_path: Path) -> None:
    home = granted(tmp_path)
    assert names(home) == ALL
    for text in (ROSE.name, ROSE.phone, ROSE.number):
        assert found_in(home.folder, text) == []
    assert found_in(home.folder, "agreement 7")


@pytest.mark.long
@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (lambda home: revoke_grant(home, "31", "G1", {"reason": "ended"}), "expired or was revoked"),
        (
            lambda home: issue_grant(home, "31", "G1", "somebody", "p", ["card"], datetime.now(UTC) + SOON, {}),
            "is for somebody and not for",
        ),
    ],
)
def test_a_grant_that_ended_or_changed_hands_opens_nothing(tmp_path: Path, spoil: Callable[[Home], Any], words: str) -> None:
    home = granted(tmp_path)
    spoil(home)
    with pytest.raises(GrantRefused, match=words):
        names(home)
    with pytest.raises(GrantRefused, match="knows no grant G2"):
        names(home, "G2")


def test_a_grant_expires_by_the_clock_and_names_its_reader() -> None:
    row = {
        "publisher": "31", "grantee": "ann", "field_groups": ["card"], "in_force": True,
        "expires_at": datetime(2026, 7, 1, tzinfo=UTC),
    }  # fmt: skip
    (live,) = live_grants([row], "G", "ann", datetime(2026, 6, 30, 23, 59, tzinfo=UTC))
    assert live.fields == {"card_number"}
    with pytest.raises(GrantRefused, match="expired"):
        live_grants([row], "G", "ann", datetime(2026, 7, 1, tzinfo=UTC))
    with pytest.raises(GrantRefused, match="for ann and not for bob"):
        live_grants([row], "G", "bob", datetime(2026, 6, 1, tzinfo=UTC))


def test_a_revoked_grants_keys_are_destroyed_at_the_hub_and_in_an_old_copy_too(tmp_path: Path) -> None:
    home = granted(tmp_path)
    kept = granted_keys_file(home).read_bytes()
    revoke_grant(home, "31", "G1", {"reason": "ended"})
    hub.read(home, "SELECT 1")
    granted_keys_file(home).write_bytes(kept)
    hub.read(home, "SELECT 1")
    assert len(granted_keys_file(home).read_bytes()) and _granted_rows(home) == 0


def _granted_rows(home: Home) -> int:
    connection = sqlite3.connect(granted_keys_file(home))
    try:
        return int(connection.execute("SELECT count(*) FROM granted").fetchall()[0][0])
    finally:
        connection.close()


@pytest.mark.long
def test_an_erased_subjects_keys_are_destroyed_at_the_hub(tmp_path: Path) -> None:
    home = granted(tmp_path)
    assert _granted_rows(home) == 6
    take_measure(home, "31", token_of(home, ROSE), "erasure", True, SAID, tokeniser(home))
    assert names(home) == {REED.name, MOSS.name, None} and _granted_rows(home) == 4


@pytest.mark.long
def test_an_erased_subjects_keys_are_destroyed_at_once_also_while_a_reader_is_in_the_base(tmp_path: Path) -> None:
    home = granted(tmp_path)
    take_measure(home, "31", token_of(home, ROSE), "erasure", True, SAID, tokeniser(home))
    with opened_log(home) as log, opened(home) as base, base.cursor() as reader:
        reader.execute("BEGIN")
        reader.execute("SELECT count(*) FROM service_object_history").fetchall()
        assert base.project(log).events == 1 and waits_for_scrubbing(base.connection) and _granted_rows(home) == 4


def test_a_revoked_grants_keys_are_destroyed_by_a_process_that_keeps_the_base_open(tmp_path: Path) -> None:
    home = granted(tmp_path)
    with opened_log(home) as log, opened(home) as base:
        base.foresee(log)
        revoke_grant(home, "31", "G1", {"reason": "ended"})
        assert base.project(log).events == 1 and _granted_rows(home) == 6
        base.forgetting.next_look = 0
        base.forgetting.work()
        assert _granted_rows(home) == 0


@pytest.mark.long
def test_a_restricted_subject_is_neither_shown_nor_exported_and_comes_back(tmp_path: Path) -> None:
    home = granted(tmp_path)
    take_measure(home, "31", token_of(home, ROSE), "restriction", True, SAID, tokeniser(home))
    assert names(home) == {REED.name, MOSS.name, None}
    assert export_keys(home, "31", "G1", tmp_path / "hub.pub", tmp_path / "again.keys") == 2
    assert insured(home, tmp_path, ROSE.row(division="310104"), as_of=JUNE).counts.facts_rejected == 1
    take_measure(home, "31", token_of(home, ROSE), "restriction", False, SAID, tokeniser(home))
    assert names(home) == ALL


@pytest.mark.long
def test_new_subjects_are_shown_after_the_keys_were_exported_again(tmp_path: Path) -> None:
    home = granted(tmp_path)
    fern = Someone("TEST0004", "蕨草试", "13900000004")
    insured(home, tmp_path, fern.row())
    hub.perform(home, "project")
    assert names(home) == ALL | {None}
    export_keys(home, "31", "G1", tmp_path / "hub.pub", tmp_path / "again.keys")
    import_keys(home, tmp_path / "again.keys")
    assert names(home) == ALL | {fern.name}


@pytest.mark.long
def test_a_grant_is_used_beside_a_following_projector(tmp_path: Path) -> None:
    home = granted(tmp_path)
    with followed(home):
        assert names(home) == ALL and set(hub.read(home, NAMES).column(0).to_pylist()) == {None}
        take_measure(home, "31", token_of(home, ROSE), "erasure", True, SAID, tokeniser(home))
        eventually(lambda: names(home) == {REED.name, MOSS.name, None})
        eventually(lambda: _granted_rows(home) == 4)


# -- keys on their way ---------------------------------------------------------------------------------------------


def test_exported_keys_open_with_the_hubs_private_key_alone_and_only_whole(tmp_path: Path) -> None:
    home = granted(tmp_path)
    file = tmp_path / "31.keys"
    said, keys = read_bundle(home, file)
    assert said["groups"] == ["identity", "contact"] and all(set(each.keys) == {"identity", "contact"} for each in keys)
    whole = file.read_bytes()
    for place in (20, len(whole) // 2, len(whole) - 1):
        file.write_bytes(whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :])
        with pytest.raises(KeyUnreadable):
            read_bundle(home, file)
    file.write_bytes(whole)
    hub_key_file(home).unlink()
    (tmp_path / "other").mkdir()
    hub_key(home, tmp_path / "other")
    with pytest.raises(KeyUnreadable, match="does not open with this hub's key"):
        read_bundle(home, file)


@pytest.mark.parametrize(
    "content", [b"", b"{}", b"no json\n", b"\xff\xfe\x00", b'{"format": "yrd granted keys 1"}\n', b"[1]\n" * 9]
)
def test_a_file_that_holds_no_keys_is_a_sentence(tmp_path: Path, content: bytes) -> None:
    home = granted(tmp_path)
    (tmp_path / "bad.keys").write_bytes(content)
    with pytest.raises(KeyUnreadable, match="export them again"):
        import_keys(home, tmp_path / "bad.keys")
    (tmp_path / "bad.pub").write_bytes(content)
    with pytest.raises(KeyUnreadable, match="is no public key of a hub"):
        read_public(tmp_path / "bad.pub")


@pytest.mark.long
def test_a_hub_key_that_cannot_be_used_is_a_sentence(tmp_path: Path) -> None:
    home = granted(tmp_path)
    hub_key_file(home).chmod(0o644)
    with pytest.raises(KeyExposed):
        names(home)
    hub_key_file(home).unlink()
    with pytest.raises(KeyUnreadable, match="yrd personal-keys create --hub"):
        names(home)


def test_a_grant_that_makes_no_sense_is_refused(tmp_path: Path) -> None:
    home = home_of_persons(tmp_path)
    later = datetime.now(UTC) + SOON
    for groups, until, purpose, words in (
        (["names"], later, "p", "no group of personal fields"),
        ([], later, "p", "no group of personal fields"),
        (["card"], datetime.now(UTC), "p", "would have expired"),
        (["card"], later, "", "what for"),
    ):
        with pytest.raises(GrantRefused, match=words):
            issue_grant(home, "31", "G1", "ann", purpose, groups, until, {})
    with pytest.raises(GrantRefused, match="is not in force"):
        revoke_grant(home, "31", "G1", {})
    with pytest.raises(GrantRefused, match="issue it with"):
        export_keys(home, "31", "G1", hub_key(home, tmp_path), tmp_path / "x.keys")
    with pytest.raises(KeyRefused):
        decrypted(home_of_persons(tmp_path / "no hub"), pa.table({"a": [1]}), [])


def test_forgetting_needs_no_file_of_keys(tmp_path: Path) -> None:
    home = home_of_persons(tmp_path)
    hub.perform(home, "project")
    with home.lock("base", "test"), opened(home) as base:
        forget_keys(home, base.connection)
    assert not granted_keys_file(home).exists()


# -- the commands --------------------------------------------------------------------------------------------------


@pytest.mark.long
def test_grants_and_keys_as_commands(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    home = region(tmp_path)
    yrd = CommandLine(home.folder, capsys)
    yrd.json("key", "create")
    assert str(yrd.json("personal-keys", "create", "--publisher", "31")["file"]).endswith("master-31.key")
    assert "exists already" in yrd.failure("personal-keys", "create", "--publisher", "31")
    assert len(yrd.json("personal-keys", "create", "--hub", tmp_path / "hub.pub")["fingerprint"]) == 16
    insured(home, tmp_path, *(each.row() for each in EVERYBODY))
    given = (
        "--publisher",
        "31",
        "--to",
        reader(),
        "--purpose",
        "double enrolment",
        "--until",
        "2099-12-31",
        "--basis",
        "agreement",
    )
    assert "no group of personal fields" in yrd.failure("grant", "issue", "G1", *given, "--groups", "names")
    assert yrd.json("grant", "issue", "G1", *given, "--groups", "identity, contact")["field_groups"] == ["identity", "contact"]
    made = yrd.json("personal-keys", "export", "G1", tmp_path / "g1.keys", "--publisher", "31", "--to", tmp_path / "hub.pub")
    assert made["subjects"] == 3
    assert yrd.json("personal-keys", "import", tmp_path / "g1.keys")["grant"] == "G1"
    yrd.json("project")
    assert [row["grant_name"] for row in yrd.json("grant", "list")] == ["G1"]
    assert {row["name"] for row in yrd.json("query", ASK)} == {None}
    assert {row["name"] for row in yrd.json("query", ASK, "--grant", "G1")} == ALL
    assert yrd.json("grant", "revoke", "G1", "--publisher", "31", "--reason", "ended")["in_force"] is False
    assert "expired or was revoked" in yrd.failure("query", ASK, "--grant", "G1")
    assert yrd("personal-keys", "create") == 2 and "either --publisher CODE or --hub FILE" in " ".join(yrd.err.split())
