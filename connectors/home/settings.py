"""The settings: one list, each with default, meaning and the words it takes. Units stand in the names.

A setting `poll_interval_ms` is read from `YRD_POLL_INTERVAL_MS`, else from the key `poll_interval_ms` in the home's
`yrd.toml`, else holds its default.
"""

import os
import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from repository.persons.personal import ALGORITHMS as CIPHERS
from repository.proof.merkle import ALGORITHMS as HASHES


class SettingError(ValueError):
    """A setting that can't be used; the message names it, its value and what it takes."""


WHOLE = re.compile("[1-9][0-9]*")
CODE = re.compile("[0-9]{2}")
Default = TypeVar("Default", tuple[str, ...], bool, int, str)


def _setting(default: Default, meaning: str, choices: tuple[str, ...] = ()) -> Default:
    """One entry of the list. Its type is the default's; `choices` are the only words that a text takes, where there are any."""
    made: Default = field(default=default, metadata={"meaning": meaning, "choices": choices})
    return made


@dataclass(frozen=True)
class Settings:
    """The list of all settings, and their values at one home."""

    publishers: tuple[str, ...] = _setting(
        ("00", "31", "32", "33", "34"),
        "Members of the region, by publisher code, separated by commas; only their topics are read.",
    )
    synthetic: bool = _setting(False, "Whether this home holds invented persons only; person records are refused elsewhere.")
    store_url: str = _setting(
        "", "PostgreSQL URL of the event stores, one schema per publisher; empty: SQLite files in the home."
    )
    store_password_file: str = _setting("", "File with the password of store_url and nothing else, where the URL has none.")
    batch_records: int = _setting(50_000, "Most records that the projector commits at once.")
    poll_interval_ms: int = _setting(20, "How often followers look for new events.")
    import_chunk_rows: int = _setting(100_000, "Rows of a dump that are mapped at once.")
    memory_limit_mib: int = _setting(1024, "Memory that each DuckDB file may use before it spills to disk.")
    threads: int = _setting(2, "Threads that each DuckDB file may use.")
    lock_wait_s: int = _setting(60, "How long a command waits for another that uses the same store or base.")
    read_time_limit_s: int = _setting(30, "Longest time one query may take.")
    read_row_limit: int = _setting(1_000_000, "Most rows one query may return.")
    readers: int = _setting(16, "Queries that may run at once; further ones wait.")
    reader_wait_s: int = _setting(30, "How long a further query waits for its turn.")
    log: str = _setting(
        "embedded", "Where the projector's records come from: embedded (the stores of this home) or kafka.", ("embedded", "kafka")
    )
    kafka_bootstrap: str = _setting("127.0.0.1:9092", "Brokers to ask first, host:port, separated by commas.")
    kafka_security: str = _setting(
        "SASL_SSL",
        "SASL_SSL, SSL, SASL_PLAINTEXT or PLAINTEXT; the last two for a broker on this machine only.",
        ("SASL_SSL", "SSL", "SASL_PLAINTEXT", "PLAINTEXT"),
    )
    kafka_mechanism: str = _setting(
        "SCRAM-SHA-512", "SASL mechanism: SCRAM-SHA-512 or SCRAM-SHA-256.", ("SCRAM-SHA-512", "SCRAM-SHA-256")
    )
    kafka_username: str = _setting("", "SASL user; a publisher's is publisher-<code>, the hub's is hub.")
    kafka_password_file: str = _setting("", "File with the SASL password and nothing else.")
    kafka_ca_file: str = _setting("", "File with the certificates (PEM) that vouch for the brokers; empty: the system's.")
    kafka_client: str = _setting(
        "kafka-python",
        "Client that reads the topics: kafka-python, or librdkafka where that extra is installed.",
        ("kafka-python", "librdkafka"),
    )
    kafka_partitions: int = _setting(3, "Partitions of each topic; may be raised later, never lowered.")
    kafka_replication: int = _setting(3, "Copies that the brokers keep of each topic.")
    kafka_compression: str = _setting(
        "none",
        "Compression of what a relay sends: none, gzip, or lz4, snappy, zstd where installed.",
        ("none", "gzip", "lz4", "snappy", "zstd"),
    )
    kafka_headers: str = _setting(
        "short",
        "Headers of each record: short (ce_id, ce_type, position) or cloudevents (all of CloudEvents 1.0).",
        ("short", "cloudevents"),
    )
    kafka_wait_s: int = _setting(
        30, "How long a command waits for brokers or registry that do not answer; followers go on waiting."
    )
    kafka_discovery_s: int = _setting(5, "How often a following projector looks for new topics and partitions.")
    schema_registry_url: str = _setting(
        "", "Confluent-compatible registry of schema numbers; empty: the numbers in schemas/ids.lock."
    )
    stalled_after_s: int = _setting(60, "After how long without progress a follower with records before it says so.")
    metrics_port: int = _setting(0, "Port on which followers serve Prometheus metrics; none where it is not set.")
    metrics_address: str = _setting("127.0.0.1", "Address on which they serve them.")
    export_time_limit_s: int = _setting(600, "Longest time one export of an audit command may take.")
    reader_group: str = _setting(
        "", "Group of the operating system whose members may read at the socket; empty: the home's owner alone."
    )
    operators: str = _setting(
        "", "Accounts that publish and run the base, separated by commas; empty, with auditors empty: everybody."
    )
    auditors: str = _setting("", "Accounts that run audit and access commands, separated by commas; none may be an operator.")
    purpose_required: bool = _setting(False, "Whether every query, export and audit command must state its purpose.")
    access_retention_days: int = _setting(1096, "How long a record of the access log is kept at least; three years by default.")
    office_key: str = _setting(
        "", "Public key (verifier key) of the regional office; with it only members that the office lists are read."
    )
    seal_hash: str = _setting(
        "sha-256", "Hash algorithm of seals: sha-256 or sm3. After a change rebuild the base.", tuple(HASHES)
    )
    seal_every_events: int = _setting(
        10_000, "A log with a signing key, a publisher's or the access log, is sealed after so many new records."
    )
    seal_every_s: int = _setting(3600, "In a log with a signing key new records are sealed that were not sealed for so long.")
    seal_grace_s: int = _setting(600, "How long records that a seal covers may be on their way before they count as withheld.")
    personal_cipher: str = _setting(
        "AES-256-GCM", "Cipher of personal fields in new events: AES-256-GCM or SM4-GCM; events name theirs.", tuple(CIPHERS)
    )
    key_store_url: str = _setting(
        "", "PostgreSQL URL of the subjects' keys, one schema per publisher; empty: SQLite files in the home."
    )


class Setting(NamedTuple):
    """An entry of the list: `choices` are the words that it takes, none where it takes any value of its default's type."""

    name: str
    default: Any
    meaning: str
    choices: tuple[str, ...]

    @property
    def variable(self) -> str:
        """The environment variable that sets it."""
        return f"YRD_{self.name.upper()}"


SETTINGS = {f.name: Setting(f.name, f.default, **f.metadata) for f in fields(Settings)}
"""The list by name, in its order."""


def read_settings(file: Path, environment: Mapping[str, str] = os.environ) -> Settings:
    """Settings from the environment, then the file where it exists, then the defaults. Raises SettingError."""
    try:
        stated: dict[str, Any] = tomllib.loads(file.read_text("utf-8")) if file.exists() else {}
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise SettingError(f"{file} can't be read as TOML ({error}); correct it or delete it and run `yrd init`.") from error
    for name in stated:
        if name not in SETTINGS:
            raise SettingError(f'{file} sets "{name}", which is no setting; known are {", ".join(SETTINGS)}.')
    stated |= {name: environment[each.variable] for name, each in SETTINGS.items() if each.variable in environment}
    return Settings(**{name: _value(name, value) for name, value in stated.items()})


def _value(name: str, value: Any) -> Any:
    default = SETTINGS[name].default
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
        raise SettingError(f'The setting {name} is "{path}", and there is no such file; name it in {SETTINGS[name].variable}.')
    return Path(path).read_text("utf-8").strip()


def choice(name: str, value: str) -> str:
    """A text, where the setting takes only some words one of them. Raises SettingError."""
    *others, last = SETTINGS[name].choices or (value,)
    if value not in (*others, last):
        raise SettingError(f'The setting {name} is "{value}"; it takes {", ".join(others)} or {last}.')
    return value


def publisher_codes(name: str, value: Any) -> tuple[str, ...]:
    """Publisher codes from a list, or from a text with commas. Raises SettingError: they name files and topics."""
    codes = [part.strip() for part in value.split(",")] if isinstance(value, str) else value
    plain = isinstance(codes, list | tuple) and all(isinstance(code, str) and CODE.fullmatch(code) for code in codes)
    if not codes or not plain or len(set(codes)) < len(codes):
        raise SettingError(f'The setting {name} is "{value}"; it takes different codes of two digits each, such as 31,32,33.')
    return tuple(codes)
