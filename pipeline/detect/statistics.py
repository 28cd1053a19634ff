"""One detector's e-detector state for all keys: arrays indexed by a key's slot, stepped vectorised.

A key is stepped only in minutes in which it had events; the idle minutes in between are caught up in
closed form at its next event. So what a key goes through depends on its own minutes alone.
"""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from detectors.base import Seen, StatisticConfig, TestKind
from detectors.evidence import (
    IDLE_CREDIT_MINUTES,
    LOG_HEADROOM,
    Baseline,
    Floats,
    Ints,
    Judged,
    add_idle_minutes,
    add_minute,
    idle_rate,
    judge_rate,
    judge_ratio,
    mixture,
)

LOG_ORDINARY_P = float(np.log(0.1))
"""A minute that is likelier than this under the baseline counts towards the end of an episode."""
Flags = NDArray[np.bool_]

SUMS = ("hits", "weight", "spread", "minutes")
"""The baseline's decayed sums; `held_…` are of minutes too unlikely to be learned from at once."""
COLUMNS = (
    *SUMS,
    *(f"held_{name}" for name in SUMS),
    "learned_minutes",
    "learned_events",
    "level",
    "quiet",
    "since",
)
"""Per slot, besides the sums: minutes and events learned from; the episode (0 none, 1 page, 2 trip
level) and the minute in which it began; ordinary minutes in a row."""


class Crossed(NamedTuple):
    """A key whose e-value crossed a threshold in the minute just stepped."""

    row: int
    """Position among the stepped keys."""
    level: int
    seen: Seen


class Statistic:
    """The statistic of one detector."""

    def __init__(self, config: StatisticConfig, test: TestKind) -> None:
        self._config = config
        self._test: TestKind = test
        self._log_page = float(np.log(config.page_at))
        self._log_trip = float(np.log(config.trip_at))
        self._cap = max(self._log_page, self._log_trip) + float(LOG_HEADROOM)
        self._keep = 0.5 ** (1 / config.half_life_minutes)
        self._columns = {name: np.zeros(0) for name in COLUMNS}
        self._log_r: Floats = np.full((0, len(config.multiples)), -np.inf)

    def grow(self, slots: int) -> None:
        """Make room for so many slots."""
        more = slots - len(self._log_r)
        self._log_r = np.vstack([self._log_r, np.full((more, self._log_r.shape[1]), -np.inf)])
        self._columns = {k: np.concatenate([v, np.zeros(more)]) for k, v in self._columns.items()}

    def clear(self, slots: Ints) -> None:
        """Forget all about these slots."""
        self._log_r[slots] = -np.inf
        for column in self._columns.values():
            column[slots] = 0

    def step(self, slots: Ints, minute: Ints, gap: Ints, hits: Ints, eligible: Ints) -> list[Crossed]:
        """One minute with events of each slot (no slot twice), after `gap` idle minutes."""
        self._idle(slots, gap)
        able = eligible > 0
        if not able.all():
            # A minute without anything eligible says nothing about a share.
            slots, minute, hits, eligible = slots[able], minute[able], hits[able], eligible[able]
        if not len(slots):
            return []
        learned = self._learned(slots)
        base = self._baseline(slots)
        judged = (
            judge_rate(self._config, base, hits)
            if self._test == "rate"
            else judge_ratio(self._config, base, hits, eligible)
        )
        log_r = add_minute(self._log_r[slots], judged.log_ratio, self._cap)
        log_r[~learned] = -np.inf
        self._log_r[slots] = log_r
        log_e = mixture(log_r)
        crossed = self._episodes(slots, minute, log_e, judged.log_p)
        positions = np.flatnonzero(able)
        seen = [
            Crossed(
                int(positions[i]),
                level,
                self._seen(int(slots[i]), judged.normal[i], log_e[i], (hits[i], eligible[i])),
            )
            for i, level in crossed
        ]
        self._learn(slots, judged, learned, hits, eligible)
        return seen

    def _idle(self, slots: Ints, gap: Ints) -> None:
        """Catch up on minutes without events. To a share they say nothing; for a rate they are zeros:
        the evidence falls, the baseline learns, an episode goes quiet."""
        waited = gap > 0
        if self._test == "ratio" or not waited.any():
            return
        slots, gap = slots[waited], gap[waited]
        column, base = self._columns, self._baseline(slots)
        log_r = add_idle_minutes(self._log_r[slots], idle_rate(self._config, base), gap)
        log_r[~self._learned(slots)] = -np.inf
        self._log_r[slots] = np.minimum(log_r, self._cap)
        credit = np.minimum(gap, IDLE_CREDIT_MINUTES).astype(np.float64)
        self._decay(slots, credit)
        added = (1 - self._keep**credit) / (1 - self._keep)
        column["weight"][slots] += added
        column["minutes"][slots] += added
        column["spread"][slots] += added * (base.hits / np.maximum(base.weight, 1)) ** 2
        column["learned_minutes"][slots] += credit
        column["quiet"][slots] += gap
        self._recover(slots)

    def _episodes(self, slots: Ints, minute: Ints, log_e: Floats, log_p: Floats) -> list[tuple[int, int]]:
        """Begin and end episodes; returns (row, level) where a level is reached for the first time."""
        column = self._columns
        level = (log_e >= self._log_page).astype(np.float64) + (log_e >= self._log_trip)
        before = column["level"][slots]
        rows = np.flatnonzero(level > before)
        column["since"][slots] = np.where((before == 0) & (level > 0), minute, column["since"][slots])
        column["level"][slots] = np.maximum(before, level)
        column["quiet"][slots] = np.where(log_p > LOG_ORDINARY_P, column["quiet"][slots] + 1, 0)
        self._recover(slots)
        lasting = (column["level"][slots] > 0) & (
            minute - column["since"][slots] >= self._config.relearn_after_minutes
        )
        if lasting.any():
            self.clear(slots[lasting])
        return [(int(row), int(level[row])) for row in rows]

    def _recover(self, slots: Ints) -> None:
        ended = (self._columns["level"][slots] > 0) & (
            self._columns["quiet"][slots] >= self._config.quiet_minutes
        )
        if ended.any():
            self._columns["level"][slots[ended]] = 0
            self._log_r[slots[ended]] = -np.inf

    def _learn(self, slots: Ints, judged: Judged, learned: Flags, hits: Ints, eligible: Ints) -> None:
        """Add the minute to the baselines. An unlikely one is held back: once the key was quiet for long
        enough without an episode it counts after all, an episode drops it."""
        column = self._columns
        in_episode = column["level"][slots] > 0
        self._drop_held(slots[in_episode])
        unlikely = learned & (judged.log_p < np.log(self._config.freeze_below_p)) & ~in_episode
        weight = np.ones(len(slots)) if self._test == "rate" else eligible.astype(np.float64)
        minute = {"hits": hits, "weight": weight, "spread": judged.spread, "minutes": np.ones(len(slots))}
        for name in SUMS:
            column[f"held_{name}"][slots[unlikely]] += minute[name][unlikely]
        quiet = ~in_episode & (column["quiet"][slots] >= self._config.quiet_minutes)
        self._release_held(slots[quiet & (column["held_minutes"][slots] > 0)])
        teach = ~in_episode & ~unlikely
        self._decay(slots[teach], np.ones(int(teach.sum())))
        for name in SUMS:
            column[name][slots[teach]] += minute[name][teach]
        column["learned_minutes"][slots[teach]] += 1
        column["learned_events"][slots[teach]] += eligible[teach]

    def _release_held(self, slots: Ints) -> None:
        for name in SUMS:
            self._columns[name][slots] += self._columns[f"held_{name}"][slots]
        self._drop_held(slots)

    def _drop_held(self, slots: Ints) -> None:
        for name in SUMS:
            self._columns[f"held_{name}"][slots] = 0

    def _decay(self, slots: Ints, minutes: Floats) -> None:
        kept = self._keep**minutes
        for name in SUMS:
            self._columns[name][slots] *= kept

    def _learned(self, slots: Ints) -> Flags:
        enough = self._columns["learned_minutes"][slots] >= self._config.learning_minutes
        if self._test == "ratio":
            enough &= self._columns["learned_events"][slots] >= self._config.learning_events
        return enough

    def _baseline(self, slots: Ints) -> Baseline:
        column = self._columns
        return Baseline(
            column["hits"][slots], column["weight"][slots], column["spread"][slots], column["minutes"][slots]
        )

    def _seen(self, slot: int, normal: float, log_e: float, counts: tuple[int, int]) -> Seen:
        return Seen(
            hits=int(counts[0]),
            eligible=int(counts[1]),
            baseline=float(normal),
            log10_e=float(log_e / np.log(10)),
            learned_minutes=int(self._columns["learned_minutes"][slot]),
        )

    def state(self) -> dict[str, Any]:
        return {
            "log_r": self._log_r.tobytes(),
            "columns": {name: column.tobytes() for name, column in self._columns.items()},
        }

    def load(self, state: dict[str, Any]) -> None:
        alternatives = len(self._config.multiples)
        self._log_r = np.frombuffer(state["log_r"]).reshape(-1, alternatives).copy()
        self._columns = {name: np.frombuffer(state["columns"][name]).copy() for name in COLUMNS}
