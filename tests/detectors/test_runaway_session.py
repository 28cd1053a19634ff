"""Runaway sessions: counts, nesting and repeated calls, at once and in whatever order partitions are read."""

from typing import Any

import pytest
from support.orders import in_order, only, told
from support.signals import START_MS, batch, batches, observe_all, signal, signals

from detectors.session_counts import longest_run
from pipeline.detect import Detection, Found
from pipeline.detect.config import DetectConfig

NAME = "runaway_session"
HOUR_MS = 3_600_000
LIMITS = {"max_steps": 100, "max_levels": 10, "max_same_calls": 20, "max_active_hours": 3.0}


def found(rows: list[dict[str, Any]], settings: DetectConfig | None = None) -> list[Found]:
    detection = Detection(settings or only(NAME, **LIMITS))
    return [f for f in observe_all(detection, batches(rows)) if f.finding.detector == NAME]


def limits(rows: list[dict[str, Any]], settings: DetectConfig | None = None) -> set[str]:
    return {one.finding.key["limit"] for one in found(rows, settings)}


def chat(times: int, spread_s: float, **fields: Any) -> list[dict[str, Any]]:
    """Model calls: steps that are no action."""
    return signals(START_MS, times, spread_s, action_kind="none", **({"session_id": "conv_a"} | fields))


def chain(levels: int, **fields: Any) -> list[dict[str, Any]]:
    """Spans one within the other, the innermost first, as exporters send them."""
    names = [f"{level:016x}" for level in range(levels, 0, -1)]
    plain = {"trace_id": "f" * 32, "session_id": "conv_a", "action_kind": "none"}
    return [
        signal(START_MS + i, span_id=own, parent_span_id=outer, **(plain | fields))
        for i, (own, outer) in enumerate(zip(names, [*names[1:], None], strict=True))
    ]


def test_a_step_more_than_allowed_fires_at_once() -> None:
    assert found(chat(100, 600)) == []
    (one,) = found(chat(101, 600))
    assert one.finding.key == {"limit": "steps", "session": "conv_a"}
    assert one.finding.may_trip and "100 steps" in one.finding.summary


def test_steps_of_other_sessions_agents_and_environments_are_their_own() -> None:
    parts = [chat(90, 600), chat(90, 600, session_id="conv_b"), chat(90, 600, agent_id="other")]
    assert found([*parts[0], *parts[1], *parts[2], *chat(90, 600, environment="staging")]) == []


def test_without_a_session_id_the_trace_is_the_session() -> None:
    (one,) = found(chat(101, 600, session_id=None, trace_id="e" * 32))
    assert one.finding.key["session"] == "e" * 32


@pytest.mark.parametrize("start_h", [0, 4, 8, 12, 20])
def test_a_session_over_noon_and_midnight_is_counted_whole(start_h: int) -> None:
    first, second = (
        signals(START_MS + hours * HOUR_MS, 60, 3600, action_kind="none", session_id="conv_a")
        for hours in (start_h, start_h + 10)
    )
    assert limits([*first, *second]) == {"steps"}


def test_the_same_call_again_and_again() -> None:
    same = signals(START_MS, 20, 60, session_id="conv_a", action="search", target="x")
    assert limits(same) == {"same_calls"}
    assert limits(same[:19]) == set()
    other = signal(START_MS + 30_000, session_id="conv_a", action="read", target="x")
    assert limits([*same[:10], other, *same[10:]]) == set()
    talk = signal(START_MS + 30_000, session_id="conv_a", action="model", action_kind="none")
    assert limits([*same[:10], talk, *same[10:]]) == {"same_calls"}


def test_hours_without_a_rest() -> None:
    assert limits(chat(60, 4 * 3600)) == {"active_hours"}
    rested = [
        row for row in chat(60, 4 * 3600) if not 1.5 < (row["broker_time_ms"] - START_MS) / HOUR_MS < 2.5
    ]
    assert limits(rested) == set()


@pytest.mark.parametrize("innermost_first", [True, False])
def test_spans_nested_too_deep(innermost_first: bool) -> None:
    for levels, expected in ((10, set[str]()), (11, {"levels"}), (300, {"levels"})):
        rows = chain(levels)
        assert limits(rows if innermost_first else rows[::-1], only(NAME, max_levels=10)) == expected


def test_a_wide_tree_is_not_deep() -> None:
    root = signal(START_MS, span_id="a" * 16, trace_id="f" * 32, session_id="conv_a")
    leaves = signals(START_MS, 90, 9, parent_span_id="a" * 16, trace_id="f" * 32, session_id="conv_a")
    changing = [leaf | {"action": f"tool_{i}"} for i, leaf in enumerate(leaves)]
    assert found([root, *changing]) == []


def test_parents_in_a_circle_end() -> None:
    ids = [f"{i:016x}" for i in range(30)]
    circle = [
        signal(START_MS + i, span_id=own, parent_span_id=ids[i - 1], trace_id="f" * 32, action_kind="none")
        for i, own in enumerate(ids)
    ]
    assert limits(circle) == {"levels"}


def test_the_policy_says_other_limits_for_an_agent() -> None:
    rules = [
        {"agents": ["invoice-*"], "max_steps": 50},
        {"agents": ["bulk"], "max_steps": 500, "max_active_hours": 20},
    ]
    settings = only(NAME, policy={"sessions": rules}, **LIMITS)
    assert limits(chat(60, 600), settings) == {"steps"}
    assert limits(chat(400, 600, agent_id="bulk"), settings) == set()
    assert limits(chat(120, 600, agent_id="other"), settings) == {"steps"}


def test_what_is_late_is_counted_apart_and_trips_nothing() -> None:
    late = [row | {"broker_time_ms": START_MS + HOUR_MS} for row in chat(101, 600)]
    first = signal(START_MS + HOUR_MS)
    assert {(f.late, f.finding.may_trip) for f in found([first, *late])} == {(True, False)}


def test_a_thousand_sessions_make_a_bounded_number_of_findings() -> None:
    rows = [row for i in range(200) for row in chat(3, 1, session_id=f"conv_{i}")]
    sessions = [f.finding.key["session"] for f in found(rows, only(NAME, max_steps=2))]
    assert len(sessions) == 51
    assert sessions[-1] == "…"


def test_memory_of_sessions_is_bounded() -> None:
    detection = Detection(only(NAME, max_sessions=1000, max_spans=1000))
    rows = [signal(START_MS + i, session_id=f"conv_{i}", parent_span_id="a" * 16) for i in range(8000)]
    observe_all(detection, batches(rows))
    assert len(detection.snapshot()) < 1_500_000


def test_longest_run() -> None:
    assert [longest_run(bits) for bits in (0, 0b1, 0b1011, 0b111001111)] == [0, 1, 2, 4]


def test_neither_order_nor_restarts_matter() -> None:
    rows: dict[int, list[dict[str, Any]]] = {0: [], 1: [], 2: []}
    for i, row in enumerate([*chat(130, 14 * 3600), *chat(80, 3600, session_id="conv_b"), *chain(14)]):
        rows[i % 3].append(row)
    rows[1] += signals(START_MS, 45, 600, session_id="conv_c", action="search")
    for own in rows.values():
        own.sort(key=lambda row: row["broker_time_ms"])
    end_ms = START_MS + 16 * HOUR_MS
    expected = told(in_order(rows, only(NAME, **LIMITS), 0, end_ms), NAME)
    assert len(expected) >= 4
    for seed in range(1, 6):
        assert told(in_order(rows, only(NAME, **LIMITS), seed, end_ms), NAME) == expected


def test_an_empty_batch_and_rows_without_ids() -> None:
    assert Detection(only(NAME)).observe(batch([])) == []
    assert found(signals(START_MS, 10, 5, session_id=None, trace_id=None, span_id=None)) == []
