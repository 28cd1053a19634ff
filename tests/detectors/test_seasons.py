"""Seasons, early decisions and the budget: what is learned by the hour, and what an open minute proves."""

import random

import numpy as np
import pytest
from support.signals import START_MS, TOPIC, batch, identities, idle, observe_all, signals

from detectors.base import StatisticConfig
from detectors.budget import levels_of, page_at
from pipeline.detect import DetectConfig, Detection, SignalBatch
from pipeline.detect.seasons import HOUR_MINUTES, Seasons
from pipeline.detect.statistics import Statistic

MINUTE_MS = 60_000
MONDAY_HOUR = (4 + 7 * 2900) * 24
"""Hours since 1970 at the beginning of a Monday."""


def test_a_shape_of_the_fleet_and_a_rhythm_of_ones_own_are_learned() -> None:
    seasons, slots = Seasons(), np.arange(40)
    seasons.grow(40)
    level, calm = np.full(40, 2.0), np.ones(40, dtype=bool)
    for hour in range(MONDAY_HOUR, MONDAY_HOUR + 14 * 24):
        last = np.full(40, hour * HOUR_MINUTES)
        seasons.advance(hour, level, last, calm)
        by_day = np.where(np.arange(40) < 39, hour % 24 < 12, hour % 24 >= 12)
        seasons.count(slots, np.where(by_day, 200, 40))
    morning = seasons.factor(slots, np.full(40, MONDAY_HOUR + 14 * 24 + 3))
    evening = seasons.factor(slots, np.full(40, MONDAY_HOUR + 14 * 24 + 20))
    assert (morning[:39] > 3 * evening[:39]).all()
    assert evening[39] > 3 * morning[39]


def test_one_busy_day_does_not_hide_the_next() -> None:
    seasons, slot = Seasons(), np.array([0])
    seasons.grow(1)
    calm = np.ones(1, dtype=bool)
    for hour in range(MONDAY_HOUR, MONDAY_HOUR + 6 * 24):
        seasons.advance(hour, np.ones(1), np.array([hour * HOUR_MINUTES]), calm)
        seasons.count(slot, np.array([600 if hour == MONDAY_HOUR + 50 else 60]))
    assert seasons.top(slot, np.ones(1))[0] < 1.5


def test_the_budget_gives_the_threshold() -> None:
    assert page_at(0.5, 1000, 9) == 1000 * 1440 * 9 / 0.5
    assert DetectConfig(expected_keys=2000).page_at == 2 * DetectConfig().page_at
    fewer = DetectConfig(token_burst={"enabled": False})  # pyright: ignore[reportArgumentType]
    assert fewer.page_at < DetectConfig().page_at
    own = levels_of(StatisticConfig(page_at=1e5))
    assert (own.log_page, own.log_trip) == (pytest.approx(np.log(1e5)), pytest.approx(np.log(1e8)))


def learned(rate: int, minutes: int = 599) -> Statistic:
    statistic = Statistic(StatisticConfig(), "rate")
    statistic.grow(1)
    chance = np.random.default_rng(rate)
    for minute in range(minutes):
        hits = chance.poisson(rate, 1)
        statistic.step(np.array([0]), np.array([minute]), np.array([0]), hits, hits + 1)
    return statistic


@pytest.mark.parametrize("rate", [1, 5, 40])
def test_what_an_open_minute_proves_is_what_its_close_says(rate: int) -> None:
    slot, minute, gap = np.array([0]), np.array([599]), np.array([0])
    final = np.array([rate * 400])
    at_close = learned(rate).step(slot, minute, gap, final, final)
    (expected,) = at_close
    least = expected.seen.hits
    assert 0 < least < final[0]
    early = learned(rate)
    before = early.state()
    assert early.proven(slot, minute, gap, np.array([least - 1]), np.array([least - 1])) == []
    assert early.state() == before
    assert early.proven(slot, minute, gap, np.array([least]), np.array([least])) == at_close
    assert early.proven(slot, minute, gap, final, final) == []
    assert early.step(slot, minute, gap, final, final) == []


def test_looking_into_the_first_minute_of_an_hour_changes_nothing() -> None:
    slot, minute, gap, hits = np.array([0]), np.array([600]), np.array([0]), np.array([9])
    looked, other = learned(2, 600), learned(2, 600)
    assert looked.proven(slot, minute, gap, hits, hits) == []
    for statistic in (looked, other):
        statistic.step(slot, minute, gap, hits, hits)
    assert looked.state() == other.state()


def bursting() -> list[SignalBatch]:
    """Five ordinary hours of writes in two partitions, then a burst; cut small around it."""
    rows = [signals(START_MS + p, 300, 18_000, action_kind="write") for p in (0, 1)]
    calm = [batch(rows[p][i : i + 100], p, i) for i in range(0, 300, 100) for p in (0, 1)]
    ahead = [idle(300, START_MS + 18_000_000 + 45_000, p) for p in (0, 1)]
    burst = signals(START_MS + 18_000_000 + 40_000, 100, 15, action_kind="write")
    return [*calm, *ahead, *(batch(burst[i : i + 10], 0, 300 + i) for i in range(0, 100, 10))]


def test_a_burst_is_found_before_its_minute_is_closed_and_said_once() -> None:
    quick = {"multiples": (5, 10, 30), "learning_hours": 4}
    config = DetectConfig(write_burst={"floor": {"per_minute": 100_000}, "statistic": quick})  # pyright: ignore[reportArgumentType]
    live, replayed = Detection(config), Detection(config)
    for detection in (live, replayed):
        detection.join([(TOPIC, 0), (TOPIC, 1)])
    early = observe_all(live, bursting())
    assert [f.finding.facts["hits_at_least"] for f in early if f.finding.detector == "write_burst"]
    assert early[0].finding.window_start_ms == START_MS + 18_000_000
    end = [idle(400 - 100 * p, START_MS + 19_000_000, p) for p in (0, 1)]
    saved = Detection.restore(config, live.snapshot())
    rest = observe_all(live, end)
    assert identities(rest) == identities(observe_all(saved, end))
    shuffled = bursting()
    random.Random(1).shuffle(shuffled[6:8])
    whole = [b for b in shuffled if b.partition == 1] + [b for b in shuffled if b.partition == 0] + end
    assert identities(early + rest) == identities(observe_all(replayed, whole))


@pytest.mark.parametrize(
    ("overrides", "kinds"),
    [
        ([{"agents": ["invoice-*"], "per_minute": 100}], []),
        ([{"agents": ["invoice-*"], "per_minute": 10}], ["floor"]),
        ([{"agents": ["*"], "enabled": False}], []),
        ([{"agents": ["invoice-agent"], "enabled": True}, {"enabled": False}], ["floor"]),
        ([{"environments": ["staging"], "enabled": False}], ["floor"]),
        ([{"detectors": ["write_burst"], "enabled": False}], ["floor"]),
    ],
)
def test_overrides_hold_where_they_are_most_specific(
    overrides: list[dict[str, object]], kinds: list[str]
) -> None:
    config = DetectConfig(overrides=overrides)  # pyright: ignore[reportArgumentType]
    found = Detection(config).observe(batch(signals(START_MS, 30, 20, outcome="denied")))
    assert [one.finding.kind for one in found] == kinds
    assert config.hash != DetectConfig().hash


def test_an_override_puts_an_agent_in_shadow() -> None:
    config = DetectConfig(overrides=[{"agents": ["invoice-agent"], "shadow": True}])  # pyright: ignore[reportArgumentType]
    (found,) = Detection(config).observe(batch(signals(START_MS, 30, 20, outcome="denied")))
    assert found.finding.shadow and not found.finding.may_trip
