"""From signals to the switch: what trips by itself, what never does, and how a trip gets harder."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError
from support.killswitch import Clock, FakeControl, running_switch
from support.signals import START_MS, batch, signals

from pipeline.detect import Detection
from pipeline.detect.config import DetectConfig
from pipeline.detect.model import joined
from pipeline.killswitch.notices import Notices
from pipeline.killswitch.policy import AutoTripConfig, DetectorTrip, PastTrip, began_ms_of, decide
from pipeline.killswitch.state import RANK, Context, join
from pipeline.tripping import Tripping
from schemas.command import MODES, Selector
from schemas.finding import Finding

SECOND = 1000
MINUTE = 60_000
STEPPED = ("throttle", "approval", "read_only", "off")
EVERYTHING = {
    name: {"mode": "enforce", "trip": "throttle"}
    for name in (
        "write_burst",
        "auth_failure",
        "error_spike",
        "identity_claim",
        "acting_after_trip",
        "forbidden",
    )
}
"""Every detector that these signals could fire is set to enforce, with the mildest mode first."""


class Line:
    """Detection and the switch, with the clock of the rows."""

    def __init__(self, switch, clock):
        self.switch, self.clock = switch, clock
        self.detection = Detection(DetectConfig())
        self.notices = Notices(switch, lambda notice: True, clock)
        self.told = []
        self.notices._put = self.told.append  # what would go into its thread's queue
        self.tripping = Tripping(switch, self.notices, clock)
        self.agents = set()
        self.rows = 0

    def observe(self, rows, at_ms=None):
        """Seal and detect rows; what became of each finding, in words."""
        self.clock.now_ms = at_ms or max(row["broker_time_ms"] for row in rows)
        sealed = batch(rows, start=self.rows)
        self.rows += len(rows)
        found = self.detection.trips(self.tripping.fresh(self.agents))
        for one in joined([sealed]):
            found += self.detection.observe(one)
            self.agents.update(one.signals["agent_id"].unique())
        return [self.tripping.trip(one, len(self.agents)) for one in found]

    def mode(self, agent="invoice-agent"):
        return join(self.switch.state.matching(Context(agents=frozenset({agent}))))


@pytest.fixture
def line(tmp_path):
    clock = Clock()
    auto_trip = {"detectors": EVERYTHING}
    with running_switch(tmp_path / "journal", FakeControl(), now_ms=clock, auto_trip=auto_trip) as switch:
        yield Line(switch, clock)


def refusals(at_ms, times=25, **fields):
    return signals(at_ms, times, 10, outcome="denied", **fields)


def test_refusals_of_a_bound_source_trip_and_the_same_ones_do_not_trip_twice(line):
    assert line.observe(refusals(START_MS))[0].startswith("tripped to throttle (trip_")
    assert line.mode() == "throttle"
    line.observe(refusals(START_MS + 11 * SECOND))
    assert line.mode() == "throttle"


@pytest.mark.parametrize(
    ("case", "why"),
    [
        ({"bound": False}, "may not speak for this agent"),
        ({"bound": False, "flags": ["identity_not_bound"]}, "may not speak for this agent"),
        ({"broker_time_kind": "create"}, "not the broker's"),
        ({"broker_time_kind": "event"}, "not the broker's"),
    ],
    ids=["an unbound source", "an asserted identity", "times of the sender", "times of a file"],
)
def test_what_is_not_certain_pages_and_never_trips(line, case, why):
    done = line.observe(refusals(START_MS, 60, action_kind="write", **case))
    assert done
    assert all(one.startswith("not tripped") for one in done)
    assert any(why in one for one in done)
    assert line.switch.state.in_force == ()


def test_late_events_page_and_never_trip(line):
    line.observe(signals(START_MS + 3600 * SECOND, 10, 10))
    late = [
        row | {"start_time_unix_nano": START_MS * 1_000_000} for row in refusals(START_MS + 3620 * SECOND, 60)
    ]
    done = line.observe(late)
    assert done
    assert all(one == "not tripped: the events came late" for one in done)
    assert line.switch.state.in_force == ()


def test_a_late_action_after_a_trip_is_no_step(line):
    line.clock.now_ms = START_MS
    line.switch.trip(Selector(agent="invoice-agent"), "read_only", by="alice", reason="r")
    line.observe(signals(START_MS + 3600 * SECOND, 10, 10))
    began = {"start_time_unix_nano": (START_MS + 30 * SECOND) * 1_000_000}
    rows = [row | began for row in signals(START_MS + 60 * SECOND, 1, action_kind="write")]
    assert line.observe(rows, START_MS + 3700 * SECOND) == ["not tripped: the events came late"]
    assert line.mode() == "read_only"


def test_it_steps_harder_only_while_the_damage_goes_on(line):
    line.observe(refusals(START_MS))
    assert line.mode() == "throttle"
    # The rest of the same burst, and a second detector on it: proof of nothing new.
    line.observe(signals(START_MS + 12 * SECOND, 400, 5, action_kind="write"))
    assert line.mode() == "throttle"
    for minutes, mode in ((6, "approval"), (12, "read_only"), (18, "off")):
        line.observe(refusals(START_MS + minutes * MINUTE))
        assert line.mode() == mode
    assert [notice.title.partition(": ")[2] for notice in line.told] == [
        "stepped from throttle to approval, since it goes on",
        "stepped from approval to read_only, since it goes on",
        "stepped from read_only to off, since it goes on",
    ]
    assert len(line.switch.state.in_force) == 4


def test_acting_after_the_trip_steps_at_once(line):
    line.clock.now_ms = START_MS
    line.switch.trip(
        Selector(agent="invoice-agent"),
        "approval",
        by="auditfuse",
        reason="r",
        finding_id="fnd_1",
        automatic=True,
    )
    done = line.observe(signals(START_MS + 10 * SECOND, 1, action_kind="write"))
    assert [one.split(" (")[0] for one in done] == ["tripped to read_only"]
    first = next(trip for trip in line.switch.status().trips if trip.finding_id == "fnd_1")
    assert first.enforcement.state == "not enforced"
    done = line.observe(signals(START_MS + 20 * SECOND, 1, action_kind="write"))
    assert [one.split(" (")[0] for one in done] == ["tripped to off"]


def test_past_a_limit_people_are_told_that_it_did_not_trip(tmp_path):
    clock = Clock()
    auto_trip = {"detectors": EVERYTHING, "per_fleet_hour": 1}
    with running_switch(tmp_path / "journal", now_ms=clock, auto_trip=auto_trip) as switch:
        line = Line(switch, clock)
        line.observe(signals(START_MS - 1000, 40, 0, agent_id="x") + refusals(START_MS, agent_id="one"))
        done = line.observe(refusals(START_MS + 20 * SECOND, agent_id="two"))
        assert done == ["not tripped: the limit of 1 automatic trips per hour is reached"]
        assert [notice.title for notice in line.told] == [
            "two in prod: NOT tripped: the limit of 1 automatic trips per hour is reached"
        ]
        assert line.mode("two") == "on"


def test_steps_must_get_harder():
    assert DetectorTrip(trip="throttle", steps=("read_only",)).after("throttle") == "read_only"
    assert DetectorTrip(trip="throttle", steps=()).after("throttle") is None
    assert DetectorTrip(trip="approval").after("read_only") == "off"
    with pytest.raises(ValidationError, match="must be harder"):
        DetectorTrip(trip="read_only", steps=("approval",))


def finding(number: int, detector: str, at_ms: int) -> Finding:
    return Finding(
        detector=detector, kind="floor", environment="prod", agent_id="a", key={}, window_start_ms=at_ms,
        window_end_ms=at_ms + number, time_base="append", config_hash="c", severity="critical",
        summary="s", facts={}, may_trip=True, runbook="r",
    )  # fmt: skip


def test_when_what_was_found_began():
    one = finding(1, "write_burst", 5_000)
    assert began_ms_of(one, {}) == 5_000
    assert began_ms_of(one, {"minute_from_ms": 7_000}) == 7_000


ladders = st.sampled_from(TRIPS := STEPPED).flatmap(
    lambda first: st.builds(
        lambda rest: DetectorTrip(mode="enforce", trip=first, steps=rest),
        st.none()
        | st.lists(st.sampled_from(TRIPS), unique=True).map(
            lambda modes: tuple(m for m in TRIPS if m in modes and RANK[m] > RANK[first])
        ),
    )
)


@given(
    ladders,
    ladders,
    st.lists(st.tuples(st.sampled_from(["one", "two"]), st.integers(0, 90), st.booleans()), max_size=25),
    st.integers(0, 4),
)
@settings(max_examples=150, deadline=None)
def test_no_finding_ever_loosens_and_each_step_is_the_next(one, two, events, steps):
    config = AutoTripConfig(detectors={"one": one, "two": two}, steps_per_agent_hour=steps)
    history, now_ms = [], START_MS
    for number, (detector, minutes, is_fresh) in enumerate(events):
        now_ms += minutes * MINUTE + 1
        before = max((past.mode for past in history), key=RANK.__getitem__, default="on")
        began_ms = now_ms if is_fresh else START_MS - 1
        made = decide(
            finding(number, detector, began_ms), late=False, history=history, known_agents=9, now_ms=now_ms,
            config=config, began_ms=began_ms,
        )  # fmt: skip
        if made.action != "trip":
            assert made.mode == "on"
            continue
        rule = config.detectors[detector]
        ladder = (rule.trip, *(rule.steps if rule.steps is not None else MODES[RANK[rule.trip] + 1 :]))
        assert made.mode == next(mode for mode in ladder if RANK[mode] > RANK[before])
        assert made.stepped_from == before
        assert before == "on" or is_fresh or made.mode == rule.trip
        history.append(
            PastTrip(
                trip_id=f"trip_{number}", finding_id=None, selector=made.selector, mode=made.mode,
                at_ms=now_ms, lifted_at_ms=None,
            )
        )  # fmt: skip
    assert len(history) <= 1 + 3
    in_an_hour = [past for past in history[1:] if history[-1].at_ms - past.at_ms < 60 * MINUTE]
    assert len(in_an_hour) <= max(steps, 0)
