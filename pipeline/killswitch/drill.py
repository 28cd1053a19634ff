"""Drills: what one measured, whether it was good, and the journal's memory of them. A drill trips a scope of
its own, which no agent is in (`state.DRILL_ENVIRONMENT`), and ends by an end that is set when it begins.
"""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import msgspec

from pipeline import durable
from pipeline.killswitch.config import KillSwitchConfig
from pipeline.killswitch.policy import Decision, decide
from pipeline.killswitch.policy_config import AutoTripConfig, DetectorTrip
from pipeline.killswitch.state import DRILL_ENVIRONMENT
from schemas.finding import Finding

AGENT = re.compile(r"drill-[a-z0-9][a-z0-9-]{0,60}")
DEFAULT_AGENT = "drill-fleet"
FILE = "drills.jsonl"
MAX_KEPT = 200
DAY_MS = 86_400_000
SLACK_MS = 1_000
"""What a stop may take beyond what its way of hearing takes: machines are busy."""

Kind = Literal["flags", "stream", "poll"]


class ClientMeasure(msgspec.Struct, frozen=True, kw_only=True):
    """One client of a drill. Times are ms from the finding, by one monotonic clock."""

    name: str
    kind: Kind
    """flags: asks before each action; stream: is told; poll: renews its lease and no more."""
    last_action_ms: float | None
    """When it last could act; None: it never stopped."""
    allowed_again_ms: float | None
    """When it could act again, after the end; None: not within the drill."""


class DrillResult(msgspec.Struct, frozen=True, kw_only=True):
    """What one drill measured."""

    trip: str
    at_ms: int
    by: str
    agent: str
    good: bool
    why: str
    """Why it was not good; empty where it was."""
    enforcement: str
    """What the server said of the trip while it was in force: asked, enforced, not enforced or unknown."""
    clients: list[ClientMeasure]


def drill_finding(agent: str, number: str, at_ms: int) -> Finding:
    """The finding that a drill begins with: certain, of a scope that no agent is in."""
    return Finding(
        detector="drill",
        kind="rule",
        environment=DRILL_ENVIRONMENT,
        agent_id=agent,
        key={"drill": number},
        window_start_ms=at_ms,
        window_end_ms=at_ms,
        time_base="append",
        config_hash="",
        severity="info",
        summary="A drill: nothing was found",
        facts={},
        may_trip=True,
        runbook="",
    )


def decide_drill(finding: Finding, now_ms: int) -> Decision:
    """What the policy says to it, with no trip before it: it counts for no limit, nor does one stop it."""
    config = AutoTripConfig(
        detectors={"drill": DetectorTrip(mode="enforce", trip="off")}, only_environment=True
    )
    return decide(finding, late=False, history=[], known_agents=1, now_ms=now_ms, config=config)


def judge(clients: Sequence[ClientMeasure], enforcement: str, config: KillSwitchConfig) -> str:
    """Why a drill was not good; empty where every client stopped in time and could go on after the end."""
    if not clients:
        return "no client took part"
    for client in clients:
        limit_ms = SLACK_MS + (config.renew_s * 1000 if client.kind == "poll" else 0)
        if client.last_action_ms is None:
            return f"{client.name} did not stop"
        if client.last_action_ms > limit_ms:
            return f"{client.name} stopped after {client.last_action_ms:.0f} ms (limit {limit_ms:.0f})"
        if client.allowed_again_ms is None:
            return f"{client.name} was not allowed again after the end"
    return "the trip was not enforced by every client" if enforcement == "not enforced" else ""


def load(journal: Path) -> list[DrillResult]:
    """The drills that the journal remembers, the oldest first. A line that is garbled is left out."""
    try:
        lines = (journal / FILE).read_bytes().splitlines()
    except OSError:
        return []
    results: list[DrillResult] = []
    for line in lines[-MAX_KEPT:]:
        try:
            results.append(msgspec.json.decode(line, type=DrillResult))
        except (msgspec.MsgspecError, UnicodeDecodeError):
            continue
    return results


def keep(journal: Path, result: DrillResult) -> None:
    """Remember a drill, each once. Raises OSError."""
    before = [one for one in load(journal) if one.trip != result.trip]
    lines = [msgspec.json.encode(one) for one in [*before, result][-MAX_KEPT:]]
    durable.make_directory(journal, 0o700)
    durable.replace_atomically(journal / FILE, b"\n".join(lines) + b"\n")


def last_good_drill(journal: Path) -> DrillResult | None:
    """The latest drill that was good."""
    return max((one for one in load(journal) if one.good), key=lambda one: one.at_ms, default=None)


def overdue(last_good: DrillResult | None, config: KillSwitchConfig, now_ms: int) -> str | None:
    """What to say where the last good drill is too old, or there is none."""
    how = "run auditfuse killswitch drill"
    if last_good is None:
        return f"there was no good drill yet: {how}"
    days = (now_ms - last_good.at_ms) / DAY_MS
    if days <= config.drill_days:
        return None
    return (
        f"the last good drill was {days:.0f} days ago (killswitch.drill_days = {config.drill_days:g}): {how}"
    )
