"""Drills against a running server: real connections, a scope of their own, and what is remembered of them."""

import json
import time

import httpx
import pytest
from support.killswitch import FakeControl, operator_headers, running_switch, served, until
from typer.testing import CliRunner

from pipeline.commands.killswitch import app
from pipeline.killswitch import drill
from pipeline.killswitch.config import KillSwitchConfig
from pipeline.killswitch.drill import ClientMeasure, DrillResult, judge, keep, last_good_drill, load, overdue
from pipeline.killswitch.drill_run import DrillError
from pipeline.killswitch.state import DRILL_ENVIRONMENT, Context
from schemas.command import Selector

CONFIG = KillSwitchConfig()


def measure(name="flags-1", kind="flags", last_action_ms=20.0, allowed_again_ms=3000.0):
    return ClientMeasure(
        name=name, kind=kind, last_action_ms=last_action_ms, allowed_again_ms=allowed_again_ms
    )


def result(trip="trip_1", at_ms=1_000, good=True):
    return DrillResult(
        trip=trip, at_ms=at_ms, by="alice", agent="drill-fleet", good=good, why="" if good else "slow",
        enforcement="enforced", clients=[measure()],
    )  # fmt: skip


@pytest.fixture
def control():
    return FakeControl()


@pytest.fixture
def switch(tmp_path, control):
    with running_switch(tmp_path / "journal", control, lease_s=3, renew_s=0.5) as switch:
        yield switch


@pytest.fixture
def run(tmp_path, monkeypatch, switch):
    monkeypatch.delenv("AUDITFUSE_TOKEN", raising=False)
    monkeypatch.setattr("pipeline.logs.configure_logs", lambda config: None)
    with served(switch) as server:
        text = f'data_dir = "{tmp_path}"\n[killswitch]\njournal = "{tmp_path / "journal"}"\n'
        text += f"port = {server.port}\nrenew_s = 0.5\nlease_s = 3\n[redaction]\nenabled = false\n"
        (tmp_path / "auditfuse.toml").write_text(text)

        def invoke(*arguments):
            outcome = CliRunner().invoke(app, [*arguments, "--config", str(tmp_path / "auditfuse.toml")])
            if outcome.exception is not None and not isinstance(outcome.exception, SystemExit):
                raise outcome.exception
            return outcome

        invoke.url = server.url
        yield invoke


def test_a_drill_measures_every_kind_of_client_and_is_remembered(run, switch, control, tmp_path):
    assert "there was no good drill yet" in run("status").stdout
    seen = []
    real = Context()  # an agent that says nothing of itself: covered by every other trip
    switch.subscribe(lambda: seen.append(switch.state.matching(real)))
    outcome = run("drill", "--agent", "drill-month", "--seconds", "2", "--by", "alice", "--json")
    measured = json.loads(outcome.stdout)
    assert outcome.exit_code == 0, measured
    assert {one["kind"] for one in measured["clients"]} == {"flags", "stream", "poll"}
    stops = {one["kind"]: one["last_action_ms"] for one in measured["clients"]}
    assert 0 < stops["stream"] < 1000
    assert 0 < stops["flags"] < 1000
    assert stops["poll"] < 1500
    assert all(2000 <= one["allowed_again_ms"] < 12_000 for one in measured["clients"])
    # No agent was stopped, not even that one.
    assert all(not covering for covering in seen)
    kinds = [(row.command, row.by, row.selector and row.selector.environment) for row in control.rows]
    assert kinds == [("trip", "alice", DRILL_ENVIRONMENT), ("expire", "auditfuse", None)]
    assert last_good_drill(tmp_path / "journal").trip == measured["trip"]
    assert "WARNING: the last" not in run("status").stdout
    assert measured["trip"] in run("drill", "--last").stdout
    assert json.loads(run("status", "--json").stdout)["drill_overdue"] is None


def test_without_a_client_that_may_act_there_is_no_drill(run, switch):
    switch.trip(Selector(), "off", by="alice", reason="r")
    drill_run = "pipeline.killswitch.drill_run.JOIN_S"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(drill_run, 0.5)
        with pytest.raises(DrillError, match="may not act before it has begun"):
            run("drill", "--by", "alice")
    assert len(switch.state.in_force) == 1


def test_a_drill_that_was_not_good_says_so_and_is_not_the_last_good_one(run, switch, tmp_path):
    headers = operator_headers(switch)
    began = httpx.post(f"{run.url}/v1/killswitch/drills", json={"by": "alice", "seconds": 1}, headers=headers)
    trip_id = began.json()["command"]["id"]
    slow = {"name": "poll-1", "kind": "poll", "last_action_ms": None, "allowed_again_ms": None}
    url = f"{run.url}/v1/killswitch/drills/{trip_id}/result"
    stored = httpx.post(url, json={"clients": [slow]}, headers=headers).json()
    assert (stored["good"], stored["why"]) == (False, "poll-1 did not stop")
    assert last_good_drill(tmp_path / "journal") is None
    assert "NOT good: poll-1 did not stop" in run("drill", "--last").stdout
    until(lambda: switch.state.in_force == (), 8)


@pytest.mark.parametrize(
    ("path", "order", "status"),
    [
        ("", {"agent": "invoice-agent", "by": "alice"}, 400),
        ("", {"seconds": 9000, "by": "alice"}, 400),
        ("", {}, 400),
        ("/trip_00000000/result", {"clients": []}, 404),
    ],
)
def test_nonsense_is_refused_and_trips_nothing(run, switch, path, order, status):
    url = f"{run.url}/v1/killswitch/drills{path}"
    assert httpx.post(url, json=order, headers=operator_headers(switch)).status_code == status
    assert httpx.post(url, json=order).status_code == 401
    assert switch.state.in_force == ()


def test_only_a_drills_own_trip_takes_a_result(run, switch):
    real = switch.trip(Selector(agent="a"), "off", by="alice", reason="r")
    url = f"{run.url}/v1/killswitch/drills/{real.id}/result"
    assert httpx.post(url, json={"clients": []}, headers=operator_headers(switch)).status_code == 404


@pytest.mark.parametrize(
    ("clients", "enforcement", "why"),
    [
        ([measure()], "unknown", ""),
        ([measure(kind="poll", last_action_ms=5_900)], "enforced", ""),
        ([], "enforced", "no client"),
        ([measure(last_action_ms=None)], "enforced", "did not stop"),
        ([measure(last_action_ms=1_001)], "enforced", "after 1001 ms"),
        ([measure(kind="poll", last_action_ms=6_001)], "enforced", "limit 6000"),
        ([measure(allowed_again_ms=None)], "enforced", "not allowed again"),
        ([measure()], "not enforced", "not enforced by every client"),
    ],
)
def test_what_makes_a_drill_good(clients, enforcement, why):
    said = judge(clients, enforcement, CONFIG)
    assert why in said
    assert bool(why) == bool(said)


def test_the_journal_remembers_the_last_ones_whatever_a_line_holds(tmp_path, monkeypatch):
    monkeypatch.setattr(drill, "MAX_KEPT", 3)
    for number in range(5):
        keep(tmp_path, result(f"trip_{number}", number, good=number != 4))
    keep(tmp_path, result("trip_4", 4, good=False))
    assert [one.trip for one in load(tmp_path)] == ["trip_2", "trip_3", "trip_4"]
    with (tmp_path / drill.FILE).open("ab") as file:
        file.write(b"garbled\n")
    assert last_good_drill(tmp_path).trip == "trip_3"
    assert last_good_drill(tmp_path / "nothing") is None


def test_a_drill_grows_old():
    now_ms = int(time.time() * 1000)
    assert "no good drill yet" in overdue(None, CONFIG, now_ms)
    assert overdue(result(at_ms=now_ms - 29 * drill.DAY_MS), CONFIG, now_ms) is None
    assert "31 days ago" in overdue(result(at_ms=now_ms - 31 * drill.DAY_MS), CONFIG, now_ms)
