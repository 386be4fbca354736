"""No planted number or name is anywhere in clear, and none comes back after erasure; each search finds its allowed canary."""

import contextlib
import io
import json
from datetime import UTC, datetime
from pathlib import Path

import duckdb
import pytest

from connectors.base.files import current
from connectors.command_line import run
from connectors.home.databases import connect
from connectors.home.folder import Home
from connectors.home.regional_key import tokeniser
from connectors.hub import hub
from connectors.persons.subject_rights import take_measure
from connectors.publishing.rejections import kept
from projections import tables
from projections.projector import Projector
from projections.subject_measures import scrub
from repository.store.log import EmbeddedLog
from tests.support.dumps_for_tests import JUNE, MAY, dump, imported
from tests.support.leaks import found_in, holds, raw_files, spellings
from tests.support.persons_for_tests import (
    COLUMNS,
    EVERYBODY,
    REED,
    ROSE,
    Someone,
    home_of_persons,
    identity,
    insured,
    register,
    reported,
    token_of,
)

CANARY = "可见险种测试"
"""Stands in a public field of the same rows: a search that does not find it finds nothing."""
BASIS = {"reason": "asked", "basis": "PIPL art. 47"}
WHERE_CANARIES_ARE = ("stores/31.sqlite", "base/base-000001.duckdb", "known/31.duckdb")
ASKED_FOR = "access/access.sqlite"
"""Where the canary stands as the purpose of queries, each of which names something planted."""


def planted(*people: Someone) -> list[str]:
    return [text for each in people for text in (each.number, each.name, each.phone, each.address)]


def lived(folder: Path) -> Home:
    """A home in which persons were imported, changed, reported, refused, quarantined and projected."""
    home = home_of_persons(folder)
    insured(home, folder, *(each.row(CANARY) for each in EVERYBODY))
    insured(home, folder, ROSE.row(CANARY, "310104"), as_of=JUNE)
    hub.perform(home, "project")
    reported(home, {"identity": identity(REED), "valid_from": "2026-07-01", "division_code": "310104"})
    hub.perform(home, "project")
    for text in planted(*EVERYBODY):
        asked = f"SELECT count(*) AS n FROM service_object_history WHERE business_key = '{text}' OR subject_token = '{text}' -- {text}"
        hub.read(home, asked, purpose=CANARY)
    # What a publisher knows is caught up by its next import.
    insured(home, folder, as_of=JUNE)
    return home


@pytest.mark.long
def test_nothing_personal_is_in_clear_in_any_file_of_the_home(tmp_path: Path) -> None:
    home = lived(tmp_path)
    for text in planted(*EVERYBODY):
        assert found_in(home.folder, text) == [], text
    seen = found_in(home.folder, CANARY)
    assert {f"{name} read" for name in WHERE_CANARIES_ARE} <= set(seen)
    assert {"stores/31.sqlite raw", f"{ASKED_FOR} read"} <= set(seen)


def test_nothing_personal_is_in_rejections_or_in_what_is_printed(tmp_path: Path) -> None:
    home = home_of_persons(tmp_path)
    rows = [
        (ROSE.number, ROSE.name, "没有", ROSE.born, ROSE.phone, ROSE.address, CANARY, "310101"),
        (REED.number, REED.name, "女", f"生于{REED.name}", REED.phone, REED.address, CANARY, "310101"),
        (REED.number, REED.name, "女", REED.born, REED.phone, REED.address, CANARY, f"{REED.name}镇"),
        (ROSE.number, ROSE.name, "女", ROSE.born, ROSE.phone, ROSE.address, CANARY, "310101", ROSE.name, "one cell too many"),
        (ROSE.name, ROSE.number, "女", ROSE.born, ROSE.phone, ROSE.address, CANARY, "310101"),
    ]
    path = dump(tmp_path, rows, COLUMNS, "bad.csv")
    profile = register(tmp_path)
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed), contextlib.redirect_stderr(printed):
        given = ["import", str(profile.path), str(path), "--publisher", "31", "--as-of", "2026-05-01", "--home", str(home.folder)]
        assert run(given) == 0
        assert run(["rejections", "--publisher", "31", "--home", str(home.folder)]) == 0
        assert run(["profiles", "check", str(profile.path), str(path), "--publisher", "31", "--as-of", "2026-05-01"]) == 0
    assert len(kept(home.folder / "rejections" / "31.sqlite", 100)) >= 4
    for text in planted(ROSE, REED):
        assert found_in(home.folder, text) == [], text
        assert text not in printed.getvalue(), text
    assert "bad.csv" in printed.getvalue() and found_in(home.folder, "bad.csv")
    assert "(withheld)" in printed.getvalue() and "出生日期" in printed.getvalue()


def test_nothing_personal_is_in_answers_and_messages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    home = home_of_persons(tmp_path)
    lines = [
        {"identity": identity(ROSE), "valid_from": "2026-05-01", "personal": {"name": ROSE.name}, "source": "visible"},
        {"identity": identity(ROSE), "valid_from": "2026-05-02", "personal": {"birth_date": ROSE.name}},
        {"identity": identity(ROSE), "valid_from": "2026-05-02", "personal": ROSE.name},
        {"identity": identity(ROSE), "valid_from": "2026-05-02", "personal": {"phone": ROSE.phone}, "reason": ROSE.name},
        {"identity": identity(ROSE), "valid_from": "2026-05-02", "division_code": 310101, "enrolments": {"name": 1}},
    ]
    printed = io.StringIO()
    monkeypatch.setattr("sys.stdin", io.StringIO("\n".join(json.dumps(line, ensure_ascii=False) for line in lines)))
    with contextlib.redirect_stdout(printed), contextlib.redirect_stderr(printed):
        run(["report", "service_object", "--publisher", "31", "--home", str(home.folder)])
        run(["erase", token_of(home, REED), "--publisher", "31", "--reason", "r", "--basis", "b", "--home", str(home.folder)])
    assert printed.getvalue().count('"refused"') == 4 and "SubjectRegistered" in printed.getvalue()
    assert not any(text in printed.getvalue() for text in planted(ROSE))
    assert all(found_in(home.folder, text) == [] for text in planted(ROSE)) and found_in(home.folder, "visible")


@pytest.mark.long
def test_after_erasure_neither_pseudonym_nor_ciphertext_is_left_but_in_the_log(tmp_path: Path) -> None:
    home = lived(tmp_path)
    token, stays = token_of(home, ROSE), token_of(home, REED)
    hub.read(home, f"SELECT count(*) AS n FROM service_object_history WHERE subject_token = '{token}'", purpose=CANARY)
    assert found_in(home.folder, token)
    take_measure(home, "31", token, "erasure", True, BASIS, tokeniser(home))
    hub.perform(home, "project")
    insured(home, tmp_path, as_of=JUNE)
    assert found_in(home.folder, token) == ["stores/31.sqlite raw", "stores/31.sqlite read"]
    assert {f"{name} read" for name in WHERE_CANARIES_ARE} <= set(found_in(home.folder, stays))


@pytest.mark.long
def test_erased_values_are_overwritten_in_the_file_and_its_log_with_compression_off(tmp_path: Path) -> None:
    home = home_of_persons(tmp_path)
    many = [Someone(f"TEST1{n:05}", f"某人{n:05}", f"139{n:08}", f"某路{n}号").row(CANARY) for n in range(30_000)]
    insured(home, tmp_path, *many, ROSE.row(CANARY), REED.row(CANARY))
    path = tmp_path / "plain.duckdb"
    connection = connect(home, path)
    connection.execute("SET force_compression = 'uncompressed'")
    tables.create(connection)
    now = datetime.now(UTC)
    with home.store("31") as store:
        projector = Projector(connection)
        for _ in range(7):
            projector.apply(EmbeddedLog([store]).read(projector.checkpoints(), 5_000), now)
        connection.execute("CHECKPOINT")
        rose, reed = token_of(home, ROSE), token_of(home, REED)
        (blob,) = connection.execute("SELECT personal FROM service_object_history WHERE subject_token = ?", [rose]).fetchall()[0]
        before = b"".join(raw_files(tmp_path)[path] for path in tmp_path.glob("plain.duckdb*"))
        assert holds(before, rose) and blob in before, "the search finds what is there"
        take_measure(home, "31", rose, "erasure", True, BASIS, tokeniser(home))
        projector.apply(EmbeddedLog([store]).read(projector.checkpoints(), 5_000), now)
    connection.execute("CHECKPOINT")
    freed = b"".join(raw_files(tmp_path)[path] for path in tmp_path.glob("plain.duckdb*"))
    assert blob in freed, "a checkpoint alone leaves it in the freed blocks, which is why they are overwritten"
    assert scrub(connection)
    after = b"".join(raw_files(tmp_path)[path] for path in tmp_path.glob("plain.duckdb*"))
    assert not holds(after, rose) and blob not in after
    assert holds(after, reed) and holds(after, CANARY)
    connection.close()
    assert sum(content.count(blob) for name, content in raw_files(tmp_path).items() if "plain" in name.name) == 0


@pytest.mark.long
def test_a_reader_in_the_middle_of_a_query_only_delays_the_overwriting(tmp_path: Path) -> None:
    home = lived(tmp_path)
    hub.perform(home, "project")
    file = current(home)
    assert file is not None
    take_measure(home, "31", token_of(home, ROSE), "erasure", True, BASIS, tokeniser(home))
    connection = connect(home, file)
    with home.store("31") as store:
        reader = connection.cursor()
        reader.execute("BEGIN TRANSACTION READ ONLY")
        reader.execute("SELECT * FROM service_object_history").fetchmany(1)
        projector = Projector(connection)
        projector.apply(EmbeddedLog([store]).read(projector.checkpoints(), 5_000), datetime.now(UTC))
        held_up = scrub(connection)
        reader.execute("ROLLBACK")
        reader.close()
        assert not held_up and scrub(connection)
    connection.close()
    assert found_in(home.folder / "base", token_of(home, ROSE)) == []


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16-le", "utf-16-be", "gbk"])
def test_the_search_finds_a_text_in_every_encoding_and_format(tmp_path: Path, encoding: str) -> None:
    (tmp_path / "a.txt").write_bytes(b"..." + ROSE.name.encode(encoding) + b"...")
    assert found_in(tmp_path, ROSE.name) == ["a.txt raw"] and len(spellings(ROSE.name)) == 4
    connection = duckdb.connect(str(tmp_path / "b.duckdb"))
    connection.execute("CREATE TABLE t AS SELECT [?] AS c FROM range(1000)", [ROSE.name.encode(encoding)])
    connection.close()
    (tmp_path / "a.txt").unlink()
    assert "b.duckdb read" in found_in(tmp_path, ROSE.name) or encoding != "utf-8"


@pytest.mark.long
def test_an_import_of_persons_in_every_encoding_leaves_nothing(tmp_path: Path) -> None:
    for encoding in ("gb18030", "utf-16"):
        home = home_of_persons(tmp_path / encoding)
        (tmp_path / encoding).mkdir(exist_ok=True)
        path = tmp_path / encoding / "register.csv"
        lines = [COLUMNS, *(",".join(map(str, each.row(CANARY))) for each in EVERYBODY)]
        path.write_text("\n".join(lines) + "\n", encoding)
        done = imported(home, register(tmp_path / encoding), path, "31", MAY, tokeniser=tokeniser(home))
        assert done.counts.events == 3
        hub.perform(home, "project")
        assert all(found_in(home.folder, text) == [] for text in planted(*EVERYBODY)) and found_in(home.folder, CANARY)


def test_memory_that_the_engine_uses_again_carries_no_erased_value_into_the_file(tmp_path: Path) -> None:
    path = tmp_path / "reused.duckdb"
    connection = duckdb.connect(str(path))
    # Uncompressed texts leave unused room in their blocks: there the engine would write what its memory held before.
    connection.execute("SET force_compression = 'uncompressed'")
    tables.create(connection)
    connection.execute(
        "CREATE TABLE h AS SELECT 'ERASED' || md5(i::VARCHAR) || md5(i::VARCHAR) AS t FROM range(1_000_000) AS r(i)"
    )
    connection.execute("CHECKPOINT")
    assert path.read_bytes().count(b"ERASED") >= 1_000_000, "the search finds what is there"
    connection.execute("CREATE OR REPLACE TABLE h AS SELECT NULL::VARCHAR AS t FROM h")
    connection.execute("INSERT INTO unscrubbed VALUES (0)")
    assert scrub(connection)
    connection.close()
    assert path.read_bytes().count(b"ERASED") == 0
