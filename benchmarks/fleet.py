"""A simulated fleet: events a minute of many agents whose traffic no detector's model assumes.

Rates are heavy-tailed. Most agents follow the day and the week, some a rhythm of their own, some are off for
hours, some run once an hour. Counts are gamma-Poisson or come in sessions of Pareto length. Releases shift
levels, jobs burst at night, levels drift by the hour. Everything follows from the seed.
"""

import zlib
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

HOUR, DAY = 60, 1440
WEEK = 7 * DAY
FIRST_MINUTE = 1_790_035_200 // 60 // WEEK * WEEK + 4 * DAY
"""A Monday at 00:00 UTC; 1 January 1970 was a Thursday."""
LOWEST_RATE, HIGHEST_RATE, RATE_TAIL = 0.05, 50.0, 0.3
"""Events a minute: a Pareto distribution of this exponent, cut at both ends."""
STEADY, SESSIONS, CRON = 0, 1, 2
STYLE_SHARES = (0.5, 0.4, 0.1)
SESSION_TAIL, SESSION_LONGEST = 1.8, 300
RELEASE_SPREAD = 0.25
"""Of the logarithm of a release's factor on an agent's level."""
DRIFT_KEPT = 0.9
"""Of an hour's drift that the next hour keeps."""


def stream_of(seed: int, *names: object) -> np.random.Generator:
    """A random source for one purpose; equal names give an equal stream."""
    return np.random.default_rng([seed, *(zlib.crc32(str(name).encode()) for name in names)])


class Release(NamedTuple):
    """A legitimate change: from this minute on, the agent's level is `factor` times what it was."""

    minute: int
    agent: int
    factor: float


class Fleet:
    """The agents and what is fixed about them. Arrays over agents."""

    def __init__(self, seed: int, agents: int, days: int) -> None:
        self.seed, self.agents, self.days = seed, agents, days
        chance = stream_of(seed, "fleet")
        cut = (LOWEST_RATE / HIGHEST_RATE) ** RATE_TAIL
        self.rate: Floats = LOWEST_RATE * (1 - chance.random(agents) * (1 - cut)) ** (-1 / RATE_TAIL)
        self.style: Ints = chance.choice(3, agents, p=STYLE_SHARES)
        self.shape: Floats = np.clip(chance.lognormal(1.5, 0.8, agents), 0.7, 40)
        """Of the gamma that multiplies a minute's rate."""
        self.drift_spread: Floats = chance.uniform(0.05, 0.3, agents)
        self.born: Ints = np.where(chance.random(agents) < 0.05, chance.integers(0, days * DAY, agents), 0)
        self.week: Floats = _weeks(chance, agents)
        self.period_minutes: Floats = np.where(
            chance.random(agents) < 0.08, chance.uniform(300, 2400, agents), 0
        )
        self.pauses: NDArray[np.bool_] = (chance.random(agents) < 0.07) & (self.period_minutes == 0)
        self.releases: list[Release] = _releases(chance, agents, days)
        self.cron_at: Ints = chance.integers(0, HOUR, agents)
        self.cron_length: Ints = chance.integers(1, 16, agents)
        self.session_pace: Ints = chance.integers(2, 12, agents)


def _weeks(chance: np.random.Generator, agents: int) -> Floats:
    """Multiples of the mean rate, agents × minutes of the week, as hours of ten minutes: [agents, 1008]."""
    slots = np.arange(WEEK // 10)
    hour, weekday = (slots / 6) % 24, slots // 144
    zone = chance.choice([0, 8, 16], agents, p=[0.5, 0.3, 0.2])[:, None]
    depth = np.where(chance.random(agents) < 0.7, chance.uniform(0.4, 0.95, agents), 0.1)[:, None]
    weekend = np.where(chance.random(agents) < 0.6, chance.uniform(0.1, 0.8, agents), 1.0)[:, None]
    day = np.maximum(0, np.sin(np.pi * ((hour - 6 - zone) % 24) / 14)) * (((hour - 6 - zone) % 24) < 14)
    season = (1 - depth + depth * 2.5 * day) * np.where(weekday >= 5, weekend, 1.0)
    season /= season.mean(axis=1, keepdims=True)
    return season * _jobs(chance, agents, slots)


def _jobs(chance: np.random.Generator, agents: int, slots: Ints) -> Floats:
    """Some agents have a job at the same time every day, some a busy hour once a week."""
    factor = np.ones((agents, len(slots)))
    nightly = np.flatnonzero(chance.random(agents) < 0.05)
    for agent in nightly:
        first = int(chance.integers(0, 144))
        factor[agent, (slots % 144 - first) % 144 < chance.integers(1, 3)] = chance.uniform(2, 6)
    weekly = np.flatnonzero(chance.random(agents) < 0.03)
    for agent in weekly:
        first = int(chance.integers(0, 1008))
        factor[agent, (slots - first) % 1008 < 6] = chance.uniform(1.5, 2.5)
    return factor


def _releases(chance: np.random.Generator, agents: int, days: int) -> list[Release]:
    """One every hundred agent-days."""
    count = max(1, agents * days // 100)
    minutes = np.sort(chance.integers(DAY, max(DAY + 1, days * DAY), count))
    whose, factors = chance.integers(0, agents, count), np.exp(chance.normal(0, RELEASE_SPREAD, count))
    return [Release(int(m), int(a), float(f)) for m, a, f in zip(minutes, whose, factors, strict=True)]


class Day(NamedTuple):
    """One day. Both arrays minutes × agents."""

    number: int
    expected: Floats
    """Events expected each minute, before chance."""
    events: Ints

    @property
    def first_minute(self) -> int:
        """Minutes since the simulation began."""
        return self.number * DAY


class Traffic:
    """Steps a fleet through its days, in order."""

    def __init__(self, fleet: Fleet) -> None:
        self._fleet = fleet
        self._number = 0
        self._level = np.ones(fleet.agents)
        self._drift = np.zeros(fleet.agents)
        self._awake = np.ones(fleet.agents, dtype=bool)
        self._carried: dict[str, Any] = {
            "minute": np.zeros(0, dtype=np.int64),
            "agent": np.zeros(0, dtype=np.int64),
        }

    def next_day(self) -> Day:
        """The following day."""
        fleet, number = self._fleet, self._number
        chance = stream_of(fleet.seed, "traffic", number)
        expected = self._season(number) * self._hourly(chance) * self._levels(number)
        expected[np.arange(number * DAY, (number + 1) * DAY)[:, None] < fleet.born[None, :]] = 0
        self._cron(chance, expected)
        events = np.zeros(expected.shape, dtype=np.int64)
        steady = fleet.style != SESSIONS
        noise = chance.gamma(fleet.shape[steady], 1 / fleet.shape[steady], (DAY, int(steady.sum())))
        events[:, steady] = chance.poisson(expected[:, steady] * noise)
        events += self._sessions(chance, expected)
        self._number += 1
        return Day(number, expected, events)

    def _season(self, number: int) -> Floats:
        fleet = self._fleet
        minutes = number * DAY + np.arange(DAY)
        season = (
            np.repeat(fleet.week[:, number % 7 * 144 : (number % 7 + 1) * 144].T, 10, axis=0) * fleet.rate
        )
        own = np.flatnonzero(fleet.period_minutes)
        phase = minutes[:, None] / fleet.period_minutes[own] + fleet.cron_at[own] / HOUR
        season[:, own] = fleet.rate[own] * 2 * np.sin(np.pi * phase) ** 2
        return season

    def _hourly(self, chance: np.random.Generator) -> Floats:
        """Drift, and agents that pause for hours."""
        fleet = self._fleet
        hours = np.empty((24, fleet.agents))
        for hour in range(24):
            fresh = chance.normal(0, 1, fleet.agents) * np.sqrt(1 - DRIFT_KEPT**2)
            self._drift = DRIFT_KEPT * self._drift + fresh
            change = chance.random(fleet.agents) < np.where(self._awake, 1 / 4, 1 / 6)
            self._awake ^= change & fleet.pauses
            spread = fleet.drift_spread
            hours[hour] = np.exp(spread * self._drift - spread**2 / 2) * self._awake
        return np.repeat(hours, HOUR, axis=0)

    def _levels(self, number: int) -> Floats:
        levels = np.repeat(self._level[None, :], DAY, axis=0)
        for release in self._fleet.releases:
            if release.minute // DAY == number:
                levels[release.minute % DAY :, release.agent] *= release.factor
        self._level = levels[-1].copy()
        return levels

    def _cron(self, chance: np.random.Generator, expected: Floats) -> None:
        """Agents that run once an hour: the hour's events within some minutes, of a size that varies."""
        fleet = self._fleet
        for agent in np.flatnonzero(fleet.style == CRON):
            at, length = int(fleet.cron_at[agent]), int(fleet.cron_length[agent])
            mean = expected[:, agent].mean()
            sizes = HOUR * mean * chance.lognormal(-0.125, 0.5, 24) * (chance.random(24) > 0.02)
            starts = np.arange(24) * HOUR + np.clip(at + chance.integers(-1, 2, 24), 0, HOUR - length)
            expected[:, agent] = 0
            for start, size in zip(starts, sizes, strict=True):
                expected[start : start + length, agent] = size / length

    def _sessions(self, chance: np.random.Generator, expected: Floats) -> Ints:
        """Events in sessions: Pareto many, a few a minute, going on past midnight."""
        fleet = self._fleet
        agents = np.flatnonzero(fleet.style == SESSIONS)
        begun = chance.poisson(expected[:, agents] / _mean_session())
        minute, column = np.nonzero(begun)
        times = begun[minute, column]
        minute, agent = np.repeat(minute, times), np.repeat(agents[column], times)
        length = np.minimum(
            np.ceil(chance.pareto(SESSION_TAIL, len(minute)) * 3 + 1), SESSION_LONGEST
        ).astype(np.int64)
        step = np.arange(int(length.sum())) - np.repeat(np.cumsum(length) - length, length)
        whose = np.repeat(agent, length)
        at = np.concatenate(
            [self._carried["minute"], np.repeat(minute, length) + step // fleet.session_pace[whose]]
        )
        whose = np.concatenate([self._carried["agent"], whose])
        today = at < DAY
        self._carried = {"minute": at[~today] - DAY, "agent": whose[~today]}
        cells = at[today] * fleet.agents + whose[today]
        return np.bincount(cells, minlength=DAY * fleet.agents).reshape(DAY, fleet.agents)


def _mean_session() -> float:
    """Mean of the session length above, by its distribution."""
    lengths = np.arange(1, SESSION_LONGEST)
    return float(1 + ((lengths - 1) / 3 + 1).__pow__(-SESSION_TAIL).sum())
