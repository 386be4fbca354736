"""A real schema registry for the tests: Apicurio Registry, which answers under /apis/ccompat/v7 as Confluent's does.

Known to differ from Confluent's: the compatibility of a subject can be set only once it has a schema (40401 before), and /mode is absent.
"""

import os
import tarfile
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NoReturn

import httpx

from tests.support.absent import absent
from tests.support.artifacts import Missing, fetched, java, made_once
from tests.support.processes import Server, free_ports

SETTING = "YRD_TEST_REGISTRY"
"""Address of a registry to use instead, as clients are given it: http://host:port or longer; it is not stopped."""
WAYS = f"name a registry in {SETTING} (its address), or install Java 17 and Maven (Debian: openjdk-17-jre-headless, maven)"
NAME, VERSION = "apicurio-registry-app", "3.0.9"
"""The newest release tried that runs on Java 17; 3.3 needs 21."""
ARTIFACT = f"io.apicurio:{NAME}:{VERSION}:tar.gz:all"
JVM = ("-Xmx256m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1")


class Registry:
    """A registry that others run: its address. Tests that would stop it are skipped."""

    def __init__(self, url: str) -> None:
        self.url = url

    def start(self) -> None:
        """Run it again with its schemas, at its address; comes back when it answers. Nothing where it runs."""
        self._not_ours()

    def stop(self) -> None:
        """End it in good order."""
        self._not_ours()

    def _not_ours(self) -> NoReturn:
        absent("REGISTRY", f"this needs a registry of its own; unset {SETTING}, then {WAYS.split(', or ', 1)[1]}")


class OwnRegistry(Registry):
    """A registry that we run in a folder, its schemas in a file there."""

    def __init__(self, place: Path, program: Path) -> None:
        (port,) = free_ports(1)
        super().__init__(f"http://127.0.0.1:{port}/apis/ccompat/v7")
        settings = {
            "quarkus.http.host": "127.0.0.1",
            "quarkus.http.port": str(port),
            "apicurio.datasource.url": f"jdbc:h2:file:{place}/schemas;DB_CLOSE_ON_EXIT=FALSE",
        }
        options = [f"-D{name}={value}" for name, value in settings.items()]
        self.server = Server([java(), *JVM, *options, "-jar", str(program)], place, self.answers, os.environ)

    def start(self) -> None:
        self.server.start()

    def stop(self) -> None:
        self.server.stop()

    def answers(self) -> bool:
        """Whether it serves requests now."""
        try:
            return httpx.get(f"{self.url}/subjects", timeout=5, trust_env=False).is_success
        except httpx.TransportError:
            return False


def program() -> Path:
    """The registry's program. Raises Missing where it cannot be had."""
    java()
    return made_once(f"{NAME}-{VERSION}", _unpacked) / f"{NAME}-{VERSION}-runner.jar"


def _unpacked(folder: Path) -> None:
    archive = fetched(ARTIFACT, folder.with_suffix(".tar.gz"))
    with tarfile.open(archive) as packed:
        packed.extractall(folder, filter="data")
    archive.unlink()


@contextmanager
def registry() -> Iterator[Registry]:
    """A running schema registry; skips, visibly, where there is none to be had."""
    if address := os.environ.get(SETTING):
        yield Registry(address.rstrip("/"))
        return
    try:
        jar = program()
    except Missing as lacking:
        absent("REGISTRY", f"{lacking}; {WAYS}")
    with tempfile.TemporaryDirectory(prefix="yrd-registry-", ignore_cleanup_errors=True) as place:
        own = OwnRegistry(Path(place), jar)
        own.start()
        try:
            yield own
        finally:
            own.server.kill()
