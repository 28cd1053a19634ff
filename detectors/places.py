"""Places: the 64-bit hash of a key → its place in arrays, without a Python object a key.

An open-addressed table that is probed for all hashes of a call at once. It takes about 20 bytes a key, where
a dictionary takes a hundred.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

Hashes = NDArray[np.uint64]
Ints = NDArray[np.int64]

FIRST_PLACES = 256
ROOM = 1.05
"""Arrays grow to so many times the stated limit at most, before they grow in small steps."""
NOWHERE = -1
_MIX = np.uint64(0x9E3779B97F4A7C15)
"""2⁶⁴ divided by the golden ratio: what is close together is spread over the table."""


class Places:
    """Places are given from 0 on, and those that were dropped are given again."""

    def __init__(self, limit: int = 0) -> None:
        """`limit`: how many keys are expected at most, so that arrays do not double beyond it."""
        self._limit = limit
        self._hashes: Hashes = np.zeros(0, dtype=np.uint64)
        self._used = 0
        """Places below this one were given."""
        self._free: Ints = np.zeros(0, dtype=np.int64)
        self._table = np.full(2 * FIRST_PLACES, NOWHERE, dtype=np.int32)

    def __len__(self) -> int:
        return self._used - len(self._free)

    @property
    def room(self) -> int:
        """How long arrays must be that are indexed by places."""
        return len(self._hashes)

    @property
    def hashes(self) -> Hashes:
        """The hash of every place that was given, dropped ones included."""
        return self._hashes[: self._used]

    def held(self) -> Ints:
        """The places that are in use."""
        is_held = np.ones(self._used, dtype=np.bool_)
        is_held[self._free] = False
        return np.flatnonzero(is_held)

    def of(self, hashes: Hashes) -> Ints:
        """The place of each hash; −1: it has none."""
        found = np.full(len(hashes), NOWHERE, dtype=np.int64)
        asked, at = np.arange(len(hashes)), self._first(hashes)
        while len(asked):
            place = self._table[at]
            hit = (place >= 0) & (self._hashes[place] == hashes[asked]) if self._used else place >= 0
            found[asked[hit]] = place[hit]
            goes_on = (place >= 0) & ~hit
            asked, at = asked[goes_on], (at[goes_on] + 1) & (len(self._table) - 1)
        return found

    def take(self, hashes: Hashes) -> Ints:
        """The place of each hash; those that have none get one, in the order of their hashes."""
        found = self.of(hashes)
        unknown = found < 0
        if unknown.any():
            self._add(np.unique(hashes[unknown]))
            found[unknown] = self.of(hashes[unknown])
        return found

    def drop(self, places: Ints) -> None:
        """Take these places back. Costs as much as there are keys: drop many at once."""
        self._free = np.concatenate([self._free, places])
        self._build(len(self._table))

    def _add(self, hashes: Hashes) -> None:
        again, self._free = np.split(self._free, [min(len(hashes), len(self._free))])
        new = np.arange(self._used, self._used + len(hashes) - len(again))
        self._used += len(new)
        if self._used > self.room:
            grown = np.zeros(self._roomy(self._used), dtype=np.uint64)
            grown[: self.room] = self._hashes
            self._hashes = grown
        places = np.concatenate([again, new])
        self._hashes[places] = hashes
        if 2 * len(self) > len(self._table):
            self._build(1 << (4 * len(self) - 1).bit_length())
        else:
            self._enter(places)

    def _roomy(self, needed: int) -> int:
        doubled = max(FIRST_PLACES, 2 * self.room)
        if self._limit and doubled > self._limit:
            doubled = max(int(self._limit * ROOM), self.room + self.room // 8)
        return max(doubled, needed)

    def _build(self, size: int) -> None:
        self._table = np.full(size, NOWHERE, dtype=np.int32)
        self._enter(self.held())

    def _enter(self, places: Ints) -> None:
        """Of several that want the same entry one gets it, the others look further."""
        at = self._first(self._hashes[places])
        while len(places):
            empty = self._table[at] < 0
            self._table[at[empty]] = places[empty]
            left = self._table[at] != places
            places, at = places[left], (at[left] + 1) & (len(self._table) - 1)

    def _first(self, hashes: Hashes) -> Ints:
        shift = np.uint64(64 - (len(self._table) - 1).bit_length())
        return ((hashes * _MIX) >> shift).astype(np.int64)

    def state(self) -> dict[str, bytes | int]:
        """What a snapshot holds."""
        return {"hashes": self.hashes.tobytes(), "free": self._free.tobytes(), "room": self.room}

    def load(self, state: Mapping[str, Any]) -> None:
        """Take over a snapshot's places."""
        given = np.frombuffer(state["hashes"], dtype=np.uint64)
        self._used, self._hashes = len(given), np.zeros(state["room"], dtype=np.uint64)
        self._hashes[: self._used] = given
        self._free = np.frombuffer(state["free"], dtype=np.int64).copy()
        self._build(max(2 * FIRST_PLACES, 1 << (4 * len(self)).bit_length()))
