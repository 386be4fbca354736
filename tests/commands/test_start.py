"""How a command starts: what it loads, what it says of a missing extra and of a former name, and that our mistakes show themselves."""

import json
import subprocess
import sys
import tomllib
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from types import ModuleType

import pytest

from connectors import command_line
from connectors.command_line import EXTRAS, FOREIGN, run
from connectors.commands import reading
from connectors.commands.deferred import deferred
from connectors.home.refused import Refused
from tests.documents.test_documents import command_names
from tests.support.dumps_for_tests import Yrd, region
from tests.support.project import ROOT

HEAVY = {
    "avro",
    "charset_normalizer",
    "cryptography",
    "duckdb",
    "eventsourcing",
    "httpx",
    "kafka",
    "polars",
    "prometheus_client",
    "pyarrow",
}
PROGRAM = """
import contextlib, io, json, sys
from connectors.command_line import run
with contextlib.redirect_stdout(io.StringIO()):
    codes = [run(arguments) for arguments in json.loads(sys.argv[1])]
print(json.dumps([codes, sorted({name.partition(".")[0] for name in sys.modules})]))
"""


def loaded(*commands: Sequence[object]) -> set[str]:
    """Heavy libraries that a process has loaded after these commands, each of which ends well."""
    given = json.dumps([[str(word) for word in command] for command in commands])
    done = subprocess.run([sys.executable, "-c", PROGRAM, given], cwd=ROOT, capture_output=True, text=True, check=True)
    codes, names = json.loads(done.stdout)
    assert codes == [0] * len(commands), done.stderr
    return HEAVY & set(names)


# -- what is loaded ------------------------------------------------------------------------------------------------


@pytest.mark.long
def test_no_help_loads_a_heavy_library() -> None:
    assert loaded(*([*name.split()[1:], "--help"] for name in command_names())) == set()


def test_commands_load_only_what_they_need(tmp_path: Path) -> None:
    home = ("--home", region(tmp_path).folder)
    assert loaded(("profiles", "list")) & {"avro", "duckdb", "eventsourcing", "httpx", "kafka", "prometheus_client"} == set()
    assert loaded(("key", "create", *home)) & {"duckdb", "polars", "pyarrow", "kafka"} == set()
    assert loaded(("status", *home), ("query", "SELECT 1", *home)) & {"avro", "httpx", "kafka", "prometheus_client"} == set()


def test_a_deferred_module_is_loaded_when_it_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "schemas.ids")
    monkeypatch.delattr("schemas.ids")
    with deferred():
        from schemas import ids
    assert type(ids) is not ModuleType
    assert ids.locked() and type(ids) is ModuleType


# -- what is not there ---------------------------------------------------------------------------------------------


def test_a_missing_extra_is_named(tmp_path: Path) -> None:
    for library, arguments in (("avro", ["schemas", "check"]), ("psycopg", ["heartbeat", "--publisher", "31", "--source", "x"])):
        home = region(tmp_path / library, store_url="postgresql://nobody@127.0.0.1:1/none").folder
        given = [*arguments, *(["--home", str(home)] if "--publisher" in arguments else [])]
        program = (
            f"import sys; sys.modules[{library!r}] = None; from connectors.command_line import run; sys.exit(run({given!r}))"
        )
        done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=False)
        extra = EXTRAS[library]
        assert (done.returncode, done.stderr.count("\n")) == (1, 1), done.stderr
        assert f"install the extra {extra}: pip install 'yrd-repository[{extra}]'." in done.stderr


def test_every_extra_that_is_named_installs_its_library() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    for library, extra in EXTRAS.items():
        package = library.replace("_", "-").removesuffix("-pool")
        assert any(each.startswith(package) for each in project["optional-dependencies"][extra]), (library, extra)
        assert not any(each.startswith(package) for each in project["dependencies"]), library


def test_a_former_name_is_understood_and_corrected(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    yrd = Yrd(region(tmp_path).folder, capsys)
    for former, name in command_line.RENAMED.items():
        assert yrd(former, "--help", home=False) == 0
        assert f"Usage: yrd {name} " in yrd.out and f"`yrd {former}` is now `yrd {name}`" in yrd.err
    assert yrd("keys", "create", "--publisher", "31", "--json") == 0 and json.loads(yrd.out)["file"].endswith("master-31.key")
    assert yrd("--help", home=False) == 0 and "│ keys " not in yrd.out


# -- whose fault ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("mistake", [KeyError("supply"), IndexError("list index out of range"), ValueError("not enough values")])
def test_a_mistake_in_the_program_is_no_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mistake: Exception) -> None:
    home = region(tmp_path)

    def mistaken(*_: object) -> None:
        raise mistake

    monkeypatch.setattr("connectors.hub.hub.perform", mistaken)
    with pytest.raises(type(mistake)):
        run(["status", "--home", str(home.folder)])


def test_a_mistake_in_the_program_ends_the_process_with_its_trace(tmp_path: Path) -> None:
    home = region(tmp_path)
    program = (
        "import sys; from connectors.hub import hub; hub.perform = lambda *_: {}['digest']; "
        f"from connectors.command_line import run; sys.exit(run(['status', '--home', {str(home.folder)!r}]))"
    )
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 1 and "Traceback" in done.stderr and "KeyError: 'digest'" in done.stderr


def test_what_is_refused_is_a_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    home = region(tmp_path)

    def refused(*_: object) -> None:
        raise Refused("There is\nnothing; wait.")

    monkeypatch.setattr("connectors.hub.hub.perform", refused)
    assert run(["status", "--home", str(home.folder)]) == 1
    assert capsys.readouterr().err == "yrd: There is nothing; wait.\n"


def test_every_foreign_error_is_one() -> None:
    for module, name in FOREIGN:
        assert issubclass(getattr(import_module(module), name), Exception), (module, name)


# -- the status ----------------------------------------------------------------------------------------------------


def test_the_status_counts_kinds_without_a_key_of_their_own(capsys: pytest.CaptureFixture[str]) -> None:
    found = {"file": "base-1.duckdb", "supplies": 3, "standards": 1, "quarantined": 0, "gaps": 0, "duplicates": 2}
    reading._print_counts(found | {"entities": {"supply": 3, "standard": 1, "service_voucher": 7, "lead": 0}})
    lines = [line.split() for line in capsys.readouterr().out.splitlines() if line.strip()]
    assert lines[1:3] == [["supplies", "standards", "quarantined", "gaps", "duplicates"], ["3", "1", "0", "0", "2"]]
    assert lines[3:] == [["service_voucher"], ["7"]]
