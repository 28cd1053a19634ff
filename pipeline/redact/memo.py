"""A least-recently-used map bounded in bytes, by the bytes that its entries really take.

Two generations instead of one order: a hit costs one look-up and moves nothing. What is used while the young
generation fills lives on; the rest goes with the old one, at once.
"""

from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

V = TypeVar("V")
ENTRY_BYTES = 400
"""What an entry of two strings costs beside its text: keys, tuples, dict slots; measured, rounded up."""
MAX_SHARE = 8
"""One entry takes at most this part of the memo: one huge string must not empty it."""


class Memo(Generic[V]):
    """Belongs to one Redactor, whose configuration and keys never change: they have no place in the key."""

    def __init__(self, max_bytes: int, weigh: Callable[[V, int], int] | None = None) -> None:
        """`weigh(value, generation)` gives the bytes of all that a value holds and that was not weighed in
        that generation yet: what values share counts once. Without it values share nothing."""
        self._max_bytes = max_bytes
        self._weigh = weigh
        self._generation = 1
        self.young: dict[Hashable, tuple[V, int]] = {}
        """(value, bytes) pairs of the young generation, for fast look-ups; `get` finds the rest."""
        self._old: dict[Hashable, tuple[V, int]] = {}
        self._young_bytes = 0
        self._old_bytes = 0

    @property
    def bytes(self) -> int:
        """What all entries take together, at most."""
        return self._young_bytes + self._old_bytes

    def get(self, key: Hashable) -> V | None:
        """The value, or None."""
        entry = self.young.get(key)
        if entry is None:
            entry = self._old.get(key)
            if entry is None:
                return None
            self._add(key, entry)
        return entry[0]

    def put(self, key: Hashable, value: V, text_bytes: int) -> None:
        """Remember `value`; what key and value hold beside one small entry has at most `text_bytes`."""
        size = text_bytes + ENTRY_BYTES
        if size <= self._max_bytes // MAX_SHARE:
            self._add(key, (value, size))

    def _add(self, key: Hashable, entry: tuple[V, int]) -> None:
        # What is in both generations counts in both.
        if self._young_bytes + entry[1] > self._max_bytes // 2:
            self._old, self._old_bytes = self.young, self._young_bytes
            self.young, self._young_bytes = {}, 0
            self._generation += 1
        if self._weigh is not None:
            self._young_bytes += ENTRY_BYTES + self._weigh(entry[0], self._generation)
        else:
            before = self.young.get(key)
            self._young_bytes += entry[1] - (before[1] if before is not None else 0)
        self.young[key] = entry
