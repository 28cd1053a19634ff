"""The stream: a fleet's events in time order, and the faults that were planted in it."""

import heapq
import math
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace

import msgspec

from pipeline.decode.native import FIELDS
from pipeline.generate.agents import (
    ERROR_TYPES,
    EXTERNAL_TOOL,
    OTHER_TOOL,
    READ_TOOLS,
    REFUSED_TOOL,
    TOOLS,
    WRITE_TOOL,
    Agent,
    Session,
    Tool,
)
from pipeline.generate.faults import RATE_KINDS, Fault, Release
from schemas.event import Event

CALLS_PER_SESSION = 12
MAX_FAULT_SHARE = 0.9
THROTTLED_SHARE, OTHER_TOOL_SHARE = 0.02, 0.05
"""What a fault's factor multiplies of calls that an agent usually does not make at all."""


@dataclass(frozen=True)
class StreamConfig:
    """What to generate. Equal configurations give equal streams, byte for byte."""

    seed: int = 0
    agents: Sequence[Agent] = field(default_factory=lambda: fleet(3, 30.0))
    start_ms: int = 1_790_000_000_000
    length_s: float = 600.0
    faults: Sequence[Fault] = ()
    releases: Sequence[Release] = ()
    office_hours: bool = False
    """Whether the rate follows the working day (UTC): full at noon, little at night and at weekends."""


def native_json(event: Event) -> bytes:
    """The event as a sender would write it: without the fields that no sender decides."""
    return msgspec.json.encode({name: getattr(event, name) for name in FIELDS})


def fleet(size: int, calls_per_minute: float, environment: str = "prod") -> tuple[Agent, ...]:
    """`size` agents named agent-001, agent-002, … of one rate."""
    return tuple(Agent(f"agent-{n:03d}", environment, calls_per_minute) for n in range(1, size + 1))


def generate(config: StreamConfig) -> Iterator[Event]:
    """The fleet's events in order of their start, as they would be sent."""
    return heapq.merge(
        *(_agent_events(config, agent) for agent in config.agents),
        key=lambda event: event.start_time_unix_nano,
    )


def _agent_events(config: StreamConfig, agent: Agent) -> Iterator[Event]:
    """One agent's calls: Poisson arrivals whose rate and mix its faults change."""
    source = random.Random(f"{config.seed}/{agent.agent_id}")  # noqa: S311 (a simulation)
    faults = [fault for fault in config.faults if fault.agent_id == agent.agent_id]
    seconds = 0.0
    session = Session(source, agent)
    calls = 0
    ceiling = max([1.0, *(fault.factor for fault in faults if fault.kind in RATE_KINDS)])
    while True:
        # Thinning: arrivals at the highest rate, kept with the share that the moment's rate has of it.
        seconds += source.expovariate(agent.calls_per_minute / 60 * ceiling)
        if seconds >= config.length_s:
            return
        active = _active(faults, seconds)
        share = _working_share(config.start_ms / 1000 + seconds) if config.office_hours else 1.0
        if "silence" in active or source.random() >= share * _rate(active) / ceiling:
            continue
        running = _version_at(config.releases, agent, seconds)
        if (calls >= CALLS_PER_SESSION and "loop" not in active) or running != session.agent:
            session, calls = Session(source, running), 0
        calls += 1
        yield _one_call(source, session, config.start_ms + int(seconds * 1000), active)


def _version_at(releases: Sequence[Release], agent: Agent, seconds: float) -> Agent:
    done = [one for one in releases if one.agent_id == agent.agent_id and one.onset_s <= seconds]
    return replace(agent, version=max(done, key=lambda one: one.onset_s).version) if done else agent


def _working_share(at_s: float) -> float:
    """The share of the full rate at a moment; 1 January 1970 was a Thursday."""
    days = at_s / 86_400
    weekend = int(days + 3) % 7 >= 5
    day = max(0.0, -math.cos(2 * math.pi * days))
    return 0.1 + (0.2 if weekend else 0.9) * day


def _active(faults: Sequence[Fault], seconds: float) -> dict[str, float]:
    return {fault.kind: fault.factor for fault in faults if fault.active(seconds)}


def _rate(active: dict[str, float]) -> float:
    """How many times as many calls as usual."""
    return max([1.0, *(active[kind] for kind in RATE_KINDS if kind in active)])


def _one_call(source: random.Random, session: Session, at_ms: int, active: dict[str, float]) -> Event:
    agent = session.agent
    denied = (
        min(MAX_FAULT_SHARE, agent.denied_share * 100 * active["auth_failure"])
        if "auth_failure" in active
        else 0
    )
    errors = min(MAX_FAULT_SHARE, agent.error_share * active.get("error_spike", 1.0))
    draw = source.random()
    if draw < min(MAX_FAULT_SHARE, denied):
        return session.call(source, at_ms, REFUSED_TOOL, error_type="PermissionDenied", http_status=403)
    tool = _pick_tool(source, active)
    if source.random() < errors:
        return session.call(source, at_ms, tool, error_type=source.choice(ERROR_TYPES), http_status=500)
    throttled = min(MAX_FAULT_SHARE, THROTTLED_SHARE * active.get("throttling", 0.0))
    if throttled and source.random() < throttled:
        return session.call(source, at_ms, tool, error_type="RateLimited", http_status=429)
    slower, people = active.get("latency", 1.0), int(active.get("personal_data", 0))
    return session.call(source, at_ms, tool, slower=slower, people_returned=people)


def _pick_tool(source: random.Random, active: dict[str, float]) -> Tool:
    if "loop" in active:
        return READ_TOOLS[0]
    for kind, tool in (("write_burst", WRITE_TOOL), ("external_burst", EXTERNAL_TOOL)):
        if kind in active and source.random() < MAX_FAULT_SHARE:
            return tool
    other = min(MAX_FAULT_SHARE, OTHER_TOOL_SHARE * active.get("action_mix", 0.0))
    if other and source.random() < other:
        return OTHER_TOOL
    if source.random() < 0.5:
        return source.choice(READ_TOOLS)
    return source.choices(TOOLS, [tool.weight for tool in TOOLS])[0]
