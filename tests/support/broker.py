"""A real Apache Kafka for the tests: one node, KRaft, on loopback, with SCRAM, TLS and ACLs.

`python -m tests.support.broker -- COMMAND …` runs a command beside it, its address in the environment; without a command it runs until Ctrl-C.
"""

import base64
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NoReturn
from uuid import uuid4

import pytest
from confluent_kafka import KafkaException
from confluent_kafka.admin import (  # type: ignore[attr-defined]
    AdminClient,
    ScramCredentialInfo,
    ScramMechanism,
    UserScramCredentialUpsertion,
)

from tests.support import certificates
from tests.support.absent import absent
from tests.support.artifacts import Missing, dependencies, java
from tests.support.processes import Server, free_ports
from tests.support.waiting import PATIENCE_S

SETTING = "YRD_TEST_BOOTSTRAP"
"""host:port of a broker to use instead, PLAINTEXT and free to do everything; it is neither stopped nor given users."""
HOME = "KAFKA_HOME"
"""Folder of an unpacked Apache Kafka 4, whose libs are run; KAFKA_HOME is Kafka's own name for it."""
WAYS = (
    f"name a broker in {SETTING} (host:port), or the folder of an unpacked Kafka 4 in {HOME}, "
    "or install Java 17 and Maven (Debian: openjdk-17-jre-headless, maven)"
)
ADMIN, PASSWORD = "admin", "admin-in-tests"
POM = Path(__file__).parent / "kafka_jars" / "pom.xml"
JVM = ("-Xms128m", "-Xmx512m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-Xshare:auto")
LOGGING = ("-Dorg.slf4j.simpleLogger.showDateTime=true", "-Dorg.slf4j.simpleLogger.dateTimeFormat=HH:mm:ss.SSS")
MECHANISM = "SCRAM-SHA-512"
PROPERTIES = """\
process.roles=broker,controller
node.id=1
controller.quorum.voters=1@127.0.0.1:{controller}
controller.listener.names=CONTROLLER
inter.broker.listener.name=PLAINTEXT
listeners=CONTROLLER://127.0.0.1:{controller},PLAINTEXT://127.0.0.1:{plain},SASL_PLAINTEXT://127.0.0.1:{sasl},SASL_SSL://127.0.0.1:{tls}
advertised.listeners=PLAINTEXT://127.0.0.1:{plain},SASL_PLAINTEXT://127.0.0.1:{sasl},SASL_SSL://127.0.0.1:{tls}
listener.security.protocol.map=CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT,SASL_PLAINTEXT:SASL_PLAINTEXT,SASL_SSL:SASL_SSL
log.dirs={place}/data

sasl.enabled.mechanisms=SCRAM-SHA-512
listener.name.sasl_plaintext.scram-sha-512.sasl.jaas.config=org.apache.kafka.common.security.scram.ScramLoginModule required;
listener.name.sasl_ssl.scram-sha-512.sasl.jaas.config=org.apache.kafka.common.security.scram.ScramLoginModule required;
listener.name.sasl_ssl.ssl.keystore.type=PEM
listener.name.sasl_ssl.ssl.keystore.location={place}/server.pem
authorizer.class.name=org.apache.kafka.metadata.authorizer.StandardAuthorizer
allow.everyone.if.no.acl.found=false
# Nobody logs in on the plaintext listener and the controller's, and both are loopback's alone: what comes there may do everything.
super.users=User:ANONYMOUS;User:admin

auto.create.topics.enable=false
num.partitions=1
default.replication.factor=1
offsets.topic.replication.factor=1
offsets.topic.num.partitions=1
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
transaction.state.log.num.partitions=1
share.coordinator.state.topic.replication.factor=1
share.coordinator.state.topic.min.isr=1
share.coordinator.state.topic.num.partitions=1
group.initial.rebalance.delay.ms=0
# Retention, deletion and aborted transactions are to be seen within a test's time.
log.retention.check.interval.ms=1000
log.initial.task.delay.ms=500
log.segment.delete.delay.ms=500
log.cleaner.enable=false
log.index.size.max.bytes=1048576
transaction.abort.timed.out.transaction.cleanup.interval.ms=500
# A broker that was killed is let in again when its old session is over.
broker.session.timeout.ms=2000
broker.heartbeat.interval.ms=300
num.network.threads=2
num.io.threads=4
"""


class Broker:
    """A broker that others run: an address, and nothing that would disturb them; tests that need more are skipped."""

    def __init__(self, bootstrap: str) -> None:
        self.bootstrap = bootstrap

    @property
    def sasl_bootstrap(self) -> str:
        """host:port of the listener SASL_PLAINTEXT with SCRAM-SHA-512."""
        self._not_ours()

    @property
    def tls_bootstrap(self) -> str:
        """host:port of the listener SASL_SSL with SCRAM-SHA-512; its certificate is vouched for by `authority`."""
        self._not_ours()

    @property
    def authority(self) -> Path:
        """File (PEM) with the certificate that vouches for the TLS listener's."""
        self._not_ours()

    @property
    def log_dir(self) -> Path:
        """Folder of the topics' segments: <topic>-<partition>/*.log."""
        self._not_ours()

    def user(self, name: str, password: str) -> None:
        """Let somebody log in under this name; it may do nothing until ACLs say so."""
        self._not_ours()

    def start(self) -> None:
        """Run it again, with its data, at its addresses; comes back when it answers. Nothing where it runs."""
        self._not_ours()

    def stop(self) -> None:
        """End it in good order."""
        self._not_ours()

    def kill(self) -> None:
        """End it as a power cut would."""
        self._not_ours()

    def _not_ours(self) -> NoReturn:
        absent("KAFKA", f"this needs a broker of its own; unset {SETTING}, then {WAYS.split(', or ', 1)[1]}")


class OwnBroker(Broker):
    """A broker that we run in a folder: everything can be done to it."""

    def __init__(self, place: Path, classpath: str, jvm: Sequence[str] = JVM) -> None:
        controller, plain, sasl, tls = free_ports(4)
        super().__init__(f"127.0.0.1:{plain}")
        self._sasl, self._tls, self._place = f"127.0.0.1:{sasl}", f"127.0.0.1:{tls}", place
        properties = place / "server.properties"
        properties.write_text(PROPERTIES.format(controller=controller, plain=plain, sasl=sasl, tls=tls, place=place), "utf-8")
        certificates.write(place / "authority.pem", place / "server.pem")
        self._java = [java(), *jvm, *LOGGING, *_logging_of_home(place), "-cp", classpath]
        self.server = Server([*self._java, "kafka.Kafka", str(properties)], place, self.answers, os.environ)
        self._format(properties)

    @property
    def sasl_bootstrap(self) -> str:
        return self._sasl

    @property
    def tls_bootstrap(self) -> str:
        return self._tls

    @property
    def authority(self) -> Path:
        return self._place / "authority.pem"

    @property
    def log_dir(self) -> Path:
        return self._place / "data"

    def user(self, name: str, password: str) -> None:
        wish = UserScramCredentialUpsertion(name, ScramCredentialInfo(ScramMechanism.SCRAM_SHA_512, 4096), password.encode())
        admin = self._admin()  # kept until it has answered: let go of, it ends
        admin.alter_user_scram_credentials([wish])[name].result(timeout=PATIENCE_S)

    def start(self) -> None:
        self.server.start()

    def stop(self) -> None:
        self.server.stop()

    def kill(self) -> None:
        self.server.kill()

    def answers(self) -> bool:
        """Whether it serves requests now, itself listed among the brokers that do."""
        try:
            return bool(self._admin().list_topics(timeout=1).brokers)
        except KafkaException:
            return False

    def _admin(self) -> AdminClient:
        # Another client than the one under test: it waits for a port to open in silence, and leaves no socket behind.
        return AdminClient({"bootstrap.servers": self.bootstrap, "log_level": 0, "reconnect.backoff.max.ms": 100})

    def _format(self, properties: Path) -> None:
        first_user = f"{MECHANISM}=[name={ADMIN},password={PASSWORD}]"
        wish = ["format", "-t", _kafka_id(), "-c", str(properties), "--add-scram", first_user]
        made = subprocess.run(
            [*self._java, "kafka.tools.StorageTool", *wish],
            check=False,
            capture_output=True,
            text=True,
            cwd=self._place,
            timeout=PATIENCE_S,
        )
        if made.returncode:
            raise RuntimeError(f"Kafka cannot format {self.log_dir}: {made.stdout}{made.stderr}")


def _kafka_id() -> str:
    """A random identity as Kafka writes them: 16 bytes in URL-safe base64, never beginning with a hyphen."""
    return base64.urlsafe_b64encode(b"yrd" + uuid4().bytes[3:]).decode().rstrip("=")


def _logging_of_home(place: Path) -> list[str]:
    """An unpacked Kafka has its own logging and the configuration to it."""
    configuration = Path(os.environ.get(HOME, "/nowhere")) / "config" / "log4j2.yaml"
    if not configuration.exists():
        return []
    return [f"-Dlog4j2.configurationFile={configuration}", f"-Dkafka.logs.dir={place}"]


def classpath() -> str:
    """Where the broker's classes are. Raises Missing where they cannot be had."""
    if home := os.environ.get(HOME):
        if not list(Path(home).glob("libs/kafka_*.jar")):
            raise Missing(f"{HOME} is {home}, which has no libs/kafka_*.jar")
        return f"{home}/libs/*"
    java()
    return f"{dependencies(POM)}/*"


@contextmanager
def broker(jvm: Sequence[str] = JVM) -> Iterator[Broker]:
    """A running broker; skips, visibly, where there is none to be had. `jvm`: options of its Java, which are for quick starts."""
    if address := os.environ.get(SETTING):
        yield Broker(address)
        return
    try:
        classes = classpath()
        java()
    except Missing as lacking:
        absent("KAFKA", f"{lacking}; {WAYS}")
    with tempfile.TemporaryDirectory(prefix="yrd-kafka-", ignore_cleanup_errors=True) as place:
        own = OwnBroker(Path(place), classes, jvm)
        own.start()
        try:
            yield own
        finally:
            own.kill()


def main(command: list[str]) -> int:
    """Run a command beside a broker and give back its exit code; without one, wait for Ctrl-C."""
    with broker() as running:
        addresses = {
            SETTING: running.bootstrap, "YRD_KAFKA_BOOTSTRAP": running.bootstrap, "YRD_KAFKA_SECURITY": "PLAINTEXT",
            "YRD_KAFKA_REPLICATION": "1",
        }  # fmt: skip
        if command:
            return subprocess.run(command, check=False, env=os.environ | addresses).returncode
        sys.stdout.write("".join(f"export {name}={value}\n" for name, value in addresses.items()))
        sys.stdout.flush()
        try:
            subprocess.run(["sleep", "infinity"], check=False)
        except KeyboardInterrupt:
            sys.stdout.write("\n")
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[2:] if sys.argv[1:2] == ["--"] else sys.argv[1:]))
    except (pytest.skip.Exception, pytest.fail.Exception) as lacking:
        sys.exit(str(lacking))
