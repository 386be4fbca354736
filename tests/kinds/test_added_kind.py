"""A kind of two words, added by the steps that CONTRIBUTING.md shows and by nothing else, is known everywhere."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from schemas.contracts import envelope_of
from tests.support.broker import Broker
from tests.support.kafka_region import without_topics
from tests.support.project import ROOT

KIND = "care_voucher"
ADDED = Path(__file__).parent / "added"
COPIED = ("schemas", "repository", "projections", "connectors", "tests")
STEPS = {
    f"repository/kinds/{KIND}.py": "rules.py.txt",
    "projections/questions/vouchers_on.sql": "question.sql",
    f"connectors/profiles/words/{KIND}.toml": "words.toml",
    f"tests/kinds/{KIND}.py": "example.py.txt",
}
REGISTERS = (
    ("schemas/contracts.py", r'("standard",)\n\)', r'\1\n    "care_voucher",\n)'),
    ("repository/kinds/register.py", r"import service_object,", "import care_voucher, service_object,"),
    (
        "repository/kinds/register.py",
        r"in \(service_object, supply, standard\)",
        "in (service_object, supply, standard, care_voucher)",
    ),
)
"""The lines of the two registers: file, what stands there, what stands there afterwards."""


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the project to which the kind was added."""
    folder = tmp_path_factory.mktemp("project")
    for name in COPIED:
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__", "*.pyc"))
    schema = json.loads((folder / "schemas/supply.avsc").read_text("utf-8"))
    schema |= {"name": "CareVoucherEvent", "doc": "Care voucher: a right to services up to a sum."}
    schema["fields"] = [*envelope_of(schema), *json.loads((ADDED / "state.json").read_text("utf-8"))]
    (folder / f"schemas/{KIND}.avsc").write_text(json.dumps(schema, ensure_ascii=False, indent=2), "utf-8")
    for path, source in STEPS.items():
        shutil.copy(ADDED / source, folder / path)
    for path, stands, becomes in REGISTERS:
        text, number = re.subn(stands, becomes, (folder / path).read_text("utf-8"))
        assert number == 1, (path, stands)
        (folder / path).write_text(text, "utf-8")
    ran(folder, "-m", "connectors.command_line", "schemas", "lock")
    ran(folder, "-m", "connectors.command_line", "schemas", "check")
    return folder


def ran(folder: Path, *arguments: str) -> str:
    """What Python prints, run in a project's folder with nothing of this one in its path."""
    environment = os.environ | {"PYTHONPATH": str(folder)}
    done = subprocess.run(
        [sys.executable, "-W", "ignore", *arguments],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-4000:]
    return done.stdout


def walked(project: Path, home: Path, *more: str) -> Any:
    return json.loads(ran(project, "-m", "tests.kinds.walk", KIND, str(home), *more))


def test_it_goes_through_everything(project: Path, tmp_path: Path) -> None:
    found = walked(project, tmp_path / "home")
    assert found["types"] == ["VoucherIssued", "CapRaised", "FactCorrected"] and found["proved"]


@pytest.mark.long
def test_it_goes_through_everything_over_a_broker(project: Path, tmp_path: Path, kafka: Broker) -> None:
    without_topics(kafka)
    found = walked(project, tmp_path / "home", kafka.bootstrap)
    assert found["types"] == ["VoucherIssued", "CapRaised", "FactCorrected"] and found["proved"]


RULES = """
import json, sys
from datetime import UTC, date, datetime
from repository.decisions.entity import Entity, Recording, report
from repository.decisions.facts import Authority, Fact
from repository.kinds.rules import Violation
from repository.store.bulk import FirstEvents

recording = Recording("32", datetime(2026, 9, 1, tzinfo=UTC))
entity = Entity.unknown("care_voucher", "32", "V-1")
def told(fields, day, **rests):
    fact = Fact("care_voucher", "V-1", date(2026, day, 1), fields, "live", rests_on=Authority(**rests))
    try:
        events = report(entity, fact, recording)
    except Violation as error:
        return str(error)
    entity.records.extend(events)
    return [event["event_type"] for event in events]
said = [
    told({"cap": 800, "holder_token": "t"}, 1), told({"cap": 900}, 2), told({"cap": 900}, 2, doc_no="1"),
    told({"status": "used"}, 3), told({"status": "issued"}, 4),
]
columns = {name: [None, None] for name in ("valid_from", "stated_to", "doc_no", "authority", "published_on", "reason")}
columns |= {"business_key": ["V-2", "V-3"], "flags": [[], []], "last_day": [-40_000, 20_000]}
envelope = {"source": "a list", "batch_id": None, "data_level": 3}
first = FirstEvents("care_voucher", "32", 2, columns, envelope, recording.recorded_at)
said.append([refusal.reason for refusal in first.refused])
print(json.dumps(said, default=str))
"""


def test_its_rules_see_before_and_after_and_the_document(project: Path) -> None:
    first, without, raised, used, back, bulk = json.loads(ran(project, "-c", RULES))
    assert (first, raised, used) == (["VoucherIssued"], ["CapRaised"], ["VoucherUsed"])
    assert without == "CapRaised rests on a document; state its doc_no."
    assert back == "Stages go forward; used does not become issued again."
    assert bulk == ["The voucher would end on 1860-06-26, before there were any."]


def refusal(project: Path, folder: Path, *lines: str) -> str:
    """What is said of a source profile of the kind that has these lines besides."""
    profile = folder / "profile.toml"
    given = ['kind = "care_voucher"', 'source = "s"', 'scope = "s"', 'key = ["k"]', *lines]
    profile.write_text("\n".join([*given, "[fields]", 'serial = "s"', "[valid]", 'from = "as_of"']) + "\n", "utf-8")
    return ran(project, "-c", LOADING, str(profile))


LOADING = """
import sys
from pathlib import Path
from connectors.profiles.profile import ProfileError, load
try:
    load(Path(sys.argv[1]))
except ProfileError as error:
    print(error)
"""


def test_an_occurrence_can_not_be_closed_by_a_list(project: Path, tmp_path: Path) -> None:
    person = ("data_level = 3", "[person]", 'column = "id"', 'id_type = "other"')
    assert "no list closes" in refusal(project, tmp_path, 'completeness = "complete"', *person)


@pytest.mark.long
def test_a_base_of_before_says_how_it_is_made_anew(project: Path, tmp_path: Path) -> None:
    home = tmp_path / "home"
    program = "from connectors.command_line import run; import sys; sys.exit(run(sys.argv[1:]))"
    here = [sys.executable, "-W", "ignore", "-c", program]
    for arguments in (["init", "--publishers", "31"], ["project"]):
        subprocess.run([*here, *arguments, "--home", str(home)], check=True, cwd=ROOT, capture_output=True, timeout=120,
                       env=os.environ | {"PYTHONPATH": str(ROOT)})  # fmt: skip
    environment = os.environ | {"PYTHONPATH": str(project)}
    for arguments, status in ((["project"], 1), (["rebuild"], 0), (["project"], 0)):
        done = subprocess.run([*here, *arguments, "--home", str(home)], cwd=project, capture_output=True, text=True, timeout=120,
                              env=environment, check=False)  # fmt: skip
        assert done.returncode == status, done.stderr
        assert status == 0 or ("yrd rebuild" in done.stderr and done.stderr.count("\n") == 1), done.stderr


def test_the_digest_of_what_holds_none_of_it_is_the_same(project: Path) -> None:
    program = """
import duckdb
from projections import tables
from projections.projector import content_digest
connection = duckdb.connect()
tables.create(connection)
print(content_digest(connection))
"""
    assert ran(project, "-c", program) == ran(ROOT, "-c", program)


def test_a_list_of_it_must_say_whose_each_row_is(project: Path, tmp_path: Path) -> None:
    assert "rows of care_voucher are about persons" in refusal(project, tmp_path, 'completeness = "partial"')
