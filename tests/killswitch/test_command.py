"""`auditfuse killswitch` as a person uses it, with and without a server."""

import json

import pytest
from support.killswitch import FakeControl, running_switch, served, until
from typer.testing import CliRunner

from pipeline.commands.killswitch import app
from pipeline.errors import ConfigError
from pipeline.killswitch.operator import NoServerError, TripFailedError
from schemas.command import Selector


@pytest.fixture
def run(tmp_path, monkeypatch):
    """Runs the command with a configuration whose port the test may set."""
    monkeypatch.delenv("AUDITFUSE_TOKEN", raising=False)
    # It would bind loggers of this process to the runner's standard error, which is closed after a run.
    monkeypatch.setattr("pipeline.logs.configure_logs", lambda config: None)

    def configure(port):
        text = f'data_dir = "{tmp_path}"\n[killswitch]\njournal = "{tmp_path / "journal"}"\nport = {port}\n'
        text += "[redaction]\nenabled = false\n"  # reasons have tests of their own; patterns take seconds
        (tmp_path / "auditfuse.toml").write_text(text)

    def invoke(*arguments):
        result = CliRunner().invoke(app, [*arguments, "--config", str(tmp_path / "auditfuse.toml")])
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            raise result.exception
        return result

    configure(1)  # nothing answers there
    invoke.configure = configure
    return invoke


@pytest.fixture
def switch(tmp_path):
    with running_switch(tmp_path / "journal", FakeControl()) as switch:
        yield switch


@pytest.fixture
def server(switch, run):
    with served(switch) as server:
        run.configure(server.port)
        yield server


def test_the_whole_story_from_trip_to_reset(run, server, switch):
    out = run(
        "trip", "--agent", "invoice-agent", "--mode", "off", "--reason", "pays twice", "--by", "alice"
    ).stdout
    trip_id = switch.state.in_force[0].command.id
    assert f"tripped agent invoice-agent to off: {trip_id}" in out
    assert f"auditfuse killswitch reset {trip_id}" in out

    shown = run("status").stdout
    assert "1 trip in force" in shown
    assert "by alice" in shown
    assert "pays twice" in shown

    asked = run("reset", trip_id, "--by", "alice", "--reason", "fixed").stdout
    request_id = switch.status().requests[0].id
    assert f"Another person must approve: auditfuse killswitch reset --approve {request_id}" in asked
    assert "waits for a second person" in run("status").stdout
    with pytest.raises(ConfigError, match="another person must approve it"):
        run("reset", "--approve", request_id, "--by", "Alice", "--reason", "me")
    approved = run("reset", "--approve", request_id, "--by", "bob", "--reason", "checked").stdout
    assert "in effect" in approved
    assert "0 trips in force" in run("status").stdout


def test_json_is_one_document_each(run, server, switch):
    tripped = json.loads(
        run("trip", "--all", "--reason", "r", "--by", "alice", "--minutes", "5", "--json").stdout
    )
    assert tripped["command"]["until_ms"] > tripped["command"]["at_ms"]
    status = json.loads(run("status", "--json").stdout)
    assert status["served"] is True
    assert status["trips"][0]["id"] == tripped["command"]["id"]
    reset = json.loads(run("reset", tripped["command"]["id"], "--reason", "r", "--by", "a", "--json").stdout)
    assert reset["command"]["command"] == "reset_request"


def test_a_step_down_leaves_an_automatic_trip_at_read_only(run, server, switch):
    made = switch.trip(
        Selector(agent="bot"), "off", by="auditfuse", reason="r", finding_id="fnd_1", automatic=True
    )
    out = run("step-down", made.id, "--by", "alice", "--reason", "reads are needed").stdout
    assert "stepped down to read_only" in out
    assert switch.state.in_force[0].mode == "read_only"


def test_without_a_server_a_trip_goes_to_the_journal_and_a_server_serves_it(run, tmp_path):
    result = run("trip", "--agent", "invoice-agent", "--reason", "pays twice", "--by", "alice")
    assert "no control server answers" in result.stderr
    assert "(journaled)" in result.stdout
    remembered = run("status")
    assert "does not answer" in remembered.stderr
    assert "agent invoice-agent" in remembered.stdout
    with running_switch(tmp_path / "journal") as switch:
        assert switch.state.in_force[0].mode == "off"


def test_a_running_switch_whose_http_is_dead_serves_a_trip_of_the_command_line(run, switch):
    run("trip", "--agent", "invoice-agent", "--reason", "pays twice", "--by", "alice")
    until(lambda: bool(switch.state.in_force), 1.0)


def test_a_trip_that_nothing_took_says_so(run, tmp_path):
    (tmp_path / "journal").write_text("a file")
    with pytest.raises(TripFailedError, match="NOT TRIPPED") as failed:
        run("trip", "--agent", "a", "--reason", "r", "--by", "alice")
    assert failed.value.exit_code == 1


def test_loosening_needs_the_server(run):
    with pytest.raises(NoServerError):
        run("reset", "trip_1", "--reason", "r", "--by", "alice")


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (("trip", "--reason", "r"), "name what to trip"),
        (("trip", "--all", "--agent", "a", "--reason", "r"), "name what to trip"),
        (("trip", "--all", "--reason", " "), "give a --reason"),
        (("trip", "--all", "--reason", "r", "--mode", "on"), "mode must be one of"),
        (("reset", "--reason", "r"), "name the trips to lift"),
        (("reset", "trip_1", "--approve", "reset_1", "--reason", "r"), "name the trips to lift"),
        (("reset", "trip_1", "--to", "off", "--reason", "r"), "mode must be one of"),
    ],
    ids=str,
)
def test_wrong_usage_is_named(run, arguments, text):
    with pytest.raises(ConfigError, match=text):
        run(*arguments)


def test_a_wrong_token_is_named_with_the_way_out(run, server, monkeypatch):
    monkeypatch.setenv("AUDITFUSE_TOKEN", "wrong")
    with pytest.raises(ConfigError, match="AUDITFUSE_TOKEN"):
        run("trip", "--all", "--reason", "r", "--by", "alice")


def test_a_reset_in_steps_loosens_by_one_mode_and_shows_the_rest(run, server, switch):
    run("trip", "--agent", "invoice-agent", "--mode", "off", "--reason", "r", "--by", "alice")
    trip_id = switch.state.in_force[0].command.id
    for mode, rest in (
        ("read_only", "approval, then throttle, then on"),
        ("approval", "throttle, then on"),
        ("throttle", "on"),
        ("on", ""),
    ):
        out = run("reset", trip_id, "--steps", "--by", "alice", "--reason", "fixed").stdout
        assert f"to {mode} requested" in out
        assert (f"each by two people again: {rest}" in out) == bool(rest)
        [request] = [one for one in switch.status().requests if one.mode == mode]
        run("reset", "--approve", request.id, "--by", "bob", "--reason", "checked")
        assert [one.mode for one in switch.state.in_force] == ([mode] if mode != "on" else [])
    with pytest.raises(ConfigError, match="no trip in force"):
        run("reset", trip_id, "--steps", "--by", "alice", "--reason", "fixed")
    with pytest.raises(ConfigError, match="leave out --to"):
        run("reset", trip_id, "--steps", "--to", "throttle", "--reason", "fixed")
