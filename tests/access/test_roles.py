"""Who may do what: operators run the base, auditors audit, everybody asks; and who asks is who the system says."""

import os
import socket
import tempfile
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from connectors.access.refused import ReadRefused
from connectors.audit import replays
from connectors.home.folder import Home
from connectors.home.roles import NotPermitted, account_name
from connectors.hub import hub
from connectors.reading.client import call, query
from tests.access.test_access import ME, last, told
from tests.support.dumps_for_tests import followed, following, imported, many, profile, projected, region

NOBODY = 65534


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return region(tmp_path)


def configured(home: Home, **settings: object) -> Home:
    with (home.folder / "yrd.toml").open("a") as file:
        file.writelines(
            f"{name} = {str(value).lower() if isinstance(value, bool) else repr(value)}\n" for name, value in settings.items()
        )
    return Home(home.folder)


# -- roles and purposes --------------------------------------------------------------------------------------------


def test_without_roles_everybody_may_do_everything(home: Home, tmp_path: Path) -> None:
    imported(home, profile(tmp_path), many(tmp_path, 3))
    projected(home)
    assert replays.compared(home).same


def test_an_operator_may_not_audit(home: Home, tmp_path: Path) -> None:
    home = configured(home, operators=ME, auditors="someone-else")
    imported(home, profile(tmp_path), many(tmp_path, 3))
    projected(home)
    moment = datetime.now(UTC).isoformat()
    for work in (
        lambda: replays.asof(home, "2026-06-01", moment),
        lambda: replays.history(home, "院000001"),
        lambda: replays.said(home, moment),
        lambda: replays.compared(home),
        lambda: hub.look(home, "access_list"),
        lambda: hub.look(home, "access_purge"),
    ):
        with pytest.raises(ReadRefused, match=f"{ME} is no auditor of this home"):
            work()
        with followed(home), pytest.raises(ReadRefused, match=f"{ME} is no auditor of this home"):
            work()
    assert {(o["role"], o["outcome"]) for o in told(home)} == {("operator", "refused")}
    assert hub.read(home, "SELECT count(*) FROM supply_history").column(0).to_pylist() == [3]


@pytest.mark.long
def test_an_auditor_may_neither_publish_nor_run_the_base(home: Home, tmp_path: Path) -> None:
    imported(home, profile(tmp_path), many(tmp_path, 3))
    projected(home)
    home = configured(home, operators="someone-else", auditors=ME)
    for work in (
        lambda: imported(home, profile(tmp_path), many(tmp_path, 4)),
        lambda: hub.rebuild(home, False, lambda _: None),
        lambda: hub.perform(home, "project"),
        lambda: hub.perform(home, "quarantine_skip", number=1, reason="x"),
    ):
        with pytest.raises((NotPermitted, ReadRefused), match=f"{ME} is no operator of this home"):
            work()
    assert replays.compared(home).same
    assert last(home)["role"] == "auditor"


def test_nobody_has_both_roles(home: Home) -> None:
    home = configured(home, operators=f"a, {ME}", auditors=f"{ME},b")
    with pytest.raises((ValueError, ReadRefused), match="the roles are separate"):
        hub.look(home, "access_list")


def test_a_purpose_is_required_where_the_home_says_so(home: Home) -> None:
    home = configured(home, purpose_required=True)
    for purpose in (None, "", "  "):
        with pytest.raises(ReadRefused, match="requires a purpose"):
            hub.read(home, "SELECT 1", purpose=purpose)
        with followed(home), pytest.raises(ReadRefused, match="requires a purpose"):
            hub.read(home, "SELECT 1", purpose=purpose)
    hub.read(home, "SELECT 1", purpose="case 7")
    assert [o["outcome"] for o in told(home)] == ["refused"] * 6 + ["answered"]


# -- who asks ------------------------------------------------------------------------------------------------------


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """A folder that any account may enter, which a test's own may not be."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        yield Path(folder)


@pytest.mark.skipif(os.getuid() != 0 or not hasattr(socket, "SO_PEERCRED"), reason="only root can ask as another account")
def test_who_asks_is_who_the_system_says_and_not_who_the_client_says(open_folder: Path) -> None:
    import grp

    group = grp.getgrgid(NOBODY).gr_name
    home = configured(region(open_folder), reader_group=group, operators=ME, auditors="carol")
    home.folder.chmod(0o755)
    with following(home):
        os.setegid(NOBODY)
        os.seteuid(NOBODY)
        try:
            query(home.folder / "hub.sock", "SELECT 1", purpose=f"I am {ME}")
            with pytest.raises(ReadRefused, match="is no auditor"):
                replays.asof(home, "2026-06-01", datetime.now(UTC).isoformat())
            for op in ("project", "access_list"):
                with pytest.raises(ReadRefused, match=f"{account_name(NOBODY)} is no "):
                    call(home.folder / "hub.sock", op, account=ME, caller=ME)
        finally:
            os.seteuid(0)
            os.setegid(0)
    found = [(o["account"], o["account_id"], o["command"], o["outcome"]) for o in told(home)]
    name = account_name(NOBODY)
    assert found == [
        (name, NOBODY, "query", "answered"),
        (name, NOBODY, "audit_asof", "refused"),
        (name, NOBODY, "access_list", "refused"),
    ]


@pytest.mark.skipif(os.getuid() != 0 or not hasattr(socket, "SO_PEERCRED"), reason="only root can ask as another account")
def test_an_auditor_of_another_account_needs_nothing_but_the_socket(open_folder: Path, tmp_path: Path) -> None:
    import grp

    home = region(open_folder)
    imported(home, profile(tmp_path), many(tmp_path, 3))
    projected(home)
    settings = {"operators": ME, "auditors": account_name(NOBODY), "purpose_required": True}
    home = configured(home, reader_group=grp.getgrgid(NOBODY).gr_name, **settings)
    home.folder.chmod(0o755)
    for name in ("stores", "access", "base", "locks", "known", "keys", "rejections"):
        (home.folder / name).mkdir(exist_ok=True)
        (home.folder / name).chmod(0o700)
    moment = datetime.now(UTC).isoformat()
    with following(home):
        os.setegid(NOBODY)
        os.seteuid(NOBODY)
        try:
            found = replays.asof(home, "2026-06-01", moment, purpose="case 7")
            rows = replays.history(home, "院000001", purpose="case 7")
        finally:
            os.seteuid(0)
            os.setegid(0)
    assert (found.rows["supply"], found.behind, len({r["event_id"] for r in rows})) == (3, None, 1)
    assert {(o["account"], o["role"], o["outcome"]) for o in told(home)} == {(account_name(NOBODY), "auditor", "answered")}


def test_a_group_that_is_none_is_refused_with_a_sentence(home: Home) -> None:
    home = configured(home, reader_group="no-such-group-here")
    with pytest.raises(RuntimeError, match="No socket can be made"):
        hub.perform(home, "status")
