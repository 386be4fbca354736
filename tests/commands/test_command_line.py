"""The command line: every command is there, says what it takes, ends with 0, 1 or 2, and fails with one sentence."""

import io
import json
import os
import sqlite3
from pathlib import Path
from typing import Any

import pyarrow.parquet
import pytest

from connectors.command_line import run
from connectors.home.folder import Home
from tests.support.dumps_for_tests import Yrd as CommandLine
from tests.support.dumps_for_tests import command, dump, facts, many, profile, region, told

COMMANDS = (
    "demo", "init", "import", "report", "heartbeat", "correct", "retract", "link", "rejections", "project", "query", "status",
    "rebuild", "settings", "audit history", "audit asof", "audit said", "audit diff", "audit rebuild", "access list",
    "access check", "access purge", "quarantine list", "quarantine retry", "quarantine skip", "gaps list", "gaps skip", "profiles list",
    "profiles show", "profiles check", "profiles draft", "schemas check", "schemas lock", "key create", "key export", "key import",
    "relay", "kafka init", "kafka acl", "seal", "signer create", "signer show", "member add", "member rotate", "member revoke",
    "member list", "audit prove", "audit verify", "audit consistency", "erase", "readmit", "restrict", "hold", "personal-keys create",
    "personal-keys export", "personal-keys import", "grant issue", "grant revoke", "grant list", "subject export",
)  # fmt: skip
IMPORT_KEYS = {
    "publisher", "kind", "source", "rows_read", "rows_mapped", "rows_rejected", "rows_skipped", "facts_new", "facts_changed",
    "facts_unchanged", "facts_duplicate", "facts_rejected", "closed", "events", "events_by_type", "batch_id",
}  # fmt: skip
MAY = ("--as-of", "2026-05-01")


@pytest.fixture
def yrd(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> CommandLine:
    """The command line at a home in which nothing was recorded."""
    monkeypatch.setenv("NO_COLOR", "1")
    for name in [n for n in os.environ if n.startswith("YRD_")]:
        monkeypatch.delenv(name)
    return CommandLine(region(tmp_path).folder, capsys)


def taught(yrd: CommandLine, homes: int = 3) -> Any:
    """Import some homes at publisher 31; what the import printed as JSON."""
    folder = yrd.home.parent
    path = dump(folder, [(f"院{n}", "1", n) for n in range(homes)])
    return yrd.json("import", profile(folder).path, path, "--publisher", "31", *MAY)


# -- commands and their help ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_explains_itself(yrd: CommandLine, name: str) -> None:
    assert yrd(*name.split(), "--help", home=False) == 0
    assert "Usage: yrd" in yrd.out and "--help" in yrd.out


def test_the_command_line_works_as_a_program(tmp_path: Path) -> None:
    home = region(tmp_path)
    done = command(home, "query", "SELECT 42 AS answer", "--format", "csv")
    assert (done.returncode, done.stdout, done.stderr) == (0, "answer\n42\n", "")


@pytest.mark.parametrize(
    "arguments",
    [
        ("fly",),
        ("import",),
        ("import", "homes"),
        ("query",),
        ("status", "--colour"),
        ("correct", "phone=1", "--publisher", "31", "--kind", "weather", "--key", "k", "--reason", "r"),
        ("report", "weather", "--publisher", "31"),
        ("link", __file__, "--publisher", "31", "--kind", "weather"),
        ("import", "nursing_homes", __file__, "--publisher", "31", "--as-of", "soon"),
        ("import", "nursing_homes", __file__, "--publisher", "31", "--max-closures", "2"),
        ("heartbeat", "--publisher", "31", "--source", "live", "--every", "0"),
        ("retract", "--publisher", "31", "--kind", "supply", "--key", "k", "--reason", "r", "--on", "2026-13-01"),
        ("retract", "--publisher", "31", "--kind", "supply", "--key", "k"),
        ("retract", "--publisher", "31", "--kind", "supply", "--key", "k", "--reason", "r", "--event", "the last"),
    ],
)
def test_wrong_usage_is_status_2(yrd: CommandLine, arguments: tuple[str, ...]) -> None:
    assert yrd(*arguments) == 2
    assert "Traceback" not in yrd.err and yrd.out == ""


# -- importing -----------------------------------------------------------------------------------------------------


def test_an_import_prints_its_counts_as_one_object(yrd: CommandLine) -> None:
    done = taught(yrd)
    assert set(done) - {"rows_flagged"} == IMPORT_KEYS
    assert (done["publisher"], done["kind"], done["source"], done["facts_new"]) == ("31", "supply", "register of homes", 3)
    assert done["events_by_type"] == {"ServicePointRegistered": 3}
    assert taught(yrd)["facts_unchanged"] == 3


def test_an_import_tells_people_what_was_rejected(yrd: CommandLine) -> None:
    folder = yrd.home.parent
    path = dump(folder, [(f"院{n}", "1", "many" if n < 9 else n) for n in range(12)])
    assert yrd("import", profile(folder).path, path, "--publisher", "31", *MAY) == 0
    assert "12 read: 3 mapped, 9 rejected, 0 skipped" in yrd.out
    assert "line 2: 床位 'many'" in yrd.err and "and 4 more rejections" in yrd.err
    listed = yrd.json("rejections", "--publisher", "31")
    assert [r["line"] for r in listed] == list(range(10, 1, -1))
    assert yrd("rejections", "--publisher", "31", "--limit", "2") == 0 and "many" in yrd.out


def test_a_dump_may_be_a_table_of_any_format(yrd: CommandLine) -> None:
    folder = yrd.home.parent
    path = folder / "homes.jsonl"
    path.write_text('{"名称": "甲", "电话": "1", "床位": 10}\n', "utf-8")
    done = yrd.json("import", profile(folder).path, path, "--publisher", "31", *MAY)
    assert done["facts_new"] == 1


# -- asking --------------------------------------------------------------------------------------------------------


def test_a_query_prints_what_is_asked_for(yrd: CommandLine) -> None:
    taught(yrd)
    assert yrd.json("project")["events"] == 4
    sql = "SELECT business_key, offers, valid_from FROM supply_current ORDER BY business_key LIMIT 1"
    assert yrd("query", sql, "--format", "csv") == 0
    header, line = yrd.out.splitlines()
    assert header == "business_key,offers,valid_from" and line.startswith("院0,") and line.endswith("2026-05-01")
    assert yrd("query", sql, "--format", "json") == 0
    (row,) = json.loads(yrd.out)
    assert (row["business_key"], row["valid_from"], row["offers"][0]["capacity"]) == ("院0", "2026-05-01", 0)
    assert yrd("query", sql) == 0 and "院0" in yrd.out
    assert yrd.json("query", sql) == [row]


@pytest.mark.parametrize("form", ["csv", "json", "parquet"])
def test_a_query_may_be_written_to_a_file(yrd: CommandLine, form: str) -> None:
    taught(yrd)
    yrd("project")
    file = yrd.home.parent / f"result.{form}"
    assert yrd("query", "SELECT business_key AS k FROM supply_current ORDER BY k", "--format", form, "--output", file) == 0
    assert yrd.out == ""
    if form == "parquet":
        assert pyarrow.parquet.read_table(file).to_pydict() == {"k": ["院0", "院1", "院2"]}
    else:
        assert file.read_text("utf-8").count("院") == 3


def test_columns_of_one_name_are_told_apart(yrd: CommandLine) -> None:
    """A join gives two columns of a name; neither covers the other, in any form."""
    taught(yrd)
    yrd("project")
    sql = "SELECT 1 AS a, 2 AS a, 3 AS a_1, 4 AS a"
    assert yrd.json("query", sql) == [{"a": 1, "a_2": 2, "a_1": 3, "a_3": 4}]
    assert yrd("query", sql, "--format", "csv") == 0 and yrd.out.splitlines() == ["a,a_2,a_1,a_3", "1,2,3,4"]


@pytest.mark.parametrize("typed", ["0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-14:00", "yesterday"])
def test_a_moment_that_is_none_is_wrong_usage(yrd: CommandLine, typed: str) -> None:
    assert yrd("access", "purge", "--before", typed) == 2
    assert f'"{typed}" is no moment' in yrd.err


def test_the_catalogue_lists_the_questions(yrd: CommandLine) -> None:
    assert yrd("query", "FROM catalogue", "--format", "json") == 0
    assert "freshness" in {row["name"] for row in json.loads(yrd.out)}


def test_a_long_table_says_how_much_more_there_is(yrd: CommandLine) -> None:
    assert yrd("query", "SELECT * FROM range(500)") == 0
    assert "300 further rows" in yrd.err


def test_status_tells_how_far_the_base_is(yrd: CommandLine) -> None:
    taught(yrd)
    yrd("query", "SELECT 1")
    before = yrd.json("status")
    unseen = {"newest_s": None, "quarantined": 0, "gaps": 0}
    assert before["partitions"] == [{"topic": "yrd.31", "partition": 0, "end": 5, "checkpoint": None, "lag": 4} | unseen]
    yrd("project")
    after = yrd.json("status")
    assert (after["partitions"][0]["lag"], after["supplies"], after["quarantined"], after["gaps"]) == (0, 3, 0, 0)
    assert yrd("status") == 0 and after["digest"] in yrd.out


# -- other commands ------------------------------------------------------------------------------------------------


def test_init_makes_a_home(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    yrd = CommandLine(tmp_path / "new" / "home", capsys)
    made = yrd.json("init", "--publishers", "31, 99", "--synthetic")
    assert (made["publishers"], made["synthetic"]) == (["31", "99"], True)
    assert "is a home already" in yrd.failure("init")
    assert yrd.json("settings")["publishers"] == ["31", "99"]


def test_the_home_may_come_from_the_environment(yrd: CommandLine, monkeypatch: pytest.MonkeyPatch) -> None:
    taught(yrd)
    monkeypatch.setenv("YRD_HOME", str(yrd.home))
    assert yrd("status", "--json", home=False) == 0 and json.loads(yrd.out)["partitions"][0]["end"] == 5


def test_settings_lists_all_with_what_the_environment_says(yrd: CommandLine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("YRD_THREADS", "7")
    assert yrd.json("settings")["threads"] == 7
    assert yrd("settings") == 0 and "YRD_POLL_INTERVAL_MS, else from" in yrd.out
    monkeypatch.setenv("YRD_THREADS", "few")
    assert 'threads is "few"' in yrd.failure("status")


def test_a_heartbeat_is_recorded(yrd: CommandLine) -> None:
    sent = yrd.json("heartbeat", "--publisher", "31", "--source", "live", "--every", "7")
    yrd("project")
    yrd("query", "SELECT event_id::VARCHAR AS id, event_type, expected_every_days FROM batch_history", "--format", "json")
    assert json.loads(yrd.out) == [{"id": sent["batch_id"], "event_type": "HeartbeatSent", "expected_every_days": 7}]


def test_links_are_recorded_from_a_file(yrd: CommandLine) -> None:
    taught(yrd)
    file = dump(yrd.home.parent, [("院0", "新院0"), ("无", "新无")], "old_key,new_key", "links.csv")
    assert yrd("link", file, "--publisher", "31", "--on", "2026-06-01") == 1
    assert "Nothing is recorded" in " ".join(yrd.out.split())
    assert told(Home(yrd.home))[-1] == ("新院0", "EntityRenamed")
    dump(yrd.home.parent, [("院1", "新院1")], "old_key,new_key", "links.csv")
    (answer,) = yrd.json("link", file, "--publisher", "31")
    assert answer["events"] == ["EntityRenamed"]
    assert "needs a header" in yrd.failure("link", dump(yrd.home.parent, [("a", "b")], "from,to", "bad.csv"), "--publisher", "31")


def test_reports_are_read_from_standard_input(yrd: CommandLine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO('{"business_key": "k", "phone": "1"}\n'))
    assert yrd("report", "supply", "-", "--publisher", "31") == 0
    assert json.loads(yrd.out) == {"line": 1, "result": "new", "events": ["ServicePointRegistered"]}
    assert len(facts(Home(yrd.home))) == 1


def test_the_key_goes_from_one_home_to_another(yrd: CommandLine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("YRD_PASSPHRASE", "correct horse battery staple")
    wrapped = tmp_path / "key.txt"
    assert "No such file" in yrd.failure("key", "export", wrapped) or "key" in yrd.err
    assert yrd("key", "create") == 0
    assert yrd("key", "export", wrapped) == 0
    other = CommandLine(region(tmp_path / "other").folder, yrd.capture)
    assert other("key", "import", wrapped) == 0
    assert "exists already" in yrd.failure("key", "export", wrapped)
    assert yrd("key", "create") == 1 and yrd.err.count("\n") == 1
    kept = [home / "keys" / "regional.key" for home in (yrd.home, other.home)]
    assert kept[0].read_bytes() == kept[1].read_bytes() and kept[0].stat().st_mode & 0o077 == 0
    monkeypatch.setenv("YRD_PASSPHRASE", "wrong")
    third = CommandLine(region(tmp_path / "third").folder, yrd.capture)
    third.failure("key", "import", wrapped)


def test_schemas_are_checked(yrd: CommandLine) -> None:
    assert yrd("schemas", "check", home=False) == 0 and "no problems" in yrd.out
    assert yrd("schemas", "check", "--json", home=False) == 0 and json.loads(yrd.out) == {"problems": []}


def test_profiles_can_be_listed_shown_tried_and_drafted(yrd: CommandLine, tmp_path: Path) -> None:
    assert yrd("profiles", "list", "--json", home=False) == 0
    assert "nursing_homes" in {p["name"] for p in json.loads(yrd.out)}
    assert yrd("profiles", "show", "nursing_homes", home=False) == 0 and 'kind = "supply"' in yrd.out
    path = dump(tmp_path, [("甲", "1", "many"), ("乙", "1", 2)])
    assert yrd("profiles", "check", profile(tmp_path).path, path, *MAY, "--json", home=False) == 0
    tried = json.loads(yrd.out)
    assert (tried["facts"], tried["rejections"][0]["line"]) == (1, 2)
    drafted = tmp_path / "draft.toml"
    assert yrd("profiles", "draft", path, "--output", drafted, home=False) == 0
    assert drafted.read_text("utf-8")
    assert "exists already" in yrd.failure("profiles", "draft", path, "--output", drafted, home=False)


# -- failures ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("arguments", [("status",), ("project",), ("query", "SELECT 1"), ("rebuild",), ("key", "create")])
def test_a_missing_home_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...]) -> None:
    sentence = CommandLine(tmp_path / "nowhere", capsys).failure(*arguments)
    assert "nowhere is no home yet" in sentence and "yrd init" in sentence
    assert not (tmp_path / "nowhere").exists()


def test_a_damaged_settings_file_is_named(yrd: CommandLine) -> None:
    for text in ("publishers = [", "colour = 1", "publishers = 31"):
        (yrd.home / "yrd.toml").write_text(text, "utf-8")
        yrd.failure("status")
    assert yrd("settings") == 1 and "Traceback" not in yrd.err


def test_a_dump_that_can_not_be_read_is_named(yrd: CommandLine, tmp_path: Path) -> None:
    source = profile(tmp_path).path
    given = ("--publisher", "31", *MAY)
    assert "nowhere.csv" in yrd.failure("import", source, tmp_path / "nowhere.csv", *given)
    (tmp_path / "empty.csv").write_bytes(b"")
    assert "empty" in yrd.failure("import", source, tmp_path / "empty.csv", *given)
    yrd.failure("import", source, tmp_path, *given)
    wrong = dump(tmp_path, [("甲", "1")], "name,beds", "wrong.csv")
    assert 'the profile expects column "名称"; the file has: name, beds' in yrd.failure("import", source, wrong, *given)
    assert facts(Home(yrd.home)) == []


def test_a_profile_that_can_not_be_used_is_named(yrd: CommandLine, tmp_path: Path) -> None:
    path = many(tmp_path, 3)
    assert "nowhere" in yrd.failure("import", "nowhere", path, "--publisher", "31")
    (tmp_path / "bad.toml").write_text("kind = [", "utf-8")
    assert "bad.toml" in yrd.failure("import", tmp_path / "bad.toml", path, "--publisher", "31")
    assert "as_of" in yrd.failure("import", profile(tmp_path).path, path, "--publisher", "31")


@pytest.mark.parametrize(
    "arguments",
    [("heartbeat", "--source", "x"), ("rejections",), ("report", "supply", "/dev/null"), ("import", "nursing_homes", __file__)],
)
def test_an_unknown_publisher_is_named(yrd: CommandLine, arguments: tuple[str, ...]) -> None:
    assert '"44" is no publisher of this home; members are 00, 31' in yrd.failure(*arguments, "--publisher", "44")
    assert not (yrd.home / "stores" / "44.sqlite").exists()


@pytest.mark.parametrize(
    "sql", ["", "SELEC 1", "SELECT * FROM nowhere", "DELETE FROM supply_history", "SELECT 1; SELECT 2", "SELECT 1/", "\x00"]
)
def test_bad_sql_is_a_sentence(yrd: CommandLine, sql: str) -> None:
    yrd.failure("query", sql)


def test_an_unknown_format_is_named(yrd: CommandLine, tmp_path: Path) -> None:
    assert '"xml" is no format; use table, csv, json or parquet' in yrd.failure("query", "SELECT 1", "--format", "xml")
    assert "--output" in yrd.failure("query", "SELECT 1", "--format", "parquet")
    yrd.failure("query", "SELECT 1", "--format", "csv", "--output", tmp_path / "no folder" / "x.csv")


def test_persons_need_the_regional_key_where_they_are_real(yrd: CommandLine, tmp_path: Path) -> None:
    text = """
kind = "service_object"
source = "register"
scope = "residents"
completeness = "partial"
data_level = 3
[person]
column = "证件号"
id_type = "citizen_number"
[fields]
status = { constant = "active" }
[valid]
from = "as_of"
"""
    (tmp_path / "persons.toml").write_text(text, "utf-8")
    path = dump(tmp_path, [("31999919491231002X",)], "证件号")
    given = ("import", tmp_path / "persons.toml", path, "--publisher", "31", *MAY)
    assert "needs the regional key" in yrd.failure(*given)
    invented = CommandLine(region(tmp_path / "invented", synthetic=True).folder, yrd.capture)
    done = invented.json(*given)
    assert done["rows_read"] == 1
    for file in invented.home.rglob("*"):
        assert not file.is_file() or b"31999919491231002X" not in file.read_bytes(), file


def test_a_damaged_store_is_a_sentence(yrd: CommandLine) -> None:
    taught(yrd)
    Home(yrd.home).store_file("31").write_bytes(b"no database at all")
    for arguments in (("project",), ("heartbeat", "--publisher", "31", "--source", "x"), ("status",)):
        yrd.failure(*arguments)


def test_a_database_that_does_not_answer_is_a_sentence(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Also where the program hands the library's own error on."""
    home = region(tmp_path, store_url="postgresql://nobody@127.0.0.1:1/none").folder
    assert CommandLine(home, capsys).failure("status").count("\n") == 1


def test_a_locked_store_is_a_sentence(yrd: CommandLine) -> None:
    taught(yrd)
    with (yrd.home / "yrd.toml").open("a") as file:
        file.write("lock_wait_s = 1\n")
    holder = sqlite3.connect(Home(yrd.home).store_file("31"), isolation_level=None)
    try:
        holder.execute("BEGIN IMMEDIATE")
        assert "locked" in yrd.failure("heartbeat", "--publisher", "31", "--source", "x")
    finally:
        holder.close()


def test_an_interrupted_command_says_so(yrd: CommandLine, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("connectors.commands.reading.hub.perform", interrupted)
    assert yrd("status") in (1, 130) and "Traceback" not in yrd.err


def test_run_gives_the_exit_status(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["--help"]) == 0
    assert run([]) in (0, 2)
    capsys.readouterr()
