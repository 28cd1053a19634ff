"""Seasons: how much of a rate belongs to which hour, for the fleet and for every key.

A key's normal rate in an hour is its own level × the pooled shape (hour of the day, on weekdays and at
weekends, UTC) × its own deviation from that shape (hour of the day), which starts at 1 and follows the key as
it is seen. Beside it stands the busiest hour of some days: a rhythm that no shape describes stays below it.
All of it changes only when an hour is over, from that hour's counts.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from detectors.arrays import Arrays, Column
from detectors.evidence import Flags, Floats, Ints

HOURS = 24
HOUR_MINUTES = 60
BINS = 2 * HOURS
"""Weekdays, then weekends."""
EPOCH_WEEKDAY = 3
"""1 January 1970 was a Thursday."""
WEEKEND = 5
POOL_KEPT = 0.7
"""Of the pooled shape, each time its hour comes."""
OWN_KEPT = 0.9
OWN_PRIOR_EVENTS = 15.0
"""The deviation of a key is 1 until it has seen about so many events at that hour."""
HOUR_EVENTS = 60.0
"""One hour counts at most as so many events, so that some days are seen before a rhythm is believed."""
EPISODE_WEIGHT = 0.25
"""Of an hour within an episode: what comes again at the same hour is learned after about two of them."""
MAX_FACTOR, MIN_FACTOR = 20.0, 0.05
USUAL_TIMES = 2.0
"""Of an hour's hits a key's own deviation learns no more than so many times the usual, and a few: a fault
that went unseen should not hide the next, and what stays is followed in some days."""
LATE_HOURS = 8
"""What began an episode in the first hours of a day may have begun the day before."""
TOP_DAYS = 9
"""Today, and the eight days before it."""
TOP_EVENTS = 10 / HOUR_MINUTES
"""Hits a minute below which an hour says little about how far a key exceeds what is expected."""
ALIVE_MINUTES = 7 * HOURS * HOUR_MINUTES
"""A key that was not seen for longer tells nothing about the pool."""
SMALLEST, LARGEST = 1e-9, 60_000.0
"""What is kept in 16 bits lies below LARGEST, to a part in two thousand: less than an hour's chance."""


class Seasons:
    """The shapes of one detector's rates, over the slots of its keys. Slots of one group share a pool."""

    def __init__(self) -> None:
        self._pool: Floats = np.ones((1, BINS))
        self._seen: Flags = np.zeros((1, BINS), dtype=np.bool_)
        self._shape: Floats = np.ones((1, BINS))
        self._arrays = Arrays(
            {
                "group": Column(np.int16),
                "own": Column(np.float16, 0, HOURS),
                "due": Column(np.float16, 0, HOURS),
                "hits": Column(np.float32),
                "tops": Column(np.float32, 0, TOP_DAYS),
                "excess": Column(np.float16, 0, TOP_DAYS),
            }
        )
        """Per slot: whose pool; decayed hits and expected hits by hour of the day; hits of this hour; of each
        day the busiest hour in hits a minute, and how far an hour exceeded what was expected."""
        self.grow = self._arrays.grow
        self.take, self.put = self._arrays.take, self._arrays.put
        self.hour = -1
        """The hour that is being counted."""

    def clear(self, slots: Ints) -> None:
        """Forget all about these slots but whose pool they share."""
        groups = self._arrays["group"][slots]
        self._arrays.clear(slots)
        self._arrays["group"][slots] = groups

    def assign(self, slots: Ints, groups: Ints) -> None:
        """Slots of the same group share a pool."""
        more = int(groups.max(initial=0)) + 1 - len(self._pool)
        if more > 0:
            self._pool = np.vstack([self._pool, np.ones((more, BINS))])
            self._shape = np.vstack([self._shape, np.ones((more, BINS))])
            self._seen = np.vstack([self._seen, np.zeros((more, BINS), dtype=np.bool_)])
        self._arrays["group"][slots] = groups

    def factor(self, slots: Ints, hour: Ints) -> Floats:
        """What multiplies each slot's level in its hour."""
        arrays, of_day = self._arrays, hour % HOURS
        due = arrays["due"][slots, of_day].astype(np.float64) + OWN_PRIOR_EVENTS
        own = (arrays["own"][slots, of_day].astype(np.float64) + OWN_PRIOR_EVENTS) / due
        return np.clip(self._shape[arrays["group"][slots], _bin(hour)] * own, MIN_FACTOR, MAX_FACTOR)

    def idle_factor(self, slots: Ints, minute: Ints, gap: Ints) -> Floats:
        """The mean factor of the `gap` minutes before each minute, of the last day at most."""
        first, last = (minute - gap) // HOUR_MINUTES, (minute - 1) // HOUR_MINUTES
        hours = np.minimum(last - first, HOURS - 1)
        total = self.factor(slots, last)
        for back in range(1, int(hours.max(initial=0)) + 1):
            rows = np.flatnonzero(hours >= back)
            total[rows] += self.factor(slots[rows], last[rows] - back)
        return total / (hours + 1)

    def top(self, slots: Ints, expected: Floats) -> Floats:
        """The most hits a minute that an ordinary hour had or, where that is less, would have now, by how far
        hours exceeded what was expected. `expected`: hits a minute that are normal now."""
        most = _usual_top(self._arrays["tops"][slots])
        relative = _usual_top(self._arrays["excess"][slots]) * (expected + TOP_EVENTS) - TOP_EVENTS
        return np.minimum(most, np.maximum(relative, expected))

    def forget_lately(self, slots: Ints) -> None:
        """An episode began: what led to it was not ordinary."""
        days = 2 if self.hour % HOURS < LATE_HOURS else 1
        for name in ("tops", "excess"):
            self._arrays[name][slots, :days] = 0

    def hits(self, slots: Ints) -> Floats:
        """Hits so far of the hour that is being counted."""
        return self._arrays["hits"][slots].astype(np.float64)

    def alive(self, level: Floats, last: Ints) -> Ints:
        """The slots whose level is known and that were seen in the week before this hour."""
        return np.flatnonzero((level > 0) & (last >= self.hour * HOUR_MINUTES - ALIVE_MINUTES))

    def count(self, slots: Ints, hits: Ints | Floats) -> None:
        """Add hits of the hour that is being counted."""
        self._arrays["hits"][slots] += hits

    def advance(self, hour: int, level: Floats, last: Ints, calm: Flags) -> None:
        """Take the hour that is over into the shapes; from now on `hour` is counted. Arrays over all slots:
        hits a minute with the season taken out (0: not known yet), minute last seen, not in an episode."""
        over, arrays = self.hour, self._arrays
        slots = self.alive(level, last)
        self.hour = hour
        if over >= 0 and len(slots):
            hits, even = arrays["hits"][slots].astype(np.float64), level[slots] * HOUR_MINUTES
            self._learn_top(slots[calm[slots]], hits[calm[slots]], even[calm[slots]], over)
            self._learn_pool(arrays["group"][slots], hits, even, over)
            self._learn_own(slots, hits, even, np.where(calm[slots], 1.0, EPISODE_WEIGHT), over)
        if over >= 0 and hour // HOURS > over // HOURS:
            for name in ("tops", "excess"):
                arrays[name][:, 1:] = arrays[name][:, :-1]
                arrays[name][:, 0] = 0
        arrays["hits"][:] = 0

    def _learn_top(self, slots: Ints, hits: Floats, even: Floats, over: int) -> None:
        arrays, rate = self._arrays, hits / HOUR_MINUTES
        expected = even / HOUR_MINUTES * self.factor(slots, np.full(len(slots), over))
        excess = (rate + TOP_EVENTS) / (expected + TOP_EVENTS)
        arrays["tops"][slots, 0] = np.maximum(arrays["tops"][slots, 0], rate)
        arrays["excess"][slots, 0] = np.minimum(np.maximum(arrays["excess"][slots, 0], excess), LARGEST)

    def _learn_own(self, slots: Ints, hits: Floats, even: Floats, weight: Floats, over: int) -> None:
        """What the key had beside what its level and the pool's shape make of that hour."""
        arrays, of_day = self._arrays, over % HOURS
        shape = self._shape[arrays["group"][slots], int(_bin(np.array(over)))]
        expected = np.maximum(even * shape, SMALLEST)
        weight = weight * np.minimum(1.0, HOUR_EVENTS / expected)
        usual = even * self.factor(slots, np.full(len(slots), over))
        hits = np.minimum(hits, USUAL_TIMES * usual + OWN_PRIOR_EVENTS)
        for name, added in (("own", hits), ("due", expected)):
            before = arrays[name][slots, of_day].astype(np.float64)
            arrays[name][slots, of_day] = np.minimum(OWN_KEPT * before + weight * added, LARGEST)

    def _learn_pool(self, group: NDArray[np.int16], hits: Floats, even: Floats, over: int) -> None:
        """Every key counts by its level, but none for more than one of an event a minute."""
        groups, at = len(self._pool), int(_bin(np.array(over)))
        weight = np.minimum(even, HOUR_EVENTS)
        relative = np.minimum(hits / np.maximum(even, SMALLEST), MAX_FACTOR)
        total = np.bincount(group, weight, minlength=groups)
        known = total > 0
        ratio = np.bincount(group, weight * relative, minlength=groups) / np.maximum(total, SMALLEST)
        kept = np.where(self._seen[:, at], POOL_KEPT, 0.0)
        self._pool[known, at] = (kept * self._pool[:, at] + (1 - kept) * ratio)[known]
        self._seen[known, at] = True
        self._shape = _normal(self._pool, self._seen)

    def state(self) -> dict[str, Any]:
        """What a snapshot holds."""
        pools = {"pool": self._pool, "shape": self._shape, "seen": self._seen}
        return {
            "hour": self.hour,
            "arrays": self._arrays.state(),
            **{name: pool.tobytes() for name, pool in pools.items()},
        }

    def load(self, state: dict[str, Any]) -> None:
        """Take over a snapshot's state."""
        self.hour = state["hour"]
        self._arrays.load(state["arrays"])
        self._pool = np.frombuffer(state["pool"]).reshape(-1, BINS).copy()
        self._shape = np.frombuffer(state["shape"]).reshape(-1, BINS).copy()
        self._seen = np.frombuffer(state["seen"], dtype=np.bool_).reshape(-1, BINS).copy()


def _bin(hour: Ints) -> Ints:
    """Position in a pooled shape."""
    return hour % HOURS + np.where((hour // HOURS + EPOCH_WEEKDAY) % 7 >= WEEKEND, HOURS, 0)


def _normal(pool: Floats, seen: Flags) -> Floats:
    """A pool's shape with mean 1 over the week. An hour that was never seen is like the same hour of the
    other kind of day, or like the mean."""
    other = np.where(np.roll(seen, HOURS, axis=1), np.roll(pool, HOURS, axis=1), np.nan)
    filled = np.where(seen, pool, other)
    weight = np.where(np.isnan(filled), 0.0, np.where(np.arange(BINS) < HOURS, 5.0, 2.0))
    mean = (np.nan_to_num(filled) * weight).sum(axis=1) / np.maximum(weight.sum(axis=1), SMALLEST)
    return np.where(np.isnan(filled), 1.0, filled / np.maximum(mean, SMALLEST)[:, None])


def _usual_top(days: NDArray[Any]) -> Floats:
    """The third largest of the days before today, so that two faults that went unseen hide no other; of a
    slot with fewer than five days the second, with fewer than three the largest of all."""
    values = days.astype(np.float64)
    past = np.sort(values[:, 1:], axis=1)
    seen = (past > 0).sum(axis=1)
    return np.where(seen < 3, values.max(axis=1), np.where(seen < 5, past[:, -2], past[:, -3]))
