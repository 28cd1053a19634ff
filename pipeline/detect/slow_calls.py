"""Latency: calls above the pinned duration of their action."""

from collections.abc import Iterable
from typing import Any

import numpy as np

from detectors.evidence import Ints
from detectors.latency import Latency
from pipeline.detect.actions import CLASSES
from pipeline.detect.bins import BINS, PER_OCTAVE, upper_edge_ns
from pipeline.detect.call_minute import CallMinute
from pipeline.detect.call_tests import MakeConclusion, conclusion
from pipeline.detect.pins import Pins
from pipeline.detect.statistics import Crossed, Progress, Statistic


class SlowCalls:
    """Calls above the pinned bin of their action, plus the tolerance, among those whose action is pinned."""

    def __init__(self, detector: Latency) -> None:
        self.detector = detector
        config = detector.config
        self._statistic = Statistic(config.statistic, "ratio")
        self._pins = Pins(CLASSES, config.pin_calls)
        self._margin = int(np.ceil(PER_OCTAVE * np.log2(config.tolerance)))

    def step(self, minute: CallMinute) -> Iterable[tuple[int, MakeConclusion]]:
        pins = self._pins.of(minute.row_slots, minute.classes)
        timed = (minute.durations > 0) & (pins > 0)
        limits = np.minimum(pins.astype(np.int64) + self._margin, BINS - 1)
        slow = timed & (minute.durations > limits)
        minute.timed, minute.slow = timed, slow
        for crossed in self._statistic.step(
            minute.slots, minute.minutes, minute.gaps, minute.count(slow), minute.count(timed)
        ):
            worst = minute.most(crossed.row, slow)
            slot = minute.slots[crossed.row : crossed.row + 1]
            pin = int(self._pins.of(slot, np.array([worst.class_]))[0])
            above_ns = upper_edge_ns(pin + self._margin)
            start = int(minute.minutes[crossed.row])
            rows = minute.evidence(crossed.row, slow)
            yield crossed.row, self._make(crossed, start, worst.name, above_ns, rows)
        self._pins.clear(self._statistic.renewed)
        self._pins.learn(minute.row_slots, minute.classes, minute.durations)

    def _make(
        self, crossed: Crossed, minute: int, action: str, above_ns: int, rows: tuple[str, ...]
    ) -> MakeConclusion:
        seen = crossed.seen
        facts = {"action": action, "slow_above_ms": above_ns // 1_000_000}
        summary = self.detector.say(seen, action, above_ns / 1e6)
        condition = f"duration_ns >= {above_ns}"
        return lambda key: conclusion(key, minute, crossed, summary, facts, condition, rows=rows)

    def progress(self, slots: Ints, minute: int) -> list[Progress]:
        return self._statistic.progress(slots, minute)

    def grow(self, slots: int) -> None:
        self._statistic.grow(slots)
        self._pins.grow(slots)

    def clear(self, slots: Ints) -> None:
        self._statistic.clear(slots)
        self._pins.clear(slots)

    def state(self) -> Any:
        return {"statistic": self._statistic.state(), "pins": self._pins.state()}

    def load(self, state: Any) -> None:
        self._statistic.load(state["statistic"])
        self._pins.load(state["pins"])
