"""Merkle trees: RFC 9162 by its own vectors, its own definitions, and against every wrong proof that chance thinks of."""

from hashlib import sha256
from random import Random

import pytest

from repository.proof.merkle import (
    SHA_256,
    SM3,
    ProofFailed,
    check_consistency,
    check_inclusion,
    consistency_path,
    hashing,
    inclusion_path,
    split,
)
from tests.support.sealed_logs import range_of
from tests.support.suites import few_and_many

SHA = hashing(SHA_256)
DATA = ["", "00", "10", "2021", "3031", "40414243", "5051525354555657", "606162636465666768696a6b6c6d6e6f"]
ROOTS = [
    "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
    "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
    "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
    "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
    "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
]
"""Roots of the first 0 to 8 leaves of DATA: the vectors of the reference implementation of Certificate Transparency."""
LEAVES = [SHA.leaf(bytes.fromhex(each)) for each in DATA]


def test_the_reference_vectors_have_their_roots() -> None:
    assert [SHA.root(LEAVES[:size]).hex() for size in range(9)] == ROOTS


def test_the_tree_of_seven_leaves_has_the_paths_that_the_rfc_draws() -> None:
    # Section 2.1.5: a..f and j are the leaves, g h i pairs of them, k and l pairs of those.
    leaves = [SHA.leaf(bytes([n])) for n in range(7)]
    a, b, c, d, e, f, j = leaves
    g, h, i = SHA.node(a, b), SHA.node(c, d), SHA.node(e, f)
    k, l_ = SHA.node(g, h), SHA.node(i, j)
    subtree = range_of(leaves, SHA)
    assert [inclusion_path(n, 7, subtree) for n in (0, 3, 4, 6)] == [[b, h, l_], [c, g, l_], [f, j, k], [i, k]]
    assert consistency_path(3, 7, subtree) == [c, d, g, l_]
    assert consistency_path(4, 7, subtree) == [l_]
    assert consistency_path(6, 7, subtree) == [i, j, k]


def test_sm3_is_the_hash_of_its_standard() -> None:
    # GB/T 32905-2016, example A.1.
    assert hashing(SM3).digest(b"abc").hex() == "66c7f0f462eeedd9d1f2d46bdc10e4e24167c4875cf2f7a2297da02b8f4ba8e0"


def test_an_unknown_algorithm_is_named() -> None:
    with pytest.raises(ValueError, match='"md5" is no hash algorithm of a tree; known are sha-256, sm3'):
        hashing("md5")


# -- an oracle: the definitions of section 2.1, word for word, which are recursive and know no trick ------------------------


def mth(data: list[bytes]) -> bytes:
    if not data:
        return sha256(b"").digest()
    if len(data) == 1:
        return sha256(b"\x00" + data[0]).digest()
    k = max(1 << n for n in range(40) if 1 << n < len(data))
    return sha256(b"\x01" + mth(data[:k]) + mth(data[k:])).digest()


def path(m: int, data: list[bytes]) -> list[bytes]:
    if len(data) == 1:
        return []
    k = max(1 << n for n in range(40) if 1 << n < len(data))
    return [*path(m, data[:k]), mth(data[k:])] if m < k else [*path(m - k, data[k:]), mth(data[:k])]


def subproof(m: int, data: list[bytes], known: bool) -> list[bytes]:
    if m == len(data):
        return [] if known else [mth(data)]
    k = max(1 << n for n in range(40) if 1 << n < len(data))
    return [*subproof(m, data[:k], known), mth(data[k:])] if m <= k else [*subproof(m - k, data[k:], False), mth(data[:k])]


@few_and_many("trees", 300, 10_000)
def test_random_trees_are_those_of_the_definitions(trees: int) -> None:
    chance = Random(9162)
    for _ in range(trees):
        size = chance.randrange(1, 48)
        data = [chance.randbytes(chance.randrange(6)) for _ in range(size)]
        leaves = [SHA.leaf(each) for each in data]
        subtree = range_of(leaves, SHA)
        index, smaller = chance.randrange(size), chance.randrange(1, size + 1)
        root, old = mth(data), mth(data[:smaller])
        assert SHA.root(leaves) == root
        assert inclusion_path(index, size, subtree) == path(index, data)
        assert consistency_path(smaller, size, subtree) == subproof(smaller, data, True)
        check_inclusion(leaves[index], index, size, path(index, data), root, SHA)
        check_consistency(smaller, size, old, root, subproof(smaller, data, True), SHA)


# -- wrong proofs --------------------------------------------------------------------------------------------------


def spoiled(chance: Random, hashes: list[bytes]) -> list[bytes]:
    """A path with one hash flipped in a bit, left out, repeated, or moved; never the same path."""
    given = list(hashes)
    while given == hashes:
        given = list(hashes)
        at = chance.randrange(len(given) or 1)
        match chance.randrange(4):
            case 0 if given:
                number = int.from_bytes(given[at], "big") ^ 1 << chance.randrange(256)
                given[at] = number.to_bytes(32, "big")
            case 1 if given:
                del given[at]
            case 2:
                given.insert(at, given[at] if given else chance.randbytes(32))
            case 3:
                chance.shuffle(given)
    return given


@few_and_many("paths", 500, 10_000)
def test_spoiled_paths_prove_nothing(paths: int) -> None:
    chance = Random(1)
    for _ in range(paths):
        size = chance.randrange(2, 40)
        leaves = [SHA.leaf(chance.randbytes(4)) for _ in range(size)]
        subtree, root = range_of(leaves, SHA), SHA.root(leaves)
        index, smaller = chance.randrange(size), chance.randrange(1, size)
        with pytest.raises(ProofFailed):
            check_inclusion(leaves[index], index, size, spoiled(chance, inclusion_path(index, size, subtree)), root, SHA)
        with pytest.raises(ProofFailed):
            wrong = spoiled(chance, consistency_path(smaller, size, subtree))
            check_consistency(smaller, size, SHA.root(leaves[:smaller]), root, wrong, SHA)


def test_a_path_proves_its_own_index_leaf_and_root_alone() -> None:
    for size in range(1, 20):
        leaves = [SHA.leaf(bytes([n])) for n in range(size)]
        root, subtree = SHA.root(leaves), range_of(leaves, SHA)
        for index in range(size):
            right = inclusion_path(index, size, subtree)
            for other in range(-1, size + 2):
                if other != index:
                    with pytest.raises(ProofFailed):
                        check_inclusion(leaves[index], other, size, right, root, SHA)
            with pytest.raises(ProofFailed, match="leads to the root"):
                check_inclusion(SHA.leaf(b"other"), index, size, right, root, SHA)


def test_a_leaf_is_never_taken_for_a_node() -> None:
    # The prefixes of section 2.1.1 keep the two apart: the bytes of two hashes are a leaf of their own.
    two = [SHA.leaf(b"a"), SHA.leaf(b"b")]
    assert SHA.leaf(two[0] + two[1]) != SHA.root(two)


def test_equal_sizes_are_consistent_only_with_equal_roots() -> None:
    check_consistency(7, 7, SHA.root(LEAVES[:7]), SHA.root(LEAVES[:7]), [], SHA)
    with pytest.raises(ProofFailed, match="Two trees of 7 leaves have the roots"):
        check_consistency(7, 7, SHA.root(LEAVES[:7]), SHA.root(LEAVES[1:]), [], SHA)


@pytest.mark.parametrize(("first", "second"), [(0, 5), (6, 5), (-1, 3)])
def test_sizes_that_are_no_beginning_of_each_other_are_refused(first: int, second: int) -> None:
    with pytest.raises(ValueError, match="is no beginning of one of"):
        consistency_path(first, second, range_of(LEAVES, SHA))
    with pytest.raises(ProofFailed, match="is no beginning of one of"):
        check_consistency(first, second, b"", b"", [], SHA)


def test_a_tree_is_parted_at_the_largest_power_of_two_below_its_size() -> None:
    assert [split(size) for size in (2, 3, 4, 5, 8, 9, 1025)] == [1, 2, 2, 4, 4, 8, 1024]
