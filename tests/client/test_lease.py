"""A lease runs from the sending of its request; only a lease answer loosens; crossings never do."""

import sys
import time

import pytest
from auditfuse_client.answers import Grant, Told
from auditfuse_client.decision import Trip
from auditfuse_client.lease import MAX_STREAMED, Lease, boottime_s
from auditfuse_client.pace import Pace
from hypothesis import given
from hypothesis import strategies as st

OFF = Trip("trip_1", "off", None, None)
READ_ONLY = Trip("trip_2", "read_only", None, None)


def told(digest, *trips):
    return Told("host", digest, trips)


def grant(digest, *trips, lease_s=15.0):
    return Grant(told(digest, *trips), lease_s, 5.0)


def test_a_lease_counts_from_the_sending_of_its_request():
    assert Lease().after_grant(grant("d0"), sent_s=100.0).until_s == 115.0


def test_the_stream_tightens_and_never_extends():
    lease = Lease().after_grant(grant("d0"), 100.0).after_event(told("d1", OFF), 103.0)
    assert (lease.until_s, lease.trips, lease.digest) == (115.0, (OFF,), "d1")


def test_an_answer_that_crossed_the_event_does_not_lift_its_trip():
    lease = Lease().after_grant(grant("d0"), 100.0).after_event(told("d1", OFF), 105.1)
    crossed = lease.after_grant(grant("d0"), 105.0)
    assert (crossed.trips, crossed.digest, crossed.until_s) == ((OFF,), "d1", 120.0)
    assert crossed.after_grant(grant("d0"), 105.2).trips == ()


def test_the_stream_never_loosens():
    lease = Lease().after_grant(grant("d1", OFF), 100.0).after_event(told("d2"), 101.0)
    assert lease.trips == (OFF,)
    assert lease.after_grant(grant("d2"), 101.1).trips == ()


def test_several_events_add_up_until_an_answer():
    lease = Lease().after_event(told("d1", OFF), 1.0).after_event(told("d2", READ_ONLY), 2.0)
    assert (lease.trips, lease.digest) == ((OFF, READ_ONLY), "d2")
    assert lease.until_s == float("-inf")


def test_more_trips_than_are_kept_stop_everything():
    many = tuple(Trip(f"trip_{n}", "throttle", "other", 6) for n in range(MAX_STREAMED + 1))
    assert [trip.mode for trip in Lease().after_event(told("d1", *many), 1.0).trips] == ["off"]


moves = st.lists(
    st.tuples(st.sampled_from(["grant", "event"]), st.floats(0.0, 3.0), st.sets(st.sampled_from("abc"))),
    max_size=12,
)


@given(moves)
def test_a_trip_heard_is_enforced_until_an_answer_sent_later_leaves_it_out(history):
    """A model of what must hold, beside the code: every trip and when it was heard last."""
    lease, heard, now_s = Lease(), {}, 0.0
    for kind, delay_s, names in history:
        now_s += 1.0
        trips = tuple(Trip(name, "off", None, None) for name in sorted(names))
        if kind == "grant":
            sent_s = now_s - delay_s
            lease = lease.after_grant(grant("d", *trips), sent_s)
            heard = {name: s for name, s in heard.items() if s[0] == "event" and s[1] >= sent_s}
        else:
            lease = lease.after_event(told("d", *trips), now_s)
        heard |= dict.fromkeys(names, (kind, now_s))
        assert heard.keys() <= {trip.id for trip in lease.trips}


def test_the_clock_is_the_one_that_counts_sleep():
    assert sys.platform != "linux" or abs(boottime_s() - time.clock_gettime(time.CLOCK_BOOTTIME)) < 1


def test_the_wall_clock_is_never_looked_at(monkeypatch):
    monkeypatch.setattr(time, "time", lambda: pytest.fail("the wall clock was looked at"))
    monkeypatch.setattr(time, "time_ns", lambda: pytest.fail("the wall clock was looked at"))
    assert boottime_s() <= boottime_s()


def test_the_pace_is_even_and_counts_each_trip():
    pace, six, one = Pace(), Trip("a", "throttle", None, 6), Trip("b", "throttle", "refund", 1)
    assert pace.take([six, one], 100.0) == 0
    assert pace.take([six], 105.0) == pytest.approx(5.0)
    assert pace.take([six], 110.0) == 0
    assert pace.take([six, one], 120.0) == pytest.approx(40.0)
    assert pace.take([six], 120.0) == 0, "what was refused took nothing"


@given(st.integers(1, 600), st.lists(st.floats(0, 30), max_size=200))
def test_no_minute_has_more_actions_than_the_trip_leaves(per_minute, gaps):
    pace, now_s, taken = Pace(), 0.0, []
    for gap_s in gaps:
        now_s += gap_s
        if pace.take([Trip("a", "throttle", None, per_minute)], now_s) == 0:
            taken.append(now_s)
    for began in taken:
        assert sum(began <= at < began + 59.999 for at in taken) <= per_minute
