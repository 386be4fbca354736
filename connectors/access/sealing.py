"""Seals of the access log: made like a publisher's, kept by auditors, and proofs that lead from one to the next.

The key lies in keys/access.signing (`yrd signer create --publisher access`). Who runs the hub holds it, so a seal by itself
says only that somebody with the file and the key made this log. What binds the hub is a seal that an auditor has taken away:
every later log has to contain the one that it covers.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from connectors.access.log import AccessLog, open_store, store_file
from connectors.home.folder import Home
from connectors.home.refused import Refused
from connectors.logs.whole_logs import check_store
from connectors.proof.sealing import LogAltered, algorithm_of, all_seals, key_file, last_seal, tree_folder
from repository.access.access_store import AccessStore
from repository.access.records import KIND, is_purged
from repository.events.identity import LOG, entity_id
from repository.proof.judgement import Finding
from repository.proof.seal import Seal
from repository.proof.signed_note import Note, verifier_keys
from repository.proof.stored_proofs import NotProvable, growth_proof, record_proof, two_of
from repository.proof.tree_files import TreeFiles, opened_tree
from repository.proof.whole_log import keys_by_name
from repository.store.publisher import Publisher

AccessResult = dict[str, Any]
UNSEALED = "seal the log with `yrd seal --publisher access`, or wait until that is due"


@contextmanager
def sealable(home: Home, code: str) -> Iterator[Publisher]:
    """The store of a log that can be sealed: a publisher's, or the access log's."""
    if code != LOG:
        with home.store(code) as publisher:
            yield publisher
        return
    store = open_store(home)
    try:
        yield store
    finally:
        store.close()


# -- what an auditor asks for --------------------------------------------------------------------------------------


def kept(log: AccessLog, _: Mapping[str, Any]) -> AccessResult:
    """The newest seal as a signed note, to be kept where the hub cannot reach it. Raises ValueError where there is none."""
    seals = all_seals(log.store())
    if not seals:
        raise Refused(
            f"The access log is not sealed yet; make its key with `yrd signer create --publisher {LOG}`, then {UNSEALED}."
        )
    seal, note = seals[-1]
    return {"note": str(note), **_said(seal)}


def proved(log: AccessLog, given: Mapping[str, Any]) -> AccessResult:
    """The proof that the last record of the access `access` is in the log that a seal covers. Raises NotProvable."""
    store, key = log.store(), str(given.get("access"))
    identity = entity_id(LOG, KIND, key)
    position = store.position_of(identity, store.last_version(identity))
    if position is None:
        raise NotProvable(f'The access log holds no access "{key}"; `yrd access list --json` has them under business_key.')
    covering = next((each for each in all_seals(store) if each[0].last_position >= position), None)
    if covering is None:
        raise NotProvable(f"{key} is under no seal yet; {UNSEALED}.")
    seal, note = covering
    state = store.notifications(position - 1, 1)[0].state
    if is_purged(state):
        raise NotProvable(f"{key} is past its retention and was purged; of its record only the hash is left.")
    otherwise = f"The record of {key} is not the one that was sealed; see `yrd access check`."
    with _tree(log.home, store, seal) as tree:
        (leaf,) = store.leaves(tree.algorithm, [state])
        return {"proof": record_proof(tree, note, position, state, leaf, otherwise)}


def grown(log: AccessLog, given: Mapping[str, Any]) -> AccessResult:
    """The proof that the log of `first` records is the beginning of the one of `second` (default: the newest).

    Raises NotProvable.
    """
    store = log.store()
    seals = {seal.size: (seal, note) for seal, note in all_seals(store)}
    first, second = int(given["first"]), int(given.get("second") or max(seals, default=0))
    (_, earlier), (newer, later) = two_of(seals, first, second, "seal of the access log")
    with _tree(log.home, store, newer) as tree:
        return {"proof": growth_proof(tree, earlier, later)}


@contextmanager
def _tree(home: Home, store: AccessStore, seal: Seal) -> Iterator[TreeFiles]:
    """The stored nodes, as far as the seal; they are looked at only where their root is the one that was sealed."""
    with opened_tree(tree_folder(home, store), algorithm_of(home, store)) as tree:
        if tree.size < seal.size or tree.root(seal.size) != seal.root:
            raise LogAltered(
                f"The tree of the access log is not the one of seal {seal.number}; see `yrd access check --key FILE`."
            )
        yield tree


def _said(seal: Seal) -> AccessResult:
    return {
        "seal": seal.number,
        "tree_size": seal.size,
        "last_position": seal.last_position,
        "root": seal.root.hex(),
        "sealed_at": seal.sealed_at.isoformat(),
    }


# -- checking ------------------------------------------------------------------------------------------------------


def held_against_seals(log: AccessLog, keys: Sequence[str], notes: Sequence[str]) -> AccessResult:
    """The log from its bytes to the signatures: against its own seals and those that the reader has `kept`.

    `keys` are verifier keys and `notes` signed notes, as texts. Raises KeyMalformed or NoteRefused for what is neither.
    """
    known = [(Note.parse(note), None) for note in notes]
    given = [key for text in keys for key in verifier_keys(text)]
    checked = check_store(log.home, log.store(), keys_by_name(given), known)
    return {
        "seals": checked.seals,
        "proved": checked.proved_size,
        "unproved": checked.unsealed,
        "findings": [_sentence(number, finding) for number, finding in checked.findings],
    }


def _sentence(number: int | None, finding: Finding) -> str:
    where = "" if number is None else f"Seal {number}: "
    return f"{where}{finding.verdict}: {finding.reason}"


def sealing_status(home: Home) -> AccessResult | None:
    """The newest seal of the access log and how many records came after it; None where nothing was recorded yet."""
    if not store_file(home).exists():
        return None
    with sealable(home, LOG) as store:
        records = store.newest_position()
        try:
            newest = last_seal(store)
        except LogAltered as error:
            return {"seal": None, "records_after": records, "key": None, "trouble": str(error)}
    said = {"seal": None} if newest is None else _said(newest)
    # The seal itself stands behind what it covers, and needs no other.
    behind = records if newest is None else records - newest.last_position - 1
    return {**said, "records_after": behind, "key": key_file(home, LOG).exists(), "trouble": None}


SEAL_OPERATIONS: dict[str, Callable[[AccessLog, Mapping[str, Any]], AccessResult]] = {
    "access_seal": kept,
    "access_prove": proved,
    "access_growth": grown,
}
