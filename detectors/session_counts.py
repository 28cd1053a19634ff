"""What a session has grown to: steps, hours of activity and repeated calls.

Every figure is one that rows can only raise, within half days of append time, or depends on the order of
one partition alone. So whichever partition is read first, in the end the same sessions are over a limit.
Plain dicts of integers: this is asked for every row.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

QUARTERS_PER_HALF_DAY = 48
"""Activity is noted in quarters of an hour, as bits."""
_ACTIVE = (1 << QUARTERS_PER_HALF_DAY) - 1
_NOTHING: dict[int, int] = {}


class Day(NamedTuple):
    """A session in a day: the half day `half_day` and the one before."""

    row: int
    """Which of the rows given made it grow."""
    half_day: int
    steps: int
    active: int
    """Bit i: there was a step in quarter of an hour i."""


class Steps:
    """Steps and active quarters of an hour per session and half day: steps << 48 | bits."""

    def __init__(self, max_sessions: int, least_steps: int, least_quarters: int) -> None:
        """Days below both `least_steps` and `least_quarters` are not told."""
        self._max_sessions = max_sessions
        self._least_steps = least_steps
        self._least_quarters = least_quarters
        self._small = min(least_steps, least_quarters) << QUARTERS_PER_HALF_DAY
        self._half_days: dict[int, dict[int, int]] = {}

    def add(
        self, sessions: Sequence[int], half_days: Sequence[int], steps: Sequence[int], active: Sequence[int]
    ) -> list[Day]:
        """Count; the days that are large enough to look at. A day counts where its second half has steps."""
        days: list[Day] = []
        known, at = self._half_days, -1
        earlier, counts, later = _NOTHING, _NOTHING, _NOTHING
        for row, (session, half_day, added, bits) in enumerate(
            zip(sessions, half_days, steps, active, strict=True)
        ):
            if half_day != at:
                at, counts = half_day, known.setdefault(half_day, {})
                earlier, later = known.get(half_day - 1, _NOTHING), known.get(half_day + 1, _NOTHING)
            now = counts[session] = (counts.get(session, 0) + (added << QUARTERS_PER_HALF_DAY)) | bits
            before = earlier.get(session, 0) if earlier else 0
            # Small ones end here: a sum has at least the steps of both above its bits.
            if before + now >= self._small and self._is_large(before, now):
                days.append(_day(row, half_day, before, now))
            after = later.get(session) if later else None
            if after is not None and self._is_large(now, after):
                days.append(_day(row, half_day + 1, now, after))
        self._limit_memory()
        return days

    def _is_large(self, first: int, second: int) -> bool:
        steps = (first >> QUARTERS_PER_HALF_DAY) + (second >> QUARTERS_PER_HALF_DAY)
        # No more quarters are active than there are steps.
        return steps >= self._least_steps or (
            steps >= self._least_quarters
            and (first & _ACTIVE).bit_count() + (second & _ACTIVE).bit_count() >= self._least_quarters
        )

    def _limit_memory(self) -> None:
        """Forget the oldest half days, then the sessions of the newest that began first."""
        while sum(map(len, self._half_days.values())) > self._max_sessions:
            oldest = min(self._half_days)
            sessions = self._half_days.pop(oldest)
            if not self._half_days:
                self._half_days[oldest] = dict(list(sessions.items())[len(sessions) // 2 :])

    def expire(self, half_day: int) -> None:
        """Forget half days before this one: nothing can be added to them any more."""
        for old in [one for one in self._half_days if one < half_day]:
            del self._half_days[old]

    def state(self) -> Any:
        """What a snapshot holds."""
        return [(half_day, list(counts.items())) for half_day, counts in self._half_days.items()]

    def load(self, state: Any) -> None:
        """Take over a snapshot's state."""
        self._half_days = {half_day: dict(counts) for half_day, counts in state}


class Runs:
    """Per session the last call, and how often it came in a row. One partition's order."""

    def __init__(self, max_sessions: int, least: int) -> None:
        """Runs shorter than `least` are not told."""
        self._max_sessions = max_sessions
        self._least = least
        self._last: dict[int, int] = {}
        self._lengths: dict[int, int] = {}
        """Of runs longer than one."""

    def add(self, sessions: Sequence[int], calls: Sequence[int]) -> list[tuple[int, int]]:
        """(row, how often its call has come in a row), for those that came often."""
        last, lengths, told = self._last, self._lengths, list[tuple[int, int]]()
        for row, (session, call) in enumerate(zip(sessions, calls, strict=True)):
            if last.get(session) == call:
                length = lengths[session] = lengths.get(session, 1) + 1
                if length >= self._least:
                    told.append((row, length))
            else:
                last[session] = call
                if session in lengths:
                    del lengths[session]
        if len(last) > self._max_sessions:
            self._last = dict(list(last.items())[len(last) // 2 :])
            self._lengths = {session: n for session, n in lengths.items() if session in self._last}
        return told

    def state(self) -> Any:
        """What a snapshot holds."""
        return [list(self._last.items()), list(self._lengths.items())]

    def load(self, state: Any) -> None:
        """Take over a snapshot's state."""
        self._last, self._lengths = dict(state[0]), dict(state[1])


def longest_run(bits: int) -> int:
    """How many ones stand side by side at most."""
    length = 0
    while bits:
        bits &= bits << 1
        length += 1
    return length


def _day(row: int, half_day: int, first: int, second: int) -> Day:
    steps = (first >> QUARTERS_PER_HALF_DAY) + (second >> QUARTERS_PER_HALF_DAY)
    return Day(row, half_day, steps, (first & _ACTIVE) | (second & _ACTIVE) << QUARTERS_PER_HALF_DAY)
