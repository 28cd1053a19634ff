"""`auditfuse readiness`: an agent with everything in order is ready; each thing that lacks is named alone."""

import json
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import typer
from sqlalchemy import insert
from support.audit import claim, event_row
from support.running import write_config
from typer.testing import CliRunner, Result

from pipeline.audit.control import AppendRow, append_rows
from pipeline.audit.store import CONTROL, Store
from pipeline.audit.writer import new_writer_id
from pipeline.commands.readiness import readiness
from pipeline.config import load_config
from pipeline.errors import ConfigError
from pipeline.killswitch import drill
from pipeline.respond import tables
from pipeline.respond.state import StateDatabase
from schemas.command import Command

AGENT = "refund-agent"
DAY_MS = 86_400_000
NOW_MS = time.time_ns() // 1_000_000
EVENTS = 400
HOOK = "json://127.0.0.1:1/hook"


@dataclass
class World:
    """An agent that may be scaled. Tests change one part."""

    event: dict[str, Any] = field(default_factory=dict)
    """Fields of the newest event."""
    more: list[dict[str, Any]] = field(default_factory=list)
    """Further events."""
    policy: dict[str, Any] = field(
        default_factory=lambda: {
            "scopes": [{"granted": ["refunds:write"]}],
            "approvals": [{"kinds": ["write"]}],
            "versions": [{"known": ["1.3", "1.4"]}],
        }
    )
    detect: dict[str, Any] = field(default_factory=dict)
    redaction: dict[str, Any] = field(default_factory=dict)
    days: float = 40.0
    """How long ago the first event was."""
    old_version: str = "1.3"
    resets: bool = True
    delivered: bool = True
    drilled_days_ago: float = 3.0
    targets: tuple[str, ...] = ("oncall",)

    def build(self, folder: Path) -> None:
        respond = {"targets": [{"name": name, "url": HOOK} for name in self.targets]}
        detect = {"policy": self.policy, **self.detect}
        write_config(folder, data_dir=str(folder), detect=detect, redaction=self.redaction, respond=respond)
        store = Store(folder / "store")
        claim(store).seal([event_row(n, **fields) for n, fields in enumerate(self._events())], EVENTS + 1_000)
        if self.resets:
            made = Command(
                id="reset_1",
                command="reset_approval",
                at_ms=NOW_MS - DAY_MS,
                by="bob",
                automatic=False,
                reason="checked",
            )
            append_rows(
                store, CONTROL, [AppendRow.of(made)], writer_id=new_writer_id(), now_ms=lambda: NOW_MS
            )
        self._deliver(folder)
        drill.keep(folder / "journal", drill_of(NOW_MS - int(self.drilled_days_ago * DAY_MS)))

    def _events(self) -> list[dict[str, Any]]:
        step_ms = int(self.days * DAY_MS / EVENTS)
        base = {
            "agent_id": AGENT,
            "scopes": ["refunds:write"],
            "credential_expires": "2100-01-01T00:00:00Z",
            "action": "refund",
            "parent_span_id": "00000000000000aa",
        }
        events = [
            {
                **base,
                "start_time_unix_nano": (NOW_MS - 60_000 - (EVENTS - 1 - n) * step_ms) * 1_000_000,
                "agent_version": self.old_version if n < EVENTS // 2 else "1.4",
            }
            for n in range(EVENTS)
        ]
        events[-1] |= self.event
        return events + [{**events[-1], **fields} for fields in self.more]

    def _deliver(self, folder: Path) -> None:
        config = load_config(folder / "auditfuse.toml")
        state = StateDatabase(config.state, config.respond)
        state.create_schema()
        row = {"page_id": "test/1", "target": "oncall", "attempt": 1, "elapsed_ms": 9, "outcome": "sent"}
        if self.delivered:
            state.write(lambda c: c.execute(insert(tables.deliveries).values(**row, at_ms=NOW_MS - DAY_MS)))
        state.close()


def drill_of(at_ms: int) -> drill.DrillResult:
    measured = drill.ClientMeasure(name="a", kind="flags", last_action_ms=40.0, allowed_again_ms=3_000.0)
    return drill.DrillResult(
        trip="trip_1",
        at_ms=at_ms,
        by="ana",
        agent="drill-fleet",
        good=True,
        why="",
        enforcement="enforced",
        clients=[measured],
    )


def run(folder: Path, *arguments: str) -> Result:
    app = typer.Typer()
    app.command()(readiness)
    result = CliRunner().invoke(app, [AGENT, "--config", str(folder / "auditfuse.toml"), *arguments])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result


def missing(folder: Path) -> set[str]:
    result = run(folder, "--json")
    report = json.loads(result.stdout)
    assert result.exit_code == (0 if report["ready"] else 1)
    assert all(gate["missing"] for gate in report["gates"] if not gate["holds"])
    return {gate["gate"] for gate in report["gates"] if not gate["holds"]}


def test_an_agent_with_everything_in_order_is_ready(tmp_path: Path) -> None:
    World().build(tmp_path)
    assert missing(tmp_path) == set()
    shown = run(tmp_path)
    assert shown.exit_code == 0 and f"production/{AGENT}: READY" in shown.stdout


def _shadowed(world: World) -> None:
    world.detect["write_burst"] = {"shadow": True}


NEED_OF_OTHERS = {"approvals": [{"kinds": ["write"], "agents": ["others"]}], "rate_limits": [{"per_hour": 9}]}
TOO_MUCH = {"scopes": [{"granted": ["refunds:write", "mail:send"]}]}
CASES: list[tuple[str, Callable[[World], object]]] = [
    ("each action names its identity", lambda w: w.more.extend([{"principal": None}] * 9)),
    ("scopes granted are the scopes used", lambda w: w.event.update(scopes=["refunds:write", "admin"])),
    ("scopes granted are the scopes used", lambda w: w.policy.update(TOO_MUCH)),
    ("credentials end, and are used before that", lambda w: w.event.update(credential_expires="2020-01-01")),
    ("environments have credentials of their own", lambda w: w.more.append({"environment": "staging"})),
    ("actions have the approvals that they need", lambda w: w.policy.update(NEED_OF_OTHERS)),
    ("the version that runs is approved", lambda w: w.event.update(agent_version="1.5")),
    ("the policy covers its actions", lambda w: w.event.update(action_kind="external", action="wire")),
    ("its steps can be retold", lambda w: w.more.extend([{"session_id": None}] * 200)),
    ("redaction is on, names included", lambda w: w.redaction.update(names="off")),
    ("detectors are armed", _shadowed),
    ("pages arrive", lambda w: setattr(w, "delivered", False)),
    ("pages arrive", lambda w: setattr(w, "targets", ("oncall", "second"))),
    ("the version before is known", lambda w: setattr(w, "old_version", "1.4")),
    ("the kill switch was drilled", lambda w: setattr(w, "drilled_days_ago", 31.0)),
    ("two people have lifted a trip", lambda w: setattr(w, "resets", False)),
]


@pytest.mark.parametrize(("gate", "change"), CASES, ids=[f"{n}-{case[0]}" for n, case in enumerate(CASES)])
def test_what_lacks_is_named_alone(tmp_path: Path, gate: str, change: Callable[[World], object]) -> None:
    world = World()
    change(world)
    world.build(tmp_path)
    environment = ("--environment", "production")
    report = json.loads(run(tmp_path, "--json", *environment).stdout)
    assert [one["gate"] for one in report["gates"] if not one["holds"]] == [gate]


def test_a_young_agent_is_still_being_learnt(tmp_path: Path) -> None:
    World(days=0.01).build(tmp_path)
    assert missing(tmp_path) == {"detectors are past learning"}


def test_an_agent_in_two_environments_needs_one_named(tmp_path: Path) -> None:
    World(more=[{"environment": "staging", "credential_id": "other"}]).build(tmp_path)
    with pytest.raises(ConfigError, match="production, staging: choose one by --environment"):
        run(tmp_path)
    with pytest.raises(ConfigError, match=f"no events of agent {AGENT} in test"):
        run(tmp_path, "--environment", "test")
