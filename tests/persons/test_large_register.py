"""A register large enough for blocks of keys and for the second process: every person is still alone under the own key."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from connectors.home.folder import Home
from connectors.home.regional_key import tokeniser
from connectors.hub import hub
from connectors.hub.granted_reads import read_under_grant
from connectors.persons import cipher_process
from connectors.persons.decryption import import_keys
from connectors.persons.grants import export_keys
from connectors.persons.subject_rights import take_measure
from connectors.publishing.decisions import Decisions, New
from repository.persons.key_blocks import BLOCK
from repository.persons.personal import AES, SM4, Plain, head
from tests.persons.test_grants import SAID, granted
from tests.support.dumps_for_tests import JULY, JUNE, facts, publishing
from tests.support.persons_for_tests import Someone, home_of_persons, insured, opened_events, reported, token_of

MANY = BLOCK + 88
PEOPLE = [Someone(f"TEST{n:05}", f"试{n}", f"139{n:08}", f"示例路{n}号") for n in range(MANY)]


def rows(*instead: Someone) -> list[Sequence[object]]:
    changed = {each.number: each for each in instead}
    return [changed.get(each.number, each).row() for each in PEOPLE]


@pytest.fixture
def second_process(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cipher_process, "worth_it", lambda _rows: True)
    monkeypatch.setattr("connectors.persons.staged_cells.worth_it", lambda _rows: True)


@pytest.mark.parametrize("setting", [{}, {"personal_cipher": SM4}])
@pytest.mark.usefixtures("second_process")
def test_everybody_is_encrypted_once_under_a_key_and_a_nonce_of_the_own(tmp_path: Path, setting: dict[str, Any]) -> None:
    home = home_of_persons(tmp_path, **setting)
    done = insured(home, tmp_path, *rows())
    assert (done.counts.facts_new, done.counts.events, done.rejected) == (MANY, MANY, [])
    heads = [head(stored["personal"]) for stored in facts(home)]
    assert {each.algorithm for each in heads} == {setting.get("personal_cipher", AES)}
    assert len({each.nonce for each in heads}) == len({each.key_id for each in heads}) == MANY
    for someone in PEOPLE[:: MANY // 7]:
        (event,) = opened_events(home, someone)
        assert isinstance(event["personal"], Plain) and event["personal"]["phone"] == someone.phone
    with publishing(home) as persons:
        assert persons.keys._run("SELECT count(*) FROM subject_keys")[0][0] == 0


def test_it_comes_again_and_says_nothing_new_but_what_changed(tmp_path: Path) -> None:
    home = home_of_persons(tmp_path)
    insured(home, tmp_path, *rows())
    moved = Someone(PEOPLE[7].number, PEOPLE[7].name, "13911111111", PEOPLE[7].address)
    done = insured(home, tmp_path, *rows(moved), as_of=JUNE)
    assert (done.counts.facts_changed, done.counts.facts_unchanged) == (1, MANY - 1)
    first, second = (head(stored["personal"]) for stored in facts(home) if stored["business_key"] == token_of(home, moved))
    assert first.key_id == second.key_id and first.nonce != second.nonce
    done = insured(home, tmp_path, *rows(moved), as_of=JULY)
    assert (done.counts.events, done.counts.facts_unchanged) == (0, MANY)


@pytest.mark.long
def test_without_its_digests_it_is_recognised_by_decision(tmp_path: Path) -> None:
    home = home_of_persons(tmp_path)
    insured(home, tmp_path, *rows())
    with publishing(home) as persons:
        persons.keys._run("DELETE FROM digest_blocks")
    for decided in (True, False):
        done = insured(home, tmp_path, *rows(), as_of=JUNE)
        assert (done.counts.events, done.counts.facts_unchanged) == (0, MANY), decided
    with publishing(home) as persons:
        assert persons.digests.kept().height == MANY


def test_one_person_is_erased_and_the_neighbours_in_the_block_are_not(tmp_path: Path) -> None:
    home = home_of_persons(tmp_path)
    insured(home, tmp_path, *rows())
    take_measure(home, "31", token_of(home, PEOPLE[3]), "erasure", True, SAID, tokeniser(home))
    assert opened_events(home, PEOPLE[3])[0]["personal"] is None
    opened = [opened_events(home, someone)[0]["personal"] for someone in (PEOPLE[2], PEOPLE[4], PEOPLE[-1])]
    assert [each["name"] for each in opened] == [PEOPLE[2].name, PEOPLE[4].name, PEOPLE[-1].name]
    with publishing(home) as persons:
        assert len(list(persons.keys.all())) == persons.digests.kept().height == MANY - 1


def test_a_live_fact_is_encrypted_under_the_key_in_the_block(tmp_path: Path) -> None:
    home = home_of_persons(tmp_path)
    insured(home, tmp_path, *rows())
    line = {"identity": {"id_type": "other", "number": PEOPLE[5].number}, "valid_from": "2026-07-01", "personal": {"phone": "1"}}
    (answer,) = reported(home, line)
    assert answer["events"], answer
    first, second = (head(each["personal"]).key_id for each in facts(home) if each["business_key"] == token_of(home, PEOPLE[5]))
    assert first == second and opened_events(home, PEOPLE[5])[1]["personal"]["name"] == PEOPLE[5].name


@pytest.mark.long
def test_keys_in_blocks_travel_for_grants(tmp_path: Path) -> None:
    home = granted(tmp_path)
    insured(home, tmp_path, *rows())
    take_measure(home, "31", token_of(home, PEOPLE[0]), "erasure", True, SAID, tokeniser(home))
    assert export_keys(home, "31", "G1", tmp_path / "hub.pub", tmp_path / "more.keys") == 3 + MANY - 1
    assert import_keys(home, tmp_path / "more.keys")["subjects"] == 3 + MANY - 1
    assert shown(home) == {each.name for each in PEOPLE[1:]}


def shown(home: Home) -> set[str | None]:
    hub.perform(home, "project")
    found = read_under_grant(home, "SELECT name FROM persons_current WHERE publisher = '31'", "G1").column(0).to_pylist()
    return {name for name in found if name and name.startswith("试")}


@pytest.mark.usefixtures("second_process")
def test_an_import_whose_ciphers_end_records_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    home, begin = home_of_persons(tmp_path), Decisions._new

    def killed(work: Decisions, frame: pl.DataFrame) -> New:
        begun = begin(work, frame)
        process = work.persons.staged._ciphers
        assert process is not None
        process._process.kill()
        process._connection.close()
        return begun

    with monkeypatch.context() as patched:
        patched.setattr(Decisions, "_new", killed)
        with pytest.raises(cipher_process.CiphersEnded):
            insured(home, tmp_path, *rows())
    assert facts(home) == []
    done = insured(home, tmp_path, *rows())
    assert done.counts.events == MANY and opened_events(home, PEOPLE[9])[0]["personal"]["name"] == PEOPLE[9].name
    take_measure(home, "31", token_of(home, PEOPLE[9]), "erasure", True, SAID, tokeniser(home))
    with publishing(home) as persons:
        assert not persons.keys.live([persons.store.entity("service_object", token_of(home, PEOPLE[9])).id])
