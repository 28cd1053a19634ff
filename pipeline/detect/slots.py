"""Slots: every key has a place in arrays, which grow as keys come and are bounded by forgetting.

One table for all that learns about keys. It holds names once, and everything else by the key's hash.
"""

from collections.abc import Callable, Iterator
from sys import intern
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from detectors.evidence import Ints
from detectors.key import Key
from detectors.places import Hashes, Places

EVICT_SHARE = 0.1
HOUR_MINUTES = 60
MOST_AT_ONCE = 8192
"""Keys that are stepped at once: what a step takes in memory does not grow with the number of keys."""
NEVER = -1
Grow = Callable[[int], None]
Clear = Callable[[Ints], None]


class Slots:
    """Key → position in arrays that others hold: `grow` makes them longer, `clear` empties positions."""

    def __init__(self, max_keys: int) -> None:
        self._max_keys = max_keys
        self._listeners: list[tuple[Grow, Clear]] = []
        self._places = Places(max_keys)
        self._wheres: list[tuple[str, str]] = []
        self._numbers: dict[tuple[str, str], int] = {}
        """(environment, via), which are few, and their numbers."""
        self._agents: list[str] = []
        self._where_of: list[int] = []
        """By slot: the agent, and the number of the environment and `via`."""
        self._waiting: dict[int, Key] = {}
        """Names by hash of those that have no slot yet."""
        self.last = np.full(0, NEVER, dtype=np.int32)
        """Per slot the minute it was last seen in; -1: never. Set by whoever judges all minutes of a key."""

    def __len__(self) -> int:
        return len(self._places)

    @property
    def agents(self) -> set[str]:
        """The agents with a slot, or met and waiting for one."""
        held: list[int] = self._places.held().tolist()
        waiting = {key.agent_id for key in self._waiting.values()}
        return waiting | {self._agents[slot] for slot in held}

    def listen(self, grow: Grow, clear: Clear) -> None:
        """Be told of new room and of emptied slots."""
        self._listeners.append((grow, clear))

    def meet(self, rows: pl.DataFrame) -> None:
        """Remember the names of keys without a slot: rows with `key`, `env`, `agent`, `via`."""
        hashes, first = np.unique(rows["key"].to_numpy(), return_index=True)
        unknown = np.sort(first[self._places.of(hashes) < 0])
        if len(unknown):
            for hash_, *named in rows.select("key", "env", "agent", "via")[unknown].iter_rows():
                environment, agent, via = map(intern, named)
                self._waiting.setdefault(hash_, Key(environment, agent, via))

    def find(self, hashes: Hashes) -> Ints:
        """The slot of each key; -1: it has none."""
        return self._places.of(hashes)

    def of(self, hashes: Hashes) -> Ints:
        """The slot of each key; those that were met get one. In the order of their hashes, so that the same
        keys have the same slots wherever they were judged in the same minutes."""
        found = self._places.of(hashes)
        unknown = found < 0
        if unknown.any():
            new = np.unique(hashes[unknown])
            slots = self._places.take(new)
            self._make_room()
            for hash_, slot in zip(new.tolist(), slots.tolist(), strict=True):
                self._name(slot, self._waiting.pop(hash_))
            found[unknown] = self._places.of(hashes[unknown])
        return found

    def key(self, slot: int) -> Key:
        """Whose slot it is."""
        environment, via = self._wheres[self._where_of[slot]]
        return Key(environment, self._agents[slot], via)

    def evict(self, waiting: Callable[[], Hashes]) -> None:
        """Forget the longest unseen keys, and at a tie by their hashes: a function of what was judged.
        `waiting`: the keys that will be judged, whose names are kept."""
        if len(self) > self._max_keys:
            held = self._places.held()
            excess = len(held) - int(self._max_keys * (1 - EVICT_SHARE))
            order = np.lexsort((self._places.hashes[held], self.last[held]))
            self._drop(held[order[:excess]])
        elif len(self._waiting) <= 2 * self._max_keys:
            return
        if self._waiting:
            kept = set(waiting().tolist())
            self._waiting = {hash_: key for hash_, key in self._waiting.items() if hash_ in kept}

    def of_agent(self, environment: str, agent_id: str) -> Ints:
        """The slots of one agent; an empty environment stands for every one."""
        mine = [slot for slot in self._places.held().tolist() if self._agents[slot] == agent_id]
        fitting = [slot for slot in mine if environment in ("", self.key(slot).environment)]
        return np.array(fitting, dtype=np.int64)

    def forget(self, environment: str, agent_id: str) -> None:
        """Forget what was learned of one agent; an empty environment stands for every one."""
        forgotten = self.of_agent(environment, agent_id)
        if len(forgotten):
            self._drop(forgotten)

    def _drop(self, slots: Ints) -> None:
        for slot in slots.tolist():
            # Minutes of it may wait: its name is needed again.
            self._waiting[int(self._places.hashes[slot])] = self.key(slot)
        self._places.drop(slots)
        for _, clear in self._listeners:
            clear(slots)
        self.last[slots] = NEVER

    def _make_room(self) -> None:
        room = self._places.room
        if room > len(self.last):
            self.last = np.concatenate([self.last, np.full(room - len(self.last), NEVER, dtype=np.int32)])
            for grow, _ in self._listeners:
                grow(room)

    def _name(self, slot: int, key: Key) -> None:
        named = (key.environment, key.via)
        where = self._numbers.setdefault(named, len(self._wheres))
        if where == len(self._wheres):
            self._wheres.append(named)
        if slot == len(self._agents):
            self._agents.append(key.agent_id)
            self._where_of.append(where)
        else:
            self._agents[slot], self._where_of[slot] = key.agent_id, where

    def state(self) -> dict[str, Any]:
        """What a snapshot holds."""
        return {
            "places": self._places.state(),
            "wheres": self._wheres,
            "agents": self._agents,
            "where_of": self._where_of,
            "waiting": [(hash_, *key[:3]) for hash_, key in self._waiting.items()],
            "last": self.last.tobytes(),
        }

    def load(self, state: dict[str, Any]) -> None:
        """Take over a snapshot's slots; the arrays beside them are loaded by those who hold them."""
        self._places.load(state["places"])
        self._wheres = [(environment, via) for environment, via in state["wheres"]]
        self._numbers = {named: number for number, named in enumerate(self._wheres)}
        self._agents, self._where_of = list(state["agents"]), list(state["where_of"])
        self._waiting = {hash_: Key(*named) for hash_, *named in state["waiting"]}
        self.last = np.frombuffer(state["last"], dtype=np.int32).copy()


def gaps(last: NDArray[np.int32], minutes: Ints) -> Ints:
    """Minutes without events since each was last seen; 0 for a new one."""
    return np.where(last >= 0, np.maximum(minutes - last - 1, 0), 0).astype(np.int64)


def rounds(slots: Ints, minutes: Ints) -> Iterator[Ints]:
    """Rows (sorted by minute) in rounds, hour by hour: the first minute of every slot, then the second, …
    Large rounds come in pieces."""
    hours = np.flatnonzero(np.diff(minutes // HOUR_MINUTES)) + 1
    for part in np.split(np.arange(len(slots)), hours):
        for rows in _rounds(slots[part]):
            for start in range(0, len(rows), MOST_AT_ONCE):
                yield part[rows[start : start + MOST_AT_ONCE]]


def _rounds(slots: Ints) -> list[Ints]:
    order = np.argsort(slots, kind="stable")
    ordered = slots[order]
    starts = np.r_[0, np.flatnonzero(np.diff(ordered)) + 1]
    rank = np.arange(len(slots)) - np.repeat(starts, np.diff(np.r_[starts, len(slots)]))
    by_rank = np.argsort(rank, kind="stable")
    cuts = np.flatnonzero(np.diff(rank[by_rank])) + 1
    return [order[part] for part in np.split(by_rank, cuts)]
