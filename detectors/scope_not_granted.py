"""Scope not granted: an agent acts under a scope that the policy does not grant it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, ClassVar

from detectors.base import Case, DetectorConfig, runbook_of
from detectors.globs import first_match
from detectors.policy_rule import Labels, Matching, judged
from detectors.row_rule import RowRule, quoted
from detectors.scopes import ScopeRule
from schemas.finding import Severity

if TYPE_CHECKING:
    import polars as pl


class ScopeNotGrantedConfig(DetectorConfig):
    """What is granted is a matter of the policy."""


class ScopeNotGranted(RowRule):
    """Scopes in an event's `scopes` that no rule for its agent grants. Once per scope and hour.

    Refused steps count as well: the agent holds the scope, whatever became of the call.
    """

    name: ClassVar[str] = "scope_not_granted"
    Config: ClassVar[type[DetectorConfig]] = ScopeNotGrantedConfig
    policy: ClassVar[str] = "scopes"
    severity: ClassVar[Severity] = "critical"
    runbook: ClassVar[str] = runbook_of(name)
    needs: ClassVar[tuple[str, ...]] = ("scopes",)
    labels: ClassVar[tuple[str, ...]] = ("scope",)
    looks_at: ClassVar[tuple[str, ...]] = ("scopes",)
    cases: ClassVar[tuple[Case, ...]] = (
        Case(
            name="a scope beyond those granted",
            policy={"scopes": [{"agents": ["case-agent"], "granted": ["invoices:*"]}]},
            events=[{"at_s": 0, "scopes": ["invoices:read", "payments:write"]}],
            fires=["rule"],
            trips=True,
        ),
        Case(
            name="scopes that two rules grant together",
            policy={"scopes": [{"granted": ["invoices:read"]}, {"agents": ["case-*"], "granted": ["mail"]}]},
            events=[{"at_s": 0, "times": 5, "spread_s": 5, "scopes": ["invoices:read", "mail"]}],
        ),
    )

    def __init__(self, config: ScopeNotGrantedConfig, rules: Sequence[ScopeRule]) -> None:
        super().__init__()
        self.config = config
        self._matching = Matching(rules)

    def violations(self, rows: pl.DataFrame) -> pl.DataFrame:
        import polars as pl

        scoped = self._matching.concerned(rows.filter(pl.col("scopes").list.len() > 0))
        return judged(scoped.explode("scopes"), ("rules", "scopes"), self.labels, self._judge)

    def _judge(self, rules: int, scope: str | None) -> list[Labels]:
        granted = any(first_match(rule.granted, scope) for rule in self._matching.rules(rules))
        return [] if granted or scope is None else [(scope,)]

    def say(self, labels: Mapping[str, str]) -> str:
        return f"The agent acts under the scope {labels['scope']}, which the policy does not grant it"

    def condition(self, labels: Mapping[str, str]) -> str:
        return f"list_contains(scopes, {quoted(labels['scope'])})"
