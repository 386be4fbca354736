"""What one kind of entity adds to the general decision: the names of its facts, what can't be, and what leads to a person."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from typing import Any

Entry = dict[str, Any]
"""One entry of an array of a state, by its cells' names."""


class Violation(ValueError):
    """A state or a change that can't be in the world; the message names the value and what is possible."""


@dataclass(frozen=True, slots=True)
class Change:
    """What is about to be recorded of one entity: the state before (None: nothing was known), after, and on what it rests.

    `changed` are the paths that differ; `event_type` is the name the change was given. The last three are the document's.
    """

    before: Mapping[str, Any] | None
    after: Mapping[str, Any]
    changed: Sequence[str]
    event_type: str
    doc_no: str | None
    authority: str | None
    published_on: date | None


@dataclass(frozen=True)
class Person:
    """The fields of a kind that lead to a person. Erasure and restriction reach all of them, and the business key.

    `token` holds the pseudonym, `others` what identifies besides: serial numbers, references. The encrypted field `personal`,
    where the kind has it, always belongs to them. `only` is the field and value by which an entity is a person's; None:
    every entity of the kind is. `nobody` are values of that field that lead to no person, so that an entity may have no token.
    `token_is_key`: the pseudonym is the business key.
    """

    token: str
    others: tuple[str, ...] = ()
    only: tuple[str, str] | None = None
    nobody: tuple[str, ...] = ()
    token_is_key: bool = False

    def of(self, state: Mapping[str, Any]) -> bool:
        """Whether a state is a person's."""
        return self.only is None or state[self.only[0]] == self.only[1]

    def of_nobody(self, state: Mapping[str, Any]) -> bool:
        """Whether a state leads to no person, and has no token that says otherwise."""
        return self.only is not None and state[self.only[0]] in self.nobody and not state[self.token]


@dataclass(frozen=True)
class Rules:
    """Rules of one kind.

    first        names the event where nothing was known, from the state after it
    first_reads  the fields that `first` looks at
    facts        all names of events; `name` chooses among them where something was known
    check        raises Violation for a state that can't be; `reads` are the fields that it looks at
    judge        raises Violation for a change that can't be, such as one without a document; None: every change may be
    ended        the fields that state the entity's end (closed, repealed)
    still        the field and value of an entity in being
    listing_implies_still  a source that lists an entity says `still` of it, unless its profile says how to tell
    absence_ends           an entity that a complete list no longer holds has ended
    occurrence   an event of a day (a bill, a report): no list ends it, and none may claim to be complete
    person       what leads to a person; None: nothing does
    status_key   under which `yrd status` counts its entities besides; new kinds are counted under their names alone
    codes        fields with an open code list that the kind itself can judge: (text -> whether it is one, an example)
    """

    kind: str
    first: Callable[[Mapping[str, Any]], str]
    facts: tuple[str, ...]
    name: Callable[[Mapping[str, Any], Mapping[str, Any], Sequence[str]], str]
    check: Callable[[Mapping[str, Any]], None]
    ended: Mapping[str, str]
    still: tuple[str, str]
    reads: tuple[str, ...]
    first_reads: tuple[str, ...] = ()
    judge: Callable[[Change], None] | None = None
    listing_implies_still: bool = True
    absence_ends: bool = True
    occurrence: bool = False
    person: Person | None = None
    status_key: str = ""
    codes: Mapping[str, tuple[Callable[[str], bool], str]] = field(default_factory=dict)

    @property
    def closes(self) -> bool:
        """Whether a complete list ends what it no longer holds."""
        return self.absence_ends and not self.occurrence
