"""Merkle trees are those of RFC 6962: checked against its recursive definition and its test values."""

from hashlib import sha256

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.audit import merkle

leaves_strategy = st.lists(st.binary(max_size=8), min_size=1, max_size=70)


def recursive_root(leaves: list[bytes]) -> bytes:
    """MTH of RFC 6962, section 2.1."""
    if not leaves:
        return sha256(b"").digest()
    if len(leaves) == 1:
        return sha256(b"\x00" + leaves[0]).digest()
    split = 1
    while split * 2 < len(leaves):
        split *= 2
    return sha256(b"\x01" + recursive_root(leaves[:split]) + recursive_root(leaves[split:])).digest()


def recursive_path(leaves: list[bytes], index: int) -> list[bytes]:
    """PATH of RFC 6962, section 2.1.1."""
    if len(leaves) == 1:
        return []
    split = 1
    while split * 2 < len(leaves):
        split *= 2
    if index < split:
        return [*recursive_path(leaves[:split], index), recursive_root(leaves[split:])]
    return [*recursive_path(leaves[split:], index - split), recursive_root(leaves[:split])]


def inclusion_path(leaves: list[bytes], index: int) -> list[bytes]:
    """As a proof is made: the roots of the subtrees that it needs, found in one pass."""
    nodes = merkle.inclusion_nodes(index, len(leaves))
    roots = merkle.subtree_roots(nodes, map(merkle.leaf_hash, leaves))
    return [roots[node] for node in nodes]


def consistency_path(leaf_hashes: list[bytes], first: int) -> list[bytes]:
    nodes = merkle.consistency_nodes(first, len(leaf_hashes))
    roots = merkle.subtree_roots(nodes, leaf_hashes)
    return [roots[node] for node in nodes]


@given(st.lists(st.binary(max_size=8), max_size=70))
def test_root_is_the_recursive_root(leaves: list[bytes]) -> None:
    assert merkle.root(leaves) == recursive_root(leaves)


@given(leaves_strategy, st.data())
def test_path_proves_inclusion_and_nothing_else(leaves: list[bytes], data: st.DataObject) -> None:
    index = data.draw(st.integers(0, len(leaves) - 1))
    root, path = merkle.root(leaves), inclusion_path(leaves, index)
    assert path == recursive_path(leaves, index)
    assert merkle.includes(root, len(leaves), leaves[index], index, path)
    assert not merkle.includes(root, len(leaves), leaves[index] + b"x", index, path)
    assert not merkle.includes(root, len(leaves), leaves[index], index, [*path, root])
    if path:
        assert not merkle.includes(root, len(leaves), leaves[index], index, path[:-1])
    other = data.draw(st.integers(0, len(leaves) - 1))
    if leaves[other] != leaves[index]:
        assert not merkle.includes(root, len(leaves), leaves[index], other, path)


def test_known_root() -> None:
    """The eight leaves of the test data of Certificate Transparency."""
    texts = [
        "", "00", "10", "2021", "3031", "40414243", "5051525354555657", "606162636465666768696a6b6c6d6e6f",
    ]  # fmt: skip
    expected = "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328"
    assert merkle.root([bytes.fromhex(text) for text in texts]).hex() == expected


def test_an_index_outside_of_the_tree_is_refused() -> None:
    with pytest.raises(IndexError):
        merkle.inclusion_nodes(1, 1)
    assert not merkle.includes(merkle.root([b"a"]), 1, b"a", 1, [])


def recursive_consistency(leaves: list[bytes], first: int, is_first_root: bool = True) -> list[bytes]:
    """SUBPROOF of RFC 6962, section 2.1.2."""
    if first == len(leaves):
        return [] if is_first_root else [recursive_root(leaves)]
    split = 1
    while split * 2 < len(leaves):
        split *= 2
    if first <= split:
        left = recursive_consistency(leaves[:split], first, is_first_root)
        return [*left, recursive_root(leaves[split:])]
    right = recursive_consistency(leaves[split:], first - split, False)
    return [*right, recursive_root(leaves[:split])]


LEAVES = [n.to_bytes(2, "big") for n in range(130)]
HASHES = [merkle.leaf_hash(leaf) for leaf in LEAVES]
ROOTS = [merkle.root(LEAVES[:size]) for size in range(len(LEAVES) + 1)]


@pytest.mark.parametrize("size", range(1, len(LEAVES) + 1))
def test_every_consistency_path_is_the_recursive_one_and_proves_it(size: int) -> None:
    for first in range(1, size + 1):
        path = consistency_path(HASHES[:size], first)
        if size < 20 or size in (64, 65, 127, 130):
            assert path == recursive_consistency(LEAVES[:size], first)
        assert merkle.consistent(first, ROOTS[first], size, ROOTS[size], path)
        assert not merkle.consistent(first, ROOTS[first - 1], size, ROOTS[size], path)
        assert not merkle.consistent(first, ROOTS[first], size, ROOTS[size - 1], path)
        assert not merkle.consistent(first, ROOTS[first], size, ROOTS[size], [*path, ROOTS[1]])
        if path:
            assert not merkle.consistent(first, ROOTS[first], size, ROOTS[size], path[:-1])
            assert not merkle.consistent(first, ROOTS[first], size, ROOTS[size], path[1:])


@given(st.integers(1, 130), st.data())
def test_a_consistency_path_proves_no_other_sizes_and_no_changed_hash(size: int, data: st.DataObject) -> None:
    first = data.draw(st.integers(1, size))
    path = consistency_path(HASHES[:size], first)
    other = data.draw(st.integers(1, size))
    if other != first:
        assert not merkle.consistent(other, ROOTS[first], size, ROOTS[size], path)
        assert not merkle.consistent(first, ROOTS[other], size, ROOTS[size], path)
    if path:
        at = data.draw(st.integers(0, len(path) - 1))
        changed = [*path[:at], bytes([path[at][0] ^ 1]) + path[at][1:], *path[at + 1 :]]
        assert not merkle.consistent(first, ROOTS[first], size, ROOTS[size], changed)


def test_the_empty_tree_is_the_beginning_of_every_tree() -> None:
    assert merkle.consistent(0, merkle.EMPTY_ROOT, 3, ROOTS[3], [])
    assert not merkle.consistent(0, ROOTS[1], 3, ROOTS[3], [])
    assert not merkle.consistent(0, merkle.EMPTY_ROOT, 3, ROOTS[3], [ROOTS[1]])
    assert not merkle.consistent(4, ROOTS[4], 3, ROOTS[3], [])
    with pytest.raises(IndexError):
        merkle.consistency_nodes(0, 3)
    with pytest.raises(IndexError):
        merkle.consistency_nodes(4, 3)


@pytest.mark.parametrize("size", [*range(1, 34), 63, 64, 65, 100, 127, 128, 129, 130])
def test_paths_found_in_one_pass_are_those_of_the_whole_tree(size: int) -> None:
    wanted = {index: merkle.inclusion_nodes(index, size) for index in range(size)}
    roots = merkle.subtree_roots((node for nodes in wanted.values() for node in nodes), HASHES[:size])
    for index, nodes in wanted.items():
        assert [roots[node] for node in nodes] == recursive_path(LEAVES[:size], index)


def test_a_subtree_that_is_none_of_the_tree_is_refused() -> None:
    with pytest.raises(IndexError):
        merkle.subtree_roots([merkle.Node(1, 3)], HASHES[:8])
    with pytest.raises(IndexError):
        merkle.inclusion_nodes(3, 3)


@pytest.mark.parametrize("size", [63, 64, 65, 100, 127, 129, 1000])
def test_a_root_of_many_leaves_is_that_of_the_growing_tree(size: int) -> None:
    leaves = [bytes([i % 256]) * (i % 50) for i in range(size)]
    assert merkle.root(leaves) == merkle.Frontier().grown(leaves).root()
