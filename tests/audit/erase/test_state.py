"""The state database: the texts and the incidents that an erasure takes are gone from its file."""

from pathlib import Path

import pytest
from support.audit import sealed_store
from support.erase import erase, settings_in
from support.respond import MINUTE_MS, START_MS, found, open_state

from pipeline.config import Config
from pipeline.respond.state import StateDatabase

NAME = "<EMAIL_ADDRESS:k1.0123456789abcdef>"
KEY = ("agent-events.1", 0)


@pytest.fixture
def config(tmp_path: Path) -> Config:
    config = settings_in(tmp_path)
    sealed_store(config.store.path)
    return config


def state_of(tmp_path: Path, *agents: str) -> StateDatabase:
    """A database in which each agent has an incident."""
    state = open_state(tmp_path)
    state.consume([found(agent) for agent in agents], {KEY: (0, 1)}, START_MS + MINUTE_MS)
    return state


def content(tmp_path: Path) -> bytes:
    """Every byte of the database's files."""
    return b"".join(path.read_bytes() for path in sorted(tmp_path.glob("state.db*")))


def test_texts_are_taken_out_and_the_incident_stays(tmp_path: Path, config: Config) -> None:
    state = state_of(tmp_path, f"bot of {NAME}", "other")
    state.close()
    assert NAME.encode() in content(tmp_path)
    outcome = erase(config, f"end-user={NAME}")
    assert outcome.reached.out_of_reach == []
    assert NAME.encode() not in content(tmp_path)
    state = open_state(tmp_path)
    assert {incident.agent_id for incident in state.incidents()} == {"bot of <ERASED>", "other"}


def test_an_incident_at_work_stays_until_it_is_resolved(tmp_path: Path, config: Config) -> None:
    state = state_of(tmp_path, "doomed-agent", "other")
    outcome = erase(config, "agent=doomed-agent")
    (missed,) = outcome.reached.out_of_reach
    (doomed,) = [one for one in state.incidents() if one.agent_id == "doomed-agent"]
    assert doomed.incident_id in missed
    state.resolve(doomed.incident_id, "Ana", "over", START_MS + 2 * MINUTE_MS)
    state.close()
    assert erase(config, "agent=doomed-agent").reached.out_of_reach == []
    state = open_state(tmp_path)
    assert [one.agent_id for one in state.incidents(include_resolved=True)] == ["other"]
    assert b"doomed-agent" not in content(tmp_path)
    assert b"conv_8f14e45fceea167a" in content(tmp_path), "the other one's evidence stays"
