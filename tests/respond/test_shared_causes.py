"""One cause, one incident: outages, agents that fall silent together, and what comes back again and again."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from support.respond import MINUTE_MS, START_MS, Found, a_finding, found, open_state

from pipeline.respond.config import RespondConfig
from pipeline.respond.messages import Outbox
from pipeline.respond.state import StateDatabase

pytestmark = pytest.mark.usefixtures("each_database_long")

CONFIG = RespondConfig()


@pytest.fixture
def state(tmp_path: Path) -> Iterator[StateDatabase]:
    database = open_state(tmp_path, CONFIG)
    yield database
    database.close()


def silent(number: int, **changes: object) -> Found:
    return found(f"agent-{number:02d}", detector="silence", severity="warning", **changes)


def outage(*agents: str) -> Found:
    down = a_finding("*", detector="shared_dependency", severity="critical", key={"name": "crm.example"})
    return Found(down, evidence={"agents": list(agents)})


def pages(state: StateDatabase, now_ms: int = START_MS) -> list[str | None]:
    return [message.incident_id for message in Outbox(state, CONFIG).due("console", now_ms + MINUTE_MS)]


def test_forty_silent_agents_are_one_incident_and_one_page(state: StateDatabase) -> None:
    consumed = state.consume([silent(n) for n in range(40)], {}, START_MS)
    assert len(consumed.findings) == 40
    [incident] = state.incidents()
    assert (incident.agent_id, incident.environment, incident.findings) == ("*", "production", 41)
    assert incident.summary.startswith("40 agents fell silent together: agent-00, agent-01, ")
    assert {row.incident_id for row in consumed.findings} == {incident.incident_id}
    assert pages(state) == [incident.incident_id]


def test_the_first_silent_agents_join_the_incident_that_explains_them(state: StateDatabase) -> None:
    for number in range(4):
        state.consume([silent(number)], {}, START_MS + number)
    assert len(pages(state)) == 4
    state.consume([silent(4)], {}, START_MS + 5)
    [incident] = state.incidents()
    assert incident.agent_id == "*"
    assert pages(state) == [incident.incident_id]  # what was not told yet is not told any more
    joined = [one for one in state.incidents(include_resolved=True) if one.agent_id != "*"]
    assert {one.status for one in joined} == {"resolved"}
    state.consume([silent(n) for n in range(5, 40)], {}, START_MS + 10)
    assert len(state.incidents()) == 1


def test_it_is_over_when_all_of_them_speak_again(state: StateDatabase) -> None:
    found_ = [silent(n) for n in range(6)]
    state.consume(found_[:3], {}, START_MS)
    state.consume(found_[3:], {}, START_MS + 1)
    back = [replace(one, withdrawn="The agent speaks again") for one in found_]
    state.consume(back[:5], {}, START_MS + 2)
    state.resolve_quiet(START_MS + 10 * MINUTE_MS)
    assert len(state.incidents()) == 1
    state.consume(back[5:], {}, START_MS + 3)
    state.resolve_quiet(START_MS + 10 * MINUTE_MS)
    assert state.incidents() == []


def test_silences_far_apart_or_elsewhere_have_nothing_in_common(state: StateDatabase) -> None:
    for number in range(6):
        state.consume([silent(number)], {}, START_MS + number * 16 * MINUTE_MS)
    state.consume([silent(n, environment="staging") for n in range(10, 14)], {}, START_MS)
    assert "*" not in {one.agent_id for one in state.incidents()}


def test_incidents_opened_just_before_an_outage_join_it(state: StateDatabase) -> None:
    before = [found(f"agent-{n}", detector="error_spike") for n in range(3)]
    state.consume(before, {}, START_MS)
    write = found("agent-1")
    state.consume([write], {}, START_MS)
    state.consume([outage("agent-0", "agent-1")], {}, START_MS + MINUTE_MS)
    open_ = {(one.detector, one.agent_id) for one in state.incidents()}
    assert open_ == {
        ("shared_dependency", "*"),
        ("error_spike", "agent-2"),  # not one of its agents
        ("write_burst", "agent-1"),  # an outage excuses no write
    }
    state.consume([found("agent-0", 1, detector="error_spike")], {}, START_MS + 2 * MINUTE_MS)
    assert len(state.incidents()) == 3


def test_an_old_incident_is_not_explained_by_a_new_outage(state: StateDatabase) -> None:
    state.consume([found("agent-0", detector="error_spike")], {}, START_MS)
    state.consume([outage("agent-0")], {}, START_MS + 16 * MINUTE_MS)
    assert len(state.incidents()) == 2


def test_what_flaps_must_stay_away_longer_each_time(state: StateDatabase) -> None:
    now_ms, paged = START_MS, 0
    for minute in range(0, 24 * 60, 40):  # every 40 minutes one finding; the hold-down begins with 30
        now_ms = START_MS + minute * MINUTE_MS
        paged += len(state.consume([found(window=minute)], {}, now_ms).paged)
        state.resolve_quiet(now_ms + 35 * MINUTE_MS)
    assert paged == 2  # opened, and reopened once: then it must be quiet for an hour
    [incident] = state.incidents()
    assert incident.findings == 36
