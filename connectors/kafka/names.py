"""Names on Kafka: topics and principals. One topic per publisher and kind, since every Kafka tool wants one schema a topic."""

import re
from collections.abc import Collection, Iterable

from schemas.contracts import KINDS

HUB = "hub"
TOPIC = re.compile(r"yrd\.(?P<publisher>[0-9]{2})\.(?P<kind>[a-z-]+)")


def topic(publisher: str, kind: str) -> str:
    """The topic of a publisher's events of one kind, such as yrd.33.service-object."""
    return f"yrd.{publisher}.{kind.replace('_', '-')}"


def topics(publishers: Iterable[str]) -> list[str]:
    """All topics of some publishers."""
    return [topic(publisher, kind) for publisher in publishers for kind in KINDS]


def listed(name: str, members: Collection[str]) -> bool:
    """Whether a topic is a listed member's, of a kind that there is."""
    found = TOPIC.fullmatch(name)
    return found is not None and found["publisher"] in members and found["kind"].replace("-", "_") in KINDS


def kind_of(name: str) -> str:
    """The kind whose events a topic holds."""
    return name.rpartition(".")[2].replace("-", "_")


def subject(topic_name: str) -> str:
    """The topic's subject in a schema registry (TopicNameStrategy)."""
    return f"{topic_name}-value"


def principal(publisher: str) -> str:
    """The Kafka principal under which a publisher's relay writes."""
    return f"User:publisher-{publisher}"
