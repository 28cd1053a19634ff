"""Whether a finding trips the kill switch by itself. A pure decision over what is handed in.

An automatic trip stops somebody's production agent, so everything that is not certain says no: only
deterministic findings of bound sources or overwhelming evidence, within limits on the blast radius,
and in shadow until a person has turned `enforce` on.
"""

from collections.abc import Sequence
from fnmatch import fnmatchcase
from typing import Literal, NamedTuple

import msgspec
from pydantic import BaseModel, ConfigDict, Field

from schemas.command import MODES, Mode, Selector
from schemas.finding import Finding

MIN_LOG10_E = 8.0
"""Log10 of the e-value from which a statistical finding may trip: some five false alarms a year."""

HOUR_MS = 3_600_000


class DetectorTrip(BaseModel):
    """What the findings of one detector may do."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    mode: Literal["shadow", "enforce"] = "shadow"
    """shadow: say what would have been tripped; enforce: trip."""
    trip: Literal["throttle", "approval", "read_only", "off"] = "read_only"
    """The mode to trip to: the mildest that ends the damage."""


class AutoTripConfig(BaseModel):
    """Automatic trips and the limits on how much they may stop."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    detectors: dict[str, DetectorTrip] = Field(
        default_factory=lambda: {
            "error_spike": DetectorTrip(trip="throttle"),
            "write_burst": DetectorTrip(trip="read_only"),
            "auth_failure": DetectorTrip(trip="off"),
            "external_burst": DetectorTrip(trip="read_only"),
            "unapproved_action": DetectorTrip(trip="approval"),
            "runaway_session": DetectorTrip(trip="read_only"),
            "forbidden": DetectorTrip(trip="read_only"),
        }
    )
    """By detector name. A detector that is not named never trips anything."""
    per_agent_hour: int = Field(default=1, ge=0)
    """Automatic trips of one agent within an hour."""
    per_fleet_hour: int = Field(default=3, ge=0)
    """Automatic trips of all agents together within an hour."""
    max_agents_share: float = Field(default=0.1, ge=0, le=1)
    """Share of the known agents that may be under automatic trips at once; always at least one agent."""
    cooldown_s: int = Field(default=1800, ge=0)
    """Seconds after an automatic trip was lifted in which that agent is not tripped again."""
    never_trip: tuple[str, ...] = ()
    """Agents (glob patterns, upper and lower case alike) that are never tripped automatically."""
    only_environment: bool = False
    """true: a trip covers only the finding's environment; false: all environments of the agent."""


class PastTrip(msgspec.Struct, frozen=True, kw_only=True):
    """An automatic trip as the limits see it. `mode` is the one in force, `on` once it is lifted."""

    trip_id: str
    finding_id: str | None
    selector: Selector
    mode: Mode
    at_ms: int
    lifted_at_ms: int | None


class Decision(msgspec.Struct, frozen=True, kw_only=True):
    """What becomes of a finding: `trip`, `shadow` (it would have tripped) or `none`, and why."""

    action: Literal["trip", "shadow", "none"]
    mode: Mode
    selector: Selector
    reason: str


def decide(
    finding: Finding,
    *,
    late: bool,
    history: Sequence[PastTrip],
    known_agents: int,
    now_ms: int,
    config: AutoTripConfig,
) -> Decision:
    """Decide on one finding.

    `history` holds the automatic trips in force and those of at least the last hour and the last
    cooldown (`KillSwitch.history()`); `known_agents` is how many agents have been seen at all.
    The limits are checked in shadow too, so that shadow shows what enforce would do.
    """
    rule = config.detectors.get(finding.detector)
    environment = finding.environment if config.only_environment else None
    selector = Selector(environment=environment, agent=finding.agent_id)
    if rule is None:
        return _none(selector, f"detector {finding.detector} is not configured to trip")
    asked = _Asked(finding.agent_id.casefold(), selector, rule.trip, known_agents, now_ms)
    refusal = (
        _uncertain(finding, late=late) or _kept_off(asked, history, config) or _blast(asked, history, config)
    )
    if refusal is not None:
        return _none(selector, refusal)
    action = "trip" if rule.mode == "enforce" else "shadow"
    verb = "tripped" if action == "trip" else "would have tripped"
    reason = f"{verb} {finding.agent_id} to {rule.trip}: {finding.summary}"
    return Decision(action=action, mode=rule.trip, selector=selector, reason=reason)


def _none(selector: Selector, reason: str) -> Decision:
    return Decision(action="none", mode="on", selector=selector, reason=reason)


def _uncertain(finding: Finding, *, late: bool) -> str | None:
    """Why this finding is not certain enough, or None."""
    if late:
        return "the events came late"
    if not finding.may_trip:
        return _why_not(finding)
    if finding.kind == "statistical":
        log10_e = finding.facts.get("log10_e")
        if not isinstance(log10_e, int | float) or not log10_e >= MIN_LOG10_E:
            return f"the evidence is below an e-value of 1e{MIN_LOG10_E:.0f}"
    return None


def _why_not(finding: Finding) -> str:
    """Why a finding may not trip, from what detection wrote into its key."""
    if "source" in finding.key:
        return "the source may not speak for this agent"
    if "clock" in finding.key:
        return "its times are not the broker's, but the sender's or a file's"
    return "it is not certain enough"


class _Asked(NamedTuple):
    """The trip that a finding asks for."""

    agent: str
    """Casefolded."""
    selector: Selector
    mode: Mode
    known_agents: int
    now_ms: int


def _kept_off(asked: _Asked, history: Sequence[PastTrip], config: AutoTripConfig) -> str | None:
    """Why this agent is not tripped now, whatever the fleet does; or None."""
    if any(fnmatchcase(asked.agent, pattern.casefold()) for pattern in config.never_trip):
        return "it is on the never-trip list"
    own = [past for past in history if _same_agent(past, asked.agent)]
    covering = [past for past in own if past.selector.environment in (None, asked.selector.environment)]
    if any(MODES.index(past.mode) >= MODES.index(asked.mode) for past in covering):
        return "it is under an automatic trip already"
    lifted = [past.lifted_at_ms for past in own if past.lifted_at_ms is not None]
    if lifted and asked.now_ms - max(lifted) < config.cooldown_s * 1000:
        return f"its last automatic trip was lifted less than {config.cooldown_s} s ago (cooldown)"
    return None


def _blast(asked: _Asked, history: Sequence[PastTrip], config: AutoTripConfig) -> str | None:
    """The limit on how much automatic trips may stop that this one would pass; or None."""
    recent = [past for past in history if asked.now_ms - past.at_ms < HOUR_MS]
    if sum(_same_agent(past, asked.agent) for past in recent) >= config.per_agent_hour:
        return f"the limit of {config.per_agent_hour} automatic trips per agent and hour is reached"
    if len(recent) >= config.per_fleet_hour:
        return f"the limit of {config.per_fleet_hour} automatic trips per hour is reached"
    stopped = {(past.selector.agent or "").casefold() for past in history if past.mode != "on"}
    reached = len(stopped | {asked.agent})
    allowed = max(1, int(asked.known_agents * config.max_agents_share))
    if reached > allowed:
        return (
            f"it would put {reached} of {asked.known_agents} agents under automatic trips (limit {allowed})"
        )
    return None


def _same_agent(past: PastTrip, agent: str) -> bool:
    return past.selector.agent is None or past.selector.agent.casefold() == agent
