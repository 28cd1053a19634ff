"""Open counts: what was counted per minute and key waits until the watermark closes the minute."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import polars as pl

from detectors.evidence import Ints
from detectors.places import Hashes
from pipeline.detect.counted import Counted, Counts, matrix, summed


class Due(NamedTuple):
    """Counts that were given out, sorted by minute and key."""

    minutes: Ints
    hashes: Hashes
    counts: Counts
    """Rows × what is counted."""


class OpenCounts:
    """Integer counts per (minute, key), added up and given out once, in time order.

    Which counts a minute has when it is given out depends on its rows alone, not on how they were cut or
    interleaved, as long as fewer than `max_pending` of them are open.
    """

    def __init__(self, counted: Sequence[str], max_pending: int) -> None:
        """`counted`: columns to add up; the first is the number of events."""
        self._counted = list(counted)
        self._max_pending = max_pending
        self._minutes: dict[int, Counted] = {}
        self._touched: list[Hashes] | None = None
        """The keys of the first minute that were added to since `first`; None: all of them."""
        self.closed_minute = -1
        """Minutes below this one were given out."""
        self.missed_events = 0
        """Events that were punctual in their own partition but came after the close: see `Detection.join`."""

    def add(self, grouped: pl.DataFrame) -> None:
        """Add counts: a frame with `minute`, `key` and the counted columns; groups may repeat."""
        minutes, hashes = grouped["minute"].to_numpy(), grouped["key"].to_numpy()
        counts = matrix(grouped, self._counted)
        for minute in np.unique(minutes).tolist():
            which = minutes == minute
            if minute < self.closed_minute:
                self.missed_events += int(counts[which, 0].sum())
                continue
            keys, sums = summed(hashes[which], counts[which])
            if minute not in self._minutes:
                self._minutes[minute] = Counted(len(self._counted))
            self._minutes[minute].add(keys, sums)
            if minute == self.closed_minute and self._touched is not None:
                self._touched.append(keys)

    def close(self, before_minute: int) -> Due | None:
        """The counts of every minute below `before_minute` that were not given out yet. None where there are
        none."""
        before_minute = max(before_minute, self._forced())
        if before_minute <= self.closed_minute:
            return None
        self.closed_minute, self._touched = before_minute, None
        due = [
            (minute, self._minutes.pop(minute)) for minute in sorted(self._minutes) if minute < before_minute
        ]
        if not due:
            return None
        orders = [np.argsort(counted.hashes) for _, counted in due]
        return Due(
            np.concatenate([np.full(len(counted), minute, dtype=np.int64) for minute, counted in due]),
            np.concatenate([counted.hashes[order] for (_, counted), order in zip(due, orders, strict=True)]),
            np.concatenate([counted.counts[order] for (_, counted), order in zip(due, orders, strict=True)]),
        )

    def first(self) -> Due | None:
        """The counts so far of the first minute that was not given out, of the keys that were added to since
        the last call; None where there are none."""
        touched, self._touched = self._touched, []
        open_ = self._minutes.get(self.closed_minute)
        if open_ is None or touched == []:
            return None
        hashes = np.sort(open_.hashes) if touched is None else np.unique(np.concatenate(touched))
        minutes = np.full(len(hashes), self.closed_minute, dtype=np.int64)
        return Due(minutes, hashes, open_.of(hashes))

    def waiting(self) -> Hashes:
        """The keys among the open counts."""
        held = [np.zeros(0, dtype=np.uint64), *(counted.hashes for counted in self._minutes.values())]
        return np.unique(np.concatenate(held))

    def _forced(self) -> int:
        """The minute up to which memory forces a close: half of what is open, where that is too much."""
        sizes = {minute: len(self._minutes[minute]) for minute in sorted(self._minutes)}
        if sum(sizes.values()) <= self._max_pending:
            return -1
        half = np.searchsorted(np.cumsum(list(sizes.values())), self._max_pending / 2)
        return list(sizes)[int(half)]

    def state(self) -> dict[str, Any]:
        """What a snapshot holds."""
        return {
            "minutes": [(minute, self._minutes[minute].state()) for minute in sorted(self._minutes)],
            "closed": self.closed_minute,
            "missed": self.missed_events,
        }

    def load(self, state: dict[str, Any]) -> None:
        for minute, saved in state["minutes"]:
            self._minutes[minute] = Counted(len(self._counted))
            self._minutes[minute].load(saved)
        self.closed_minute, self.missed_events = state["closed"], state["missed"]
