"""What the client decides locally is what the server would have answered, for any trips and any context."""

import json

import pytest
from auditfuse_client.answers import read_grant
from auditfuse_client.decision import ACTIONS, MODES, Trip, decide
from hypothesis import given
from hypothesis import strategies as st
from support.lease_stub import grant

from pipeline.killswitch.contexts import normal
from pipeline.killswitch.state import Context, NoApprovals, flags_for, fold, join
from schemas.command import Command, Selector

names = st.sampled_from(["a", "b", "İ", "ß", "SS", "A "])
maybe = st.none() | names
selectors = st.builds(Selector, environment=maybe, agent=maybe, version=maybe, tool=maybe)
trips = st.builds(
    lambda n, selector, mode: Command(
        id=f"trip_{n}",
        command="trip",
        at_ms=0,
        by="alice",
        automatic=False,
        reason="r",
        selector=selector,
        mode=mode,
    ),
    st.integers(0, 9),
    selectors,
    st.sampled_from(MODES[1:]),
)
contexts = st.builds(
    Context,
    agents=st.none() | st.frozensets(names.map(normal), min_size=1, max_size=2),
    environment=maybe.map(normal),
    version=maybe.map(normal),
    tool=st.none(),
    approval=st.none(),
)


def told(state, context) -> bytes:
    """What the server tells a client of this context: every trip that covers it with some tool."""
    content = [
        {
            "id": trip.command.id,
            "mode": trip.mode,
            "selector": {
                name: getattr(trip.selector, name) for name in ("environment", "agent", "version", "tool")
            },
            "throttle_per_minute": 6 if trip.mode == "throttle" else None,
        }
        for trip in state.matching(context)
    ]
    return json.dumps(grant(*content)).encode()


@given(st.lists(trips, max_size=6), contexts, st.none() | names | st.just("") | st.just("x" * 600))
def test_the_local_decision_is_the_servers(commands, context, tool):
    state = fold(commands, {})
    asked = context._replace(tool=normal(tool))
    flags = flags_for(join(state.matching(asked)), asked, NoApprovals())
    known = read_grant(told(state, context)).told.trips
    verdicts = {action: decide(known, action, tool) for action in ACTIONS}
    assert {verdict.mode for verdict in verdicts.values()} == {flags.mode}
    assert (verdicts["read"].says == "yes") is flags.enabled
    assert (verdicts["write"].says == "yes") is flags.write
    assert (verdicts["external"].says == "yes") is flags.external
    assert (verdicts["write"].says == "approval") is (flags.mode == "approval")


@given(st.lists(trips, max_size=5), trips, contexts, maybe, st.sampled_from(ACTIONS))
def test_one_more_trip_never_loosens(commands, more, context, tool, action):
    order = ["yes", "approval", "no"]
    few, many = (fold(found, {}) for found in (commands, [*commands, more]))
    before, after = (
        decide(read_grant(told(state, context)).told.trips, action, tool).says for state in (few, many)
    )
    assert order.index(after) >= order.index(before)


@pytest.mark.parametrize(
    ("mode", "read", "write"),
    [
        ("throttle", "yes", "yes"),
        ("approval", "yes", "approval"),
        ("read_only", "yes", "no"),
        ("off", "no", "no"),
    ],
)
def test_what_each_mode_allows(mode, read, write):
    trip = Trip("trip_1", mode, None, 6)
    assert [decide([trip], action, "refund").says for action in ACTIONS] == [read, write, write]


def test_a_trip_of_one_tool_leaves_the_others_alone_but_covers_who_does_not_say():
    trip = Trip("trip_1", "off", "refund", None)
    assert decide([trip], "write", " Refund ").says == "no"
    assert decide([trip], "write", "lookup").says == "yes"
    assert decide([trip], "write", None).says == "no"


def test_every_throttle_that_covers_the_action_sets_a_pace():
    trips = [Trip("trip_1", "throttle", None, 6), Trip("trip_2", "throttle", "refund", 1)]
    assert [trip.id for trip in decide(trips, "read", "lookup").paced] == ["trip_1"]
    assert [trip.id for trip in decide(trips, "read", "refund").paced] == ["trip_1", "trip_2"]
