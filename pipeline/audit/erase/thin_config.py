"""Thinning: which routine traces lose their payloads, and after how long."""

from typing import Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from schemas.event import ActionKind


class ThinningRule(BaseModel):
    """How large a share of some traces keeps its payloads. Metadata is always kept whole.

    Of the rules that fit a row the most specific one decides: one that names the agent before one that does
    not, then the action kind, the source, the environment. A trace is thinned only as a whole: a rule must
    fit every row of it, each must be older than its rule says, and the largest share of them decides.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    environment: str | None = None
    """As it is stored."""
    agent: str | None = None
    """As it is stored."""
    source: str | None = None
    """The name of the source that the rows came from."""
    action_kind: ActionKind | None = None
    """none (model calls and the like), read, write or unknown; external is never thinned."""
    keep: float = Field(ge=0, le=1)
    """The share of the traces that keep their payloads, chosen by a keyed hash of the trace id."""
    after_hours: float = Field(ge=1)
    """Payloads are kept at least so long, counted from broker time."""
    unknown_is_routine: bool = False
    """Whether tool calls of unknown kind may be thinned. They may have written to the outside: name the tools
    in `tools` instead, where you can."""

    @model_validator(mode="after")
    def _sensible(self) -> Self:
        if self.action_kind == "external":
            raise ValueError("external actions are never thinned; leave action_kind out or name another kind")
        return self

    @property
    def rank(self) -> tuple[bool, ...]:
        """The more specific rule has the higher one."""
        return tuple(
            value is not None for value in (self.agent, self.action_kind, self.source, self.environment)
        )

    @property
    def scope(self) -> tuple[str | None, ...]:
        """What it fits."""
        return self.environment, self.agent, self.source, self.action_kind


class ThinningConfig(BaseModel):
    """Thinning of routine payloads. Without a rule nothing is thinned.

    Never thinned, with the whole trace: errors, refusals and time-outs, external actions, canaries, what a
    source may not speak for, traces of incidents, and what a legal hold keeps.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    rules: tuple[ThinningRule, ...] = ()
    """`[[thinning.rules]]`, one a share."""
    every_hours: float = Field(default=6.0, gt=0)
    """How often `auditfuse run` thins what is due. Each time rewrites the files that hold it."""
    trace_hours: float = Field(default=24.0, gt=0)
    """Rows of one trace that lie further apart than this may be judged apart from each other."""

    @model_validator(mode="after")
    def _no_rule_twice(self) -> Self:
        scopes = [rule.scope for rule in self.rules]
        if len(set(scopes)) < len(scopes):
            raise ValueError("two rules of thinning fit the same rows; keep one of them")
        return self
