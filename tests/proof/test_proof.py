"""Proofs that stand alone: what they prove, with whose keys, and that no altered one proves anything, here or elsewhere."""

import base64
import json
import subprocess
import sys
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from random import Random
from typing import Any

import pytest

from repository.events.encoding import decode
from repository.proof import proof as proofs
from repository.proof.merkle import SHA_256, SM3, ProofFailed, consistency_path, hashing, inclusion_path
from repository.proof.proof import ProvedEvent, ProvedGrowth, check_proof, consistency_proof, inclusion_proof
from repository.proof.signed_note import COSIGNATURE, Signer, signed
from tests.support.bases import NOON, Logs
from tests.support.project import ROOT
from tests.support.sealed_logs import key_of, own, range_of, seal_of, told
from tests.support.suites import few_and_many

HUB = Signer("yrd/hub", COSIGNATURE, bytes(range(32)))
KEYS = [key_of("31").verifier, HUB.verifier]
SEEN = int((NOON + timedelta(minutes=5)).timestamp())


def proof_of(index: int = 3, number: int = 9, algorithm: str = SHA_256) -> str:
    """The proof of one record of a sealed and countersigned log."""
    logs = Logs()
    told(logs, number)
    records = own(logs)
    seal, chosen = seal_of(records, algorithm=algorithm), hashing(algorithm)
    note = signed(seal.text, [key_of("31")])
    note = note.with_signature(HUB.sign(note.text, SEEN))
    subtree = range_of([chosen.leaf(r.value) for r in records], chosen)
    event = records[index].value
    return inclusion_proof(event, str(decode(event)[1]["event_id"]), index, inclusion_path(index, number, subtree), note)


def growth(first: int = 4, second: int = 9) -> str:
    """The proof that the first records of a log are the beginning of more of it."""
    logs = Logs()
    told(logs, second)
    records, chosen = own(logs), hashing(SHA_256)
    one = seal_of(records[:first])
    two = seal_of(records, one)
    notes = [signed(s.text, [key_of("31")]) for s in (one, two)]
    notes = [n.with_signature(HUB.sign(n.text, SEEN)) for n in notes]
    subtree = range_of([chosen.leaf(r.value) for r in records], chosen)
    return consistency_proof(notes[0], notes[1], consistency_path(first, second, subtree))


PROOF, GROWTH = proof_of(), growth()


def altered(text: str, change: Callable[[dict[str, Any]], object]) -> bytes:
    """A proof with a field changed, and its checksum made to fit: the work of a forger, not of chance."""
    content = json.loads(text)
    change(content)
    form = content.pop("format")
    content.pop("sha256")
    return proofs.proof_text(form, content).encode()


# -- what is proved ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("algorithm", [SHA_256, SM3])
def test_an_event_is_proved_with_both_signatures(algorithm: str) -> None:
    proved = check_proof(proof_of(algorithm=algorithm).encode(), KEYS)
    assert isinstance(proved, ProvedEvent) and proved.record is not None
    assert (proved.index, proved.kind, proved.record["publisher"]) == (3, "supply", "31")
    assert (proved.witnessed.seal.size, proved.witnessed.seal.algorithm) == (9, algorithm)
    assert proved.witnessed.signed_by == KEYS[0].label and proved.witnessed.unchecked == ()
    assert proved.witnessed.countersigned_at == NOON + timedelta(minutes=5)


def test_every_event_of_logs_of_many_sizes_is_proved() -> None:
    for number in (1, 2, 3, 5, 8):
        for index in range(number):
            assert isinstance(check_proof(proof_of(index, number).encode(), KEYS), ProvedEvent)


def test_growth_is_proved() -> None:
    proved = check_proof(GROWTH.encode(), KEYS)
    assert isinstance(proved, ProvedGrowth)
    assert (proved.first.seal.size, proved.second.seal.size) == (4, 9)


def test_without_the_hubs_key_its_signature_is_said_to_be_unchecked() -> None:
    proved = check_proof(PROOF.encode(), KEYS[:1])
    assert isinstance(proved, ProvedEvent)
    assert (proved.witnessed.countersigned_by, proved.witnessed.unchecked) == (None, (HUB.verifier.label,))


def test_a_proof_holds_key_ids_and_no_key() -> None:
    assert json.loads(PROOF)["key_ids"] == [key.label for key in KEYS]
    for key in KEYS:
        assert key.public.hex() not in PROOF and base64.b64encode(key.public).decode()[:40] not in PROOF
        assert str(key) not in PROOF


# -- what is not ---------------------------------------------------------------------------------------------------


def test_without_a_key_nothing_is_proved() -> None:
    with pytest.raises(ProofFailed, match="Without a public key nothing is proved"):
        check_proof(PROOF.encode(), [])


def test_with_keys_of_others_nothing_is_proved() -> None:
    with pytest.raises(ProofFailed, match=r"it is by yrd/31, and of that no public key is given; given are yrd/32\+"):
        check_proof(PROOF.encode(), [key_of("32").verifier])
    with pytest.raises(ProofFailed, match="not signed by"):
        check_proof(PROOF.encode(), [key_of("31", 1).verifier])


def test_where_the_hubs_key_is_given_its_signature_must_be_there() -> None:
    other = Signer("yrd/hub", COSIGNATURE, bytes(32)).verifier
    with pytest.raises(ProofFailed, match=r"not signed by yrd/hub\+"):
        check_proof(PROOF.encode(), [KEYS[0], other])


def other_letter(text: str, at: int) -> str:
    return text[:at] + ("A" if text[at] != "A" else "B") + text[at + 1 :]


FORGERIES: dict[str, Callable[[dict[str, Any]], object]] = {
    "another index": lambda p: p.update(leaf_index=4),
    "no index": lambda p: p.update(leaf_index=-1),
    "an index of another tree": lambda p: p.update(leaf_index=9),
    "another event id": lambda p: p.update(event_id=p["event_id"][::-1]),
    "another event": lambda p: p.update(event=json.loads(proof_of(4))["event"]),
    "a byte of the event": lambda p: p.update(event=other_letter(p["event"], 40)),
    "no event": lambda p: p.update(event=""),
    "a shorter path": lambda p: p["path"].pop(),
    "a longer path": lambda p: p["path"].append(p["path"][0]),
    "another path": lambda p: p["path"].reverse(),
    "a path of no hashes": lambda p: p.update(path=["AAAA"] * 4),
    "a path of numbers": lambda p: p.update(path=[1, 2, 3, 4]),
    "another schema": lambda p: p["schema"]["fields"].pop(),
    "no schema": lambda p: p.update(schema={}),
    "another size": lambda p: p.update(seal=p["seal"].replace("\n9\n", "\n8\n", 1)),
    "another root": lambda p: p.update(seal=other_letter(p["seal"], 12)),
    "another hash": lambda p: p.update(seal=p["seal"].replace("sha-256", "sm3")),
    "another moment of sealing": lambda p: p.update(seal=p["seal"].replace("2026-09-01T", "2026-08-01T")),
    "the log of another": lambda p: p.update(seal=p["seal"].replace("yrd/31", "yrd/32")),
    "no signature": lambda p: p.update(seal=p["seal"].partition("\n\n")[0]),
    "no countersignature": lambda p: p.update(
        seal="\n".join(p["seal"].splitlines()[:-1]) + "\n", key_ids=p["key_ids"][:1]
    ),
    "another key id": lambda p: p.update(key_ids=["yrd/31+00000000"]),
}  # fmt: skip


@pytest.mark.parametrize("name", FORGERIES)
def test_a_forged_field_is_refused_although_the_checksum_fits(name: str, tmp_path: Path) -> None:
    forged = altered(PROOF, FORGERIES[name])
    with pytest.raises(ProofFailed) as refused:
        check_proof(forged, KEYS)
    assert str(refused.value).endswith(".")
    if "schema" not in name:
        assert by_hand(tmp_path, forged).startswith("Not proved: ")


def flipped(chance: Random, data: bytes) -> bytes:
    at = chance.randrange(len(data))
    return data[:at] + bytes([data[at] ^ 1 << chance.randrange(8)]) + data[at + 1 :]


def shortened(chance: Random, data: bytes) -> bytes:
    return data[: chance.randrange(len(data))]


def doubled(chance: Random, data: bytes) -> bytes:
    lines = data.splitlines(keepends=True)
    at = chance.randrange(len(lines))
    return b"".join([*lines[:at], lines[at], *lines[at:]])


def moved(chance: Random, data: bytes) -> bytes:
    lines = data.splitlines(keepends=True)
    mixed = list(lines)
    while mixed == lines:
        a, b = chance.sample(range(len(lines)), 2)
        mixed[a], mixed[b] = mixed[b], mixed[a]
    return b"".join(mixed)


@few_and_many("times", 200, 10_000)
@pytest.mark.parametrize("text", [PROOF, GROWTH], ids=["inclusion", "consistency"])
@pytest.mark.parametrize("spoil", [flipped, shortened, doubled, moved])
def test_spoiled_proofs_are_refused_with_a_reason(spoil: Callable[[Random, bytes], bytes], text: str, times: int) -> None:
    chance, data = Random(31), text.encode()
    for _ in range(times):
        with pytest.raises(ProofFailed) as refused:
            check_proof(spoil(chance, data), KEYS)
        assert str(refused.value).endswith(".")


@few_and_many("letters", 300, 10_000)
def test_letters_changed_by_a_forger_are_refused(letters: int) -> None:
    # The checksum is made to fit each time, so that signatures and hashes alone decide.
    chance, fields = Random(7), ("event", "event_id", "seal")
    for _ in range(letters):
        name = chance.choice(fields)
        with pytest.raises(ProofFailed):
            check_proof(altered(PROOF, lambda p, n=name: p.update({n: bent(chance, p[n])})), KEYS)  # type: ignore[misc]


def bent(chance: Random, text: str) -> str:
    at = chance.randrange(len(text))
    letter = chance.choice([c for c in "ABab01+/ \n" if c != text[at]])
    return text[:at] + letter + text[at + 1 :]


@pytest.mark.parametrize(
    "data",
    [
        b"", b"{}", b"[]", b"null", b"\xff", b'"' * 9, b"[" * 100_000, b'{"format": 1}', b'{"format": "yrd proof of inclusion 1"}',
        b"1" * 5000, PROOF.encode("utf-16"), b"\xef\xbb\xbf" + PROOF.encode(), PROOF.encode() + b" ", b" " * (9 << 20),
    ],
)  # fmt: skip
def test_what_is_no_proof_is_said_to_be_none(data: bytes) -> None:
    with pytest.raises(ProofFailed):
        check_proof(data, KEYS)


@pytest.mark.parametrize(
    "change",
    [
        lambda p: p.update(first_seal=p["second_seal"]),
        lambda p: p.update(second_seal=p["first_seal"]),
        lambda p: p.update(first_seal=p["second_seal"], second_seal=p["first_seal"]),
        lambda p: p["path"].reverse(),
        lambda p: p["path"].clear(),
    ],
)
def test_forged_growth_is_refused(change: Callable[[dict[str, Any]], object]) -> None:
    with pytest.raises(ProofFailed):
        check_proof(altered(GROWTH, change), KEYS)


# -- by other hands ------------------------------------------------------------------------------------------------


def by_hand(folder: Path, data: bytes, keys: str | None = None) -> str:
    """What docs/verify.py says of a proof, run in a process that can import nothing of ours."""
    (folder / "proof.json").write_bytes(data)
    (folder / "keys").write_text(keys if keys is not None else "".join(f"{key}\n" for key in KEYS), "utf-8")
    command = [sys.executable, "-I", str(ROOT / "docs" / "verify.py"), "proof.json", "keys"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    assert "Traceback" not in done.stderr, done.stderr
    assert done.returncode == (0 if done.stdout else 1)
    return done.stdout + done.stderr


@pytest.mark.parametrize("algorithm", [SHA_256, SM3])
def test_a_verifier_of_other_hands_comes_to_the_same(algorithm: str, tmp_path: Path) -> None:
    text = proof_of(algorithm=algorithm)
    said = by_hand(tmp_path, text.encode())
    assert said.startswith(f"Proved: event {json.loads(text)['event_id']} is record 4 of the 9 of yrd/31")
    assert "yrd/hub countersigned the seal at 2026-09-01 04:05:00 UTC" in said


def test_a_verifier_of_other_hands_refuses_bits_and_keys(tmp_path: Path) -> None:
    chance = Random(5)
    for _ in range(15):
        assert by_hand(tmp_path, flipped(chance, PROOF.encode())).startswith("Not proved: ")
    assert "there is no public key" in by_hand(tmp_path, PROOF.encode(), "")
    assert "not signed with a key of yrd/31" in by_hand(tmp_path, PROOF.encode(), f"{key_of('32').verifier}\n")


def test_the_verifier_of_other_hands_is_short_and_knows_nothing_of_ours() -> None:
    text = (ROOT / "docs" / "verify.py").read_text("utf-8")
    assert len(text.splitlines()) < 200
    imports = {line.split()[1].split(".")[0] for line in text.splitlines() if line.startswith(("import ", "from "))}
    assert imports <= {"cryptography", *sys.stdlib_module_names}
