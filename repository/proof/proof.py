"""Proofs that stand alone: what a third party needs to see that an event is in a sealed log, or that a log only grew.

A proof is a JSON text in one canonical form. It holds the event's stored bytes, the schema they were written with, the
path through the Merkle tree, and the seal as a signed note; of keys it names the ids only. What is checked it is checked
against: the reader's own copy of the public keys. No database and no network is asked.

    ProofFailed  every refusal (from merkle); the message says at which step
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from hashlib import sha256
from typing import Any, Final

from fastavro.schema import SchemaParseException, UnknownType, fingerprint, to_parsing_canonical_form

from repository.events import encoding
from repository.events.encoding import NotAnEvent, writer_of
from repository.proof.merkle import ProofFailed, check_consistency, check_inclusion, hashing
from repository.proof.seal import NotASeal, Seal, origin, seal_of_text
from repository.proof.signed_note import COSIGNATURE, Note, NoteRefused, VerifierKey, base64_text, of_name, plain_base64
from schemas.contracts import KINDS, LOCAL_KINDS, UnknownSchema, by_fingerprint

INCLUSION: Final = "yrd proof of inclusion 1"
CONSISTENCY: Final = "yrd proof of consistency 1"
FIELDS: Final[Mapping[str, Mapping[str, type]]] = {
    INCLUSION: {"event": str, "event_id": str, "key_ids": list, "leaf_index": int, "path": list, "schema": dict, "seal": str},
    CONSISTENCY: {"first_seal": str, "key_ids": list, "path": list, "second_seal": str},
}
LIMIT_BYTES: Final = 8 << 20
PROVABLE: Final = (*KINDS, *LOCAL_KINDS)
"""Kinds of records that may be proved: those of publishers' logs, and those of the access log."""
CHECKSUM: Final = "sha256"


@dataclass(frozen=True, slots=True)
class Witnessed:
    """What of a seal was checked: by whose keys it is signed, and when the hub countersigned it, if that was checked."""

    seal: Seal
    signed_by: str
    countersigned_by: str | None
    countersigned_at: datetime | None
    unchecked: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class ProvedEvent:
    """An event that is proved to be in a sealed log. `record` is None where this release does not know its schema."""

    event_id: str
    index: int
    witnessed: Witnessed
    kind: str
    record: Mapping[str, Any] | None


@dataclass(frozen=True, slots=True)
class ProvedGrowth:
    """Two seals of which the first is proved to be the beginning of the second."""

    first: Witnessed
    second: Witnessed


# -- making --------------------------------------------------------------------------------------------------------


def plain_schema(schema: Any) -> Any:
    """A schema without its docs, which may be worded better later without a new version."""
    if isinstance(schema, list):
        return [plain_schema(each) for each in schema]
    if isinstance(schema, dict):
        return {key: plain_schema(value) for key, value in schema.items() if key != "doc"}
    return schema


def inclusion_proof(event: bytes, event_id: str, index: int, path: Sequence[bytes], seal: Note) -> str:
    """The proof that stored bytes are leaf `index` of the tree that `seal` signs."""
    return proof_text(
        INCLUSION,
        {
            "event": base64_text(event),
            "event_id": event_id,
            "key_ids": [signature.label for signature in seal.signatures],
            "leaf_index": index,
            "path": list(map(base64_text, path)),
            "schema": plain_schema(writer_of(event, PROVABLE).schema),
            "seal": str(seal),
        },
    )


def consistency_proof(first: Note, second: Note, path: Sequence[bytes]) -> str:
    """The proof that the log that `first` seals is the beginning of the one that `second` seals."""
    labels = sorted({signature.label for note in (first, second) for signature in note.signatures})
    content = {"first_seal": str(first), "key_ids": labels, "path": list(map(base64_text, path)), "second_seal": str(second)}
    return proof_text(CONSISTENCY, content)


def proof_text(form: str, content: Mapping[str, Any]) -> str:
    """A proof of a form as it is written: canonical JSON with its own checksum, which guards against chance and no forger."""
    whole = {**content, "format": form}
    return _canonical({**whole, CHECKSUM: sha256(_canonical(whole).encode()).hexdigest()})


def _canonical(content: Mapping[str, Any]) -> str:
    return json.dumps(content, ensure_ascii=False, indent=1, sort_keys=True) + "\n"


# -- reading -------------------------------------------------------------------------------------------------------


def _parse(data: bytes) -> dict[str, Any]:
    """The fields of a proof, in the types that its format has. Raises ProofFailed for any other text."""
    if len(data) > LIMIT_BYTES:
        raise ProofFailed(f"The proof has {len(data)} bytes and the limit is {LIMIT_BYTES}.")
    try:
        text = data.decode("utf-8")
        content = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ProofFailed("The file is not JSON in UTF-8; a proof is written by `yrd audit prove`.") from error
    form = content.get("format") if isinstance(content, dict) else None
    if not isinstance(form, str) or form not in FIELDS:
        raise ProofFailed(f'The file is no proof; a proof says so under "format": {", ".join(FIELDS)}.')
    expected = {**FIELDS[form], "format": str, CHECKSUM: str}
    if content.keys() != expected.keys() or any(type(content[name]) is not type_ for name, type_ in expected.items()):
        raise ProofFailed(f"The proof does not hold the fields of {form}: {', '.join(sorted(expected))}.")
    try:
        again = proof_text(form, {name: content[name] for name in FIELDS[form]})
    except (ValueError, RecursionError) as error:
        raise ProofFailed("The proof holds what no proof holds: a number that is none, or half a character.") from error
    if again != text:
        raise ProofFailed("The proof was altered or damaged: its text and its checksum don't belong together.")
    return {name: content[name] for name in expected}


def _hashes(listed: Sequence[object]) -> list[bytes]:
    try:
        path = [plain_base64(each) if isinstance(each, str) else b"" for each in listed]
    except ValueError as error:
        raise ProofFailed(f"The path holds what is no hash: {error}") from None
    if len(path) > 128 or any(len(each) != 32 for each in path):
        raise ProofFailed("The path holds what is no hash of 32 bytes, or more of them than any tree is high.")
    return path


def _witnessed(text: str, keys: Sequence[VerifierKey]) -> tuple[Witnessed, Note]:
    """A seal whose signatures were checked with the reader's keys. Raises ProofFailed."""
    try:
        note = Note.parse(text)
        seal = seal_of_text(note.text)
        publisher = note.check_one_of(_publisher_keys(seal, keys))
        hub = [key for key in keys if key.type_ == COSIGNATURE]
        moments = [(key, note.check(key)) for key in hub]
    except (NoteRefused, NotASeal) as error:
        raise ProofFailed(f"The seal proves nothing: {error}") from None
    checked = {publisher.label, *(key.label for key in hub)}
    unchecked = tuple(s.label for s in note.signatures if s.label not in checked)
    by, at = (moments[0][0].label, moments[0][1]) if moments else (None, None)
    return Witnessed(seal, publisher.label, by, _moment(at), unchecked), note


def _moment(seconds: int | None) -> datetime | None:
    try:
        return None if seconds is None else datetime.fromtimestamp(seconds, UTC)
    except (ValueError, OverflowError, OSError):
        raise ProofFailed(f"The countersignature names the moment {seconds}, which is none.") from None


def _publisher_keys(seal: Seal, keys: Sequence[VerifierKey]) -> list[VerifierKey]:
    own = [key for key in of_name(keys, origin(seal.publisher)) if key.type_ != COSIGNATURE]
    if not own:
        named = ", ".join(key.label for key in keys) or "none"
        raise NoteRefused(f"it is by {origin(seal.publisher)}, and of that no public key is given; given are {named}.")
    return own


# -- checking ------------------------------------------------------------------------------------------------------


def check_proof(data: bytes, keys: Sequence[VerifierKey]) -> ProvedEvent | ProvedGrowth:
    """What a proof proves, checked with the reader's own copies of the public keys. Raises ProofFailed."""
    if not keys:
        raise ProofFailed("Without a public key nothing is proved; name your own copy with --key FILE.")
    content = _parse(data)
    return _check_event(content, keys) if content["format"] == INCLUSION else _check_growth(content, keys)


def _check_event(content: Mapping[str, Any], keys: Sequence[VerifierKey]) -> ProvedEvent:
    witnessed, note = _witnessed(content["seal"], keys)
    _refuse_other_labels(content["key_ids"], [s.label for s in note.signatures])
    seal = witnessed.seal
    try:
        event = plain_base64(content["event"])
    except ValueError as error:
        raise ProofFailed(f"The event's bytes can't be read: {error}") from None
    algorithm = hashing(seal.algorithm)
    check_inclusion(
        algorithm.leaf(event), content["leaf_index"], seal.size, _hashes(content["path"]), seal.root, algorithm
    )  # fmt: skip
    kind, record = _decoded(event, content["schema"])
    if record is not None and (str(record["event_id"]), record["publisher"]) != (content["event_id"], seal.publisher):
        raise ProofFailed(
            f"The bytes are event {record['event_id']} of publisher {record['publisher']}, and the proof is for "
            f"{content['event_id']} in the log of {seal.publisher}."
        )
    return ProvedEvent(content["event_id"], content["leaf_index"], witnessed, kind, record)


def _decoded(event: bytes, schema: object) -> tuple[str, Mapping[str, Any] | None]:
    """Kind and record of the proved bytes. The reader's own schema reads them; that of the proof must be the same."""
    try:
        header = encoding.fingerprint(event)
        known = by_fingerprint(header)
    except NotAnEvent as error:
        raise ProofFailed(f"The bytes are in the log, and are no event: {error}") from None
    except UnknownSchema:
        return _undecoded(header, schema), None
    if plain_schema(known.schema) != schema:
        raise ProofFailed(f"The proof gives another schema than {known.kind} version {known.version}, which the bytes name.")
    try:
        return encoding.decode(event, PROVABLE)
    except NotAnEvent as error:
        raise ProofFailed(f"The bytes are in the log, and are no event: {error}") from None


def _undecoded(header: bytes, schema: object) -> str:
    """Name of a schema that this release does not have; its fingerprint must be the one that the bytes name."""
    try:
        given = bytes.fromhex(fingerprint(to_parsing_canonical_form(schema), "CRC-64-AVRO"))  # type: ignore[arg-type]
    except (SchemaParseException, UnknownType, ValueError, LookupError, TypeError, AttributeError, RecursionError) as error:
        raise ProofFailed("The proof gives no Avro schema for its bytes.") from error
    if given != header or not isinstance(schema, dict):
        raise ProofFailed(f"The bytes name the schema {header.hex()}, and the proof gives {given.hex()}.")
    return str(schema.get("name", "unknown"))


def _check_growth(content: Mapping[str, Any], keys: Sequence[VerifierKey]) -> ProvedGrowth:
    first, first_note = _witnessed(content["first_seal"], keys)
    second, second_note = _witnessed(content["second_seal"], keys)
    labels = sorted({s.label for note in (first_note, second_note) for s in note.signatures})
    _refuse_other_labels(content["key_ids"], labels)
    a, b = first.seal, second.seal
    if (a.publisher, a.algorithm) != (b.publisher, b.algorithm):
        raise ProofFailed(f"The seals are of {a.publisher} with {a.algorithm} and of {b.publisher} with {b.algorithm}.")
    check_consistency(a.size, b.size, a.root, b.root, _hashes(content["path"]), hashing(a.algorithm))
    return ProvedGrowth(first, second)


def _refuse_other_labels(stated: Sequence[object], found: Sequence[str]) -> None:
    if list(stated) != list(found):
        raise ProofFailed(
            f"The proof names the keys {', '.join(map(str, stated))}, and its seal is signed by {', '.join(found)}."
        )
