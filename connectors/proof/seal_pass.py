"""One pass over a publisher's seals: what is known of them is gathered, judged, and what was found is written, once."""

from collections.abc import Iterable
from contextlib import ExitStack
from datetime import datetime, timedelta
from typing import Any

from connectors.home.folder import Home
from connectors.proof.hub_tree import HubTree, hub_tree_folder
from connectors.proof.key_ring import KeyRing
from connectors.proof.read_log import ReadLog
from connectors.proof.sealing import HUB, signer
from connectors.proof.verdicts import Verdicts
from repository.keys.secret_files import KeyRefused
from repository.proof.judgement import ArrivedSeal, SealEvidence, SealFinding, SealHistory, Settled, judged
from repository.proof.seal import NotASeal, Seal, seal_of_record
from repository.proof.signed_note import Note, NoteRefused
from repository.proof.tree_files import opened_tree


def grace(home: Home) -> timedelta:
    """How long a seal may wait for what it covers."""
    return timedelta(seconds=home.settings.seal_grace_s)


class SealPass:
    """One pass over the seals of one publisher in a base. `histories` says what was found of each, this pass included."""

    def __init__(self, home: Home, log: ReadLog, keys: KeyRing, verdicts: Verdicts, now: datetime) -> None:
        self.home, self.log, self.keys, self.verdicts, self.now = home, log, keys, verdicts, now
        self.histories = verdicts.histories(log.publisher)
        self._trees: dict[str, HubTree] = {}
        self._open = ExitStack()

    def judge(self, settled: Settled) -> tuple[Settled, bool]:
        """Judge the seals behind the settled ones: which are settled then, and whether anything new was found."""
        with self._open:
            outcome = judged(self._gathered(settled), settled)
            countersigned = self._countersigned(outcome.accepted)
            for algorithm, tree in self._trees.items():
                tree.keep(seal for seal, _ in outcome.accepted if seal.algorithm == algorithm)
        found = self._new(outcome.found)
        self.verdicts.add(self.log.publisher, found, countersigned, self.now)
        return outcome.settled, bool(found or countersigned)

    # -- gathering --

    def _gathered(self, settled: Settled) -> SealEvidence:
        arrived = sorted(map(self._arrived, self.log.seal_records(settled.number)), key=lambda each: each.number)
        return SealEvidence(
            arrived, self.log.seal_numbers(), self.histories, self.log.doubled(),
            self.home.settings.seal_hash, self._tree, self.now - grace(self.home),
        )  # fmt: skip

    def _arrived(self, record: dict[str, Any]) -> ArrivedSeal:
        try:
            seal, note = seal_of_record(record)
        except NotASeal as error:
            return ArrivedSeal(int(record["version"]), None, None, str(error))
        return ArrivedSeal(seal.number, seal, note, self._refused(seal, note))

    def _refused(self, seal: Seal, note: Note) -> str:
        """Why a seal can't be judged: it is not rightly signed, or the base lacks the hashes. Empty where it can."""
        try:
            note.check(self.keys.key(seal.publisher, seal.last_position))
        except (NoteRefused, KeyRefused) as error:
            return str(error)
        if self.log.hashed_by(seal.algorithm):
            return ""
        return f'The base holds no {seal.algorithm} hashes; set seal_hash = "{seal.algorithm}" and run `yrd rebuild`.'

    def _tree(self, algorithm: str) -> HubTree:
        if algorithm not in self._trees:
            folder = hub_tree_folder(self.home, self.log.publisher, algorithm)
            self._trees[algorithm] = HubTree(self.log, self._open.enter_context(opened_tree(folder, algorithm, True)))
        return self._trees[algorithm]

    # -- what is written --

    def _new(self, found: Iterable[SealFinding]) -> list[SealFinding]:
        """The findings that are not what was found last."""
        new = []
        for each in found:
            history = self.histories.setdefault(each.number, SealHistory())
            if history.newest != each.finding:
                history.add(each.finding, (each.size, each.last_position), self.now)
                new.append(each)
        return new

    def _countersigned(self, accepted: list[tuple[Seal, Note]]) -> list[tuple[Seal, Note]]:
        """The accepted seals that the hub has not countersigned yet, with its signature; none where it has no key."""
        done = self.verdicts.countersigned_numbers(self.log.publisher) if accepted else set()
        left = [(seal, note) for seal, note in accepted if seal.number not in done]
        key, moment = signer(self.home, HUB) if left else None, int(self.now.timestamp())
        return [(seal, note.with_signature(key.sign(note.text, moment))) for seal, note in left] if key else []
