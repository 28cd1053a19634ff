"""Open counts: what was counted per minute and key waits until the watermark closes the minute."""

from collections.abc import Mapping, Sequence
from typing import Any

import polars as pl

KEY: dict[str, pl.DataType] = {"env": pl.String(), "agent": pl.String(), "via": pl.String()}
"""The columns of `detectors.key.Key`, as `pipeline.detect.columns` derives them."""
MERGE_FRAMES = 64


class OpenCounts:
    """Integer counts per (minute, key columns), added up in small frames and given out once, in time order.

    Which counts a minute has when it is given out depends on its rows alone, not on how they were cut or
    interleaved, as long as fewer than `max_pending` groups are open.
    """

    def __init__(self, by: Mapping[str, pl.DataType], counted: Sequence[str], max_pending: int) -> None:
        """`by`: the key's columns, beside `minute`. `counted`: columns to add up; the first is the number
        of events."""
        self._by = ["minute", *by]
        self._counted = list(counted)
        self._schema: dict[str, pl.DataType] = {"minute": pl.Int64(), **by}
        self._schema |= dict.fromkeys(counted, pl.Int64())
        self._max_pending = max_pending
        self._frames: list[pl.DataFrame] = []
        self._rows = 0
        self._is_changed = False
        self.closed_minute = -1
        """Minutes below this one were given out."""
        self.missed_events = 0
        """Events that were punctual in their own partition but came after the close: see `Detection.join`."""

    def add(self, grouped: pl.DataFrame) -> None:
        """Add counts: a frame with `minute`, the key's columns and the counted ones; groups may repeat."""
        open_ = grouped.filter(pl.col("minute") >= self.closed_minute)
        if open_.height < grouped.height:
            closed = grouped.filter(pl.col("minute") < self.closed_minute)
            self.missed_events += int(closed[self._counted[0]].sum())
        if open_.is_empty():
            return
        self._frames.append(open_.select(list(self._schema)))
        self._is_changed = True
        self._rows += open_.height
        if len(self._frames) >= MERGE_FRAMES:
            self._merge()

    def close(self, before_minute: int) -> pl.DataFrame | None:
        """The counts of every minute below `before_minute` that were not given out yet, sorted by minute and
        key. None where there are none."""
        before_minute = max(before_minute, self._forced())
        if before_minute <= self.closed_minute:
            return None
        self.closed_minute, self._is_changed = before_minute, True
        if not self._frames:
            return None
        self._merge()
        frame = self._frames[0]
        due = frame.filter(pl.col("minute") < before_minute)
        rest = frame.filter(pl.col("minute") >= before_minute)
        self._frames, self._rows = [rest] if rest.height else [], rest.height
        return due.sort(self._by) if due.height else None

    def first(self, which: pl.Expr) -> pl.DataFrame | None:
        """The counts so far of the first minute that was not given out, of the groups that meet `which`; None
        where there are none, or where nothing changed since the last call."""
        if not self._is_changed:
            return None
        self._is_changed = False
        now = [part for frame in self._frames if (part := frame.filter(minute=self.closed_minute)).height]
        if not now:
            return None
        counts = pl.concat(now).group_by(self._by).sum().filter(which)
        return counts.sort(self._by) if counts.height else None

    def waiting(self, column: str) -> set[str]:
        """The values of a key column among the open counts."""
        return {value for frame in self._frames for value in frame[column].unique()}

    def _forced(self) -> int:
        """The minute up to which memory forces a close: half of what is open, where that is too much."""
        if self._rows <= self._max_pending:
            return -1
        self._merge()
        if self._rows <= self._max_pending:
            return -1
        return int(self._frames[0]["minute"].median() or 0)  # pyright: ignore[reportArgumentType] (a median of integers)

    def _merge(self) -> None:
        if len(self._frames) > 1:
            self._frames = [pl.concat(self._frames).group_by(self._by).sum()]
        self._rows = self._frames[0].height if self._frames else 0

    def state(self) -> dict[str, Any]:
        """What a snapshot holds."""
        self._merge()
        return {
            "pending": self._frames[0].sort(self._by).rows() if self._frames else [],
            "closed": self.closed_minute,
            "missed": self.missed_events,
        }

    def load(self, state: dict[str, Any]) -> None:
        if state["pending"]:
            self._frames = [pl.DataFrame(state["pending"], schema=self._schema, orient="row")]
            self._rows = self._frames[0].height
        self._is_changed = True
        self.closed_minute, self.missed_events = state["closed"], state["missed"]
