"""The second process for ciphers: the same blobs as here, in order, and never a half-made import."""

import os
from collections.abc import Iterator
from typing import Any

import pytest

from connectors.persons import cipher_process
from connectors.persons.cipher_process import CipherProcess, CiphersEnded, worth_it
from repository.persons.personal import AES, SM4, encode_groups, encrypt_rows, packed


@pytest.fixture
def ciphers() -> Iterator[CipherProcess]:
    process = CipherProcess()
    yield process
    process.close()


def batch(rows: int, algorithm: str = AES) -> tuple[Any, ...]:
    columns: dict[str, list[Any]] = {
        "name": [f"试{n}" for n in range(rows)],
        "phone": [None if n % 3 else "139" for n in range(rows)],
    }
    random = [[os.urandom(size) for _ in range(rows)] for size in (8, 32, 16, 12)]
    return packed(encode_groups(columns, rows), rows), *random, algorithm


@pytest.mark.parametrize("algorithm", [AES, SM4])
def test_it_gives_the_blobs_that_would_be_made_here(ciphers: CipherProcess, algorithm: str) -> None:
    given = batch(50, algorithm)
    assert ciphers.start(*given)() == encrypt_rows(*given)


def test_batches_larger_than_any_buffer_are_begun_before_the_last_is_taken(ciphers: CipherProcess) -> None:
    given = [batch(5_000) for _ in range(3)]
    waiting = [ciphers.start(*each) for each in given]
    assert [each() for each in reversed(waiting)] == [encrypt_rows(*each) for each in reversed(given)]


def test_its_end_is_a_sentence(ciphers: CipherProcess) -> None:
    waiting = ciphers.start(*batch(10))
    waiting()
    ciphers._process.kill()
    ciphers._process.wait()
    with pytest.raises(CiphersEnded, match="nothing was recorded, so import the dump again"):
        ciphers.start(*batch(10))()


def test_it_ends_with_the_other_side_and_in_the_middle_of_a_batch() -> None:
    idle, busy = CipherProcess(), CipherProcess()
    busy.start(*batch(20_000))
    busy.close()
    idle._connection.close()
    assert idle._process.wait() == 0 and busy._process.returncode is not None


def test_few_rows_and_a_single_processor_are_not_worth_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0, 1}, raising=False)
    assert worth_it(cipher_process.WORTH) and not worth_it(cipher_process.WORTH - 1)
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {1}, raising=False)
    assert not worth_it(1_000_000)
