"""Tempers: what a key's evidence is divided by, so that its own past would have raised no alarm.

Were the model exact, evidence would reach about ln(n) in n minutes. Traffic that comes in sessions, retries
or jobs reaches more, and by how much more says how far the model flatters itself. While a key learns, its
temper rises so that the evidence never exceeds that bound; later it rises when an excursion is over that was
no finding, and when an episode is over, by no more than what it took to page. It falls again in weeks.
"""

from typing import Any

import numpy as np

from detectors.arrays import Arrays, Column
from detectors.evidence import Flags, Floats, Ints, mixture

LOWEST_BOUND = 4.0
DAY_MINUTES = 1440
HALF_LIFE_MINUTES = 14 * DAY_MINUTES
"""At most: a younger key's temper halves in the time that it was watched."""
YOUNG = 2.0
"""A key that was just met needs so many times more evidence on top, half as many after a day, and so on."""
OVER_BELOW = 1.0
"""An excursion is over when the log of the e-value is lower."""


class Tempers:
    """Of one statistic, indexed by slot."""

    def __init__(self, log_page: float) -> None:
        self._log_page = log_page
        self._arrays = Arrays(
            {
                "temper": Column(np.float32, 1),
                "peak": Column(np.float32),
                "minutes": Column(np.float32),
                "first": Column(np.int32, -1),
            }
        )
        """Per slot: the temper; the highest evidence of the excursion that is on; minutes watched; the minute
        in which it was met."""
        self.grow, self.clear = self._arrays.grow, self._arrays.clear
        self.take, self.put = self._arrays.take, self._arrays.put

    def meet(self, slots: Ints, minute: Ints) -> None:
        """Remember when slots were first seen."""
        first = self._arrays["first"]
        new = first[slots] < 0
        first[slots[new]] = minute[new]

    def of(self, slots: Ints, minute: Ints) -> Floats:
        """What to divide by in this minute."""
        days = self.age(slots, minute) / DAY_MINUTES
        return self._arrays["temper"][slots] * (1 + YOUNG / (1 + np.maximum(days, 0)))

    def age(self, slots: Ints, minute: Ints) -> Ints:
        """Minutes since slots were met."""
        return minute - self._arrays["first"][slots].astype(np.int64)

    def pass_time(self, slots: Ints, minutes: Floats) -> None:
        """So many minutes were watched."""
        self._arrays["minutes"][slots] += minutes
        temper = self._arrays["temper"]
        age = np.clip(self._arrays["minutes"][slots], DAY_MINUTES / 2, HALF_LIFE_MINUTES)
        temper[slots] = 1 + (temper[slots] - 1) * 0.5 ** (minutes / age)

    def adjust(self, slots: Ints, learned: Flags, log_r: Floats, log_e: Floats) -> Floats:
        """Note how far the evidence went; of keys that learn, bring it down to the bound, in place in
        `log_r`. Returns the evidence that is left."""
        bound = self._bound(slots)
        above = ~learned & (log_e > bound)
        excess = np.where(above, log_e / bound, 1.0)
        self._arrays["temper"][slots] *= excess
        log_r /= excess[:, None]
        log_e = log_e / excess
        self._arrays["peak"][slots] = np.where(learned, np.maximum(self._arrays["peak"][slots], log_e), 0)
        return log_e

    def end_excursions(self, slots: Ints, log_e: Floats) -> None:
        """Take in the excursions that are over, of slots without an episode."""
        low = slots[log_e < OVER_BELOW]
        self.take_in(low[self._arrays["peak"][low] > self._bound(low)])
        self._arrays["peak"][low] = 0

    def end_excursions_after_idle(self, slots: Ints, log_r: Floats) -> None:
        """The same, only for those with an excursion worth taking in: `mixture` costs."""
        some = np.flatnonzero(self._arrays["peak"][slots] > self._bound(slots))
        if len(some):
            self.end_excursions(slots[some], mixture(log_r[some]))

    def take_in(self, slots: Ints) -> None:
        """Raise the temper by what the excursion or episode that is over exceeded the bound."""
        peak = np.minimum(self._arrays["peak"][slots], self._log_page)
        self._arrays["temper"][slots] *= np.maximum(1.0, peak / self._bound(slots))
        self._arrays["peak"][slots] = 0

    def _bound(self, slots: Ints) -> Floats:
        return np.maximum(LOWEST_BOUND, np.log(self._arrays["minutes"][slots].astype(np.float64) + 1))

    def state(self) -> Any:
        return self._arrays.state()

    def load(self, state: Any) -> None:
        self._arrays.load(state)
