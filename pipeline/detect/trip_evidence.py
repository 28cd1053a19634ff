"""What a share's minutes say for a trip: more than for a page, of which no hour is more than a part."""

from typing import Any

import numpy as np

from detectors.arrays import Arrays, Column
from detectors.evidence import Floats, Ints
from pipeline.detect.hours import TRIP_HOURS
from pipeline.detect.seasons import HOUR_MINUTES


class TripEvidence:
    """Of one share, indexed by slot: an e-detector that one clock hour can raise by so much at most."""

    def __init__(self, log_trip: float, cap: float) -> None:
        self._cap, self._hour_cap = cap, log_trip / TRIP_HOURS
        self._arrays = Arrays(
            {
                "log_r": Column(np.float32, -np.inf),
                "before": Column(np.float32, -np.inf),
                "hour": Column(np.int32),
            }
        )
        """Per slot: the evidence; what it was as the hour began; which hour that is."""
        self.grow, self.clear = self._arrays.grow, self._arrays.clear
        self.take, self.put = self._arrays.take, self._arrays.put

    def add(self, slots: Ints, at: Ints, log_ratio: Floats) -> Floats:
        """Take in a minute of each slot; returns the logs of the e-values."""
        log_r, before, hour = (self._arrays[name] for name in ("log_r", "before", "hour"))
        now, begins = at // HOUR_MINUTES, hour[slots] != at // HOUR_MINUTES
        before[slots] = np.where(begins, log_r[slots], before[slots])
        hour[slots] = now
        most = np.logaddexp(0.0, before[slots].astype(np.float64)) + self._hour_cap
        new = np.logaddexp(0.0, log_r[slots].astype(np.float64)) + log_ratio
        new = np.minimum(np.minimum(new, most), self._cap)
        log_r[slots] = new
        return new

    def restart(self, slots: Ints) -> None:
        """An episode is over, or began: what may trip is counted from its page on."""
        for name in ("log_r", "before"):
            self._arrays[name][slots] = -np.inf

    def state(self) -> Any:
        """What a snapshot holds."""
        return self._arrays.state()

    def load(self, state: Any) -> None:
        self._arrays.load(state)
