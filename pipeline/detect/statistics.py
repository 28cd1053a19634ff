"""One detector's e-detector state for all keys: arrays indexed by a key's slot, stepped vectorised.

A key is stepped only in minutes in which it had events; the idle minutes in between are caught up in
closed form at its next event. So what a key goes through depends on its own minutes alone, and on the
pooled season, which changes between hours only.
"""

from typing import Any, NamedTuple

import numpy as np

from detectors.base import Seen, StatisticConfig, TestKind
from detectors.budget import Levels, levels_of
from detectors.evidence import (
    IDLE_CREDIT_MINUTES,
    LOG_HEADROOM,
    Flags,
    Floats,
    Ints,
    Judged,
    add_idle_minutes,
    add_minute,
    idle_rate,
    judge_rate,
    judge_ratio,
    mixture,
    rate_null,
)
from pipeline.detect.arrays import Arrays, Column
from pipeline.detect.baselines import Baselines
from pipeline.detect.seasons import HOUR_MINUTES, Seasons
from pipeline.detect.temper import Tempers

TRIP = 2
LOG_ORDINARY_P = float(np.log(0.1))
"""A minute that is likelier than this under the baseline counts towards the end of an episode."""

__all__ = ["Crossed", "Flags", "Statistic"]


class Crossed(NamedTuple):
    """A key whose e-value crossed a threshold in the minute just stepped."""

    row: int
    """Position among the stepped keys."""
    level: int
    """1: pages; 2: may trip."""
    seen: Seen


class _Minute(NamedTuple):
    """What one step judges. Arrays over its keys."""

    slots: Ints
    at: Ints
    hits: Ints | Floats
    eligible: Ints
    factor: Floats
    top: Floats
    temper: Floats
    before: Floats
    """Evidence of the minutes before, keys × alternatives."""

    def only(self, row: int) -> "_Minute":
        """The same of one key."""
        at = slice(row, row + 1)
        return _Minute(
            self.slots[at],
            self.at[at],
            self.hits[at],
            self.eligible[at],
            self.factor[at],
            self.top[at],
            self.temper[at],
            self.before[at],
        )


class Statistic:
    """The statistic of one detector. All minutes of one call of `step` lie within the same hour."""

    def __init__(self, config: StatisticConfig, test: TestKind, levels: Levels | None = None) -> None:
        """`levels`: when it pages and may trip; None: as the default budget says."""
        self._config = config
        self._test: TestKind = test
        self._levels = levels or levels_of(config)
        self._cap = self._levels.log_trip + float(LOG_HEADROOM)
        self._baselines = Baselines(config, test)
        self._tempers = Tempers(self._levels.log_page)
        self._seasons = Seasons() if test == "rate" else None
        self._arrays = Arrays(
            {
                "log_r": Column(np.float32, -np.inf, len(config.multiples)),
                "level": Column(np.int8),
                "quiet": Column(np.int32),
                "since": Column(np.int32),
                "last": Column(np.int32),
                "proven": Column(np.int32),
            }
        )
        """Per slot: the evidence; the episode (0 none, 1 page, 2 trip level) and the minute in which it
        began; ordinary minutes in a row; the minute last seen; the minute that `proven` told of."""
        parts: dict[str, Any] = {"own": self._arrays, "baselines": self._baselines, "tempers": self._tempers}
        self._parts = parts if self._seasons is None else parts | {"seasons": self._seasons}
        self.renewed: Ints = np.zeros(0, dtype=np.int64)
        """The slots that the last step made learn anew, after an episode that became the new normal."""

    def grow(self, slots: int) -> None:
        """Make room for so many slots."""
        for part in self._parts.values():
            part.grow(slots)

    def clear(self, slots: Ints) -> None:
        """Forget all about these slots."""
        for part in self._parts.values():
            part.clear(slots)

    def assign(self, slots: Ints, groups: Ints) -> None:
        """Slots of the same group (environment) learn one season together."""
        if self._seasons is not None:
            self._seasons.assign(slots, groups)

    def step(
        self, slots: Ints, minute: Ints, gap: Ints, hits: Ints | Floats, eligible: Ints
    ) -> list[Crossed]:
        """One minute with events of each slot (no slot twice), after `gap` idle minutes."""
        self.renewed = slots[:0]
        if not len(slots):
            return []
        self._turn(int(minute[0]) // HOUR_MINUTES)
        self._tempers.meet(slots, minute)
        self._idle(slots, minute, gap)
        self._arrays["last"][slots] = minute
        able = eligible > 0
        if able.all():
            return self._judge(slots, minute, hits, eligible)
        # A minute without anything eligible says nothing about a share.
        positions = np.flatnonzero(able)
        crossed = self._judge(slots[able], minute[able], hits[able], eligible[able])
        return [one._replace(row=int(positions[one.row])) for one in crossed]

    def proven(self, slots: Ints, minute: Ints, gap: Ints, hits: Ints, eligible: Ints) -> list[Crossed]:
        """What an open minute proves by its count so far, at the trip level (rates only).

        All minutes before it must have been stepped. `step` will not tell of it again. Counts only grow, so
        nothing can take it back; and what it says holds from the smallest count on that crosses the level.
        """
        if self._test != "rate" or not len(slots):
            return []
        asked = self._arrays["proven"][slots] != minute
        saved = [(part, part.take(slots)) for part in self._parts.values()]
        crossed = [one for one in self.step(slots, minute, gap, hits, eligible) if one.level == TRIP]
        for part, values in saved:
            part.put(slots, values)
        crossed = [one for one in crossed if asked[one.row]]
        rows = np.array([one.row for one in crossed], dtype=np.int64)
        self._arrays["proven"][slots[rows]] = minute[rows]
        return crossed

    def _turn(self, hour: int) -> None:
        """Let the seasons learn from the hour that is over."""
        seasons = self._seasons
        if seasons is not None and hour > seasons.hour:
            calm = self._arrays["level"] == 0
            seasons.advance(hour, self._baselines.levels(), self._arrays["last"].astype(np.int64), calm)

    def _judge(self, slots: Ints, at: Ints, hits: Ints | Floats, eligible: Ints) -> list[Crossed]:
        factor, top = np.ones(len(slots)), np.zeros(len(slots))
        if self._seasons is not None:
            self._seasons.count(slots, hits)
            factor = self._seasons.factor(slots, at // HOUR_MINUTES)
            top = self._seasons.top(slots, self._baselines.level(slots) * factor)
        before = self._arrays["log_r"][slots].astype(np.float64)
        now = _Minute(slots, at, hits, eligible, factor, top, self._tempers.of(slots, at), before)
        learned = self._baselines.learned(slots)
        judged = self._judged(now)
        log_r = add_minute(before, judged.log_ratio, self._cap)
        log_e = self._tempers.adjust(slots, learned, log_r, mixture(log_r))
        self._arrays["log_r"][slots] = log_r
        crossed = self._episodes(now, np.where(learned, log_e, -np.inf), judged)
        calm = self._arrays["level"][slots] == 0
        self._tempers.end_excursions(slots[calm], log_e[calm])
        self._tempers.pass_time(slots, np.ones(len(slots)))
        self._baselines.learn(
            slots,
            self._baselines.sums_of(judged, hits, eligible, factor),
            calm,
            self._arrays["quiet"][slots] >= self._config.quiet_minutes,
            judged.log_p < np.log(self._config.freeze_below_p),
        )
        return crossed

    def _judged(self, now: _Minute) -> Judged:
        base = self._baselines.of(now.slots)
        if self._test == "rate":
            null = rate_null(self._config, base, now.factor, now.top, now.temper)
            return judge_rate(self._config, null, now.hits)
        return judge_ratio(self._config, base, now.temper, now.hits, now.eligible)

    def _idle(self, slots: Ints, minute: Ints, gap: Ints) -> None:
        """Catch up on minutes without events. To a share they say nothing; for a rate they are zeros:
        the evidence falls, the baseline learns, an episode goes quiet."""
        waited = gap > 0
        if self._seasons is None or not waited.any():
            return
        slots, minute, gap = slots[waited], minute[waited], gap[waited]
        factor = self._seasons.idle_factor(slots, minute, gap)
        null = rate_null(
            self._config,
            self._baselines.of(slots),
            factor,
            self._seasons.top(slots, self._baselines.level(slots) * factor),
            self._tempers.of(slots, minute - gap),
        )
        before = self._arrays["log_r"][slots].astype(np.float64)
        log_r = np.minimum(add_idle_minutes(before, idle_rate(self._config, null), gap), self._cap)
        self._arrays["log_r"][slots] = log_r
        calm = self._arrays["level"][slots] == 0
        self._tempers.end_excursions_after_idle(slots[calm], log_r[calm])
        credit = np.minimum(gap, IDLE_CREDIT_MINUTES).astype(np.float64)
        self._tempers.pass_time(slots, credit)
        self._baselines.learn_idle(slots, credit, factor, null.mean)
        self._arrays["quiet"][slots] += gap.astype(np.int32)
        self._recover(slots)

    def _episodes(self, now: _Minute, log_e: Floats, judged: Judged) -> list[Crossed]:
        """Begin and end episodes; returns where a level is reached for the first time."""
        arrays, slots = self._arrays, now.slots
        level = (log_e >= self._levels.log_page).astype(np.int8) + (log_e >= self._levels.log_trip)
        before = arrays["level"][slots]
        # A trip level that an open minute proved was told of.
        told = (level == TRIP) & (arrays["proven"][slots] == now.at)
        crossed = [
            Crossed(row, int(level[row]), self._seen(now, row, judged, float(log_e[row]), int(level[row])))
            for row in np.flatnonzero((level > before) & ~told).tolist()
        ]
        if self._seasons is not None:
            self._seasons.forget_today(slots[(before == 0) & (level > 0)])
        arrays["since"][slots] = np.where((before == 0) & (level > 0), now.at, arrays["since"][slots])
        arrays["level"][slots] = np.maximum(before, level)
        arrays["quiet"][slots] = np.where(judged.log_p > LOG_ORDINARY_P, arrays["quiet"][slots] + 1, 0)
        self._recover(slots)
        lasts = now.at - arrays["since"][slots] >= self._config.relearn_after_minutes
        lasting = slots[(arrays["level"][slots] > 0) & lasts]
        if len(lasting):
            self.renewed = lasting
            self.clear(lasting)
        return crossed

    def _recover(self, slots: Ints) -> None:
        quiet = self._arrays["quiet"][slots] >= self._config.quiet_minutes
        ended = slots[(self._arrays["level"][slots] > 0) & quiet]
        if len(ended):
            self._arrays["level"][ended] = 0
            self._arrays["log_r"][ended] = -np.inf
            self._tempers.take_in(ended)

    def _seen(self, now: _Minute, row: int, judged: Judged, log_e: float, level: int) -> Seen:
        """Of a count it says the least that crosses the level, so that an open minute says the same."""
        one = now.only(row)
        hits, eligible = one.hits, one.eligible
        if self._test == "rate" and hits.dtype.kind == "i":
            hits = self._least(one, self._levels.log_trip if level == TRIP else self._levels.log_page)
            log_e, eligible = self._evidence(one._replace(hits=hits)), hits
        return Seen(
            hits=int(hits[0]),
            eligible=int(eligible[0]),
            baseline=float(judged.normal[row]),
            log10_e=log_e / float(np.log(10)),
            learned_minutes=int(self._baselines.learned_minutes(one.slots)[0]),
        )

    def _least(self, one: _Minute, log_level: float) -> Ints:
        """The smallest count of this minute that reaches the level; its own count does."""
        below, reaches = -1, int(one.hits[0])
        while reaches - below > 1:
            middle = (below + reaches) // 2
            if self._evidence(one._replace(hits=np.array([middle]))) >= log_level:
                reaches = middle
            else:
                below = middle
        return np.array([reaches])

    def _evidence(self, one: _Minute) -> float:
        return float(mixture(add_minute(one.before, self._judged(one).log_ratio, self._cap))[0])

    def state(self) -> dict[str, Any]:
        """What a snapshot holds."""
        return {name: part.state() for name, part in self._parts.items()}

    def load(self, state: dict[str, Any]) -> None:
        for name, part in self._parts.items():
            part.load(state[name])
