"""Imports that wait: what is imported inside `with deferred():` is loaded when something of it is first used.

The help of a command and what it prints of wrong usage need its options, and no database engine. Only modules of this program
wait, named by `from package import module`; foreign libraries are loaded where they are imported. A `lazy import` of Python 3.15
(PEP 810) does the same.
"""

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib.machinery import ModuleSpec, PathFinder
from importlib.util import LazyLoader
from types import ModuleType

OURS = ("schemas.", "repository.", "projections.", "connectors.")


class _Waiting:
    """Finds modules as Python does, and has the loading of ours wait; packages hold nothing to wait for."""

    @staticmethod
    def find_spec(name: str, path: Sequence[str] | None = None, target: ModuleType | None = None) -> ModuleSpec | None:
        spec = PathFinder.find_spec(name, path, target) if name.startswith(OURS) else None
        if spec is not None and spec.loader is not None and spec.submodule_search_locations is None:
            spec.loader = LazyLoader(spec.loader)
        return spec


@contextmanager
def deferred() -> Iterator[None]:
    """Have the modules that are imported inside wait for their first use."""
    sys.meta_path.insert(0, _Waiting)
    try:
        yield
    finally:
        sys.meta_path.remove(_Waiting)
