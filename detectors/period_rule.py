"""The form of rules over a period of event time: judged once no punctual event of it can come any more."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any, ClassVar

from detectors.base import Conclusion, Watermark

if TYPE_CHECKING:
    import polars as pl

MERGE_FRAMES = 64
MAX_ROWS = 500_000
"""Distinct rows that wait at most; beyond it the oldest period is judged early."""


class PeriodRule(ABC):
    """Base of detectors that collect distinct rows of each period and judge them together.

    Late rows are left out: whether they come before or after the judgement depends on arrival. So are those
    of unbound sources.
    """

    columns: ClassVar[dict[str, type]]
    """What rows are told apart by: strings."""
    looks_at: ClassVar[tuple[str, ...]]
    """Columns that `collect` needs besides whose rows they are and when."""

    def __init__(self, period_ms: int) -> None:
        self.period_ms = period_ms
        self._frames: list[pl.DataFrame] = []
        self._closed = -1
        """Periods below this one are judged and done."""

    @abstractmethod
    def collect(self, rows: pl.DataFrame) -> pl.DataFrame:
        """The rows that matter, with `columns` and `event_ms`."""

    @abstractmethod
    def judge(self, period: int, rows: pl.DataFrame) -> list[Conclusion]:
        """What a whole period proves; `rows` has `columns` and `first_ms`, sorted. Periods come in order."""

    def observe(self, rows: pl.DataFrame) -> list[Conclusion]:
        """Nothing is proven before the period has ended."""
        import polars as pl

        narrow = rows.select("key", "env", "agent", "via", "event_ms", "bound", "late", *self.looks_at)
        kept = self.collect(narrow.filter(pl.col("bound") & ~pl.col("late")))
        if kept.is_empty():
            return []
        period = (pl.col("event_ms") // self.period_ms).alias("period")
        kept = kept.select(*self.columns, period, pl.col("event_ms").alias("first_ms"))
        self._frames.append(self._distinct(kept.filter(pl.col("period") >= self._closed)))
        if len(self._frames) >= MERGE_FRAMES:
            self._merge()
        return []

    def close(self, watermark: Watermark) -> list[Conclusion]:
        """Judge the periods that have ended, and the oldest where too much waits."""
        if not self._frames:
            return []
        before = self._closed if watermark.event_ms is None else watermark.event_ms // self.period_ms
        if sum(frame.height for frame in self._frames) > MAX_ROWS:
            self._merge()
            if self._frames[0].height > MAX_ROWS:
                oldest: Any = self._frames[0]["period"].min()
                before = max(before, int(oldest) + 1)
        return self._judge_below(before) if before > self._closed else []

    def _judge_below(self, before: int) -> list[Conclusion]:
        import polars as pl

        self._closed = before
        self._merge()
        ended = pl.col("period") < before
        due = self._frames[0].filter(ended).sort("period", *self.columns)
        self._frames = [self._frames[0].filter(~ended)]
        return [
            conclusion
            for (period,), rows in due.group_by("period", maintain_order=True)
            for conclusion in self.judge(int(str(period)), rows.drop("period"))
        ]

    def _distinct(self, rows: pl.DataFrame) -> pl.DataFrame:
        import polars as pl

        return rows.group_by(*self.columns, "period").agg(pl.col("first_ms").min())

    def _merge(self) -> None:
        import polars as pl

        if len(self._frames) > 1:
            self._frames = [self._distinct(pl.concat(self._frames))]

    def state(self) -> Any:
        """What waits, and what is done."""
        self._merge()
        waiting = self._frames[0].rows() if self._frames else []
        return {"closed": self._closed, "waiting": waiting}

    def load(self, state: Any) -> None:
        """Take over a snapshot's state."""
        import polars as pl

        schema = {**self.columns, "period": int, "first_ms": int}
        self._closed = state["closed"]
        self._frames = [pl.DataFrame(state["waiting"], schema=schema, orient="row")]
