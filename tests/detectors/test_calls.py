"""Tests of calls through the fold: order, restarts, pins, actions, heavy tails; the canary among them."""

import random
from typing import Any

import numpy as np
import pytest
from support.signals import START_MS, TOPIC, batch, detect, identities, idle, observe_all, signals

from detectors.base import StatisticConfig
from detectors.latency import LatencyConfig
from detectors.token_burst import TokenBurstConfig
from pipeline.detect import DetectConfig, Detection, Found, SignalBatch
from pipeline.detect.actions import OTHERS, Actions
from pipeline.detect.bins import duration_bins, shares_of, token_bins, upper_edge_ns, upper_edge_tokens
from pipeline.detect.pins import Pins
from pipeline.detect.statistics import Statistic

WATCHED = ("latency", "token_burst", "action_mix", "canary")
SECOND_NS = 1_000_000_000
CALM_S = 4 * 3600
FAULT = START_MS + CALM_S * 1000


def config(**sections: Any) -> DetectConfig:
    """Detection by the tests of calls alone."""
    plain = DetectConfig()
    others = {
        name: {"enabled": False}
        for name, section in plain
        if name not in WATCHED and hasattr(section, "enabled")
    }
    return DetectConfig.model_validate(others | sections)


QUICK = StatisticConfig(learning_minutes=60, learning_events=50, page_at=1e5)
CONFIG = config(
    latency=LatencyConfig(statistic=QUICK, pin_calls=30),
    token_burst=TokenBurstConfig(statistic=QUICK, size=QUICK, pin_calls=30),
    action_mix={"statistic": QUICK},
)


def rows_of(partition: int) -> list[dict[str, object]]:
    """One of the partitions that share all agents: four hours of calm, then one trouble each."""
    p, rows = partition, list[dict[str, object]]()
    for agent in ("slow", "greedy", "other"):
        calm = {"agent_id": agent, "duration_ns": SECOND_NS // 5, "input_tokens": 700}
        rows += signals(START_MS + 997 * p, 240, CALM_S + 1800, **calm)
        rows += signals(START_MS + 499 * p, 4, CALM_S, **calm | {"action": "export_all"})
    rows += signals(FAULT + p, 60, 1200, agent_id="slow", duration_ns=4 * SECOND_NS)
    rows += signals(FAULT + p, 300, 600, agent_id="greedy", duration_ns=SECOND_NS // 5, input_tokens=900)
    rows += signals(FAULT + p, 150, 1500, agent_id="other", action="export_all")
    rows += signals(START_MS + p, 400, 7200, agent_id="tried", agent_version="1.0")
    trial = {"agent_id": "tried", "agent_version": "1.1", "channel": "canary"}
    rows += signals(START_MS + 3 + p, 40, 7200, **trial, outcome="error")
    rows += signals(START_MS + 3 + p, 40, 7200, **trial)
    return sorted(rows, key=lambda row: (row["broker_time_ms"], row["span_id"]))  # pyright: ignore


STORY = {partition: rows_of(partition) for partition in range(3)}
END_MS = FAULT + 3600_000


def interleaved(seed: int) -> list[SignalBatch]:
    """All partitions' batches of random sizes, each in its own order, shuffled together."""
    chance, queues = random.Random(seed), list[list[SignalBatch]]()
    for partition, rows in STORY.items():
        queue, done = list[SignalBatch](), 0
        while done < len(rows):
            size = chance.randint(1, 300)
            queue.append(batch(rows[done : done + size], partition, done))
            done += size
        queues.append([*queue, idle(len(rows), END_MS, partition)])
    out: list[SignalBatch] = []
    while any(queues):
        out.append(chance.choice([q for q in queues if q]).pop(0))
    return out


def joined() -> Detection:
    detection = Detection(CONFIG)
    detection.join([(TOPIC, p) for p in STORY])
    return detection


EXPECTED = observe_all(joined(), interleaved(0))


def test_each_trouble_is_found_by_its_own_detector() -> None:
    kinds = {(f.finding.detector, f.finding.agent_id, f.finding.kind) for f in EXPECTED}
    assert kinds == {
        ("latency", "slow", "statistical"),
        ("token_burst", "greedy", "statistical"),
        ("action_mix", "other", "statistical"),
        ("canary", "tried", "statistical"),
    }
    facts = {f.finding.detector: f.finding.facts for f in EXPECTED}
    assert facts["latency"]["action"] == "create_invoice"
    assert facts["action_mix"]["action"] == "export_all"
    assert (facts["canary"]["measure"], facts["canary"]["stable_share"]) == ("failed", 0.0)


@pytest.mark.parametrize("seed", range(1, 5))
def test_order_of_partitions_and_cuts_do_not_matter(seed: int) -> None:
    assert identities(observe_all(joined(), interleaved(seed))) == identities(EXPECTED)


@pytest.mark.parametrize("seed", range(2))
def test_restart_anywhere_finds_the_same(seed: int) -> None:
    chance, detection, found = random.Random(seed), joined(), list[Found]()
    for one in interleaved(seed):
        found += detection.observe(one)
        if chance.random() < 0.1:
            saved = detection.snapshot()
            detection = Detection.restore(CONFIG, saved)
            assert detection.snapshot() == saved
    assert identities(found) == identities(EXPECTED)


def test_unbound_calls_never_trip() -> None:
    calm = signals(START_MS, 800, CALM_S, duration_ns=SECOND_NS // 5, bound=False)
    slow = signals(FAULT, 100, 1200, duration_ns=4 * SECOND_NS, bound=False)
    found = [f.finding for f in detect([*calm, *slow], CONFIG)]
    assert found and all((f.environment, f.may_trip) == ("unbound", False) for f in found)


def test_bins_have_integer_edges() -> None:
    durations = np.array([0, 1, 999_999, 1_000_000, 2_000_000, 10**15], dtype=np.int64)
    assert duration_bins(durations).tolist() == [0, 1, 1, 1, 4, 63]
    for bin_ in (1, 7, 40):
        edge = upper_edge_ns(bin_)
        assert duration_bins(np.array([edge - 1, edge])).tolist() == [bin_, bin_ + 1]
        tokens = upper_edge_tokens(bin_)
        assert token_bins(np.array([tokens]))[0] > bin_
    caps = np.full(3, 10, dtype=np.uint8)
    assert shares_of(np.array([0, 7, 30], dtype=np.uint8), caps).tolist() == [0.0, 0.5, 1.0]


def test_a_pin_holds_and_is_learned_from_whole_minutes() -> None:
    pins, slots = Pins(1, 20), np.zeros(30, dtype=np.int64)
    pins.grow(2)
    pins.learn(slots[:19], slots[:19], np.full(19, 5, dtype=np.uint8))
    assert pins.of(slots[:1], slots[:1]).tolist() == [0]
    pins.learn(slots[:3], slots[:3], np.array([0, 5, 30], dtype=np.uint8))
    assert pins.of(slots[:1], slots[:1]).tolist() == [5]
    pins.learn(slots, slots, np.full(30, 60, dtype=np.uint8))
    assert pins.of(slots[:1], slots[:1]).tolist() == [5]
    pins.clear(slots[:1])
    pins.learn(slots, slots, np.full(30, 60, dtype=np.uint8))
    assert pins.of(slots[:1], slots[:1]).tolist() == [60]


def test_the_eighth_action_shares_a_class() -> None:
    actions, chance = Actions(), np.random.default_rng(3)
    actions.grow(2)
    hashes = np.repeat(np.arange(101, 110, dtype=np.uint64), np.arange(9, 0, -1))
    order = chance.permutation(len(hashes))
    classes = actions.classes(np.ones(len(hashes), dtype=np.int64), hashes[order])
    assert dict(zip(hashes[order].tolist(), classes.tolist(), strict=True)) == {
        101 + i: min(i, OTHERS) for i in range(9)
    }
    assert actions.classes(np.zeros(1, dtype=np.int64), np.array([108], dtype=np.uint64)).tolist() == [0]


def test_heavy_tailed_tokens_raise_no_alarm_and_ten_times_as_many_calls_do() -> None:
    chance, keys = np.random.default_rng(5), 30
    learns = TokenBurstConfig().statistic.model_copy(update={"learning_hours": 24})
    statistic = Statistic(learns, "rate")
    statistic.grow(keys)
    last, fired = np.full(keys, -1), list[tuple[int, int]]()
    rates = np.repeat([0.3, 3.0, 20.0], keys // 3)
    first = START_MS // 60_000
    for now in range(2 * 1440 + 60):
        n = chance.poisson(rates * (10.0 if now >= 2 * 1440 else 1.0))
        # Sizes with an infinite variance, as shares of the 95th percentile, capped.
        whose = np.repeat(np.arange(keys), n)
        sizes = np.minimum(1.0, chance.pareto(1.3, len(whose)) / 9.0)
        units = np.bincount(whose, weights=sizes, minlength=keys)
        slots = np.flatnonzero(n)
        gap = np.where(last[slots] >= 0, now - last[slots] - 1, 0)
        minute = np.full(len(slots), first + now)
        fired += [
            (now, int(slots[c.row])) for c in statistic.step(slots, minute, gap, units[slots], n[slots])
        ]
        last[slots] = now
    assert [one for one in fired if one[0] < 2 * 1440] == []
    assert {slot for _, slot in fired} >= set(np.flatnonzero(rates >= 3).tolist())


def test_findings_name_rows_of_their_own_minute() -> None:
    """Evidence of calls: which rows were slow, large, of the action, of the canary."""
    for one in EXPECTED:
        named = one.evidence["rows"]
        assert isinstance(named, list)
        places = [str(name).split("/") for name in named]
        rows = [STORY[int(partition)][int(offset)] for _, partition, offset, _ in places]
        assert rows
        assert {row["agent_id"] for row in rows} == {one.finding.agent_id}
        if one.finding.detector == "latency":
            assert {row["duration_ns"] for row in rows} == {4 * SECOND_NS}
        if one.finding.detector == "canary":
            assert {row["channel"] for row in rows} == {"canary"}
