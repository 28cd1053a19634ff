"""The false-alarm budget: from the false pages a day that one accepts to the e-values that page and trip.

An e-detector's time to a false alarm is at least its threshold A, in minutes, on average; so K keys with D
detectors make at most K·D·1440/A false alarms a day. K is what was configured, never a live count: a replay
must come to the same threshold.
"""

import math
from typing import NamedTuple

from detectors.base import StatisticConfig

MINUTES_A_DAY = 1440
DEFAULT_FALSE_PAGES_PER_DAY, DEFAULT_EXPECTED_KEYS, DEFAULT_STATISTICS = 0.5, 1000, 9
TRIP_TIMES = 1000.0
"""How much more evidence a trip takes than a page. Ten times would do for traffic as the model has it; what
is real has longer tails, and what crosses the one by chance often crosses the other too."""


class Levels(NamedTuple):
    """Natural logs of the e-values from which one pages, and may trip."""

    log_page: float
    log_trip: float

    def times(self, tests: int) -> "Levels":
        """For a detector that is the best of so many tests at once."""
        more = math.log(tests)
        return Levels(self.log_page + more, self.log_trip + more)


def page_at(false_pages_per_day: float, expected_keys: int, statistics: int) -> float:
    """The e-value that holds the budget for so many keys and statistical detectors."""
    return expected_keys * MINUTES_A_DAY * max(1, statistics) / false_pages_per_day


DEFAULT_PAGE_AT = page_at(DEFAULT_FALSE_PAGES_PER_DAY, DEFAULT_EXPECTED_KEYS, DEFAULT_STATISTICS)


def levels_of(config: StatisticConfig, budgeted: float = DEFAULT_PAGE_AT) -> Levels:
    """A statistic's thresholds: its own where it states them, else the budget's."""
    page = config.page_at or budgeted
    trip = config.trip_at or page * TRIP_TIMES
    return Levels(math.log(page), math.log(max(page, trip)))
