"""The inside of `personal`: what is encrypted opens in its own event, with its own key, group by group, and nowhere else."""

import os
import random
from datetime import date
from typing import Any
from uuid import UUID, uuid4

import pytest
from cryptography.hazmat.primitives.hashes import SHAKE256, Hash
from hypothesis import given
from hypothesis import strategies as st

from repository.persons.personal import (
    AES,
    DERIVATION,
    GROUP_NUMBERS,
    SM4,
    PersonalRefused,
    Plain,
    SubjectKey,
    decrypt,
    encode_groups,
    encrypt,
    encrypt_rows,
    group_keys,
    groups,
    head,
    packed,
    refuse_in_clear,
    unpacked,
)
from schemas.contracts import PERSONAL, fields
from tests.support.suites import few_and_many

EVENT = UUID("529e7bc7-34b0-5b44-8ae0-6aa2374c602d")
FULL = {"name": "蔷薇试", "sex": "2", "birth_date": date(1990, 3, 7), "phone": "13900000001", "card_number": "C7"}


def fresh_key() -> SubjectKey:
    return SubjectKey(os.urandom(8), os.urandom(32))


def blob_of(values: dict[str, Any], key: SubjectKey, event: UUID = EVENT, algorithm: str = AES) -> bytes:
    blob = encrypt(values, key, event, os.urandom(12), algorithm)
    assert blob is not None
    return blob


personal = st.fixed_dictionaries(
    {},
    optional={
        name: st.dates() if type_.word == "date" else st.text(st.characters(codec="utf-8"), max_size=40)
        for name, type_ in fields(PERSONAL).items()
    },
)


@given(personal, st.sampled_from([AES, SM4]))
def test_what_is_encrypted_opens_to_the_same_fields(values: dict[str, Any], algorithm: str) -> None:
    key = fresh_key()
    blob = encrypt(values, key, EVENT, os.urandom(12), algorithm)
    assert (blob is None) == (not values)
    if blob is not None:
        assert decrypt(blob, group_keys(key.secret), EVENT) == values
        assert head(blob)[:2] == (algorithm, key.id)


def test_every_personal_field_is_in_one_group_and_groups_have_their_numbers_for_good() -> None:
    listed = [name for members in groups().values() for name in members]
    assert sorted(listed) == sorted(fields(PERSONAL))
    assert GROUP_NUMBERS == {"identity": 1, "demography": 2, "contact": 3, "card": 4}


def test_a_group_opens_without_the_others() -> None:
    key = fresh_key()
    assert decrypt(blob_of(FULL, key), group_keys(key.secret, ["contact"]), EVENT) == {"phone": "13900000001"}
    assert decrypt(blob_of(FULL, key), {}, EVENT) == {}


def test_group_keys_are_those_of_the_standard_derivation() -> None:
    secret = os.urandom(32)
    derivation = Hash(SHAKE256(4 * 32))
    derivation.update(DERIVATION + secret)
    keys = group_keys(secret)
    assert b"".join(keys[group] for group in ("identity", "demography", "contact", "card")) == derivation.finalize()
    assert len(set(keys.values())) == len(GROUP_NUMBERS) and group_keys(secret, ["card"]) == {"card": keys["card"]}


@pytest.mark.parametrize("algorithm", [AES, SM4])
def test_a_blob_opens_neither_in_another_event_nor_with_another_key(algorithm: str) -> None:
    key = fresh_key()
    blob = blob_of(FULL, key, algorithm=algorithm)
    for keys, event in ((group_keys(key.secret), uuid4()), (group_keys(os.urandom(32)), EVENT)):
        with pytest.raises(PersonalRefused, match="does not open"):
            decrypt(blob, keys, event)
    assert decrypt(blob, group_keys(key.secret), EVENT) == FULL


@given(st.data())
def test_no_altered_byte_and_no_cut_goes_unnoticed(data: st.DataObject) -> None:
    key = SubjectKey(b"k" * 8, b"s" * 32)
    blob = bytearray(encrypt(FULL, key, EVENT, b"n" * 12) or b"")
    place = data.draw(st.integers(0, len(blob) - 1))
    if data.draw(st.booleans()):
        blob[place] ^= data.draw(st.integers(1, 255))
        with pytest.raises(PersonalRefused):
            decrypt(bytes(blob), group_keys(key.secret), EVENT)
    else:
        with pytest.raises(PersonalRefused):
            decrypt(bytes(blob[:place]), group_keys(key.secret), EVENT)


@few_and_many("bits", 500, 10_000)
@pytest.mark.parametrize("algorithm", [AES, SM4])
def test_flipped_bits_are_each_noticed(algorithm: str, bits: int) -> None:
    key = fresh_key()
    blob = blob_of(FULL | {"address": "蔷薇路八十八号" * 3}, key, algorithm=algorithm)
    keys, chance = group_keys(key.secret), random.Random(7)
    everywhere = list(range(8 * len(blob)))
    for bit in (
        chance.sample(everywhere, bits)
        if bits < len(everywhere)
        else everywhere + chance.choices(everywhere, k=bits - len(everywhere))
    ):
        altered = bytearray(blob)
        altered[bit // 8] ^= 1 << bit % 8
        with pytest.raises(PersonalRefused):
            decrypt(bytes(altered), keys, EVENT)


def test_groups_do_not_change_their_places() -> None:
    key = fresh_key()
    blob = blob_of({"name": "甲", "card_number": "1"}, key)
    (start, size) = (23, (len(blob) - 23) // 2)
    swapped = blob[:start] + blob[start + size :] + blob[start : start + size]
    assert decrypt(swapped, group_keys(key.secret), EVENT) == {"name": "甲", "card_number": "1"}, "each names its group"
    renamed = blob[:start] + blob[start + size : start + size + 1] + blob[start + 1 : start + size] + blob[start + size :]
    with pytest.raises(PersonalRefused):
        decrypt(renamed, group_keys(key.secret), EVENT)


def test_lengths_of_names_do_not_show() -> None:
    key = fresh_key()
    assert len(blob_of({"name": "李"}, key)) == len(blob_of({"name": "欧阳蔷薇"}, key))


def test_many_rows_at_once_are_encrypted_as_one() -> None:
    key, nonce = fresh_key(), os.urandom(12)
    columns: dict[str, list[Any]] = {
        "name": ["甲", None, None],
        "birth_date": [date(2000, 1, 1), None, None],
        "phone": [None, "1", None],
    }
    rows = packed(encode_groups(columns, 3), 3)
    one = encrypt({"name": "甲", "birth_date": date(2000, 1, 1)}, key, EVENT, nonce)
    other, none = encrypt_rows(rows[1:], [key.id] * 2, [key.secret] * 2, [EVENT.bytes] * 2, [nonce] * 2)
    assert encrypt_rows(rows[:1], [key.id], [key.secret], [EVENT.bytes], [nonce]) == [one] and none is None and other is not None
    assert decrypt(other, group_keys(key.secret), EVENT) == {"phone": "1"}
    assert [[bool(record) for record in unpacked(row)] for row in rows] == [
        [True, True, False, False], [False, False, True, False], [False] * 4
    ]  # fmt: skip
    assert packed({}, 2) == [rows[2]] * 2 and encrypt_rows([], [], [], [], []) == []


def test_plain_fields_are_not_shown_when_printed() -> None:
    assert "蔷薇" not in f"{Plain(FULL)} {Plain(FULL)!r} {[Plain(FULL)]}" and "0001" not in repr(fresh_key())


def test_fields_are_stated_over_what_is_known() -> None:
    known = Plain({"name": "甲", "phone": "1"})
    assert known.with_stated({"phone": None, "sex": "1"}) == {"name": "甲", "sex": "1"}
    assert known.with_stated({"phone": None, "name": None}) is None
    assert Plain({"phone": None, "name": "甲"}).agrees_with({"name": "甲"}) and not Plain({"phone": None}).agrees_with(known)


@pytest.mark.parametrize("name", ["reason", "doc_no", "operator"])
def test_a_name_in_a_free_text_is_refused_without_being_repeated(name: str) -> None:
    with pytest.raises(PersonalRefused, match=name) as refused:
        refuse_in_clear({name: "as 蔷薇试 asked"}, FULL)
    assert "蔷薇" not in str(refused.value)
    refuse_in_clear({name: "as was asked"}, FULL)
