"""Grants given by a publisher, and the keys that travel for them: wrapped to the hub's public key, the granted groups' alone."""

import json
import struct
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final, NamedTuple
from uuid import UUID

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.hpke import AEAD, KDF, KEM, Suite

from connectors.home.folder import Home
from connectors.home.refused import Refused
from connectors.persons.recording import persons
from repository.controls.grant import KIND, GrantRefused, issue, revoke
from repository.decisions.entity import Event
from repository.events.encoding import decode_own
from repository.events.identity import entity_id
from repository.keys.secret_files import KeyUnreadable, create_secret, load_secret
from repository.persons.personal import KEY_BYTES, KEY_ID_BYTES, group_keys
from repository.registers.identifiers import CHINA
from repository.store.publisher import Publisher

HUB_HEADER: Final = "yrd hub key 1"
PUBLIC_HEADER: Final = "yrd hub public key 1"
BUNDLE_FORMAT: Final = "yrd granted keys 1"
SUITE_NAME: Final = "HPKE DHKEM(X25519, HKDF-SHA256), HKDF-SHA256, AES-256-GCM (RFC 9180)"
SUITE: Final = Suite(KEM.X25519, KDF.HKDF_SHA256, AEAD.AES_256_GCM)
ENTRY_HEAD: Final = struct.Struct(f">16s{KEY_ID_BYTES}sI")
LONGEST_HEADER_BYTES: Final = 10_000


class GrantedKey(NamedTuple):
    """Keys of one subject that travel for a grant: group -> key. `since_version` is the first event version they may serve."""

    subject: UUID
    key_id: bytes
    since_version: int
    keys: dict[str, bytes]


# -- giving --------------------------------------------------------------------------------------------------------


def issue_grant(
    home: Home,
    code: str,
    name: str,
    grantee: str,
    purpose: str,
    groups: Sequence[str],
    expires_at: datetime,
    said: dict[str, Any],
) -> Event:
    """Record a grant of one publisher; of a name that is in use, its new terms. Raises GrantRefused."""
    with home.lock(f"publisher-{home.member(code)}", "a grant"), home.store(code) as store:
        now = datetime.now(UTC)
        version = store.last_version(entity_id(code, KIND, name))
        record = issue(code, name, grantee, purpose, groups, expires_at, version, said, now, now.astimezone(CHINA).date())
        store.record(KIND, [record])
        return record


def revoke_grant(home: Home, code: str, name: str, said: dict[str, Any]) -> Event:
    """Record that a grant no longer holds. Raises GrantRefused where it does not anyway."""
    with home.lock(f"publisher-{home.member(code)}", "a grant"), home.store(code) as store:
        now = datetime.now(UTC)
        record = revoke(_newest(store, name), name, said, now, now.astimezone(CHINA).date())
        store.record(KIND, [record])
        return record


def _newest(store: Publisher, name: str) -> Event | None:
    found = store.recorder.select_events(entity_id(store.code, KIND, name), desc=True, limit=1)
    return decode_own(found[0].state)[1] if found else None


# -- the hub's key pair --------------------------------------------------------------------------------------------


def hub_key_file(home: Home) -> Path:
    """Where a hub keeps the private key to which publishers wrap."""
    return home.folder / "keys" / "hub.key"


def create_hub_key(home: Home, public: Path) -> str:
    """Make the hub's key pair; the public key goes to the file `public`, to be sent to publishers. Its fingerprint."""
    if public.exists():
        raise Refused(f"{public} exists already; name another file.")
    secret = create_secret(hub_key_file(home), HUB_HEADER, "hub key")
    key = X25519PrivateKey.from_private_bytes(secret).public_key()
    public.write_text(f"{PUBLIC_HEADER}\n{key.public_bytes_raw().hex()}\n", "ascii")
    return fingerprint(key)


def hub_secret(home: Home) -> bytes:
    """The hub's private key. Raises KeyUnreadable or KeyExposed."""
    way_out = "make one with `yrd personal-keys create --hub FILE` and have the publishers export anew"
    return load_secret(hub_key_file(home), HUB_HEADER, "hub key", way_out)


def fingerprint(key: X25519PublicKey) -> str:
    """First 16 hexadecimal digits of the public key: enough to compare by telephone."""
    return key.public_bytes_raw().hex()[:16]


def read_public(path: Path) -> X25519PublicKey:
    """A hub's public key. Raises KeyUnreadable."""
    head, _, digits = path.read_text("utf-8", errors="replace").strip().partition("\n")
    try:
        return X25519PublicKey.from_public_bytes(bytes.fromhex(digits if head == PUBLIC_HEADER else ""))
    except ValueError:
        raise KeyUnreadable(
            f"{path} is no public key of a hub: ask the hub for the file that `yrd personal-keys create --hub` wrote."
        ) from None


# -- keys on their way ---------------------------------------------------------------------------------------------


def export_keys(home: Home, code: str, name: str, recipient: Path, file: Path) -> int:
    """Write the keys that a grant opens, wrapped to a hub's public key; how many subjects. Raises GrantRefused.

    Subjects that were erased have none, and those whose processing is restricted are left out.
    """
    if file.exists():
        raise Refused(f"{file} exists already; name another file.")
    public = read_public(recipient)
    with home.store(home.member(code)) as store, persons(home, store) as subjects:
        grant = _newest(store, name)
        if grant is None or not grant["in_force"] or grant["expires_at"] <= datetime.now(UTC):
            raise GrantRefused(f"Grant {name} of publisher {code} is not in force; issue it with `yrd grant issue` first.")
        groups = list(grant["field_groups"])
        free = [
            (subject, key, since) for subject, key, since in subjects.keys.all() if not subjects.standings.of(subject).restricted
        ]
        payload = b"".join(
            ENTRY_HEAD.pack(subject.bytes, key.id, since) + b"".join(group_keys(key.secret, groups).values())
            for subject, key, since in free
        )
    head = {
        "format": BUNDLE_FORMAT, "suite": SUITE_NAME, "publisher": code, "grant": name, "groups": groups,
        "recipient": fingerprint(public), "subjects": len(free),
    }  # fmt: skip
    header = json.dumps(head).encode()
    file.write_bytes(header + b"\n" + SUITE.encrypt(payload, public, info=header))
    return len(free)


def read_bundle(home: Home, file: Path) -> tuple[dict[str, Any], Iterator[GrantedKey]]:
    """What a file of granted keys says of itself, and its keys, opened with the hub's private key. Raises KeyUnreadable."""
    content = file.read_bytes()
    header = content[:LONGEST_HEADER_BYTES].partition(b"\n")[0]
    said = _header(file, header)
    secret = hub_secret(home)
    try:
        # The header is authenticated with the keys: what opens was written by `export_keys`.
        payload = SUITE.decrypt(content[len(header) + 1 :], X25519PrivateKey.from_private_bytes(secret), info=header)
    except (InvalidTag, ValueError):
        raise KeyUnreadable(
            f"{file} does not open with this hub's key: it was wrapped to {said.get('recipient')}, "
            "or altered on its way; export it again."
        ) from None
    return said, _entries(payload, said["groups"])


def _header(file: Path, header: bytes) -> dict[str, Any]:
    try:
        said = json.loads(header)
    except ValueError:
        said = {}
    if not isinstance(said, dict) or said.get("format") != BUNDLE_FORMAT or said.get("suite") != SUITE_NAME:
        raise KeyUnreadable(f"{file} holds no granted keys of the form {BUNDLE_FORMAT!r}: have the publisher export them again.")
    return said


def _entries(payload: bytes, groups: Sequence[str]) -> Iterator[GrantedKey]:
    step = ENTRY_HEAD.size + KEY_BYTES * len(groups)
    for place in range(0, len(payload), step):
        subject, key_id, since = ENTRY_HEAD.unpack_from(payload, place)
        start = place + ENTRY_HEAD.size
        keys = {group: payload[start + n * KEY_BYTES : start + (n + 1) * KEY_BYTES] for n, group in enumerate(groups)}
        yield GrantedKey(UUID(bytes=subject), key_id, since, keys)
