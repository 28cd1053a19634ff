"""The fold: order, restarts, repeats, lateness, idle partitions, far-future times."""

import random

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from support.signals import (
    START_MS,
    TOPIC,
    batch,
    batches,
    detect,
    frame,
    identities,
    idle,
    observe_all,
    signal,
    signals,
)

from pipeline.detect import DetectConfig, Detection, Found, SignalBatch, Trip
from pipeline.detect.model import joined as fewer
from pipeline.errors import ConfigError
from schemas.command import Selector

CONFIG = DetectConfig(write_burst={"statistic": {"multiples": (5, 10, 30), "learning_hours": 4}})  # pyright: ignore[reportArgumentType]
MINUTE = 60_000


def story() -> dict[int, list[dict[str, object]]]:
    """Four partitions, five hours: normal traffic, then each kind of trouble, repeats and late events."""
    hours = 5 * 3600
    fault = START_MS + hours * 1000
    rows: dict[int, list[dict[str, object]]] = {p: [] for p in range(4)}
    for p in rows:
        agent = f"agent-{p}"
        rows[p] += signals(START_MS + p, 1500, hours, agent_id=agent)
        rows[p] += signals(START_MS + 7 * p + 500, 20, hours, agent_id=agent, outcome="error")
    # The same agent's refusals spread over two partitions: neither reaches the floor by itself.
    for p in (0, 1):
        rows[p] += signals(fault + 50_000, 15, 20, agent_id="prober", outcome="denied")
    rows[1] += signals(fault, 60, 600, agent_id="agent-1", outcome="error")
    rows[2] += signals(fault, 300, 100, agent_id="agent-2", action_kind="write")
    rows[3] += signals(fault, 40, 30, agent_id="agent-0", bound=False, outcome="denied")
    rows[3] += signals(fault + 1000, 2, 1, agent_id="agent-3", trace_id="7" * 32, span_id="7" * 16)
    late = signal(START_MS + 60_000, agent_id="agent-3", outcome="denied", broker_time_ms=fault + 200_000)
    rows[3] += [late | {"event_hmac": f"{i:064d}", "span_id": f"{i:016d}"} for i in range(25)]
    for p, own in rows.items():
        own.extend(signals(fault + 300_000, 30, 900, agent_id=f"agent-{p}"))
        own.sort(key=lambda row: row["broker_time_ms"])  # pyright: ignore
        own[100:100] = [dict(row) for row in own[60:100]]  # a batch sent twice
    return rows


STORY = story()
END_MS = START_MS + 6 * 3600 * 1000


def cut(partition: int, chance: random.Random) -> list[SignalBatch]:
    """The partition's rows in batches of random sizes, then an idle entry."""
    rows, done, out = STORY[partition], 0, []
    while done < len(rows):
        size = chance.randint(1, 400)
        out.append(batch(rows[done : done + size], partition, done))
        done += size
    return [*out, idle(len(rows), END_MS, partition)]


def interleaved(seed: int) -> list[SignalBatch]:
    """All partitions' batches, each in its own order, shuffled together."""
    chance = random.Random(seed)
    queues = [cut(p, chance) for p in STORY]
    out: list[SignalBatch] = []
    while any(queues):
        out.append(chance.choice([q for q in queues if q]).pop(0))
    return out


def joined() -> Detection:
    detection = Detection(CONFIG)
    detection.join([(TOPIC, p) for p in STORY])
    return detection


EXPECTED = identities(observe_all(joined(), interleaved(0)))


def test_the_story_has_every_kind_of_finding() -> None:
    found = observe_all(joined(), interleaved(0))
    kinds = {(f.finding.detector, f.finding.kind, f.finding.agent_id, f.late) for f in found}
    assert kinds == {
        ("auth_failure", "floor", "prober", False),
        ("auth_failure", "floor", "source:topic:events", False),
        ("auth_failure", "floor", "agent-3", True),
        ("error_spike", "statistical", "agent-1", False),
        ("write_burst", "floor", "agent-2", False),
        ("write_burst", "statistical", "agent-2", False),
        ("identity_claim", "rule", "agent-0", False),
        ("id_reuse", "rule", "agent-3", False),
    }


@pytest.mark.parametrize("seed", range(1, 7))
def test_order_of_partitions_and_cuts_do_not_matter(seed: int) -> None:
    assert identities(observe_all(joined(), interleaved(seed))) == EXPECTED


@pytest.mark.parametrize("seed", range(4))
def test_restart_anywhere_finds_the_same(seed: int) -> None:
    chance, detection, found = random.Random(seed), joined(), list[Found]()
    for one in interleaved(seed):
        found += detection.observe(one)
        if chance.random() < 0.2:
            saved = detection.snapshot()
            detection = Detection.restore(CONFIG, saved)
            assert detection.snapshot() == saved
        if chance.random() < 0.2:
            found += detection.observe(one)  # delivered again: dropped
    assert identities(found) == EXPECTED


def test_a_rebuild_from_the_rows_goes_on_the_same() -> None:
    observed = interleaved(3)
    first, second = joined(), joined()
    half = len(observed) // 2
    observe_all(first, observed[:half])
    restored = Detection.restore(CONFIG, first.snapshot())
    observe_all(second, observed[:half])
    assert identities(observe_all(restored, observed[half:])) == identities(
        observe_all(second, observed[half:])
    )
    assert restored.ends == second.ends


def test_a_snapshot_of_another_configuration_is_refused() -> None:
    saved = joined().snapshot()
    with pytest.raises(ConfigError):
        Detection.restore(DetectConfig(lateness_s=31), saved)
    with pytest.raises(ConfigError):
        Detection.restore(CONFIG, saved[:-3])


@example(start_s=20.0, spread_s=20.0)
@given(start_s=st.floats(0, 3600), spread_s=st.floats(0, 29))
@settings(max_examples=15, deadline=None)
def test_thirty_refusals_of_an_unknown_agent_fire_at_once_wherever_they_fall(
    start_s: float, spread_s: float
) -> None:
    rows = signals(START_MS + int(start_s * 1000), 30, spread_s, outcome="denied")
    found = Detection(CONFIG).observe(batch(rows))  # no watermark, no second batch
    assert {f.finding.kind for f in found} == {"floor"}
    assert all(f.finding.may_trip and f.finding.severity == "critical" for f in found)
    assert found[0].evidence["rows"]


def test_nineteen_refusals_a_minute_stay_quiet() -> None:
    assert detect(signals(START_MS, 19 * 10, 600, outcome="denied")) == []


def test_backdating_hides_nothing_and_trips_nothing() -> None:
    rows = signals(START_MS, 40, 20)
    for i, row in enumerate(signals(START_MS + 20_000, 30, 20, outcome="denied")):
        rows.append(row | {"start_time_unix_nano": (START_MS - (i + 1) * 600_000) * 1_000_000})
    found = detect(rows)
    assert [(f.finding.kind, f.late, f.finding.may_trip) for f in found] == [("floor", True, False)]


@pytest.mark.parametrize("kind", ["create", "event"])
def test_other_clocks_page_but_never_trip(kind: str) -> None:
    found = detect(signals(START_MS, 30, 20, outcome="denied", broker_time_kind=kind))
    assert [f.finding.may_trip for f in found] == [False]
    assert found[0].finding.key == {"clock": kind}


def test_a_source_cannot_page_another_agent_as_itself() -> None:
    found = detect(signals(START_MS, 30, 20, outcome="denied", bound=False, agent_id="victim"))
    floor = next(f.finding for f in found if f.finding.kind == "floor")
    assert (floor.environment, floor.agent_id, floor.may_trip) == ("unbound", "source:topic:events", False)
    claim = next(f.finding for f in found if f.finding.kind == "rule")
    assert (claim.detector, claim.agent_id, claim.may_trip) == ("identity_claim", "victim", False)


def test_a_source_with_a_thousand_false_names_makes_a_bounded_number_of_findings() -> None:
    rows = [signal(START_MS + i, bound=False, agent_id=f"victim-{i}") for i in range(1000)]
    found = detect(rows)
    assert len(found) == CONFIG.identity_claim.max_per_hour + 1
    assert found[-1].finding.agent_id == "*"


def test_a_far_future_time_makes_nothing_late() -> None:
    detection = Detection(CONFIG)
    future = signal(START_MS) | {"start_time_unix_nano": 4_000_000_000 * 10**9}
    detection.observe(batch([future]))
    flagged = signal(4_000_000_000_000, broker_time_kind="event", flags=["time_in_future"])
    detection.observe(batch([flagged], start=1))
    detection.observe(batch(signals(START_MS + 1000, 50, 20), start=2))
    assert detection.late_events == 0
    assert detection.watermark_ms is not None and detection.watermark_ms < START_MS + MINUTE


ERRORS_AFTER_CALM = [
    *signals(START_MS, 6000, 18_000),
    *signals(START_MS + 18_000_000, 150, 600, outcome="error"),
    *signals(START_MS + 18_700_000, 5, 60),
]


def test_a_silent_partition_holds_minutes_open_until_it_is_idle() -> None:
    detection = Detection(CONFIG)
    detection.join([(TOPIC, 0), (TOPIC, 1)])
    assert observe_all(detection, batches(ERRORS_AFTER_CALM)) == []
    found = detection.observe(idle(0, START_MS + 19_000_000, partition=1))
    assert {f.finding.kind for f in found} == {"statistical"}


def test_a_halted_partition_is_waited_for_no_longer() -> None:
    detection = Detection(CONFIG)
    detection.join([(TOPIC, 0), (TOPIC, 1)])
    assert observe_all(detection, batches(ERRORS_AFTER_CALM)) == []
    assert {f.finding.kind for f in detection.leave((TOPIC, 1))} == {"statistical"}


def test_repeats_count_once() -> None:
    rows = signals(START_MS, 15, 10, outcome="denied")
    assert detect([*rows, *rows, *rows]) == []
    detection = Detection(CONFIG)
    observe_all(detection, batches([*rows, *rows]))
    assert detection.repeats == 15


def test_an_ongoing_burst_is_one_incident() -> None:
    found = detect(signals(START_MS, 150 * 20, 1200, action_kind="write"))
    assert len({f.finding.incident_key for f in found}) == 1
    assert len(found) <= 6
    assert len({f.finding.finding_id for f in found}) == len(found)


@pytest.mark.parametrize("seed", range(3))
def test_batches_may_be_joined(seed: int) -> None:
    one, rest = joined(), interleaved(seed)
    found: list[Found] = []
    while rest:
        some, rest = rest[:40], rest[40:]
        found += observe_all(one, fewer(some))
    assert identities(found) == EXPECTED


def test_an_idle_time_is_not_joined_over() -> None:
    early = batch(signals(START_MS, 3), start=0)
    late = batch(signals(START_MS + 1000, 3), start=3)
    [first, second] = fewer([early, idle(3, START_MS + 600_000), late])
    assert (first.end, first.idle_until_ms, second.start) == (3, START_MS + 600_000, 3)


def test_findings_name_no_observed_count_of_a_floor() -> None:
    few, many = (detect(signals(START_MS, n, 10, outcome="denied")) for n in (20, 400))
    assert identities(few) == identities(many)


TRIP = Trip(
    trip_id="t-1", selector=Selector(agent="invoice-agent"), mode="read_only", served_at_ms=START_MS + 10_000
)


@pytest.mark.parametrize("trip_first", [True, False])
def test_a_write_after_the_trip_is_found_whichever_arrives_first(trip_first: bool) -> None:
    detection = Detection(CONFIG)
    one = batch(signals(START_MS, 40, 40, action_kind="write"))
    steps = [lambda: detection.trips([TRIP]), lambda: detection.observe(one)]
    found = [f for step in (steps if trip_first else steps[::-1]) for f in step()]
    assert [(f.finding.detector, f.finding.severity) for f in found] == [("acting_after_trip", "critical")]
    assert found[0].finding.facts["trip_id"] == "t-1"
    assert detection.observe(batch(signals(START_MS + 50_000, 5, 5, action_kind="write"), start=40)) == []


def test_after_the_reset_writing_is_no_finding() -> None:
    detection = Detection(CONFIG)
    lifted = Trip(
        **{k: getattr(TRIP, k) for k in TRIP.__struct_fields__} | {"loosened": ((START_MS + 30_000, "on"),)}
    )
    detection.trips([lifted])
    assert detection.observe(batch(signals(START_MS + 31_000, 5, 5, action_kind="write"))) == []


def test_only_bound_events_prove_acting_after_a_trip() -> None:
    detection = Detection(CONFIG)
    detection.trips([TRIP])
    rows = signals(START_MS + 20_000, 5, 5, action_kind="write", bound=False)
    assert [f.finding.detector for f in detection.observe(batch(rows))] == ["identity_claim"]


def test_claiming_an_early_start_hides_no_more_than_a_minute() -> None:
    detection = Detection(CONFIG)
    detection.trips([TRIP])
    row = signal(START_MS + 80_000, action_kind="write") | {"start_time_unix_nano": START_MS * 1_000_000}
    assert [f.finding.detector for f in detection.observe(batch([row]))] == ["acting_after_trip"]


def test_memory_of_keys_is_bounded() -> None:
    detection = Detection(DetectConfig(max_keys=100))
    rows = [signal(START_MS + i * 1000, agent_id=f"agent-{i}") for i in range(1000)]
    observe_all(detection, batches(rows))
    detection.observe(idle(1000, START_MS + 2_000_000))
    assert detection.keys <= 100


def test_an_empty_batch_is_no_event() -> None:
    detection = Detection(CONFIG)
    assert detection.observe(SignalBatch(TOPIC, 0, 0, 0, frame([]), None)) == []
    assert detection.watermark_ms is None


def test_a_repeat_is_known_although_another_partition_is_days_ahead() -> None:
    """Ids are remembered by the day of their event: partition 1 goes through ten days in between."""
    detection = Detection(CONFIG)
    detection.join([(TOPIC, 0), (TOPIC, 1)])
    first = signal(START_MS, trace_id="a" * 32, span_id="b" * 16, event_hmac="c" * 64)
    detection.observe(batch([first]))
    ahead = [signal(START_MS + day * 86_400_000) for day in range(10)]
    for number, row in enumerate(ahead):
        detection.observe(batch([row], partition=1, start=number))
    again = first | {"broker_time_ms": START_MS + 3_600_000}
    detection.observe(batch([signal(START_MS + 3_600_000), again], start=1))
    assert detection.repeats == 1


def test_a_minute_is_judged_once_however_many_steps_it_has() -> None:
    """All rows of a minute that come in one batch are one minute of their agent."""
    seen = [20, 1]  # in the first and in the second half of a minute
    rows = [signal(START_MS + half * 30_000 + i) for half, number in enumerate(seen) for i in range(number)]
    detection = Detection(CONFIG)
    detection.observe(batch(rows))
    detection.observe(idle(len(rows), START_MS + 600_000))
    (_, _, progress), *_ = detection.learning("invoice-agent")
    assert progress.learned_minutes == 1
