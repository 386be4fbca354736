"""Who may write what: access control lists that hold each publisher to its own topics and let the hub only read."""

import time
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from kafka import KafkaAdminClient
from kafka import errors as kafka_errors
from kafka.admin import (
    ACL,
    ACLFilter,
    ACLOperation,
    ACLPermissionType,
    ACLResourcePatternType,
    ResourcePattern,
    ResourcePatternFilter,
    ResourceType,
)

from connectors.home.settings import Settings
from connectors.kafka import names
from connectors.kafka.connecting import KafkaRefused, admin, unavailable

WRITING = ("WRITE", "DESCRIBE", "DESCRIBE_CONFIGS")
POLL_S = 0.05
READING = ("READ", "DESCRIBE", "DESCRIBE_CONFIGS")
"""Describing is knowing of a topic; describing its configuration lets relay and hub check that it keeps everything."""


@dataclass(frozen=True, slots=True)
class Rule:
    """One permission: who may do what with every topic whose name begins with `prefix`."""

    principal: str
    operation: str
    prefix: str

    def command(self, bootstrap: str) -> str:
        """The rule as a command of Kafka's own tools."""
        operation = "".join(word.capitalize() for word in self.operation.split("_"))
        return (
            f"kafka-acls.sh --bootstrap-server {bootstrap} --add --allow-principal {self.principal} "
            f"--operation {operation} --topic {self.prefix} --resource-pattern-type prefixed"
        )


def rules(publishers: Iterable[str]) -> list[Rule]:
    """The permissions of a region: each publisher writes its own topics, and the hub reads every publisher's."""
    writers = [Rule(names.principal(code), operation, f"yrd.{code}.") for code in publishers for operation in WRITING]
    return writers + [Rule(f"User:{names.HUB}", operation, "yrd.") for operation in READING]


def apply(settings: Settings, publishers: Iterable[str]) -> list[Rule]:
    """Create the rules at the brokers; those that stand already stay as they are. Raises KafkaRefused, LogUnavailable."""
    wanted = rules(publishers)
    acls = [_acl(rule) for rule in wanted]
    with admin(settings) as client:
        for failed in client.create_acls(acls)["failed"]:
            raise KafkaRefused(f"Kafka at {settings.kafka_bootstrap} makes no permissions: {_why(failed)}.")
        deadline = time.monotonic() + settings.kafka_wait_s
        while not _standing(client) >= set(acls):
            # A permission is in force a moment after it was taken.
            if time.monotonic() > deadline:
                raise unavailable(settings, "the permissions are not in force yet")
            time.sleep(POLL_S)
    return wanted


def _why(failed: Any) -> str:
    error = failed[1] if isinstance(failed, tuple) else failed
    return " ".join(str(error).split())


def _standing(client: KafkaAdminClient) -> set[ACL]:
    """The permissions that the brokers go by now."""
    any_topic = ResourcePatternFilter(ResourceType.TOPIC, None, ACLResourcePatternType.ANY)
    found, error = client.describe_acls(ACLFilter(None, None, ACLOperation.ANY, ACLPermissionType.ANY, any_topic))
    if error is not kafka_errors.NoError:
        raise error
    return set(found)


def _acl(rule: Rule) -> ACL:
    topics = ResourcePattern(ResourceType.TOPIC, rule.prefix, ACLResourcePatternType.PREFIXED)
    return ACL(rule.principal, "*", ACLOperation[rule.operation], ACLPermissionType.ALLOW, topics)
