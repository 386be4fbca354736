"""Scenarios of proof: sealing what an import recorded, checking a whole log, and one proof out of a very long log."""

import time
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from random import Random
from typing import Any

from benchmarks.dumps import write_dump, write_profile
from benchmarks.scenarios import CODE, home_of
from connectors.logs import whole_logs
from connectors.profiles.profile import load
from connectors.proof import sealing
from connectors.publishing.importing import import_dump
from repository.proof.merkle import SHA_256, hashing, inclusion_path
from repository.proof.tree_files import TreeFiles

PROOFS = 1000
PORTION = 100_000
Said = Mapping[str, Any]


def sealing_import(folder: Path, size: int) -> Said:
    """A first import with a signing key in the home: what of its time is sealing, from the leaves it has hashed itself."""
    home = home_of(folder / "sealed", fresh=True)
    sealing.create_key(home, CODE)
    taken: list[float] = []
    plain = sealing.seal_when_due

    def timed(*given: Any, **more: Any) -> Any:
        started = time.perf_counter()
        made = plain(*given, **more)
        taken.append(time.perf_counter() - started)
        return made

    sealing.seal_when_due = timed
    dump, profile = write_dump(folder, size, "utf-8", 0), load(write_profile(folder, "utf-8"))
    started = time.perf_counter()
    import_dump(home, profile, dump, CODE)
    return {"wall_s": time.perf_counter() - started, "sealing_s": taken[0], "records": size + 1}


def sealing_all(folder: Path, _size: int) -> Said:
    """Seal all that the first import recorded, read again from its bytes: as after an import without a key."""
    home = home_of(folder)
    key = sealing.signer(home, CODE) or sealing.create_key(home, CODE)
    started = time.perf_counter()
    with home.store(CODE) as store:
        seal = sealing.seal_now(home, store, key, datetime.now(UTC))
    return {"wall_s": time.perf_counter() - started, "records": seal.size if seal else 0}


def verifying_all(folder: Path, _size: int) -> Said:
    """Check the whole log from its bytes to the signature."""
    home = home_of(folder)
    key = sealing.signer(home, CODE)
    assert key is not None
    started = time.perf_counter()
    (checked,) = whole_logs.check_all(home, [key.verifier])
    assert not checked.findings and checked.seals
    return {"wall_s": time.perf_counter() - started, "records": checked.proved_size}


def one_proof(folder: Path, size: int) -> Said:
    """One proof from the stored nodes of a tree of `size` leaves: find the rank of a position, read the path."""
    chosen, chance = hashing(SHA_256), Random(1)
    tree = TreeFiles(folder / "long-tree", SHA_256, write=True)
    while tree.size < size:
        positions = range(tree.size, min(tree.size + PORTION, size))
        tree.append([n + 1 for n in positions], [chosen.leaf(n.to_bytes(8, "big")) for n in positions])
    tree.commit({"supply": size})
    taken = []
    for _ in range(PROOFS):
        position = chance.randrange(1, size + 1)
        started = time.perf_counter()
        index = tree.index(position)
        assert index is not None
        inclusion_path(index, size, tree.subtree)
        taken.append((time.perf_counter() - started) * 1000)
    tree.close()
    taken.sort()
    return {"leaves": size, "p50_ms": taken[PROOFS // 2], "p99_ms": taken[int(PROOFS * 0.99)]}
