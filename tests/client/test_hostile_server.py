"""A guard against a server that errs, lies, hangs or is newer: a stand-in, the real one does neither."""

import json
import threading
import time

import pytest
from auditfuse_client import Guard
from support.killswitch import until
from support.lease_stub import grant, refused, state, trip


@pytest.mark.parametrize(
    ("status", "body", "said"),
    [
        (500, b"oops", "the server answered 500"),
        (401, b"{}", "does not take this token"),
        (403, b"{}", "does not take this token"),
        (503, b"{}", "the server answered 503"),
        (302, b"", "the server answered 302"),
        (200, b"<html>", "not JSON"),
        (200, b"{}", "no lease_s"),
        (200, json.dumps(grant(lease_s=1e9)).encode(), "no lease_s"),
        (200, json.dumps(state()).encode(), "no lease_s"),
        (200, b"[" + b" " * (5 << 20) + b"]", "more than 4 MiB"),
    ],
    ids=lambda value: repr(value)[:30],
)
def test_no_answer_but_a_right_one_gives_a_lease(stub, start, status, body, said):
    stub.answer = (status, body)
    guard = start()
    stopped = refused(guard)
    assert (stopped.cause, stopped.mode) == ("no lease", "read_only")
    assert said in guard.status().last_error
    assert said in str(stopped)
    assert not guard.status().leased


def test_wrong_answers_extend_no_lease_and_right_ones_do_again(stub, start):
    stub.answer = (200, grant(lease_s=0.6, renew_s=0.2))
    guard = start()
    guard.check(action="write")
    stub.answer = (500, b"")
    until(lambda: refused(guard) is not None)
    assert -3 < guard.status().lease_left_s <= 0
    stub.answer = (200, grant())
    until(lambda: refused(guard) is None)
    assert guard.status().last_error is None


def test_before_the_first_answer_a_check_waits_for_it(stub, start):
    stub.before_answer = lambda: time.sleep(0.3)
    guard = start()
    began = time.monotonic()
    guard.check(action="write")
    assert time.monotonic() - began > 0.25


def test_an_event_that_comes_before_the_first_answer_does_not_pass_for_it(stub, start):
    stub.before_answer = lambda: time.sleep(0.3)
    stub.events = [state()]
    guard = start()
    until(lambda: guard.status().digest == "d0")
    assert not guard.status().leased
    guard.check(action="write")


@pytest.mark.parametrize("host", ["a..b", "x" * 70, "nowhere.invalid"])
def test_a_host_that_cannot_be_found_fails_closed_and_goes_on_trying(host):
    with Guard(f"http://{host}:8420", agent="a", first_wait_s=5) as guard:
        assert refused(guard).cause == "no lease"
        assert guard.status().last_error
        assert any(thread.name == "auditfuse-lease" for thread in threading.enumerate())


def test_nobody_there_is_known_at_once_and_fails_closed(stub):
    stub.stop()
    with Guard(stub.url, agent="invoice-agent", first_wait_s=20) as guard:
        began = time.monotonic()
        stopped = refused(guard)
        assert time.monotonic() - began < 10
        assert (stopped.cause, stopped.mode) == ("no lease", "read_only")
        assert refused(guard, "external") is not None
        guard.check(action="read")
    with Guard(stub.url, agent="invoice-agent", reads="deny") as guard:
        stopped = refused(guard, "read")
        assert (stopped.cause, stopped.mode) == ("no lease", "off")


def test_an_ended_lease_does_not_open_what_was_off(stub, start):
    stub.answer = (200, grant(trip(mode="off"), lease_s=0.3, renew_s=0.1))
    guard = start()
    assert refused(guard, "read").cause == "trip"
    stub.answer = (500, b"")
    until(lambda: not guard.status().leased)
    assert refused(guard, "read").cause == "trip"


def test_a_server_that_hangs_holds_no_check_and_no_lease(stub, start):
    stub.answer = (200, grant(lease_s=0.5, renew_s=0.1))
    guard = start(timeout_s=0.2)
    guard.check(action="write")
    hang = threading.Event()
    stub.before_answer = lambda: hang.wait(10)
    until(lambda: refused(guard) is not None)
    began = time.monotonic()
    for _ in range(100):
        refused(guard)
    assert time.monotonic() - began < 2
    assert guard.status().last_error == "no answer within 0.2 s"
    stub.before_answer = lambda: None
    hang.set()
    until(lambda: refused(guard) is None)


def test_a_late_answer_gives_what_is_left_of_the_lease(stub, start):
    stub.answer = (200, grant(lease_s=1.0, renew_s=0.9))
    stub.before_answer = lambda: time.sleep(0.6)
    guard = start()
    guard.check(action="write")
    assert guard.status().lease_left_s < 0.4


def test_one_connection_carries_all_renewals(stub, start):
    stub.answer = (200, grant(lease_s=1, renew_s=0.02))
    start(stream=False)
    until(lambda: len(stub.asked) > 10)
    assert stub.connections == 1


def test_a_connection_that_was_closed_while_idle_costs_no_renewal(stub, start, caplog):
    stub.answer = (200, grant(lease_s=1, renew_s=0.02))
    stub.hangs_up = True
    start(stream=False)
    until(lambda: len(stub.asked) > 10)
    assert "not heard" not in caplog.text


def test_the_newer_server_and_its_unknown_mode_stop_the_agent(stub, start):
    stub.answer = (200, grant(trip(mode="quarantine")))
    assert refused(start(), "read").mode == "off"


def test_the_goodbye_names_the_client(stub, start):
    guard = start()
    guard.check(action="write")
    client = guard.status().client
    guard.close()
    assert stub.goodbyes == [client]


def test_closing_does_not_wait_for_a_server_that_hangs(stub, start):
    guard = start()
    guard.check(action="write")
    hang = threading.Event()
    stub.before_answer = lambda: hang.wait(10)
    began = time.monotonic()
    guard.close()
    assert time.monotonic() - began < 5
    hang.set()


def test_the_token_is_sent_and_may_come_from_the_environment(stub, start, monkeypatch):
    start(token="one").check(action="write")
    monkeypatch.setenv("AUDITFUSE_TOKEN", "two")
    start().check(action="write")
    assert {*stub.authorizations} >= {"Bearer one", "Bearer two"}


@pytest.mark.parametrize(
    ("url", "options"),
    [
        ("ftp://host", {}),
        ("127.0.0.1:8420", {}),
        ("http://", {}),
        ("http://name:secret@127.0.0.1:8420", {}),
        ("http://127.0.0.1:8420?x=1", {}),
        ("http://auditfuse.example:8420", {"token": "secret"}),
        ("http://127.0.0.1:8420", {"token": "secret\r\nx: y"}),
        ("http://127.0.0.1:8420", {"agent": " "}),
        ("http://127.0.0.1:8420", {"agent": "secret" * 100}),
        ("http://127.0.0.1:8420", {"version": "\ud800"}),
        ("http://127.0.0.1:8420", {"reads": "maybe"}),
        ("http://127.0.0.1:8420", {"throttled": "maybe"}),
        ("http://127.0.0.1:8420", {"timeout_s": 0}),
    ],
)
def test_options_that_cannot_work_are_refused_and_no_token_is_shown(url, options):
    with pytest.raises(ValueError) as found:
        Guard(url, **{"agent": "a", **options})
    assert "secret" not in str(found.value)
