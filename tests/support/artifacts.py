"""Java programs that the tests run, fetched once from Maven into a folder outside the project."""

import fcntl
import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from xml.etree import ElementTree

from tests.support.waiting import PATIENCE_S

CACHE = "YRD_TEST_CACHE"
"""Folder that keeps what was fetched; ~/.cache/yrd where it is not set."""
JAVA = 17
"""The oldest Java that runs them."""
FETCHING_S = 600


class Missing(Exception):  # noqa: N818 - nothing failed: this machine lacks something
    """It cannot be had on this machine; the message says what is lacking."""


def java(oldest: int = JAVA) -> str:
    """The path of a Java of at least this release, JAVA_HOME's before the one on PATH. Raises Missing."""
    home = os.environ.get("JAVA_HOME")
    path = shutil.which("java", path=f"{home}/bin" if home else None) or shutil.which("java")
    if path is None:
        raise Missing(f"no Java {oldest} on PATH")
    told = subprocess.run([path, "-version"], check=False, capture_output=True, text=True, timeout=PATIENCE_S).stderr
    release = re.search(r'version "(\d+)', told)
    if release is None or int(release[1]) < oldest:
        raise Missing(f"{path} is not Java {oldest} or newer")
    return path


def dependencies(pom: Path) -> Path:
    """The folder of what a pom lists, copied there by Maven once. Raises Missing where Maven is not there or cannot have it."""
    name = f"{pom.parent.name.removesuffix('_jars')}-{_version(pom)}-{sha256(pom.read_bytes()).hexdigest()[:8]}"
    return made_once(name, lambda folder: _copy(pom, folder))


def made_once(name: str, make: Callable[[Path], None], place: Path | None = None) -> Path:
    """The folder of that name in `place`, else in the cache, made at first need: whole or not at all, by one of those who ask at once."""
    cache = place or Path(os.environ.get(CACHE) or Path.home() / ".cache" / "yrd")
    cache.mkdir(parents=True, exist_ok=True)
    with (cache / f"{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (cache / name).is_dir():
            with tempfile.TemporaryDirectory(dir=cache, prefix=f"{name}.") as draft:
                make(Path(draft) / "made")
                (Path(draft) / "made").rename(cache / name)
    return cache / name


def _version(pom: Path) -> str:
    """The first property of a pom: the release of what it is for."""
    space = {"m": "http://maven.apache.org/POM/4.0.0"}
    properties = ElementTree.parse(pom).find("m:properties", space)
    return properties[0].text or "" if properties is not None else ""


def fetched(artifact: str, target: Path) -> Path:
    """One artifact (group:name:version:type:classifier) without what it depends on, as `target`. Raises Missing."""
    # Only the plugin's old releases fetch an artifact whose parent is not published.
    goal = "org.apache.maven.plugins:maven-dependency-plugin:2.8:get"
    _maven(artifact, goal, "-Dtransitive=false", f"-Dartifact={artifact}", f"-Ddest={target}")
    return target


def _copy(pom: Path, folder: Path) -> None:
    _maven(pom.parent.name, "-f", str(pom), "dependency:copy-dependencies", f"-DoutputDirectory={folder}")


def _maven(wanted: str, *arguments: str) -> None:
    maven = shutil.which("mvn")
    if maven is None:
        raise Missing("no Maven (mvn) on PATH")
    command = [maven, "-q", "-B", *arguments]
    made = subprocess.run(command, check=False, capture_output=True, text=True, timeout=FETCHING_S)
    if made.returncode:
        errors = [line for line in made.stdout.splitlines() if "ERROR" in line]
        raise Missing(f"Maven cannot have {wanted}: {errors[0] if errors else made.stderr}")
