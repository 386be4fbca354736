"""Reference tables of the base, filled from the project's own registers when a base is created."""

from collections.abc import Iterator

import duckdb
import polars as pl

from repository.registers.divisions import Division, DivisionError, city_of, register

SCHEMA = {
    "code": pl.String,
    "name": pl.String,
    "level": pl.String,
    "parent": pl.String,
    "city_code": pl.String,
    "city_today": pl.String,
    "province_code": pl.String,
    "from_year": pl.Int32,
    "to_year": pl.Int32,
}


def load_divisions(connection: duckdb.DuckDBPyConnection) -> None:
    """Fill the table `divisions` from repository/registers/divisions.csv, replacing what it holds.

    Rows go in as Arrow, since the base has no access to files. Calling it again changes nothing.
    """
    connection.register("arriving_divisions", pl.DataFrame(list(rows()), schema=SCHEMA, orient="row").to_arrow())
    connection.execute("DELETE FROM divisions")
    connection.execute("INSERT INTO divisions BY NAME SELECT * FROM arriving_divisions")
    connection.unregister("arriving_divisions")


def rows() -> Iterator[tuple[str | int | None, ...]]:
    """The rows of `divisions`, in the order of SCHEMA."""
    for division in (each for names in register().by_code.values() for each in names):
        yield (
            division.code,
            division.name,
            division.level,
            division.parent or None,
            division.city_code,
            _city_today(division),
            division.province_code,
            division.from_year or None,
            division.to_year,
        )


def _city_today(division: Division) -> str | None:
    """The city that the division's territory lies in now; None where it was divided among several."""
    try:
        return city_of(division.code)
    except DivisionError:
        return None
