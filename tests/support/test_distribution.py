"""Files that need a broker are all known, and a test that ended its process is not run again."""

import ast
from pathlib import Path

import pytest
from xdist.workermanage import WorkerController

from tests.support.distribution import BROKER, Distribution, needs_broker
from tests.support.project import ROOT

FILES = [path for path in sorted((ROOT / "tests").rglob("test_*.py")) if path.name != Path(__file__).name]


def asks_for_a_broker(path: Path) -> bool:
    """Whether any function of a file takes the broker or the registry."""
    functions = [node for node in ast.walk(ast.parse(path.read_text("utf-8"))) if isinstance(node, ast.FunctionDef)]
    return any(argument.arg in ("kafka", "registry") for function in functions for argument in function.args.args)


def test_the_files_that_ask_for_a_broker_are_those_that_go_to_one_process() -> None:
    asking = {path for path in FILES if asks_for_a_broker(path)}
    assert asking and asking == {path for path in FILES if needs_broker(path)}


@pytest.fixture
def distribution(pytestconfig: pytest.Config, monkeypatch: pytest.MonkeyPatch) -> Distribution:
    monkeypatch.setattr(pytestconfig.option, "tx", ["popen"], raising=False)
    return Distribution(pytestconfig)


def test_a_file_is_one_piece_of_work_and_all_that_need_a_broker_are_one(distribution: Distribution) -> None:
    files = ["tests/kafka/test_log.py", "tests/proof/test_over_kafka.py", "tests/keys/test_tokens.py"]
    assert [distribution._split_scope(f"{file}::test_a[1]") for file in files] == [BROKER, BROKER, files[2]]


def test_the_test_in_which_a_process_ended_is_named_and_not_run_again(distribution: Distribution) -> None:
    node = WorkerController.__new__(WorkerController)
    distribution.assigned_work[node] = {"a.py": {"a.py::one": True, "a.py::two": False, "a.py::three": False}}
    assert distribution.remove_node(node) == "a.py::two"
    assert distribution.workqueue == {"a.py": {"a.py::one": True, "a.py::two": True, "a.py::three": False}}
    assert distribution.assigned_work == {}
