"""What is counted of a simulated fleet, one stream for each statistical detector, with faults planted in it.

Hits come with what the tests do not assume: retries in clusters, shares that drift by the hour, storms of a
minute or two in which most calls fail, releases that shift a share.
"""

from collections.abc import Callable, Sequence
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from benchmarks.fleet import DAY, DRIFT_KEPT, HOUR, Day, Fleet, Floats, Ints, stream_of

FAULT_MINUTES = 8 * HOUR
QUIET_DAYS = 8
FAULT_EVERY_DAYS = 7
SIZES = (3.0, 10.0)
HIGHEST_SHARE = 0.95
SHARE_DRIFT = 0.2
STORMS_A_DAY = 1 / 14
"""Of each agent, by itself."""
SHARED_STORM_AGENTS = 0.02
"""Once a day this share of the agents fails together: a dependency of theirs."""


MIX_TESTS = 8
"""Kinds of actions that `action_mix` tells apart; three of them are simulated."""


class Stream(NamedTuple):
    """What one detector counts, as the simulation makes it."""

    name: str
    test: Literal["rate", "ratio"]
    shares: Callable[[np.random.Generator, int], Floats]
    """Each agent's normal share of hits; 0: never."""
    sized_from: float = 0.0
    """A fault's size multiplies the agent's share, or this one where it is larger."""
    has_retries: bool = False
    has_storms: bool = False
    part: float = 0.0
    """A hit counts as a part between 0 and 1, this on average; 0: as a whole."""
    section: str = "statistic"
    """Of the detector's configuration: the settings of its test."""
    tests: int = 1
    """How many tests at once the detector is the best of."""
    has_faults: bool = True


class Fault(NamedTuple):
    """From minute `onset` of the simulation on, for FAULT_MINUTES, the share or rate is times `size`."""

    agent: int
    onset: int
    size: float


def some(share_of_agents: float, draw: Callable[[np.random.Generator, int], Floats]) -> Callable[..., Floats]:
    """Only some agents have any."""

    def shares(chance: np.random.Generator, agents: int) -> Floats:
        return np.where(chance.random(agents) < share_of_agents, draw(chance, agents), 0.0)

    return shares


def _around(median: float, spread: float, highest: float) -> Callable[[np.random.Generator, int], Floats]:
    return lambda chance, agents: np.minimum(highest, median * chance.lognormal(0, spread, agents))


_STREAMS: dict[str, tuple[Stream, ...]] = {
    streams[0].name: streams
    for streams in (
        (Stream("error_spike", "ratio", _around(0.02, 0.7, 0.15), 0.02, has_retries=True, has_storms=True),),
        (Stream("write_burst", "rate", some(0.75, lambda c, n: c.beta(2, 8, n))),),
        (Stream("auth_failure", "ratio", some(0.3, _around(0.003, 1.0, 0.1)), 0.02, has_retries=True),),
        (Stream("external_burst", "rate", some(0.6, lambda c, n: c.beta(1, 12, n))),),
        (
            Stream(
                "throttling",
                "ratio",
                some(0.3, _around(0.005, 1.0, 0.1)),
                0.02,
                has_retries=True,
                has_storms=True,
            ),
        ),
        (Stream("personal_data", "ratio", some(0.6, lambda c, n: c.beta(1, 6, n)), 0.02),),
        (Stream("secret_exposure", "ratio", some(0.2, _around(0.002, 1.0, 0.05)), 0.02),),
        (Stream("latency", "ratio", _around(0.015, 0.5, 0.1), 0.02, has_storms=True),),
        (
            Stream("token_burst", "rate", lambda c, n: c.uniform(0.3, 1.0, n), part=0.3, tests=2),
            Stream(
                "large_calls", "ratio", _around(0.01, 0.7, 0.1), section="size", tests=2, has_faults=False
            ),
        ),
        (
            Stream("action_mix", "ratio", _around(0.02, 0.7, 0.1), 0.02, tests=MIX_TESTS),
            Stream("common_action", "ratio", _around(0.3, 0.3, 0.8), tests=MIX_TESTS, has_faults=False),
            Stream("rare_action", "ratio", _around(0.004, 1.0, 0.1), tests=MIX_TESTS, has_faults=False),
        ),
    )
}


def streams_of(detector: str) -> tuple[Stream, ...]:
    """What is simulated of a detector: the stream that faults are planted in, and others that it tests."""
    return _STREAMS[detector]


def simulated() -> list[str]:
    """The detectors that there are streams for."""
    return sorted(_STREAMS)


class Counted(NamedTuple):
    """One day of one stream. Arrays minutes × agents."""

    first_minute: int
    hits: Ints | Floats
    eligible: Ints


class Planted:
    """A stream of a fleet, day by day, with its faults."""

    def __init__(self, fleet: Fleet, stream: Stream) -> None:
        self._fleet, self._stream = fleet, stream
        chance = stream_of(fleet.seed, "stream", stream.name)
        self.share: Floats = stream.shares(chance, fleet.agents)
        is_retried = chance.random(fleet.agents) < (0.5 if stream.has_retries else 0)
        self._retries = np.where(is_retried, chance.uniform(0.5, 3, fleet.agents), 0)
        self._level = np.ones(fleet.agents)
        self._drift = np.zeros(fleet.agents)
        factors = np.exp(chance.normal(0, 0.25, len(fleet.releases)))
        self._release_factor = dict(zip(fleet.releases, factors.tolist(), strict=True))
        self.faults = _plan(chance, fleet, stream, self.share)
        self.base_rate = np.zeros(len(self.faults))
        """Of each fault: the expected events a minute that count (hits of a rate, eligible ones of a ratio),
        were there no fault."""

    def count(self, day: Day) -> Counted:
        """The day's hits and eligible events."""
        chance = stream_of(self._fleet.seed, self._stream.name, day.number)
        if self._stream.test == "rate":
            return self._rate(chance, day)
        return self._ratio(chance, day)

    def _rate(self, chance: np.random.Generator, day: Day) -> Counted:
        share = np.minimum(HIGHEST_SHARE, self._shares(chance, day.number))
        hits = chance.binomial(day.events, share)
        for index, fault, begin, end in _active(self.faults, day):
            usual = share[begin:end, fault.agent] * day.expected[begin:end, fault.agent]
            self.base_rate[index] += usual.sum() / FAULT_MINUTES
            noise = chance.gamma(5, 1 / 5, end - begin)
            hits[begin:end, fault.agent] += chance.poisson((fault.size - 1) * usual * noise)
        events = np.maximum(day.events, hits)
        return Counted(day.first_minute, self._parts(chance, hits) if self._stream.part else hits, events)

    def _parts(self, chance: np.random.Generator, hits: Ints) -> Floats:
        """Sums of so many parts each: most of them small, some whole, as sizes with a heavy tail are."""
        row, agent = np.nonzero(hits)
        number = hits[row, agent]
        whole = chance.binomial(number, self._stream.part / 2)
        sums = np.zeros(hits.shape)
        small = number - whole
        sums[row, agent] = whole + small * chance.beta(1 + small, 4 * (1 + small))
        return sums

    def _ratio(self, chance: np.random.Generator, day: Day) -> Counted:
        share = np.minimum(HIGHEST_SHARE, self._shares(chance, day.number))
        if self._stream.has_storms:
            self._storms(chance, share)
        for index, fault, begin, end in _active(self.faults, day):
            self.base_rate[index] += day.expected[begin:end, fault.agent].sum() / FAULT_MINUTES
            usual = np.maximum(share[begin:end, fault.agent], self._stream.sized_from)
            share[begin:end, fault.agent] = np.minimum(HIGHEST_SHARE, usual * fault.size)
        hits = chance.binomial(day.events, share)
        row, agent = np.nonzero(hits * (self._retries > 0))
        more = np.zeros_like(hits)
        more[row, agent] = chance.negative_binomial(hits[row, agent], 1 / (1 + self._retries[agent]))
        return Counted(day.first_minute, hits + more, day.events + more)

    def _shares(self, chance: np.random.Generator, number: int) -> Floats:
        """Minutes × agents, with drift and releases."""
        agents = self._fleet.agents
        hours = np.empty((24, agents))
        for hour in range(24):
            self._drift = DRIFT_KEPT * self._drift + chance.normal(0, 1, agents) * np.sqrt(1 - DRIFT_KEPT**2)
            hours[hour] = np.exp(SHARE_DRIFT * self._drift)
        shares = np.repeat(hours, HOUR, axis=0) * self.share * self._level
        for release, factor in self._release_factor.items():
            if release.minute // DAY == number:
                shares[release.minute % DAY :, release.agent] *= factor
                self._level[release.agent] *= factor
        return shares

    def _storms(self, chance: np.random.Generator, share: Floats) -> None:
        agents = self._fleet.agents
        alone = np.flatnonzero(chance.random(agents) < STORMS_A_DAY)
        together = chance.choice(agents, max(1, int(agents * SHARED_STORM_AGENTS)), replace=False)
        shared_at = int(chance.integers(0, DAY - 2))
        for agent in [*alone, *together]:
            at = shared_at if agent in together else int(chance.integers(0, DAY - 2))
            end = at + int(chance.integers(1, 3))
            share[at:end, agent] = np.maximum(share[at:end, agent], chance.uniform(0.3, 0.8))


def quiet_days(days: int) -> int:
    """No fault begins in the first so many of `days`: rules that look a week back see an undisturbed week."""
    return min(QUIET_DAYS, days // 3)


def _plan(chance: np.random.Generator, fleet: Fleet, stream: Stream, share: Floats) -> list[Fault]:
    """About one fault a week and agent, of both sizes, never two at once."""
    able = np.flatnonzero((share > 0) | (stream.sized_from > 0)) if stream.has_faults else []
    faults: list[Fault] = []
    for agent in able:
        at = max(quiet_days(fleet.days) * DAY, int(fleet.born[agent]) + 2 * DAY)
        while True:
            at += int(chance.exponential(FAULT_EVERY_DAYS * DAY))
            if at + FAULT_MINUTES >= fleet.days * DAY:
                break
            size = float(chance.choice(SIZES))
            if stream.test == "rate" or max(share[agent], stream.sized_from) * size <= HIGHEST_SHARE:
                faults.append(Fault(int(agent), at, size))
            at += FAULT_MINUTES + DAY
    return faults


def _active(faults: Sequence[Fault], day: Day) -> list[tuple[int, Fault, int, int]]:
    """The faults of a day: number, fault, and its minutes within the day [begin, end)."""
    found: list[tuple[int, Fault, int, int]] = []
    for index, fault in enumerate(faults):
        begin = max(0, fault.onset - day.first_minute)
        end = min(DAY, fault.onset + FAULT_MINUTES - day.first_minute)
        if begin < end:
            found.append((index, fault, begin, end))
    return found


def is_quiet(fleet: Fleet, faults: Sequence[Fault], after_minutes: int) -> NDArray[np.bool_]:
    """Hours × agents: no fault is on, nor has one ended within `after_minutes`."""
    quiet = np.ones((fleet.days * 24, fleet.agents), dtype=bool)
    for fault in faults:
        last = (fault.onset + FAULT_MINUTES + after_minutes) // HOUR
        quiet[fault.onset // HOUR : last + 1, fault.agent] = False
    return quiet
