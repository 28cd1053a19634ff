"""Overrides: what is turned off for an agent is not even counted."""

from typing import Any

from support.signals import START_MS, detect, signals

from pipeline.detect import Found
from pipeline.detect.config import DetectConfig


def off(**override: Any) -> DetectConfig:
    return DetectConfig.model_validate({"overrides": [{"enabled": False} | override]})


def found_by(found: list[Found]) -> set[tuple[str, str, str]]:
    return {(f.finding.detector, f.finding.environment, f.finding.agent_id) for f in found}


def test_only_the_named_agents_detector_and_environment_are_off() -> None:
    rows = [
        row
        for agent, environment in (("a", "prod"), ("a", "staging"), ("b", "prod"))
        for row in signals(START_MS, 80, 20, agent_id=agent, environment=environment, outcome="denied")
    ]
    rows.sort(key=lambda row: row["broker_time_ms"])
    config = off(agents=["a"], environments=["prod"], detectors=["auth_failure"])
    assert found_by(detect(rows)) - found_by(detect(rows, config)) == {("auth_failure", "prod", "a")}
    config = off(agents=["a"])
    assert {agent for _, _, agent in found_by(detect(rows, config))} == {"b"}


def test_what_is_off_is_not_counted(monkeypatch: Any) -> None:
    """Neither a count nor a rule's state is taken of it."""
    rows = signals(START_MS, 80, 20, outcome="denied", action_kind="write")
    seen: list[int] = []
    monkeypatch.setattr(
        "detectors.novelty.Novelty.observe", lambda _self, given: seen.append(given.height) or []
    )
    config = off(agents=["invoice-*"])
    assert detect(rows, config) == []
    assert set(seen) == {0}
