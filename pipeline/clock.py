"""Time as a value that is handed in, so that tests and replay decide what time it is."""

import time
from collections.abc import Callable

NowMs = Callable[[], int]
"""Milliseconds since 1970, UTC."""


def system_now_ms() -> int:
    """The machine's wall clock."""
    return time.time_ns() // 1_000_000
