"""Unapproved action: an agent did what the policy wants approved, and no approval was granted before."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Self

from pydantic import Field, model_validator

from detectors.approvals import Action, Approval, Demand, Ledger, Limits
from detectors.base import Case, Conclusion, DetectorConfig, Watermark, runbook_of
from detectors.globs import Glob, first_match
from detectors.key import Key
from detectors.policy_rule import Labels, Matching, PolicyRule, acted, judged
from detectors.raised import Raised
from detectors.row_rule import quoted
from detectors.window import HOUR_MS, MINUTE_MS
from schemas.event import ActionKind
from schemas.finding import Severity

if TYPE_CHECKING:
    import polars as pl

GRANTED = ("granted", "approved")


class ApprovalRule(PolicyRule):
    """What needs an approval. Of `tools`, `targets` and `kinds`, all that are given must fit.

    An approval covers an action when it names the same approval id or tool call, or is of the same trace
    or session.
    """

    tools: tuple[Glob, ...] = ()
    """Globs of tools (an event's `action`)."""
    targets: tuple[Glob, ...] = ()
    """Globs of targets, as they are stored: after redaction."""
    kinds: tuple[ActionKind, ...] = ()
    """Kinds of action: read, write, external, unknown."""
    single_use: bool = False
    """Whether an approval covers one action only (retries with the same tool call id are one action)."""
    valid_s: float = Field(default=86_400, gt=0)
    """An approval covers actions that begin so many seconds after it was granted, at most."""
    same_agent: bool = False
    """Whether the approval's event must name the agent that acts."""
    same_tool: bool = False
    """Whether the approval's event must name the tool that is used, as its `action`."""

    @model_validator(mode="after")
    def _names_something(self) -> Self:
        if not (self.tools or self.targets or self.kinds):
            raise ValueError("say what needs an approval: tools, targets or kinds")
        return self

    def fits(self, tool: str | None, target: str | None, kind: str | None) -> bool:
        """Whether such an action needs an approval."""
        if self.kinds and kind not in self.kinds:
            return False
        return first_match(self.tools, tool) is not None and first_match(self.targets, target) is not None


class UnapprovedActionConfig(DetectorConfig):
    """How long an approval is waited for. Which actions need one is a matter of the policy."""

    wait_s: float = Field(default=30.0, ge=0)
    """An approval counts as in time if it was appended no later than so many seconds after the action."""
    skew_s: float = Field(default=2.0, ge=0)
    """Clocks differ: an approval may be granted so many seconds after the action began."""
    remember_hours: float = Field(default=24.0, gt=0)
    """How long approvals are known, and how long a late one still withdraws a finding."""
    max_pending: int = Field(default=200_000, ge=1000)
    """Actions and approvals that wait; beyond it the oldest actions are judged by what is known."""
    max_approvals: int = Field(default=200_000, ge=1000)
    """Approvals that are known; beyond it the oldest are forgotten."""
    max_raised: int = Field(default=50_000, ge=1000)
    """Unapproved actions that a late approval can still cover."""


class UnapprovedAction:
    """Actions of bound sources that the policy wants approved, without a grant from a trusted source.

    One finding per agent and tool until an hour has passed or all its actions turn out to be approved. While
    a partition is halted it may hold the approval: then the finding says so, and does not trip.
    """

    name: ClassVar[str] = "unapproved_action"
    Config: ClassVar[type[DetectorConfig]] = UnapprovedActionConfig
    policy: ClassVar[str] = "approvals"
    severity: ClassVar[Severity] = "critical"
    runbook: ClassVar[str] = runbook_of(name)
    across_agents: ClassVar[bool] = True
    needs: ClassVar[tuple[str, ...]] = ("action",)
    cases: ClassVar[tuple[Case, ...]] = (
        Case(
            name="a write without any approval",
            policy={"approvals": [{"kinds": ["write"]}]},
            events=[{"at_s": 0, "action": "pay_invoice", "action_kind": "write"}],
            fires=["rule"],
            trips=True,
        ),
        Case(
            name="an approval that the agent grants itself proves nothing",
            policy={"approvals": [{"tools": ["pay_*"]}]},
            events=[
                {
                    "at_s": 0,
                    "action": "pay_invoice",
                    "action_kind": "write",
                    "approval_status": "granted",
                    "approval_source": "agent",
                }
            ],
            fires=["rule"],
            trips=True,
        ),
        Case(
            name="one approval, two payments",
            policy={"approvals": [{"tools": ["pay_*"], "single_use": True}]},
            events=[
                {
                    "at_s": 0,
                    "session_id": "conv_1",
                    "action_kind": "none",
                    "approval_status": "granted",
                    "approval_source": "gateway",
                },
                {"at_s": 5, "times": 2, "spread_s": 5, "session_id": "conv_1", "action": "pay_invoice"},
            ],
            fires=["rule"],
            trips=True,
        ),
        Case(
            name="granted by the gateway before it",
            policy={"approvals": [{"kinds": ["write"]}]},
            events=[
                {
                    "at_s": 0,
                    "session_id": "conv_1",
                    "action_kind": "none",
                    "approval_status": "granted",
                    "approval_source": "gateway",
                },
                {"at_s": 5, "session_id": "conv_1", "action": "pay_invoice", "action_kind": "write"},
            ],
        ),
    )

    def __init__(self, config: UnapprovedActionConfig, rules: Sequence[ApprovalRule]) -> None:
        self.config = config
        self._matching = Matching(rules)
        self._demands: list[Demand] = []
        self._ledger = Ledger(self._limits(), self._raised, self._settled)
        self._findings = Raised(config.max_raised)
        self._conclusions: list[Conclusion] = []
        self._is_halted = False
        """Whether a partition is halted that may hold approvals."""

    def _limits(self) -> Limits:
        config = self.config
        return Limits(
            skew_ms=int(config.skew_s * 1000),
            remember_ms=int(config.remember_hours * HOUR_MS),
            max_pending=config.max_pending,
            max_approvals=config.max_approvals,
            max_raised=config.max_raised,
        )

    def observe(self, rows: pl.DataFrame) -> list[Conclusion]:
        """Nothing is judged at once: approvals may still come."""
        import polars as pl

        bound = rows.filter(pl.col("bound"))
        from_gateway = (pl.col("approval_source") == "gateway") & pl.col("approval_status").is_in(GRANTED)
        self._ledger.add(_approvals(bound.filter(from_gateway)))
        needing = self._needing(bound.filter(acted()))
        if needing.height:
            self._ledger.add(self._actions(needing))
        return []

    def close(self, watermark: Watermark) -> list[Conclusion]:
        """Judge what was appended so long ago that every approval in time is here.

        An event ends no later than it is appended, so the watermark of event time is as good, and moves on
        where sources stamp their own times.
        """
        known = [ms for ms in (watermark.event_ms, watermark.append_ms) if ms is not None]
        self._is_halted = watermark.is_halted
        self._ledger.advance(max(known) if known else None)
        conclusions, self._conclusions = self._conclusions, []
        return conclusions

    def _needing(self, actions: pl.DataFrame) -> pl.DataFrame:
        """The actions that some rule wants approved, with `label.demand`: the place of what it asks."""
        if actions.is_empty():
            return actions
        concerned = self._matching.concerned(actions)
        return judged(concerned, ["rules", "action", "target", "action_kind"], ["demand"], self._demand)

    def _demand(self, rules: int, tool: str | None, target: str | None, kind: str | None) -> list[Labels]:
        fitting = [rule for rule in self._matching.rules(rules) if rule.fits(tool, target, kind)]
        if not fitting:
            return []
        demand = Demand(
            valid_ms=int(min(rule.valid_s for rule in fitting) * 1000),
            single_use=any(rule.single_use for rule in fitting),
            same_agent=any(rule.same_agent for rule in fitting),
            same_tool=any(rule.same_tool for rule in fitting),
        )
        if demand not in self._demands:
            self._demands.append(demand)
        return [(str(self._demands.index(demand)),)]

    def _actions(self, needing: pl.DataFrame) -> list[Action]:
        import polars as pl

        wait_ms = int(self.config.wait_s * 1000)
        columns = needing.select(
            _row(), "broker_time_ms", _began_ms(), "env", "agent", "via", "late",
            pl.col("action").fill_null("unknown"), *_links(), "trace_id", "session_id", "label.demand",
        )  # fmt: skip
        return [
            Action(
                at_ms + wait_ms, row, at_ms, began_ms, Key(env, agent, via, late), tool,
                _given(own, call, of_trace, of_session), call, trace, session, self._demands[int(demand)],
            )
            for row, at_ms, began_ms, env, agent, via, late, tool, own, call, of_trace, of_session, trace,
            session, demand in columns.iter_rows()
        ]  # fmt: skip

    def _raised(self, action: Action) -> None:
        if self._findings.add(action):
            self._conclusions.append(self._conclusion(action))

    def _settled(self, action: Action) -> None:
        first = self._findings.settle(action)
        if first is not None:
            reason = "An approval that was granted before the action arrived later"
            self._conclusions.append(self._conclusion(first, withdrawn=reason))

    def _conclusion(self, action: Action, withdrawn: str | None = None) -> Conclusion:
        facts: dict[str, float | int | str] = {
            "tool": action.tool,
            "began_ms": action.began_ms,
            "waited_s": self.config.wait_s,
        }
        if self._is_halted:
            facts["may_not_trip"] = "a partition is halted: it may hold the approval"
        return Conclusion(
            key=action.key,
            window=(action.at_ms, action.at_ms + MINUTE_MS),
            time_base="append",
            summary=f"The agent used {action.tool} without the approval that the policy requires",
            labels={"tool": action.tool},
            facts=facts,
            may_trip=action.key.may_trip and not self._is_halted,
            severity="warning" if action.key.late else None,
            rows=(action.row,),
            traces=() if action.trace is None else (action.trace,),
            sessions=() if action.session is None else (action.session,),
            condition=f"action = {quoted(action.tool)} and outcome not in ('denied', 'throttled')",
            withdrawn=withdrawn,
        )

    def state(self) -> Any:
        """Nothing is concluded between two batches."""
        return {"ledger": self._ledger.state(), "findings": self._findings.state()}

    def load(self, state: Any) -> None:
        """Take over a snapshot's state."""
        self._ledger.load(state["ledger"])
        self._findings.load(state["findings"])


def _approvals(granted: pl.DataFrame) -> list[Approval]:
    """An approval that is an event of its own counts from its end; one that an action carries, from the
    action's start."""
    import polars as pl

    if granted.is_empty():
        return []
    granted_ms = pl.when(acted()).then(_began_ms()).otherwise("event_ms").alias("granted_ms")
    columns = granted.select("broker_time_ms", _row(), granted_ms, "agent", "action", *_links())
    return [
        Approval(at_ms, row, granted_at_ms, agent, tool, _given(own, call, trace, session))
        for at_ms, row, granted_at_ms, agent, tool, own, call, trace, session in columns.iter_rows()
    ]


def _row() -> pl.Expr:
    import polars as pl

    return pl.format("{}/{}/{}/{}", "topic_id", "partition", "offset", "item").alias("row")


def _began_ms() -> pl.Expr:
    """No later than it was appended, whatever the sender says."""
    import polars as pl

    return pl.min_horizontal(pl.col("start_time_unix_nano") // 1_000_000, "broker_time_ms").alias("began_ms")


def _links() -> list[pl.Expr]:
    """What ties an approval to an action, closest first: hashes within the environment, null where absent."""
    import polars as pl

    return [
        pl.when(pl.col(name).is_not_null()).then(pl.struct("env", name).hash(seed)).alias(f"link.{name}")
        for seed, name in enumerate(("approval_id", "tool_call_id", "trace_id", "session_id"), start=11)
    ]


def _given(*links: int | None) -> tuple[int, ...]:
    return tuple(link for link in links if link is not None)
