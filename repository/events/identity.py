"""Computed identities: UUID version 5 (RFC 9562) of names that a third party can form again.

An entity's identity is that of the FIRST business key it was reported under, so that it outlives its key; an event's is
that of its entity and its version. Names are joined by a vertical bar, which no publisher code and no kind contains.
"""

from hashlib import sha1, sha256
from struct import Struct
from uuid import UUID, uuid5

NAMESPACE = UUID("5f1d2c9e-7a64-5f0b-9c3e-3133c0a8d5b1")
"""Namespace of entity identities. Part of the stored data: it can never change."""
LOG = "access"
"""The log's code, where a publisher's log has the publisher's: no publisher can have it, codes being two digits."""


FIRST_8_BYTES = Struct(">q").unpack_from


def entity_id(publisher: str, kind: str, first_key: str) -> UUID:
    """Identity of the entity that `publisher` first reported under `first_key`."""
    return uuid5(NAMESPACE, f"{publisher}|{kind}|{first_key}")


def event_id(entity: UUID, version: int) -> UUID:
    """Identity of the `version`-th event of an entity, from 1."""
    return uuid5(entity, str(version))


def entity_id_text(prefix: bytes, first_key: str) -> str:
    """`entity_id` as text, for many keys: `prefix` is NAMESPACE.bytes and "publisher|kind|" in UTF-8."""
    return _version_5(sha1(prefix + first_key.encode(), usedforsecurity=False).digest())


def event_id_text(entity: str, version: int) -> str:
    """`event_id` as text, from the entity's identity as text."""
    return _version_5(sha1(bytes.fromhex(entity.replace("-", "")) + b"%d" % version, usedforsecurity=False).digest())


def _version_5(digest: bytes) -> str:
    h = digest.hex()
    variant = "89ab"[digest[8] >> 4 & 3]
    return f"{h[:8]}-{h[8:12]}-5{h[13:16]}-{variant}{h[17:20]}-{h[20:32]}"


def leaf_hash(data: bytes) -> bytes:
    """SHA-256 hash of stored bytes as a leaf of a Merkle tree (RFC 9162, section 2.1.1)."""
    return sha256(b"\x00" + data).digest()


def event_hash(data: bytes) -> int:
    """First 8 bytes of the leaf hash as a signed big-endian number: what batches and the base total and compare."""
    return hash_of_leaf(leaf_hash(data))


def hash_of_leaf(leaf: bytes) -> int:
    """The event hash of a leaf hash that is there already."""
    return int(FIRST_8_BYTES(leaf)[0])
