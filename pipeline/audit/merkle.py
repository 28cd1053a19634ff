"""Merkle trees of RFC 6962, section 2.1: roots, inclusion and consistency paths, their verification. Pure.

The root of a tree is computed level by level: pairing neighbours and carrying an odd last node up
unchanged gives the same tree as the RFC's split at the largest power of two.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from hashlib import sha256
from struct import Struct
from typing import NamedTuple

from schemas.log_entry import Leaves

EMPTY_ROOT = sha256(b"").digest()
MANY_LEAVES = 64
"""Fewer are hashed faster one by one."""
_LEAF = Struct(">H")
_LEAF_ENTRY = Struct(">IQ")


class Node(NamedTuple):
    """A subtree by the leaves under it, [start, end)."""

    start: int
    end: int


@dataclass(frozen=True, slots=True)
class Frontier:
    """A tree that only grows, as the roots of its full subtrees from the largest to the smallest: all
    that is needed to add leaves and to tell the root."""

    size: int = 0
    peaks: tuple[bytes, ...] = ()

    def grown(self, leaves: Iterable[bytes]) -> "Frontier":
        """The tree with leaf data added in order."""
        size, peaks = self.size, list(self.peaks)
        for leaf in leaves:
            node, size = sha256(b"\x00" + leaf).digest(), size + 1
            full = size
            while full % 2 == 0:
                node = sha256(b"\x01" + peaks.pop() + node).digest()
                full //= 2
            peaks.append(node)
        return Frontier(size, tuple(peaks))

    def root(self) -> bytes:
        """The tree head, 32 bytes."""
        if not self.peaks:
            return EMPTY_ROOT
        *left, node = self.peaks
        for peak in reversed(left):
            node = node_hash(peak, node)
        return node


def checkpoint_leaf(topic_id: str, partition: int, n: int, entry_sha256: bytes) -> bytes:
    """Leaf data of a log entry in the checkpoint tree:
    u16 length of the topic id ‖ topic id ‖ u32 partition ‖ u64 n ‖ SHA-256 of the entry's bytes."""
    name = topic_id.encode()
    return _LEAF.pack(len(name)) + name + _LEAF_ENTRY.pack(partition, n) + entry_sha256


def checkpoint_leaves(leaves: Leaves) -> Iterable[bytes]:
    """Leaf data of neighbouring entries, in order."""
    for i, entry_sha256 in enumerate(leaves.hashes):
        yield checkpoint_leaf(
            leaves.topic_id, leaves.partition, leaves.first_n + i, bytes.fromhex(entry_sha256)
        )


def leaf_hash(leaf: bytes) -> bytes:
    """SHA-256(0x00 ‖ leaf data)."""
    return sha256(b"\x00" + leaf).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    """SHA-256(0x01 ‖ left ‖ right)."""
    return sha256(b"\x01" + left + right).digest()


def root(leaves: Iterable[bytes]) -> bytes:
    """The tree head over leaf data in order, 32 bytes."""
    listed = list(leaves)
    if len(listed) >= MANY_LEAVES:
        return _root_at_once(listed)
    level = [sha256(b"\x00" + leaf).digest() for leaf in listed]
    if not level:
        return EMPTY_ROOT
    while len(level) > 1:
        level = _next_level(level)
    return level[0]


def _root_at_once(leaves: Sequence[bytes]) -> bytes:
    """The same for many leaves, a level at a time."""
    # Here, because proofs are checked with this module where nothing needs Arrow.
    import numpy as np

    from pipeline.audit.arrow import pa
    from pipeline.audit.bulk_sha256 import sha256_each

    level = sha256_each(np.zeros((len(leaves), 1), np.uint8), pa.array(leaves, pa.large_binary()))
    while len(level) > 1:
        pairs = level[: len(level) // 2 * 2].reshape(-1, 64)
        above = sha256_each(np.ones((len(pairs), 1), np.uint8), pairs)
        level = np.vstack([above, level[-1:]]) if len(level) % 2 else above
    return level.tobytes()


def includes(root_hash: bytes, size: int, leaf: bytes, index: int, path: Sequence[bytes]) -> bool:
    """Whether `path` proves that `leaf` is number `index` of the tree of `size` leaves."""
    if not 0 <= index < size:
        return False
    current, last, siblings = leaf_hash(leaf), size - 1, iter(path)
    while last > 0:
        if index & 1 or index < last:
            sibling = next(siblings, None)
            if sibling is None:
                return False
            current = node_hash(sibling, current) if index & 1 else node_hash(current, sibling)
        index, last = index >> 1, last >> 1
    return next(siblings, None) is None and current == root_hash


def inclusion_nodes(index: int, size: int) -> list[Node]:
    """The subtrees whose roots lead from leaf `index` to the root of `size` leaves, from the bottom up."""
    if not 0 <= index < size:
        raise IndexError(f"no leaf {index} in a tree of {size}")
    nodes: list[Node] = []
    width = 1
    while width < size:
        start = (index // width ^ 1) * width
        if start < size:
            nodes.append(Node(start, min(start + width, size)))
        width *= 2
    return nodes


def consistency_nodes(first: int, size: int) -> list[Node]:
    """The subtrees whose roots prove that the tree of `size` leaves begins with that of `first` leaves,
    in the order of RFC 6962, section 2.1.2."""
    if not 0 < first <= size:
        raise IndexError(f"a tree of {size} leaves does not grow from one of {first}")
    nodes: list[Node] = []
    start, end, is_first_root = 0, size, True
    while end != first:
        split = start + _split(end - start)
        if first <= split:
            nodes.append(Node(split, end))
            end = split
        else:
            nodes.append(Node(start, split))
            start, is_first_root = split, False
    if not is_first_root:
        nodes.append(Node(start, end))
    return nodes[::-1]


def subtree_roots(nodes: Iterable[Node], leaf_hashes: Iterable[bytes]) -> dict[Node, bytes]:
    """The roots of `nodes` in one pass over the leaf hashes of the whole tree; keeps nothing else.

    Raises IndexError where a node is not one of that tree.
    """
    wanted = set(nodes)
    starts = {node.start for node in wanted}
    found: dict[Node, bytes] = {}
    peaks: list[tuple[int, bytes]] = []
    size = 0
    for leaf in leaf_hashes:
        node, start, before, size = leaf, size, size, size + 1
        if start in starts and (place := Node(start, size)) in wanted:
            found[place] = node
        # As in a binary counter: each carry joins two halves of a subtree twice as wide.
        while before & 1:
            start, left = peaks.pop()
            node, before = sha256(b"\x01" + left + node).digest(), before >> 1
            if start in starts and (place := Node(start, size)) in wanted:
                found[place] = node
        peaks.append((start, node))
    right: bytes | None = None
    for start, peak in reversed(peaks):
        right = peak if right is None else node_hash(peak, right)
        if (place := Node(start, size)) in wanted:
            found[place] = right
    if missing := wanted - found.keys():
        raise IndexError(f"not subtrees of a tree of {size} leaves: {sorted(missing)[:3]}")
    return found


def consistent(first: int, first_root: bytes, second: int, second_root: bytes, path: Sequence[bytes]) -> bool:
    """Whether `path` proves that the tree of `second` leaves begins with that of `first` leaves.

    The empty tree is the beginning of every tree; its root is fixed, and there is no path.
    """
    if not 0 <= first <= second:
        return False
    if first in (0, second):
        return not path and first_root == (second_root if first else EMPTY_ROOT)
    index, last = first - 1, second - 1
    while index & 1:
        index, last = index >> 1, last >> 1
    # Where the first tree is full it is a subtree of the second: its root need not be in the path.
    siblings = iter(path)
    start = first_root if first & (first - 1) == 0 else next(siblings, None)
    if start is None:
        return False
    old = new = start
    for sibling in siblings:
        if last == 0:
            return False
        if index & 1 or index == last:
            old, new = node_hash(sibling, old), node_hash(sibling, new)
            while not index & 1 and index:
                index, last = index >> 1, last >> 1
        else:
            new = node_hash(new, sibling)
        index, last = index >> 1, last >> 1
    return last == 0 and old == first_root and new == second_root


def _split(size: int) -> int:
    """The largest power of two below `size`: how many leaves go left."""
    return 1 << (size - 1).bit_length() - 1


def _next_level(level: list[bytes]) -> list[bytes]:
    pairs = zip(level[::2], level[1::2], strict=False)
    above = [sha256(b"\x01" + left + right).digest() for left, right in pairs]
    if len(level) % 2:
        above.append(level[-1])
    return above
