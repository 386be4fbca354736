"""Whole logs as Kafka holds them: all topics of all publishers read once, each log put together in the order of positions.

A moment of the log is checked, not its end: publishers may go on sending while it is read.
"""

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

from connectors.home.folder import Home
from connectors.kafka import names
from connectors.logs.gathered_leaves import GatheredLeaves
from connectors.logs.listed import owner, read_members
from connectors.logs.opened import opened_log
from repository.events.encoding import NotAnEvent, decode
from repository.proof.judgement import WITHHELD, Finding
from repository.proof.member import KIND as MEMBER
from repository.proof.member import OFFICE
from repository.proof.seal import KIND as SEAL
from repository.proof.seal import NotASeal, Seal, seal_of_record, seal_of_text
from repository.proof.signed_note import Note, NoteRefused
from repository.proof.tree_files import TreeFiles
from repository.proof.whole_log import WholeLog
from repository.store.log import Checkpoint, Log, Partition


class WholeTopics:
    """The logs of all publishers that are read, at one moment. Raises LogUnavailable and LogChanged."""

    def __init__(self, home: Home, log: Log, folder: Path) -> None:
        self.home, self._log, self._folder = home, log, folder
        self._gathered: dict[str, GatheredLeaves] = {}
        self._until = moment(log)
        self._withheld: set[str] = set()

    def close(self) -> None:
        for each in self._gathered.values():
            each.close()

    def publishers(self) -> list[str]:
        """Whose topics are read: whom the office lists, which is known once its own are."""
        self._of(self.home.settings.seal_hash)
        return read_members(self.home, self._log)

    def read(self, publisher: str, tree: TreeFiles) -> WholeLog:
        """A publisher's log, its leaves appended to an empty tree."""
        return self._of(tree.algorithm.name).whole_log(publisher, tree)

    def _of(self, algorithm: str) -> GatheredLeaves:
        # Topics with seals of two algorithms are read once more for the second.
        if algorithm not in self._gathered:
            self._gathered[algorithm] = GatheredLeaves(self.home, self._folder / algorithm, algorithm)
            gather(self.home, self._log, self._until, self._gathered[algorithm])
        return self._gathered[algorithm]

    def member_records(self) -> list[bytes]:
        """The stored bytes of the office's member list."""
        return [value for _, value in self._of(self.home.settings.seal_hash).kept(OFFICE, MEMBER)]

    def missing(self, publisher: str, known: Iterable[Note]) -> Finding | None:
        """That a publisher lacks topics of which its seals, there or `known` from elsewhere, count records, or the seals' own.

        A topic of which no seal counts any was not made yet: this release may know a kind more than the one that made them.
        """
        counted = {SEAL} | {kind for seal in self._seals(publisher, known) for kind, number in seal.counts.items() if number}
        missing = [topic for topic in self._not_there([publisher]) if names.kind_of(topic) in counted]
        self._withheld.update(missing)
        if not missing:
            return None
        which = missing[0] if len(missing) == 1 else f"{missing[0]} and {len(missing) - 1} more of {publisher}"
        return Finding(
            WITHHELD,
            f"At {self.home.settings.kafka_bootstrap} there is no topic {which} that this account may see; see "
            "`yrd kafka acl`, or make it with `yrd kafka init`.",
        )

    def _not_there(self, publishers: Iterable[str]) -> list[str]:
        there = {topic for topic, _ in self._until}
        return [topic for topic in names.topics(publishers) if topic not in there]

    def _seals(self, publisher: str, known: Iterable[Note]) -> Iterator[Seal]:
        """What seals say, whoever signed them; those that say nothing are refused when the log is checked."""
        for _, value in self._of(self.home.settings.seal_hash).kept(publisher, SEAL):
            with suppress(NotAnEvent, NotASeal, NoteRefused):
                yield seal_of_record(decode(value)[1])[0]
        for note in known:
            with suppress(NotASeal):
                yield seal_of_text(note.text)

    def remarks(self) -> Iterator[str]:
        """What was read and not checked, and what is not there and is not missed, in sentences."""
        for publisher, (number, first) in sorted(self._of(self.home.settings.seal_hash).left_out.items()):
            where = f"offset {first.offset} of {first.topic} partition {first.partition}"
            what = "1 record was left out, at" if number == 1 else f"{number:,} records were left out, the first at"
            yield f"{publisher}: {what} {where}: {first.problem}"
        unlisted = self._log.unlisted()
        if unlisted:
            yield f"Not read, since no listed member has them: {', '.join(unlisted)}."
        unmade = sorted(set(self._not_there(self.publishers())) - self._withheld)
        if unmade:
            more = f" and {len(unmade) - 1} more" if len(unmade) > 1 else ""
            yield f"Not made yet, and no seal counts records of it: {unmade[0]}{more}; `yrd kafka init` makes every topic."


@contextmanager
def whole_topics(home: Home, folder: Path) -> Iterator[WholeTopics]:
    """The topics of the home's publishers, read when they are asked for; what is gathered of them lies in `folder`."""
    with opened_log(home) as log:
        topics = WholeTopics(home, log, folder)
        try:
            yield topics
        finally:
            topics.close()


# -- up to a moment ------------------------------------------------------------------------------------------------


def moment(log: Log) -> dict[Partition, int]:
    """Ends of the partitions at one moment: what a seal before them covers is before them as well.

    A seal comes to its topic after all that it covers. Brokers are not asked at once; so the ends of the seals' topics are
    those that were known first.
    """
    first, then = log.ends(), log.ends()
    return {p: first.get(p, log.first_offset) if names.kind_of(p[0]) == SEAL else end for p, end in then.items()}


def gather(home: Home, log: Log, until: Mapping[Partition, int], into: GatheredLeaves) -> None:
    """Add all records of the publishers that are read, up to the offsets `until`; what came later is left."""
    places: dict[Partition, Checkpoint] = {}
    limit = home.settings.batch_records
    while True:
        records = log.read(places, limit)
        last = {(r.topic, r.partition): r for r in records}
        places |= {partition: Checkpoint(r.offset + 1, r.position, 0) for partition, r in last.items()}
        later = any(r.offset >= until.get(partition, 0) for partition, r in last.items())
        into.add([r for r in records if r.offset < until.get((r.topic, r.partition), 0)] if later else records)
        # None need not be the end: they may all have been of publishers that nobody lists.
        if len(records) < limit and _reached(home, log, until, places):
            return


def _reached(home: Home, log: Log, until: Mapping[Partition, int], places: Mapping[Partition, Checkpoint]) -> bool:
    """Whether all was read up to `until`: where publishers go on sending, there is always something more to read."""
    # Ends are asked for again, since those of what was read leave out what a transaction puts behind the last record.
    members, ends = read_members(home, log), log.ends()
    for partition, end in until.items():
        place = places[partition].next_offset if partition in places else log.first_offset
        if place < min(end, ends.get(partition, end)) and owner(partition) in members:
            return False
    return True
