"""What is learned from closed minutes: new names, new versions, silences, shared outages."""

from collections.abc import Iterable
from typing import Any

import pytest
from support.long import by_form
from support.orders import in_order, only, told
from support.signals import START_MS, TOPIC, batch, batches, idle, observe_all, signal, signals

from pipeline.detect import Detection, Found
from pipeline.detect.config import DetectConfig
from pipeline.detect.model import Acceptance

HOUR_MS, DAY_MS = 3_600_000, 86_400_000
NOVELTY = {"learning_hours": 24.0, "learning_minutes": 60}
Row = dict[str, Any]


def detected(rows: Iterable[Row], settings: DetectConfig, until_ms: int) -> list[Found]:
    """Rows of one partition in append order, then idle entries every five minutes until a time."""
    ordered = sorted(rows, key=lambda row: row["broker_time_ms"])
    detection = Detection(settings)
    found = observe_all(detection, batches(ordered))
    last = ordered[-1]["broker_time_ms"]
    for now in range(last, until_ms + 1, 300_000):
        found += detection.observe(idle(len(ordered), now))
    return found


def daily(days: float, every_s: int = 600, **fields: Any) -> list[Row]:
    """One event every so many seconds."""
    return signals(START_MS, int(days * 86_400 / every_s), days * 86_400, **fields)


# --- novelty ---------------------------------------------------------------------------------------------


def news(rows: Iterable[Row], **settings: Any) -> list[Found]:
    found = detected(rows, only("novelty", **(NOVELTY | settings)), START_MS + 4 * DAY_MS)
    return [one for one in found if one.finding.detector == "novelty"]


def later(hours: float, **fields: Any) -> Row:
    return signal(START_MS + 2 * DAY_MS + int(hours * HOUR_MS), **fields)


def test_a_new_tool_is_told_once_and_as_a_ticket() -> None:
    new = [later(hours, action="delete_all") for hours in (0, 1, 5)]
    (one,) = news([*daily(3), *new])
    assert (one.finding.severity, one.finding.may_trip) == ("info", False)
    assert one.finding.key == {"new": "tool"} and one.finding.facts["names"] == "delete_all"


def test_what_a_young_agent_does_is_not_new() -> None:
    assert news([*daily(0.9), signal(START_MS + DAY_MS // 2, action="delete_all")]) == []


def test_an_agent_seen_for_long_but_seldom_is_still_learned() -> None:
    assert news([*daily(3, every_s=7200), later(0, action="delete_all")]) == []


def test_new_names_of_one_minute_are_one_finding_up_to_the_limit() -> None:
    (one,) = news([*daily(3), *(later(0, action=f"tool_{i}") for i in range(9))])
    assert one.finding.facts["count"] == 5


def test_refused_and_late_and_unbound_actions() -> None:
    late = later(0, action="late", broker_time_ms=START_MS + 2 * DAY_MS + HOUR_MS)
    rows = [late, later(0, action="unbound", bound=False), later(0, action="refused", outcome="denied")]
    assert [one.finding.facts["names"] for one in news([*daily(3), *rows])] == ["refused"]


def test_what_was_not_used_for_long_is_new_again() -> None:
    rows = [*daily(3), signal(START_MS, action="rare"), later(0, action="rare")]
    assert news(rows) == []
    assert len(news(rows, forget_days=1.0)) == 1


# --- unknown version -------------------------------------------------------------------------------------


def test_a_listed_version_is_no_news_and_an_unlisted_one_warns_at_once() -> None:
    policy = {"versions": [{"agents": ["invoice-*"], "known": ["2.*"]}]}
    settings = only("unknown_version", policy=policy)
    rows = [
        signal(START_MS + i, agent_version=version) for i, version in enumerate(["2.0", "2.7", "3.0", None])
    ]
    (one,) = Detection(settings).observe(batch(rows))
    assert one.finding.key == {"version": "3.0"}
    assert (one.finding.severity, one.finding.may_trip) == ("warning", False)


def test_a_learned_version_is_a_ticket() -> None:
    rows = [*daily(3, agent_version="2.0"), later(0, agent_version="2.1"), later(1, agent_version="2.1")]
    found = detected(rows, only("unknown_version"), START_MS + 4 * DAY_MS)
    assert [(f.finding.severity, f.finding.key) for f in found] == [("info", {"version": "2.1"})]


# --- silence ---------------------------------------------------------------------------------------------


def silences(rows: Iterable[Row], until_h: float, **settings: Any) -> list[tuple[str, float, str | None]]:
    """(agent, hours from START_MS to the end of its window, withdrawn), while another agent speaks on."""
    clock = daily(until_h / 24, every_s=300, agent_id="clock")
    found = detected([*rows, *clock], only("silence", **settings), START_MS + int(until_h * HOUR_MS))
    own = [one for one in found if one.finding.detector == "silence"]
    return [(f.finding.agent_id, (f.finding.window_end_ms - START_MS) / HOUR_MS, f.withdrawn) for f in own]


def office(days: int, every_s: int = 120) -> list[Row]:
    """From 9 to 17 hours on weekdays; START_MS is counted as Monday 0 hours."""
    starts = [day for day in range(days) if day % 7 < 5]
    return [
        row
        for day in starts
        for row in signals(START_MS + day * DAY_MS + 9 * HOUR_MS, 8 * 3600 // every_s, 8 * 3600)
    ]


def test_a_busy_agent_is_missed_within_minutes_and_forgiven_when_it_speaks() -> None:
    spoken = daily(9, every_s=120)
    back = signals(START_MS + int(9.1 * DAY_MS), 60, 7200)
    (began, ended) = silences([*spoken, *back], 9.18 * 24)
    assert began[0] == "invoice-agent" and began[1] == pytest.approx(9 * 24, abs=0.5)
    assert began[2] is None and ended[2] is not None and began[1] == ended[1]


def test_a_slow_agent_is_missed_later() -> None:
    ((_, at_h, _),) = silences(daily(9, every_s=1200), 9 * 24 + 12)
    assert 9 * 24 + 3 < at_h < 9 * 24 + 7


def test_nights_and_weekends_are_no_silence() -> None:
    assert silences(office(19), 21 * 24) == []


def test_a_missed_working_day_is() -> None:
    rows = [row for row in office(19) if not 15 <= (row["broker_time_ms"] - START_MS) / DAY_MS < 16]
    (began, ended) = silences(rows, 19 * 24)
    assert 15 * 24 + 9 < began[1] < 15 * 24 + 12 and ended[2] is not None


@pytest.mark.parametrize("every_h", [1, 3, 24])
def test_runs_at_regular_times_are_not_silent_in_between(every_h: int) -> None:
    runs = [signals(START_MS + h * HOUR_MS, 30, 240) for h in range(0, 24 * 20, every_h)]
    assert silences([row for run in runs for row in run], 24 * 20) == []


def test_a_run_an_hour_that_stops() -> None:
    runs = [signals(START_MS + h * HOUR_MS, 40, 600) for h in range(24 * 10)]
    ((_, at_h, _),) = silences([row for run in runs for row in run], 24 * 11)
    assert 24 * 10 < at_h < 24 * 10 + 6


def test_an_agent_that_is_being_learned_is_not_missed() -> None:
    assert silences(daily(7.5, every_s=300), 10 * 24) == []


def test_a_broker_that_stood_still_silences_nobody() -> None:
    rows = [row for i in range(10) for row in daily(9, every_s=600, agent_id=f"agent-{i}")]
    again = [signal(START_MS + int(9.5 * DAY_MS) + i, agent_id=f"agent-{i}") for i in range(10)]
    found = detected([*rows, *again], only("silence"), START_MS + int(9.5 * DAY_MS))
    assert found == []


def test_a_halted_partition_silences_nobody_and_the_others_go_on() -> None:
    detection = Detection(only("silence"))
    detection.join([(TOPIC, 0), (TOPIC, 1)])
    for partition in (0, 1):
        observe_all(detection, batches(daily(9, every_s=300, agent_id=f"agent-{partition}"), partition))
    detection.leave((TOPIC, 0))
    end_ms, found = START_MS + 9 * DAY_MS, list[Found]()
    for now in range(end_ms, end_ms + 6 * HOUR_MS, 300_000):
        found += detection.observe(idle(9 * 288, now, partition=1))
    assert [one.finding.agent_id for one in found] == ["agent-1"]


def test_a_late_event_is_a_sign_of_life() -> None:
    rows = daily(9, every_s=300)
    other = signals(START_MS + 9 * DAY_MS, 120, 6 * 3600, agent_id="other")
    delayed = [
        signal(row["broker_time_ms"] - 600_000, broker_time_ms=row["broker_time_ms"]) for row in other[1:]
    ]
    assert silences([*rows, *other, *delayed], 9 * 24 + 6) == []


# --- shared dependency -----------------------------------------------------------------------------------


def fleet(agents: int, minutes: int, start_ms: int = START_MS, **fields: Any) -> list[Row]:
    return [
        row
        for i in range(agents)
        for row in signals(start_ms + i * 100, minutes, minutes * 60, agent_id=f"agent-{i}", **fields)
    ]


def outages(rows: Iterable[Row], **settings: Any) -> list[dict[str, str]]:
    found = detected(rows, only("shared_dependency", **settings), START_MS + 12 * HOUR_MS)
    own = [one.finding for one in found if one.finding.detector == "shared_dependency"]
    assert all((one.agent_id, one.may_trip) == ("*", False) for one in own)
    return [one.key for one in own]


BROKEN: dict[str, Any] = {"target": "crm.example", "outcome": "error"}
FINE: dict[str, Any] = {"target": "crm.example"}


def test_an_outage_is_one_finding_that_names_the_target() -> None:
    during = [
        row for i in range(3) for row in fleet(12, 30, START_MS + HOUR_MS, action=f"tool_{i}", **BROKEN)
    ]
    assert outages([*fleet(12, 60, **FINE), *during]) == [{"target": "crm.example"}]


def test_a_tool_that_fails_at_many_targets_is_named() -> None:
    rows = [row | {"target": f"orders/{i}"} for i, row in enumerate(fleet(12, 30, outcome="timeout"))]
    assert outages(rows) == [{"tool": "create_invoice"}]


def test_a_model_is_a_dependency() -> None:
    rows = fleet(12, 30, outcome="error", action_kind="none", action="chat", model="large-1")
    assert outages(rows) == [{"model": "large-1"}]


def test_few_agents_or_a_small_share_is_no_outage() -> None:
    assert outages(fleet(4, 30, **BROKEN)) == []
    half = fleet(20, 60, **FINE) + fleet(5, 60, **BROKEN)
    assert outages(half) == []


def test_what_always_fails_for_most_is_normal() -> None:
    usual = [
        row | {"outcome": "error"} if i % 10 < 7 else row for i, row in enumerate(fleet(10, 600, **FINE))
    ]
    assert len(outages(usual)) <= 1  # before it is known


def test_an_outage_that_comes_back_after_half_an_hour_is_another() -> None:
    calm = fleet(12, 60, START_MS + 2 * HOUR_MS, **FINE)
    first, second = (fleet(12, 10, START_MS + h * HOUR_MS, **BROKEN) for h in (1, 3))
    assert len(outages([*fleet(12, 60, **FINE), *first, *calm, *second])) == 2
    assert (
        len(
            outages(
                [*fleet(12, 60, **FINE), *first, *fleet(12, 10, START_MS + HOUR_MS + 1_200_000, **BROKEN)]
            )
        )
        == 1
    )


# --- order -----------------------------------------------------------------------------------------------


def story() -> dict[int, list[Row]]:
    """Ten days over three partitions: a new tool and version, an outage, a silence."""
    rows: dict[int, list[Row]] = {0: [], 1: [], 2: []}
    for i in range(3):
        rows[i] += daily(10, every_s=300, agent_id=f"clock-{i}", action_kind="none")
        rows[i] += daily(9.2 if i else 10, every_s=900, agent_id=f"agent-{i}", agent_version="1")
    new = START_MS + int(8.5 * DAY_MS)
    rows[0] += [signal(new + 1, agent_id="agent-0", action="drop_table", agent_version="2")]
    rows[1] += [signal(new + 1, agent_id="agent-0", action="drop_index", target="t")]
    for i in range(8):
        at_ms = START_MS + 9 * DAY_MS + i * 1000
        rows[i % 3] += signals(at_ms, 10, 600, agent_id=f"caller-{i}", **BROKEN)
    for own in rows.values():
        own.sort(key=lambda row: row["broker_time_ms"])
        own[500:500] = [dict(row) for row in own[400:500]]
    return rows


STORY = story()
SETTINGS: dict[str, dict[str, Any]] = {
    "novelty": NOVELTY,
    "unknown_version": {},
    "silence": {},
    "shared_dependency": {},
}


@pytest.mark.parametrize("detector", SETTINGS)
def test_neither_order_nor_restarts_matter(detector: str) -> None:
    settings, end_ms = only(detector, **SETTINGS[detector]), START_MS + 10 * DAY_MS
    expected = told(in_order(STORY, settings, 0, end_ms, most_rows=2000), detector)
    assert expected
    for seed in range(1, by_form(short=2, long=4)):
        assert told(in_order(STORY, settings, seed, end_ms, most_rows=2000), detector) == expected


def test_an_accepted_agent_learns_its_rhythm_anew() -> None:
    """From the minute of the acceptance on, however far a batch goes beyond it."""
    rows = sorted([*daily(9, every_s=300), *daily(11, every_s=300, agent_id="clock")], key=append_time)
    from_minute = (START_MS + int(8.5 * DAY_MS)) // 60_000
    accepted = Acceptance("a-1", "", "invoice-agent", from_minute)
    for size in (200, 10_000):
        detection = Detection(only("silence"))
        detection.accept([accepted])
        assert observe_all(detection, batches(rows, size=size)) == []


def append_time(row: Row) -> int:
    return row["broker_time_ms"]
