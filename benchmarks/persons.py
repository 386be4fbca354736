"""Persons: what encryption adds to an import of person records. `python -m benchmarks.persons --rows N`."""

import argparse
import tempfile
import time
from pathlib import Path
from uuid import uuid4

import polars as pl

from benchmarks.measuring import machine
from connectors.home import Home
from connectors.importing import import_dump
from connectors.keys import key_file, tokeniser
from connectors.persons import master_file, persons
from connectors.profiles import load
from repository.identity import event_id_text
from repository.subject_keys import create_master
from repository.tokens import create

CODE = "33"
CHUNK = 20_000
PROFILE = """
kind = "service_object"
source = "benchmark register"
scope = "synthetic persons"
completeness = "partial"
data_level = 3
as_of = 2026-01-01
[person]
column = "证件号"
id_type = "other"
[personal]
name = "姓名"
sex = {{ column = "性别", values = {{ "男" = "1", "女" = "2" }} }}
birth_date = "出生日期"
phone = "电话"
address = "住址"
[fields]
division_code = {{ column = "区划", division = "code" }}
"enrolments[NBPS041102].scheme" = "险种"
[valid]
from = "as_of"
"""


def people(rows: int) -> pl.DataFrame:
    """Invented persons: every number and name is made of the row's."""
    n = pl.int_range(rows, eager=True).alias("n").to_frame()
    i, text = pl.col("n"), pl.col("n").cast(pl.String)
    return n.select(
        pl.concat_str(pl.lit("TEST"), text.str.zfill(9)).alias("证件号"),
        pl.concat_str(pl.lit("试"), text).alias("姓名"),
        pl.when(i % 2 == 0).then(pl.lit("男")).otherwise(pl.lit("女")).alias("性别"),
        (pl.date(1950, 1, 1) + pl.duration(days=i % 20_000)).cast(pl.String).alias("出生日期"),
        pl.concat_str(pl.lit("139"), text.str.zfill(8)).alias("电话"),
        pl.concat_str(pl.lit("示例路"), (i % 9973).cast(pl.String), pl.lit("号")).alias("住址"),
        pl.lit("城乡居民医保").alias("险种"),
        pl.lit("330106").alias("区划"),
    )


def home_in(folder: Path, name: str) -> Home:
    """A home with its keys."""
    home = Home.create(folder / name, (CODE,), synthetic=False)
    create(key_file(home))
    create_master(master_file(home, CODE))
    return home


def measured(folder: Path, rows: int) -> dict[str, float]:
    """Seconds of a first import, of the same again, and of encryption's own steps over the same rows, on one core each."""
    dump, profile = folder / "persons.csv", folder / "persons.toml"
    people(rows).write_csv(dump)
    profile.write_text(PROFILE.format(), "utf-8")
    home, source = home_in(folder, "import"), load(profile)
    seconds = {}
    for name in ("first import", "unchanged import"):
        started = time.perf_counter()
        done = import_dump(home, source, dump, CODE, tokeniser=tokeniser(home))
        seconds[name] = time.perf_counter() - started
    assert done.counts.facts_unchanged == rows
    return seconds | encryption(folder, people(rows))


def encryption(folder: Path, frame: pl.DataFrame) -> dict[str, float]:
    """Seconds of sealing rows for the comparison, and of keys, ciphertext and digests of their first events."""
    columns = {"name": frame["姓名"], "sex": frame["性别"], "birth_date": frame["出生日期"].str.to_date(), "phone": frame["电话"]}
    columns["address"] = frame["住址"]
    home = home_in(folder, "encryption")
    sealing = recording = 0.0
    with home.store(CODE) as store, persons(home, store) as known:
        for start in range(0, frame.height, CHUNK):
            part = {name: column[start : start + CHUNK] for name, column in columns.items()}
            tokens = frame["证件号"][start : start + CHUNK]
            began = time.perf_counter()
            cells = known.sealed(part, tokens).to_list()
            sealed = time.perf_counter()
            sealing += sealed - began
            entities = [str(uuid4()) for _ in cells]
            events = [event_id_text(entity, 1) for entity in entities]
            began = time.perf_counter()
            known.encrypted_cells(entities, events, cells)
            known.stated(entities, events, cells)
            known.keep_digests()
            recording += time.perf_counter() - began
    return {"sealing": sealing, "keys, ciphertext, digests": recording}


def main() -> None:
    """Measure and print one table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=200_000, help="persons (default 200,000)")
    rows = parser.parse_args().rows
    with tempfile.TemporaryDirectory(prefix="yrd-bench-persons-") as folder:
        seconds = measured(Path(folder), rows)
    share = (seconds["sealing"] + seconds["keys, ciphertext, digests"]) / seconds["first import"]
    lines = [
        f"{rows:,} persons, five personal fields, {machine()}",
        "",
        "| what | seconds | per row | rows/s |",
        "|---|---|---|---|",
    ]
    lines += [f"| {name} | {s:.1f} | {s / rows * 1e6:.1f} us | {rows / s:,.0f} |" for name, s in seconds.items()]
    lines += ["", f"encryption's share of the first import: {share:.0%} (target: under 20 %)"]
    print("\n".join(lines))  # noqa: T201


if __name__ == "__main__":
    main()
