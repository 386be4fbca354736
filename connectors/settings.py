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

from repository.personal import ALGORITHMS


class SettingError(ValueError):
    """A setting that can't be used; the message names it, its value and what it takes."""


WHOLE = re.compile("[1-9][0-9]*")
CODE = re.compile("[0-9]{2}")
MEANINGS = {
    "publishers": "Members of the region, by publisher code, separated by commas; only their topics are read.",
    "synthetic": "Whether this home holds invented persons only; person records are refused elsewhere.",
    "store_url": "PostgreSQL URL of the event stores, one schema per publisher; empty: SQLite files in the home.",
    "batch_records": "Most records that the projector commits at once.",
    "poll_interval_ms": "How often a following projector looks for new records.",
    "import_chunk_rows": "Rows of a dump that are mapped at once.",
    "memory_limit_mib": "Memory that each DuckDB file may use before it spills to disk.",
    "threads": "Threads that each DuckDB file may use.",
    "lock_wait_s": "How long a command waits for another that uses the same store or base.",
    "read_time_limit_s": "Longest time one query may take.",
    "read_row_limit": "Most rows one query may return.",
    "readers": "Queries that may run at once; further ones wait.",
    "reader_wait_s": "How long a further query waits for its turn.",
    "personal_cipher": "Cipher of personal fields in new events: AES-256-GCM or SM4-GCM; events name theirs.",
    "key_store_url": "PostgreSQL URL of the subjects' keys, one schema per publisher; empty: SQLite files in the home.",
}


@dataclass(frozen=True)
class Settings:
    """Values of all settings; MEANINGS says what each is."""

    publishers: tuple[str, ...] = ("00", "31", "32", "33", "34")
    synthetic: bool = False
    store_url: str = ""
    batch_records: int = 50_000
    poll_interval_ms: int = 50
    import_chunk_rows: int = 100_000
    memory_limit_mib: int = 1024
    threads: int = 2
    lock_wait_s: int = 60
    read_time_limit_s: int = 30
    read_row_limit: int = 1_000_000
    readers: int = 16
    reader_wait_s: int = 30
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
    if name == "personal_cipher" and value not in ALGORITHMS:
        raise SettingError(f'The setting {name} is "{value}"; it takes {" or ".join(ALGORITHMS)}.')
    return value


def publisher_codes(name: str, value: Any) -> tuple[str, ...]:
    """Publisher codes from a list, or from a text with commas. Raises SettingError: they name files and topics."""
    codes = [part.strip() for part in value.split(",")] if isinstance(value, str) else value
    plain = isinstance(codes, list | tuple) and all(isinstance(code, str) and CODE.fullmatch(code) for code in codes)
    if not codes or not plain or len(set(codes)) < len(codes):
        raise SettingError(f'The setting {name} is "{value}"; it takes different codes of two digits each, such as 31,32,33.')
    return tuple(codes)
