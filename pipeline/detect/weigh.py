"""What one minute of each key makes of the evidence, and the least count that would have made as much."""

from typing import NamedTuple

import numpy as np

from detectors.base import StatisticConfig, TestKind
from detectors.budget import Levels
from detectors.evidence import Floats, Ints, Judged, add_minute, judge_rate, judge_ratio, mixture, rate_null
from pipeline.detect.baselines import Baselines
from pipeline.detect.hours import Hours

TRIP = 2
LOG_TWO = float(np.log(2))


class Minute(NamedTuple):
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
    counted: Floats
    """Hits of the minutes before in this hour (rates)."""

    def only(self, row: int) -> "Minute":
        """The same of one key."""
        at = slice(row, row + 1)
        return Minute(
            self.slots[at],
            self.at[at],
            self.hits[at],
            self.eligible[at],
            self.factor[at],
            self.top[at],
            self.temper[at],
            self.before[at],
            self.counted[at],
        )


class Weighed(NamedTuple):
    """What a step found. Arrays over its keys."""

    judged: Judged
    log_r: Floats
    """Evidence of the minutes, keys × alternatives."""
    log_minutes: Floats
    """Their mixture."""
    log_page: Floats
    log_trip: Floats
    """Of a share: not known before the minute is taken in."""


class Weigh:
    """The tests of one statistic. `cap`: of the evidence; `hours`: of a rate."""

    def __init__(
        self, config: StatisticConfig, test: TestKind, levels: Levels, cap: float, hours: Hours | None
    ) -> None:
        self._config, self._test, self._levels = config, test, levels
        self._cap, self._hours = cap, hours

    def judged(self, baselines: Baselines, now: Minute) -> Judged:
        """The minute by itself."""
        base = baselines.of(now.slots)
        if self._test == "rate":
            null = rate_null(self._config, base, now.factor, now.top, now.temper)
            return judge_rate(self._config, null, now.hits)
        return judge_ratio(self._config, base, now.temper, now.hits, now.eligible)

    def weigh(self, baselines: Baselines, now: Minute) -> Weighed:
        """A rate pages by the mean of its minutes' e-value and its hours'."""
        judged = self.judged(baselines, now)
        log_r = add_minute(now.before, judged.log_ratio, self._cap)
        log_minutes = mixture(log_r)
        if self._hours is None:
            return Weighed(judged, log_r, log_minutes, log_minutes, np.full(len(now.slots), -np.inf))
        hours = self._hours.evidence(now.slots, now.counted + now.hits)
        log_page = np.logaddexp(log_minutes, hours.log_page) - LOG_TWO
        return Weighed(judged, log_r, log_minutes, log_page, hours.log_trip)

    def least(self, baselines: Baselines, one: Minute, level: int) -> tuple[Ints, float]:
        """Of one key: the smallest count of this minute that reaches the level, as its own does, and the log
        of the e-value with it."""
        below, reaches = -1, int(one.hits[0])
        while reaches - below > 1:
            middle = (below + reaches) // 2
            if self._reaches(self._with(baselines, one, middle), level):
                reaches = middle
            else:
                below = middle
        return np.array([reaches]), self._with(baselines, one, reaches)[level - 1]

    def _with(self, baselines: Baselines, one: Minute, hits: int) -> tuple[float, float]:
        weighed = self.weigh(baselines, one._replace(hits=np.array([hits])))
        return float(weighed.log_page[0]), float(weighed.log_trip[0])

    def _reaches(self, logs: tuple[float, float], level: int) -> bool:
        trips = level < TRIP or logs[1] >= self._levels.log_trip
        return trips and logs[0] >= self._levels.log_page
