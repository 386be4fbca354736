"""The topics of listed members as the brokers show them, looked for again and again while they are read."""

import math
import time
from collections.abc import Callable, Collection, Mapping

from kafka import KafkaAdminClient

from connectors.home.settings import Settings
from connectors.kafka import names
from connectors.kafka.connecting import sentences
from connectors.kafka.topics import Topic, described
from repository.store.log import LogChanged, LogUnavailable, Partition


class Discovery:
    """Topics of `members` (None: of any publisher), and those that are named like a publisher's and are not read."""

    def __init__(self, settings: Settings, members: Collection[str] | None, admin: Callable[[], KafkaAdminClient]) -> None:
        self.settings, self.members = settings, None if members is None else frozenset(members)
        self.topics: Mapping[str, Topic] = {}
        self.identities: dict[str, str] = {}
        self.unlisted: list[str] = []
        self._admin = admin
        self._looked_at = float("-inf")

    @property
    def partitions(self) -> list[Partition]:
        return [(topic.name, number) for topic in self.topics.values() for number in range(topic.partitions)]

    def look(self) -> None:
        """Look for topics and partitions, every kafka_discovery_s. Raises LogUnavailable, and LogChanged."""
        if time.monotonic() < self._looked_at + self.settings.kafka_discovery_s:
            return
        with sentences(self.settings):
            found = described(self._admin())
        ours = {name: topic for name, topic in found.items() if names.listed(name, self.members)}
        self._refuse_none(ours)
        self._refuse_changed(ours)
        self.topics = ours
        self.identities.update({name: topic.identity for name, topic in ours.items()})
        self.unlisted = sorted(name for name in found if name.startswith("yrd.") and name not in ours)
        self._looked_at = time.monotonic()

    def look_now(self) -> None:
        """Look again, however short ago it was: something is wrong with a topic. Raises as `look`."""
        self._looked_at = -math.inf
        self.look()

    def _refuse_none(self, ours: Mapping[str, Topic]) -> None:
        """An account without permissions sees no topics either; nothing to read must not look like nothing new."""
        if ours or self.topics:
            return
        members = "any publisher" if self.members is None else ", ".join(sorted(self.members))
        raise LogUnavailable(
            f"Kafka at {self.settings.kafka_bootstrap} shows no topic of {members}; make them with `yrd kafka init`, or see "
            "whether this account may read them (`yrd kafka acl`)."
        )

    def _refuse_changed(self, ours: Mapping[str, Topic]) -> None:
        """A topic that was read must be the one that it was."""
        for name, before in self.topics.items():
            if name not in ours or ours[name].identity != before.identity:
                raise LogChanged(
                    f"{name} was deleted{' and made anew' if name in ours else ''} while it was read. Restore it, or rebuild "
                    "the base from the log as it is with `yrd rebuild`."
                )
