"""One entity of a kind goes through everything that a region does with events, whatever the kind.

`python -m tests.kinds.walk KIND HOME [BOOTSTRAP]` walks it in a process of its own, over Kafka where a broker is named; it says
what it found, as JSON, and fails where something is missing.
"""

import contextlib
import io
import json
import sys
import threading
from collections.abc import Sequence
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import duckdb
import polars as pl

from connectors.base.base import opened
from connectors.command_line import run
from connectors.home.folder import Home
from connectors.home.regional_key import tokeniser
from connectors.kafka import topics
from connectors.kafka.framing import Arrived, Framing, Restoring
from connectors.kafka.registry import LockedNumbers
from connectors.kafka.relay import Relay
from connectors.proof.sealing import public_key_file
from projections import tables
from projections.projector import Projector, content_digest
from repository.decisions.entity import Entity, Recording, report
from repository.decisions.facts import Fact
from repository.kinds.register import PERSONS, RULES
from repository.store.log import Record
from tests.kinds.example import Example, example_of

PUBLISHER, SOURCE, LIST = "31", "live", "a list"
NEVER = "withheld"
Json = dict[str, Any]


class Walk:
    """A synthetic home of one region, and the example of a kind in it."""

    def __init__(self, folder: Path, example: Example, bootstrap: str = "") -> None:
        self.folder, self.example = folder, example
        self.home = Home.create(folder, ("00", "31", "32"), True)
        if bootstrap:
            settings = {"log": "kafka", "kafka_bootstrap": bootstrap, "kafka_security": "PLAINTEXT", "kafka_replication": 1}
            with (folder / "yrd.toml").open("a") as file:
                file.writelines(f"{name} = {json.dumps(value)}\n" for name, value in settings.items())
            self.home = Home(folder)
            topics.prepare(self.home.settings, self.home.settings.publishers)
        self.yrd("signer", "create", "--publisher", PUBLISHER)
        if example.identity:
            self.yrd("personal-keys", "create", "--publisher", PUBLISHER)

    def yrd(self, *arguments: object) -> str:
        """What a command prints."""
        out, err = io.StringIO(), io.StringIO()
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            status = run([*map(str, arguments), "--home", str(self.folder)])
        assert status == 0, (arguments, err.getvalue(), out.getvalue())
        return out.getvalue()

    def json(self, *arguments: object) -> Any:
        return json.loads(self.yrd(*arguments, "--json"))

    def asked(self, sql: str) -> list[Json]:
        """The rows of a query."""
        found = json.loads(self.yrd("query", sql, "--format", "json"))
        assert isinstance(found, list)
        return found

    # -- what happens --

    @property
    def kind(self) -> str:
        return self.example.kind

    def token(self, number: str) -> str:
        made = tokeniser(self.home)
        assert made is not None
        return made(self.example.identity["id_type"], number)

    def line(self, fields: Any, since: str, number: int = 1) -> Json:
        """A line for `yrd report` about the `number`-th entity."""
        stated = {**fields, **self.leading(number, fields), **self.example.rests_on, "valid_from": since}
        if self.example.identity:
            stated["identity"] = {**self.example.identity, "number": self.number(number)}
            stated |= {"personal": dict(self.example.personal)} if self.example.personal else {}
        return stated | ({"business_key": self.key(number)} if self.example.key else {})

    def leading(self, number: int, fields: Any) -> Json:
        """What leads to the `number`-th person besides the token: no two share a text of it."""
        others = PERSONS[self.kind].others if self.kind in PERSONS else ()
        texts = [path for path in others if path in fields and tables.columns(self.kind)[path].startswith("VARCHAR")]
        stated = {path: fields[path] for path in texts}
        return {
            path: [f"{each}/{number}" for each in v] if isinstance(v, list) else f"{v}/{number}" for path, v in stated.items()
        }

    def number(self, number: int) -> str:
        return f"{self.example.identity['number'][:-1]}{number}"

    def key(self, number: int) -> str:
        """The business key of the `number`-th entity."""
        return f"{self.example.key}{number}" if self.example.key else self.token(self.number(number))

    def reported(self, *lines: Json) -> list[Json]:
        file = self.folder / "lines.jsonl"
        file.write_text("".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines), "utf-8")
        said = self.yrd("report", self.kind, file, "--publisher", PUBLISHER).splitlines()
        found: list[Json] = [json.loads(line) for line in said]
        assert [each["result"] for each in found] == ["new"] * len(lines), found
        return found

    def happen(self) -> None:
        """New, changed, corrected; another one retracted; a third in a dump; a fourth with a doubt."""
        whole = {**self.example.stated, **self.example.changed}
        first = self.reported(self.line(self.example.stated, "2026-01-01"), self.line(self.example.changed, "2026-03-01"))
        assert first[0]["events"][0] in RULES[self.kind].facts and first[1]["events"][0] in RULES[self.kind].facts
        named = ("--publisher", PUBLISHER, "--kind", self.kind)
        right = [f"{path}={value}" for path, value in self.example.corrected.items()]
        self.yrd("correct", *right, *named, "--key", self.key(1), "--reason", "typed wrongly")
        self.reported(self.line(whole, "2026-01-01", 2))
        self.yrd("retract", *named, "--key", self.key(2), "--reason", "never so")
        self.imported()
        self.doubted()

    def imported(self) -> None:
        """A dump of one row, by a profile of the example's columns."""
        columns = {f"c{number}": path for number, path in enumerate(self.example.columns)}
        lines = [
            f'kind = "{self.kind}"',
            f'source = "{LIST}"',
            f'scope = "{LIST}"',
            'completeness = "partial"',
            "as_of = 2026-06-30",
        ]
        cells = dict(zip(columns, self.example.columns.values(), strict=True))
        if self.example.key:
            lines.append('key = ["key"]')
            cells["key"] = self.key(3)
        if self.example.identity:
            lines += ["data_level = 3", "[person]", 'column = "id"', f'id_type = "{self.example.identity["id_type"]}"']
            cells["id"] = self.number(3)
        for name, value in self.example.personal.items():
            lines += ["[personal]", f'{name} = "p"']
            cells["p"] = value
        lines += ["[fields]", *(f'"{path}" = "{column}"' for column, path in columns.items())]
        lines += ["[authority]", *(f'{name} = {{ constant = "{value}" }}' for name, value in self.example.rests_on.items())]
        (self.folder / "list.toml").write_text("\n".join([*lines, "[valid]", 'from = "as_of"']) + "\n", "utf-8")
        (self.folder / "list.csv").write_text(f"{','.join(cells)}\n{','.join(cells.values())}\n", "utf-8")
        done = self.json("import", self.folder / "list.toml", self.folder / "list.csv", "--publisher", PUBLISHER)
        assert done["facts_new"] == 1 and done["rows_rejected"] == 0 and done["facts_rejected"] == 0, done

    def doubted(self) -> None:
        """A fact that its import doubted."""
        stated = {path: value for path, value in self.example.columns.items() if path in ("division_code", "provider_name")}
        with self.home.store(PUBLISHER) as store:
            entity = Entity.unknown(self.kind, PUBLISHER, "doubted")
            flags = ("division_abolished",)
            fact = Fact(self.kind, "doubted", date(2026, 2, 1), {**self._recordable(), **stated}, LIST, flags=flags)
            store.record(self.kind, report(entity, fact, Recording(PUBLISHER, datetime.now(UTC))))

    def _recordable(self) -> Json:
        """The example's texts, and the token where the kind is about a person."""
        rule = PERSONS.get(self.kind)
        stated = {path: value for path, value in self.example.columns.items() if "[" not in path and isinstance(value, str)}
        texts = {path: value for path, value in stated.items() if tables.columns(self.kind).get(path) == "VARCHAR"}
        return texts | ({rule.token: self.token(self.number(4))} | dict([rule.only] if rule.only else []) if rule else {})

    def sent(self) -> None:
        """To the hub: sealed, relayed where there is a broker, and projected."""
        self.yrd("seal", "--publisher", PUBLISHER)
        if self.home.settings.log == "kafka":
            with self.home.store(PUBLISHER) as store:
                Relay(store, self.home.settings, lambda _sentence: None).run(threading.Event(), False)
        self.yrd("project")

    # -- what is found --

    def find(self) -> Json:
        """Every answer that has to know the kind; fails where one of them does not."""
        found = self.state_of_the_log()
        return found | self.history() | self.proof()

    def state_of_the_log(self) -> Json:
        kind = self.kind
        fresh = {row["source"] for row in self.asked("FROM freshness_now") if row["kind"] == kind}
        assert fresh == {SOURCE, LIST}, fresh
        verdicts = {row["verdict"] for row in self.asked("FROM reconciliation") if row["fact_kind"] == kind}
        assert verdicts == {"balanced"}, verdicts
        doubted = [row for row in self.asked("FROM flagged") if row["kind"] == kind]
        assert [row["flag"] for row in doubted] == ["division_abolished"], doubted
        status = self.json("status")
        assert status["entities"][kind] == 3 and not status["quarantined"] and not status["gaps"], status
        assert self.asked("FROM clock_skew") == []
        return {"fresh": sorted(fresh), "digest": status["digest"]}

    def history(self) -> Json:
        kind, key = self.kind, self.key(1)
        changes = self.asked(f"SELECT * FROM change_log('{key}')")
        assert {row["kind"] for row in changes} == {kind}
        types = list(dict.fromkeys(row["event_type"] for row in changes))
        assert types[-1] == "FactCorrected" and len(types) >= 2, types
        corrected = [row for row in changes if row["event_type"] == "FactCorrected"]
        assert {row["field"] for row in corrected} == set(self.example.corrected)
        assert all(row["before"] and row["after"] and row["before"] != row["after"] for row in corrected), corrected
        events = self.json("audit", "history", key)
        assert len({row["event_id"] for row in events}) == 3 and all("sealed" in row["proof"] for row in events), events
        assert self.json("audit", "history", self.key(2))[-1]["event_type"] == "FactRetracted"
        held = self.json("audit", "asof", "--valid", "2026-07-01", "--known", "2100-01-01T00:00:00Z")
        assert held["rows"][kind] == 3, held
        assert len(self.asked(f"SELECT * FROM {kind}_asof('2026-07-01', NULL)")) == 3
        assert len(self.asked(f"SELECT * FROM {kind}_current")) == 3
        return {"types": types, "event_id": corrected[0]["event_id"]}

    def proof(self) -> Json:
        """An event proved to a third party, and the base made anew from its log."""
        event = self.asked(f"SELECT event_id FROM {self.kind}_history ORDER BY position LIMIT 1")[0]["event_id"]
        file = self.folder / "proof.json"
        self.yrd("audit", "prove", event, "--output", file)
        out = io.StringIO()
        with contextlib.redirect_stdout(out):
            assert run(["audit", "verify", str(file), "--key", str(public_key_file(self.home, PUBLISHER))]) == 0
        before = self.json("status")["digest"]
        self.yrd("rebuild")
        assert self.json("status")["digest"] == before
        return {"proved": event}

    # -- persons --

    def erased(self) -> None:
        """The person is forgotten, by whatever name: nothing that leads there is left in the base, and the digest is the same."""
        if self.example.key:
            self.elsewhere()
        before = self.json("status")["digest"]
        planted = [self.token(self.number(1)), *([self.key(1)] if self.example.key else [])]
        for value in self.leading(1, self.example.stated).values():
            planted += value if isinstance(value, list) else [value]
        assert self.held_in_base(planted) == set(planted)
        self.yrd("erase", self.key(1), "--publisher", PUBLISHER, "--reason", "asked", "--basis", "PIPL art. 47")
        self.sent()
        assert self.held_in_base(planted) == set()
        assert self.json("status")["digest"] == before
        assert len(self.asked(f"SELECT * FROM {self.kind}_current")) >= 3
        again = self.line({**self.example.stated, **self.example.changed}, "2026-08-01")
        assert "erased" in self.refused("report", self.kind, self.file(again), "--publisher", PUBLISHER)
        if self.example.key:
            token = f"{PERSONS[self.kind].token}={self.token(self.number(1))}"
            named = ("--publisher", PUBLISHER, "--kind", self.kind, "--key", self.key(3), "--reason", "back again")
            assert "erased" in self.refused("correct", token, *named)
            # Somebody under whose token the voucher of the erased one stands now was not erased.
            self.reported(self.line(self.example.stated, "2026-08-01", 6) | {"identity": self.identity(5)})

    def elsewhere(self) -> None:
        """The person stands in another kind too, under the token as key, and once stood under a key that is somebody else's."""
        about = next(kind for kind, rule in PERSONS.items() if rule.token_is_key)
        line = {"identity": self.identity(1), "division_code": "310101", "valid_from": "2026-01-01"}
        assert '"new"' in self.yrd("report", about, self.file(line), "--publisher", PUBLISHER)
        self.reported(self.line(self.example.stated, "2026-01-01", 5) | {"identity": self.identity(1)})
        right = f"{PERSONS[self.kind].token}={self.token(self.number(5))}"
        self.yrd("correct", right, "--publisher", PUBLISHER, "--kind", self.kind, "--key", self.key(5), "--reason", "another's")
        self.sent()

    def identity(self, number: int) -> Json:
        return {**self.example.identity, "number": self.number(number)}

    def file(self, line: Json) -> Path:
        """A file with one line to report."""
        path = self.folder / "one.jsonl"
        path.write_text(json.dumps(line, ensure_ascii=False) + "\n", "utf-8")
        return path

    def refused(self, *arguments: object) -> str:
        """What a command prints that is refused."""
        out, err = io.StringIO(), io.StringIO()
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            status = run([*map(str, arguments), "--home", str(self.folder)])
        assert status != 0 or '"refused"' in out.getvalue(), out.getvalue()
        return out.getvalue() + err.getvalue()

    def restricted(self) -> None:
        """A restricted person is used nowhere, and everything is back as it was when that ends."""
        planted = [self.token(self.number(3)), *([self.key(3)] if self.example.key else [])]
        shown = self.rows()
        said = ("--publisher", PUBLISHER, "--reason", "disputed", "--basis", "PIPL art. 47")
        self.yrd("restrict", planted[0], *said)
        self.sent()
        assert self.held_in_base(planted) == set()
        self.yrd("restrict", planted[0], *said, "--lift")
        self.sent()
        assert self.rows() == shown

    def rows(self) -> list[Json]:
        return self.asked(f"SELECT * FROM {self.kind}_history ORDER BY position")

    def held_in_base(self, planted: Sequence[str]) -> set[str]:
        """Which of some texts any cell of the tables that readers see holds."""
        with opened(self.home) as base:
            names = base.connection.execute("SELECT table_name FROM duckdb_tables() WHERE NOT internal").fetchall()
            readable = [name for (name,) in names if name != "set_aside"]
            cells = [repr(base.connection.execute(f'SELECT * FROM "{name}"').fetchall()) for name in readable]
        return {text for text in planted if any(text in each for each in cells)}


# -- over Kafka, without a broker ----------------------------------------------------------------------------------


def kafka_shaped(home: Home) -> list[Record]:
    """The records of a home's store as its topics would give them."""
    numbers = LockedNumbers()
    framing, restoring = Framing(PUBLISHER, numbers.number_of), Restoring(numbers.contract_of)
    offsets: dict[str, int] = {}
    found = []
    with home.store(PUBLISHER) as store:
        for event in store.notifications(0, 1_000_000):
            topic, key, value, headers = framing.frame(event)
            offsets[topic] = offsets.get(topic, -1) + 1
            found.append(restoring.restore(Arrived(topic, 0, offsets[topic], key, value, [*headers], 1_790_000_000_000)))
    return found


def projected(records: Sequence[Record]) -> duckdb.DuckDBPyConnection:
    """A base of these records alone."""
    connection = duckdb.connect()
    tables.create(connection)
    tables.create_questions(connection)
    Projector(connection, {PUBLISHER}).apply(records, datetime.now(UTC))
    return connection


def assert_over_kafka(walk: Walk, digest: str) -> None:
    """Over topics the same content; and of a version that was withheld, a gap."""
    records = kafka_shaped(walk.home)
    whole = projected(records)
    assert whole.execute("SELECT reason FROM quarantine").fetchall() == []
    assert content_digest(whole) == digest
    ours = f"yrd.{PUBLISHER}.{walk.kind.replace('_', '-')}"
    place = next(i for i, record in enumerate(records) if record.topic == ours)
    missing = projected([*records[:place], *records[place + 1 :]])
    assert missing.execute("SELECT kind, version FROM gaps").fetchall() == [(walk.kind, 1)]
    assert pl.DataFrame(missing.execute("FROM reconciliation").pl()).height == 1


def walked(folder: Path, example: Example, bootstrap: str = "") -> Json:
    """The whole walk; what was found."""
    walk = Walk(folder, example, bootstrap)
    walk.happen()
    walk.sent()
    found = walk.find()
    assert_over_kafka(walk, found["digest"])
    if example.identity:
        walk.restricted()
        walk.erased()
    return found


if __name__ == "__main__":
    print(json.dumps(walked(Path(sys.argv[2]), example_of(sys.argv[1]), *sys.argv[3:4])))  # noqa: T201
