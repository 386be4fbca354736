"""DuckDB files of a home: opened with its limits, and removed whole."""

from pathlib import Path

import duckdb

from connectors.home.folder import Home


def connect(home: Home, path: Path) -> duckdb.DuckDBPyConnection:
    """Open a DuckDB file with the home's limits."""
    spill = home.folder / "spill"
    limits: dict[str, str | bool | int | float | list[str]] = {
        "memory_limit": f"{home.settings.memory_limit_mib}MiB",
        "threads": home.settings.threads,
        "temp_directory": str(spill),
        "checkpoint_threshold": "256MiB",
        "preserve_insertion_order": False,
    }
    connection = duckdb.connect(str(path), config=limits)
    connection.execute("SET TimeZone = 'UTC'")
    return connection


def remove(file: Path) -> None:
    """Delete a DuckDB file and its write-ahead log, where they are."""
    for leftover in (file, file.with_name(file.name + ".wal")):
        leftover.unlink(missing_ok=True)
