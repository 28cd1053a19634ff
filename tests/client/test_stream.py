"""What the stream of changes may do to a guard: nothing but tighten, and be acknowledged."""

import threading
import time

import pytest
from support.killswitch import until
from support.lease_stub import grant, refused, state, trip


def test_the_stream_gives_no_lease(stub, start):
    stub.answer = (500, b"")
    stub.events = [state(digest="d1")]
    guard = start()
    until(lambda: guard.status().digest == "d1")
    assert refused(guard).cause == "no lease"


def test_an_answer_that_crossed_a_trip_does_not_lift_it(stub, start):
    crossing, may_answer = threading.Event(), threading.Event()
    stub.answer = (200, grant(lease_s=15, renew_s=0.2))
    guard = start()
    guard.check(action="write")
    until(lambda: guard.status().streaming)

    def cross():
        crossing.set()
        may_answer.wait(10)

    stub.before_answer = cross  # the next request is answered as if the trip were not there
    crossing.wait(10)
    stub.events.append(state(trip(), digest="d1"))
    until(lambda: refused(guard) is not None)
    stub.answer = (200, grant(trip(), digest="d1", renew_s=0.2))
    stub.before_answer = lambda: None
    count = len(stub.asked)
    may_answer.set()
    while len(stub.asked) < count + 2:
        assert refused(guard) is not None
    assert stub.acknowledged[-1] == "d1"


def test_each_event_is_acknowledged_at_once(stub, start):
    guard = start()
    until(lambda: guard.status().streaming)
    stub.answer = (200, grant(trip(), digest="d1"))
    stub.events.append(state(trip(), digest="d1"))
    until(lambda: stub.acknowledged[-1] == "d1", 3.0)  # far below renew_s


def test_a_trip_that_a_renewal_brings_is_acknowledged_at_once(stub, start):
    stub.answer = (200, grant(trip(), digest="d1"))
    start(stream=False)
    until(lambda: stub.acknowledged == [None, "d1"], 3.0)  # far below renew_s


def test_an_event_that_changes_nothing_here_waits_for_the_next_renewal(stub, start):
    guard = start()
    guard.check(action="write")
    until(lambda: guard.status().streaming)
    stub.events.append(state(digest="d1"))
    until(lambda: guard.status().digest == "d1")
    time.sleep(0.1)
    assert stub.acknowledged == [None]


@pytest.mark.parametrize("body", [b"data: <html>", b"data: {}", b'data: {"digest": "d", "trips": [7]}'])
def test_garbage_on_the_stream_changes_nothing(stub, start, body):
    stub.stream = lambda write: write(b"event: state\n" + body + b"\n\n")
    guard = start()
    until(lambda: refused(guard) is None)
    time.sleep(0.05)
    assert guard.status().trips == ()


def test_a_cut_stream_is_opened_again(stub, start):
    turns = iter(range(2))
    whole = stub.stream
    stub.stream = lambda write: whole(write) if next(turns, None) is None else None
    guard = start()
    until(lambda: stub.streams == 1 and guard.status().streaming)
