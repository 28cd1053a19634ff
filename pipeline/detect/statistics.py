"""One detector's e-detector state for all keys: arrays indexed by a key's slot, stepped vectorised.

A key is stepped only in minutes in which it had events; the idle minutes in between are caught up in
closed form at its next event. So what a key goes through depends on its own minutes alone, and on the
pooled season, which changes between hours only.
"""

from typing import Any, NamedTuple

import numpy as np

from detectors.arrays import Arrays, Column
from detectors.base import Seen, StatisticConfig, TestKind
from detectors.budget import Levels, levels_of
from detectors.evidence import (
    IDLE_CREDIT_MINUTES,
    LOG_HEADROOM,
    Flags,
    Floats,
    Ints,
    add_idle_minutes,
    idle_rate,
    rate_null,
)
from pipeline.detect.baselines import Baselines
from pipeline.detect.hours import Hours
from pipeline.detect.seasons import HOUR_MINUTES, Seasons
from pipeline.detect.temper import Tempers
from pipeline.detect.trip_evidence import TripEvidence
from pipeline.detect.weigh import TRIP, Minute, Weigh, Weighed

LONG_QUIET = 30_000
"""Minutes that are counted as quiet; `quiet_minutes` is less."""
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


class Progress(NamedTuple):
    """How far a key is in learning."""

    since_minute: int
    learned_minutes: int
    until_minute: int | None
    """When it may speak, at the earliest; None: it has learned."""


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
        of_levels = (self._levels.log_trip, self._cap)
        self._hours = Hours(*of_levels) if test == "rate" else None
        self._trips = TripEvidence(*of_levels) if test == "ratio" else None
        self._weigh = Weigh(config, test, self._levels, self._cap, self._hours)
        columns = {
            "log_r": Column(np.float32, -np.inf, len(config.multiples)),
            "level": Column(np.int8),
            "quiet": Column(np.int16),
            "since": Column(np.int32),
        }
        of_rates = {"last": Column(np.int32), "proven": Column(np.int32)}
        self._arrays = Arrays(columns | of_rates if test == "rate" else columns)
        """Per slot: the evidence; the episode (0 none, 1 page, 2 trip level) and the minute in which it
        began; ordinary minutes in a row, up to LONG_QUIET; of rates the minute last seen and the minute that
        `proven` told of."""
        parts: dict[str, Any] = {"own": self._arrays, "baselines": self._baselines, "tempers": self._tempers}
        own = {"seasons": self._seasons, "hours": self._hours, "trips": self._trips}
        self._parts = parts | {name: part for name, part in own.items() if part is not None}
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

    def copy(self, source: Ints, target: Ints) -> None:
        """Let slots go on where others are."""
        for part in self._parts.values():
            part.put(target, part.take(source))

    def progress(self, slots: Ints, minute: int) -> list[Progress]:
        """How far these slots are in learning, at a minute."""
        at = np.full(len(slots), minute)
        age, config = self._tempers.age(slots, at), self._config
        seen, enough = self._baselines.learned_minutes(slots), self._baselines.learned(slots)
        hours_left = config.learning_hours * HOUR_MINUTES - age
        left = np.maximum(hours_left, config.learning_minutes - seen)
        return [
            Progress(
                since_minute=minute - int(age[row]),
                learned_minutes=int(seen[row]),
                until_minute=None if enough[row] and left[row] <= 0 else minute + max(1, int(left[row])),
            )
            for row in range(len(slots))
        ]

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
        if self._test == "rate":
            self._arrays["last"][slots] = minute
        able = eligible > 0
        if able.all():
            return self._judge(slots, minute, hits, eligible)
        # A minute without anything eligible says nothing about a share.
        positions = np.flatnonzero(able)
        crossed = self._judge(slots[able], minute[able], hits[able], eligible[able])
        return [one._replace(row=int(positions[one.row])) for one in crossed]

    def proven(self, slots: Ints, minute: Ints, gap: Ints, hits: Ints, eligible: Ints) -> list[Crossed]:
        """What an open minute proves by its count so far (rates only).

        All minutes before it must have been stepped. `step` will not tell of it again. Counts only grow, so
        nothing can take it back; and what it says holds from the smallest count on that crosses the level.
        """
        if self._test != "rate" or not len(slots):
            return []
        self._turn(int(minute[0]) // HOUR_MINUTES)
        asked = self._arrays["proven"][slots] != minute
        saved = [(part, part.take(slots)) for part in self._parts.values()]
        crossed = self.step(slots, minute, gap, hits, eligible)
        for part, values in saved:
            part.put(slots, values)
        crossed = [one for one in crossed if asked[one.row]]
        rows = np.array([one.row for one in crossed], dtype=np.int64)
        self._arrays["proven"][slots[rows]] = minute[rows]
        return crossed

    def _turn(self, hour: int) -> None:
        """Take in the hour that is over, and fix what is normal in the one that begins."""
        seasons, hours = self._seasons, self._hours
        if seasons is None or hours is None or hour <= seasons.hour:
            return
        levels, last = self._baselines.levels(), self._arrays["last"].astype(np.int64)
        calm, slots = self._arrays["level"] == 0, seasons.alive(levels, last)
        hours.close(slots, seasons.hits(slots), calm[slots])
        seasons.advance(hour, levels, last, calm)
        slots = seasons.alive(levels, last)
        mean = levels[slots] * seasons.factor(slots, np.full(len(slots), hour))
        error = self._baselines.error(slots)
        hours.begin(slots, *(HOUR_MINUTES * part for part in (mean, seasons.top(slots, mean), error)))

    def _judge(self, slots: Ints, at: Ints, hits: Ints | Floats, eligible: Ints) -> list[Crossed]:
        now = self._now(slots, at, hits, eligible)
        learned = self._baselines.learned(slots)
        learned &= self._tempers.age(slots, at) >= self._config.learning_hours * HOUR_MINUTES
        weighed = self._weigh.weigh(self._baselines, now)
        log_r, judged = weighed.log_r, weighed.judged
        log_minutes = self._tempers.adjust(slots, learned, log_r, weighed.log_minutes)
        self._arrays["log_r"][slots] = log_r
        if self._trips is not None:
            weighed = weighed._replace(log_trip=self._trips.add(slots, at, judged.log_trip))
        crossed = self._episodes(now, weighed, learned)
        calm = self._arrays["level"][slots] == 0
        self._tempers.end_excursions(slots[calm], log_minutes[calm])
        self._tempers.pass_time(slots, np.ones(len(slots)))
        teaches = calm
        if self._seasons is not None and self._hours is not None:
            # What exceeds an ordinary hour is no finding yet, but no lesson either.
            teaches = calm & self._hours.is_ordinary(slots, now.counted + hits)
            self._seasons.count(slots, hits)
        self._baselines.learn(
            slots,
            self._baselines.sums_of(judged, hits, eligible, now.factor),
            teaches,
            self._arrays["quiet"][slots] >= self._config.quiet_minutes,
            judged.log_p < np.log(self._config.freeze_below_p) * now.temper,
        )
        return crossed

    def _now(self, slots: Ints, at: Ints, hits: Ints | Floats, eligible: Ints) -> Minute:
        factor, top, counted = np.ones(len(slots)), np.zeros(len(slots)), np.zeros(len(slots))
        if self._seasons is not None:
            factor = self._seasons.factor(slots, at // HOUR_MINUTES)
            top = self._seasons.top(slots, self._baselines.level(slots) * factor)
            counted = self._seasons.hits(slots)
        before = self._arrays["log_r"][slots].astype(np.float64)
        temper = self._tempers.of(slots, at)
        return Minute(slots, at, hits, eligible, factor, top, temper, before, counted)

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
        self._arrays["quiet"][slots] = np.minimum(self._arrays["quiet"][slots] + gap, LONG_QUIET)
        self._recover(slots)

    def _episodes(self, now: Minute, weighed: Weighed, learned: Flags) -> list[Crossed]:
        """Begin and end episodes; returns where a level is reached for the first time. A trip's is reached by
        an episode that was paged in an earlier minute."""
        arrays, slots = self._arrays, now.slots
        before = arrays["level"][slots]
        pages = learned & (weighed.log_page >= self._levels.log_page)
        level = pages + (pages & (before > 0) & (weighed.log_trip >= self._levels.log_trip)).astype(np.int8)
        # What the open minute proved was told of.
        told = np.zeros(len(slots), dtype=np.bool_)
        if self._test == "rate":
            told = arrays["proven"][slots] == now.at
        crossed = [
            Crossed(row, int(level[row]), self._seen(now, row, weighed, int(level[row])))
            for row in np.flatnonzero((level > before) & ~told).tolist()
        ]
        begun = slots[(before == 0) & (level > 0)]
        if self._seasons is not None and self._hours is not None:
            self._seasons.forget_lately(begun)
            self._hours.page(begun)
        elif self._trips is not None:
            self._trips.restart(begun)
        arrays["since"][slots] = np.where((before == 0) & (level > 0), now.at, arrays["since"][slots])
        arrays["level"][slots] = np.maximum(before, level)
        quiet = np.minimum(arrays["quiet"][slots], LONG_QUIET - 1) + 1
        arrays["quiet"][slots] = np.where(weighed.judged.log_p > LOG_ORDINARY_P, quiet, 0)
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
            for part in (self._hours, self._trips):
                if part is not None:
                    part.restart(ended)
            self._tempers.take_in(ended)

    def _seen(self, now: Minute, row: int, weighed: Weighed, level: int) -> Seen:
        """Of a count it says the least that crosses the level, so that an open minute says the same."""
        one = now.only(row)
        hits, eligible = one.hits, one.eligible
        log_e = float((weighed.log_trip if level == TRIP else weighed.log_page)[row])
        if self._test == "rate" and hits.dtype.kind == "i":
            hits, log_e = self._weigh.least(self._baselines, one, level)
            eligible = hits
        return Seen(
            hits=int(hits[0]),
            eligible=int(eligible[0]),
            baseline=float(weighed.judged.normal[row]),
            log10_e=log_e / float(np.log(10)),
            learned_minutes=int(self._baselines.learned_minutes(one.slots)[0]),
            hour_hits=int(one.counted[0] + hits[0]) if self._test == "rate" else 0,
        )

    def state(self) -> dict[str, Any]:
        """What a snapshot holds."""
        return {name: part.state() for name, part in self._parts.items()}

    def load(self, state: dict[str, Any]) -> None:
        for name, part in self._parts.items():
            part.load(state[name])
