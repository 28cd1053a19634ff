"""What a session has grown to: steps, hours of activity and repeated calls.

Every figure is one that rows can only raise, within half days of append time, or depends on the order of
one partition alone. So whichever partition is read first, in the end the same sessions are over a limit.
"""

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from detectors.arrays import Arrays, Column
from detectors.places import Hashes, Ints, Places

QUARTERS_PER_HALF_DAY = 48
"""Activity is noted in quarters of an hour, as bits."""


class Day(NamedTuple):
    """A session in a day: the half day `half_day` and the one before."""

    row: int
    """Which of the rows given made it grow."""
    half_day: int
    steps: int
    active: int
    """Bit i: there was a step in quarter of an hour i."""


class _HalfDay:
    """Steps and active quarters of an hour of sessions."""

    def __init__(self) -> None:
        self.places = Places()
        self.counts = Arrays({"steps": Column(np.uint32), "active": Column(np.uint64)})

    def add(self, sessions: Hashes, steps: Ints, active: NDArray[np.uint64]) -> None:
        """Each session once."""
        places = self.places.take(sessions)
        self.counts.grow(self.places.room)
        self.counts["steps"][places] += steps.astype(np.uint32)
        self.counts["active"][places] |= active

    def of(self, sessions: Hashes) -> tuple[Ints, NDArray[np.uint64]]:
        """(steps, active quarters) of each session."""
        places = self.places.of(sessions)
        known = places >= 0
        steps, active = np.zeros(len(sessions), dtype=np.int64), np.zeros(len(sessions), dtype=np.uint64)
        steps[known] = self.counts["steps"][places[known]]
        active[known] = self.counts["active"][places[known]]
        return steps, active

    def newer_half(self) -> "_HalfDay":
        """Without the sessions that began first."""
        kept = np.arange(len(self.places) // 2, len(self.places))
        half = _HalfDay()
        half.add(self.places.hashes[kept], self.counts["steps"][kept], self.counts["active"][kept])
        return half


class Steps:
    """Steps and active quarters of an hour per session and half day."""

    def __init__(self, max_sessions: int, least_steps: int, least_quarters: int) -> None:
        """Days below both `least_steps` and `least_quarters` are not told."""
        self._max_sessions = max_sessions
        self._least_steps = least_steps
        self._least_quarters = least_quarters
        self._half_days: dict[int, _HalfDay] = {}

    def add(self, sessions: Hashes, half_days: Ints, steps: Ints, active: NDArray[np.uint64]) -> list[Day]:
        """Count; the days that are large enough to look at. Each session comes once a half day."""
        days: list[Day] = []
        for half_day in np.unique(half_days).tolist():
            rows = np.flatnonzero(half_days == half_day)
            now = self._half_days.setdefault(half_day, _HalfDay())
            now.add(sessions[rows], steps[rows], active[rows])
            # A day is the half day before and this one, or this one and the one after where that has steps.
            for second in (half_day, half_day + 1):
                if second in self._half_days:
                    days += self._large(second, sessions[rows], rows)
        self._limit_memory()
        return days

    def _large(self, second: int, sessions: Hashes, rows: Ints) -> Iterator[Day]:
        steps, active = self._half_days[second].of(sessions)
        has_second = steps > 0
        first = self._half_days.get(second - 1)
        before = np.zeros_like(active)
        if first is not None:
            steps_before, before = first.of(sessions)
            steps = steps + steps_before
        quarters = np.bitwise_count(active).astype(np.int64) + np.bitwise_count(before)
        is_large = (steps >= self._least_steps) | (quarters >= self._least_quarters)
        for at in np.flatnonzero(has_second & is_large).tolist():
            both = int(before[at]) | int(active[at]) << QUARTERS_PER_HALF_DAY
            yield Day(int(rows[at]), second, int(steps[at]), both)

    def _limit_memory(self) -> None:
        """Forget the oldest half days, then the sessions of the newest that began first."""
        while sum(len(one.places) for one in self._half_days.values()) > self._max_sessions:
            oldest = min(self._half_days)
            sessions = self._half_days.pop(oldest)
            if not self._half_days:
                self._half_days[oldest] = sessions.newer_half()

    def expire(self, half_day: int) -> None:
        """Forget half days before this one: nothing can be added to them any more."""
        for old in [one for one in self._half_days if one < half_day]:
            del self._half_days[old]

    def state(self) -> Any:
        """What a snapshot holds."""
        return [
            (half_day, one.places.state(), one.counts.state()) for half_day, one in self._half_days.items()
        ]

    def load(self, state: Any) -> None:
        """Take over a snapshot's state."""
        for half_day, places, counts in state:
            one = self._half_days[half_day] = _HalfDay()
            one.places.load(places)
            one.counts.load(counts)


class Runs:
    """Per session the last call, and how often it came in a row. One partition's order."""

    def __init__(self, max_sessions: int, least: int) -> None:
        """Runs shorter than `least` are not told."""
        self._max_sessions = max_sessions
        self._least = least
        self._places = Places()
        self._last = Arrays({"call": Column(np.uint64), "length": Column(np.uint32)})

    def add(self, sessions: Hashes, calls: Hashes) -> list[tuple[int, int]]:
        """(row, how often its call has come in a row), for those that came often."""
        order = np.argsort(sessions, kind="stable")
        ordered, called = sessions[order], calls[order]
        begins = np.r_[True, ordered[1:] != ordered[:-1]]
        first = np.flatnonzero(begins)
        places = self._places.take(ordered[first])
        self._last.grow(self._places.room)
        lengths = self._lengths(called, begins, places)
        last = np.r_[first[1:], len(ordered)] - 1
        self._last["call"][places], self._last["length"][places] = called[last], lengths[last]
        told = np.flatnonzero(lengths >= self._least)
        if len(self._places) > self._max_sessions:
            self._forget()
        return sorted(zip(order[told].tolist(), lengths[told].tolist(), strict=True))

    def _lengths(self, called: Hashes, begins: NDArray[np.bool_], places: Ints) -> Ints:
        """How often each row's call has come in a row, of rows ordered by session."""
        rows = np.arange(len(called))
        goes_on = np.r_[False, called[1:] == called[:-1]] & ~begins
        since = np.where(goes_on, 0, rows)
        before = self._last["length"][places].astype(np.int64)
        before[self._last["call"][places] != called[begins]] = 0
        since[begins] -= before
        return rows - since[np.maximum.accumulate(np.where(goes_on, 0, rows))] + 1

    def _forget(self) -> None:
        """The sessions that began first, half of all."""
        kept = np.arange(len(self._places) // 2, len(self._places))
        sessions, held = self._places.hashes[kept].copy(), self._last.take(kept)
        self._places, self._last = Places(), Arrays({"call": Column(np.uint64), "length": Column(np.uint32)})
        places = self._places.take(sessions)
        self._last.grow(self._places.room)
        self._last.put(places, held)

    def state(self) -> Any:
        """What a snapshot holds."""
        return [self._places.state(), self._last.state()]

    def load(self, state: Any) -> None:
        """Take over a snapshot's state."""
        self._places.load(state[0])
        self._last.load(state[1])


def longest_run(bits: int) -> int:
    """How many ones stand side by side at most."""
    length = 0
    while bits:
        bits &= bits << 1
        length += 1
    return length
