"""Automatic trips: only what is certain, only within the limits, and it says why not."""

import msgspec
import pytest

from pipeline.killswitch.policy import AutoTripConfig, DetectorTrip, PastTrip, decide
from schemas.command import Selector
from schemas.finding import Finding

NOW_MS = 1_800_000_000_000
MINUTE_MS = 60_000
ENFORCE = {"write_burst": DetectorTrip(mode="enforce", trip="read_only")}


def finding(agent="invoice-agent", kind="floor", may_trip=True, detector="write_burst", **facts) -> Finding:
    return Finding(
        detector=detector, kind=kind, environment="prod", agent_id=agent, key={}, window_start_ms=0,
        window_end_ms=60_000, time_base="append", config_hash="c", severity="critical",
        summary="90 writes in a minute, normal is 2", facts=facts, may_trip=may_trip, runbook="r",
    )  # fmt: skip


def past(agent, minutes_ago, mode="off", lifted_minutes_ago=None) -> PastTrip:
    lifted = None if lifted_minutes_ago is None else NOW_MS - lifted_minutes_ago * MINUTE_MS
    return PastTrip(
        trip_id=f"trip_{agent}{minutes_ago}", finding_id=None, selector=Selector(agent=agent),
        mode="on" if lifted is not None else mode, at_ms=NOW_MS - minutes_ago * MINUTE_MS,
        lifted_at_ms=lifted,
    )  # fmt: skip


def decision(found=None, *, late=False, history=(), known_agents=100, **config):
    settings = AutoTripConfig(**{"detectors": ENFORCE, **config})
    return decide(
        found or finding(),
        late=late,
        history=list(history),
        known_agents=known_agents,
        now_ms=NOW_MS,
        config=settings,
    )


def test_an_enforced_floor_trips_the_agent_to_the_configured_mode():
    made = decision()
    assert (made.action, made.mode, made.selector) == ("trip", "read_only", Selector(agent="invoice-agent"))
    assert "90 writes in a minute" in made.reason


def test_the_default_is_shadow_and_says_what_would_have_happened():
    made = decide(finding(), late=False, history=[], known_agents=9, now_ms=NOW_MS, config=AutoTripConfig())
    assert made.action == "shadow"
    assert "would have tripped invoice-agent to read_only" in made.reason


@pytest.mark.parametrize(
    ("found", "late", "why"),
    [
        (finding(may_trip=False), False, "not certain enough"),
        (finding(), True, "late"),
        (finding(kind="statistical"), False, "below an e-value of 1e8"),
        (finding(kind="statistical", log10_e=7.9), False, "below an e-value of 1e8"),
        (finding(kind="statistical", log10_e="many"), False, "below an e-value of 1e8"),
        (finding(kind="statistical", log10_e=float("nan")), False, "below an e-value of 1e8"),
        (finding(detector="silence"), False, "not configured to trip"),
    ],
)
def test_what_is_not_certain_never_trips(found, late, why):
    made = decision(found, late=late)
    assert made.action == "none"
    assert why in made.reason


def test_overwhelming_evidence_trips():
    assert decision(finding(kind="statistical", log10_e=8.2)).action == "trip"


@pytest.mark.parametrize(
    ("history", "config", "known_agents", "why"),
    [
        ([past("invoice-agent", 50, lifted_minutes_ago=45)], {}, 100, "per agent and hour"),
        ([past("Invoice-Agent", 90, mode="off")], {}, 100, "under an automatic trip already"),
        ([past("invoice-agent", 90, lifted_minutes_ago=10)], {}, 100, "cooldown"),
        ([past(f"x{n}", 30, lifted_minutes_ago=29) for n in range(3)], {}, 100, "3 automatic trips per hour"),
        ([past("other", 500)], {}, 19, "2 of 19 agents"),
        ([], {"never_trip": ("Invoice-*",)}, 100, "never-trip list"),
    ],
)
def test_past_a_limit_it_says_that_it_did_not_trip(history, config, known_agents, why):
    made = decision(history=history, known_agents=known_agents, **config)
    assert made.action == "none"
    assert why in made.reason


def test_the_share_leaves_room_for_one_agent_in_a_small_fleet():
    assert decision(known_agents=1).action == "trip"
    assert decision(known_agents=20, history=[past("other", 500)]).action == "trip"


def test_a_milder_trip_in_force_does_not_stop_a_harder_one_after_an_hour():
    assert decision(history=[past("invoice-agent", 90, mode="throttle")]).action == "trip"


def test_steps_of_one_agent_leave_the_fleets_limit_to_others():
    steps = [past("x", minutes, mode) for minutes, mode in ((50, "throttle"), (40, "approval"), (30, "off"))]
    assert decision(history=steps).action == "trip"
    others = [past(f"x{n}", 30 + n) for n in range(3)]
    assert "3 automatic trips per hour" in decision(history=others).reason


def test_what_a_person_has_loosened_is_left_alone_for_the_cooldown():
    loosened = msgspec.structs.replace(
        past("invoice-agent", 90, "throttle"), loosened_at_ms=NOW_MS - MINUTE_MS
    )
    made = decision(history=[loosened])
    assert (made.action, made.is_limited) == ("none", True)
    assert "cooldown" in made.reason
    assert decision(history=[loosened], cooldown_s=30).stepped_from == "throttle"
