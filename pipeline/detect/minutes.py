"""Minutes of event time: counts wait until the watermark closes them, then all statistics are stepped."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import polars as pl

from detectors.base import CountingDetector, TestKind
from detectors.evidence import Ints
from detectors.key import Key
from pipeline.detect.open_counts import KEY, OpenCounts
from pipeline.detect.slots import Slots, rounds
from pipeline.detect.statistics import Crossed, Statistic

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

    def __init__(self, detectors: Sequence[CountingDetector], max_keys: int, max_pending: int) -> None:
        tested: list[tuple[CountingDetector, TestKind]]
        tested = [(d, d.test) for d in detectors if d.test is not None]
        self._columns = [f"{d.name}.{part}" for d, _ in tested for part in ("hits", "eligible")]
        self._statistics = [Statistic(d.statistic, test) for d, test in tested]
        self._rates = [index for index, (_, test) in enumerate(tested) if test == "rate"]
        self._open = OpenCounts(KEY, ["events", *self._columns], max_pending)
        self._slots = Slots(max_keys, self._grow, self._clear)
        self._groups: dict[str, int] = {}
        """Of environments: whose rates share a season."""

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

    def proven(self) -> list[Moment]:
        """What the first open minute proves already: the minutes before it are all judged."""
        hits = [self._columns[2 * index] for index in self._rates]
        if not hits:
            return []
        counts = self._open.first(pl.any_horizontal(pl.col(hits) >= LEAST_PROVING_HITS))
        if counts is None:
            return []
        keys, counted, minutes = self._read(counts)
        known = np.array([key in self._slots.slots for key in keys])
        moments: list[Moment] = []
        for index in self._rates:
            rows = np.flatnonzero(known & (counted[:, 2 * index] >= LEAST_PROVING_HITS))
            at, minute = self._slots.of([keys[row] for row in rows.tolist()]), minutes[rows]
            gap, (hit, eligible) = self._slots.gaps(at, minute), counted[rows, 2 * index : 2 * index + 2].T
            proven = self._statistics[index].proven(at, minute, gap, hit, eligible)
            moments += [Moment(int(minutes[0]), keys[int(rows[one.row])], index, one) for one in proven]
        return sorted(moments, key=lambda m: (m.key, m.detector))

    def _read(self, counts: pl.DataFrame) -> tuple[list[Key], Ints, Ints]:
        """Keys, counts (rows × columns) and minutes."""
        keys = [Key(*row) for row in counts.select(list(KEY)).iter_rows()]
        counted = counts.select(self._columns).to_numpy().astype(np.int64)
        return keys, counted, counts["minute"].to_numpy().astype(np.int64)

    def _judge(self, due: pl.DataFrame) -> list[Moment]:
        keys, counts, minutes = self._read(due)
        slots = self._slots.of(keys)
        self._assign(keys, slots)
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

    def _assign(self, keys: list[Key], slots: Ints) -> None:
        """Tell the seasons of new keys' environments; beyond a limit these share the last one's."""
        new = np.flatnonzero(self._slots.last[slots] < 0)
        environments = [keys[row].environment for row in new.tolist()]
        for environment in environments:
            if len(self._groups) < MAX_GROUPS:
                self._groups.setdefault(environment, len(self._groups))
        groups = np.array([self._groups.get(one, MAX_GROUPS - 1) for one in environments], dtype=np.int64)
        for index in self._rates if len(new) else ():
            self._statistics[index].assign(slots[new], groups)

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
            "groups": self._groups,
            "statistics": [statistic.state() for statistic in self._statistics],
        }

    def load(self, state: dict[str, Any]) -> None:
        self._open.load(state["open"])
        self._slots.load(state["slots"])
        self._groups = dict(state["groups"])
        for statistic, saved in zip(self._statistics, state["statistics"], strict=True):
            statistic.load(saved)
