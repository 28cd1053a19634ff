"""Hours: evidence that a key's hours hold more hits than they should.

Sessions, batches and jobs make the minutes of an hour depend on each other; whole hours do so far less. Each
hour is a step of an e-detector of its own, with what hours vary by learned from the key's own. An hour's
evidence only rises with its hits, so an hour that is still open is decided as soon as its count proves it.
What is normal is fixed as the hour begins.
"""

from typing import Any, NamedTuple

import numpy as np

from detectors.arrays import Arrays, Column
from detectors.evidence import Flags, Floats, Ints, add_minute, hit_worth, mixture

MULTIPLES = (2.0, 4.0, 8.0)
SLACK = 1.5
"""An ordinary hour may hold so many times what is expected."""
KEPT = 0.5 ** (1 / 168)
"""Of the spread, each hour: it halves in a week."""
PRIOR_HOURS, PRIOR_SPREAD = 12.0, 0.5
"""Before many hours were seen, they vary like a negative binomial of shape 2."""
MOST_TIMES = 2.5
"""An hour teaches the spread no more than this multiple of what was expected: a fault that went unseen
should not hide the next."""
FEW_HITS = 3.0
"""Where fewer are expected in an hour, chance hides what it varies by."""
SHAPE_BOUNDS = (0.1, 12.0)
LOG_HIT_CAP = 0.12
"""One hit is at most so much evidence: a finding takes about 150, of what is seldom up to 370."""
TRIP_SLACK, TRIP_MULTIPLE = 2.0, 3.0
"""A trip takes hours that are likelier at six times the highest that is normal than at twice that."""
TRIP_HOURS = 2.5
"""One clock hour is at most this part of the evidence for a trip, which is counted from the page on: it takes
three, so that no session or batch of an hour is enough."""
SMALLEST = 1e-9


class Evidence(NamedTuple):
    """Logs of e-values: for a page, and for a trip. Arrays over slots."""

    log_page: Floats
    log_trip: Floats


class Hours:
    """Of one rate, indexed by slot."""

    def __init__(self, log_trip: float, cap: float) -> None:
        """`cap`: of all evidence; an hour's for a trip follows from the level `log_trip`."""
        self._cap, self._trip_cap = cap, log_trip / TRIP_HOURS
        self._arrays = Arrays(
            {
                "log_r": Column(np.float32, -np.inf, len(MULTIPLES)),
                "trip": Column(np.float32, -np.inf),
                "spread": Column(np.float32),
                "scale": Column(np.float32),
                "mean": Column(np.float32),
                "highest": Column(np.float32),
            }
        )
        """Per slot: the evidence of the hours before this one; decayed sums of how hours differed from what
        was expected, and of their weights; hits expected in this hour, and the most that are normal (0: not
        known)."""
        self.grow, self.clear = self._arrays.grow, self._arrays.clear
        self.take, self.put = self._arrays.take, self._arrays.put

    def evidence(self, slots: Ints, hits: Floats) -> Evidence:
        """With so many hits in the open hour."""
        pages, trips = self._ratios(slots, hits)
        before = self._arrays["log_r"][slots].astype(np.float64)
        log_trip = np.logaddexp(0.0, self._arrays["trip"][slots].astype(np.float64)) + trips
        known = self._arrays["highest"][slots] > 0
        log_page = mixture(add_minute(before, pages, self._cap))
        return Evidence(np.where(known, log_page, -np.inf), np.where(known, log_trip, -np.inf))

    def close(self, slots: Ints, hits: Floats, calm: Flags) -> None:
        """The hour is over, with so many hits. `calm`: no episode, so it teaches what is ordinary."""
        known = self._arrays["highest"][slots] > 0
        slots, hits, calm = slots[known], hits[known], calm[known]
        pages, trips = self._ratios(slots, hits)
        log_r, log_trip = self._arrays["log_r"], self._arrays["trip"]
        log_r[slots] = add_minute(log_r[slots].astype(np.float64), pages, self._cap)
        trip = np.logaddexp(0.0, log_trip[slots].astype(np.float64)) + trips
        log_trip[slots] = np.minimum(trip, self._cap)
        self._learn(slots[calm], hits[calm])

    def is_ordinary(self, slots: Ints, hits: Floats) -> Flags:
        """Whether the open hour holds no more than is normal."""
        highest = self._arrays["highest"][slots]
        return (highest <= 0) | (hits <= highest)

    def begin(self, slots: Ints, mean: Floats, top: Floats, error: Floats) -> None:
        """An hour begins. `mean`: hits expected in it, known to `error`; `top`: of an ordinary busy hour."""
        self._arrays["mean"][slots] = mean
        self._arrays["highest"][slots] = np.maximum(SLACK * mean + error, top)

    def restart(self, slots: Ints) -> None:
        """An episode is over."""
        self._arrays["log_r"][slots] = -np.inf
        self.page(slots)

    def page(self, slots: Ints) -> None:
        """An episode began: what may trip is counted from here."""
        self._arrays["trip"][slots] = -np.inf

    def _learn(self, slots: Ints, hits: Floats) -> None:
        mean = np.maximum(self._arrays["mean"][slots].astype(np.float64), SMALLEST)
        times = np.minimum(np.minimum(hits, self._arrays["highest"][slots]) / mean, MOST_TIMES)
        weight = np.minimum(1.0, mean / FEW_HITS)
        for name, added in (("spread", weight * ((times - 1) ** 2 - 1 / mean)), ("scale", weight)):
            self._arrays[name][slots] = KEPT * self._arrays[name][slots] + added

    def _ratios(self, slots: Ints, hits: Floats) -> tuple[Floats, Floats]:
        """Log likelihood ratios of the hour for a page (slots × MULTIPLES) and for a trip."""
        scale = self._arrays["scale"][slots].astype(np.float64) + PRIOR_HOURS
        spread = self._arrays["spread"][slots].astype(np.float64) + PRIOR_HOURS * PRIOR_SPREAD
        shape = np.clip(scale / np.maximum(spread, SMALLEST), *SHAPE_BOUNDS)
        highest = self._arrays["highest"][slots].astype(np.float64)
        mean = self._arrays["mean"][slots].astype(np.float64)
        most = LOG_HIT_CAP * hit_worth(mean) * hits
        pages = np.minimum(_log_ratio(hits, highest, shape, MULTIPLES), most[:, None])
        trips = _log_ratio(hits, TRIP_SLACK * highest, shape, (TRIP_MULTIPLE,))[:, 0]
        trips = np.minimum(trips, most)
        return pages, np.minimum(trips, self._trip_cap)

    def state(self) -> Any:
        """What a snapshot holds."""
        return self._arrays.state()

    def load(self, state: Any) -> None:
        self._arrays.load(state)


def _log_ratio(hits: Floats, highest: Floats, shape: Floats, multiples: tuple[float, ...]) -> Floats:
    """Of negative binomials: a multiple of the highest mean that is normal, against that."""
    times, x = np.asarray(multiples), hits[:, None]
    grown = np.log((highest[:, None] * times + shape[:, None]) / (highest + shape)[:, None])
    return x * (np.log(times) - grown) - shape[:, None] * grown
