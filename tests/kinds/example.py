"""What a kind's named example says: one entity as its source reports it, changes it, and puts it right."""

from collections.abc import Mapping
from importlib import import_module
from typing import Any, NamedTuple


class Example(NamedTuple):
    """One entity of a kind.

    key        its business key; empty where the token of `identity` is the key
    stated     path -> value as JSON has it: the first report
    changed    path -> another value: a later report
    corrected  path -> a third value: what `changed` should have said
    columns    path -> cell of a dump: an entity as a profile maps it
    rests_on   what a report says of its document: doc_no, authority, published_on
    identity   whose entity it is, where the kind can be about a person: id_type and number
    personal   a table of personal fields beside it: field -> value; only where the kind holds such
    """

    kind: str
    key: str
    stated: Mapping[str, Any]
    changed: Mapping[str, Any]
    corrected: Mapping[str, Any]
    columns: Mapping[str, str]
    rests_on: Mapping[str, str] = {}
    identity: Mapping[str, str] = {}
    personal: Mapping[str, str] = {}


def example_of(kind: str) -> Example:
    """The named example of a kind, from tests/kinds/<kind>.py."""
    found = import_module(f"tests.kinds.{kind}").EXAMPLE
    assert isinstance(found, Example) and found.kind == kind
    return found
