"""Persons: what encryption adds to an import of person records. `python -m benchmarks.persons --rows N --rounds N`.

Every round imports the same dump of persons twice, alternately: with its five personal fields (three groups), and with a profile
that leaves them out, so that pseudonyms and all else are the same. The figures are medians over the rounds. Two shares are given:

    added    (time with personal fields - time without them) / time with them. Besides encryption it has in it what five more
             columns cost to read and convert, and larger events to store: an upper bound. By the clock, in processor time of the
             importing process, and in that of both processes, which is what it comes to where no second processor is free.
    steps    (processor time of encryption's own steps, pseudonyms included) / (processor time of the import with personal
             fields). The steps are timed one by one, in one thread, over the same rows. What the second process does runs
             while events are recorded: the share of the importing process is without it, that of both processes with it.

The target, under 20 % of a first import, is meant of the steps of the importing process. Processor times may be compared on a
machine that does other work besides; times by the clock may not.
"""

import argparse
import resource
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from os import urandom
from pathlib import Path
from typing import NamedTuple
from uuid import uuid4

import polars as pl
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from benchmarks.timing import machine
from connectors.home.regional_key import key_file, tokeniser
from connectors.persons.cipher_process import CipherProcess
from connectors.persons.columns import packed_columns
from connectors.persons.recording import Persons, persons
from connectors.persons.staged_cells import fresh_nonces
from connectors.profiles.profile import Profile, load
from connectors.publishing.importing import import_dump
from connectors.publishing.known_facts import known
from repository.events.identity import event_id_text
from repository.keys.regional import load as load_regional
from repository.keys.regional import token
from repository.persons.personal import encrypt_rows
from tests.support.dumps_for_tests import MAY
from tests.support.persons_for_tests import home_of_persons, register

CODE = "33"
CHUNK = 20_000
IMPORTS = ("first import", "unchanged import", "1 % changed")
IN_THE_SECOND_PROCESS = "keys of the groups, ciphers of three groups, blobs"


class Took(NamedTuple):
    """Seconds by the clock, of processors in the importing process, and in both processes."""

    clock: float
    own: float
    both: float


def people(rows: int, changed_every: int = 0) -> pl.DataFrame:
    """Invented persons: every number and name is made of the row's; every `changed_every`-th (0: none) has moved."""
    n = pl.int_range(rows, eager=True).alias("n").to_frame()
    i, text = pl.col("n"), pl.col("n").cast(pl.String)
    moved = (i % changed_every == 0) if changed_every else pl.lit(False)
    return n.select(
        pl.concat_str(pl.lit("TEST"), text.str.zfill(9)).alias("证件号"),
        pl.concat_str(pl.lit("试"), text).alias("姓名"),
        pl.when(i % 2 == 0).then(pl.lit("男")).otherwise(pl.lit("女")).alias("性别"),
        (pl.date(1950, 1, 1) + pl.duration(days=i % 20_000)).cast(pl.String).alias("出生日期"),
        pl.concat_str(pl.lit("139"), text.str.zfill(8)).alias("电话"),
        pl.concat_str(pl.lit("示例路"), (i % 9973).cast(pl.String), pl.lit("号")).alias("住址"),
        pl.lit("城乡居民医保").alias("险种"),
        pl.when(moved).then(pl.lit("330203")).otherwise(pl.lit("330106")).alias("区划"),
    )


def profile_in(folder: Path, personal: bool) -> Profile:
    """The register's source profile, with its personal fields or without."""
    name = "with" if personal else "without"
    path = folder / f"{name}.toml"
    text = register(folder, name=name).path.read_text("utf-8")
    before, after = text.split("[personal]")
    path.write_text(text if personal else before + after[after.index("[fields]") :], "utf-8")
    return load(path)


# -- whole imports -------------------------------------------------------------------------------------------------


def imports(folder: Path, name: str, personal: bool) -> dict[str, Took]:
    """Times of a first import, of the same again, and of one with 1 % changed; what is known is caught up before each."""
    home, profile = home_of_persons(folder / name, CODE), profile_in(folder, personal)
    took = {}
    for what in IMPORTS:
        with home.store(CODE) as store, known(home, store):
            pass
        dump = folder / ("changed.csv" if what == IMPORTS[-1] else "persons.csv")
        began = _now()
        counts = import_dump(home, profile, dump, CODE, MAY, tokeniser(home)).counts
        took[what] = Took(*(after - before for before, after in zip(began, _now(), strict=True)))
        print(f"{name}, {what}: {took[what].clock:.1f} s, {counts.events:,} events", file=sys.stderr)  # noqa: T201
    return took


def _now() -> Took:
    own, ended = (resource.getrusage(whose) for whose in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    used = own.ru_utime + own.ru_stime
    return Took(time.perf_counter(), used, used + ended.ru_utime + ended.ru_stime)


def _median(rounds: list[dict[str, Took]], what: str) -> Took:
    times = [each[what] for each in rounds]
    return Took(*map(statistics.median, zip(*times, strict=True)))


# -- step by step --------------------------------------------------------------------------------------------------


class Steps:
    """Seconds of processor time per step, in this thread."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}

    @contextmanager
    def of(self, step: str) -> Iterator[None]:
        began = time.thread_time()
        yield
        self.seconds[step] = self.seconds.get(step, 0.0) + time.thread_time() - began


def encryption(folder: Path, frame: pl.DataFrame) -> dict[str, float]:
    """Seconds of each step of encryption over the rows of a dump, by step."""
    home, steps = home_of_persons(folder / "encryption", CODE), Steps()
    regional = load_regional(key_file(home))
    with home.store(CODE) as store, persons(home, store) as opened:
        assert opened.keys.noted_position() == 0
        with closing(CipherProcess()) as ciphers:
            for start in range(0, frame.height, CHUNK):
                part = frame[start : start + CHUNK]
                with steps.of("pseudonyms (HMAC)"):
                    tokens = [token(regional, "other", number) for number in part["证件号"].to_list()]
                _one_chunk(opened, ciphers, part, tokens, steps)
        with steps.of("digests stored"):
            opened.digests.keep()
    return steps.seconds


def _one_chunk(opened: Persons, ciphers: CipherProcess, part: pl.DataFrame, tokens: list[str], steps: Steps) -> None:
    columns = {"name": part["姓名"], "sex": part["性别"], "birth_date": part["出生日期"].str.to_date()}
    columns |= {"phone": part["电话"], "address": part["住址"]}
    with steps.of("Avro"):
        packed = packed_columns(columns, part.height)
    with steps.of("digests, rows spilled and taken back"):
        rows = packed.to_pylist()
        stated = [each.encode() + b"\0" + row for each, row in zip(tokens, rows, strict=True)]
        digests, places = opened.keys.digests_of(stated), opened.staged.spilled.put(rows)
        rows = [opened.staged.spilled.get(place) for place in places]
    entities = [uuid4() for _ in rows]
    subjects = [entity.bytes for entity in entities]
    with steps.of("keys made, encrypted and stored"):
        made = opened.keys.for_new(subjects, 1)
        ids, secrets = [made[each].id for each in subjects], [made[each].secret for each in subjects]
    named = [str(entity) for entity in entities]
    events = [event_id_text(entity, 1) for entity in named]
    in_bytes = [bytes.fromhex(event.replace("-", "")) for event in events]
    with steps.of("nonces, digests noted"):
        opened.digests.remember(named, events, digests)
        nonces = fresh_nonces(len(rows))
    batch = (rows, ids, secrets, in_bytes, nonces)
    with steps.of("handed to the second process, taken back"):
        elsewhere = ciphers.start(*batch)()
    with steps.of(IN_THE_SECOND_PROCESS):
        here = encrypt_rows(*batch)
    assert here == elsewhere


def bare_ciphers(rows: int) -> float:
    """Seconds of three AES-256-GCM calls per row under new keys, nothing else: what no form of the program gets below."""
    nonce, data, bound, keys = urandom(12), urandom(48), urandom(28), [urandom(32) for _ in range(CHUNK)]
    began = time.thread_time()
    for key in keys:
        for _ in range(3):
            AESGCM(key).encrypt(nonce, data, bound)
    return (time.thread_time() - began) * rows / CHUNK


# -- the tables ----------------------------------------------------------------------------------------------------


def timed(folder: Path, rows: int, rounds: int) -> str:
    """Both tables, and the shares."""
    people(rows).write_csv(folder / "persons.csv")
    people(rows, 100).write_csv(folder / "changed.csv")
    taken: dict[bool, list[dict[str, Took]]] = {True: [], False: []}
    for number in range(rounds):
        for personal in (True, False):
            taken[personal].append(imports(folder, f"{number}-{personal}", personal))
    steps = encryption(folder, people(rows))
    lines = [*_imports_table(taken, rows), "", *_steps_table(steps, rows)]
    first = _median(taken[True], IMPORTS[0])
    own = sum(seconds for step, seconds in steps.items() if step != IN_THE_SECOND_PROCESS)
    lines += ["", f"steps of the importing process: {own / first.own:.0%} of its processor time (target: under 20 %)"]
    lines += [f"steps of both processes: {sum(steps.values()) / first.both:.0%} of theirs"]
    return "\n".join(lines)


def _imports_table(taken: Mapping[bool, list[dict[str, Took]]], rows: int) -> list[str]:
    lines = ["| import | with | without | added by the clock | in the importing process | in both processes |"]
    lines.append("|---|---|---|---|---|---|")
    for what in IMPORTS:
        having, lacking = _median(taken[True], what), _median(taken[False], what)
        shares = [f"{1 - without / having_it:.0%}" for having_it, without in zip(having, lacking, strict=True)]
        speeds = [f"{each.clock:.1f} s ({rows / each.clock:,.0f}/s)" for each in (having, lacking)]
        lines.append(f"| {what} | {' | '.join((*speeds, *shares))} |")
    return lines


def _steps_table(steps: Mapping[str, float], rows: int) -> list[str]:
    each: Callable[[float], str] = lambda seconds: f"{seconds / rows * 1e6:.1f} us"  # noqa: E731
    lines = ["| step of a first import | per person |", "|---|---|"]
    where = {step: ", in the second process" if step == IN_THE_SECOND_PROCESS else "" for step in steps}
    lines += [f"| {step}{where[step]} | {each(seconds)} |" for step, seconds in steps.items()]
    return [*lines, f"| for comparison: three bare cipher calls | {each(bare_ciphers(rows))} |"]


def main() -> None:
    """Time and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=200_000, help="persons (default 200,000)")
    parser.add_argument("--rounds", type=int, default=3, help="imports of either kind (default 3)")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="yrd-bench-persons-") as folder:
        text = timed(Path(folder), given.rows, given.rounds)
    print(f"{given.rows:,} persons, five personal fields, {machine()}\n\n{text}")  # noqa: T201


if __name__ == "__main__":
    main()
