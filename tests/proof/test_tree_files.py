"""Stored nodes: the same tree as from the leaves, across appends, crashes and damage."""

from pathlib import Path
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from repository.proof.merkle import SHA_256, SM3, consistency_path, hashing, inclusion_path
from repository.proof.tree_files import TreeDamaged, TreeFiles, opened_tree
from tests.support.sealed_logs import range_of

SHA = hashing(SHA_256)


def leaves(number: int, start: int = 0) -> list[bytes]:
    return [SHA.leaf(n.to_bytes(8, "big")) for n in range(start, start + number)]


def grown(folder: Path, *portions: int) -> TreeFiles:
    """A tree after appending and committing portions of leaves; positions are every third number."""
    tree = TreeFiles(folder, SHA_256, write=True)
    for portion in portions:
        start = tree.size
        tree.append([3 * n + 1 for n in range(start, start + portion)], leaves(portion, start))
        tree.commit({"supply": tree.size})
    return tree


@settings(max_examples=40)
@given(portions=st.lists(st.integers(0, 700), min_size=1, max_size=5), seed=st.integers(0, 10**6))
def test_proofs_from_stored_nodes_are_those_from_the_leaves(
    tmp_path_factory: pytest.TempPathFactory, portions: list[int], seed: int
) -> None:
    tree = grown(tmp_path_factory.mktemp("tree"), *portions)
    size, chance = sum(portions), Random(seed)
    everything = leaves(size)
    subtree = range_of(everything, SHA)
    assert tree.root() == SHA.root(everything)
    for _ in range(10 if size else 0):
        second = chance.randrange(1, size + 1)
        first, index = chance.randrange(1, second + 1), chance.randrange(second)
        assert tree.root(second) == SHA.root(everything[:second])
        assert inclusion_path(index, second, tree.subtree) == inclusion_path(index, second, subtree)
        assert consistency_path(first, second, tree.subtree) == consistency_path(first, second, subtree)
    tree.close()


def test_a_big_tree_has_blocks_of_blocks(tmp_path: Path) -> None:
    tree = grown(tmp_path, 70_000, 1)
    everything = leaves(70_001)
    assert (tmp_path / "blocks.2").stat().st_size == 32
    assert tree.root() == SHA.root(everything)
    assert inclusion_path(65_535, 70_001, tree.subtree) == inclusion_path(65_535, 70_001, range_of(everything, SHA))
    tree.close()


def test_a_tree_may_keep_the_first_of_its_leaves_alone(tmp_path: Path) -> None:
    tree = grown(tmp_path, 300)
    tree.append([3 * n + 1 for n in range(300, 900)], leaves(600, 300))
    tree.commit({"supply": 520}, 520)
    tree.close()
    with opened_tree(tmp_path, SHA_256, True) as kept:
        assert (kept.size, kept.last_position, kept.root()) == (520, 1558, SHA.root(leaves(520)))
        kept.append([3 * n + 1 for n in range(520, 800)], leaves(280, 520))
        assert kept.root() == SHA.root(leaves(800))


def test_a_position_leads_to_its_rank(tmp_path: Path) -> None:
    tree = grown(tmp_path, 300, 300)
    assert [tree.index(3 * n + 1) for n in (0, 1, 299, 300, 599)] == [0, 1, 299, 300, 599]
    assert [tree.index(position) for position in (0, 2, 900, 1799, 1801)] == [None] * 5
    tree.close()


def test_what_was_not_committed_is_gone_after_a_crash(tmp_path: Path) -> None:
    tree = grown(tmp_path, 500)
    root = tree.root()
    tree.append(range(2000, 2600), leaves(600, 500))
    assert tree.size == 1100
    tree.close()
    with opened_tree(tmp_path, SHA_256, write=True) as again:
        assert (again.size, again.root(), again.last_position) == (500, root, 1498)
        again.append([3 * n + 1 for n in range(500, 600)], leaves(100, 500))
        again.commit({})
        assert again.root() == SHA.root(leaves(600))


def test_what_is_rolled_back_leaves_no_trace(tmp_path: Path) -> None:
    tree = grown(tmp_path, 255)
    tree.append(range(2000, 2600), leaves(600, 9000))
    tree.rollback()
    tree.append([3 * n + 1 for n in range(255, 300)], leaves(45, 255))
    tree.commit({})
    assert tree.root() == SHA.root(leaves(300))
    tree.close()


def test_a_reader_sees_what_was_committed(tmp_path: Path) -> None:
    tree = grown(tmp_path, 500)
    root = tree.root()
    tree.append(range(2000, 2300), leaves(300, 500))
    with opened_tree(tmp_path, SHA_256) as reader:
        assert (reader.size, reader.root()) == (500, root)
    tree.close()


def test_trees_of_two_algorithms_differ(tmp_path: Path) -> None:
    with opened_tree(tmp_path, SM3, write=True) as tree:
        tree.append([1, 2], leaves(2))
        tree.commit({})
        assert tree.root() == hashing(SM3).root(leaves(2)) != SHA.root(leaves(2))


@pytest.mark.parametrize("name", ["leaves", "blocks.1", "positions", "head"])
def test_damaged_nodes_are_refused_with_what_to_do(tmp_path: Path, name: str) -> None:
    grown(tmp_path, 600).close()
    path = tmp_path / name
    data = bytearray(path.read_bytes())
    data[-8 if name == "positions" else -20] ^= 1
    path.write_bytes(data)
    with pytest.raises(TreeDamaged, match="made anew from the log"):
        TreeFiles(tmp_path, SHA_256)


@pytest.mark.parametrize("name", ["leaves", "blocks.1", "positions"])
def test_missing_and_cut_nodes_are_refused(tmp_path: Path, name: str) -> None:
    grown(tmp_path, 600).close()
    path = tmp_path / name
    path.write_bytes(path.read_bytes()[:-32])
    with pytest.raises(TreeDamaged):
        TreeFiles(tmp_path, SHA_256)
    path.unlink()
    with pytest.raises(TreeDamaged, match="is gone; delete the folder"):
        TreeFiles(tmp_path, SHA_256)


def test_an_empty_tree_has_the_root_of_nothing(tmp_path: Path) -> None:
    with opened_tree(tmp_path / "none", SHA_256, write=True) as tree:
        assert (tree.size, tree.root(), tree.index(1)) == (0, SHA.root([]), None)
