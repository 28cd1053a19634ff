"""The e-detectors by themselves: false alarms and delays in seeded simulations, and extreme numbers."""

import numpy as np
import pytest
from numpy.typing import NDArray

from detectors.base import StatisticConfig, TestKind
from detectors.error_spike import ErrorSpikeConfig
from detectors.evidence import add_idle_minutes, add_minute, mixture
from detectors.write_burst import WriteBurstConfig
from pipeline.detect.statistics import Statistic

RATES = np.repeat([0.05, 0.5, 5.0, 50.0], 50)
"""Events a minute of 200 keys."""
DAY = 1440
WRITES = WriteBurstConfig().statistic.model_copy(update={"learning_hours": 4})
ERRORS = ErrorSpikeConfig().statistic


class Simulation:
    """Keys stepped minute by minute as the fold does it: only where they have events."""

    def __init__(self, config: StatisticConfig, test: TestKind, keys: int) -> None:
        self.statistic = Statistic(config, test)
        self.statistic.grow(keys)
        self.last = np.full(keys, -1)
        self.fired: list[tuple[int, int, float]] = []
        self.levels: list[tuple[int, int, int]] = []

    def minute(self, now: int, hits: NDArray[np.int64], eligible: NDArray[np.int64]) -> None:
        slots = np.flatnonzero(eligible)
        if not len(slots):
            return
        gap = np.where(self.last[slots] >= 0, now - self.last[slots] - 1, 0)
        crossed = self.statistic.step(slots, np.full(len(slots), now), gap, hits[slots], eligible[slots])
        self.fired += [(now, int(slots[c.row]), c.seen.log10_e) for c in crossed]
        self.levels += [(now, int(slots[c.row]), c.level) for c in crossed]
        self.last[slots] = now


def season(now: int) -> float:
    """A day's rhythm: between half and one and a half times the mean."""
    return 1 + 0.5 * np.sin(2 * np.pi * now / DAY)


def counts(
    chance: np.random.Generator, now: int, factor: NDArray[np.float64] | float = 1.0
) -> NDArray[np.int64]:
    """Gamma-Poisson counts of all keys, burstier than Poisson."""
    return chance.poisson(RATES * season(now) * factor * chance.gamma(5, 1 / 5, len(RATES)))


def test_writes_no_false_alarm_in_400_key_days_and_tenfold_bursts_found() -> None:
    chance, simulation = np.random.default_rng(7), Simulation(WRITES, "rate", len(RATES))
    for now in range(2 * DAY):
        x = counts(chance, now)
        simulation.minute(now, x, x)
    assert simulation.fired == []
    for now in range(2 * DAY, 2 * DAY + 120):
        x = counts(chance, now, 10.0)
        simulation.minute(now, x, x)
    delay = first_crossings(simulation, 2 * DAY)
    # A finding takes some sixty hits, so that one session is none: that is two hours at .05 times ten.
    assert np.median(delay[RATES == 0.5]) <= 30
    assert np.median(delay[RATES == 5]) <= 8
    # After two days the tempers of busy keys still remember their first hours, when no season was known.
    assert np.median(delay[RATES == 50]) <= 10
    assert np.isfinite(delay[RATES >= 0.5]).all()


@pytest.mark.parametrize("clustered", [pytest.param(False, marks=pytest.mark.long), True])
def test_error_share_no_false_alarm_in_400_key_days_and_half_failing_found(clustered: bool) -> None:
    chance, simulation = np.random.default_rng(8), Simulation(ERRORS, "ratio", len(RATES))
    for now in range(2 * DAY):
        n = counts(chance, now)
        simulation.minute(now, failures(chance, n, 0.02, clustered), n)
    assert simulation.fired == []
    for now in range(2 * DAY, 2 * DAY + 240):
        n = counts(chance, now)
        simulation.minute(now, failures(chance, n, 0.5, clustered), n)
    delay = first_crossings(simulation, 2 * DAY)
    if not clustered:  # half an event a minute in runs of four says too little within four hours
        assert np.median(delay[RATES == 0.5]) <= 90
    assert np.median(delay[RATES == 5]) <= (30 if clustered else 8)
    assert np.median(delay[RATES == 50]) <= 5


def failures(
    chance: np.random.Generator, n: NDArray[np.int64], share: float, clustered: bool
) -> NDArray[np.int64]:
    """Failures among n, one by one or in runs of up to four (a call and its retries)."""
    if not clustered:
        return chance.binomial(n, share)
    return np.minimum(n, 4 * chance.binomial(n, share / 4))


def first_crossings(simulation: Simulation, onset: int) -> NDArray[np.float64]:
    """Minutes from the onset to each key's first finding, infinite where there is none."""
    delay = np.full(len(RATES), np.inf)
    for now, slot, _ in simulation.fired:
        delay[slot] = min(delay[slot], now - onset + 1)
    return delay


def test_a_new_agent_says_nothing_while_it_learns() -> None:
    simulation = Simulation(WRITES, "rate", 1)
    for now in range(60 * WRITES.learning_hours):
        simulation.minute(now, np.array([now % 7 * 100]), np.array([now % 7 * 100 + 1]))
    assert simulation.fired == []


def test_an_enormous_burst_overflows_nothing() -> None:
    simulation = Simulation(WRITES, "rate", 1)
    one = np.array([1])
    for now in range(400):
        simulation.minute(now, one, one)
    with np.errstate(all="raise", under="ignore"):
        for now in range(400, 420):
            simulation.minute(now, one * 2**40, one * 2**40)
    assert [now for now, _, _ in simulation.fired] == [400]
    assert np.isfinite(simulation.fired[0][2])


def test_page_level_and_trip_level_are_two_findings_of_one_episode() -> None:
    simulation = Simulation(StatisticConfig(trip_at=1e9), "ratio", 1)
    for now in range(420):
        simulation.minute(now, np.array([0]), np.array([10]))
    for now in range(420, 600):
        simulation.minute(now, np.array([5]), np.array([10]))
    assert [e >= 9 for _, _, e in simulation.fired] == [False, True]
    assert simulation.fired[0][0] < 440
    assert simulation.fired[1][0] >= 540


@pytest.mark.parametrize("test", ["ratio", "rate"])
def test_one_session_or_batch_trips_nothing_and_three_hours_do(test: TestKind) -> None:
    """What lasts less than an hour lies in two clock hours, each of which is only a part of a trip."""
    brief, lasting = (Simulation(ERRORS if test == "ratio" else WRITES, test, 1) for _ in range(2))
    for now in range(2 * DAY):
        usual = np.array([int(now % 20 == 0)])
        for simulation in (brief, lasting):
            simulation.minute(now, usual, np.array([10]))
    for now in range(2 * DAY, 2 * DAY + 200):
        burst, usual = np.array([10]), np.array([int(now % 20 == 0)])
        brief.minute(now, burst if 30 <= now - 2 * DAY < 89 else usual, np.array([10]))
        lasting.minute(now, burst, np.array([10]))
    assert [level for _, _, level in brief.levels] == [1]
    assert [level for _, _, level in lasting.levels] == [1, 2]


def test_an_episode_goes_on_while_the_trouble_does() -> None:
    """Also where a young agent's evidence is tempered: most calls failing are no ordinary minutes."""
    simulation = Simulation(ERRORS, "ratio", 1)
    for now in range(300):
        simulation.minute(now, np.array([0]), np.array([10]))
    for now in range(300, 480):
        simulation.minute(now, np.array([4]), np.array([5]))
    assert [level for _, _, level in simulation.levels] == [1, 2]


def test_an_episode_ends_and_the_next_is_found_again() -> None:
    simulation = Simulation(ERRORS, "ratio", 1)
    calm, storm = (np.array([0]), np.array([10])), (np.array([8]), np.array([10]))
    episodes = []
    for now in range(1000):
        before = len(simulation.fired)
        simulation.minute(now, *(storm if 300 <= now < 330 or 700 <= now < 730 else calm))
        if len(simulation.fired) > before:
            episodes.append(now // 100)
    assert set(episodes) == {3, 7}


def test_a_weekend_off_does_not_make_monday_a_burst() -> None:
    chance, simulation = np.random.default_rng(3), Simulation(WRITES, "rate", 50)
    for now in range(DAY):
        x = chance.poisson(5, 50)
        simulation.minute(now, x, x + 1)
    for now in range(4 * DAY, 4 * DAY + 600):
        x = chance.poisson(5, 50)
        simulation.minute(now, x, x + 1)
    assert simulation.fired == []


def test_idle_minutes_at_once_equal_idle_minutes_one_by_one() -> None:
    ratio = np.array([[-0.5, -0.01], [-3.0, -1e-9]])
    start = np.array([[2.0, -np.inf], [0.1, 7.0]])
    stepped = start
    for _ in range(37):
        stepped = add_minute(stepped, ratio, np.inf)
    assert np.allclose(add_idle_minutes(start, ratio, np.array([37, 37])), stepped)


def test_the_statistic_bounds_false_alarms_where_the_null_is_true() -> None:
    """E[M after n minutes] ≤ n: the e-detector's defining property, at the null's own edge."""
    chance = np.random.default_rng(5)
    p, q = 0.1, np.array([0.2, 0.4])
    total = []
    for _ in range(4000):
        log_r = np.full((1, 2), -np.inf)
        for _ in range(10):
            x = chance.binomial(5, p)
            log_r = add_minute(log_r, (x * np.log(q / p) + (5 - x) * np.log((1 - q) / (1 - p)))[None], np.inf)
        total.append(float(np.exp(mixture(log_r)[0])))
    assert np.mean(total) < 10 + 4 * np.std(total) / np.sqrt(len(total))
