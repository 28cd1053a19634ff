"""Findings and state databases for tests of the respond stage."""

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydantic import SecretStr

from pipeline.respond.config import RespondConfig
from pipeline.respond.engine import open_engine
from pipeline.respond.state import StateConfig, StateDatabase
from pipeline.respond.targets import Target
from schemas.finding import Finding

START_MS = 1_700_000_000_000
MINUTE_MS = 60_000


@dataclass(frozen=True)
class Found:
    finding: Finding
    late: bool = False
    evidence: dict[str, object] = field(default_factory=dict)
    withdrawn: str | None = None


def a_finding(agent: str = "invoice-agent", window: int = 0, **changes: Any) -> Finding:
    """A write burst of `agent` in the window-th minute."""
    fields: dict[str, Any] = {
        "detector": "write_burst",
        "kind": "floor",
        "environment": "production",
        "agent_id": agent,
        "key": {},
        "window_start_ms": START_MS + window * MINUTE_MS,
        "window_end_ms": START_MS + (window + 1) * MINUTE_MS,
        "time_base": "append",
        "config_hash": "c0ffee",
        "severity": "critical",
        "summary": "212 writes in a minute, normal is 3",
        "facts": {"writes": 212, "normal": 3.25},
        "may_trip": True,
        "runbook": "docs/runbooks/write_burst.md",
    }
    return Finding(**(fields | changes))


def found(agent: str = "invoice-agent", window: int = 0, **changes: Any) -> Found:
    return Found(
        a_finding(agent, window, **changes),
        evidence={
            "traces": ["5b8efff798038103d269b633813fc60c"],
            "sessions": ["conv_8f14e45fceea167a"],
            "sql": f"select * from events where agent_id = '{agent}'",
        },
    )


def state_url(directory: Path) -> SecretStr:
    return SecretStr(f"sqlite:///{directory / 'state.db'}")


def open_state(
    directory: Path, respond: RespondConfig | None = None, *, upgrade: bool = False, **changes: Any
) -> StateDatabase:
    state = StateDatabase(StateConfig(url=state_url(directory), **changes), respond)
    state.create_schema(upgrade=upgrade)
    return state


@contextlib.contextmanager
def locked(directory: Path) -> Iterator[Callable[[], None]]:
    """Another process is in a transaction that writes, until the returned function is called."""
    engine = open_engine(StateConfig(url=state_url(directory)))
    with engine.connect() as connection:
        yield connection.begin().rollback
    engine.dispose()


def paging_to(url: str, **changes: Any) -> RespondConfig:
    """Everything goes to one webhook; quick pauses."""
    fields: dict[str, Any] = {
        "targets": (Target(name="hook", url=SecretStr(url), per_minute=changes.pop("per_minute", 1_000)),),
        "backoff_first_s": 0.05,
        "backoff_max_s": 0.2,
        "append_wait_s": 0.2,
    }
    return RespondConfig(**(fields | changes))
