"""Rhythm: in which minutes of the week an agent usually speaks, and how much of that it has now missed.

Time is counted in the agent's own: a minute weighs what the agent's hour of the week says, so a night or a
weekend in which it never speaks weighs nothing. Arrays have a place an agent. Fed minute by minute of closed
event time.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from detectors.key import Key

Floats = NDArray[np.float32]
Ints = NDArray[np.int64]

HOURS = 168
MINUTES_PER_HOUR = 60
FIRST_PLACES = 256
EVICT_SHARE = 0.1
LEARNED_FROM = 20
"""Minutes with events after the first week, before the pauses seen in it say what is normal."""
DAY_HOURS = 24
MOST_CERTAIN = 0.993
"""An agent is never taken to speak in more than this share of its minutes."""
NEW_SHARE = 0.5
"""What a new week weighs against all before it."""
_ARRAYS: dict[str, type[np.generic]] = {
    "first_hour": np.int64, "last": np.int64, "home": np.int64, "weeks": np.int64, "heard": np.int64,
    "total": np.float32, "missed": np.float32, "pause": np.float32, "pause_2": np.float32,
    "older": np.float32, "older_2": np.float32, "limit": np.float32, "weight": np.float32,
}  # fmt: skip


class Rhythm:
    """The rhythms of up to `max_agents` agents; beyond it the longest unseen are forgotten."""

    def __init__(self, max_agents: int, log_p: float, pauses: float) -> None:
        """`log_p`: the natural logarithm of the chance below which missing is no chance. `pauses`: what is
        missed must also be so many times the agent's longest normal pause."""
        self._max_agents = max_agents
        self._log_p = log_p
        self._pauses = pauses
        self.places: dict[Key, int] = {}
        self.keys: list[Key | None] = []
        self.first_hour = self.last = self.home = self.weeks = self.heard = np.zeros(0, dtype=np.int64)
        self.total = self.missed = self.pause = self.pause_2 = np.zeros(0, dtype=np.float32)
        self.older = self.older_2 = self.limit = self.weight = np.zeros(0, dtype=np.float32)
        self._now = np.zeros((0, HOURS), dtype=np.uint8)
        """Minutes with events in each hour of this agent's current week."""
        self._usual = np.zeros((0, HOURS), dtype=np.uint8)
        """The same of a usual week."""
        self._hour = -1

    def turn(self, hour: int) -> None:
        """Enter an hour: weeks that are complete become usual, minutes get this hour's weight."""
        if hour == self._hour:
            return
        self._hour = hour
        age = hour - self.first_hour
        full = np.flatnonzero((self.first_hour >= 0) & (age > 0) & (age % HOURS == 0))
        if len(full):
            self._end_week(full)
        self._weigh(np.arange(len(self.last)), hour)

    def pass_minute(self, alive: NDArray[np.bool_]) -> None:
        """A minute has gone by in which the agents at home in these partitions could have been heard."""
        self.missed += self.weight * alive[self.home]

    def speak(self, places: Ints, minute: int, homes: Ints) -> None:
        """These agents (each once) had events in a minute; `homes`: the number of a partition of each."""
        missed = self.missed[places]
        self.heard[places] += self.weeks[places] > 0
        longest = np.maximum(self.pause[places], missed)
        self.pause_2[places] = np.maximum(self.pause_2[places], np.minimum(self.pause[places], missed))
        self.pause[places] = longest
        self.missed[places] = 0
        self.last[places] = minute
        self.home[places] = homes
        self._now[places, minute // MINUTES_PER_HOUR % HOURS] += 1
        self._set_limits(places)

    def over(self) -> Ints:
        """The places that have missed more than chance and their own pauses allow."""
        return np.flatnonzero(self.missed > self.limit)

    def usual(self, place: int) -> int:
        """In how many minutes of the present hour of the week the agent usually speaks."""
        return int(self._usual[place, self._hour % HOURS])

    def normal_pause(self, place: int) -> float:
        """The longest pause but one of the last two weeks, in minutes in which it would have spoken."""
        return float(self._normal_pauses(np.array([place]))[0])

    def place(self, key: Key, hour: int) -> int:
        """The place of an agent; a new one gets one."""
        place = self.places.get(key)
        if place is None:
            if len(self.places) >= len(self.last):
                self._grow()
            place = self.places[key] = len(self.places)
            self.keys[place] = key
            self.first_hour[place] = hour
        return place

    def forget(self, place: int, hour: int) -> None:
        """Learn an agent anew from an hour on."""
        self.first_hour[place] = hour
        for name in _ARRAYS:
            if name not in ("first_hour", "last", "home"):
                getattr(self, name)[place] = np.inf if name == "limit" else 0
        self._now[place] = self._usual[place] = 0

    def evict(self) -> list[Key]:
        """Forget the longest unseen agents beyond the bound, and close ranks."""
        if len(self.places) <= self._max_agents:
            return []
        keep = int(self._max_agents * (1 - EVICT_SHARE))
        newest_first = sorted(self.places.items(), key=lambda one: (-self.last[one[1]], one[0]))
        gone = [key for key, _ in newest_first[keep:]]
        kept = np.sort(np.array([place for _, place in newest_first[:keep]], dtype=np.int64))
        keys = [self.keys[int(place)] for place in kept.tolist()]
        self._take(kept)
        self.keys = keys
        self.places = {key: place for place, key in enumerate(keys) if key is not None}
        return gone

    def _end_week(self, places: Ints) -> None:
        week = self._now[places].astype(np.float32)
        usual = self._usual[places].astype(np.float32)
        is_first = (self.weeks[places] == 0)[:, None]
        mixed = np.where(is_first, week, NEW_SHARE * week + (1 - NEW_SHARE) * usual)
        self._usual[places] = np.rint(mixed).astype(np.uint8)
        self._now[places] = 0
        self.total[places] = mixed.sum(axis=1)
        self.weeks[places] += 1
        self.older[places], self.older_2[places] = self.pause[places], self.pause_2[places]
        first = places[is_first[:, 0]]
        self.older[first] = self.older_2[first] = self.missed[first] = 0
        self.pause[places] = self.pause_2[places] = 0

    def _weigh(self, places: Ints, hour: int) -> None:
        """−log(1 − share) of the hour, so that a missed minute weighs its improbability. The neighbouring
        hours can only lower it: work that begins earlier or later, or with summer time, is no silence. An
        hour that stands alone is taken as it is."""
        before, own, after = (self._usual[places, (hour + d) % HOURS] for d in (-1, 0, 1))
        alone = (before == 0) & (after == 0)
        lowest: Floats = np.minimum(own, np.minimum(before, after))
        minutes: Floats = np.asarray(np.where(alone, own, lowest), np.float32)
        share: Floats = np.minimum(minutes / np.float32(MINUTES_PER_HOUR), np.float32(MOST_CERTAIN))
        self.weight[places] = -np.log1p(-share)
        self._set_limits(places)

    def _set_limits(self, places: Ints) -> None:
        """The gamma-Poisson gap: (A/(A+w))^A = p for A minutes learned from, solved for w."""
        total = np.maximum(self.total[places], np.float32(1))
        by_chance = total * np.expm1(-self._log_p / total)
        known_hours = self.last[places] // MINUTES_PER_HOUR - self.first_hour[places]
        is_known = (known_hours >= HOURS + DAY_HOURS) & (self.heard[places] >= LEARNED_FROM)
        limit = np.maximum(by_chance, self._pauses * self._normal_pauses(places))
        self.limit[places] = np.where(is_known, limit, np.inf)

    def _normal_pauses(self, places: Ints) -> Floats:
        """The longest but one: a single outage is no norm, one that comes again is."""
        first, second = self.pause[places], self.pause_2[places]
        older, older_2 = self.older[places], self.older_2[places]
        return np.maximum(np.minimum(first, older), np.maximum(second, older_2))

    def _grow(self) -> None:
        more = max(FIRST_PLACES, len(self.last))
        for name, kind in _ARRAYS.items():
            empty = {"first_hour": -1, "limit": np.inf}.get(name, 0)
            grown = np.concatenate([getattr(self, name), np.full(more, empty, dtype=kind)])
            setattr(self, name, grown)
        blank = np.zeros((more, HOURS), dtype=np.uint8)
        self._now, self._usual = np.concatenate([self._now, blank]), np.concatenate([self._usual, blank])
        self.keys += [None] * more

    def _take(self, places: Ints) -> None:
        for name in _ARRAYS:
            setattr(self, name, getattr(self, name)[places])
        self._now, self._usual = self._now[places], self._usual[places]

    def state(self) -> dict[str, Any]:
        """What a snapshot holds: agents in the order of their places, without the room to grow."""
        held = len(self.places)
        arrays = {name: getattr(self, name)[:held].tobytes() for name in _ARRAYS}
        grids = [self._now[:held].tobytes(), self._usual[:held].tobytes()]
        return {"keys": list(self.places), "arrays": arrays, "grids": grids, "hour": self._hour}

    def load(self, state: dict[str, Any]) -> None:
        """Take over a snapshot's state."""
        self.keys = [Key(*key) for key in state["keys"]]
        self.places = {key: place for place, key in enumerate(self.keys) if key is not None}
        for name, kind in _ARRAYS.items():
            setattr(self, name, np.frombuffer(state["arrays"][name], dtype=kind).copy())
        self._now, self._usual = (
            np.frombuffer(grid, dtype=np.uint8).reshape(-1, HOURS).copy() for grid in state["grids"]
        )
        self._hour = state["hour"]
