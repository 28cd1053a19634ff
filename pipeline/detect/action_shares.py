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
from pipeline.detect.statistics import Crossed, Statistic


class ActionShares:
    """The share of every class of actions, each against its own; the mean of the classes' e-values is
    one, so each needs the number of classes times the evidence."""

    def __init__(self, detector: ActionMix) -> None:
        self.detector = detector
        config = detector.config.statistic
        self._statistic = Statistic(config, "ratio", levels_of(config).times(CLASSES))

    def step(self, minute: CallMinute) -> Iterable[tuple[int, MakeConclusion]]:
        counts = minute.by_class()
        cells = (minute.slots[:, None] * CLASSES + np.arange(CLASSES)).ravel()
        best: dict[int, tuple[float, int, Crossed]] = {}
        for crossed in self._statistic.step(
            cells,
            np.repeat(minute.minutes, CLASSES),
            np.repeat(minute.gaps, CLASSES),
            counts.ravel(),
            np.repeat(counts.sum(axis=1), CLASSES),
        ):
            position, class_ = divmod(crossed.row, CLASSES)
            found = (crossed.seen.log10_e, -class_, crossed)
            if position not in best or found[:2] > best[position][:2]:
                best[position] = found
        for position, (_, class_, crossed) in best.items():
            action = minute.most(position, minute.classes == -class_).name
            yield position, self._make(crossed, int(minute.minutes[position]), action)

    def _make(self, crossed: Crossed, minute: int, action: str) -> MakeConclusion:
        summary = self.detector.say(crossed.seen, action)
        facts = {"action": action}
        condition = f"coalesce(action, operation) = {_quoted(action)}"
        return lambda key: conclusion(key, minute, crossed, summary, facts, condition)

    def grow(self, slots: int) -> None:
        self._statistic.grow(slots * CLASSES)

    def clear(self, slots: Ints) -> None:
        self._statistic.clear((slots[:, None] * CLASSES + np.arange(CLASSES)).ravel())

    def state(self) -> Any:
        return self._statistic.state()

    def load(self, state: Any) -> None:
        self._statistic.load(state)


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"
