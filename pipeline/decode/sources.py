"""Sources: where messages come from, and for whom each source may speak.

A source is bound: it names the agents and the environments whose events may come from it, and says
whether the approvals it reports count. What claims another identity is stored and flagged, and
never trips anything. There is no default for the bindings: whoever writes `agents = ["*"]` has
decided that anyone who can write to this topic may trip any agent.
"""

import fnmatch
import re
from functools import cached_property
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

Format = Literal["events", "otlp_spans", "otlp_logs"]
Glob = Annotated[str, StringConstraints(min_length=1, max_length=256)]

MEMO_LIMIT = 10_000
"""Claimed identities remembered per source; a sender of endless new names must not grow memory."""


class SourceConfig(BaseModel):
    """One input: a topic, what its messages are, and what they may claim."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,63}$")]
    """The name of this source in logs, rows and HTTP tokens."""
    topic: Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,215}$")]
    """The topic to read (for kind http: the topic that accepted requests are appended to)."""
    kind: Literal["kafka", "local", "http"] = "local"
    """Where the topic is: a Kafka cluster, a local directory, or filled by the OTLP/HTTP receiver."""
    format: Format
    """What a message holds: native events, an OTLP trace request or an OTLP logs request."""
    encoding: Literal["auto", "json", "protobuf"] = "auto"
    """How OTLP messages are encoded; auto looks at each message. Native events are always JSON."""
    agents: tuple[Glob, ...]
    """Globs (case-sensitive) of the agent ids this source may speak for; ["*"] is every agent."""
    environments: tuple[Glob, ...]
    """Globs (case-sensitive) of the environments this source may speak for; ["*"] is every one."""
    approvals: Literal["trusted", "asserted"] = "asserted"
    """trusted: approvals from here come from a gateway and count. asserted: they prove nothing."""
    default_environment: str | None = None
    """The environment of events that name none; otherwise it is "unknown"."""
    max_message_bytes: int = Field(default=8 * 1024 * 1024, ge=1024, le=64 * 1024 * 1024)
    """Larger messages become dead letters, undecoded."""
    max_items: int = Field(default=16_000, ge=1, le=100_000)
    """Messages with more events than this become one dead letter."""
    max_future_skew_s: float = Field(default=300.0, ge=0)
    """How far after the broker's append time an event may start before it is flagged."""

    @cached_property
    def binding(self) -> "Binding":
        """Decides whether a claimed identity is bound; keeps what it decided."""
        return Binding(self.agents, self.environments)


class Binding:
    """Which (agent, environment) claims a source may make. Matches the claim as sent, byte for byte."""

    def __init__(self, agents: tuple[str, ...], environments: tuple[str, ...]) -> None:
        self._agents = compile_globs(agents)
        self._environments = compile_globs(environments)
        self._memo: dict[tuple[str, str], bool] = {}

    def covers(self, agent_id: str, environment: str) -> bool:
        """Whether the source may speak for this agent in this environment."""
        claim = (agent_id, environment)
        known = self._memo.get(claim)
        if known is None:
            known = bool(self._agents.fullmatch(agent_id) and self._environments.fullmatch(environment))
            if len(self._memo) >= MEMO_LIMIT:
                self._memo.clear()
            self._memo[claim] = known
        return known


def compile_globs(globs: tuple[str, ...]) -> re.Pattern[str]:
    """One pattern for all globs (`*`, `?`, `[…]`); no glob matches nothing."""
    return re.compile("|".join(fnmatch.translate(glob) for glob in globs) or r"(?!)")
