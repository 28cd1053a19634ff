"""Baselines: what is normal for each key, as decayed sums over its ordinary minutes."""

from typing import Any

import numpy as np

from detectors.arrays import Arrays, Column
from detectors.base import StatisticConfig, TestKind
from detectors.evidence import (
    PRIOR_RATE_HITS,
    PRIOR_RATE_MINUTES,
    Baseline,
    Flags,
    Floats,
    Ints,
    Judged,
)

SUMS = ("hits", "weight", "spread", "scale")
"""The baseline's decayed sums; `held_…` are of minutes too unlikely to be learned from at once."""
LEVEL_AFTER_MINUTES = 60
"""A rate is known well enough to tell seasons by after so many minutes."""


class Baselines:
    """Of one statistic, indexed by slot."""

    def __init__(self, config: StatisticConfig, test: TestKind) -> None:
        self._config = config
        self._test: TestKind = test
        self._keep = 0.5 ** (1 / config.half_life_minutes)
        names = (
            *SUMS,
            *(f"held_{name}" for name in SUMS),
            "held_minutes",
            "learned_minutes",
            "learned_events",
        )
        self._arrays = Arrays({name: Column(np.float32) for name in names})
        self.grow, self.clear = self._arrays.grow, self._arrays.clear
        self.take, self.put = self._arrays.take, self._arrays.put

    def of(self, slots: Ints) -> Baseline:
        """What these slots have learned."""
        return Baseline(*(self._arrays[name][slots].astype(np.float64) for name in SUMS))

    def learned_minutes(self, slots: Ints) -> Floats:
        """How many minutes were learned from."""
        return self._arrays["learned_minutes"][slots].astype(np.float64)

    def learned(self, slots: Ints) -> Flags:
        """Whether enough was seen for the statistic to speak."""
        enough = self._arrays["learned_minutes"][slots] >= self._config.learning_minutes
        if self._test == "ratio":
            enough &= self._arrays["learned_events"][slots] >= self._config.learning_events
        return enough

    def level(self, slots: Ints) -> Floats:
        """Hits a minute with the season taken out."""
        hits = self._arrays["hits"][slots].astype(np.float64) + PRIOR_RATE_HITS
        return hits / (self._arrays["weight"][slots] + PRIOR_RATE_MINUTES)

    def error(self, slots: Ints) -> Floats:
        """Of the level, twice its standard error."""
        weight = self._arrays["weight"][slots].astype(np.float64) + PRIOR_RATE_MINUTES
        return 2 * np.sqrt(self._arrays["hits"][slots].astype(np.float64) + 1) / weight

    def levels(self) -> Floats:
        """Of all slots, hits a minute with the season taken out; 0: not known yet."""
        known = self._arrays["learned_minutes"] >= LEVEL_AFTER_MINUTES
        level = (self._arrays["hits"] + PRIOR_RATE_HITS) / (self._arrays["weight"] + PRIOR_RATE_MINUTES)
        return np.where(known, level, 0.0).astype(np.float64)

    def learn_idle(self, slots: Ints, minutes: Floats, factor: Floats, mean: Floats) -> None:
        """Minutes without hits, of these seasonal factors and normal means (rates)."""
        self._decay(slots, minutes)
        added = (1 - self._keep**minutes) / (1 - self._keep)
        idle = {"weight": factor, "spread": mean**2 - mean, "scale": mean**2}
        for name, value in idle.items():
            self._arrays[name][slots] += added * value
        self._arrays["learned_minutes"][slots] += minutes

    def learn(
        self, slots: Ints, minute: dict[str, Floats], calm: Flags, is_over: Flags, unlikely: Flags
    ) -> None:
        """Add a minute's sums. An unlikely one is held back: once the key was quiet for long enough
        (`is_over`) without an episode (`calm`) it counts after all; an episode drops it."""
        arrays = self._arrays
        self._drop_held(slots[~calm])
        held = calm & unlikely & self.learned(slots)
        for name in SUMS:
            arrays[f"held_{name}"][slots[held]] += minute[name][held]
        arrays["held_minutes"][slots[held]] += 1
        self._release_held(slots[calm & is_over & (arrays["held_minutes"][slots] > 0)])
        teach = calm & ~held
        self._decay(slots[teach], np.ones(int(teach.sum())))
        for name in SUMS:
            arrays[name][slots[teach]] += minute[name][teach]
        arrays["learned_minutes"][slots[teach]] += 1
        arrays["learned_events"][slots[teach]] += minute["events"][teach]

    def sums_of(
        self, judged: Judged, hits: Ints | Floats, eligible: Ints, factor: Floats
    ) -> dict[str, Floats]:
        """What a judged minute adds."""
        events = eligible.astype(np.float64)
        return {
            "hits": hits.astype(np.float64),
            "weight": factor if self._test == "rate" else events,
            "spread": judged.spread,
            "scale": judged.scale,
            "events": events,
        }

    def _release_held(self, slots: Ints) -> None:
        for name in SUMS:
            self._arrays[name][slots] += self._arrays[f"held_{name}"][slots]
        self._drop_held(slots)

    def _drop_held(self, slots: Ints) -> None:
        for name in SUMS:
            self._arrays[f"held_{name}"][slots] = 0
        self._arrays["held_minutes"][slots] = 0

    def _decay(self, slots: Ints, minutes: Floats) -> None:
        kept = self._keep**minutes
        for name in SUMS:
            self._arrays[name][slots] *= kept

    def state(self) -> Any:
        return self._arrays.state()

    def load(self, state: Any) -> None:
        self._arrays.load(state)
