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


@given(st.lists(st.binary(max_size=8), max_size=70))
def test_root_is_the_recursive_root(leaves: list[bytes]) -> None:
    assert merkle.root(leaves) == recursive_root(leaves)


@given(leaves_strategy, st.data())
def test_path_proves_inclusion_and_nothing_else(leaves: list[bytes], data: st.DataObject) -> None:
    index = data.draw(st.integers(0, len(leaves) - 1))
    root, path = merkle.root(leaves), merkle.inclusion_path(leaves, index)
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
        merkle.inclusion_path([b"a"], 1)
    assert not merkle.includes(merkle.root([b"a"]), 1, b"a", 1, [])
