"""Rows that wait until the watermark closes their minute, so that arrival decides nothing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import polars as pl

MERGE_FRAMES = 64


class Pending:
    """Distinct groups per minute, given out once, in time order. Counts of equal groups are added up.

    Columns are numbers: names wait as hashes. Beyond `max_rows` groups the older half is given out early:
    then arrival can show.
    """

    def __init__(
        self,
        by: Mapping[str, pl.DataType],
        counted: Sequence[str] = (),
        told_apart_by: Sequence[str] | None = None,
        max_rows: int = 2_000_000,
    ) -> None:
        """`by`: columns of a group, beside `minute`. `counted`: integer columns to add up. `told_apart_by`:
        columns that say alone, with the minute, which group it is; all where not given."""
        import polars as pl

        self._by = ["minute", *by]
        self._counted = list(counted)
        self._told_apart_by = self._by if told_apart_by is None else ["minute", *told_apart_by]
        self._schema: dict[str, pl.DataType] = {"minute": pl.Int32(), **by}
        self._schema |= dict.fromkeys(counted, pl.UInt32())
        self._max_rows = max_rows
        self._frames: list[pl.DataFrame] = []
        self._rows = 0
        self.closed_minute = -1
        """Minutes below this one were given out."""

    def add(self, grouped: pl.DataFrame) -> None:
        """Add groups: a frame with `minute` and all columns; what is too late for its minute is left out."""
        import polars as pl

        open_ = grouped.filter(pl.col("minute") >= self.closed_minute).select(
            pl.col(name).cast(dtype) for name, dtype in self._schema.items()
        )
        if open_.height:
            self._frames.append(open_)
            self._rows += open_.height
            if len(self._frames) >= MERGE_FRAMES:
                self._merge()

    def close(self, before_minute: int) -> pl.DataFrame | None:
        """The groups of every minute below `before_minute` that were not given out yet, by minute. None where
        nothing more has closed; an empty frame where minutes without rows have."""
        import polars as pl

        before_minute = max(before_minute, self._forced())
        if before_minute <= self.closed_minute:
            return None
        self.closed_minute = before_minute
        if not self._frames:
            return pl.DataFrame(schema=self._schema)
        self._merge()
        frame = self._frames[0]
        is_due = pl.col("minute") < before_minute
        due, rest = frame.filter(is_due), frame.filter(~is_due)
        self._frames, self._rows = [rest] if rest.height else [], rest.height
        return due.sort("minute")

    @property
    def frames(self) -> Sequence[pl.DataFrame]:
        """What waits."""
        return self._frames

    def _forced(self) -> int:
        if self._rows > self._max_rows:
            self._merge()
        if self._rows <= self._max_rows:
            return -1
        minutes = self._frames[0]["minute"].sort()
        return int(minutes[len(minutes) // 2])

    def _merge(self) -> None:
        if len(self._frames) > 1:
            import polars as pl

            everything = pl.concat(self._frames)
            self._frames = [
                everything.group_by(self._by).agg(pl.col(self._counted).sum())
                if self._counted
                else everything.unique(self._told_apart_by)
            ]
        self._rows = self._frames[0].height if self._frames else 0

    def saved(self, frame: pl.DataFrame) -> dict[str, bytes]:
        """A frame of these columns, as a snapshot holds it."""
        return {name: frame[name].to_numpy().tobytes() for name in self._schema}

    def frame(self, saved: Mapping[str, bytes]) -> pl.DataFrame:
        """What `saved` gave."""
        import polars as pl

        return pl.DataFrame(
            {
                name: pl.Series(name, np.frombuffer(saved[name], str(dtype).lower()), dtype)
                for name, dtype in self._schema.items()
            }
        )

    def state(self) -> dict[str, Any]:
        """What a snapshot holds."""
        self._merge()
        rows = self.saved(self._frames[0].sort(self._by)) if self._frames else None
        return {"rows": rows, "closed": self.closed_minute}

    def load(self, state: dict[str, Any]) -> None:
        """Take over a snapshot's state."""
        if state["rows"] is not None:
            self._frames = [self.frame(state["rows"])]
            self._rows = self._frames[0].height
        self.closed_minute = state["closed"]
