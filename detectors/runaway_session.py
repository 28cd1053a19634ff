"""Runaway session: more steps, deeper nesting, longer activity or the same call again and again."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Literal, NamedTuple

import msgspec
from pydantic import Field

from detectors.base import Case, Conclusion, DetectorConfig, Watermark, runbook_of
from detectors.key import Key
from detectors.nesting import COLUMNS, Nesting
from detectors.policy_rule import Matching, PolicyRule
from detectors.row_rule import OTHERS, Violation, ViolationRule, quoted
from detectors.session_counts import Runs, Steps, longest_run
from detectors.window import DAY_MS, HOUR_MS, STEP_MS
from schemas.finding import Severity

if TYPE_CHECKING:
    import polars as pl

HALF_DAY_MS = DAY_MS // 2
STEPS_PER_HALF_DAY = HALF_DAY_MS // STEP_MS
STEPS_PER_QUARTER = HOUR_MS // 4 // STEP_MS
Limit = Literal["steps", "levels", "same_calls", "active_hours"]


class SessionRule(PolicyRule):
    """What a session of these agents may grow to, instead of the detector's own limits. Of several rules
    the strictest counts."""

    max_steps: int | None = Field(default=None, ge=1)
    """Steps in a day."""
    max_levels: int | None = Field(default=None, ge=2, le=1000)
    """Levels of spans, one within the other."""
    max_same_calls: int | None = Field(default=None, ge=2)
    """Calls of the same tool on the same target with no other between them."""
    max_active_hours: float | None = Field(default=None, gt=0, le=23)
    """Hours without a quarter of an hour of rest."""


class SessionLimits(NamedTuple):
    """What holds for one agent."""

    steps: int
    levels: int
    same_calls: int
    active_hours: float


class RunawaySessionConfig(DetectorConfig):
    """What no session should grow to. The policy says it per agent (`[[sessions]]`)."""

    max_steps: int = Field(default=2000, ge=1)
    """Steps of a session in a day."""
    max_levels: int = Field(default=40, ge=2, le=1000)
    """Levels of spans of a trace, one within the other."""
    max_same_calls: int = Field(default=100, ge=2)
    """Calls of the same tool on the same target, in a session, with no other call between them."""
    max_active_hours: float = Field(default=8.0, gt=0, le=23)
    """Hours that a session may be active without a quarter of an hour of rest."""
    max_sessions: int = Field(default=200_000, ge=1000)
    """Sessions that are counted; beyond it the oldest are forgotten."""
    max_spans: int = Field(default=200_000, ge=1000)
    """Spans whose place in their trace is known; beyond it the oldest are forgotten."""


class RunawaySession(ViolationRule):
    """Sessions of bound sources that outgrow a limit, at once. Traces where there is no session id."""

    name: ClassVar[str] = "runaway_session"
    Config: ClassVar[type[DetectorConfig]] = RunawaySessionConfig
    policy: ClassVar[str] = "sessions"
    policy_optional: ClassVar[bool] = True
    severity: ClassVar[Severity] = "warning"
    runbook: ClassVar[str] = runbook_of(name)
    across_agents: ClassVar[bool] = True
    needs: ClassVar[tuple[str, ...]] = ("session_id", "trace_id", "parent_span_id")
    labels: ClassVar[tuple[str, ...]] = ("limit", "session")
    period_ms: ClassVar[int] = HALF_DAY_MS
    cases: ClassVar[tuple[Case, ...]] = (
        Case(
            name="the same call a hundred times in a row",
            events=[{"at_s": 0, "times": 120, "spread_s": 600, "session_id": "conv_1", "action": "search"}],
            fires=["rule"],
            trips=True,
        ),
        Case(
            name="more steps than the policy allows this agent",
            policy={"sessions": [{"agents": ["case-*"], "max_steps": 50}]},
            events=[
                {"at_s": 0, "times": 30, "spread_s": 600, "session_id": "conv_1", "action": "search"},
                {"at_s": 1, "times": 30, "spread_s": 600, "session_id": "conv_1", "action": "get_order"},
            ],
            fires=["rule"],
            trips=True,
        ),
        Case(
            name="as many calls in many sessions",
            events=[
                {"at_s": 0, "times": 90, "spread_s": 600, "session_id": f"conv_{i}", "action": "search"}
                for i in range(5)
            ],
        ),
        Case(
            name="a long session of changing calls",
            events=[
                {"at_s": 0, "times": 300, "spread_s": 3600, "session_id": "conv_1", "action": "search"},
                {"at_s": 1, "times": 300, "spread_s": 3600, "session_id": "conv_1", "action": "get_order"},
            ],
        ),
    )

    def __init__(self, config: RunawaySessionConfig, rules: Sequence[SessionRule] = ()) -> None:
        super().__init__()
        self.config = config
        self._rules = rules
        self._matching = Matching(rules)
        every = [_limits([], config), *(_limits([rule], config) for rule in rules)]
        least, most = (SessionLimits(*map(pick, zip(*every, strict=True))) for pick in (min, max))
        self._least = least
        self._steps = Steps(config.max_sessions, least.steps + 1, int(least.active_hours * 4) + 1)
        self._nesting = Nesting(config.max_spans, least.levels + 1, most.levels + 1)
        self._runs: dict[tuple[str, int], Runs] = {}

    def observe(self, rows: pl.DataFrame) -> list[Conclusion]:
        """What these rows prove."""
        import polars as pl

        session = pl.coalesce("session_id", "trace_id").alias("session")
        half_day = (pl.col("step") // STEPS_PER_HALF_DAY).alias("half_day")
        bound = rows.filter(pl.col("bound")).with_columns(session, half_day)
        bound = bound.filter(pl.col("session").is_not_null())
        if bound.is_empty():
            return []
        bound = bound.with_columns(pl.struct("key", "late", "session").hash(21).alias("one"))
        found = [*self._grown(bound), *self._nested(bound), *self._repeated(bound)]
        taken = [self._take(violation, row) for violation, row in sorted(found)]
        return [conclusion for conclusion in taken if conclusion is not None]

    def close(self, watermark: Watermark) -> list[Conclusion]:
        """Forget the days that no partition can add to."""
        if watermark.append_ms is not None:
            self._steps.expire(watermark.append_ms // HALF_DAY_MS - 2)
        return []

    def _grown(self, bound: pl.DataFrame) -> list[tuple[Violation, str]]:
        import polars as pl

        quarter = pl.col("step") % STEPS_PER_HALF_DAY // STEPS_PER_QUARTER
        counted = bound.select(
            "one", "half_day", quarter.alias("quarter"), pl.int_range(pl.len()).alias("row")
        )
        grouped = counted.group_by("one", "half_day").agg(
            pl.len(),
            pl.lit(2, pl.Int64).pow("quarter").cast(pl.UInt64).bitwise_or().alias("active"),
            pl.col("row").first(),
        )
        days = self._steps.add(*(grouped[name].to_numpy() for name in ("one", "half_day", "len", "active")))
        found: list[tuple[Violation, str]] = []
        for day in days:
            whose, row = _whose(bound, grouped["row"][day.row])
            limits = self._limits(whose[0], whose[1])
            if day.steps > limits.steps:
                found.append((_violation(whose, day.half_day, "steps"), row))
            if longest_run(day.active) > int(limits.active_hours * 4):
                found.append((_violation(whose, day.half_day, "active_hours"), row))
        return found

    def _nested(self, bound: pl.DataFrame) -> list[tuple[Violation, str]]:
        import polars as pl

        within = bound.filter(
            pl.all_horizontal(pl.col("trace_id", "span_id", "parent_span_id").is_not_null())
        )
        if within.is_empty():
            return []
        spans = within.with_columns(
            pl.struct("env", "trace_id").hash(22).alias("trace"),
            pl.struct("env", "trace_id", pl.col("span_id").alias("span")).hash(23).alias("own"),
            pl.struct("env", "trace_id", pl.col("parent_span_id").alias("span")).hash(23).alias("parent"),
        ).select(COLUMNS)
        return [
            (Violation(deep.key, deep.half_day, ("levels", deep.session)), deep.row)
            for deep in self._nesting.add(spans)
            if deep.levels > self._limits(deep.key.environment, deep.key.agent_id).levels
        ]

    def _repeated(self, bound: pl.DataFrame) -> list[tuple[Violation, str]]:
        import polars as pl

        calls = bound.filter(pl.col("action_kind") != "none")
        if calls.is_empty():
            return []
        partition = calls.select("topic_id", "partition").row(0)
        runs = self._runs.get(partition)
        if runs is None:
            runs = self._runs[partition] = Runs(self.config.max_sessions, self._least.same_calls)
        call = calls.select(pl.struct("action", "target").hash(24)).to_series()
        found: list[tuple[Violation, str]] = []
        for number, length in runs.add(calls["one"].to_numpy(), call.to_numpy()):
            whose, row = _whose(calls, number)
            if length % self._limits(whose[0], whose[1]).same_calls == 0:
                found.append((_violation(whose, calls["half_day"][number], "same_calls"), row))
        return found

    def _limits(self, environment: str, agent_id: str) -> SessionLimits:
        if not self._rules:
            return self._least
        rules = [self._rules[position] for position in self._matching.of(environment, agent_id)]
        return _limits(rules, self.config)

    def say(self, labels: Mapping[str, str]) -> str:
        return WORDS[labels["limit"]] if labels["limit"] != OTHERS else "Many sessions have outgrown a limit"

    def condition(self, labels: Mapping[str, str]) -> str:
        return f"coalesce(session_id, trace_id) = {quoted(labels['session'])}"

    def _conclusion(self, violation: Violation, row: str) -> Conclusion:
        plain = super()._conclusion(violation, row)
        limit = violation.labels[0]
        if limit == OTHERS:
            return plain
        allowed = getattr(self._limits(violation.key.environment, violation.key.agent_id), limit)
        start_ms, end_ms = plain.window
        # Steps and hours are those of a day: the half day before counts too.
        begins_ms = start_ms - HALF_DAY_MS if limit in ("steps", "active_hours") else start_ms
        return msgspec.structs.replace(
            plain,
            window=(begins_ms, end_ms),
            summary=plain.summary.format(allowed=f"{allowed:g}"),
            facts=dict(plain.facts) | {"allowed": allowed},
            sessions=(violation.labels[1],),
        )

    def state(self) -> Any:
        """What was counted and reported."""
        return {
            "row_rule": super().state(),
            "steps": self._steps.state(),
            "nesting": self._nesting.state(),
            "runs": [(*partition, runs.state()) for partition, runs in self._runs.items()],
        }

    def load(self, state: Any) -> None:
        """Take over a snapshot's state."""
        super().load(state["row_rule"])
        self._steps.load(state["steps"])
        self._nesting.load(state["nesting"])
        for topic_id, number, runs in state["runs"]:
            self._runs[(topic_id, number)] = Runs(self.config.max_sessions, self._least.same_calls)
            self._runs[(topic_id, number)].load(runs)


IDENTITY = ("topic_id", "partition", "offset", "item")
WHOSE = ("env", "agent", "via", "late", "session")
WORDS = {
    "steps": "A session took more than {allowed} steps within a day",
    "levels": "A trace is nested more than {allowed} levels deep: the agent calls itself",
    "same_calls": "A session made the same call {allowed} times in a row",
    "active_hours": "A session was active for more than {allowed} hours without a rest",
}


def _violation(whose: Sequence[Any], period: int, limit: Limit) -> Violation:
    *key, session = whose
    return Violation(Key(*key), period, (limit, session))


def _whose(rows: pl.DataFrame, number: int) -> tuple[tuple[Any, ...], str]:
    """(WHOSE, row identity) of one row."""
    *identity, env, agent, via, late, session = rows.select(*IDENTITY, *WHOSE).row(number)
    return (env, agent, via, late, session), "/".join(map(str, identity))


def _limits(rules: Sequence[SessionRule], config: RunawaySessionConfig) -> SessionLimits:
    """The strictest of what rules say, and the detector's own where they say nothing."""
    return SessionLimits(
        min((r.max_steps for r in rules if r.max_steps), default=config.max_steps),
        min((r.max_levels for r in rules if r.max_levels), default=config.max_levels),
        min((r.max_same_calls for r in rules if r.max_same_calls), default=config.max_same_calls),
        min((r.max_active_hours for r in rules if r.max_active_hours), default=config.max_active_hours),
    )
