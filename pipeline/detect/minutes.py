"""Minutes of event time: counts wait until the watermark closes them, then all statistics are stepped."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import polars as pl

from detectors.base import CountingDetector
from detectors.evidence import Ints
from detectors.key import Key
from pipeline.detect.statistics import Crossed, Statistic

GROUP = ["minute", "env", "agent", "via"]
MERGE_FRAMES = 64
FIRST_SLOTS = 1024
EVICT_SHARE = 0.1


class Moment(NamedTuple):
    """A crossing: which detector, whose, in which minute."""

    minute: int
    key: Key
    detector: int
    crossed: Crossed


class Minutes:
    """Open (minute, key) counts, and the statistics of all keys."""

    def __init__(self, detectors: Sequence[CountingDetector], max_keys: int, max_pending: int) -> None:
        self._columns = [f"{d.name}.{part}" for d in detectors for part in ("hits", "eligible")]
        self._statistics = [Statistic(d.statistic, d.test) for d in detectors if d.test is not None]
        self._max_keys = max_keys
        self._max_pending = max_pending
        self._pending: list[pl.DataFrame] = []
        self._pending_rows = 0
        self._slots: dict[Key, int] = {}
        self._free: list[int] = []
        self._last = np.full(0, -1, dtype=np.int64)
        self.closed_minute = -1
        """Minutes below this one are judged and done."""
        self.missed_events = 0
        """Events that were punctual in their own partition but came after the close: see `Detection.join`."""

    @property
    def keys(self) -> int:
        """Keys with a baseline or one in the making."""
        return len(self._slots)

    @property
    def agents(self) -> set[str]:
        """The agents with a baseline, or with counts that wait."""
        waiting = {agent for frame in self._pending for agent in frame["agent"].unique()}
        return waiting | {key.agent_id for key in self._slots}

    def add(self, grouped: pl.DataFrame) -> None:
        """Add counts: GROUP, `events`, and two columns a detector."""
        open_ = grouped.filter(pl.col("minute") >= self.closed_minute)
        if open_.height < grouped.height:
            closed = grouped.filter(pl.col("minute") < self.closed_minute)
            self.missed_events += sum(closed["events"].to_list())
        if open_.is_empty():
            return
        self._pending.append(open_.select(*GROUP, "events", *self._columns))
        self._pending_rows += open_.height
        if len(self._pending) >= MERGE_FRAMES:
            self._merge()

    def close(self, before_minute: int) -> list[Moment]:
        """Judge every minute below `before_minute`, in time order."""
        if self._pending_rows > self._max_pending:
            self._merge()
            if self._pending_rows > self._max_pending:
                before_minute = max(before_minute, int(self._pending[0]["minute"].median() or 0))  # pyright: ignore[reportArgumentType] (a median of integers)
        if before_minute <= self.closed_minute:
            return []
        self.closed_minute = before_minute
        if not self._pending:
            return []
        self._merge()
        frame = self._pending[0]
        due = frame.filter(pl.col("minute") < before_minute)
        rest = frame.filter(pl.col("minute") >= before_minute)
        self._pending, self._pending_rows = [rest] if rest.height else [], rest.height
        return self._judge(due) if due.height else []

    def _merge(self) -> None:
        if len(self._pending) > 1:
            self._pending = [pl.concat(self._pending).group_by(GROUP).sum()]
        self._pending_rows = self._pending[0].height if self._pending else 0

    def _judge(self, due: pl.DataFrame) -> list[Moment]:
        due = due.sort(GROUP)
        keys = [Key(*row) for row in due.select("env", "agent", "via").iter_rows()]
        slots = self._slots_of(keys)
        minutes = due["minute"].to_numpy().astype(np.int64)
        counts = due.select(self._columns).to_numpy().astype(np.int64)
        moments: list[Moment] = []
        for rows in _rounds(slots):
            at, minute = slots[rows], minutes[rows]
            gap = np.where(self._last[at] >= 0, np.maximum(minute - self._last[at] - 1, 0), 0)
            for index, statistic in enumerate(self._statistics):
                hits, eligible = counts[rows, 2 * index], counts[rows, 2 * index + 1]
                for crossed in statistic.step(at, minute, gap, hits, eligible):
                    row = int(rows[crossed.row])
                    moments.append(Moment(int(minutes[row]), keys[row], index, crossed))
            self._last[at] = minute
        self._evict()
        return sorted(moments, key=lambda m: (m.minute, m.key, m.detector))

    def _slots_of(self, keys: list[Key]) -> Ints:
        known = self._slots
        found = np.empty(len(keys), dtype=np.int64)
        for row, key in enumerate(keys):
            slot = known.get(key)
            if slot is None:
                slot = known[key] = self._free.pop() if self._free else self._new_slot()
            found[row] = slot
        return found

    def _new_slot(self) -> int:
        if len(self._slots) >= len(self._last):
            more = max(FIRST_SLOTS, len(self._last))
            self._last = np.concatenate([self._last, np.full(more, -1, dtype=np.int64)])
            for statistic in self._statistics:
                statistic.grow(len(self._last))
        return len(self._slots)

    def _evict(self) -> None:
        """Forget the longest unseen keys, and at a tie the last by name: a function of what was judged."""
        if len(self._slots) <= self._max_keys:
            return
        excess = len(self._slots) - int(self._max_keys * (1 - EVICT_SHARE))
        oldest = sorted(self._slots.items(), key=lambda item: (self._last[item[1]], item[0]))[:excess]
        freed = np.array([slot for _, slot in oldest], dtype=np.int64)
        for key, _ in oldest:
            del self._slots[key]
        for statistic in self._statistics:
            statistic.clear(freed)
        self._last[freed] = -1
        self._free.extend(int(slot) for slot in freed)

    def state(self) -> dict[str, Any]:
        """What a snapshot holds."""
        self._merge()
        pending = self._pending[0].sort(GROUP).rows() if self._pending else []
        return {
            "pending": pending,
            "slots": [(*key[:3], slot) for key, slot in self._slots.items()],
            "free": self._free,
            "last": self._last.tobytes(),
            "closed": self.closed_minute,
            "missed": self.missed_events,
            "statistics": [statistic.state() for statistic in self._statistics],
        }

    def load(self, state: dict[str, Any], schema: dict[str, pl.DataType]) -> None:
        if state["pending"]:
            self._pending = [pl.DataFrame(state["pending"], schema=schema, orient="row")]
            self._pending_rows = self._pending[0].height
        self._slots = {Key(*row[:3]): row[3] for row in state["slots"]}
        self._free = list(state["free"])
        self._last = np.frombuffer(state["last"], dtype=np.int64).copy()
        self.closed_minute, self.missed_events = state["closed"], state["missed"]
        for statistic, saved in zip(self._statistics, state["statistics"], strict=True):
            statistic.load(saved)

    def schema(self) -> dict[str, pl.DataType]:
        """Of the pending counts."""
        keys: dict[str, pl.DataType] = {
            "minute": pl.Int64(),
            "env": pl.String(),
            "agent": pl.String(),
            "via": pl.String(),
        }
        return keys | dict.fromkeys(["events", *self._columns], pl.Int64())


def _rounds(slots: Ints) -> list[Ints]:
    """Rows (sorted by minute) in rounds: the first minute of every slot, then the second, …"""
    order = np.argsort(slots, kind="stable")
    ordered = slots[order]
    starts = np.r_[0, np.flatnonzero(np.diff(ordered)) + 1]
    rank = np.arange(len(slots)) - np.repeat(starts, np.diff(np.r_[starts, len(slots)]))
    by_rank = np.argsort(rank, kind="stable")
    cuts = np.flatnonzero(np.diff(rank[by_rank])) + 1
    return [order[part] for part in np.split(by_rank, cuts)]
