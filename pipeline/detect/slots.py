"""Slots: every key has a place in arrays, which grow as keys come and are bounded by forgetting."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from detectors.evidence import Ints
from detectors.key import Key

FIRST_SLOTS = 1024
EVICT_SHARE = 0.1
HOUR_MINUTES = 60


class Slots:
    """Key → position in arrays that others hold: `grow` makes them longer, `clear` empties positions."""

    def __init__(self, max_keys: int, grow: Callable[[int], None], clear: Callable[[Ints], None]) -> None:
        self._max_keys = max_keys
        self._grow = grow
        self._clear = clear
        self.slots: dict[Key, int] = {}
        self._free: list[int] = []
        self.last = np.full(0, -1, dtype=np.int64)
        """Per slot the minute it was last seen in; -1: never. Whoever steps a slot sets it."""

    def __len__(self) -> int:
        return len(self.slots)

    def of(self, keys: Sequence[Key]) -> Ints:
        """The slot of each key; new keys get one."""
        known = self.slots
        found = np.empty(len(keys), dtype=np.int64)
        for row, key in enumerate(keys):
            slot = known.get(key)
            if slot is None:
                slot = known[key] = self._free.pop() if self._free else self._new()
            found[row] = slot
        return found

    def gaps(self, slots: Ints, minutes: Ints) -> Ints:
        """Minutes without events since each slot was last seen; 0 for a new one."""
        last = self.last[slots]
        return np.where(last >= 0, np.maximum(minutes - last - 1, 0), 0)

    def evict(self) -> None:
        """Forget the longest unseen keys, and at a tie the last by name: a function of what was judged."""
        if len(self.slots) <= self._max_keys:
            return
        excess = len(self.slots) - int(self._max_keys * (1 - EVICT_SHARE))
        oldest = sorted(self.slots.items(), key=lambda item: (self.last[item[1]], item[0]))[:excess]
        self._drop([key for key, _ in oldest])

    def forget(self, environment: str, agent_id: str) -> None:
        """Forget what was learned of one agent; an empty environment stands for every one."""
        mine = [key for key in self.slots if key.agent_id == agent_id]
        self._drop([key for key in mine if environment in ("", key.environment)])

    def _drop(self, keys: Sequence[Key]) -> None:
        freed = np.array([self.slots.pop(key) for key in keys], dtype=np.int64)
        self._clear(freed)
        self.last[freed] = -1
        self._free.extend(int(slot) for slot in freed)

    def _new(self) -> int:
        if len(self.slots) >= len(self.last):
            more = max(FIRST_SLOTS, len(self.last))
            self.last = np.concatenate([self.last, np.full(more, -1, dtype=np.int64)])
            self._grow(len(self.last))
        return len(self.slots)

    def state(self) -> dict[str, Any]:
        """What a snapshot holds."""
        return {
            "slots": [(*key[:3], slot) for key, slot in self.slots.items()],
            "free": self._free,
            "last": self.last.tobytes(),
        }

    def load(self, state: dict[str, Any]) -> None:
        """Take over a snapshot's slots; the arrays beside them are loaded by those who hold them."""
        self.slots = {Key(*row[:3]): row[3] for row in state["slots"]}
        self._free = list(state["free"])
        self.last = np.frombuffer(state["last"], dtype=np.int64).copy()


def rounds(slots: Ints, minutes: Ints) -> list[Ints]:
    """Rows (sorted by minute) in rounds, hour by hour: the first minute of every slot, then the second, …"""
    hours = np.flatnonzero(np.diff(minutes // HOUR_MINUTES)) + 1
    parts = np.split(np.arange(len(slots)), hours)
    return [part[rows] for part in parts for rows in _rounds(slots[part])]


def _rounds(slots: Ints) -> list[Ints]:
    order = np.argsort(slots, kind="stable")
    ordered = slots[order]
    starts = np.r_[0, np.flatnonzero(np.diff(ordered)) + 1]
    rank = np.arange(len(slots)) - np.repeat(starts, np.diff(np.r_[starts, len(slots)]))
    by_rank = np.argsort(rank, kind="stable")
    cuts = np.flatnonzero(np.diff(rank[by_rank])) + 1
    return [order[part] for part in np.split(by_rank, cuts)]
