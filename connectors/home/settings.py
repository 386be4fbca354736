"""The settings: one list, with unit, default and meaning. Environment variables and the home's `yrd.toml` come from it.

A setting `poll_interval_ms` is read from `YRD_POLL_INTERVAL_MS`, else from the key `poll_interval_ms` in `yrd.toml`, else
holds its default. Units stand in the names.
"""

import os
import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from repository.persons.personal import ALGORITHMS as CIPHERS
from repository.proof.merkle import ALGORITHMS, SHA_256


class SettingError(ValueError):
    """A setting that can't be used; the message names it, its value and what it takes."""


WHOLE = re.compile("[1-9][0-9]*")
CODE = re.compile("[0-9]{2}")
MEANINGS = {
    "publishers": "Members of the region, by publisher code, separated by commas; only their topics are read.",
    "synthetic": "Whether this home holds invented persons only; person records are refused elsewhere.",
    "store_url": "PostgreSQL URL of the event stores, one schema per publisher; empty: SQLite files in the home.",
    "store_password_file": "File with the password of store_url and nothing else, where the URL has none.",
    "batch_records": "Most records that the projector commits at once.",
    "poll_interval_ms": "How often followers look for new events.",
    "import_chunk_rows": "Rows of a dump that are mapped at once.",
    "memory_limit_mib": "Memory that each DuckDB file may use before it spills to disk.",
    "threads": "Threads that each DuckDB file may use.",
    "lock_wait_s": "How long a command waits for another that uses the same store or base.",
    "read_time_limit_s": "Longest time one query may take.",
    "read_row_limit": "Most rows one query may return.",
    "readers": "Queries that may run at once; further ones wait.",
    "reader_wait_s": "How long a further query waits for its turn.",
    "log": "Where the projector's records come from: embedded (the stores of this home) or kafka.",
    "kafka_bootstrap": "Brokers to ask first, host:port, separated by commas.",
    "kafka_security": "SASL_SSL, SSL, SASL_PLAINTEXT or PLAINTEXT; the last two for a broker on this machine only.",
    "kafka_mechanism": "SASL mechanism: SCRAM-SHA-512 or SCRAM-SHA-256.",
    "kafka_username": "SASL user; a publisher's is publisher-<code>, the hub's is hub.",
    "kafka_password_file": "File with the SASL password and nothing else.",
    "kafka_ca_file": "File with the certificates (PEM) that vouch for the brokers; empty: the system's.",
    "kafka_client": "Client that reads the topics: kafka-python, or librdkafka where that extra is installed.",
    "kafka_partitions": "Partitions of each topic; may be raised later, never lowered.",
    "kafka_replication": "Copies that the brokers keep of each topic.",
    "kafka_compression": "Compression of what a relay sends: none, gzip, or lz4, snappy, zstd where installed.",
    "kafka_headers": "Headers of each record: short (ce_id, ce_type, position) or cloudevents (all of CloudEvents 1.0).",
    "kafka_wait_s": "How long a command waits for brokers or registry that do not answer; followers go on waiting.",
    "kafka_discovery_s": "How often a following projector looks for new topics and partitions.",
    "schema_registry_url": "Confluent-compatible registry of schema numbers; empty: the numbers in schemas/ids.lock.",
    "stalled_after_s": "After how long without progress a follower with records before it says so.",
    "metrics_port": "Port on which followers serve Prometheus metrics; none where it is not set.",
    "metrics_address": "Address on which they serve them.",
    "export_time_limit_s": "Longest time one export of an audit command may take.",
    "reader_group": "Group of the operating system whose members may read at the socket; empty: the home's owner alone.",
    "operators": "Accounts that publish and run the base, separated by commas; empty, with auditors empty: everybody.",
    "auditors": "Accounts that run audit and access commands, separated by commas; none may be an operator.",
    "purpose_required": "Whether every query, export and audit command must state its purpose.",
    "access_retention_days": "How long a record of the access log is kept at least; three years by default.",
    "office_key": "Public key (verifier key) of the regional office; with it only members that the office lists are read.",
    "seal_hash": "Hash algorithm of seals: sha-256 or sm3. After a change rebuild the base.",
    "seal_every_events": "A log with a signing key, a publisher's or the access log, is sealed after so many new records.",
    "seal_every_s": "In a log with a signing key new records are sealed that were not sealed for so long.",
    "seal_grace_s": "How long records that a seal covers may be on their way before they count as withheld.",
    "personal_cipher": "Cipher of personal fields in new events: AES-256-GCM or SM4-GCM; events name theirs.",
    "key_store_url": "PostgreSQL URL of the subjects' keys, one schema per publisher; empty: SQLite files in the home.",
}
CHOICES = {
    "log": ("embedded", "kafka"),
    "kafka_security": ("SASL_SSL", "SSL", "SASL_PLAINTEXT", "PLAINTEXT"),
    "kafka_mechanism": ("SCRAM-SHA-512", "SCRAM-SHA-256"),
    "kafka_client": ("kafka-python", "librdkafka"),
    "kafka_compression": ("none", "gzip", "lz4", "snappy", "zstd"),
    "kafka_headers": ("short", "cloudevents"),
    "personal_cipher": tuple(CIPHERS),
}
"""Settings that take one of a few words."""


@dataclass(frozen=True)
class Settings:
    """Values of all settings; MEANINGS says what each is."""

    publishers: tuple[str, ...] = ("00", "31", "32", "33", "34")
    synthetic: bool = False
    store_url: str = ""
    store_password_file: str = ""
    batch_records: int = 50_000
    poll_interval_ms: int = 20
    import_chunk_rows: int = 100_000
    memory_limit_mib: int = 1024
    threads: int = 2
    lock_wait_s: int = 60
    read_time_limit_s: int = 30
    read_row_limit: int = 1_000_000
    readers: int = 16
    reader_wait_s: int = 30
    log: str = "embedded"
    kafka_bootstrap: str = "127.0.0.1:9092"
    kafka_security: str = "SASL_SSL"
    kafka_mechanism: str = "SCRAM-SHA-512"
    kafka_username: str = ""
    kafka_password_file: str = ""
    kafka_ca_file: str = ""
    kafka_client: str = "kafka-python"
    kafka_partitions: int = 3
    kafka_replication: int = 3
    kafka_compression: str = "none"
    kafka_headers: str = "short"
    kafka_wait_s: int = 30
    kafka_discovery_s: int = 5
    schema_registry_url: str = ""
    stalled_after_s: int = 60
    metrics_port: int = 0
    metrics_address: str = "127.0.0.1"
    export_time_limit_s: int = 600
    reader_group: str = ""
    operators: str = ""
    auditors: str = ""
    purpose_required: bool = False
    access_retention_days: int = 1096
    office_key: str = ""
    seal_hash: str = "sha-256"
    seal_every_events: int = 10_000
    seal_every_s: int = 3600
    seal_grace_s: int = 600
    personal_cipher: str = "AES-256-GCM"
    key_store_url: str = ""


def read_settings(file: Path, environment: Mapping[str, str] = os.environ) -> Settings:
    """Settings from the environment, then the file where it exists, then the defaults. Raises SettingError."""
    try:
        stated: dict[str, Any] = tomllib.loads(file.read_text("utf-8")) if file.exists() else {}
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise SettingError(f"{file} can't be read as TOML ({error}); correct it or delete it and run `yrd init`.") from error
    known = {f.name: f.default for f in fields(Settings)}
    for name in stated:
        if name not in known:
            raise SettingError(f'{file} sets "{name}", which is no setting; known are {", ".join(known)}.')
    for name in known:
        if f"YRD_{name.upper()}" in environment:
            stated[name] = environment[f"YRD_{name.upper()}"]
    if stated.get("seal_hash", SHA_256) not in ALGORITHMS:
        raise SettingError(f'The setting seal_hash is "{stated["seal_hash"]}"; it takes {" or ".join(ALGORITHMS)}.')
    return Settings(**{name: _value(name, known[name], value) for name, value in stated.items()})


def _value(name: str, default: Any, value: Any) -> Any:
    if isinstance(default, tuple):
        return publisher_codes(name, value)
    if isinstance(default, bool):
        if str(value).lower() not in ("true", "false", "1", "0"):
            raise SettingError(f'The setting {name} is "{value}"; it takes true or false.')
        return str(value).lower() in ("true", "1")
    if isinstance(default, int):
        if not WHOLE.fullmatch(str(value)):
            raise SettingError(f'The setting {name} is "{value}"; it takes a whole number from 1.')
        return int(value)
    if not isinstance(value, str):
        raise SettingError(f'The setting {name} is "{value}"; it takes a text.')
    return choice(name, value)


def secret(name: str, path: str) -> str:
    """The secret in the file that a setting names. Raises SettingError where there is none."""
    if not path or not Path(path).is_file():
        raise SettingError(f'The setting {name} is "{path}", and there is no such file; name it in YRD_{name.upper()}.')
    return Path(path).read_text("utf-8").strip()


def choice(name: str, value: str) -> str:
    """A text, where the setting takes only some words one of them. Raises SettingError."""
    if value not in CHOICES.get(name, (value,)):
        raise SettingError(f'The setting {name} is "{value}"; it takes {", ".join(CHOICES[name])}.')
    return value


def publisher_codes(name: str, value: Any) -> tuple[str, ...]:
    """Publisher codes from a list, or from a text with commas. Raises SettingError: they name files and topics."""
    codes = [part.strip() for part in value.split(",")] if isinstance(value, str) else value
    plain = isinstance(codes, list | tuple) and all(isinstance(code, str) and CODE.fullmatch(code) for code in codes)
    if not codes or not plain or len(set(codes)) < len(codes):
        raise SettingError(f'The setting {name} is "{value}"; it takes different codes of two digits each, such as 31,32,33.')
    return tuple(codes)
