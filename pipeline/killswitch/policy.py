"""Whether a finding trips the kill switch by itself. A pure decision over what is handed in.

An automatic trip stops somebody's production agent, so everything that is not certain says no: only
deterministic findings of bound sources or overwhelming evidence, within limits on the blast radius,
and in shadow until a person has turned `enforce` on. It begins with the mildest mode that the detector
names, and goes one step harder each time that the damage is found to go on after the step before.
"""

from collections.abc import Iterable, Mapping, Sequence
from fnmatch import fnmatchcase
from typing import Literal, NamedTuple

import msgspec

from pipeline.killswitch.policy_config import ACTING_AFTER_TRIP, AutoTripConfig, DetectorTrip, TripMode
from schemas.command import MODES, Mode, Selector
from schemas.finding import Finding

__all__ = ["AutoTripConfig", "Decision", "DetectorTrip", "PastTrip", "began_ms_of", "decide"]

MIN_LOG10_E = 8.0
"""Log10 of the e-value from which a statistical finding may trip: some five false alarms a year."""

HOUR_MS = 3_600_000


class PastTrip(msgspec.Struct, frozen=True, kw_only=True):
    """An automatic trip as the limits see it. `mode` is the one in force, `on` once it is lifted."""

    trip_id: str
    finding_id: str | None
    selector: Selector
    mode: Mode
    at_ms: int
    lifted_at_ms: int | None
    loosened_at_ms: int | None = None
    """When it was last loosened, wholly or in part."""


class Decision(msgspec.Struct, frozen=True, kw_only=True):
    """What becomes of a finding: `trip`, `shadow` (it would have tripped) or `none`, and why."""

    action: Literal["trip", "shadow", "none"]
    mode: Mode
    selector: Selector
    reason: str
    stepped_from: Mode = "on"
    """The milder mode of the automatic trip in force, where this is a step."""
    is_limited: bool = False
    """It would have tripped, but for a limit."""


class _Asked(NamedTuple):
    """The trip that a finding asks for."""

    agent: str
    """Casefolded."""
    selector: Selector
    mode: TripMode
    known_agents: int
    now_ms: int


def began_ms_of(finding: Finding, evidence: Mapping[str, object]) -> int:
    """The earliest that the actions which a finding counts can have begun, in ms since 1970."""
    for known in (evidence.get("minute_from_ms"), finding.facts.get("began_ms")):
        if isinstance(known, int):
            return known
    return finding.window_start_ms


def decide(
    finding: Finding,
    *,
    late: bool,
    history: Sequence[PastTrip],
    known_agents: int,
    now_ms: int,
    config: AutoTripConfig,
    began_ms: int | None = None,
) -> Decision:
    """Decide on one finding.

    `history` holds the automatic trips in force and those of at least the last hour and the last
    cooldown (`KillSwitch.history()`); `known_agents` is how many agents have been seen at all;
    `began_ms` is what `began_ms_of` says (None: the start of the finding's window).
    The limits are checked in shadow too, so that shadow shows what enforce would do.
    """
    rule = config.detectors.get(finding.detector)
    environment = finding.environment if config.only_environment else None
    selector = Selector(environment=environment, agent=finding.agent_id)
    if rule is None:
        return _none(selector, f"detector {finding.detector} is not configured to trip")
    refusal = _uncertain(finding, late=late) or _exempt(finding.agent_id.casefold(), config)
    if refusal is not None:
        return _none(selector, refusal)
    own = [past for past in history if _same_agent(past, finding.agent_id.casefold())]
    covering = [past for past in own if past.mode != "on" and _covers(past, selector)]
    in_force = _hardest(past.mode for past in covering)
    mode = rule.after(_hardest((in_force, _mode_of_proof(finding))))
    if mode is None:
        why = "it is under an automatic trip already" if covering else "it is under a trip already"
        return _none(selector, f"{why}, and {finding.detector} goes no further")
    asked = _Asked(finding.agent_id.casefold(), selector, mode, known_agents, now_ms)
    if covering and mode != rule.trip:
        earliest = finding.window_start_ms if began_ms is None else began_ms
        refusal = _proves_nothing_new(finding, covering, earliest, config)
        if refusal is not None:
            return _none(selector, refusal)
    limit = _cooldown(asked, own, config) or (
        _too_many_steps(asked, own, config) if covering else _blast(asked, history, config)
    )
    if limit is not None:
        return msgspec.structs.replace(_none(selector, limit), is_limited=rule.mode == "enforce")
    return _decided(finding, rule, asked, in_force)


def _decided(finding: Finding, rule: DetectorTrip, asked: _Asked, in_force: Mode) -> Decision:
    is_step = in_force != "on"
    verb, action = ("stepped", "trip") if is_step else ("tripped", "trip")
    if rule.mode == "shadow":
        verb, action = f"would have {verb}", "shadow"
    path = f"from {in_force} to {asked.mode}, since it goes on" if is_step else f"to {asked.mode}"
    return Decision(
        action=action,
        mode=asked.mode,
        selector=asked.selector,
        reason=f"{verb} {finding.agent_id} {path}: {finding.summary}",
        stepped_from=in_force,
    )


def _hardest(modes: Iterable[Mode]) -> Mode:
    return MODES[max((MODES.index(mode) for mode in modes), default=0)]


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


def _exempt(agent: str, config: AutoTripConfig) -> str | None:
    if any(fnmatchcase(agent, pattern.casefold()) for pattern in config.never_trip):
        return "it is on the never-trip list"
    return None


def _mode_of_proof(finding: Finding) -> Mode:
    """The mode that a finding proves to be of no use; `on` where it is of no trip."""
    mode = finding.facts.get("mode") if finding.detector == ACTING_AFTER_TRIP else None
    return _hardest(known for known in MODES if known == mode)


def _proves_nothing_new(
    finding: Finding, covering: Sequence[PastTrip], began_ms: int, config: AutoTripConfig
) -> str | None:
    """Why this is no proof that the damage goes on after the last step, or None."""
    last_ms = max(past.at_ms for past in covering)
    if finding.detector == ACTING_AFTER_TRIP:
        goes_on = finding.window_start_ms >= last_ms
    else:
        goes_on = began_ms > last_ms + config.step_after_s * 1000
    if goes_on:
        return None
    return "it is under an automatic trip already, and this may have begun before that took hold"


def _cooldown(asked: _Asked, own: Sequence[PastTrip], config: AutoTripConfig) -> str | None:
    loosened = [ms for past in own for ms in (past.lifted_at_ms, past.loosened_at_ms) if ms is not None]
    if loosened and asked.now_ms - max(loosened) < config.cooldown_s * 1000:
        return f"its last automatic trip was loosened less than {config.cooldown_s} s ago (cooldown)"
    return None


def _too_many_steps(asked: _Asked, own: Sequence[PastTrip], config: AutoTripConfig) -> str | None:
    steps = sum(_is_step(past, own) for past in own if asked.now_ms - past.at_ms < HOUR_MS)
    if steps >= config.steps_per_agent_hour:
        return f"the limit of {config.steps_per_agent_hour} harder steps per agent and hour is reached"
    return None


def _blast(asked: _Asked, history: Sequence[PastTrip], config: AutoTripConfig) -> str | None:
    """The limit on how much automatic trips may stop that this one would pass; or None."""
    recent = [past for past in history if asked.now_ms - past.at_ms < HOUR_MS and not _is_step(past, history)]
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


def _is_step(past: PastTrip, history: Sequence[PastTrip]) -> bool:
    """Whether an earlier automatic trip of its agent was in force when it was made."""
    agent = (past.selector.agent or "").casefold()
    return any(
        (other.at_ms, other.trip_id) < (past.at_ms, past.trip_id)
        and (other.mode != "on" or (other.lifted_at_ms or 0) > past.at_ms)
        and _same_agent(other, agent)
        and _covers(other, past.selector)
        for other in history
    )


def _same_agent(past: PastTrip, agent: str) -> bool:
    return past.selector.agent is None or past.selector.agent.casefold() == agent


def _covers(past: PastTrip, selector: Selector) -> bool:
    return past.selector.environment in (None, selector.environment)
