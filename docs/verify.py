"""Check a proof of inclusion by hand: python verify.py PROOF KEYS. Needs Python's standard library and `cryptography`.

PROOF is what `yrd audit prove` wrote. KEYS is your own copy of the public keys, one verifier key a line; the proof holds none.
This program shares no code with the system that it checks. It shows that a proof can be read by anybody from the standards:
RFC 9162 (Merkle trees), c2sp.org/signed-note and c2sp.org/tlog-cosignature (signatures), Avro 1.12 (the event's header).
Of the event it reads who it is and nothing else; who reads its fields by the schema in the proof has to compare that schema's
fingerprint (CRC-64-AVRO of its parsing canonical form) with bytes 3 to 10 of the event, as `yrd audit verify` does.

Exit status: 0 proved, 1 not proved. What is proved is said in words; so is why not.
"""

import base64
import hashlib
import json
import sys
from datetime import UTC, datetime
from pathlib import Path

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

FIELDS = {"event", "event_id", "format", "key_ids", "leaf_index", "path", "schema", "seal", "sha256"}
LOG_KEY, WITNESS_KEY = 1, 4


class NotProved(Exception):
    """Why a proof proves nothing."""


def sm3(data):
    digest = hashes.Hash(hashes.SM3())
    digest.update(data)
    return digest.finalize()


HASHES = {"sha-256": lambda data: hashlib.sha256(data).digest(), "sm3": sm3}


def decoded(text):
    """Bytes of base64 in its canonical spelling."""
    try:
        data = base64.b64decode(text, validate=True)
    except (ValueError, TypeError):
        raise NotProved("something that should be base64 is not") from None
    if base64.b64encode(data).decode() != text:
        raise NotProved("base64 is spelled in another way than the canonical one")
    return data


def read_proof(path):
    """The fields of a proof, whose text must be the canonical one and agree with its checksum."""
    text = path.read_text("utf-8")
    proof = json.loads(text)
    if not isinstance(proof, dict) or set(proof) != FIELDS or proof["format"] != "yrd proof of inclusion 1":
        raise NotProved("the file is no proof of inclusion")
    if type(proof["leaf_index"]) is not int or not isinstance(proof["path"], list) or not isinstance(proof["seal"], str):
        raise NotProved("a field of the proof has another type than it must have")
    without = {name: value for name, value in proof.items() if name != "sha256"}
    digest = hashlib.sha256(canonical(without).encode()).hexdigest()
    if canonical(proof) != text or digest != proof["sha256"]:
        raise NotProved("the proof was altered or damaged: text and checksum don't belong together")
    return proof


def canonical(content):
    return json.dumps(content, ensure_ascii=False, indent=1, sort_keys=True) + "\n"


def read_keys(path):
    """name -> [(type, key id, public key)] of a file with verifier keys."""
    keys = {}
    for line in path.read_text("utf-8").splitlines():
        if line.strip() and not line.startswith("#"):
            name, key_id, coded = line.strip().split("+", 2)
            data = decoded(coded)
            computed = hashlib.sha256(name.encode() + b"\n" + data).digest()[:4]
            if computed.hex() != key_id:
                raise NotProved(f"the key of {name} is not the one that its id {key_id} says")
            keys.setdefault(name, []).append((data[0], computed, data[1:]))
    if not keys:
        raise NotProved("there is no public key to check with")
    return keys


def check_signatures(note, keys):
    """Check a signed note; its text, and {key type: (name, moment)} of what was checked."""
    text, blank, lines = note.rpartition("\n\n")
    if not blank or not lines.endswith("\n"):
        raise NotProved("the seal is no signed note")
    text, checked = text + "\n", {}
    for line in lines[:-1].split("\n"):
        dash, name, coded = line.split(" ")
        data = decoded(coded)
        for key_type, key_id, public in keys.get(name, []):
            if dash == "\u2014" and data[:4] == key_id:
                checked[key_type] = (name, check_signature(text, data[4:], key_type, public, name))
    return text, checked


def signers(note):
    """name+key id of each signature of a note, in its order."""
    parts = [line.split(" ") for line in note.rpartition("\n\n")[2][:-1].split("\n")]
    return [f"{name}+{decoded(coded)[:4].hex()}" for _, name, coded in parts]


def check_signature(text, signature, key_type, public, name):
    """Check one signature; the moment that a witness gives, in seconds since 1970, else None."""
    moment = None
    if key_type == WITNESS_KEY:
        moment, signature = int.from_bytes(signature[:8], "big"), signature[8:]
        text = f"cosignature/v1\ntime {moment}\n{text}"
    try:
        Ed25519PublicKey.from_public_bytes(public).verify(signature, text.encode())
    except (InvalidSignature, ValueError):
        raise NotProved(f"the signature of {name} is not of this seal") from None
    return moment


def root_of(leaf, index, size, path, node):
    """The root that a path leads to (RFC 9162, section 2.1.3.2)."""
    if not 0 <= index < size:
        raise NotProved(f"a tree of {size} leaves has no leaf {index}")
    fn, sn, found = index, size - 1, leaf
    for sibling in path:
        if sn == 0:
            raise NotProved("the path is too long")
        if fn & 1 or fn == sn:
            found = node(sibling, found)
            while fn and not fn & 1:
                fn, sn = fn >> 1, sn >> 1
        else:
            found = node(found, sibling)
        fn, sn = fn >> 1, sn >> 1
    if sn:
        raise NotProved("the path is too short")
    return found


def verify(proof_path, keys_path):
    """What is proved, in words. Raises NotProved."""
    proof, keys = read_proof(proof_path), read_keys(keys_path)
    text, checked = check_signatures(proof["seal"], keys)
    origin, size, root, *lines = text.splitlines()
    if proof["key_ids"] != signers(proof["seal"]):
        raise NotProved("the proof names other keys than its seal is signed with")
    if LOG_KEY not in checked or checked[LOG_KEY][0] != origin:
        raise NotProved(f"the seal is not signed with a key of {origin} that you gave")
    if any(key[0] == WITNESS_KEY for own in keys.values() for key in own) and WITNESS_KEY not in checked:
        raise NotProved("the seal is not countersigned with the witness key that you gave")
    stated = dict(line.split(" ", 1) for line in lines if not line.startswith(("leaves ", "marks ")))
    digest = HASHES[stated["hash"]]
    event = decoded(proof["event"])
    path = [decoded(each) for each in proof["path"]]
    found = root_of(digest(b"\0" + event), proof["leaf_index"], int(size), path, lambda a, b: digest(b"\1" + a + b))
    if found != decoded(root):
        raise NotProved(f"the event is not leaf {proof['leaf_index']} of the tree that was sealed")
    # An event says itself who it is: Avro's header of 10 bytes, then the first field, the event's id as a text of 36.
    if event[:2] != b"\xc3\x01" or event[10] != 72 or event[11:47].decode() != proof["event_id"]:
        raise NotProved(f"the bytes are not those of event {proof['event_id']}")
    words = f"Proved: event {proof['event_id']} is record {proof['leaf_index'] + 1} of the {size} of {origin}, sealed {stated['sealed_at']}."
    if WITNESS_KEY in checked:
        name, moment = checked[WITNESS_KEY]
        words += f" {name} countersigned the seal at {datetime.fromtimestamp(moment, UTC):%Y-%m-%d %H:%M:%S} UTC."
    return words


def main(arguments):
    if len(arguments) != 2:
        print(__doc__.splitlines()[0], file=sys.stderr)
        return 1
    try:
        print(verify(*map(Path, arguments)))
    except NotProved as reason:
        print(f"Not proved: {reason}.", file=sys.stderr)
        return 1
    except (OSError, ValueError, LookupError, TypeError, RecursionError, OverflowError) as error:
        print(f"Not proved: what was given can't be read ({type(error).__name__}).", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
