"""The access log: nothing is given that is not recorded, nobody changes a record, and no value that was asked with is in it."""

import os
import signal
import sqlite3
import stat
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import Random
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from connectors.access import log as access_log
from connectors.access import reading as access_reading
from connectors.access.log import AccessLog
from connectors.access.refused import ReadRefused
from connectors.audit import replays
from connectors.home.folder import Home
from connectors.home.roles import account_name
from connectors.hub import hub
from connectors.reading.client import call
from repository.access.access_store import AccessStore
from repository.access.records import ASKED, ENDED, Asking, Caller, asked, ended, is_purged, leaf_of, purge_mark
from repository.events.encoding import NotAnEvent, decode, decode_own
from repository.events.identity import leaf_hash
from repository.store.publisher import stored_row
from tests.support.dumps_for_tests import Yrd, begun, followed, following, imported, many, profile, projected, region
from tests.support.suites import few_and_many
from tests.support.waiting import eventually

ME = account_name(os.getuid())
NOBODY = 65534
SLOW = "SELECT sum(a.i * b.i) FROM range(10000000) a(i), range(1000000) b(i)"
LONG_AGO = datetime.now(UTC) - timedelta(days=1500)


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return region(tmp_path)


def told(home: Home, **given: Any) -> list[dict[str, Any]]:
    """The accesses recorded so far, oldest first."""
    with access_log.opened(home) as log:
        return list(reversed(access_reading.listed(log, given)["accesses"]))


def last(home: Home) -> dict[str, Any]:
    return told(home)[-1]


def events(home: Home) -> list[dict[str, Any]]:
    with access_log.opened(home) as log:
        return [decode_own(n.state)[1] for n in log.store().notifications(0, 1000)]


# -- what is recorded ----------------------------------------------------------------------------------------------


def test_a_query_is_recorded_with_who_when_why_and_what(home: Home) -> None:
    before = datetime.now(UTC)
    hub.read(home, "SELECT phone AS p, site_name FROM supply_current WHERE uscc = '张三'", purpose="case 7")
    one = last(home)
    assert (one["account"], one["account_id"], one["role"], one["purpose"]) == (ME, os.getuid(), None, "case 7")
    assert (one["command"], one["tables"], one["columns"]) == ("query", ["supply_current"], ["phone", "site_name", "uscc"])
    assert one["statement"] == "SELECT phone AS word1 , site_name FROM supply_current WHERE uscc = ?"
    assert (one["result_rows"], one["outcome"]) == (0, "answered")
    assert before <= one["asked_at"] <= one["recorded_at"] <= datetime.now(UTC)


@pytest.mark.long
def test_every_way_of_asking_is_recorded_with_its_rows(home: Home, tmp_path: Path) -> None:
    imported(home, profile(tmp_path), many(tmp_path, 3))
    projected(home)
    moment = datetime.now(UTC).isoformat()
    hub.read(home, "SELECT * FROM supply_history")
    replays.asof(home, "2026-06-01", moment)
    replays.history(home, "院000001")
    replays.difference(home, "2020-01-01T00:00:00+00:00", moment)
    replays.said(home, moment)
    replays.compared(home)
    hub.look(home, "access_list")
    found = [(one["command"], one["result_rows"], one["outcome"]) for one in told(home)]
    assert found == [
        ("query", 3, "answered"),
        ("audit_asof", 3, "answered"),
        ("audit_history", 2, "answered"),
        ("audit_diff", 3, "answered"),
        ("audit_said", None, "answered"),
        ("audit_rebuild", 3 + 1 + 3 + 3 + 1, "answered"),
        ("access_list", None, "answered"),
    ]


@pytest.mark.long
def test_the_same_is_recorded_by_a_follower(home: Home, tmp_path: Path) -> None:
    imported(home, profile(tmp_path), many(tmp_path, 3))
    projected(home)
    with followed(home):
        hub.read(home, "SELECT phone FROM supply_history", purpose="case 8")
        replays.asof(home, "2026-06-01", datetime.now(UTC).isoformat(), purpose="case 9")
        hub.look(home, "access_check", purpose="case 10")
    found = [(o["account"], o["command"], o["purpose"], o["result_rows"], o["outcome"]) for o in told(home)]
    assert found == [
        (ME, "query", "case 8", 3, "answered"),
        (ME, "audit_asof", "case 9", 3, "answered"),
        (ME, "access_check", "case 10", None, "answered"),
    ]


def test_who_looked_at_one_entity_is_found(home: Home, tmp_path: Path) -> None:
    imported(home, profile(tmp_path), many(tmp_path, 3))
    projected(home)
    (row, *_) = replays.history(home, "院000001")
    replays.history(home, "院000002")
    found = told(home, entity=str(row["entity_id"]))
    assert [(o["command"], o["entities"]) for o in found] == [("audit_history", [str(row["entity_id"])])]


@pytest.mark.parametrize(
    "sql", ["SELEC 1", "DROP TABLE supply_history", "SELECT * FROM nowhere", "SELECT 'x'::INTEGER", "SELECT 1; SELECT 2"]
)
def test_what_is_refused_is_recorded_too(home: Home, sql: str) -> None:
    for _ in range(2):
        with pytest.raises(ReadRefused):
            hub.read(home, sql)
    with followed(home), pytest.raises(ReadRefused):
        hub.read(home, sql)
    assert [(o["outcome"], o["result_rows"]) for o in told(home)] == [("refused", None)] * 3


def test_a_result_that_grows_too_long_is_recorded_as_broken_off(tmp_path: Path) -> None:
    home = region(tmp_path, read_row_limit=15_000)
    with followed(home), pytest.raises(ReadRefused, match="more than 15000 rows"):
        hub.read(home, "SELECT * FROM range(100000)")
    assert (last(home)["outcome"], last(home)["result_rows"]) == ("broken_off", 10_000)


@pytest.mark.long
def test_a_reader_that_vanishes_is_recorded(home: Home) -> None:
    with following(home):
        reader = begun(home, "query", SLOW)
        eventually(lambda: told(home) != [])
        reader.kill()
        reader.communicate()
        eventually(lambda: last(home)["outcome"] != "unfinished")
    assert (last(home)["command"], last(home)["outcome"], last(home)["result_rows"]) == ("query", "refused", None)


@pytest.mark.long
def test_an_owner_that_is_killed_leaves_the_record_of_who_had_asked(home: Home) -> None:
    with following(home) as owner:
        reader = begun(home, "query", SLOW, "--purpose", "case 7")
        eventually(lambda: told(home) != [])
        owner.send_signal(signal.SIGKILL)
        owner.wait()
        # The reader asks on by itself, since the base is free now.
        reader.kill()
        reader.communicate()
    first = told(home)[0]
    assert (first["outcome"], first["account"], first["purpose"]) == ("unfinished", ME, "case 7")


def test_what_can_not_be_recorded_is_not_given(home: Home) -> None:
    hub.read(home, "SELECT 1")
    file = home.folder / "access" / "access.sqlite"
    for leftover in home.folder.glob("access/*"):
        leftover.unlink()
    file.mkdir()
    with pytest.raises(ReadRefused, match="access log can't be written"):
        hub.read(home, "SELECT 1")
    with followed(home), pytest.raises(ReadRefused, match="access log can't be written"):
        hub.read(home, "SELECT 1")


def test_unknown_requests_do_not_get_into_the_log(home: Home) -> None:
    with followed(home):
        for op in ("audit_zhangsan", "subject_zhangsan"):
            with pytest.raises(ReadRefused, match="no operation"):
                call(home.folder / "hub.sock", op)
        with pytest.raises(ReadRefused, match="no export"):
            call(home.folder / "hub.sock", "export", name="audit_zhangsan")
    assert not (home.folder / "access").exists() or told(home) == []


# -- no value that was asked with ----------------------------------------------------------------------------------

PLANTED = ("张小明", "319999199001011234", "13800138000", "zhang xiaoming")


def test_no_planted_name_or_number_is_in_the_files_and_the_control_is(home: Home) -> None:
    name, number, phone, latin = PLANTED
    for sql in (
        f"SELECT phone FROM supply_current WHERE site_name = '{name}' OR uscc = '{number}' OR phone = '{phone}'",
        f'SELECT phone AS "{name}", 1 AS "{latin}" FROM supply_current -- {latin} {number}',
        f"SELECT * FROM {name}",
        f"SELECT '{name}'::INTEGER, /* {number} */ 1",
    ):
        with suppress(ReadRefused):
            hub.read(home, sql, purpose=f"case {number} site_name control-purpose")
    hub.read(home, "SELECT count(*) FROM supply_current WHERE site_name = ?", [name])
    replays.history(home, name)
    raw = b"".join(path.read_bytes() for path in (home.folder / "access").iterdir())
    for encoding in ("utf-8", "utf-16-le", "gb18030"):
        assert [planted for planted in PLANTED if planted.encode(encoding) in raw] == []
    assert b"supply_current" in raw and b"control-purpose" in raw
    assert "31****************" in str(last(home)) or "****" in str(told(home)[0]["purpose"])


# -- append-only ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "sql",
    [
        "UPDATE stored_events SET state = x'00'",
        "UPDATE stored_events SET topic = 'x' WHERE rowid = 1",
        "UPDATE stored_events SET originator_version = 9",
        "UPDATE stored_events SET rowid = 99 WHERE rowid = 1",
        "DELETE FROM stored_events",
        "DELETE FROM stored_events WHERE rowid = 2",
        "REPLACE INTO stored_events (rowid, originator_id, originator_version, topic, state) VALUES (1, 'x', 1, 'x', x'00')",
        "REPLACE INTO stored_events SELECT originator_id, originator_version, topic, x'00' FROM stored_events",
    ],
)
def test_a_record_is_neither_changed_nor_deleted(home: Home, sql: str) -> None:
    hub.read(home, "SELECT 1")
    before = events(home)
    with sqlite3.connect(home.folder / "access" / "access.sqlite") as file, pytest.raises(sqlite3.Error, match="append-only"):
        file.execute(sql)
    file.close()
    assert events(home) == before and [e["event_type"] for e in before] == [ASKED, ENDED]


def test_the_files_are_their_owners_alone(home: Home) -> None:
    hub.read(home, "SELECT 1")
    folder = home.folder / "access"
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert stat.S_IMODE((folder / "access.sqlite").stat().st_mode) == 0o600


# -- retention -----------------------------------------------------------------------------------------------------


def lived(home: Home, number: int = 4) -> list[bytes]:
    """`number` accesses long ago and one today; the stored bytes of all records."""
    caller = Caller("clerk", 7, None, "old case")
    with access_log.opened(home) as log:
        for n in range(number):
            key, asking = f"old|{n}", Asking("query", "SELECT ?", ["supply_current"], ["phone"])
            rows = [asked(key, caller, asking, LONG_AGO), ended(key, caller, asking, "answered", n, LONG_AGO)]
            with log.store().bulk() as append:
                append([stored_row("access", row) for row in rows])
    hub.read(home, "SELECT 1")
    return states(home)


def states(home: Home) -> list[bytes]:
    with access_log.opened(home) as log:
        return [n.state for n in log.store().notifications(0, 1000)]


def test_a_purge_takes_what_is_past_its_retention_and_leaves_every_leaf(home: Home) -> None:
    before = lived(home)
    found = hub.look(home, "access_purge", "retention")
    assert (found["purged"], found["to"]) == (8, 8)
    after = states(home)
    assert [leaf_of(state) for state in after[:10]] == [leaf_hash(state) for state in before]
    assert [is_purged(state) for state in after[:10]] == [True] * 8 + [False] * 2
    assert after[8:10] == before[8:]
    raw = b"".join(path.read_bytes() for path in (home.folder / "access").iterdir())
    assert b"old case" not in raw and b"clerk" not in raw and b"retention" in raw
    purge = next(e for e in map(decode_own, after[8:]) if e[1]["purged_to"])[1]
    assert (purge["purged_to"], purge["account"]) == (8, ME)
    assert [o["command"] for o in told(home)] == ["query", "access_purge", "access_purge"]


def test_a_purge_is_checked_and_a_second_one_finds_nothing(home: Home) -> None:
    lived(home)
    hub.look(home, "access_purge")
    assert hub.look(home, "access_purge")["purged"] == 0
    with access_log.opened(home) as log:
        assert access_reading.checked(log, {})["problems"] == []


def test_nothing_within_its_retention_goes(home: Home) -> None:
    before = lived(home)
    with pytest.raises(ValueError, match="Records are kept for 1096 days"):
        hub.look(home, "access_purge", before=(datetime.now(UTC) - timedelta(days=30)).isoformat())
    kept = (LONG_AGO - timedelta(days=1)).isoformat()
    assert hub.look(home, "access_purge", before=kept)["purged"] == 0
    assert states(home)[: len(before)] == before


def test_the_log_goes_on_after_a_purge(home: Home) -> None:
    lived(home)
    hub.look(home, "access_purge")
    hub.read(home, "SELECT 1", purpose="afterwards")
    assert last(home)["purpose"] == "afterwards"


def test_a_purge_that_is_not_recorded_is_found(home: Home) -> None:
    lived(home)
    with sqlite3.connect(home.folder / "access" / "access.sqlite") as file:
        (state,) = file.execute("SELECT state FROM stored_events WHERE rowid = 9").fetchone()
        file.execute("INSERT INTO purge_marks VALUES (9, ?)", [purge_mark(state)])
        file.execute("UPDATE stored_events SET state = ? WHERE rowid = 9", [purge_mark(state)])
    file.close()
    with access_log.opened(home) as log:
        assert access_reading.checked(log, {})["problems"] == [
            "Position 9 was purged, and no purge is recorded that reaches beyond 0."
        ]


@few_and_many("damages", 30, 1000)
def test_damage_without_the_triggers_is_found(home: Home, damages: int) -> None:
    """Bytes flipped, cut or moved by someone who has dropped the triggers: never a traceback, nearly always a problem.

    A flip inside a text is another text; that is for the seals to show.
    """
    before, chance = lived(home), Random(4)
    with access_log.opened(home) as log:
        assert access_reading.checked(log, {})["problems"] == []
    with sqlite3.connect(home.folder / "access" / "access.sqlite") as file:
        for (name,) in file.execute("SELECT name FROM sqlite_master WHERE type = 'trigger'").fetchall():
            file.execute(f"DROP TRIGGER {name}")
        found = 0
        for _ in range(damages):
            row = chance.randrange(len(before))
            damaged = bytearray(before[row])
            damaged[chance.randrange(len(damaged))] ^= 1 << chance.randrange(8)
            given = bytes(damaged[: chance.randrange(len(damaged))]) if chance.random() < 0.5 else bytes(damaged)
            file.execute("UPDATE stored_events SET state = ? WHERE rowid = ?", [given, row + 1])
            file.commit()
            with _reading(home) as log:
                found += bool(access_reading.checked(log, {})["problems"])
            file.execute("UPDATE stored_events SET state = ? WHERE rowid = ?", [before[row], row + 1])
        assert found > damages * 2 // 3
        file.execute("DELETE FROM stored_events WHERE rowid = 3")
    file.close()
    with access_log.opened(home) as log:
        assert access_reading.checked(log, {})["problems"][0] == "Position 3 is missing; the next one there is 4."


class _reading:  # noqa: N801 - used as a function
    """The log as it is, without the triggers being made again."""

    def __init__(self, home: Home) -> None:
        self.log = AccessLog(home)
        self.log._store = AccessStore(_environment(home))

    def __enter__(self) -> AccessLog:
        return self.log

    def __exit__(self, *_: object) -> None:
        self.log.close()


def _environment(home: Home) -> dict[str, str]:
    return {"PERSISTENCE_MODULE": "eventsourcing.sqlite", "SQLITE_DBNAME": str(home.folder / "access" / "access.sqlite")}


def test_an_access_record_is_no_event_of_a_publishers_log() -> None:
    record = asked("k", Caller("a", 1), Asking("query"), datetime.now(UTC))
    state = stored_row("access", record).state
    assert decode_own(state)[1]["account"] == "a"
    with pytest.raises(NotAnEvent, match="schema access, which is no event"):
        decode(state)


# -- the commands --------------------------------------------------------------------------------------------------


def test_the_commands_list_check_and_purge(home: Home, capsys: pytest.CaptureFixture[str]) -> None:
    yrd = Yrd(home.folder, capsys)
    lived(home)
    assert yrd("query", "SELECT phone FROM supply_current", "--purpose", "case 7") == 0
    listed = yrd.json("access", "list", "--since", datetime.now(UTC).strftime("%Y-%m-%dT00:00+00:00"), "--account", ME)
    assert [(o["command"], o["purpose"], o["outcome"]) for o in listed] == [
        ("access_list", None, "unfinished"),
        ("query", "case 7", "answered"),
        ("query", None, "answered"),
    ]
    assert yrd("access", "list", "--limit", "3") == 0 and "further ones" in yrd.err and "case 7" in yrd.out
    assert yrd("access", "purge") == 0 and "8 records purged, up to position 8" in yrd.out
    assert yrd("access", "check") == 0 and "8 of them purged: no problems" in yrd.out
    assert "Records are kept" in yrd.failure("access", "purge", "--before", datetime.now(UTC).isoformat())
    assert yrd("access", "list", "--entity", "x") == 2


@settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(st.lists(st.sampled_from(["ask", "end"]), max_size=25), st.integers(1, 7), st.integers(1, 30))
def test_the_newest_come_first_however_the_log_is_read(
    tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch, steps: list[str], window: int, limit: int
) -> None:
    """Any order of beginnings and ends, read in windows of any size, lists every access once, by when it began."""
    monkeypatch.setattr(access_reading, "READ_EVENTS", window)
    home = region(tmp_path_factory.mktemp("home"))
    caller = Caller("a", 1)
    begun_: list[str] = []
    ended_: set[str] = set()
    with access_log.opened(home) as log, log.store().bulk() as append:
        for n, step in enumerate(steps):
            waiting = [key for key in begun_ if key not in ended_]
            if step == "end" and waiting:
                key = waiting[n % len(waiting)]
                append([stored_row("access", ended(key, caller, Asking("query"), "answered", n, LONG_AGO))])
                ended_.add(key)
            else:
                begun_.append(f"k{n}")
                append([stored_row("access", asked(f"k{n}", caller, Asking("query"), LONG_AGO))])
    with access_log.opened(home) as log:
        found = access_reading.listed(log, {"limit": limit})
    expected = [(key, "answered" if key in ended_ else "unfinished") for key in reversed(begun_)]
    assert [(o["business_key"], o["outcome"]) for o in found["accesses"]] == expected[:limit]
    assert found["further"] == (len(begun_) > limit)
