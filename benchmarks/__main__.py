"""`make bench`: run every scenario and write benchmarks/RESULTS.md. `python -m benchmarks --rows N` for another size."""

import argparse
import tempfile
from datetime import UTC, datetime
from pathlib import Path

from benchmarks.proof_scenarios import one_proof, sealing_all, sealing_import, verifying_all
from benchmarks.scenarios import SCENARIOS as SCENARIOS_OF_DATA
from benchmarks.timing import Timed, in_a_process, machine, report_one

RESULTS = Path(__file__).with_name("RESULTS.md")
EVENTS_SEEN = 200
QUERIES_RECORDED = 1_000
LEAVES_PROVED = 10_000_000
SCENARIOS = SCENARIOS_OF_DATA | {work.__name__: work for work in (sealing_import, sealing_all, verifying_all, one_proof)}


def main() -> None:
    """Run all scenarios, or the one that a child process was started for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=1_000_000, help="rows of the dump (default 1,000,000)")
    parser.add_argument("--big-rows", type=int, default=3_000_000, help="rows of the dump whose peak memory is taken")
    parser.add_argument("--history", type=int, default=5_000_000, help="rows of the long history")
    parser.add_argument("--one", nargs=3, metavar=("SCENARIO", "FOLDER", "SIZE"), help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.one:
        name, folder, size = given.one
        report_one(SCENARIOS[name], Path(folder), int(size))
        return
    with tempfile.TemporaryDirectory(prefix="yrd-bench-") as folder:
        text = run(Path(folder), given.rows, given.big_rows, given.history)
    RESULTS.write_text(text, "utf-8")
    print(text)  # noqa: T201


def run(folder: Path, rows: int, big_rows: int, history: int) -> str:
    """All scenarios in order; the results as Markdown."""
    sizes = dict.fromkeys(SCENARIOS, rows) | {
        "visible": EVENTS_SEEN, "long_history": history, "access_log": QUERIES_RECORDED, "one_proof": LEAVES_PROVED,
    }  # fmt: skip
    found = {name: in_a_process(name, folder, sizes[name]) for name in SCENARIOS}
    (folder / "big").mkdir()
    big = in_a_process("first_import", folder / "big", big_rows)
    return _table(found, big, rows, big_rows)


def _table(found: dict[str, Timed], big: Timed, rows: int, big_rows: int) -> str:
    def row(what: str, name: str, target: str, baseline: str) -> str:
        ratio = found[baseline].wall_s / found[name].wall_s
        one = found[name]
        speed = f"{rows / one.wall_s:,.0f}/s | {one.wall_s:.1f} s | {ratio:.2f} of {baseline}"
        return f"| {what} | {speed} | {target} | {one.peak_mib:,} MiB |"

    seen, long, asof = found["visible"].said, found["long_history"].said, found["audit_asof"]
    proof, seal, check = found["one_proof"].said, found["sealing_all"], found["verifying_all"]
    sealed = found["sealing_import"]
    lines = [
        "# Results",
        "",
        f"{datetime.now(UTC):%Y-%m-%d}, {machine()}; {rows:,} rows of 20 columns; each scenario in a process of its own, once.",
        "Ratios are to a bare loop over the same data in the same run (1.00: as fast as it); absolute figures are the machine's.",
        "",
        "| what | rate | time | ratio | target | peak memory |",
        "|---|---|---|---|---|---|",
        row("baseline: read the dump into columns of text", "bare_read", "", "bare_read"),
        row("first import", "first_import", "25,000/s", "bare_read"),
        row("what is known caught up after it", "catch_up", "", "bare_projection"),
        row("unchanged import, UTF-8", "again", "300,000/s", "bare_read"),
        row("unchanged import, GB 18030", "again_gbk", "200,000/s", "bare_read"),
        row("1 % changed", "one_percent_changed", "10 s", "bare_read"),
        row("baseline: select, decode in columns, append", "bare_projection", "", "bare_projection"),
        row("projecting", "projection", "0.60 of the baseline", "bare_projection"),
        "",
        "| what | figure | target |",
        "|---|---|---|",
        f"| one event visible to a query after its commit, p50 / p99 of {EVENTS_SEEN} "
        f"| {seen['p50_ms']:.0f} / {seen['p99_ms']:.0f} ms | 300 ms |",
        f"| current state by city over {long['rows']:,} history rows | {long['current_ms']:.0f} ms | 100 ms |",
        f"| as of a day by city, all that is known | {long['asof_now_ms']:.0f} ms | 2,000 ms |",
        f"| as of a day by city, as known at a moment | {long['asof_known_ms']:.0f} ms | 2,000 ms |",
        f"| `audit asof --into` of {asof.said['rows']:,} entities ({asof.said['mib']:,} MiB) | {asof.wall_s:.1f} s | 20 s |",
        f"| recording one query in the access log, before and after | {found['access_log'].said['each_ms']:.1f} ms | |",
        f"| sealing at the end of a first import, share of it "
        f"| {sealed.said['sealing_s']:.1f} s, {sealed.said['sealing_s'] / sealed.wall_s:.1%} | 5 % |",
        f"| sealing {seal.said['records']:,} records read again from their bytes | {seal.wall_s:.1f} s |  |",
        f"| checking {check.said['records']:,} records from bytes to signature | {check.wall_s:.1f} s | 10 s |",
        f"| one proof from the stored nodes of {proof['leaves']:,} leaves, p50 / p99 "
        f"| {proof['p50_ms']:.1f} / {proof['p99_ms']:.1f} ms | 50 ms |",
        f"| peak memory of a first import of {big_rows:,} rows ({big_rows / big.wall_s:,.0f}/s) "
        f"| {big.peak_mib:,} MiB | 2,048 MiB |",
        "",
    ]
    return "\n".join(lines)


if __name__ == "__main__":
    main()
