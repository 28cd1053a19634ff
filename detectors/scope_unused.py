"""Scope unused: an agent is granted a scope that it has not used in a whole period. Rights to take away."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from pydantic import Field

from detectors.base import Case, Conclusion, DetectorConfig, runbook_of
from detectors.key import Key
from detectors.period_rule import PeriodRule
from detectors.policy_rule import Matching
from detectors.remembered import Remembered
from detectors.scopes import ScopeRule
from detectors.window import DAY_MS
from schemas.finding import Severity

if TYPE_CHECKING:
    import polars as pl

WILDCARDS = frozenset("*?[")


class ScopeUnusedConfig(DetectorConfig):
    """How long a granted scope may rest."""

    period_days: int = Field(default=30, ge=1)
    """Days of a period. Periods follow each other from 1970 on; the one in which an agent is first seen is
    not judged."""


class ScopeUnused(PeriodRule):
    """Granted scopes without wildcards that no event of an active agent carried in a whole period.

    By event time, once the watermark has passed the period. Never trips anything.
    """

    name: ClassVar[str] = "scope_unused"
    Config: ClassVar[type[DetectorConfig]] = ScopeUnusedConfig
    policy: ClassVar[str] = "scopes"
    severity: ClassVar[Severity] = "info"
    runbook: ClassVar[str] = runbook_of(name)
    needs: ClassVar[tuple[str, ...]] = ("scopes",)
    looks_at: ClassVar[tuple[str, ...]] = ("scopes",)
    columns: ClassVar[dict[str, type]] = {"env": str, "agent": str, "scope": str}
    cases: ClassVar[tuple[Case, ...]] = (
        Case(
            name="one of two granted scopes rests for a period",
            policy={"scopes": [{"granted": ["invoices:read", "invoices:write", "mail:*"]}]},
            events=[
                {"at_s": 0, "times": 70, "spread_s": 70 * 86400, "scopes": ["invoices:read"]},
                {"at_s": 0, "scopes": ["invoices:write"]},
            ],
            fires=["rule"],
        ),
        Case(
            name="all granted scopes are used, and an agent that rests itself",
            policy={"scopes": [{"granted": ["invoices:read", "invoices:write"]}]},
            events=[
                {"at_s": 0, "times": 70, "spread_s": 70 * 86400, "scopes": ["invoices:read"]},
                {"at_s": 0, "times": 70, "spread_s": 70 * 86400, "scopes": ["invoices:write"]},
                {"at_s": 0, "agent_id": "other", "scopes": ["invoices:write"]},
            ],
        ),
    )

    def __init__(self, config: ScopeUnusedConfig, rules: Sequence[ScopeRule]) -> None:
        super().__init__(config.period_days * DAY_MS)
        self.config = config
        self._matching = Matching(rules)
        self._rules = rules
        self._known = Remembered[tuple[str, str]]()

    def collect(self, rows: pl.DataFrame) -> pl.DataFrame:
        import polars as pl

        concerned = self._matching.concerned(rows).select("env", "agent", "event_ms", "scopes")
        return concerned.explode("scopes").with_columns(pl.col("scopes").fill_null("").alias("scope"))

    def judge(self, period: int, rows: pl.DataFrame) -> list[Conclusion]:
        used: dict[tuple[str, str], set[str]] = {}
        for env, agent, scope in rows.select("env", "agent", "scope").iter_rows():
            used.setdefault((env, agent), set()).add(scope)
        # Whether an agent was seen in an earlier period is known: periods are judged in order.
        return [
            self._conclusion(whose, scope, period)
            for whose, scopes in used.items()
            if not self._known.add(whose)
            for scope in sorted(self._granted(whose) - scopes)
        ]

    def _granted(self, whose: tuple[str, str]) -> set[str]:
        granted = {scope for position in self._matching.of(*whose) for scope in self._rules[position].granted}
        return {scope for scope in granted if not WILDCARDS & set(scope)}

    def _conclusion(self, whose: tuple[str, str], scope: str, period: int) -> Conclusion:
        days = self.config.period_days
        return Conclusion(
            key=Key(*whose, ""),
            window=(period * self.period_ms, (period + 1) * self.period_ms),
            time_base="event",
            summary=f"The agent is granted the scope {scope} and has not used it for {days} days",
            labels={"scope": scope},
            facts={"scope": scope, "period_days": days},
        )

    def state(self) -> Any:
        return {**super().state(), "known": list(self._known.items)}

    def load(self, state: Any) -> None:
        super().load(state)
        self._known = Remembered((env, agent) for env, agent in state["known"])
