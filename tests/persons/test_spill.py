"""Rows spilled while a dump is compared: they come back as they were, and are nowhere in clear."""

import random
import tempfile
from contextlib import closing
from pathlib import Path

import pytest
from cryptography.exceptions import InvalidTag
from hypothesis import given
from hypothesis import strategies as st

from connectors.persons.spill import ENCRYPTED_TOGETHER, SpilledRows


@given(st.lists(st.integers(0, 2 * ENCRYPTED_TOGETHER + 1), max_size=3), st.integers())
def test_rows_come_back_in_any_order(sizes: list[int], seed: int) -> None:
    chance = random.Random(seed)
    batches = [[chance.randbytes(chance.randrange(30)) for _ in range(size)] for size in sizes]
    with closing(SpilledRows(Path(tempfile.gettempdir()))) as spilled:
        put = [each for batch in batches for each in zip(spilled.put(batch), batch, strict=True)]
        chance.shuffle(put)
        assert [spilled.get(place) for place, _ in put] == [row for _, row in put]


def test_what_is_spilled_has_no_name_and_no_clear_text(tmp_path: Path) -> None:
    spilled = SpilledRows(tmp_path)
    spilled.put([b"planted" * 100] * 300)
    spilled._file.seek(0)
    assert list(tmp_path.iterdir()) == [] and b"planted" not in spilled._file.read()
    spilled.close()


def test_rows_open_at_their_own_place_alone(tmp_path: Path) -> None:
    spilled = SpilledRows(tmp_path)
    first = spilled.put([b"one"] * ENCRYPTED_TOGETHER)
    second = spilled.put([b"two"] * ENCRYPTED_TOGETHER)
    size = spilled._end // 2
    spilled._file.seek(0)
    content = spilled._file.read()
    spilled._file.seek(0)
    spilled._file.write(content[size:] + content[:size])
    for place in (first[0], second[0]):
        with pytest.raises(InvalidTag):
            spilled.get(place)
    spilled.close()
