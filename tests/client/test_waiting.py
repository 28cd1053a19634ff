"""Checks that ask or wait: approvals, throttles, and the guard of an event loop."""

import asyncio
import threading
import time

import pytest
from auditfuse_client import AsyncGuard
from support.killswitch import until
from support.lease_stub import grant, refused, state, trip


def test_an_approval_is_asked_for_each_time(stub, start):
    stub.answer = (200, grant(trip(mode="approval")))
    guard = start(environment="prod")
    stopped = refused(guard)
    assert (stopped.cause, stopped.mode) == ("approval", "approval")
    assert stub.flags_asked == []
    stub.flags = lambda context: context.get("approval") == "APR-1"
    for _ in range(2):
        guard.check(action="write", tool="refund", approval="APR-1")
    asked = {"targetingKey": "invoice-agent", "agent": "invoice-agent", "environment": "prod"}
    assert stub.flags_asked == [{**asked, "approval": "APR-1", "tool": "refund"}] * 2
    assert "does not know this approval" in str(refused(guard, approval="APR-2"))
    stub.flags = lambda context: b'{"value": true}'
    assert "could not be asked" in str(refused(guard, approval="APR-1"))
    guard.check(action="read")


@pytest.mark.parametrize("later", [trip("trip_2", "off"), trip("trip_2", "read_only")])
def test_a_trip_that_comes_while_the_approval_is_asked_for_wins(stub, start, later):
    stub.answer = (200, grant(trip(mode="approval")))
    guard = start()
    until(lambda: guard.status().streaming)

    def approve(context):
        stub.answer = (200, grant(trip(mode="approval"), later, digest="d1"))
        stub.events.append(state(trip(mode="approval"), later, digest="d1"))
        until(lambda: guard.status().digest == "d1")
        return True

    stub.flags = approve
    assert refused(guard, tool="refund", approval="APR-1").cause == "trip"


def test_a_throttle_makes_a_check_wait_for_its_turn(stub, start):
    stub.answer = (200, grant(trip(mode="throttle", throttle_per_minute=240)))
    guard = start()
    began = time.monotonic()
    for _ in range(3):
        guard.check(action="write")
    assert 0.49 < time.monotonic() - began < 10


def test_or_raises_with_the_time_to_wait(stub, start):
    stub.answer = (200, grant(trip(mode="throttle")))
    guard = start(throttled="raise")
    guard.check(action="read")
    stopped = refused(guard)
    assert (stopped.cause, stopped.mode) == ("throttled", "throttle")
    assert 5 < stopped.retry_after_s <= 10


def test_who_waits_under_a_throttle_is_stopped_by_a_trip(stub, start):
    stub.answer = (200, grant(trip(mode="throttle", throttle_per_minute=1)))
    guard = start()
    guard.check(action="write")
    until(lambda: guard.status().streaming)

    def stop_it():
        stub.answer = (200, grant(trip("trip_2"), digest="d1"))
        stub.events.append(state(trip("trip_2"), digest="d1"))

    threading.Timer(0.1, stop_it).start()
    assert refused(guard).trip == "trip_2"


async def test_the_async_guard_waits_and_asks_without_blocking_the_loop(stub):
    stub.answer = (
        200,
        grant(trip("trip_1", "throttle", throttle_per_minute=240), trip("trip_2", "approval")),
    )
    stub.before_answer = lambda: time.sleep(0.2)

    def approve(context):
        before = turns
        time.sleep(0.2)
        turns_meanwhile.append(turns - before)
        return True

    stub.flags = approve
    turns, turns_meanwhile = 0, []

    async def turn():
        nonlocal turns
        while True:
            await asyncio.sleep(0.01)
            turns += 1

    async with AsyncGuard(stub.url, agent="a") as guard:
        turning = asyncio.create_task(turn())
        for _ in range(2):
            await guard.check(action="write", tool="refund", approval="APR-1")
        turning.cancel()
    assert len(turns_meanwhile) == 2, "an approval was asked about while the pace was waited for"
    assert min(turns_meanwhile) >= 2
