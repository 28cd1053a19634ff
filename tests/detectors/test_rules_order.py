"""Rules of the policy find the same however partitions take turns, batches are cut and processes restart."""

import random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.long import by_form
from support.signals import START_MS, TOPIC, batch, batches, identities, idle, observe_all, signal

from detectors.policy import Policy
from detectors.registry import DETECTORS
from pipeline.detect import DetectConfig, Detection, Found, SignalBatch

HOUR_MS = 3_600_000
DAY_MS = 24 * HOUR_MS
END_MS = START_MS + 4 * DAY_MS
POLICY = Policy.model_validate(
    {
        "forbidden": [{"tools": ["drop"]}, {"targets": ["db/*"], "kinds": ["write"]}],
        "scopes": [
            {"agents": ["a-*"], "granted": ["read", "mail:*"]},
            {"agents": ["a-1"], "granted": ["pay"]},
        ],
        "credentials": [
            {"ids": ["prod-*"], "only_in": ["prod"]},
            {"one_environment": True},
            {"max_age_days": 1},
        ],
        "rate_limits": [
            {"per_minute": 4, "per_hour": 20},
            {"tools": ["send"], "each_tool": True, "per_hour": 3},
        ],
        "hours": [{"agents": ["a-2"], "start": "08:00", "end": "14:05"}],
    }
)
MINE = {
    *("forbidden", "scope_not_granted", "scope_unused", "rate_limit", "off_hours"),
    *("foreign_credential", "moved_credential", "old_credential", "expired_credential"),
}
OTHERS = {d.name: {"enabled": False} for d in DETECTORS if d.name not in MINE}
CONFIG = DetectConfig.model_validate({**OTHERS, "policy": POLICY, "scope_unused": {"period_days": 1}})


def story(seed: int) -> dict[int, list[dict[str, Any]]]:
    """Three partitions over three days: four agents, of which any may write to any partition."""
    chance = random.Random(seed)
    rows: dict[int, list[dict[str, Any]]] = {}
    for partition in range(3):
        at_ms = sorted(
            START_MS + chance.randrange(3) * DAY_MS + chance.randrange(HOUR_MS // 2) for _ in range(120)
        )
        own = [_event(chance, at) for at in at_ms]
        own[30:30] = [dict(row) for row in own[10:30]]  # sent again
        rows[partition] = own
    return rows


def _event(chance: random.Random, at_ms: int) -> dict[str, Any]:
    row = signal(
        at_ms,
        agent_id=f"a-{chance.randrange(4)}",
        environment=chance.choice(["prod", "prod", "staging"]),
        action=chance.choice(["get", "send", "put", "drop"] if chance.random() < 0.2 else ["get", "send"]),
        action_kind=chance.choice(["read", "write", "none"]),
        outcome=chance.choice(["ok", "ok", "denied"]),
        target=chance.choice([None, "db/users", "db/orders", "web"]),
        scopes=chance.sample(["read", "pay", "mail:send", "admin"], chance.randrange(3)),
        credential_id=chance.choice([None, "prod-1", "prod-2", "k-1", "k-2"]),
        credential_expires=chance.choice([None, None, "2026-09-22", "2026-09-23T12:00:00Z"]),
        bound=chance.random() < 0.9,
        broker_time_kind=chance.choice(["append"] * 9 + ["create"]),
    )
    if chance.random() < 0.05:
        row["start_time_unix_nano"] -= 600 * 10**9  # late
    return row


def observed(rows: dict[int, list[dict[str, Any]]], seed: int) -> list[SignalBatch]:
    """Each partition's rows in batches of random sizes, the partitions taking turns at random, though none
    runs ahead by days: repeats are known for a day only."""
    chance = random.Random(seed)
    queues: list[list[SignalBatch]] = []
    for partition, own in rows.items():
        queue, done = list[SignalBatch](), 0
        while done < len(own):
            size = chance.randint(1, 60)
            queue.append(batch(own[done : done + size], partition, done))
            done += size
        queues.append([*queue, idle(len(own), END_MS, partition)])
    out: list[SignalBatch] = []
    while any(queues):
        waiting = [queue for queue in queues if queue]
        slowest_ms = min(_starts_ms(queue[0]) for queue in waiting)
        near = [queue for queue in waiting if _starts_ms(queue[0]) <= slowest_ms + HOUR_MS]
        out.append(chance.choice(near).pop(0))
    return out


def _starts_ms(one: SignalBatch) -> int:
    return one.signals["broker_time_ms"][0] if one.signals.height else END_MS


def joined() -> Detection:
    detection = Detection(CONFIG)
    detection.join([(TOPIC, partition) for partition in range(3)])
    return detection


def test_the_story_makes_every_detector_of_the_policy_speak() -> None:
    found = observe_all(joined(), observed(story(1), 0))
    assert {one.finding.detector for one in found} == MINE
    assert any(one.finding.may_trip for one in found)
    assert any(one.late for one in found)


@pytest.mark.parametrize("turns", range(by_form(short=3, long=8)))
def test_order_cuts_restarts_and_redelivery_do_not_matter(turns: int) -> None:
    rows = story(turns)
    expected = identities(observe_all(joined(), observed(rows, 0)))
    assert identities(observe_all(joined(), observed(rows, turns + 1))) == expected
    chance, detection, found = random.Random(turns), joined(), list[Found]()
    for one in observed(rows, turns + 2):
        found += detection.observe(one)
        if chance.random() < 0.3:
            saved = detection.snapshot()
            detection = Detection.restore(CONFIG, saved)
            assert detection.snapshot() == saved
        if chance.random() < 0.2:
            assert detection.observe(one) == []  # delivered again
    assert identities(found) == expected


@given(counts=st.lists(st.integers(1, 9), min_size=1, max_size=6), limit=st.integers(0, 20))
@settings(max_examples=40, deadline=None)
def test_a_limit_fires_exactly_when_a_minute_holds_more(counts: list[int], limit: int) -> None:
    """However the minute's actions are spread over batches; at once, without a watermark."""
    policy = Policy.model_validate({"rate_limits": [{"per_minute": limit}]})
    detection = Detection(DetectConfig.model_validate({**OTHERS, "policy": policy}))
    found, so_far = 0, 0
    for count in counts:
        rows = [signal(START_MS + so_far + i) for i in range(count)]
        found += len(detection.observe(batch(rows, start=so_far)))
        so_far += count
        assert found == (so_far > limit)


def test_counts_of_windows_that_are_over_are_forgotten() -> None:
    policy = Policy.model_validate({"rate_limits": [{"per_minute": 5, "per_hour": 500}]})
    detection = Detection(DetectConfig.model_validate({**OTHERS, "policy": policy}))
    rows = [signal(START_MS + i * 60_000, agent_id=f"a-{i % 7}") for i in range(600)]
    observe_all(detection, batches(rows, size=50))
    (rule,) = [rule for rule in detection._rules if rule.name == "rate_limit"]
    assert len(rule.state()["counts"]) < 70
