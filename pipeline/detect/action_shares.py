"""Action mix: the share of each of an agent's actions."""

from collections.abc import Iterable
from typing import Any

import numpy as np

from detectors.action_mix import ActionMix
from detectors.budget import levels_of
from detectors.evidence import Ints
from pipeline.detect.actions import CLASSES
from pipeline.detect.call_minute import CallMinute
from pipeline.detect.call_tests import MakeConclusion, conclusion
from pipeline.detect.cells import NONE, Cells
from pipeline.detect.statistics import Crossed, Progress, Statistic

UNUSED = CLASSES
"""Stands for all classes that an agent has not used: they all go through the same."""


class ActionShares:
    """The share of every class of actions, each against its own; the mean of the classes' e-values is
    one, so each needs the number of classes times the evidence."""

    def __init__(self, detector: ActionMix) -> None:
        self.detector = detector
        config = detector.config.statistic
        self._statistic = Statistic(config, "ratio", levels_of(config).times(CLASSES))
        self._cells = Cells(CLASSES + 1)

    def step(self, minute: CallMinute) -> Iterable[tuple[int, MakeConclusion]]:
        counts = minute.by_class()
        table = self._with_new(minute.slots, counts)
        table[(table[:, :UNUSED] >= 0).all(axis=1), UNUSED] = NONE
        position, class_ = np.nonzero(table >= 0)
        hits = np.c_[counts, np.zeros(len(counts), dtype=np.int64)][position, class_]
        best: dict[int, tuple[float, int, Crossed]] = {}
        for crossed in self._statistic.step(
            table[position, class_].astype(np.int64),
            minute.minutes[position],
            minute.gaps[position],
            hits,
            counts.sum(axis=1)[position],
        ):
            at = int(position[crossed.row])
            found = (crossed.seen.log10_e, -int(class_[crossed.row]), crossed)
            if at not in best or found[:2] > best[at][:2]:
                best[at] = found
        for at, (_, negative, crossed) in best.items():
            of_class = minute.classes == -negative
            action, rows = minute.most(at, of_class).name, minute.evidence(at, of_class)
            yield at, self._make(crossed, int(minute.minutes[at]), action, rows)

    def _with_new(self, slots: Ints, counts: Ints) -> Any:
        """The cells of each slot, slots × classes; a class that is new goes on where the unused ones are."""
        unused = self._cells.take(slots, UNUSED)
        position, class_ = np.nonzero((counts > 0) & (self._cells.table(slots)[:, :UNUSED] < 0))
        new = self._cells.take(slots[position], class_)
        self._statistic.grow(self._cells.room)
        self._statistic.copy(unused[position], new)
        return self._cells.table(slots)

    def _make(self, crossed: Crossed, minute: int, action: str, rows: tuple[str, ...]) -> MakeConclusion:
        summary = self.detector.say(crossed.seen, action)
        facts = {"action": action}
        condition = f"coalesce(action, operation) = {_quoted(action)}"
        return lambda key: conclusion(key, minute, crossed, summary, facts, condition, rows=rows)

    def progress(self, slots: Ints, minute: int) -> list[Progress]:
        cells = self._cells.of(slots, UNUSED)
        return self._statistic.progress(cells[cells >= 0], minute)

    def grow(self, slots: int) -> None:
        self._cells.grow(slots)

    def clear(self, slots: Ints) -> None:
        self._statistic.clear(self._cells.drop(slots))

    def state(self) -> Any:
        return {"statistic": self._statistic.state(), "cells": self._cells.state()}

    def load(self, state: Any) -> None:
        self._statistic.load(state["statistic"])
        self._cells.load(state["cells"])


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"
