"""What one kind of entity adds to the general decision: the names of its facts and what can't be."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

Entry = dict[str, Any]
"""One entry of an array of a state, by its cells' names."""


class Violation(ValueError):
    """A state that can't be in the world; the message names the value and what is possible."""


@dataclass(frozen=True)
class Rules:
    """Rules of one kind. `first` names the event where nothing was known; `name` chooses among `facts` otherwise.

    `ended` are the fields that state the entity's end (closed, repealed), `still` the field and value a source
    implies by listing the entity. `reads` are the fields that `check` looks at.
    """

    kind: str
    first: Callable[[Mapping[str, Any]], str]
    facts: tuple[str, ...]
    name: Callable[[Mapping[str, Any], Mapping[str, Any], Sequence[str]], str]
    check: Callable[[Mapping[str, Any]], None]
    ended: Mapping[str, str]
    still: tuple[str, str]
    reads: tuple[str, ...]
