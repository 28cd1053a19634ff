"""Counted: how often something was seen of each key, in one span of time; 4 bytes a count."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from detectors.evidence import Ints
from detectors.places import Hashes, Places

Counts = NDArray[np.uint32]
"""Keys × what is counted."""


class Counted:
    """Counts by key, which only grow."""

    def __init__(self, width: int) -> None:
        self._places = Places()
        self._counts: Counts = np.zeros((0, width), dtype=np.uint32)

    def __len__(self) -> int:
        return len(self._places)

    @property
    def hashes(self) -> Hashes:
        """The keys, in the order of `counts`."""
        return self._places.hashes

    @property
    def counts(self) -> Counts:
        """Of all keys."""
        return self._counts[: len(self._places)]

    def add(self, hashes: Hashes, counts: Counts) -> None:
        """Add counts of keys, each given once."""
        places = self._places.take(hashes)
        if self._places.room > len(self._counts):
            more = np.zeros((self._places.room - len(self._counts), self._counts.shape[1]), dtype=np.uint32)
            self._counts = np.concatenate([self._counts, more])
        self._counts[places] += counts

    def of(self, hashes: Hashes) -> Counts:
        """The counts of these keys; 0 of those that are not known."""
        places = self._places.of(hashes)
        found = np.zeros((len(hashes), self._counts.shape[1]), dtype=np.uint32)
        found[places >= 0] = self._counts[places[places >= 0]]
        return found

    def state(self) -> dict[str, Any]:
        """What a snapshot holds: in the order of hashes, whatever came first."""
        order = np.argsort(self.hashes)
        return {"hashes": self.hashes[order].tobytes(), "counts": self.counts[order].tobytes()}

    def load(self, state: Mapping[str, Any]) -> None:
        """Take over a snapshot's counts."""
        hashes = np.frombuffer(state["hashes"], dtype=np.uint64)
        counts = np.frombuffer(state["counts"], dtype=np.uint32).reshape(len(hashes), -1)
        if len(hashes):
            self.add(hashes, counts)


def summed(keys: Ints | Hashes, counts: Counts) -> tuple[Any, Counts]:
    """Each key once, sorted, with the sum of its counts."""
    unique, at = np.unique(keys, return_inverse=True)
    if len(unique) == len(keys):
        order = np.argsort(keys, kind="stable")
        return keys[order], counts[order]
    sums = np.zeros((len(unique), counts.shape[1]), dtype=np.uint32)
    np.add.at(sums, at, counts)
    return unique, sums


def matrix(grouped: pl.DataFrame, columns: list[str]) -> Counts:
    """Columns of counts as rows × columns."""
    if not columns:
        return np.zeros((grouped.height, 0), dtype=np.uint32)
    return grouped.select(columns).to_numpy().astype(np.uint32, copy=False)
