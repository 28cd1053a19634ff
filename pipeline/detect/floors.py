"""Floors: counts in overlapping minutes of append time that only grow, so that order cannot matter.

A finding is raised as soon as a window's count proves it, once per key and period of five minutes;
whichever partition is read first, in the end the same (key, period) pairs have fired.
"""

from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
import polars as pl

from detectors.key import Key
from detectors.places import Hashes
from detectors.window import MINUTE_MS, STEP_MS, STEPS_PER_WINDOW, steps_of, windows_of
from pipeline.detect.counted import Counted, Counts, matrix, summed

PERIOD_MS = 5 * MINUTE_MS
STEPS_PER_PERIOD = PERIOD_MS // STEP_MS
KEEP_STEPS = 4
"""Steps of broker time that are kept below the slowest partition."""
MAX_COUNTS = 400_000
"""(key, step) pairs that are kept at most; beyond it the least recently touched steps go."""
MAX_FIRED = 100_000


class Step(NamedTuple):
    """Counts that belong together in half a minute."""

    trusted: bool
    """Stamped by a broker, of a bound source: only broker time may make older steps expire, and untrusted
    clocks share no step with it."""
    late: bool
    number: int


class Reached(NamedTuple):
    """A floor that a key has reached."""

    floor: int
    """Position of the detector among those with a floor."""
    key: Key
    window_step: int
    period: int
    """The five minutes in which the window ends: part of the finding's identity."""
    count_so_far: int
    hash_: int
    """Of the key, without what came late."""


class Floors:
    """Counts per (step, key) of some floors."""

    def __init__(self, least: Sequence[int], limit_of: Callable[[int, Key], int]) -> None:
        """`least`: of each floor the lowest count that fires for any key. `limit_of(floor, key)`: the count
        that fires for this one."""
        self._least = np.array(least, dtype=np.uint32)
        self._limit_of = limit_of
        self.counts: OrderedDict[Step, Counted] = OrderedDict()
        self.fired: OrderedDict[tuple[int, Key, int], None] = OrderedDict()

    def add(self, grouped: pl.DataFrame, columns: list[str], rows: pl.DataFrame) -> list[Reached]:
        """Count groups of (key, trusted, late, step, one column a floor); returns what was reached now.
        `rows` have the keys' names."""
        if not columns:
            return []
        counts = matrix(grouped, columns)
        busy = np.flatnonzero(counts.any(axis=1))
        if not len(busy):
            return []
        some = grouped.select("key", "trusted", "late", "step")[busy]
        keys, counts = some["key"].to_numpy(), counts[busy]
        trusted, late = some["trusted"].to_numpy(), some["late"].to_numpy()
        steps = some["step"].to_numpy().astype(np.int64)
        reached: list[tuple[int, int, int, int, bool]] = []
        every = zip(trusted.tolist(), late.tolist(), steps.tolist(), strict=True)
        for at in sorted({Step(*one) for one in every}):
            which = (steps == at.number) & (trusted == at.trusted) & (late == at.late)
            hashes, added = summed(keys[which], counts[which])
            self._count(at, hashes, added)
            reached += self._check(at, hashes, added)
        self._limit_memory()
        return list(self._new(reached, rows)) if reached else []

    def expire(self, slowest_broker_ms: int) -> None:
        """Forget steps of broker time that no partition can add to any more."""
        last = slowest_broker_ms // STEP_MS - KEEP_STEPS
        for step in [s for s in self.counts if s.trusted and s.number < last]:
            del self.counts[step]

    def _count(self, step: Step, hashes: Hashes, added: Counts) -> None:
        if step not in self.counts:
            self.counts[step] = Counted(len(self._least))
        self.counts.move_to_end(step)
        self.counts[step].add(hashes, added)

    def _check(self, step: Step, hashes: Hashes, added: Counts) -> Iterator[tuple[int, int, int, int, bool]]:
        """(floor, hash, window, count, late) of the windows around a step that changed, for the floors that
        it changed, where some key would have reached its limit."""
        for window in windows_of(step.number):
            total = np.zeros_like(added)
            for number in steps_of(window):
                held = self.counts.get(step._replace(number=number))
                if held is not None:
                    total += held.of(hashes)
            for row, floor in zip(*np.nonzero((added > 0) & (total >= self._least)), strict=True):
                yield int(floor), int(hashes[row]), window, int(total[row, floor]), step.late

    def _new(self, reached: list[tuple[int, int, int, int, bool]], rows: pl.DataFrame) -> Iterator[Reached]:
        """Those that are new, by the limits of their own keys."""
        wanted = pl.Series([hash_ for _, hash_, *_ in reached], dtype=pl.UInt64).unique()
        named = rows.filter(pl.col("key").is_in(wanted.implode())).unique("key")
        names = {hash_: of for hash_, *of in named.select("key", "env", "agent", "via").iter_rows()}
        for floor, hash_, window, total, late in reached:
            environment, agent, via = names[hash_]
            key, period = (
                Key(environment, agent, via, late),
                (window + STEPS_PER_WINDOW - 1) // STEPS_PER_PERIOD,
            )
            if (floor, key, period) not in self.fired and total >= self._limit_of(floor, key):
                self.fired[(floor, key, period)] = None
                yield Reached(floor, key, window, period, total, hash_)

    def _limit_memory(self) -> None:
        held = sum(map(len, self.counts.values()))
        while held > MAX_COUNTS and len(self.counts) > 1:
            held -= len(self.counts.popitem(last=False)[1])
        while len(self.fired) > MAX_FIRED:
            self.fired.popitem(last=False)

    def state(self) -> dict[str, Any]:
        """What a snapshot holds, in an order that restores the same memory limits."""
        return {
            "counts": [(*step, counted.state()) for step, counted in self.counts.items()],
            "fired": [(floor, *key, period) for floor, key, period in self.fired],
        }

    def load(self, state: dict[str, Any]) -> None:
        for *step, saved in state["counts"]:
            counted = self.counts[Step(*step)] = Counted(len(self._least))
            counted.load(saved)
        for floor, env, agent, via, late, period in state["fired"]:
            self.fired[(floor, Key(env, agent, via, late), period)] = None
