"""A Merkle tree told from left to right: the leaves that are shown, and one hash for each run between them.

Whoever has the shown leaves and these hashes computes the root in one pass, with a stack as deep as the
tree. Paths would cost a hash a level for every leaf; this costs neighbours nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import NamedTuple

from pipeline.audit import merkle


class Part(NamedTuple):
    """A full subtree of the tree: a shown leaf, or leaves none of which is shown."""

    leaves: int
    """How many: a power of two."""
    hash: bytes
    number: int | None = None
    """The number of a shown leaf, from 0."""


def cover(leaf_hashes: Iterable[bytes], shown: Iterable[bool]) -> Iterator[Part]:
    """The shown leaves and the largest unshown subtrees between them, from left to right.

    `shown` says of each leaf whether it is. Keeps two hashes a level of the tree at most, and yields a
    shown leaf before it takes the next.
    """
    waiting: list[Part] = []
    for number, (leaf_hash, is_shown) in enumerate(zip(leaf_hashes, shown, strict=True)):
        if is_shown:
            yield from waiting
            yield Part(1, leaf_hash, number)
            waiting = []
            continue
        part = Part(1, leaf_hash)
        # Two halves are joined only where they are those of one subtree of the tree.
        while waiting and waiting[-1].leaves == part.leaves and number & part.leaves:
            part = Part(2 * part.leaves, merkle.node_hash(waiting.pop().hash, part.hash))
        waiting.append(part)
    yield from waiting


class CoverRoot:
    """The root that the parts of a cover give, in order."""

    def __init__(self) -> None:
        self.size = 0
        """Leaves so far."""
        self._peaks: list[Part] = []

    def add(self, part: Part) -> None:
        """The next part. Raises ValueError where no cover has it there."""
        if part.leaves < 1 or part.leaves & (part.leaves - 1) or self.size % part.leaves:
            raise ValueError("a part of a cover does not stand where its leaves begin")
        self.size += part.leaves
        while self._peaks and self._peaks[-1].leaves == part.leaves:
            part = Part(2 * part.leaves, merkle.node_hash(self._peaks.pop().hash, part.hash))
        self._peaks.append(part)

    def root(self) -> bytes:
        """The tree head, 32 bytes."""
        if not self._peaks:
            return merkle.EMPTY_ROOT
        *left, last = self._peaks
        node = last.hash
        for peak in reversed(left):
            node = merkle.node_hash(peak.hash, node)
        return node
