"""The log of listed members: what others send meanwhile neither gets in nor keeps back what there is."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path

import pytest

from connectors.home.folder import Home
from connectors.logs.listed import listed
from connectors.proof.member_list import list_member
from connectors.proof.sealing import public_key_file
from repository.keys.signing import read_keys
from repository.store.log import Checkpoint, EmbeddedLog, Partition, Record
from repository.store.publisher import Publisher
from tests.support.dumps_for_tests import dump, imported, profile, region
from tests.support.sealed_logs import keyed


class Noisy(EmbeddedLog):
    """A log in which somebody who is not listed records another fact just before each of the first reads."""

    def __init__(self, publishers: Sequence[Publisher], home: Home, folder: Path, times: int) -> None:
        super().__init__(publishers)
        self.home, self.folder, self.times = home, folder, times

    def read(self, after: Mapping[Partition, Checkpoint], limit: int, wait_s: float = 0) -> list[Record]:
        if self.times:
            self.times -= 1
            imported(self.home, profile(self.folder), dump(self.folder, [(f"外{self.times}", "1", 1)], name="other.csv"), "32")
        return super().read(after, limit, wait_s)


@pytest.mark.long
def test_news_of_who_is_not_listed_does_not_hide_that_of_members(tmp_path: Path) -> None:
    home = keyed(region(tmp_path), "00", "31")
    imported(home, profile(tmp_path), dump(tmp_path, [("院1", "1", 3)]), "31")
    list_member(home, "31", read_keys(public_key_file(home, "31"))[0], 0, datetime.now(UTC))
    (key,) = read_keys(public_key_file(home, "00"))
    with (home.folder / "yrd.toml").open("a") as file:
        file.write(f'office_key = "{key}"\n')
    home = Home(home.folder)
    with home.stores(new_too=True) as stores:
        # The unlisted one stands first, so that a read of one record gives its news alone.
        ordered = sorted(stores, key=lambda store: store.code != "32")
        log = listed(home, Noisy(ordered, home, tmp_path, 6))
        found, at = [], dict[Partition, Checkpoint]()
        while records := log.read(at, 1):
            found += [(record.topic, record.offset) for record in records]
            at |= {(r.topic, r.partition): Checkpoint(r.offset + 1, r.position, 0) for r in records}
    # What the office and 31 recorded: the listing, a fact, the batch of its import, the seal.
    assert sorted(found) == [("yrd.00", 1), ("yrd.31", 1), ("yrd.31", 2), ("yrd.31", 3)]
