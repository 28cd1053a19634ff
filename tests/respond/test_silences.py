"""Silences and maintenance windows: what holds pages, and what becomes of them."""

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError
from support.respond import START_MS, found, open_state
from typer.testing import CliRunner

from pipeline.cli import build_app
from pipeline.errors import ConfigError, StoreError
from pipeline.respond.config import RespondConfig
from pipeline.respond.maintenance import MaintenanceWindow
from pipeline.respond.messages import Outbox
from pipeline.respond.silences import end_silence, list_silences, place_silence
from pipeline.respond.state import StateDatabase
from pipeline.respond.upkeep import Upkeep
from schemas.finding import SilenceRow

pytestmark = pytest.mark.usefixtures("each_database_long")

HOUR_MS = 3_600_000
CONFIG = RespondConfig()
AGENT = "invoice-agent"


@pytest.fixture
def state(tmp_path: Path) -> Iterator[StateDatabase]:
    database = open_state(tmp_path, CONFIG)
    yield database
    database.close()


def silence(state: StateDatabase, now_ms: int = START_MS, hours: float = 2, **changes: Any) -> str:
    fields: dict[str, Any] = {"agent": AGENT, "by": "maria", "reason": "month end"} | changes
    until_ms = int(now_ms + hours * HOUR_MS)
    return place_silence(state, CONFIG, until_ms=until_ms, now_ms=now_ms, **fields).silence_id


def due(state: StateDatabase, now_ms: int, config: RespondConfig = CONFIG) -> list[str]:
    """Titles are not rendered here: the incidents whose pages may go out, with what changed."""
    messages = Outbox(state, config).due("console", now_ms + 60_000)
    return [f"{message.change} {message.incident_id}" for message in messages]


def look_after(state: StateDatabase, now_ms: int, config: RespondConfig = CONFIG) -> None:
    Upkeep(state, config, lambda: now_ms).step()


def test_a_silenced_incident_is_recorded_and_its_page_waits_for_the_end(state: StateDatabase) -> None:
    silence(state)
    [incident_id] = state.consume([found()], {}, START_MS).paged
    state.consume([found("other")], {}, START_MS)
    assert state.incident(incident_id).incident.status == "open"
    assert [page["state"] for page in state.incident(incident_id).pages] == ["held"]
    assert len(due(state, START_MS)) == 1  # the other's
    look_after(state, START_MS + HOUR_MS)
    assert len(due(state, START_MS + HOUR_MS)) == 1
    look_after(state, START_MS + 2 * HOUR_MS)
    assert f"opened {incident_id}" in due(state, START_MS + 2 * HOUR_MS)


def test_what_was_over_before_the_end_is_never_paged(state: StateDatabase) -> None:
    silence(state)
    [incident_id] = state.consume([found()], {}, START_MS).paged
    state.resolve(incident_id, "maria", "as planned", START_MS + 1)
    look_after(state, START_MS + 2 * HOUR_MS)
    assert due(state, START_MS + 2 * HOUR_MS) == []


def test_of_several_changes_the_last_is_paged_at_the_end(state: StateDatabase) -> None:
    silence(state)
    [incident_id] = state.consume([found(severity="warning")], {}, START_MS).paged
    state.consume([found(window=1)], {}, START_MS)
    look_after(state, START_MS + 2 * HOUR_MS)
    assert due(state, START_MS + 2 * HOUR_MS) == [f"raised {incident_id}"]


def test_a_silence_holds_what_waits_already_and_lets_go_when_ended(state: StateDatabase) -> None:
    [incident_id] = state.consume([found()], {}, START_MS).paged
    silence_id = silence(state)
    assert due(state, START_MS) == []
    end_silence(state, CONFIG, silence_id, by="ana", reason="called off", now_ms=START_MS + 1)
    assert due(state, START_MS + 1) == [f"opened {incident_id}"]
    with pytest.raises(StoreError, match="no silence"):
        end_silence(state, CONFIG, silence_id, by="ana", reason="again", now_ms=START_MS + 2)


@pytest.mark.parametrize(("holds_trips", "waits"), [(False, False), (True, True)])
def test_a_critical_page_about_a_trip_goes_out(state: StateDatabase, holds_trips: bool, waits: bool) -> None:
    silence(state, holds_trips=holds_trips)
    burst = found()
    trips = {burst.finding.finding_id: "tripped to off (trip_1)"}
    state.consume([burst], {}, START_MS, trips)
    assert (due(state, START_MS) == []) is waits


@pytest.mark.parametrize(
    ("globs", "covered"),
    [
        ({"agent": "invoice-*"}, True),
        ({"agent": "*", "detector": "write_burst", "environment": "prod*"}, True),
        ({"agent": AGENT, "detector": "latency"}, False),
        ({"agent": "Invoice-agent"}, False),
        ({"agent": "*", "environment": "staging"}, False),
    ],
)
def test_globs_say_whose_pages_wait(state: StateDatabase, globs: dict[str, str], covered: bool) -> None:
    silence(state, **globs)
    state.consume([found()], {}, START_MS)
    assert (due(state, START_MS) == []) is covered


def test_who_silenced_what_is_on_its_way_into_the_store(state: StateDatabase) -> None:
    silence_id = silence(state)
    end_silence(state, CONFIG, silence_id, by="ana", reason="called off", now_ms=START_MS + 5)
    placed, ended = (row for _, row in Outbox(state, CONFIG).pending_appends(10))
    assert isinstance(placed, SilenceRow)
    assert (placed.phase, placed.by, placed.reason, placed.agent_id) == (
        "placed",
        "maria",
        "month end",
        AGENT,
    )
    assert isinstance(ended, SilenceRow)
    assert (ended.phase, ended.by, ended.reason) == ("ended", "ana", "called off")
    assert list_silences(state, START_MS + 10) == []
    [kept] = list_silences(state, START_MS + 10, everything=True)
    assert (kept.ended_by, kept.ended_at_ms) == ("ana", START_MS + 5)


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"agent": "*"}, "nothing silences all"),
        ({"agent": ""}, "empty name"),
        ({"reason": " "}, "needs a reason"),
        ({"hours": -1}, "in the past"),
        ({"hours": 73}, "may last 72 hours"),
    ],
)
def test_a_silence_that_says_too_little_or_asks_too_much_is_refused(
    state: StateDatabase, changes: dict[str, Any], why: str
) -> None:
    with pytest.raises(ConfigError, match=why):
        silence(state, **changes)


def window(**changes: Any) -> MaintenanceWindow:
    fields = {"name": "nightly", "owner": "ops", "reason": "reindexing"}
    return MaintenanceWindow.model_validate(fields | changes)


def at(text: str) -> int:
    return int(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp() * 1000)


def test_a_window_holds_pages_while_it_lasts(tmp_path: Path) -> None:
    planned = window(start="2026-03-02T22:00Z", end="2026-03-03T02:00Z", agents=["invoice-*"])
    config = RespondConfig(maintenance=(planned,))
    state = open_state(tmp_path, config)
    inside, after = at("2026-03-03T01:59"), at("2026-03-03T02:00")
    [incident_id] = state.consume([found()], {}, inside).paged
    assert state.incident(incident_id).pages[0]["held_by"] == "nightly"
    look_after(state, inside, config)
    assert due(state, inside, config) == []
    look_after(state, after, config)
    assert due(state, after, config) == [f"opened {incident_id}"]
    state.close()


@pytest.mark.parametrize(
    ("when", "active"),
    [
        ("2026-03-06T21:59", False),  # a Friday, 22:59 in Berlin
        ("2026-03-06T22:00", True),
        ("2026-03-07T02:59", True),  # Saturday 03:59, of Friday's window
        ("2026-03-07T03:00", False),
        ("2026-03-07T22:30", False),  # no window begins on a Saturday
        ("2026-07-03T21:00", True),  # in summer time an hour earlier
    ],
)
def test_a_weekly_window_follows_the_local_clock_over_midnight(when: str, active: bool) -> None:
    weekly = window(days=["fri"], from_time="23:00", to_time="04:00", timezone="Europe/Berlin")
    assert weekly.is_active(at(when)) is active


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"start": "2026-03-02T22:00Z"},
        {"start": "2026-03-02T22:00Z", "end": "2026-03-02T21:00Z"},
        {"start": "2026-03-02T22:00", "end": "2026-03-02T23:00"},
        {"days": ["fri"], "from_time": "23:00"},
        {"days": ["fri"], "from_time": "23:00", "to_time": "04:00", "timezone": "Middle/Earth"},
    ],
)
def test_a_window_without_a_clear_time_is_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        window(**changes)


def test_the_command_line_places_lists_and_ends(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("pipeline.commands.reason.fit_reason", lambda _, reason: f"{reason}, redacted")
    runner, app = CliRunner(), build_app()

    def run(*arguments: str) -> dict[str, Any]:
        done = runner.invoke(app, ["silence", *arguments, "--json"], catch_exceptions=False)
        assert done.exit_code == 0, done.output
        return json.loads(done.stdout)

    placed = run("add", "--agent", AGENT, "--hours", "2", "--reason", "month end", "--by", "ana")
    assert (placed["by"], placed["reason"]) == ("ana", "month end, redacted")
    assert [one["silence_id"] for one in run("list")["silences"]] == [placed["silence_id"]]
    ended = run("end", placed["silence_id"], "--reason", "done", "--by", "maria")
    assert ended["ended_by"] == "maria"
    assert run("list") == {"silences": [], "maintenance": []}
    assert len(run("list", "--all")["silences"]) == 1
