"""Merkle trees of RFC 6962, section 2.1: roots, inclusion paths and their verification. Pure.

The root of a tree is computed level by level: pairing neighbours and carrying an odd last node up
unchanged gives the same tree as the RFC's split at the largest power of two.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from hashlib import sha256
from struct import Struct

from schemas.log_entry import Leaves

EMPTY_ROOT = sha256(b"").digest()
_LEAF = Struct(">H")
_LEAF_ENTRY = Struct(">IQ")


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
    level = [sha256(b"\x00" + leaf).digest() for leaf in leaves]
    if not level:
        return EMPTY_ROOT
    while len(level) > 1:
        level = _next_level(level)
    return level[0]


def inclusion_path(leaves: Sequence[bytes], index: int) -> list[bytes]:
    """The sibling hashes that lead from leaf `index` to the root, from the bottom up."""
    if not 0 <= index < len(leaves):
        raise IndexError(f"no leaf {index} in a tree of {len(leaves)}")
    level = [leaf_hash(leaf) for leaf in leaves]
    path: list[bytes] = []
    while len(level) > 1:
        sibling = index ^ 1
        if sibling < len(level):
            path.append(level[sibling])
        level = _next_level(level)
        index >>= 1
    return path


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


def _next_level(level: list[bytes]) -> list[bytes]:
    pairs = zip(level[::2], level[1::2], strict=False)
    above = [sha256(b"\x01" + left + right).digest() for left, right in pairs]
    if len(level) % 2:
        above.append(level[-1])
    return above
