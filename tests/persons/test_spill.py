"""Rows set aside while a dump is compared: they come back as they were, and are nowhere in clear."""

import random
import tempfile
from contextlib import closing
from pathlib import Path

import pytest
from cryptography.exceptions import InvalidTag
from hypothesis import given
from hypothesis import strategies as st

from connectors.persons.spill import SEALED_TOGETHER, SetAside


@given(st.lists(st.integers(0, 2 * SEALED_TOGETHER + 1), max_size=3), st.integers())
def test_rows_come_back_in_any_order(sizes: list[int], seed: int) -> None:
    chance = random.Random(seed)
    batches = [[chance.randbytes(chance.randrange(30)) for _ in range(size)] for size in sizes]
    with closing(SetAside(Path(tempfile.gettempdir()))) as aside:
        put = [each for batch in batches for each in zip(aside.put(batch), batch, strict=True)]
        chance.shuffle(put)
        assert [aside.get(place) for place, _ in put] == [row for _, row in put]


def test_what_is_set_aside_has_no_name_and_no_clear_text(tmp_path: Path) -> None:
    aside = SetAside(tmp_path)
    aside.put([b"planted" * 100] * 300)
    aside._file.seek(0)
    assert list(tmp_path.iterdir()) == [] and b"planted" not in aside._file.read()
    aside.close()


def test_rows_open_at_their_own_place_alone(tmp_path: Path) -> None:
    aside = SetAside(tmp_path)
    first = aside.put([b"one"] * SEALED_TOGETHER)
    second = aside.put([b"two"] * SEALED_TOGETHER)
    size = aside._end // 2
    aside._file.seek(0)
    content = aside._file.read()
    aside._file.seek(0)
    aside._file.write(content[size:] + content[:size])
    for place in (first[0], second[0]):
        with pytest.raises(InvalidTag):
            aside.get(place)
    aside.close()
