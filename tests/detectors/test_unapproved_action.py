"""Unapproved actions: whichever arrives first, approval or action, the same is found and withdrawn."""

from typing import Any

import pytest
from support.orders import in_order, only, told
from support.signals import START_MS, TOPIC, batch, idle, signal, signals

from detectors.unapproved_action import UnapprovedActionConfig
from pipeline.detect import Detection, Found
from pipeline.detect.config import DetectConfig

NAME = "unapproved_action"


def config(**rule: Any) -> DetectConfig:
    return only(NAME, policy={"approvals": [{"kinds": ["write"]} | rule]})


def write(at_ms: int, **fields: Any) -> dict[str, Any]:
    plain = {"action": "pay", "action_kind": "write", "session_id": "conv_a", "trace_id": "a" * 32}
    return signal(at_ms, **(plain | fields))


def grant(at_ms: int, **fields: Any) -> dict[str, Any]:
    plain: dict[str, Any] = {
        "agent_id": "gateway",
        "action": "approve",
        "action_kind": "none",
        "approval_status": "granted",
        "approval_source": "gateway",
        "session_id": "conv_a",
        "trace_id": "b" * 32,
    }
    return signal(at_ms, **(plain | fields))


def judged(*rows: dict[str, Any], settings: DetectConfig | None = None) -> list[Found]:
    """Partition 0: everything in append order, then time goes by."""
    detection = Detection(settings or config())
    ordered = sorted(rows, key=lambda row: row["broker_time_ms"])
    found = detection.observe(batch(ordered))
    last = max(row["broker_time_ms"] for row in rows)
    return [
        f for f in found + detection.observe(idle(len(rows), last + 600_000)) if f.finding.detector == NAME
    ]


def test_an_approval_before_the_action_covers_it() -> None:
    assert judged(grant(START_MS), write(START_MS + 5000)) == []


def test_an_approval_granted_after_the_action_covers_nothing() -> None:
    found = judged(write(START_MS), grant(START_MS + 5000))
    assert [(f.finding.may_trip, f.finding.severity, f.withdrawn) for f in found] == [
        (True, "critical", None)
    ]


@pytest.mark.parametrize(
    "fields",
    [
        {"approval_status": "denied"},
        {"approval_source": "agent"},
        {"approval_source": None},
        {"bound": False},
        {"environment": "staging"},
        {"session_id": "conv_other"},
    ],
    ids=str,
)
def test_what_is_no_approval(fields: dict[str, Any]) -> None:
    assert len(judged(grant(START_MS, **fields), write(START_MS + 5000))) == 1


@pytest.mark.parametrize("link", ["approval_id", "tool_call_id", "trace_id", "session_id"])
def test_any_link_ties_an_approval_to_an_action(link: str) -> None:
    same = {link: "c" * 32}
    apart = {"session_id": "conv_x", "trace_id": "d" * 32} | same
    assert judged(grant(START_MS, **apart), write(START_MS + 5000, **same)) == []


def test_an_action_that_carries_the_gateways_grant_is_approved() -> None:
    row = write(START_MS, approval_status="granted", approval_source="gateway", approval_id="x")
    assert judged(row) == []


def test_what_was_refused_needs_no_approval() -> None:
    assert judged(write(START_MS, outcome="denied")) == []


def test_an_approval_that_is_too_old() -> None:
    rows = grant(START_MS), write(START_MS + 61_000)
    assert judged(*rows, settings=config(valid_s=60))
    assert not judged(*rows, settings=config(valid_s=62))


def test_single_use_covers_one_action_and_its_retries() -> None:
    rows = [
        grant(START_MS),
        write(START_MS + 1000, tool_call_id="call_1"),
        write(START_MS + 2000, tool_call_id="call_1"),
    ]
    assert judged(*rows, settings=config(single_use=True)) == []
    again = write(START_MS + 3000, tool_call_id="call_2")
    assert len(judged(*rows, again, settings=config(single_use=True))) == 1
    assert judged(*rows, again) == []


@pytest.mark.parametrize("demand", ["same_agent", "same_tool"])
def test_an_approval_for_another_agent_or_tool(demand: str) -> None:
    settings = config(**{demand: True})
    mine = {"agent_id": "invoice-agent", "action": "pay"}
    assert judged(grant(START_MS), write(START_MS + 5000), settings=settings)
    assert not judged(grant(START_MS, **mine), write(START_MS + 5000), settings=settings)


def test_nothing_is_said_before_the_slowest_partition_has_passed_the_wait() -> None:
    detection = Detection(config())
    detection.join([(TOPIC, 0), (TOPIC, 1)])
    wait_ms = int(UnapprovedActionConfig().wait_s * 1000)
    assert detection.observe(batch([write(START_MS)])) == []
    assert detection.observe(idle(1, START_MS + 600_000)) == []
    assert detection.observe(idle(0, START_MS + wait_ms, partition=1)) == []
    found = detection.observe(idle(0, START_MS + wait_ms + 1, partition=1))
    assert [f.finding.detector for f in found] == [NAME]


def test_an_approval_on_a_delayed_partition_is_waited_for() -> None:
    detection = Detection(config())
    detection.join([(TOPIC, 0), (TOPIC, 1)])
    found = detection.observe(batch([write(START_MS + 5000)]))
    found += detection.observe(idle(1, START_MS + 600_000))
    found += detection.observe(batch([grant(START_MS)], partition=1))
    found += detection.observe(idle(1, START_MS + 600_000, partition=1))
    assert found == []


def test_an_approval_that_was_sent_late_withdraws_the_finding() -> None:
    late = grant(START_MS - 1000, broker_time_ms=START_MS + 300_000)
    found = judged(write(START_MS), late)
    assert [f.withdrawn is None for f in found] == [True, False]
    assert found[0].finding.finding_id == found[1].finding.finding_id


def test_a_finding_stands_until_the_last_of_its_actions_is_covered() -> None:
    rows = [write(START_MS), write(START_MS + 1000, session_id="conv_b", trace_id="e" * 32)]
    first = grant(START_MS - 1000, broker_time_ms=START_MS + 300_000)
    second = grant(START_MS - 1000, broker_time_ms=START_MS + 400_000, session_id="conv_b")
    assert [f.withdrawn is None for f in judged(*rows, first)] == [True]
    assert [f.withdrawn is None for f in judged(*rows, first, second)] == [True, False]


def test_after_a_withdrawal_the_next_action_is_a_finding_of_its_own() -> None:
    late = grant(START_MS - 1000, broker_time_ms=START_MS + 300_000)
    other = write(START_MS + 400_000, session_id="conv_b", trace_id="e" * 32)
    found = judged(write(START_MS), late, other)
    assert [f.withdrawn is None for f in found] == [True, False, True]
    assert found[0].finding.finding_id != found[2].finding.finding_id
    assert found[0].finding.incident_key == found[2].finding.incident_key


def test_many_actions_of_one_tool_are_one_finding_an_hour() -> None:
    rows = signals(START_MS, 240, 7200, action="pay", action_kind="write", session_id="conv_a")
    assert len(judged(*rows)) == 2


def test_a_late_action_is_found_and_trips_nothing() -> None:
    rows = [signal(START_MS + 300_000), write(START_MS, broker_time_ms=START_MS + 301_000)]
    assert [(f.late, f.finding.may_trip) for f in judged(*rows)] == [(True, False)]


def test_sources_that_stamp_their_own_times_are_judged_while_they_speak() -> None:
    rows = [write(START_MS, broker_time_kind="create")]
    rows += [signal(START_MS + i * 1000, broker_time_kind="create") for i in range(1, 120)]
    found = Detection(config()).observe(batch(rows))
    assert [(f.finding.detector, f.finding.may_trip) for f in found] == [(NAME, False)]


def test_what_waits_beyond_the_bound_is_judged_and_not_dropped() -> None:
    bounded = only(NAME, policy={"approvals": [{"kinds": ["write"]}]}, max_pending=1000)
    rows = [write(START_MS + i, session_id=f"conv_{i}", action=f"pay_{i}") for i in range(1500)]
    found = Detection(bounded).observe(batch(rows))
    assert len(found) == 500


def story() -> dict[int, list[dict[str, Any]]]:
    """Sixty sessions over three partitions; grants before, after, late, used twice, or missing."""
    rows: dict[int, list[dict[str, Any]]] = {0: [], 1: [], 2: []}
    for i in range(60):
        at_ms = START_MS + i * 7000
        own = {"session_id": f"conv_{i // 2}", "trace_id": f"{i:032d}"}
        rows[i % 2].append(write(at_ms, agent_id=f"agent-{i % 3}", action=f"pay_{i % 2}", **own))
        granted_ms = at_ms + (-4000, 6000, -4000, -4000, 0)[i % 5]
        appended_ms = granted_ms + (0, 0, 200_000, 25_000, 90_000)[i % 5]
        if i % 7:
            rows[2 if i % 3 else (i + 1) % 2].append(grant(granted_ms, broker_time_ms=appended_ms, **own))
    for own_rows in rows.values():
        own_rows.sort(key=lambda row: row["broker_time_ms"])
        own_rows[20:20] = [dict(row) for row in own_rows[10:20]]
    return rows


STORY = story()


@pytest.mark.parametrize("single_use", [False, True])
def test_neither_order_nor_restarts_matter(single_use: bool) -> None:
    settings = config(single_use=single_use)
    end_ms = START_MS + 1_200_000
    expected = told(in_order(STORY, settings, 0, end_ms), NAME)
    assert any(line.startswith("None") for line in expected)
    assert any(not line.startswith("None") for line in expected)
    for seed in range(1, 13):
        assert told(in_order(STORY, settings, seed, end_ms), NAME) == expected


@pytest.mark.parametrize("is_halted", [True, False])
def test_a_halted_partition_may_hold_the_approval_so_nothing_trips(is_halted: bool) -> None:
    detection = Detection(config())
    detection.join([(TOPIC, 0), (TOPIC, 1)])
    detection.observe(batch([signal(START_MS - 1000)], partition=1))
    detection.leave((TOPIC, 1), is_halted=is_halted)
    restored = Detection.restore(config(), detection.snapshot())
    found = [
        *restored.observe(batch([write(START_MS)])),
        *restored.observe(idle(1, START_MS + 600_000)),
    ]
    (told_of,) = [one.finding for one in found if one.finding.detector == NAME]
    assert told_of.may_trip is not is_halted
    assert ("may_not_trip" in told_of.facts) is is_halted


def test_once_the_halted_partition_is_back_actions_trip_again() -> None:
    detection = Detection(config())
    detection.observe(batch([signal(START_MS - 1000)], partition=1))
    detection.leave((TOPIC, 1), is_halted=True)
    detection.join([(TOPIC, 1)])
    found = [
        *detection.observe(batch([write(START_MS)])),
        *detection.observe(idle(1, START_MS + 600_000)),
        *detection.observe(idle(1, START_MS + 600_000, partition=1)),
    ]
    assert [one.finding.may_trip for one in found if one.finding.detector == NAME] == [True]
