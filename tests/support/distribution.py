"""Which process of a test run (pytest -n) runs what: a file goes whole to one of them, and all files that need a broker to the same one.

So one broker and one schema registry serve the run, and nobody else uses their topics, which have the same names in every region.
"""

import re
from functools import cache
from pathlib import Path

import pytest
from xdist.scheduler import LoadFileScheduling
from xdist.workermanage import WorkerController

BROKER = "files that need a broker"
NEEDS_BROKER = re.compile(r"^(?:def|    ).*\b(?:kafka: Broker|registry: \w+)\b", re.MULTILINE)


@cache
def needs_broker(path: Path) -> bool:
    """Whether a test file asks for the broker or the registry of the run."""
    return NEEDS_BROKER.search(path.read_text("utf-8")) is not None


class Distribution(LoadFileScheduling):  # type: ignore[misc]
    """Files in the order in which they were collected; what takes its process with it has failed and is not run again."""

    def _split_scope(self, nodeid: str) -> str:
        file = super()._split_scope(nodeid)
        return BROKER if needs_broker(self.config.rootpath / file) else file

    def remove_node(self, node: WorkerController) -> str | None:
        """The test in which a process ended; the rest of its work goes to others."""
        work = self.assigned_work[node]
        broken = next((test for unit in work.values() for test, done in unit.items() if not done), None)
        for unit in work.values():
            if broken in unit:
                unit[broken] = True
        super().remove_node(node)
        return broken


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: object) -> Distribution | None:
    return Distribution(config, log) if config.option.dist == "loadfile" else None


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What needs a broker comes first: it is the largest part that one process has to do alone."""
    items.sort(key=lambda item: not needs_broker(item.path))
