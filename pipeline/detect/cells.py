"""Cells: places for (slot, class) pairs, given when they are first needed: arrays hold no empty ones."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from detectors.evidence import Ints

NONE = -1
FIRST_CELLS = 256


class Cells:
    """Numbers from 0 on; those that were given back are given again."""

    def __init__(self, classes: int) -> None:
        self._table = np.full((0, classes), NONE, dtype=np.int32)
        self._free: Ints = np.zeros(0, dtype=np.int64)
        self._used = 0
        self.room = 0
        """How long arrays must be that are indexed by cells."""

    @property
    def slots(self) -> int:
        """How many slots there is room for."""
        return len(self._table)

    def grow(self, slots: int) -> None:
        """Make room for so many slots."""
        more = np.full((slots - len(self._table), self._table.shape[1]), NONE, dtype=np.int32)
        self._table = np.concatenate([self._table, more])

    def table(self, slots: Ints) -> NDArray[np.int32]:
        """The cells of all classes of these slots; -1: none."""
        return self._table[slots]

    def of(self, slots: Ints, classes: Ints | int) -> Ints:
        """The cell of each pair; -1: none."""
        return self._table[slots, classes].astype(np.int64)

    def take(self, slots: Ints, classes: Ints | int) -> Ints:
        """The cell of each pair; those that have none get one. Pairs may repeat."""
        at = slots * self._table.shape[1] + classes
        flat = self._table.reshape(-1)
        new = np.unique(at[flat[at] < 0])
        if len(new):
            again, self._free = np.split(self._free, [min(len(new), len(self._free))])
            fresh = np.arange(self._used, self._used + len(new) - len(again))
            self._used += len(fresh)
            flat[new] = np.concatenate([again, fresh])
            if self._used > self.room:
                self.room = max(FIRST_CELLS, self._used + self._used // 4)
        return flat[at].astype(np.int64)

    def drop(self, slots: Ints, classes: Ints | None = None) -> Ints:
        """Take cells back: of these pairs, or of all classes of these slots. Returns them."""
        at = (slots,) if classes is None else (slots, classes)
        held = self._table[at]
        given = held[held >= 0].astype(np.int64)
        self._table[at] = NONE
        self._free = np.concatenate([self._free, given])
        return given

    def state(self) -> dict[str, Any]:
        """What a snapshot holds."""
        return {
            "table": self._table.tobytes(),
            "free": self._free.tobytes(),
            "used": self._used,
            "room": self.room,
        }

    def load(self, state: Mapping[str, Any]) -> None:
        """Take over a snapshot's cells."""
        table = np.frombuffer(state["table"], dtype=np.int32)
        self._table = table.reshape(-1, self._table.shape[1]).copy()
        self._free = np.frombuffer(state["free"], dtype=np.int64).copy()
        self._used, self.room = state["used"], state["room"]
