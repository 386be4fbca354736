"""The key store: keys are durable before events, destroyed for good, and open under their own master key alone."""

import sqlite3
from hashlib import blake2b
from pathlib import Path
from uuid import UUID, uuid4

import pytest

from repository.keys.secret_files import KeyExists, KeyExposed, KeyRefused, KeyUnreadable
from repository.persons.subject_keys import MasterKey, SubjectKeys, create_master, load_master

ONE, TWO = uuid4(), uuid4()


def test_a_subject_keeps_its_key(keys: SubjectKeys) -> None:
    made = {ONE: keys.ensure(ONE, 1), TWO: keys.ensure(TWO, 1)}
    assert keys.ensure(ONE, 5) == made[ONE] and keys.live([ONE, uuid4()]) == {ONE: made[ONE]}
    assert keys.for_new([ONE.bytes, TWO.bytes], 7) == {subject.bytes: key for subject, key in made.items()}
    assert (
        made[ONE].secret != made[TWO].secret
        and keys.by_id(TWO, made[TWO].id) == made[TWO]
        and keys.by_id(ONE, made[TWO].id) is None
    )
    assert {subject: (key, since) for subject, key, since in keys.all()} == {ONE: (made[ONE], 1), TWO: (made[TWO], 1)}


def test_a_destroyed_key_is_gone_with_its_digests_and_a_later_one_stays(keys: SubjectKeys) -> None:
    first = keys.ensure(ONE, 1)
    kept = TWO.bytes + uuid4().bytes + b"e" * 16
    keys.note_digests([ONE.bytes + uuid4().bytes + b"d" * 16, kept])
    assert keys.destroy(ONE, 3) == 1
    assert keys.by_id(ONE, first.id) is None and keys.live([ONE]) == {} and keys.digests() == kept
    second = keys.ensure(ONE, 4)
    assert second.id != first.id and keys.destroy(ONE, 3) == 0 and keys.live([ONE]) == {ONE: second}


def test_digests_are_keyed_and_of_one_subject(keys: SubjectKeys) -> None:
    one, again, two = keys.digests_of([b"t1\0x", b"t1\0x", b"t2\0x"])
    assert one == again != two and len(one) == 16 and one != blake2b(b"t1\0x", digest_size=16).digest()


def test_positions_are_kept(keys: SubjectKeys) -> None:
    assert keys.noted_position() == 0
    keys.note_position(17)
    assert keys.noted_position() == 17


def test_a_destroyed_key_is_not_in_the_file(tmp_path: Path) -> None:
    keys = SubjectKeys.in_file(tmp_path / "31.sqlite", create_master(tmp_path / "master.key"))
    keys.for_new([each.bytes for each in (ONE, TWO, *(uuid4() for _ in range(50)))], 1)
    with sqlite3.connect(tmp_path / "31.sqlite") as raw:
        wrapped = {UUID(bytes=s): bytes(w) for s, w in raw.execute("SELECT subject, wrapped FROM subject_keys")}
    raw.close()
    keys.destroy(ONE, 1)
    keys.close()
    content = b"".join(path.read_bytes() for path in tmp_path.glob("31.sqlite*"))
    assert wrapped[TWO] in content and wrapped[ONE] not in content


def test_the_files_are_their_owners_alone(tmp_path: Path) -> None:
    create_master(tmp_path / "master.key")
    SubjectKeys.in_file(tmp_path / "31.sqlite", load_master(tmp_path / "master.key")).close()
    assert {path.stat().st_mode & 0o777 for path in tmp_path.iterdir()} == {0o600}


@pytest.mark.parametrize(
    ("spoil", "error", "words"),
    [
        (lambda f: f.unlink(), KeyUnreadable, "is missing: restore it"),
        (lambda f: f.chmod(0o640), KeyExposed, "run chmod 600"),
        (lambda f: f.write_text("no key"), KeyUnreadable, "is no master key"),
    ],
)
def test_a_master_key_that_cannot_be_used_is_a_sentence(
    tmp_path: Path, spoil: object, error: type[KeyRefused], words: str
) -> None:
    path = tmp_path / "master.key"
    create_master(path)
    spoil(path)  # type: ignore[operator]
    with pytest.raises(error, match=words):
        load_master(path)


def test_another_master_key_opens_nothing(keys: SubjectKeys, tmp_path: Path) -> None:
    keys.ensure(ONE, 1)
    with pytest.raises(KeyUnreadable, match="not the one of the key store"):
        SubjectKeys(keys._connection, MasterKey(b"x" * 32), "here")


def test_a_master_key_is_not_overwritten_and_not_printed(tmp_path: Path) -> None:
    made = create_master(tmp_path / "master.key")
    with pytest.raises(KeyExists):
        create_master(tmp_path / "master.key")
    assert made.secret.hex() not in repr(made) and load_master(tmp_path / "master.key") == made


def test_an_exposed_key_store_is_refused(tmp_path: Path) -> None:
    master = create_master(tmp_path / "master.key")
    SubjectKeys.in_file(tmp_path / "31.sqlite", master).close()
    (tmp_path / "31.sqlite").chmod(0o644)
    with pytest.raises(KeyExposed):
        SubjectKeys.in_file(tmp_path / "31.sqlite", master)
