"""Rhythm: in which minutes of the week an agent usually speaks, and how much of that it has now missed.

Time is counted in the agent's own: a minute weighs what the agent's hour of the week says, so a night or a
weekend in which it never speaks weighs nothing. Arrays have a place an agent. Fed minute by minute of closed
event time.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from detectors.arrays import Arrays, Column
from detectors.key import Key
from detectors.places import Hashes, Places

Floats = NDArray[np.float32]
Ints = NDArray[np.int64]

HOURS = 168
MINUTES_PER_HOUR = 60
EVICT_SHARE = 0.1
LEARNED_FROM = 20
"""Minutes with events after the first week, before the pauses seen in it say what is normal."""
DAY_HOURS = 24
MOST_CERTAIN = 0.993
"""An agent is never taken to speak in more than this share of its minutes."""
NEW_SHARE = 0.5
"""What a new week weighs against all before it."""
_COLUMNS = {
    "first_hour": Column(np.int32, -1),
    "last": Column(np.int32),
    "home": Column(np.int16),
    "weeks": Column(np.int16),
    "heard": Column(np.int32),
    "total": Column(np.float32),
    "missed": Column(np.float32),
    "pause": Column(np.float32),
    "pause_2": Column(np.float32),
    "older": Column(np.float32),
    "older_2": Column(np.float32),
    "limit": Column(np.float32, np.inf),
    "weight": Column(np.float32),
    "now": Column(np.uint8, 0, HOURS),
    "usual": Column(np.uint8, 0, HOURS),
}
"""`now`, `usual`: minutes with events in each hour of the agent's current week, and of a usual one."""


class Rhythm:
    """The rhythms of up to `max_agents` agents; beyond it the longest unseen are forgotten."""

    def __init__(self, max_agents: int, log_p: float, pauses: float) -> None:
        """`log_p`: the natural logarithm of the chance below which missing is no chance. `pauses`: what is
        missed must also be so many times the agent's longest normal pause."""
        self._max_agents = max_agents
        self._log_p = log_p
        self._pauses = pauses
        self._places = Places(max_agents)
        self._environments: list[str] = []
        self._agents: list[str] = []
        """By place."""
        self._arrays = Arrays(_COLUMNS)
        self._hour = -1

    def __getitem__(self, name: str) -> NDArray[Any]:
        """A column, by place."""
        return self._arrays[name]

    def turn(self, hour: int) -> None:
        """Enter an hour: weeks that are complete become usual, minutes get this hour's weight."""
        if hour == self._hour:
            return
        self._hour = hour
        age = hour - self["first_hour"]
        full = np.flatnonzero((self["first_hour"] >= 0) & (age > 0) & (age % HOURS == 0))
        if len(full):
            self._end_week(full)
        self._weigh(np.arange(len(self["last"])), hour)

    def pass_minute(self, alive: NDArray[np.bool_]) -> None:
        """A minute has gone by in which the agents at home in these partitions could have been heard."""
        missed = self["missed"]
        missed += self["weight"] * alive[self["home"]]

    def speak(self, places: Ints, minute: int, homes: Ints) -> None:
        """These agents (each once) had events in a minute; `homes`: the number of a partition of each."""
        missed = self["missed"][places]
        self["heard"][places] += self["weeks"][places] > 0
        longest = np.maximum(self["pause"][places], missed)
        self["pause_2"][places] = np.maximum(
            self["pause_2"][places], np.minimum(self["pause"][places], missed)
        )
        self["pause"][places] = longest
        self["missed"][places] = 0
        self["last"][places] = minute
        self["home"][places] = homes
        self["now"][places, minute // MINUTES_PER_HOUR % HOURS] += 1
        self._set_limits(places)

    def over(self) -> Ints:
        """The places that have missed more than chance and their own pauses allow."""
        return np.flatnonzero(self["missed"] > self["limit"])

    def usual(self, place: int) -> int:
        """In how many minutes of the present hour of the week the agent usually speaks."""
        return int(self["usual"][place, self._hour % HOURS])

    def normal_pause(self, place: int) -> float:
        """The longest pause but one of the last two weeks, in minutes in which it would have spoken."""
        return float(self._normal_pauses(np.array([place]))[0])

    def places(self, hashes: Hashes) -> Ints:
        """The places of agents; -1: not known."""
        return self._places.of(hashes)

    def meet(self, agents: Mapping[int, tuple[str, str]], hour: int) -> None:
        """Give places to new agents: hash → (environment, agent)."""
        if not agents:
            return
        hashes = np.array(sorted(agents), dtype=np.uint64)
        places = self._places.take(hashes)
        self._arrays.grow(self._places.room)
        self["first_hour"][places] = hour
        for hash_, place in zip(hashes.tolist(), places.tolist(), strict=True):
            if place == len(self._agents):
                self._environments.append("")
                self._agents.append("")
            self._environments[place], self._agents[place] = agents[hash_]

    def place(self, hash_: int) -> int:
        """The place of a known agent."""
        return int(self._places.of(np.array([hash_], dtype=np.uint64))[0])

    def hash(self, place: int) -> int:
        """The hash of the agent whose place it is."""
        return int(self._places.hashes[place])

    def key(self, place: int) -> Key:
        """Whose place it is."""
        return Key(self._environments[place], self._agents[place], "")

    def forget(self, environment: str, agent_id: str, hour: int) -> list[int]:
        """Learn an agent anew from an hour on; an empty environment stands for every one. The hashes."""
        mine = [place for place in self._places.held().tolist() if self._agents[place] == agent_id]
        mine = [place for place in mine if environment in ("", self._environments[place])]
        kept = {name: self[name][mine] for name in ("last", "home")}
        self._arrays.clear(np.array(mine, dtype=np.int64))
        for name, values in kept.items():
            self[name][mine] = values
        self["first_hour"][mine] = hour
        return [self.hash(place) for place in mine]

    def evict(self) -> list[tuple[int, Key]]:
        """Forget the longest unseen agents beyond the bound, at a tie by their hashes. Their (hash, key)."""
        if len(self._places) <= self._max_agents:
            return []
        held = self._places.held()
        excess = len(held) - int(self._max_agents * (1 - EVICT_SHARE))
        gone = held[np.lexsort((self._places.hashes[held], self["last"][held]))[:excess]]
        hashes = self._places.hashes[gone].tolist()
        self._places.drop(gone)
        self._arrays.clear(gone)
        return [(hash_, self.key(place)) for hash_, place in zip(hashes, gone.tolist(), strict=True)]

    def _end_week(self, places: Ints) -> None:
        week = self["now"][places].astype(np.float32)
        usual = self["usual"][places].astype(np.float32)
        is_first = (self["weeks"][places] == 0)[:, None]
        mixed = np.where(is_first, week, NEW_SHARE * week + (1 - NEW_SHARE) * usual)
        self["usual"][places] = np.rint(mixed).astype(np.uint8)
        self["now"][places] = 0
        self["total"][places] = mixed.sum(axis=1)
        self["weeks"][places] += 1
        self["older"][places], self["older_2"][places] = self["pause"][places], self["pause_2"][places]
        first = places[is_first[:, 0]]
        self["older"][first] = self["older_2"][first] = self["missed"][first] = 0
        self["pause"][places] = self["pause_2"][places] = 0

    def _weigh(self, places: Ints, hour: int) -> None:
        """−log(1 − share) of the hour, so that a missed minute weighs its improbability. The neighbouring
        hours can only lower it: work that begins earlier or later, or with summer time, is no silence. An
        hour that stands alone is taken as it is."""
        before, own, after = (self["usual"][places, (hour + d) % HOURS] for d in (-1, 0, 1))
        alone = (before == 0) & (after == 0)
        lowest: Floats = np.minimum(own, np.minimum(before, after))
        minutes: Floats = np.asarray(np.where(alone, own, lowest), np.float32)
        share: Floats = np.minimum(minutes / np.float32(MINUTES_PER_HOUR), np.float32(MOST_CERTAIN))
        self["weight"][places] = -np.log1p(-share)
        self._set_limits(places)

    def _set_limits(self, places: Ints) -> None:
        """The gamma-Poisson gap: (A/(A+w))^A = p for A minutes learned from, solved for w."""
        total = np.maximum(self["total"][places], np.float32(1))
        by_chance = total * np.expm1(-self._log_p / total)
        known_hours = self["last"][places] // MINUTES_PER_HOUR - self["first_hour"][places]
        is_known = (known_hours >= HOURS + DAY_HOURS) & (self["heard"][places] >= LEARNED_FROM)
        limit = np.maximum(by_chance, self._pauses * self._normal_pauses(places))
        self["limit"][places] = np.where(is_known, limit, np.inf)

    def _normal_pauses(self, places: Ints) -> Floats:
        """The longest but one: a single outage is no norm, one that comes again is."""
        first, second = self["pause"][places], self["pause_2"][places]
        older, older_2 = self["older"][places], self["older_2"][places]
        return np.maximum(np.minimum(first, older), np.maximum(second, older_2))

    def state(self) -> dict[str, Any]:
        """What a snapshot holds."""
        return {
            "places": self._places.state(),
            "environments": self._environments,
            "agents": self._agents,
            "arrays": self._arrays.state(),
            "hour": self._hour,
        }

    def load(self, state: Mapping[str, Any]) -> None:
        """Take over a snapshot's state."""
        self._places.load(state["places"])
        self._environments, self._agents = list(state["environments"]), list(state["agents"])
        self._arrays.load(state["arrays"])
        self._hour = state["hour"]
