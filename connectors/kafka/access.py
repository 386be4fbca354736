"""Who may write what: access control lists that hold each publisher to its own topics and let the hub only read."""

from collections.abc import Iterable
from dataclasses import dataclass

from kafka.admin import ACL, ACLOperation, ACLPermissionType, ACLResourcePatternType, ResourcePattern, ResourceType

from connectors.kafka import names
from connectors.kafka.connecting import admin
from connectors.settings import Settings

WRITING = ("WRITE", "DESCRIBE", "DESCRIBE_CONFIGS")
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
    with admin(settings) as client:
        client.create_acls([_acl(rule) for rule in wanted])
    return wanted


def _acl(rule: Rule) -> ACL:
    topics = ResourcePattern(ResourceType.TOPIC, rule.prefix, ACLResourcePatternType.PREFIXED)
    return ACL(rule.principal, "*", ACLOperation[rule.operation], ACLPermissionType.ALLOW, topics)
