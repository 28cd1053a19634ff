"""Open rows: a few narrow columns of every event wait until the watermark closes its minute.

Statistics that depend on what was learned of earlier minutes (which call is slow, which action is rare,
whether a canary runs) cannot be counted as events arrive, for the minutes before may be open still.
"""

from typing import Any

import numpy as np
import polars as pl

from detectors.places import Hashes

SCHEMA: dict[str, pl.DataType] = {
    "minute": pl.Int32(),
    "key": pl.UInt64(),
    "action": pl.UInt64(),
    "trace": pl.UInt64(),
    "version": pl.UInt64(),
    "duration": pl.UInt8(),
    "tokens": pl.UInt8(),
    "marks": pl.UInt8(),
    "origin": pl.UInt16(),
    "offset": pl.Int64(),
    "item": pl.Int32(),
}
"""`key`, `action`, `trace`, `version`: hashes. `duration`, `tokens`: bins. `marks`: see below. `origin`,
`offset`, `item`: which row it is, for evidence only."""
ORDER = ["minute", "key", "action", "trace", "version", "duration", "tokens", "marks"]
FAILED, DENIED, CANARY = 1, 2, 4


class OpenRows:
    """Rows by minute, given out once, in an order that depends on what is in them alone."""

    def __init__(self, max_rows: int) -> None:
        self._max_rows = max_rows
        self._frames: list[pl.DataFrame] = []
        self._rows = 0
        self.closed_minute = -1
        """Minutes below this one were given out; what comes for them later is left out."""

    def add(self, rows: pl.DataFrame) -> None:
        """Add rows of SCHEMA."""
        open_ = rows.filter(pl.col("minute") >= self.closed_minute)
        if open_.height:
            self._frames.append(open_)
            self._rows += open_.height

    def close(self, before_minute: int) -> pl.DataFrame | None:
        """The rows of every minute below `before_minute` that were not given out yet, sorted by ORDER.
        Beyond `max_rows` the older half is given out early."""
        if self._rows > self._max_rows:
            median = pl.concat(self._frames)["minute"].median()
            before_minute = max(before_minute, int(median))  # pyright: ignore[reportArgumentType] (a median of integers)
        if before_minute <= self.closed_minute:
            return None
        self.closed_minute = before_minute
        if not self._frames:
            return None
        frame = pl.concat(self._frames)
        due = frame.filter(pl.col("minute") < before_minute)
        rest = frame.filter(pl.col("minute") >= before_minute)
        self._frames, self._rows = [rest] if rest.height else [], rest.height
        return due.sort(ORDER) if due.height else None

    def waiting(self) -> Hashes:
        """The keys of open rows."""
        held = [np.zeros(0, dtype=np.uint64), *(frame["key"].unique().to_numpy() for frame in self._frames)]
        return np.unique(np.concatenate(held))

    def state(self) -> dict[str, Any]:
        """What a snapshot holds."""
        frame = pl.concat(self._frames).sort(ORDER) if self._frames else pl.DataFrame(schema=SCHEMA)
        columns = {name: frame[name].to_numpy().tobytes() for name in SCHEMA}
        return {"columns": columns, "closed": self.closed_minute}

    def load(self, state: dict[str, Any]) -> None:
        columns = {
            name: pl.Series(name, np.frombuffer(state["columns"][name], _numpy(dtype)), dtype)
            for name, dtype in SCHEMA.items()
        }
        frame = pl.DataFrame(columns)
        self._frames, self._rows = [frame] if frame.height else [], frame.height
        self.closed_minute = state["closed"]


def _numpy(dtype: pl.DataType) -> str:
    return str(dtype).lower()
