"""Minutes of event time: counts wait until the watermark closes them, then all statistics are stepped."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import polars as pl

from detectors.base import CountingDetector
from detectors.evidence import Ints
from detectors.key import Key
from pipeline.detect.open_counts import KEY, OpenCounts
from pipeline.detect.slots import Slots, rounds
from pipeline.detect.statistics import Crossed, Statistic


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
        self._open = OpenCounts(KEY, ["events", *self._columns], max_pending)
        self._slots = Slots(max_keys, self._grow, self._clear)

    @property
    def keys(self) -> int:
        """Keys with a baseline or one in the making."""
        return len(self._slots)

    @property
    def agents(self) -> set[str]:
        """The agents with a baseline, or with counts that wait."""
        return self._open.waiting("agent") | {key.agent_id for key in self._slots.slots}

    @property
    def missed_events(self) -> int:
        """Events that came after their minute was judged."""
        return self._open.missed_events

    def add(self, grouped: pl.DataFrame) -> None:
        """Add counts: `minute`, the key, `events`, and two columns a detector."""
        self._open.add(grouped)

    def close(self, before_minute: int) -> list[Moment]:
        """Judge every minute below `before_minute`, in time order."""
        due = self._open.close(before_minute)
        return [] if due is None else self._judge(due)

    def forget(self, environment: str, agent_id: str) -> None:
        """Forget what was learned of one agent; minutes that wait are kept."""
        self._slots.forget(environment, agent_id)

    def _judge(self, due: pl.DataFrame) -> list[Moment]:
        keys = [Key(*row) for row in due.select(list(KEY)).iter_rows()]
        slots = self._slots.of(keys)
        minutes = due["minute"].to_numpy().astype(np.int64)
        counts = due.select(self._columns).to_numpy().astype(np.int64)
        moments: list[Moment] = []
        for rows in rounds(slots, minutes):
            at, minute = slots[rows], minutes[rows]
            gap = self._slots.gaps(at, minute)
            for index, statistic in enumerate(self._statistics):
                hits, eligible = counts[rows, 2 * index], counts[rows, 2 * index + 1]
                for crossed in statistic.step(at, minute, gap, hits, eligible):
                    row = int(rows[crossed.row])
                    moments.append(Moment(int(minutes[row]), keys[row], index, crossed))
            self._slots.last[at] = minute
        self._slots.evict()
        return sorted(moments, key=lambda m: (m.minute, m.key, m.detector))

    def _grow(self, slots: int) -> None:
        for statistic in self._statistics:
            statistic.grow(slots)

    def _clear(self, slots: Ints) -> None:
        for statistic in self._statistics:
            statistic.clear(slots)

    def state(self) -> dict[str, Any]:
        """What a snapshot holds."""
        return {
            "open": self._open.state(),
            "slots": self._slots.state(),
            "statistics": [statistic.state() for statistic in self._statistics],
        }

    def load(self, state: dict[str, Any]) -> None:
        self._open.load(state["open"])
        self._slots.load(state["slots"])
        for statistic, saved in zip(self._statistics, state["statistics"], strict=True):
            statistic.load(saved)
