"""Token burst: tokens a minute, and calls that are larger than usual."""

from collections.abc import Iterable
from typing import Any

import numpy as np

from detectors.budget import levels_of
from detectors.evidence import Ints
from detectors.token_burst import TokenBurst
from pipeline.detect.bins import BINS, PER_OCTAVE, shares_of, upper_edge_tokens
from pipeline.detect.call_minute import CallMinute
from pipeline.detect.call_tests import MakeConclusion, conclusion
from pipeline.detect.cells import Cells
from pipeline.detect.pins import Pins
from pipeline.detect.statistics import Crossed, Progress, Statistic


class SpentTokens:
    """Tokens a minute, every call as a share of the agent's pinned bin, at most 1; and the share of calls
    beyond that bin plus the tolerance. The mean of two e-values is one, so each needs twice the evidence."""

    def __init__(self, detector: TokenBurst) -> None:
        self.detector = detector
        config = detector.config
        levels = levels_of(config.statistic).times(2)
        self._rate = Statistic(config.statistic, "rate", levels)
        self._large = Statistic(config.size, "ratio", levels)
        self._pins = Pins(1, config.pin_calls)
        self._cells = Cells(1)
        """Of agents with a pin: who uses no tokens takes no memory."""
        self._margin = int(np.ceil(PER_OCTAVE * np.log2(config.tolerance)))

    def step(self, minute: CallMinute) -> Iterable[tuple[int, MakeConclusion]]:
        only = np.zeros_like(minute.row_slots)
        pins = self._pins.of(minute.row_slots, only)
        counted = (pins > 0) & (minute.tokens > 0)
        large = counted & (minute.tokens > np.minimum(pins.astype(np.int64) + self._margin, BINS - 1))
        calls, units = (
            minute.count(counted),
            minute.add_up(np.where(counted, shares_of(minute.tokens, pins), 0)),
        )
        pinned = np.flatnonzero(self._pins.of(minute.slots, np.zeros_like(minute.slots)))
        cells = self._cells.take(minute.slots[pinned], 0)
        self._rate.grow(self._cells.room)
        self._large.grow(self._cells.room)
        at = (cells, minute.minutes[pinned], minute.gaps[pinned])
        for crossed in self._rate.step(*at, units[pinned], calls[pinned]):
            position = int(pinned[crossed.row])
            cap = self._above(minute.slots[position], 0)
            rows = minute.evidence(position, counted)
            yield (
                position,
                self._risen(crossed, int(minute.minutes[position]), cap, float(units[position]), rows),
            )
        for crossed in self._large.step(*at, minute.count(large)[pinned], calls[pinned]):
            position = int(pinned[crossed.row])
            above = self._above(minute.slots[position], self._margin)
            rows = minute.evidence(position, large)
            yield position, self._grown(crossed, int(minute.minutes[position]), above, rows)
        renewed = np.isin(cells, np.union1d(self._rate.renewed, self._large.renewed))
        self.clear(minute.slots[pinned][renewed])
        self._pins.learn(minute.row_slots, only, minute.tokens)

    def _above(self, slot: Any, margin: int) -> int:
        """The tokens from which a call lies above the slot's pin and the margin."""
        pin = self._pins.of(np.array([slot]), np.zeros(1, dtype=np.int64))
        return upper_edge_tokens(int(pin[0]) + margin)

    def _risen(
        self, crossed: Crossed, minute: int, cap: int, units: float, rows: tuple[str, ...]
    ) -> MakeConclusion:
        used = int(units * cap)
        facts = {"measure": "tokens a minute", "tokens_at_least": used, "tokens_of_a_large_call": cap}
        summary = self.detector.say_risen(crossed.seen, used, cap)
        condition = "(input_tokens > 0 or output_tokens > 0)"
        return lambda key: conclusion(key, minute, crossed, summary, facts, condition, rows=rows)

    def _grown(self, crossed: Crossed, minute: int, above: int, rows: tuple[str, ...]) -> MakeConclusion:
        facts: dict[str, float | int | str] = {"measure": "tokens a call", "large_from_tokens": above}
        summary = self.detector.say_grown(crossed.seen, above)
        condition = f"coalesce(input_tokens, 0) + coalesce(output_tokens, 0) >= {above}"
        labels = {"measure": "call"}
        return lambda key: conclusion(key, minute, crossed, summary, facts, condition, labels, rows)

    def progress(self, slots: Ints, minute: int) -> list[Progress]:
        cells = self._cells.of(slots, 0)
        return self._rate.progress(cells[cells >= 0], minute)

    def grow(self, slots: int) -> None:
        self._pins.grow(slots)
        self._cells.grow(slots)

    def clear(self, slots: Ints) -> None:
        self._pins.clear(slots)
        cells = self._cells.drop(slots)
        self._rate.clear(cells)
        self._large.clear(cells)

    def state(self) -> Any:
        parts = {"rate": self._rate, "large": self._large, "pins": self._pins, "cells": self._cells}
        return {name: part.state() for name, part in parts.items()}

    def load(self, state: Any) -> None:
        self._rate.load(state["rate"])
        self._large.load(state["large"])
        self._pins.load(state["pins"])
        self._cells.load(state["cells"])
