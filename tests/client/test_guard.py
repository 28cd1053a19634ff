"""A guard against the real server: what trips do to checks, steps, decorated functions and status."""

import asyncio
import contextlib
import gc
import itertools
import json
import random
import threading
import time
import urllib.request

import pytest
from auditfuse_client import AsyncGuard, Guard, Stopped
from support.killswitch import running_switch, served, until

from schemas.command import Selector

ME = {"agent": "invoice-agent", "environment": "prod", "version": "4.2"}


@pytest.fixture
def guard(server):
    with Guard(server.url, **ME) as guard:
        yield guard


def trip(switch, mode="off", **selector):
    return switch.trip(Selector(**selector), mode, by="alice", reason="r")


def refused(guard, action="write", tool="refund", **more):
    try:
        guard.check(action=action, tool=tool, **more)
    except Stopped as stopped:
        return stopped
    return None


def until_mode(guard, mode):
    until(lambda: mode in {trip.mode for trip in guard.status().trips})


def test_an_untripped_agent_may_do_everything(guard):
    for action in ("read", "write", "external"):
        guard.check(action=action, tool="refund")
        guard.check(action=action)
    assert guard.status().leased


@pytest.mark.parametrize(
    ("mode", "allowed"),
    [
        ("throttle", ["read"]),  # the pace leaves one action now, whichever comes first
        ("approval", ["read"]),
        ("read_only", ["read"]),
        ("off", []),
    ],
)
def test_what_each_mode_leaves(server, switch, mode, allowed):
    trip(switch, mode, agent="invoice-agent")
    with Guard(server.url, **ME, throttled="raise") as guard:
        answers = {action: refused(guard, action) for action in ("read", "write", "external")}
    assert [action for action, stopped in answers.items() if stopped is None] == allowed
    assert {stopped.mode for stopped in answers.values() if stopped} == {mode}


def test_a_trip_arrives_by_the_stream_within_a_second(guard, switch):
    until(lambda: guard.status().streaming)
    guard.check(action="write", tool="refund")
    began = time.monotonic()
    made = trip(switch, agent="INVOICE-agent", environment="Prod")
    until(lambda: refused(guard) is not None, 1.0)
    assert time.monotonic() - began < 1.0
    stopped = refused(guard)
    assert (stopped.mode, stopped.trip, stopped.cause) == ("off", made.id, "trip")
    assert (
        str(stopped)
        == f"invoice-agent may not write with refund now: by the trip {made.id} (off) it may do nothing"
    )


def test_without_the_stream_it_arrives_with_the_next_renewal(server, switch):
    with Guard(server.url, **ME, stream=False) as guard:
        guard.check(action="write")
        trip(switch, agent="invoice-agent")
        until(lambda: refused(guard) is not None)
        assert not guard.status().streaming


def test_a_trip_of_another_agent_or_tool_leaves_it_alone(guard, switch):
    trip(switch, agent="search-agent")
    trip(switch, agent="invoice-agent", tool="delete")
    until_mode(guard, "off")
    guard.check(action="write", tool="refund")
    assert refused(guard, tool="Delete") is not None
    assert refused(guard, tool=None) is not None, "who does not say with which tool is covered"


def test_the_server_hears_at_once_that_the_trip_is_enforced(tmp_path):
    with running_switch(tmp_path / "journal") as switch, served(switch) as server:
        with Guard(server.url, **ME) as guard:
            until(lambda: guard.status().streaming)
            trip(switch, agent="invoice-agent")
            until(lambda: switch.status().trips[0].enforcement.acknowledged == 1, 3.0)  # far below renew_s


def test_an_action_begun_before_the_trip_is_reported(guard, switch):
    began, may_end = threading.Event(), threading.Event()

    @guard.guarded(action="write", tool="refund")
    def refund(amount):
        began.set()
        may_end.wait(10)
        return amount

    results = []
    acting = threading.Thread(target=lambda: results.append(refund(7)))
    acting.start()
    began.wait(10)
    until(lambda: guard.status().streaming)
    trip(switch, agent="invoice-agent")
    until(lambda: switch.status().trips[0].enforcement.under_way == 1)
    assert guard.status().under_way == 1
    may_end.set()
    acting.join()
    assert (results, guard.status().under_way) == ([7], 0)
    with pytest.raises(Stopped):
        refund(8)


def test_no_name_of_a_tool_costs_the_lease(server, switch):
    """The real server refuses a request with a tool of more than 200 characters."""
    strange = ["x" * 600, "\ud800", "\x00" * 600, "\U0001f9e8" * 600]
    with Guard(server.url, **ME, stream=False) as guard, contextlib.ExitStack() as under_way:
        for number in range(40):
            under_way.enter_context(guard.step(action="write", tool=strange[number % 4]))
        time.sleep(1.1)  # two renewals
        assert guard.status().lease_left_s > 1.0
        assert guard.status().last_error is None


def test_an_empty_environment_is_a_missing_one(server, switch):
    trip(switch, environment="prod")
    with Guard(server.url, agent="a", environment="") as guard:
        assert refused(guard) is not None


def test_for_every_agent_the_guard_says_what_the_flags_say(server, switch):
    picks = random.Random(7)
    some = {
        "environment": ["prod", "test", None],
        "version": ["1", "2", None],
        "tool": ["refund", "mail", None],
    }
    for agent, mode in zip("abcdef" * 2, ["throttle", "approval", "read_only", "off"] * 3, strict=True):
        trip(switch, mode, agent=agent, **{name: picks.choice(values) for name, values in some.items()})
    modes = set()
    for agent, environment, version in itertools.product("abcdefg", ("prod", None), ("1",)):
        me = {"agent": agent, "environment": environment, "version": version}
        with Guard(server.url, **me, stream=False, throttled="raise") as guard:
            for tool in ("refund", "mail", "lookup", None):
                said = flags(server, {**me, "tool": tool})
                for action, flag in (("read", "enabled"), ("write", "write"), ("external", "external")):
                    stopped = refused(guard, action, tool)
                    goes = stopped is None or stopped.cause == "throttled"
                    assert goes is said[f"agent.{flag}"], (me, tool, action)
                    assert stopped is None or stopped.mode == said["agent.mode"]
                modes.add(said["agent.mode"])
    assert len(modes) == 5, modes


def flags(server, context):
    body = json.dumps({"context": {name: value for name, value in context.items() if value is not None}})
    request = urllib.request.Request(f"{server.url}/ofrep/v1/evaluate/flags", body.encode())
    with urllib.request.urlopen(request, timeout=5) as response:
        return {flag["key"]: flag["value"] for flag in json.load(response)["flags"]}


def test_a_step_that_raises_has_ended(guard):
    with pytest.raises(KeyError), guard.step(action="write", tool="refund"):
        raise KeyError
    assert guard.status().under_way == 0


def test_a_reset_opens_it_again(guard, switch):
    made = trip(switch, agent="invoice-agent")
    until(lambda: refused(guard) is not None)
    request = switch.request_reset([made.id], by="alice", reason="fixed")
    switch.approve_reset(request.id, by="bob", reason="checked")
    until(lambda: refused(guard) is None)


def test_a_client_of_drills_is_stopped_by_drills_alone(server, switch, guard):
    with Guard(server.url, **ME, drill=True) as drilled:
        trip(switch, agent="invoice-agent")
        until(lambda: refused(guard) is not None)
        assert refused(drilled) is None
        trip(switch, agent="drill-invoice-agent", environment="auditfuse-drill")
        until(lambda: refused(drilled) is not None)


def test_an_action_of_no_known_kind_is_refused(guard):
    with pytest.raises(ValueError, match="action must be one of"):
        guard.check(action="Write")  # pyright: ignore[reportArgumentType]


def test_only_functions_that_end_with_their_call_can_be_guarded(guard):
    async def later(): ...

    def some():
        yield

    for function in (later, some):
        with pytest.raises(TypeError):
            guard.guarded(action="write")(function)


def test_a_closed_guard_refuses_all_and_gave_its_lease_back(server, switch):
    guard = Guard(server.url, **ME)
    guard.check(action="write")
    assert switch.status().fleet.live_leases == 1
    guard.close()
    guard.close()
    assert refused(guard, "read").cause == "closed"
    assert switch.status().fleet.live_leases == 0


def test_guards_leave_no_threads_behind(server):
    before = threading.active_count()
    with Guard(server.url, **ME) as guard:
        guard.check(action="write")
    gc.collect()
    until(lambda: threading.active_count() <= before + 1)  # the server's own pool may have grown


async def test_the_async_guard_does_the_same(server, switch):
    async with AsyncGuard(server.url, **ME) as guard:

        @guard.guarded(action="write", tool="refund")
        async def refund(amount):
            assert guard.status().under_way == 1
            return amount

        assert await refund(7) == 7
        async with guard.step(action="external", tool="mail"):
            assert guard.status().under_way == 1
        assert guard.status().under_way == 0
        trip(switch, agent="invoice-agent")
        with pytest.raises(Stopped):
            while True:
                await refund(8)
                await asyncio.sleep(0.005)
        with pytest.raises(TypeError):
            guard.guarded(action="write")(print)
    with pytest.raises(Stopped, match="closed"):
        await guard.check(action="read")
