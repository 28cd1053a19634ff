"""Answers are taken strictly: what is not understood is no answer, or the strictest one."""

import json

import pytest
from auditfuse_client.answers import AnswerError, read_flag, read_grant, read_state
from hypothesis import given
from hypothesis import strategies as st
from support.lease_stub import grant, state, trip


def granted(*trips, **fields):
    return read_grant(json.dumps(grant(*trips, **fields)).encode())


def test_a_grant_is_read():
    taken = granted(trip("trip_7", "throttle", "Refund"), digest="d7")
    assert (taken.lease_s, taken.renew_s, taken.told.digest) == (15.0, 5.0, "d7")
    assert taken.told.trips == (("trip_7", "throttle", "refund", 6),)


@pytest.mark.parametrize(
    "newer",
    [
        trip(mode="quarantine"),
        trip(mode="on"),
        trip(mode=None),
        trip(mode="read_only", only_after_ms=5),
        {**trip(mode="read_only"), "selector": {"tool": None, "principal": "x"}},
        trip(mode="throttle", throttle_per_minute=None),
        trip(mode="throttle", throttle_per_minute=0),
        trip(mode="throttle", throttle_per_minute=True),
        trip(mode="throttle", throttle_per_minute=0.5),
    ],
)
def test_a_trip_that_is_not_fully_understood_is_off(newer):
    assert [one.mode for one in granted(newer).told.trips] == ["off"]


def test_a_newer_server_may_say_more_beside_the_trips():
    assert granted(trip(), enforced_by="clients").told.trips[0].id == "trip_1"


@pytest.mark.parametrize(
    "garbage",
    [
        b"",
        b"<html>",
        b"[]",
        b"null",
        b"\xff",
        b"[" * 100_000,
        json.dumps(state()).encode(),
        json.dumps(grant(lease_s=0)).encode(),
        json.dumps(grant(lease_s=-1)).encode(),
        json.dumps(grant(lease_s=301)).encode(),
        json.dumps(grant(lease_s=10**400)).encode(),
        json.dumps(grant(lease_s=float("nan"))).encode(),
        json.dumps(grant(lease_s=float("inf"))).encode(),
        json.dumps(grant(lease_s=True)).encode(),
        json.dumps(grant(lease_s="15")).encode(),
        json.dumps(grant(renew_s=15)).encode(),
        json.dumps(grant(digest="")).encode(),
        json.dumps(grant(digest=7)).encode(),
        json.dumps({**grant(), "trips": None}).encode(),
        json.dumps(grant("trip_1")).encode(),  # type: ignore[arg-type]  (a server that errs)
        json.dumps(grant({**trip(), "selector": None})).encode(),
        json.dumps(grant({**trip(), "selector": {"tool": 7}})).encode(),
        json.dumps(grant({**trip(), "id": None})).encode(),
    ],
    ids=lambda body: repr(body[:40]),
)
def test_garbage_is_no_answer(garbage):
    with pytest.raises(AnswerError):
        read_grant(garbage)


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)


@given(st.fixed_dictionaries({}, optional=dict.fromkeys(grant(), values)))
def test_no_answer_of_any_shape_breaks_the_reader(answer):
    for read in (read_grant, read_state):
        try:
            read(json.dumps(answer).encode())
        except AnswerError:
            continue


@pytest.mark.parametrize(
    "answer",
    [
        {"key": "agent.write", "value": 1},
        {"key": "agent.write", "value": "true"},
        {"key": "agent.external", "value": True},
        {"value": True},
        {"errorCode": "GENERAL"},
    ],
)
def test_only_a_plain_yes_to_the_flag_asked_for_is_a_yes(answer):
    with pytest.raises(AnswerError):
        read_flag(json.dumps(answer).encode(), "agent.write")
    assert read_flag(b'{"key": "agent.write", "value": true}', "agent.write") is True
