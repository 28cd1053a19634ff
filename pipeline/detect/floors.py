"""Floors: counts in overlapping minutes of append time that only grow, so that order cannot matter.

A finding is raised as soon as a window's count proves it, once per key and period of five minutes;
whichever partition is read first, in the end the same (key, period) pairs have fired.
"""

from collections import OrderedDict
from collections.abc import Callable
from typing import Any, NamedTuple

import polars as pl

from detectors.key import Key
from detectors.window import MINUTE_MS, STEP_MS, STEPS_PER_WINDOW, steps_of, windows_of

PERIOD_MS = 5 * MINUTE_MS
STEPS_PER_PERIOD = PERIOD_MS // STEP_MS
KEEP_STEPS = 4
"""Steps of broker time that are kept below the slowest partition."""
MAX_COUNTS = 400_000
"""(key, step) pairs that are kept at most; beyond it the least recently touched steps go."""
MAX_FIRED = 100_000

NOTHING: dict[Key, list[int]] = {}
Step = tuple[bool, int]
"""(stamped by a broker, step): only broker time may make older steps expire."""


class Reached(NamedTuple):
    """A floor that a key has reached."""

    floor: int
    """Position of the detector among those with a floor."""
    key: Key
    window_step: int
    period: int
    """The five minutes in which the window ends: part of the finding's identity."""
    count_so_far: int


class Floors:
    """Counts per (step, key) of `floors` floors. `limit_of(floor, key)`: the count that fires."""

    def __init__(self, floors: int, limit_of: Callable[[int, Key], int]) -> None:
        self._floors = range(floors)
        self._limit_of = limit_of
        self.counts: OrderedDict[Step, dict[Key, list[int]]] = OrderedDict()
        self.fired: OrderedDict[tuple[int, Key, int], None] = OrderedDict()
        self._held = 0

    def add(self, grouped: pl.DataFrame, columns: list[str]) -> list[Reached]:
        """Count rows of (env, agent, via, late, step, one column a floor); returns what was reached now."""
        reached: list[Reached] = []
        busy = grouped.filter(pl.any_horizontal(pl.col(columns) > 0)).sort(
            "step", "env", "agent", "via", "late"
        )
        for env, agent, via, late, step, *added in busy.select(
            "env", "agent", "via", "late", "step", *columns
        ).iter_rows():
            key = Key(env, agent, via, late)
            # Untrusted clocks and broker time do not share steps: see Step.
            at = (via == "", step)
            self._count(at, key, added)
            reached += self._check(key, at, added)
        self._limit_memory()
        return reached

    def expire(self, slowest_broker_ms: int) -> None:
        """Forget steps of broker time that no partition can add to any more."""
        last = slowest_broker_ms // STEP_MS - KEEP_STEPS
        for step in [s for s in self.counts if s[0] and s[1] < last]:
            self._held -= len(self.counts.pop(step))

    def _count(self, step: Step, key: Key, added: list[int]) -> None:
        keys = self.counts.get(step)
        if keys is None:
            keys = self.counts[step] = {}
        else:
            self.counts.move_to_end(step)
        held = keys.get(key)
        if held is None:
            keys[key] = list(added)
            self._held += 1
        else:
            for position, count in enumerate(added):
                held[position] += count

    def _check(self, key: Key, step: Step, added: list[int]) -> list[Reached]:
        """The windows around a step that changed, for the floors that it changed."""
        trusted, changed = step
        reached: list[Reached] = []
        for window in windows_of(changed):
            parts = [self.counts.get((trusted, s), NOTHING).get(key) for s in steps_of(window)]
            for floor in self._floors:
                if not added[floor]:
                    continue
                total = sum(part[floor] for part in parts if part)
                if total >= self._limit_of(floor, key):
                    period = (window + STEPS_PER_WINDOW - 1) // STEPS_PER_PERIOD
                    if (floor, key, period) not in self.fired:
                        self.fired[(floor, key, period)] = None
                        reached.append(Reached(floor, key, window, period, total))
        return reached

    def _limit_memory(self) -> None:
        while self._held > MAX_COUNTS and len(self.counts) > 1:
            self._held -= len(self.counts.popitem(last=False)[1])
        while len(self.fired) > MAX_FIRED:
            self.fired.popitem(last=False)

    def state(self) -> dict[str, Any]:
        """What a snapshot holds, in an order that restores the same memory limits."""
        return {
            "counts": [
                (trusted, step, [(*key, counts) for key, counts in keys.items()])
                for (trusted, step), keys in self.counts.items()
            ],
            "fired": [(floor, *key, period) for floor, key, period in self.fired],
        }

    def load(self, state: dict[str, Any]) -> None:
        for trusted, step, keys in state["counts"]:
            self.counts[(trusted, step)] = {Key(*row[:4]): list(row[4]) for row in keys}
        for floor, env, agent, via, late, period in state["fired"]:
            self.fired[(floor, Key(env, agent, via, late), period)] = None
        self._held = sum(len(keys) for keys in self.counts.values())
