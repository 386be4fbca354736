"""Steps of an import that run while the step before or behind is at work."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

T = TypeVar("T")


def ahead(items: Iterator[T]) -> Iterator[T]:
    """The items, each made in another thread while the one before is used."""
    with ThreadPoolExecutor(1, thread_name_prefix="ahead") as maker:
        coming = maker.submit(next, items, None)
        while (made := coming.result()) is not None:
            coming = maker.submit(next, items, None)
            yield made


def one_behind(items: Iterator[T]) -> Iterator[T]:
    """The items, each only when the next was made: what that one began goes on while this one is used."""
    before: list[T] = []
    for item in items:
        yield from before
        before = [item]
    yield from before
