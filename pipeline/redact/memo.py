"""A least-recently-used map bounded in bytes: results by (field class, string)."""

from collections import OrderedDict
from collections.abc import Hashable
from typing import Generic, TypeVar

V = TypeVar("V")
ENTRY_BYTES = 400
"""What an entry costs beside its text: keys, tuples, dict slots; measured, rounded up."""


class Memo(Generic[V]):
    """Belongs to one Redactor, whose configuration and keys never change: they have no place in the key."""

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._entries: OrderedDict[Hashable, tuple[V, int]] = OrderedDict()
        self.bytes = 0

    def get(self, key: Hashable) -> V | None:
        """The value, or None."""
        entry = self._entries.get(key)
        if entry is None:
            return None
        self._entries.move_to_end(key)
        return entry[0]

    def put(self, key: Hashable, value: V, text_bytes: int) -> None:
        """Remember `value`; `text_bytes` is the size of the strings in key and value."""
        size = text_bytes + ENTRY_BYTES
        if size > self._max_bytes // 8:
            return  # one huge string must not empty the memo
        old = self._entries.pop(key, None)
        self.bytes += size - (old[1] if old else 0)
        self._entries[key] = (value, size)
        while self.bytes > self._max_bytes:
            self.bytes -= self._entries.popitem(last=False)[1][1]
