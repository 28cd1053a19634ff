"""Actuators over real HTTP and real programs: told of every change, acknowledged, retried, never assumed."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from pydantic import ValidationError
from support.actuators import SECRET, hook, webhook_options
from support.killswitch import FakeControl, running_switch, until

from pipeline.errors import ConfigError
from pipeline.killswitch.actuators.config import ActuatorConfig
from pipeline.killswitch.actuators.order import signature
from pipeline.killswitch.actuators.run import Actuators
from pipeline.killswitch.state import DRILL_ENVIRONMENT
from schemas.command import Selector

RECEIVER = Path(__file__).parents[2] / "docs" / "actuator_receiver.py"


@pytest.fixture(autouse=True)
def secret(monkeypatch):
    monkeypatch.setenv("HOOK_SECRET", SECRET)


@pytest.fixture
def gateway():
    with hook() as one:
        yield one


@pytest.fixture
def start(tmp_path):
    """Starts a switch with actuators over one journal; what it was before is stopped first."""
    control, running = FakeControl(), []

    def stop():
        while running:
            context, actuators = running.pop()
            actuators.stop()
            context.__exit__(None, None, None)

    def begin(*options, tell=None):
        stop()
        context = running_switch(tmp_path / "journal", control, actuators=options)
        switch = context.__enter__()
        actuators = Actuators(switch, tell=tell)
        actuators.start()
        running.append((context, actuators))
        until(lambda: switch.caught_up)
        return switch, actuators

    begin.stop = stop
    yield begin
    stop()


def trip(switch, agent="invoice-agent", mode="off", **more):
    selector = Selector(agent=agent, environment=more.pop("environment", None))
    return switch.trip(selector, mode, by="alice", reason="pays twice", **more).id


def lift(switch, trip_id, mode="on"):
    request = switch.request_reset([trip_id], by="alice", reason="fixed", mode=mode)
    approval = switch.approve_reset(request.id, by="bob", reason="checked")
    assert switch.wait_sealed(approval.id, 5)


def test_a_trip_and_its_lift_are_posted_signed_and_acknowledged(start, gateway):
    switch, actuators = start(webhook_options(gateway))
    one = trip(switch)
    until(lambda: actuators.standing(one) == [("gateway", "enforced")])
    reports = switch.status().trips[0].enforcement.reports
    assert [(r.source, r.verdict) for r in reports] == [("actuator gateway", "enforced")]
    lift(switch, one)
    until(lambda: actuators.statuses() == [])
    tightened, loosened = gateway.orders
    assert (tightened["command"], tightened["mode"], tightened["trip"]) == ("tighten", "off", one)
    assert tightened["in_force"] == [{"trip": one, "mode": "off", "selector": tightened["selector"]}]
    assert (loosened["command"], loosened["mode"], loosened["in_force"]) == ("loosen", "on", [])
    assert tightened["id"] != loosened["id"]
    _, _, headers, body = gateway.requests[0]
    timestamp_s = int(headers["auditfuse-timestamp"])
    assert abs(time.time() - timestamp_s) < 10
    assert headers["auditfuse-signature"] == signature(SECRET.encode(), timestamp_s, body)


def test_a_release_names_what_still_holds(start, gateway):
    switch, actuators = start(webhook_options(gateway))
    one, everything = trip(switch), trip(switch, agent=None)
    until(lambda: len(actuators.statuses()) == 2)
    lift(switch, everything)
    until(lambda: gateway.orders[-1]["command"] == "loosen")
    assert [held["trip"] for held in gateway.orders[-1]["in_force"]] == [one]


def test_only_modes_and_agents_that_it_acts_on(start, gateway):
    switch, actuators = start(webhook_options(gateway, agents=["invoice-*"], environments=["prod"]))
    trip(switch, agent="other")
    trip(switch, environment="staging")
    trip(switch, mode="read_only")
    trip(switch, environment=DRILL_ENVIRONMENT)
    hard = trip(switch, agent="Invoice-agent", environment="Prod")
    until(lambda: actuators.standing(hard) == [("gateway", "enforced")])
    lift(switch, hard, mode="read_only")
    until(lambda: len(gateway.orders) == 2)
    assert [(o["trip"], o["command"]) for o in gateway.orders] == [(hard, "tighten"), (hard, "loosen")]


def test_what_fails_is_retried_under_one_id_and_counts_as_not_enforced_meanwhile(start, gateway):
    told = []
    gateway.last = (503, {}, b"")
    options = webhook_options(gateway, failed_after_attempts=3)
    switch, actuators = start(options, tell=told.append)
    one = trip(switch)
    assert actuators.standing(one) in ([], [("gateway", "asked")])
    until(lambda: actuators.standing(one) == [("gateway", "not enforced")])
    until(lambda: switch.status().trips[0].enforcement.state == "not enforced")
    assert [notice.title for notice in told] == [
        "invoice-agent: NOT put to off by the actuator gateway: it answered 503"
    ]
    gateway.last = (204, {}, b"")
    until(lambda: actuators.standing(one) == [("gateway", "enforced")])
    assert len({order["id"] for order in gateway.orders}) == 1
    assert [order["attempt"] for order in gateway.orders] == list(range(1, len(gateway.orders) + 1))


def test_an_actuator_that_hangs_delays_neither_serving_nor_another(start, gateway):
    with hook() as hanging:
        hanging.hold.clear()
        slow = webhook_options(hanging, name="slow", timeout_s=20, failed_after_s=0.2)
        switch, actuators = start(slow, webhook_options(gateway))
        first = trip(switch, agent="first")
        until(lambda: bool(hanging.orders))
        began_s = time.monotonic()
        second = trip(switch, agent="second")
        assert time.monotonic() - began_s < 0.7
        assert len(switch.state.in_force) == 2
        until(lambda: ("gateway", "enforced") in actuators.standing(second))
        # Asked, though the attempt of another trip still hangs: never silently assumed.
        until(lambda: dict(actuators.standing(second))["slow"] in ("asked", "not enforced"))
        until(lambda: dict(actuators.standing(first))["slow"] == "not enforced")


def test_a_promise_is_followed_to_its_end(start, gateway):
    gateway.answers = [
        (202, {}, b'{"status_url": "/status/1"}'),
        (200, {}, b'{"state": "pending"}'),
        (200, {}, b'{"state": "failed"}'),
        (202, {}, b'{"status_url": "/status/2"}'),
        (200, {}, b'{"state": "enforced"}'),
    ]
    switch, actuators = start(webhook_options(gateway))
    one = trip(switch)
    until(lambda: actuators.standing(one) == [("gateway", "enforced")])
    assert [path for method, path, _, _ in gateway.requests if method == "GET"] == [
        "/status/1", "/status/1", "/status/2",
    ]  # fmt: skip
    _, _, headers, _ = gateway.requests[1]
    assert headers["auditfuse-signature"] == signature(
        SECRET.encode(), int(headers["auditfuse-timestamp"]), b""
    )


@pytest.mark.parametrize("body", [b"", b'{"status_url": "http://localhost:1/elsewhere"}'])
def test_a_promise_that_cannot_be_asked_about_is_unknown(start, gateway, body):
    gateway.last = (202, {}, body)
    switch, actuators = start(webhook_options(gateway))
    one = trip(switch)
    until(lambda: actuators.standing(one) == [("gateway", "unknown")])
    assert {method for method, *_ in gateway.requests} == {"POST"}


def test_a_redirect_is_a_failure_and_is_not_followed(start, gateway):
    with hook() as elsewhere:
        gateway.last = (307, {"location": elsewhere.url}, b"")
        switch, actuators = start(webhook_options(gateway, failed_after_attempts=1))
        one = trip(switch)
        until(lambda: actuators.standing(one) == [("gateway", "not enforced")])
        assert elsewhere.requests == []


def test_a_restart_releases_what_was_lifted_meanwhile(start, gateway):
    switch, actuators = start(webhook_options(gateway))
    one, kept = trip(switch), trip(switch, agent="kept")
    until(lambda: len([s for s in actuators.statuses() if s.state == "enforced"]) == 2)
    switch, _ = start()  # a server without the actuator's configuration
    lift(switch, one)
    before = len(gateway.orders)
    switch, actuators = start(webhook_options(gateway))
    until(lambda: len(gateway.orders) > before)
    until(lambda: [(s.trip, s.state) for s in actuators.statuses()] == [(kept, "enforced")])
    assert [(o["trip"], o["command"]) for o in gateway.orders[before:]] == [(one, "loosen")]


def test_a_trip_that_the_switch_has_forgotten_is_not_released(start, gateway, tmp_path):
    switch, actuators = start(webhook_options(gateway))
    one = trip(switch)
    until(lambda: actuators.standing(one) == [("gateway", "enforced")])
    path = tmp_path / "journal" / "actuators" / "gateway.json"
    start.stop()
    path.write_bytes(path.read_bytes().replace(one.encode(), b"trip_00000000"))
    _, actuators = start(webhook_options(gateway))
    until(lambda: dict(actuators.standing("trip_00000000")) == {"gateway": "unknown"})
    assert all(order["command"] == "tighten" for order in gateway.orders)


def test_a_command_gets_the_order_on_standard_input(start, tmp_path, monkeypatch):
    monkeypatch.setenv("AUDITFUSE_SECRET_OF_OURS", "x")
    monkeypatch.setenv("CLUSTER", "blue")
    script = (
        "import json, os, sys; order = json.load(sys.stdin); "
        f"open({str(tmp_path / 'out')!r}, 'a').write("
        "json.dumps([order['command'], order['mode'], sorted(os.environ)]) + '\\n'); "
        f"sys.exit(0 if os.path.exists({str(tmp_path / 'ok')!r}) else 3)"
    )
    switch, actuators = start(
        {
            "name": "scale", "kind": "command", "argv": [sys.executable, "-S", "-c", script],
            "pass_env": ["CLUSTER"], "backoff_first_s": 0.05, "failed_after_attempts": 2,
        }
    )  # fmt: skip
    one = trip(switch)
    until(lambda: actuators.standing(one) == [("scale", "not enforced")])
    assert actuators.statuses()[0].detail == "exit status 3"
    (tmp_path / "ok").touch()
    until(lambda: actuators.standing(one) == [("scale", "enforced")])
    lift(switch, one)
    until(lambda: actuators.statuses() == [])
    lines = [json.loads(line) for line in (tmp_path / "out").read_text().splitlines()]
    assert lines[0][:2] == ["tighten", "off"]
    assert lines[-1][:2] == ["loosen", "on"]
    assert "CLUSTER" in lines[0][2]
    assert not any("AUDITFUSE" in name or "SECRET" in name for name in lines[0][2])


def test_a_command_that_hangs_is_killed_with_its_children(start, tmp_path):
    pid_file = tmp_path / "pid"
    argv = ["sh", "-c", f"sleep 600 & echo $! > {pid_file}; wait"]
    switch, actuators = start(
        {"name": "hangs", "kind": "command", "argv": argv, "timeout_s": 0.3, "failed_after_attempts": 1}
    )
    one = trip(switch)
    until(lambda: actuators.standing(one) == [("hangs", "not enforced")])
    assert "killed after 0.3 s" in actuators.statuses()[0].detail
    until(lambda: not _is_running(int(pid_file.read_text())))


def _is_running(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


CHILD = """
import sys, time
from pathlib import Path
from support.killswitch import FakeControl, running_switch, until
from pipeline.killswitch.actuators.run import Actuators
from support.actuators import webhook_options
from schemas.command import Selector
class H: url = sys.argv[2]
with running_switch(Path(sys.argv[1]), FakeControl(), actuators=[webhook_options(H())]) as switch:
    actuators = Actuators(switch)
    actuators.start()
    switch.trip(Selector(agent="a"), "off", by="alice", reason="r")
    time.sleep(60)
"""


def test_a_server_killed_during_an_attempt_asks_again_and_can_release(start, gateway, tmp_path):
    gateway.hold.clear()
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parents[1])}
    journal = tmp_path / "journal"
    child = subprocess.Popen([sys.executable, "-c", CHILD, str(journal), gateway.url], env=environment)
    try:
        until(lambda: bool(gateway.orders), 20)
    finally:
        child.send_signal(signal.SIGKILL)
        child.wait()
    gateway.hold.set()
    # Its record of `_control` died with it: the trip is in the journal alone, and so is what was asked.
    switch, actuators = start(webhook_options(gateway))
    [one] = [trip.command.id for trip in switch.state.in_force]
    until(lambda: actuators.standing(one) == [("gateway", "enforced")])
    assert len({order["id"] for order in gateway.orders}) == 1
    lift(switch, one)
    until(lambda: actuators.statuses() == [])
    assert gateway.orders[-1]["command"] == "loosen"


def test_the_receiver_of_the_docs_verifies_and_runs(start, tmp_path):
    out = tmp_path / "out"
    environment = os.environ | {"AUDITFUSE_ACTUATOR_SECRET": SECRET}
    command = [sys.executable, str(RECEIVER), "--port", "0", "--", "sh", "-c", f"cat >> {out}; echo >> {out}"]
    receiver = subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True)
    try:
        port = int(receiver.stderr.readline().rpartition(" ")[2])

        class Hook:
            url = f"http://127.0.0.1:{port}/"

        good = webhook_options(Hook(), timeout_s=10)
        switch, actuators = start(good)
        one = trip(switch)
        until(lambda: actuators.standing(one) == [("gateway", "enforced")], 15)
        assert json.loads(out.read_text().splitlines()[0])["trip"] == one
        os.environ["HOOK_SECRET"] = "another secret of sixteen bytes"  # the fixture puts it back
        switch, actuators = start(good | {"failed_after_attempts": 1})
        other = trip(switch, agent="other")
        until(lambda: ("gateway", "not enforced") in actuators.standing(other))
        assert [s.detail for s in actuators.statuses() if s.trip == other] == ["it answered 401"]
    finally:
        receiver.kill()
        receiver.communicate()


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"url": "http://gateway.example/hook"}, "https"),
        ({"url": "https://user:pass@gateway.example/"}, "without a user"),
        ({"url": None}, "needs url"),
        ({"secret_env": None}, "exactly one of secret_env"),
        ({"kind": "command"}, "needs argv"),
        ({"argv": ["x"]}, "neither argv"),
    ],
)
def test_a_wrong_actuator_is_named(gateway, change, text):
    with pytest.raises(ValidationError, match=text):
        ActuatorConfig.model_validate(webhook_options(gateway) | change)


def test_a_secret_that_is_missing_or_short_is_named(gateway, tmp_path):
    short = tmp_path / "secret"
    short.write_text("short")
    options = webhook_options(gateway) | {"secret_env": None, "secret_file": str(short)}
    with pytest.raises(ConfigError, match="at least 16 bytes"):
        ActuatorConfig.model_validate(options).secret()
    with pytest.raises(ConfigError, match="NOT_SET"):
        ActuatorConfig.model_validate(webhook_options(gateway, secret_env="NOT_SET")).secret()
