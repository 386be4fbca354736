"""Signed notes: the format of the transparency-log ecosystem, to the byte, and nothing that is nearly it."""

from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from repository.proof.signed_note import (
    COSIGNATURE,
    ED25519,
    KeyMalformed,
    Note,
    NoteMalformed,
    NoteRefused,
    NotSigned,
    Signer,
    VerifierKey,
    signed,
    verifier_keys,
)
from tests.support.suites import few_and_many

KEY = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW"
NOTE = (
    "If you think cryptography is the answer to your problem,\nthen you don't know what your problem is.\n\n"
    "\u2014 PeterNeumann x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM=\n"
)
"""Key and note of the format's first implementation, made by other hands than ours."""
LOG = Signer("yrd/31", ED25519, bytes(range(32)))
WITNESS = Signer("yrd/hub", COSIGNATURE, bytes(range(32, 64)))
TEXT = "yrd/31\n3\nAAAA\n"


def test_a_note_of_other_hands_is_read_and_checked() -> None:
    note = Note.parse(NOTE)
    note.check(VerifierKey.parse(KEY))
    assert str(note) == NOTE and str(VerifierKey.parse(KEY)) == KEY


def test_a_note_is_signed_read_and_checked() -> None:
    note = Note.parse(str(signed(TEXT, [LOG])))
    assert note.text == TEXT and note.check(LOG.verifier) is None
    assert [s.label for s in note.signatures] == [LOG.verifier.label]


def test_several_may_sign_and_each_is_checked_by_itself() -> None:
    other = Signer("yrd/32", ED25519, bytes(32))
    note = signed(TEXT, [LOG, other])
    note.check(LOG.verifier)
    note.check(other.verifier)
    assert note.check_one_of([other.verifier, LOG.verifier]) == other.verifier


def test_a_countersignature_covers_its_moment() -> None:
    note = signed(TEXT, [LOG]).with_signature(WITNESS.sign(TEXT, 1_790_000_000))
    assert Note.parse(str(note)).check(WITNESS.verifier) == 1_790_000_000
    line = note.signatures[1]
    moved = line.data[:7] + bytes([line.data[7] ^ 1]) + line.data[8:]
    with pytest.raises(NotSigned, match="is not of this text"):
        Note(TEXT, (line.__class__(line.name, line.key_id, moved),)).check(WITNESS.verifier)


def test_a_witness_signs_with_a_moment_and_a_log_without() -> None:
    with pytest.raises(ValueError, match="with a moment"):
        WITNESS.sign(TEXT)
    with pytest.raises(ValueError, match="without a moment"):
        LOG.sign(TEXT, 1)


def test_another_key_under_the_same_name_has_not_signed() -> None:
    other = Signer("yrd/31", ED25519, bytes(32)).verifier
    with pytest.raises(NotSigned, match=r"not signed by yrd/31\+[0-9a-f]{8}; it is signed by yrd/31\+"):
        signed(TEXT, [LOG]).check(other)
    # Even with the other's key id in the line, the signature is not its own.
    line = signed(TEXT, [LOG]).signatures[0]
    with pytest.raises(NotSigned, match="one of the two was altered"):
        Note(TEXT, (line.__class__(line.name, other.key_id, line.data),)).check(other)


def test_a_secret_is_never_shown() -> None:
    assert LOG.secret.hex() not in repr(LOG) and repr(LOG.secret) not in repr(LOG)


@pytest.mark.parametrize(
    "text",
    [
        "", "\n", "\n\n", "text\n", "text\n\n", "text\n\nno signature\n", NOTE[:-1], NOTE.replace("\n\n", "\n"),
        NOTE.replace("\u2014", "-"), NOTE.replace("x08g", "x08\u00e4"), NOTE.replace("=\n", "\n"), NOTE + "\n", NOTE + "more\n",
        NOTE.replace("problem is", "problem\x00is"), NOTE.replace("AM=", "AN="), "a\n\n" + "\u2014 a AAAA\n" * 17, "\ud800" + NOTE,
        "x" * 200_000 + NOTE,
    ],
)  # fmt: skip
def test_what_is_nearly_a_note_is_none(text: str) -> None:
    with pytest.raises(NoteRefused):
        Note.parse(text).check(VerifierKey.parse(KEY))


@pytest.mark.parametrize(
    "text",
    [
        "", "+", KEY[:-4], KEY.replace("c74f20a3", "c74f20a4"), KEY.replace("c74f20a3", "C74F20A3"), "Peter Neumann" + KEY[12:],
        KEY.replace("+AR", "+Bh"), f"{KEY} ", KEY + "=", "PeterNeumann+c74f20a3+////",
    ],
)  # fmt: skip
def test_what_is_nearly_a_verifier_key_is_none(text: str) -> None:
    with pytest.raises(KeyMalformed):
        VerifierKey.parse(text)


def test_keys_stand_one_a_line_with_remarks_between() -> None:
    lines = f"# of the regional office\n\n{KEY}\n  {LOG.verifier}\n"
    assert verifier_keys(lines) == [VerifierKey.parse(KEY), LOG.verifier]


@few_and_many("bits", 500, 10_000)
def test_bits_flipped_in_a_note_are_refused(bits: int) -> None:
    chance, data = Random(3), str(signed(TEXT, [LOG])).encode()
    for _ in range(bits):
        at, bit = chance.randrange(len(data)), 1 << chance.randrange(8)
        with pytest.raises(NoteRefused):
            spoiled = data[:at] + bytes([data[at] ^ bit]) + data[at + 1 :]
            try:
                note = Note.parse(spoiled.decode())
            except UnicodeDecodeError:
                raise NoteMalformed("no text") from None
            note.check(LOG.verifier)


@given(text=st.text(max_size=200))
def test_no_text_makes_parsing_fail_in_another_way(text: str) -> None:
    for read in (Note.parse, VerifierKey.parse):
        try:
            read(text)
        except NoteRefused as refused:
            assert str(refused)
