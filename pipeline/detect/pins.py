"""Pins: a quantile of each key's values, learned once from a histogram and then held fast.

A moving quantile follows a regression until it looks normal; a pinned one does not. It is learned anew only
when the key is forgotten, or when its change was accepted.
"""

from typing import Any

import numpy as np

from detectors.evidence import Ints
from pipeline.detect.bins import BINS, Bytes

QUANTILE = 0.95
MOST = np.iinfo(np.uint8).max
"""A bin's count stops here: enough to tell where a quantile of so few values lies."""


class Pins:
    """One pinned bin for each (slot, class), out of the first `values` values or a few more: whole minutes
    are learned from, so that their order does not matter."""

    def __init__(self, classes: int, values: int) -> None:
        self._classes = classes
        self._values = values
        self._counts = np.zeros((0, BINS), dtype=np.uint8)
        self._pins = np.zeros(0, dtype=np.uint8)
        self._totals = np.zeros(0, dtype=np.int32)
        """Values counted by each cell so far."""

    def grow(self, slots: int) -> None:
        """Make room for so many slots."""
        counts = np.zeros((slots * self._classes, BINS), dtype=np.uint8)
        counts[: len(self._counts)] = self._counts
        self._counts = counts
        more = slots * self._classes - len(self._pins)
        self._pins = np.concatenate([self._pins, np.zeros(more, dtype=np.uint8)])
        self._totals = np.concatenate([self._totals, np.zeros(more, dtype=np.int32)])

    def clear(self, slots: Ints) -> None:
        """Forget what these slots learned."""
        cells = (slots[:, None] * self._classes + np.arange(self._classes)).ravel()
        self._counts[cells] = 0
        self._pins[cells] = 0
        self._totals[cells] = 0

    def of(self, slots: Ints, classes: Ints) -> Bytes:
        """The pinned bin; 0 while it is learned."""
        return self._pins[slots * self._classes + classes]

    def learn(self, slots: Ints, classes: Ints, bins: Bytes) -> None:
        """Count one minute's values of what has no pin yet; pin what then has enough."""
        cells = slots * self._classes + classes
        open_ = (self._pins[cells] == 0) & (bins > 0)
        if not open_.any():
            return
        added, number = np.unique(cells[open_] * BINS + bins[open_], return_counts=True)
        flat = self._counts.reshape(-1)
        flat[added] = np.minimum(flat[added] + number, MOST)
        np.add.at(self._totals, added // BINS, number)
        touched = np.unique(added // BINS)
        ready = touched[self._totals[touched] >= self._values]
        sums = np.cumsum(self._counts[ready], axis=1, dtype=np.int64)
        self._pins[ready] = (sums < QUANTILE * sums[:, -1:]).sum(axis=1)
        self._counts[ready] = 0

    def state(self) -> dict[str, Any]:
        """What a snapshot holds: of the counts only those that are not 0."""
        flat = self._counts.reshape(-1)
        held = np.flatnonzero(flat)
        return {
            "at": held.tobytes(),
            "counts": flat[held].tobytes(),
            "pins": self._pins.tobytes(),
            "totals": self._totals.tobytes(),
        }

    def load(self, state: dict[str, Any]) -> None:
        self._pins = np.frombuffer(state["pins"], dtype=np.uint8).copy()
        self._totals = np.frombuffer(state["totals"], dtype=np.int32).copy()
        self._counts = np.zeros((len(self._pins), BINS), dtype=np.uint8)
        at = np.frombuffer(state["at"], dtype=np.int64)
        self._counts.reshape(-1)[at] = np.frombuffer(state["counts"], dtype=np.uint8)
