"""Where the real public dumps are, when they are at hand: beside the project, never inside it."""

import os
from pathlib import Path

import pytest

from tests.support.project import ROOT

ROOT = Path(os.environ.get("YRD_TEST_DATA", ROOT.parent / "shared" / "data"))


def real_data(name: str) -> Path:
    """Path of one real dump; skips the test, visibly, where the data is not at hand."""
    path = ROOT / name
    if not path.exists():
        pytest.skip(f"real data {name} is not at hand (set YRD_TEST_DATA to its folder)")
    return path
