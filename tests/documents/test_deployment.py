"""The deployment files: held against the settings list, without secrets, and their broker script run for real."""

import os
import re
import shlex
import stat
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.main import get_command

from connectors.command_line import app
from connectors.home.folder import Home
from connectors.home.settings import SETTINGS, Settings
from connectors.kafka import permissions, topics
from connectors.kafka.connecting import KafkaRefused
from tests.support.absent import absent
from tests.support.artifacts import Missing, java
from tests.support.broker import WAYS, classpath
from tests.support.dumps_for_tests import YRD, asked, environment, imported, many, profile, projected, region
from tests.support.kafka_region import embedded_digest, relayed
from tests.support.processes import Server, free_ports
from tests.support.project import ROOT

COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text("utf-8"))
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
ENDS = {name for name, service in SERVICES.items() if service.get("restart") == "no"}
"""Services that run to their end."""
VARIABLES = {each.variable: each for each in SETTINGS.values()}
PLAIN_PASSWORD = re.compile(r"password\s*[:=]\s*['\"]?\w{6,}", re.IGNORECASE)


@pytest.mark.parametrize("name", SERVICES)
def test_a_service_is_pinned_watched_and_keeps_its_data(name: str) -> None:
    service = SERVICES[name]
    if "build" not in service:
        assert re.fullmatch(r"[\w/.-]+:\d+\.\d+[\w.-]*", service["image"]), service["image"]
    if name not in ENDS:
        assert service["healthcheck"]["test"] and service["restart"] == "unless-stopped"
    for volume in service.get("volumes", ()):
        source = volume.split(":")[0]
        assert source in COMPOSE["volumes"] or (ROOT / source).is_dir(), volume
    for port in service.get("ports", ()):
        assert port.startswith("127.0.0.1:"), port
    for other, how in service.get("depends_on", {}).items():
        ends = other in ENDS
        assert how["condition"] == ("service_completed_successfully" if ends else "service_healthy")


@pytest.mark.parametrize("name", SERVICES)
def test_every_setting_is_one_of_the_list_and_takes_its_value(name: str) -> None:
    given = {key: value for key, value in SERVICES[name].get("environment", {}).items() if key.startswith("YRD_")}
    for key, value in given.items():
        if key == "YRD_HOME":
            continue
        setting = VARIABLES[key]
        assert value in (setting.choices or (value,)), (key, value)
        assert not isinstance(setting.default, int) or value.isdigit() or value in ("true", "false"), (key, value)


def test_no_secret_stands_in_the_deployment_files() -> None:
    texts = {path: path.read_text("utf-8") for path in (ROOT / "deploy").rglob("*") if path.is_file()}
    texts[ROOT / "docker-compose.yml"] = (ROOT / "docker-compose.yml").read_text("utf-8")
    assert len(texts) > 4
    for path, text in texts.items():
        assert not PLAIN_PASSWORD.search(text), path
    for service in SERVICES.values():
        for key, value in service.get("environment", {}).items():
            assert "PASSWORD" not in key or value.startswith("/run/yrd/"), key


def test_every_members_relay_runs_under_its_own_account() -> None:
    relays = {name: service for name, service in SERVICES.items() if name.startswith("relay-")}
    assert sorted(relays) == [f"relay-{code}" for code in Settings().publishers]
    made = SERVICES["secrets"]["command"][-1].split()
    for name, service in relays.items():
        code = name.removeprefix("relay-")
        assert service["command"][:4] == ["yrd", "relay", "--publisher", code]
        assert service["environment"]["YRD_KAFKA_USERNAME"] == f"publisher-{code}" and f"publisher-{code}" in made
        assert service["environment"]["YRD_KAFKA_PASSWORD_FILE"] == f"/run/yrd/publisher-{code}.password"


def test_commands_parse() -> None:
    lines = [service["command"] for service in SERVICES.values() if service.get("command", [""])[0] == "yrd"]
    lines += [SERVICES["projector"]["healthcheck"]["test"][1:]]
    script = (ROOT / "deploy" / "load-examples.sh").read_text("utf-8").replace('"$publisher"', "31")
    shell = SERVICES["setup"]["command"][-1] + "\n" + script
    lines += [shlex.split(found) for found in re.findall(r"\byrd (?:[a-z]+ ?)+[^&)'\n]*", shell)]
    assert len(lines) > 15
    for words in lines:
        command: Any = get_command(app)
        rest = words[1:]
        while hasattr(command, "commands"):
            command = command.commands[rest.pop(0)]
        command.make_context(" ".join(words), rest)


def test_secrets_are_made_once_and_for_their_owner_only(tmp_path: Path) -> None:
    for accounts in (("admin", "hub"), ("admin", "hub", "publisher-31")):
        subprocess.run(["sh", ROOT / "deploy" / "make-secrets.sh", tmp_path / "s", *accounts], check=True)
        found = {path.name: path.read_text("utf-8") for path in (tmp_path / "s").iterdir()}
        if len(accounts) == 2:
            first = found
    assert {name: found[name] for name in first} == first and len(found) == len(set(found.values())) == 3
    assert all(len(secret) == 64 for secret in found.values())
    assert all(stat.S_IMODE(path.stat().st_mode) == 0o600 for path in (tmp_path / "s").iterdir())


@pytest.mark.long
def test_the_example_dumps_load(tmp_path: Path) -> None:
    home = region(tmp_path, synthetic=True)
    (tmp_path / "yrd").write_text(f'#!/bin/sh\nexec {shlex.join(map(str, YRD))} "$@"\n', "utf-8")
    (tmp_path / "yrd").chmod(0o755)
    known = environment(YRD_HOME=str(home.folder), PATH=f"{tmp_path}:{os.environ['PATH']}")
    done = subprocess.run(["sh", ROOT / "deploy" / "load-examples.sh"], env=known, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    projected(home)
    assert asked(home, "SELECT count(*) AS n FROM supply_current")[0]["n"] > 25


# -- the broker script -----------------------------------------------------------------------------------------------


def as_account(home: Home, name: str, port: int, secrets: Path) -> Home:
    """The home under an account of the deployed broker."""
    given = {
        "kafka_bootstrap": f"127.0.0.1:{port}", "kafka_security": "SASL_PLAINTEXT", "kafka_username": name,
        "kafka_password_file": str(secrets / f"{name}.password"), "kafka_replication": 1, "log": "kafka",
    }  # fmt: skip
    path = home.folder / "yrd.toml"
    lines = [line for line in path.read_text("utf-8").splitlines() if line.split(" = ")[0] not in given]
    path.write_text("\n".join([*lines, *(f"{key} = {value!r}" for key, value in given.items())]) + "\n", "utf-8")
    return Home(home.folder)


def deployed(folder: Path, port: int, controller: int) -> Server:
    """The broker of the deployment, by its own script, from the jars that the tests have."""
    try:
        libraries = Path(classpath().removesuffix("/*"))
        java()
    except Missing as lacking:
        absent("KAFKA", f"{lacking}; {WAYS}")
    (folder / "kafka").mkdir()
    (folder / "kafka" / "libs").symlink_to(libraries)
    known = {
        "KAFKA_HOME": str(folder / "kafka"), "KAFKA_DATA": str(folder / "data"), "KAFKA_SECRETS": str(folder / "secrets"),
        "KAFKA_HOST": "127.0.0.1", "KAFKA_BIND": "127.0.0.1", "KAFKA_PORT": str(port), "KAFKA_CONTROLLER_PORT": str(controller),
    }  # fmt: skip
    script = ["bash", str(ROOT / "deploy" / "kafka" / "start.sh")]
    return Server(
        script, folder, lambda: "Kafka Server started" in (folder / "server.log").read_text("utf-8"), os.environ | known
    )


@pytest.mark.long
def test_the_deployed_broker_keeps_accounts_to_their_topics_and_its_data_over_a_restart(tmp_path: Path) -> None:
    port, controller = free_ports(2)
    home = region(tmp_path)
    imported(home, profile(tmp_path), many(tmp_path, 20))
    accounts = ["admin", "hub", *(f"publisher-{code}" for code in home.settings.publishers)]
    subprocess.run(["sh", ROOT / "deploy" / "make-secrets.sh", tmp_path / "secrets", *accounts], check=True)
    server = deployed(tmp_path, port, controller)
    server.start()
    try:
        admin = as_account(home, "admin", port, tmp_path / "secrets")
        topics.prepare(admin.settings, admin.settings.publishers)
        permissions.apply(admin.settings, admin.settings.publishers)
        with pytest.raises(KafkaRefused):
            relayed(as_account(home, "publisher-33", port, tmp_path / "secrets"), "31")
        assert relayed(as_account(home, "publisher-31", port, tmp_path / "secrets")).acknowledged == 21
        server.kill()
        server.start()
        assert projected(as_account(home, "hub", port, tmp_path / "secrets"))["digest"] == embedded_digest(home)
        assert stat.S_IMODE((tmp_path / "data.properties").stat().st_mode) == 0o600
    finally:
        server.kill()
