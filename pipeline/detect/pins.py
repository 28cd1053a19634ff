"""Pins: a quantile of each key's values, learned once from a histogram and then held fast.

A moving quantile follows a regression until it looks normal; a pinned one does not. It is learned anew only
when the key is forgotten, or when its change was accepted.
"""

from typing import Any

import numpy as np

from detectors.evidence import Ints
from pipeline.detect.bins import BINS, Bytes
from pipeline.detect.cells import Cells

QUANTILE = 0.95
MOST = np.iinfo(np.uint8).max
"""A bin's count stops here: enough to tell where a quantile of so few values lies."""


class Pins:
    """One pinned bin for each (slot, class), out of the first `values` values or a few more: whole minutes
    are learned from, so that their order does not matter."""

    def __init__(self, classes: int, values: int) -> None:
        self._classes = classes
        self._values = values
        self._pins = np.zeros((0, classes), dtype=np.uint8)
        self._cells = Cells(classes)
        """Of what is learned still: a histogram each."""
        self._counts = np.zeros((0, BINS), dtype=np.uint8)
        self._totals = np.zeros(0, dtype=np.int32)
        """Values counted by each histogram so far."""

    def grow(self, slots: int) -> None:
        """Make room for so many slots."""
        more = np.zeros((slots - len(self._pins), self._classes), dtype=np.uint8)
        self._pins = np.concatenate([self._pins, more])
        self._cells.grow(slots)

    def clear(self, slots: Ints) -> None:
        """Forget what these slots learned."""
        self._pins[slots] = 0
        self._empty(self._cells.drop(slots))

    def of(self, slots: Ints, classes: Ints) -> Bytes:
        """The pinned bin; 0 while it is learned."""
        return self._pins[slots, classes]

    def learn(self, slots: Ints, classes: Ints, bins: Bytes) -> None:
        """Count one minute's values of what has no pin yet; pin what then has enough."""
        open_ = (self._pins[slots, classes] == 0) & (bins > 0)
        if not open_.any():
            return
        pairs, at = np.unique(slots[open_] * self._classes + classes[open_], return_inverse=True)
        of_slot, of_class = np.divmod(pairs, self._classes)
        cells = self._cells.take(of_slot, of_class)
        self._make_room()
        added, number = np.unique(cells[at] * BINS + bins[open_], return_counts=True)
        flat = self._counts.reshape(-1)
        flat[added] = np.minimum(flat[added] + number, MOST)
        np.add.at(self._totals, added // BINS, number)
        ready = self._totals[cells] >= self._values
        sums = np.cumsum(self._counts[cells[ready]], axis=1, dtype=np.int64)
        self._pins[of_slot[ready], of_class[ready]] = (sums < QUANTILE * sums[:, -1:]).sum(axis=1)
        self._empty(self._cells.drop(of_slot[ready], of_class[ready]))

    def _make_room(self) -> None:
        more = self._cells.room - len(self._totals)
        if more > 0:
            self._counts = np.concatenate([self._counts, np.zeros((more, BINS), dtype=np.uint8)])
            self._totals = np.concatenate([self._totals, np.zeros(more, dtype=np.int32)])

    def _empty(self, cells: Ints) -> None:
        self._counts[cells] = 0
        self._totals[cells] = 0

    def state(self) -> dict[str, Any]:
        """What a snapshot holds: of the counts only those that are not 0."""
        flat = self._counts.reshape(-1)
        held = np.flatnonzero(flat)
        return {
            "at": held.tobytes(),
            "counts": flat[held].tobytes(),
            "pins": self._pins.tobytes(),
            "totals": self._totals.tobytes(),
            "cells": self._cells.state(),
        }

    def load(self, state: dict[str, Any]) -> None:
        self._pins = np.frombuffer(state["pins"], dtype=np.uint8).reshape(-1, self._classes).copy()
        self._cells.load(state["cells"])
        self._totals = np.frombuffer(state["totals"], dtype=np.int32).copy()
        self._counts = np.zeros((len(self._totals), BINS), dtype=np.uint8)
        at = np.frombuffer(state["at"], dtype=np.int64)
        self._counts.reshape(-1)[at] = np.frombuffer(state["counts"], dtype=np.uint8)
