"""Timing one piece of work in a process of its own: wall time, processor time, peak memory."""

import json
import os
import platform
import resource
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

Work = Callable[[Path, int], Mapping[str, Any]]


@dataclass(frozen=True)
class Timed:
    """What one run came to: seconds of wall and processor time, peak resident memory, and what the work says besides."""

    wall_s: float
    cpu_s: float
    peak_mib: int
    said: Mapping[str, Any]


def in_a_process(
    name: str, folder: Path, size: int, module: str = "benchmarks", environment: Mapping[str, str] = MappingProxyType({})
) -> Timed:
    """Run one named scenario of a module in a fresh interpreter and time it there."""
    command = [sys.executable, "-W", "ignore", "-m", module, "--one", name, str(folder), str(size)]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True, env=os.environ | environment)
    return Timed(**json.loads(done.stdout.splitlines()[-1]))


def report_one(work: Work, folder: Path, size: int) -> None:
    """Run a scenario here and print what it came to, as `in_a_process` reads it. A scenario may time its core itself."""
    started, cpu = time.perf_counter(), time.process_time()
    said = dict(work(folder, size))
    wall = said.pop("wall_s", time.perf_counter() - started)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    print(json.dumps({"wall_s": wall, "cpu_s": time.process_time() - cpu, "peak_mib": peak, "said": said}))  # noqa: T201


def machine() -> str:
    """The machine in one line."""
    cores = len([line for line in Path("/proc/cpuinfo").read_text().splitlines() if line.startswith("processor")])
    return f"{cores} cores, Python {platform.python_version()}, {platform.system()} {platform.machine()}"
