"""Time as a value that is handed in, so that tests and replay decide what time it is."""

import time
from collections.abc import Callable

MS_PER_S = 1_000

NowMs = Callable[[], int]
"""Milliseconds since 1970, UTC."""


class LeastClock:
    """The least that the time can be: the wall clock, but no step forward that the monotonic clock has not
    taken, unless an append time shows it. Who says that nothing older can come must not say too much because
    its clock was set wrong for a while."""

    def __init__(self, now_ms: NowMs, monotonic_s: Callable[[], float] = time.monotonic) -> None:
        self._now_ms = now_ms
        self._monotonic_s = monotonic_s
        self._begun_ms = now_ms() - self._passed_ms()

    def now_ms(self) -> int:
        """Milliseconds since 1970, UTC."""
        return min(self._now_ms(), self._begun_ms + self._passed_ms())

    def heard(self, append_ms: int) -> None:
        """A broker stamped a message with this time before now."""
        self._begun_ms = max(self._begun_ms, append_ms - self._passed_ms())

    def _passed_ms(self) -> int:
        return int(self._monotonic_s() * MS_PER_S)


def system_now_ms() -> int:
    """The machine's wall clock."""
    return time.time_ns() // 1_000_000
