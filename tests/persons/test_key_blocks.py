"""Blocks of keys: many subjects in one row of the key store, each found, used and destroyed alone."""

import os
import random
import sqlite3
from pathlib import Path
from uuid import UUID, uuid4

import pytest
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from repository.keys.secret_files import KeyUnreadable
from repository.persons.key_blocks import BLOCK, NAME_BYTES, decrypted, digest_blocks, entries_without, new_blocks, place_of
from repository.persons.subject_keys import SubjectKeys, create_master
from tests.support.suites import few_and_many

MANY = 2 * BLOCK + 7


def subjects(number: int = MANY) -> list[UUID]:
    return [uuid4() for _ in range(number)]


def in_bytes(some: list[UUID]) -> list[bytes]:
    return [each.bytes for each in some]


def rows(keys: SubjectKeys, table: str) -> int:
    return int(keys._run(f"SELECT count(*) FROM {table}")[0][0])


def test_every_subject_of_a_dump_has_a_key_of_its_own(keys: SubjectKeys) -> None:
    some = subjects()
    made = keys.for_new(in_bytes(some), 1)
    assert (rows(keys, "key_blocks"), rows(keys, "subject_keys")) == (3, 0)
    assert len({key.secret for key in made.values()}) == len({key.id for key in made.values()}) == MANY
    assert {subject.bytes: key for subject, key, since in keys.all() if since == 1} == made
    for subject in some[:20]:
        assert keys.by_id(subject, made[subject.bytes].id) == made[subject.bytes] == keys.ensure(subject, 9)
        assert keys.ensure(subject, 9, made[subject.bytes].id) == made[subject.bytes]
        assert keys.by_id(uuid4(), made[subject.bytes].id) is None
    assert keys.by_id(some[0], made[some[1].bytes].id) is None and rows(keys, "subject_keys") == 0


def test_few_subjects_make_no_block(keys: SubjectKeys) -> None:
    keys.for_new(in_bytes(subjects(BLOCK - 1)), 1)
    assert (rows(keys, "key_blocks"), rows(keys, "subject_keys")) == (0, BLOCK - 1)


def test_one_key_of_a_block_is_destroyed_and_no_other(keys: SubjectKeys) -> None:
    some = subjects()
    made = keys.for_new(in_bytes(some), 1)
    gone = some[len(some) // 2]
    assert keys.destroy(gone, 4) == 1 and keys.destroy(gone, 4) == 0
    assert keys.by_id(gone, made[gone.bytes].id) is None and keys.live(some).keys() == set(some) - {gone}
    assert {subject.bytes: key for subject, key, _ in keys.all()} == {s: k for s, k in made.items() if s != gone.bytes}
    later = keys.ensure(gone, 5, made[gone.bytes].id)
    assert later.secret != made[gone.bytes].secret and keys.destroy(gone, 4) == 0 and keys.live([gone]) == {gone: later}


def test_a_key_for_a_later_version_outlives_an_erasure(keys: SubjectKeys) -> None:
    some = subjects(BLOCK)
    keys.for_new(in_bytes(some), 6)
    assert keys.destroy(some[0], 5) == 0 and keys.destroy(some[0], 6) == 1


def test_a_second_key_of_a_broken_off_import_is_destroyed_with_the_first(keys: SubjectKeys) -> None:
    some = subjects(BLOCK)
    keys.for_new(in_bytes(some), 1)
    keys.for_new(in_bytes(some), 1)
    assert keys.destroy(some[3], 1) == 2 and some[3] not in keys.live(some)


def test_digests_of_many_events_are_kept_and_go_with_their_subject(keys: SubjectKeys) -> None:
    entries = [subject.bytes + uuid4().bytes + os.urandom(16) for subject in subjects()]
    keys.note_digests(entries)
    keys.note_digests(entries[:3])
    assert (rows(keys, "digest_blocks"), rows(keys, "personal_digests")) == (3, 3)
    kept = keys.digests()
    assert sorted(kept[place : place + 48] for place in range(0, len(kept), 48)) == sorted(entries + entries[:3])
    keys.destroy(UUID(bytes=entries[1][:16]), 1)
    assert place_of(keys.digests(), entries[1][:16], 48) is None and len(keys.digests()) == 48 * (MANY + 1)


def test_a_key_destroyed_in_a_block_is_not_in_the_file(tmp_path: Path) -> None:
    keys = SubjectKeys.in_file(tmp_path / "31.sqlite", create_master(tmp_path / "master.key"))
    some = sorted(subjects())
    keys.for_new(in_bytes(some), 1)
    digest = some[5].bytes + os.urandom(32)
    keys.note_digests([digest, *(each.bytes + os.urandom(32) for each in some)])
    before = {
        bytes(name): bytes(block) for name, block in keys._run("SELECT name, sealed FROM key_blocks ORDER BY first_subject")
    }
    touched, *others = before.values()
    keys.destroy(some[5], 1)
    keys.close()
    with sqlite3.connect(tmp_path / "31.sqlite") as raw:
        after = {bytes(name): bytes(block) for name, block in raw.execute("SELECT name, sealed FROM key_blocks")}
    raw.close()
    assert [name for name in before if before[name] != after[name]] == [next(iter(before))]
    content = b"".join(path.read_bytes() for path in tmp_path.glob("31.sqlite*"))
    # A row of this length lies in several pages: every piece of it has to be gone.
    pieces = [touched[start : start + 16] for start in range(0, len(touched) - 16, 16)]
    assert not [piece for piece in pieces if piece in content] and digest[16:] not in content
    assert all(block[start : start + 16] in content for block in others for start in (0, 64))


@few_and_many("bits", 500, 10_000)
def test_flipped_bits_of_a_block_are_each_noticed(bits: int) -> None:
    wrapping, chance = AESGCM(os.urandom(32)), random.Random(11)
    (block,) = new_blocks(in_bytes(subjects(40)), 1)
    stored = block.name + block.since_version.to_bytes(4, "big") + block.subjects + block.encrypted(wrapping)

    def read(data: bytes) -> object:
        since = int.from_bytes(data[NAME_BYTES : NAME_BYTES + 4], "big")
        start = NAME_BYTES + 4
        return decrypted(wrapping, data[:NAME_BYTES], since, data[start : start + 640], data[start + 640 :])

    assert read(stored) == block
    for bit in chance.choices(range(8 * len(stored)), k=bits):
        altered = bytearray(stored)
        altered[bit // 8] ^= 1 << bit % 8
        with pytest.raises(InvalidTag):
            read(bytes(altered))


def test_an_altered_block_is_a_sentence(keys: SubjectKeys) -> None:
    some = subjects(BLOCK)
    made = keys.for_new(in_bytes(some), 1)
    keys._run("UPDATE key_blocks SET since_version = 2")
    with pytest.raises(KeyUnreadable, match="the key store was altered; restore it"):
        keys.by_id(some[0], made[some[0].bytes].id)


def test_every_encryption_has_a_nonce_of_its_own() -> None:
    wrapping = AESGCM(os.urandom(32))
    (block,) = new_blocks(in_bytes(subjects(3)), 1)
    assert len({block.encrypted(wrapping)[:12] for _ in range(1_000)}) == 1_000
    assert block.without(UUID(int=0).bytes) == block


def test_a_subject_is_found_at_its_place_and_not_across_two_others() -> None:
    one, two = b"\1" * 8 + b"\2" * 8, b"\3" * 8 + b"\4" * 8
    assert place_of(one + two, b"\2" * 8 + b"\3" * 8, 16) is None
    assert (place_of(one + two, one, 16), place_of(one + two, two, 16)) == (0, 1)
    assert place_of(one + b"\2" * 8 + b"\3" * 8 + two, b"\2" * 8 + b"\3" * 8, 16) == 1


def test_blocks_of_digests_are_in_order_and_know_their_ends() -> None:
    entries = [os.urandom(48) for _ in range(MANY)]
    blocks = digest_blocks(entries)
    assert b"".join(block[2] for block in blocks) == b"".join(sorted(entries)) and len(blocks) == 3
    assert all((first, last) == (part[:16], part[-48:-32]) for first, last, part in blocks)
    assert entries_without(blocks[0][2], blocks[0][0], 48) == blocks[0][2][48:]
