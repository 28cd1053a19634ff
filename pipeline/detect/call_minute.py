"""One minute of many keys, as the tests of calls see it."""

from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np

from detectors.evidence import Floats, Ints
from pipeline.detect.actions import CLASSES, Actions
from pipeline.detect.bins import Bytes
from pipeline.detect.model import Partition
from pipeline.detect.recent import SAMPLES
from pipeline.detect.statistics import Flags

UNNAMED = "unnamed"


class Worst(NamedTuple):
    """The action behind a crossing."""

    name: str
    class_: int


class CallMinute:
    """Rows of one minute of each of these slots (no slot twice), with their groups."""

    def __init__(
        self,
        *,
        slots: Ints,
        minutes: Ints,
        gaps: Ints,
        group: Ints,
        columns: Mapping[str, Any],
        actions: Actions,
        names: Mapping[int, str],
        origins: Sequence[Partition],
    ) -> None:
        self.slots = slots
        self.minutes = minutes
        """Of each slot: its own minute, and the minutes without events before it."""
        self.gaps = gaps
        self.group = group
        """Of each row: the position of its slot."""
        self.row_slots: Ints = slots[group]
        self.durations: Bytes = columns["duration"]
        self.tokens: Bytes = columns["tokens"]
        self.marks: Bytes = columns["marks"]
        self.columns = columns
        self.timed: Flags | None = None
        self.slow: Flags | None = None
        """Of each row, set by the test of slow calls: whether it could be slow, and whether it is."""
        self._actions = actions
        self._names = names
        self._origins = origins

    @cached_property
    def classes(self) -> Ints:
        """The class of each row's action."""
        return self._actions.classes(self.row_slots, self.columns["action"])

    def count(self, which: Flags) -> Ints:
        """Rows of each slot."""
        return np.bincount(self.group[which], minlength=len(self.slots))

    def add_up(self, weights: Floats) -> Floats:
        """The sum of a weight over the rows of each slot."""
        return np.bincount(self.group, weights=weights, minlength=len(self.slots)).astype(np.float64)

    def by_class(self) -> Ints:
        """Rows of each slot and class: slots × classes."""
        cells = np.bincount(self.group * CLASSES + self.classes, minlength=len(self.slots) * CLASSES)
        return cells.reshape(-1, CLASSES)

    def evidence(self, position: int, which: Flags) -> tuple[str, ...]:
        """Some of these rows of one slot, as `topic_id/partition/offset/item`."""
        rows = np.flatnonzero((self.group == position) & which)[:SAMPLES]
        columns: list[list[int]] = [
            self.columns[name][rows].tolist() for name in ("origin", "offset", "item")
        ]
        return tuple(
            f"{self._origins[origin][0]}/{self._origins[origin][1]}/{offset}/{item}"
            for origin, offset, item in zip(*columns, strict=True)
        )

    def version(self, hash_: int) -> str:
        """The agent's version behind a hash."""
        return self._names.get(hash_, UNNAMED)

    def names_of(self, rows: Ints) -> dict[int, str]:
        """Of each class among these rows the first action by name."""
        found: dict[int, str] = {}
        pairs = set(zip(self.classes[rows].tolist(), self.columns["action"][rows].tolist(), strict=True))
        for class_, action in pairs:
            name = self._names.get(action, UNNAMED)
            found[class_] = min(found.get(class_, name), name)
        return found

    def most(self, position: int, which: Flags) -> Worst:
        """The action with most of these rows in one slot's minute, at a tie the first by name."""
        rows = np.flatnonzero((self.group == position) & which)
        actions, counts = np.unique(self.columns["action"][rows], return_counts=True)
        numbered = zip(actions.tolist(), counts.tolist(), strict=True)
        _, name, action = min((-number, self._names.get(a, UNNAMED), a) for a, number in numbered)
        row = rows[np.flatnonzero(self.columns["action"][rows] == action)[0]]
        return Worst(name, int(self.classes[row]))
