"""Names on Kafka: topics and principals. One topic per publisher and kind, since every Kafka tool wants one schema a topic."""

import re
from collections.abc import Collection, Iterable

from repository.proof.member import KIND as MEMBER
from repository.proof.member import OFFICE
from schemas.contracts import KINDS

HUB = "hub"
TOPIC = re.compile(r"yrd\.(?P<publisher>[0-9]{2})\.(?P<kind>[a-z0-9-]+)")


def topic_of(publisher: str, kind: str) -> str:
    """The topic of a publisher's events of one kind: yrd.<code>.<kind>, the kind's words joined by dashes."""
    return f"yrd.{publisher}.{kind.replace('_', '-')}"


def kind_of(topic: str) -> str:
    """The kind whose events a topic holds: `topic_of` the other way."""
    return topic.rpartition(".")[2].replace("-", "_")


def topics(publishers: Iterable[str]) -> list[str]:
    """All topics of some publishers; the member list is the regional office's alone."""
    return [topic_of(code, kind) for code in publishers for kind in KINDS if kind != MEMBER or code == OFFICE]


def listed(topic: str, members: Collection[str] | None) -> bool:
    """Whether a topic is of a listed member (None: of any publisher) and of a kind that there is."""
    found = TOPIC.fullmatch(topic)
    if found is None or (members is not None and found["publisher"] not in members):
        return False
    return topic in topics([found["publisher"]])


def subject(topic: str) -> str:
    """The topic's subject in a schema registry (TopicNameStrategy)."""
    return f"{topic}-value"


def principal(publisher: str) -> str:
    """The Kafka principal under which a publisher's relay writes."""
    return f"User:publisher-{publisher}"
