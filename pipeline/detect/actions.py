"""Actions: every key's first seven actions have a class of their own, all others share the eighth."""

import numpy as np
from numpy.typing import NDArray

from detectors.evidence import Ints

CLASSES = 8
OTHERS = CLASSES - 1
Hashes = NDArray[np.uint64]


class Actions:
    """The actions of each slot, as hashes, in the order in which they were first seen."""

    def __init__(self) -> None:
        self._known: Hashes = np.zeros((0, OTHERS), dtype=np.uint64)

    def grow(self, slots: int) -> None:
        """Make room for so many slots."""
        more = np.zeros((slots - len(self._known), OTHERS), dtype=np.uint64)
        self._known = np.concatenate([self._known, more])

    def clear(self, slots: Ints) -> None:
        """Forget the actions of these slots."""
        self._known[slots] = 0

    def classes(self, slots: Ints, actions: Hashes) -> Ints:
        """The class of each row. A minute's new actions are taken in by number and then by hash, so all
        rows of a slot's minute must come together."""
        found = self._look_up(slots, actions)
        new = (found == OTHERS) & (self._known[slots, -1] == 0)
        if not new.any():
            return found
        self._take_in(slots[new], actions[new])
        found[new] = self._look_up(slots[new], actions[new])
        return found

    def _take_in(self, slots: Ints, actions: Hashes) -> None:
        order = np.lexsort((actions, slots))
        slots, actions = slots[order], actions[order]
        first = np.flatnonzero(np.r_[True, (np.diff(slots) != 0) | (actions[1:] != actions[:-1])])
        number = np.diff(np.r_[first, len(slots)])
        slots, actions = slots[first], actions[first]
        order = np.lexsort((actions, -number, slots))
        slots, actions = slots[order], actions[order]
        begins = np.flatnonzero(np.r_[True, np.diff(slots) != 0])
        rank = np.arange(len(slots)) - np.repeat(begins, np.diff(np.r_[begins, len(slots)]))
        place = rank + (self._known[slots] != 0).sum(axis=1)
        fits = place < OTHERS
        self._known[slots[fits], place[fits]] = actions[fits]

    def _look_up(self, slots: Ints, actions: Hashes) -> Ints:
        matches = self._known[slots] == actions[:, None]
        return np.where(matches.any(axis=1), matches.argmax(axis=1), OTHERS)

    def state(self) -> bytes:
        """What a snapshot holds."""
        return self._known.tobytes()

    def load(self, state: bytes) -> None:
        self._known = np.frombuffer(state, dtype=np.uint64).reshape(-1, OTHERS).copy()
