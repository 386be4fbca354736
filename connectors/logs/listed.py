"""The member list at the hub: whose topics are read, and with which keys they sign.

Without the office's key the members are those of the settings, and their keys lie in the home. With it, they are those
that the office's own log lists under its signature; the topics of all others stay unread, and are shown.
"""

from collections.abc import Mapping
from typing import Any

from connectors.home.folder import Home
from connectors.proof.key_ring import office_key
from projections.decoding import decode_batch
from repository.proof.member import KIND, OFFICE, members_of
from repository.proof.signed_note import VerifierKey
from repository.store.log import Checkpoint, Log, Partition, Record
from schemas.contracts import fields

OFFICE_TOPICS = (f"yrd.{OFFICE}", f"yrd.{OFFICE}.{KIND}")
READ_RECORDS = 50_000


def owner(partition: Partition) -> str:
    """The publisher whose topic a partition is of."""
    return partition[0].split(".")[1] if "." in partition[0] else partition[0]


class ListedLog:
    """A log of which only the topics of listed members are read. What is listed later is read from its beginning then."""

    def __init__(self, log: Log, office: VerifierKey) -> None:
        self.log, self.office = log, office
        self.first_offset = log.first_offset
        self._office_read: dict[Partition, Checkpoint] = {}
        self._records: list[dict[str, Any]] = []
        self.members = members_of(office, [])

    def read(self, after: Mapping[Partition, Checkpoint], limit: int, wait_s: float = 0) -> list[Record]:
        self._look()
        while True:
            skipped = {p: _behind(end) for p, end in self.log.ends().items() if owner(p) not in self.members.listed}
            read = self.log.read({**after, **skipped}, limit, wait_s)
            chosen = [r for r in read if owner((r.topic, 0)) in self.members.listed]
            if chosen or not read:
                return chosen
            # Only topics that are not read had news just then; that says nothing of the others.
            wait_s = 0

    def last_read(self, partition: Partition, checkpoint: Checkpoint) -> Record | None:
        return self.log.last_read(partition, checkpoint)

    def ends(self) -> dict[Partition, int]:
        return self.log.ends()

    def controls(self) -> list[Record]:
        self._look()
        return [record for record in self.log.controls() if owner((record.topic, 0)) in self.members.listed]

    def identities(self) -> Mapping[str, str]:
        return self.log.identities()

    def restore(self, record: Record) -> Record:
        return self.log.restore(record)

    def unlisted(self) -> list[str]:
        """Topics that hold records and are of no listed member, and what the log itself does not read."""
        self._look()
        filled = {p[0] for p, end in self.log.ends().items() if end > self.first_offset and owner(p) not in self.members.listed}
        return sorted(filled | set(self.log.unlisted()))

    def _look(self) -> None:
        """Read what the office's log says of members since the last look, as far as it goes when this begins."""
        found, until = False, self.log.ends()
        while (others := self._others_unless_read(until)) is not None:
            read = self.log.read({**others, **self._office_read}, READ_RECORDS)
            records = [r for r in read if r.topic in OFFICE_TOPICS]
            if not read:
                break
            self._office_read |= {(r.topic, r.partition): Checkpoint(r.offset + 1, r.position, 0) for r in records}
            found |= self._take([r for r in records if r.event_type.startswith(f"{KIND}.") or r.topic == OFFICE_TOPICS[1]])
        if found:
            self.members = members_of(self.office, self._records)

    def _others_unless_read(self, until: Mapping[Partition, int]) -> dict[Partition, Checkpoint] | None:
        """The ends of all topics but the office's, to pass over them; None where the office's are read up to `until`."""
        first = _behind(self.first_offset)
        others = {p: _behind(end) for p, end in self.log.ends().items() if p[0] not in OFFICE_TOPICS}
        unread = any(self._office_read.get(p, first).next_offset < end for p, end in until.items() if p not in others)
        return others if unread else None

    def _take(self, records: list[Record]) -> bool:
        frame = decode_batch([r.value for r in records]).frames.get(KIND)
        if frame is None:
            return False
        known = {(r["business_key"], r["version"]) for r in self._records}
        rows = frame.select(*fields(KIND)).iter_rows(named=True)
        self._records += [row for row in rows if (row["business_key"], row["version"]) not in known]
        return True


def _behind(offset: int) -> Checkpoint:
    """A checkpoint that has a log give nothing before `offset`."""
    return Checkpoint(offset, 0, 0)


def listed(home: Home, log: Log) -> Log:
    """The log as the hub may read it: with the office's key only listed members' topics of it."""
    office = office_key(home)
    return log if office is None else ListedLog(log, office)


def read_members(home: Home, log: Log) -> list[str]:
    """The publishers whose topics are read of a log: those that the office lists in it, else those of the settings."""
    return sorted(log.members.listed if isinstance(log, ListedLog) else home.settings.publishers)
