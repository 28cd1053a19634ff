"""`auditfuse incidents` and `auditfuse page` as a person on call uses them."""

import getpass
import json
from pathlib import Path

import pytest
from sqlalchemy import select
from support.respond import START_MS, found
from support.webhook import running_webhook
from typer.testing import CliRunner

from pipeline.commands import incidents, page
from pipeline.commands.who import who
from pipeline.config import load_config
from pipeline.errors import AuditfuseError, ConfigError
from pipeline.respond import tables
from pipeline.respond.state import StateDatabase

RUN = CliRunner()


@pytest.fixture
def config(tmp_path: Path) -> Path:
    path = tmp_path / "auditfuse.toml"
    path.write_text(f'data_dir = "{tmp_path / "data"}"\n')
    return path


@pytest.fixture
def incident_id(config: Path) -> str:
    loaded = load_config(config)
    state = StateDatabase(loaded.state, loaded.respond)
    state.create_schema()
    [opened] = state.consume([found()], {}, START_MS).paged
    state.close()
    return opened


def run(*arguments: str) -> str:
    result = RUN.invoke(incidents.app, list(arguments))
    if result.exception is not None:
        raise result.exception
    return result.output


def test_an_incident_is_listed_shown_taken_on_and_closed(config: Path, incident_id: str) -> None:
    options = ("--config", str(config))
    listed = json.loads(run("list", "--json", *options))
    assert [row["incident_id"] for row in listed["incidents"]] == [incident_id]
    assert listed["undelivered"] == 1
    assert incident_id in run("list", *options)
    assert "1 not delivered" in run("list", *options)
    shown = run("show", incident_id, *options)
    assert "212 writes in a minute" in shown
    assert "page to console: not delivered yet, attempts: 0" in shown
    assert (
        json.loads(run("show", incident_id, "--json", *options))["lead"]["finding"]["detector"]
        == "write_burst"
    )
    assert run("ack", incident_id, "--by", "maria", *options) == f"{incident_id} is acknowledged.\n"
    closed = json.loads(run("resolve", incident_id, "--by", "maria", "--reason", "fixed", "--json", *options))
    assert closed["status"] == "resolved"
    assert run("list", *options) == "No incidents.\n"
    assert incident_id in run("list", "--all", *options)


def test_an_unknown_incident_is_said_to_be_unknown(config: Path) -> None:
    with pytest.raises(AuditfuseError, match="no incident inc_x"):
        run("show", "inc_x", "--config", str(config))


@pytest.mark.usefixtures("incident_id")
def test_a_test_page_says_whether_it_arrived_and_is_kept(config: Path) -> None:
    with running_webhook() as webhook:
        target = f'[[respond.targets]]\nname = "hook"\nurl = "{webhook.url}"\n'
        config.write_text(config.read_text() + target)
        arguments = ["test", "hook", "--config", str(config)]
        result = RUN.invoke(page.app, arguments)
        assert (result.exit_code, len(webhook.requests)) == (0, 1), result.output
        assert "test page" in webhook.requests[0]["title"]
        webhook.status = 500
        assert RUN.invoke(page.app, arguments).exit_code == 1
        answer = RUN.invoke(page.app, [*arguments, "--json"])
        assert json.loads(answer.output) == {"target": "hook", "outcome": "failed", "error": "HTTP 500"}
        wrong = RUN.invoke(page.app, ["test", "nowhere", "--config", str(config)])
        assert isinstance(wrong.exception, ConfigError)
        assert "configured are: hook" in str(wrong.exception)
    loaded = load_config(config)
    state = StateDatabase(loaded.state, loaded.respond)
    kept = select(tables.deliveries.c.target, tables.deliveries.c.outcome).order_by(tables.deliveries.c.seq)
    rows = state.read(lambda connection: connection.execute(kept).all())
    assert [tuple(row) for row in rows] == [("hook", "sent"), ("hook", "failed"), ("hook", "failed")]


def test_a_user_without_a_name_is_asked_for_one(monkeypatch: pytest.MonkeyPatch) -> None:
    def unlisted() -> str:
        raise KeyError("getpwuid(): uid not found: 10001")

    monkeypatch.setattr(getpass, "getuser", unlisted)
    with pytest.raises(ConfigError, match="name yourself with --by"):
        who(None)
    assert who("ana") == "ana"
