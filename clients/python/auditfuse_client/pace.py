"""The pace that trips of mode `throttle` leave: actions evenly apart, so many in any minute at most."""

import threading
from collections.abc import Sequence

from auditfuse_client.decision import Trip


class Pace:
    """Thread-safe. Each trip has a pace of its own, counted by this client alone."""

    def __init__(self) -> None:
        self._next_s: dict[str, float] = {}
        """By trip: when its next action may begin; kept while that lies ahead."""
        self._lock = threading.Lock()

    def take(self, trips: Sequence[Trip], now_s: float) -> float:
        """Take an action of every trip's pace: 0. Or, with nothing taken, the seconds until it may be."""
        with self._lock:
            wait_s = max((self._next_s.get(trip.id, now_s) - now_s for trip in trips), default=0.0)
            if wait_s > 0:
                return wait_s
            self._next_s = {trip_id: next_s for trip_id, next_s in self._next_s.items() if next_s > now_s}
            for trip in trips:
                self._next_s[trip.id] = now_s + 60.0 / (trip.per_minute or 1)
            return 0.0
