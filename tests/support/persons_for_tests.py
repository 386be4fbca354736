"""Persons for tests: a home with every key, a source profile of an insurance register with personal fields, dumps of it."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from connectors.home.folder import Home
from connectors.home.regional_key import key_file, tokeniser
from connectors.persons.grants import create_hub_key
from connectors.persons.key_store import master_file
from connectors.profiles.profile import Profile, load
from connectors.publishing.importing import Imported
from connectors.publishing.reporting import report_lines
from repository.keys.regional import create
from repository.persons.subject_keys import create_master
from tests.support.dumps_for_tests import MAY, dump, imported, publishing, region

COLUMNS = "证件号,姓名,性别,出生日期,电话,住址,险种,区划"
PROFILE = """
kind = "service_object"
source = "insurance register"
scope = "insured persons"
completeness = "partial"
data_level = 3
[person]
column = "证件号"
id_type = "{id_type}"
[personal]
name = "姓名"
sex = {{ column = "性别", values = {{ "男" = "1", "女" = "2" }} }}
birth_date = "出生日期"
phone = "电话"
address = "住址"
[fields]
division_code = {{ column = "区划", division = "code" }}
"enrolments[NBPS041102].scheme" = "险种"
{fields}
[valid]
from = "as_of"
"""


@dataclass(frozen=True, slots=True)
class Someone:
    """An invented person: number of kind `other`, which no register of real persons has, and what stands in the dump."""

    number: str
    name: str
    phone: str
    address: str = "示例路1号"
    sex: str = "女"
    born: str = "1990-03-07"

    def row(self, scheme: str = "城乡居民医保", division: str = "310101") -> Sequence[object]:
        return (self.number, self.name, self.sex, self.born, self.phone, self.address, scheme, division)


ROSE = Someone("TEST0001", "蔷薇试", "13900000001", "蔷薇路八十八号")
REED = Someone("TEST0002", "芦苇试", "13900000002", "芦苇巷九十九号")
MOSS = Someone("TEST0003", "青苔试", "13900000003", "青苔弄七十七号")
EVERYBODY = (ROSE, REED, MOSS)


def home_of_persons(folder: Path, *publishers: str, synthetic: bool = False, **settings: Any) -> Home:
    """A home with a regional key of its own and the master keys of some publishers."""
    home = region(folder, synthetic, **settings)
    create(key_file(home))
    for code in publishers or ("31",):
        create_master(master_file(home, code))
    return home


def register(folder: Path, id_type: str = "other", fields: str = "", name: str = "register") -> Profile:
    """The source profile of the insurance register."""
    path = folder / f"{name}.toml"
    path.write_text(PROFILE.format(id_type=id_type, fields=fields), "utf-8")
    return load(path)


def insured(
    home: Home, folder: Path, *rows: Sequence[object], publisher: str = "31", as_of: Any = MAY, source: Any = None
) -> Imported:
    """The outcome of importing rows of the register."""
    path = dump(folder, rows, COLUMNS, f"register-{publisher}.csv")
    return imported(home, source or register(folder), path, publisher, as_of, tokeniser=tokeniser(home))


def token_of(home: Home, someone: Someone) -> str:
    """The pseudonym of a person at a home."""
    make = tokeniser(home)
    assert make is not None
    return make("other", someone.number)


def reported(home: Home, *lines: Mapping[str, object], publisher: str = "31") -> list[dict[str, Any]]:
    """The answers to facts reported live."""
    given = [json.dumps(line, ensure_ascii=False) for line in lines]
    with publishing(home, publisher) as persons:
        return list(report_lines(persons, "service_object", given, "live", tokeniser(home)))


def identity(someone: Someone) -> dict[str, str]:
    """A person as a line of live facts names them."""
    return {"id_type": "other", "number": someone.number}


def opened_events(home: Home, someone: Someone, publisher: str = "31") -> list[dict[str, Any]]:
    """All that is recorded of a person, with personal fields in plain, whatever holds for the person."""
    with publishing(home, publisher) as persons:
        return persons.shown(persons.store.entity("service_object", token_of(home, someone))).records


def hub_key(home: Home, folder: Path) -> Path:
    """The file with a new hub's public key."""
    public = folder / "hub.pub"
    create_hub_key(home, public)
    return public
