"""Minutes of event time: counts wait until the watermark closes them, then all statistics are stepped."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import polars as pl

from detectors.base import CountingDetector, TestKind
from detectors.evidence import Ints
from detectors.key import Key
from detectors.places import Hashes
from pipeline.detect.counted import Counts
from pipeline.detect.open_counts import Due, OpenCounts
from pipeline.detect.slots import Slots, gaps, rounds
from pipeline.detect.statistics import Crossed, Progress, Statistic

MAX_GROUPS = 64
LEAST_PROVING_HITS = 5
"""Fewer hits are not looked at before their minute is closed: they would prove nothing."""


class Moment(NamedTuple):
    """A crossing: which detector, whose, in which minute."""

    minute: int
    key: Key
    detector: int
    crossed: Crossed


class Minutes:
    """Open (minute, key) counts, and the statistics of all keys."""

    def __init__(self, detectors: Sequence[CountingDetector], slots: Slots, max_pending: int) -> None:
        tested: list[tuple[CountingDetector, TestKind]]
        tested = [(d, d.test) for d in detectors if d.test is not None]
        self._columns = [f"{d.name}.{part}" for d, _ in tested for part in ("hits", "eligible")]
        """Two a detector, behind the number of events."""
        self._names = [d.name for d, _ in tested]
        self._statistics = [Statistic(d.statistic, test) for d, test in tested]
        self._rates = [index for index, (_, test) in enumerate(tested) if test == "rate"]
        self._open = OpenCounts(["events", *self._columns], max_pending)
        self._slots = slots
        slots.listen(self._grow, self._clear)
        self._groups: dict[str, int] = {}
        """Of environments: whose rates share a season."""

    def add(self, grouped: pl.DataFrame) -> None:
        """Add counts: `minute`, `key`, `events`, and two columns a detector."""
        self._open.add(grouped)

    def close(self, before_minute: int) -> list[Moment]:
        """Judge every minute below `before_minute`, in time order."""
        due = self._open.close(before_minute)
        return [] if due is None else self._judge(due)

    def progress(self, slots: Ints, minute: int) -> dict[str, list[Progress]]:
        """By detector how far these slots are in learning."""
        return {
            name: statistic.progress(slots, minute)
            for name, statistic in zip(self._names, self._statistics, strict=True)
        }

    def waiting(self) -> Hashes:
        """The keys that will be judged."""
        return self._open.waiting()

    def proven(self) -> list[Moment]:
        """What the first open minute proves already: the minutes before it are all judged."""
        counted = self._open.first() if self._rates else None
        if counted is None:
            return []
        slots = self._slots.find(counted.hashes)
        moments: list[Moment] = []
        for index in self._rates:
            hits, eligible = _of(counted.counts, index)
            rows = np.flatnonzero((slots >= 0) & (hits >= LEAST_PROVING_HITS))
            if len(rows):
                at, minute = slots[rows], counted.minutes[rows]
                gap = gaps(self._slots.last[at], minute)
                proven = self._statistics[index].proven(at, minute, gap, hits[rows], eligible[rows])
                moments += [
                    Moment(int(minute[0]), self._slots.key(int(at[one.row])), index, one) for one in proven
                ]
        return sorted(moments, key=lambda m: (m.key, m.detector))

    def _judge(self, due: Due) -> list[Moment]:
        slots = self._slots.of(due.hashes)
        self._assign(slots)
        moments: list[Moment] = []
        for rows in rounds(slots, due.minutes):
            at, minute = slots[rows], due.minutes[rows]
            gap = gaps(self._slots.last[at], minute)
            counts = due.counts[rows]
            for index, statistic in enumerate(self._statistics):
                for crossed in statistic.step(at, minute, gap, *_of(counts, index)):
                    slot, now = int(at[crossed.row]), int(minute[crossed.row])
                    moments.append(Moment(now, self._slots.key(slot), index, crossed))
            self._slots.last[at] = minute
        return sorted(moments, key=lambda m: (m.minute, m.key, m.detector))

    def _assign(self, slots: Ints) -> None:
        """Tell the seasons of new keys' environments; beyond a limit these share the last one's."""
        new = slots[self._slots.last[slots] < 0]
        environments = [self._slots.key(slot).environment for slot in new.tolist()]
        for environment in environments:
            if len(self._groups) < MAX_GROUPS:
                self._groups.setdefault(environment, len(self._groups))
        groups = np.array([self._groups.get(one, MAX_GROUPS - 1) for one in environments], dtype=np.int64)
        for index in self._rates if len(new) else ():
            self._statistics[index].assign(new, groups)

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
            "groups": self._groups,
            "statistics": [statistic.state() for statistic in self._statistics],
        }

    def load(self, state: dict[str, Any]) -> None:
        self._open.load(state["open"])
        self._groups = dict(state["groups"])
        for statistic, saved in zip(self._statistics, state["statistics"], strict=True):
            statistic.load(saved)


def _of(counts: Counts, index: int) -> tuple[Ints, Ints]:
    """(hits, eligible) of one detector."""
    pair = counts[:, 1 + 2 * index : 3 + 2 * index].astype(np.int64)
    return pair[:, 0], pair[:, 1]
