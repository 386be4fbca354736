"""Numbers of the contracts' versions, as they stand before each event on a Kafka topic (the Confluent wire format).

Where no schema registry gives the numbers, this file does: `ids.lock` beside it is written by `yrd schemas lock`, is
committed with the contracts, and never changes a number once given. It also pins each version's shape, so that a contract
edited in place in any other way than its docs is noticed.
"""

import json
from dataclasses import dataclass
from functools import cache
from hashlib import sha256
from pathlib import Path
from typing import Any

import fastavro

from schemas.contracts import FOLDER, KINDS, Contract, SchemaError, versions

LOCK = "ids.lock"


@dataclass(frozen=True, slots=True)
class Locked:
    """One line of the lock file: the number, which version of which schema it names, and that version's shape."""

    id: int
    kind: str
    version: int
    shape: str


def shape(schema: dict[str, Any]) -> str:
    """SHA-256 of a schema without its docs: equal for equal bytes and equal meaning, logical types and defaults included.

    Names are written out in full first, so that a registry's way of writing the same schema has the same shape.
    """
    bare = _bare(fastavro.parse_schema(json.loads(json.dumps(schema))))
    return sha256(json.dumps(bare, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


def _bare(node: Any) -> Any:
    """A parsed schema without docs and the parser's own marks; a type alone in its braces loses them."""
    if isinstance(node, list):
        return [_bare(each) for each in node]
    if isinstance(node, dict):
        kept = {key: _bare(value) for key, value in node.items() if key not in ("doc", "namespace") and not key.startswith("__")}
        return kept["type"] if list(kept) == ["type"] else kept
    return node


@cache
def by_shape() -> dict[str, Contract]:
    """Every version of every kind of event, by its shape."""
    return {shape(known.schema): known for kind in KINDS for known in versions(kind)}


def locked(folder: Path = FOLDER) -> tuple[Locked, ...]:
    """The lines of the lock file. SchemaError where it can't be read."""
    path = folder / LOCK
    try:
        return tuple(Locked(**line) for line in json.loads(path.read_text("utf-8")))
    except (OSError, ValueError, TypeError) as error:
        raise SchemaError(f"{path} can't be read ({error}); restore it from the release.") from error


def unlocked(folder: Path = FOLDER) -> list[str]:
    """What is wrong between the contracts and the lock file, in sentences; empty where nothing is."""
    known = {(kind, each.version): each for kind in KINDS for each in versions(kind, folder)}
    lines = {(line.kind, line.version): line for line in locked(folder)}
    found = [
        f"{kind} version {version} has no number in {LOCK}; give it one with `yrd schemas lock`."
        for kind, version in known.keys() - lines.keys()
    ]
    for key, line in lines.items():
        if key not in known:
            found.append(f"{LOCK} numbers {line.kind} version {line.version}, which is gone; restore its file in earlier/.")
        elif shape(known[key].schema) != line.shape:
            found.append(
                f"{line.kind} version {line.version} is another schema than the one numbered {line.id}; only docs may be edited "
                "in place. Restore it, keep a copy in earlier/, and make the change a new version."
            )
    return sorted(found)


def lock(folder: Path = FOLDER) -> list[Locked]:
    """Number the versions that have no number yet; the new lines. Numbers given before are kept."""
    lines = list(locked(folder)) if (folder / LOCK).exists() else []
    seen = {(line.kind, line.version) for line in lines}
    free = max((line.id for line in lines), default=0) + 1
    missing = [known for kind in KINDS for known in versions(kind, folder) if (kind, known.version) not in seen]
    new = [Locked(free + place, known.kind, known.version, shape(known.schema)) for place, known in enumerate(missing)]
    text = ",\n".join(json.dumps({name: getattr(line, name) for name in Locked.__slots__}) for line in [*lines, *new])
    (folder / LOCK).write_text(f"[\n{text}\n]\n", "utf-8")
    return new
