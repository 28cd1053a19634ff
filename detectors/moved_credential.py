"""Moved credential: a credential that was first seen in one environment is used in another."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from detectors.base import Case, Conclusion, DetectorConfig, runbook_of
from detectors.credentials import CredentialRule, FirstUses, rules_for
from detectors.key import Key
from detectors.period_rule import PeriodRule
from detectors.row_rule import quoted
from detectors.window import HOUR_MS
from schemas.finding import Severity

if TYPE_CHECKING:
    import polars as pl


class MovedCredentialConfig(DetectorConfig):
    """Which credentials must stay is a matter of the policy."""


class MovedCredential(PeriodRule):
    """Punctual steps of bound sources under a credential that must stay in one environment
    (`one_environment`), in another than that of its first use. Once per credential and hour of event time,
    when that hour is over.
    """

    name: ClassVar[str] = "moved_credential"
    Config: ClassVar[type[DetectorConfig]] = MovedCredentialConfig
    policy: ClassVar[str] = "credentials"
    severity: ClassVar[Severity] = "critical"
    runbook: ClassVar[str] = runbook_of(name)
    across_agents: ClassVar[bool] = True
    needs: ClassVar[tuple[str, ...]] = ("credential_id", "environment")
    looks_at: ClassVar[tuple[str, ...]] = ("credential_id",)
    columns: ClassVar[dict[str, type]] = {"credential": str, "env": str, "agent": str, "via": str}
    cases: ClassVar[tuple[Case, ...]] = (
        Case(
            name="a credential of prod turns up in staging",
            policy={"credentials": [{"one_environment": True}]},
            events=[
                {"at_s": 0, "times": 5, "spread_s": 7200, "environment": "prod", "credential_id": "k"},
                {"at_s": 3000, "environment": "staging", "credential_id": "k"},
                {"at_s": 7200},
            ],
            fires=["rule"],
            trips=True,
        ),
        Case(
            name="each environment has its own",
            policy={"credentials": [{"one_environment": True}]},
            events=[
                {"at_s": 0, "environment": "prod", "credential_id": "k"},
                {"at_s": 1, "environment": "staging", "credential_id": "l"},
                {"at_s": 7200},
            ],
        ),
    )

    def __init__(self, config: MovedCredentialConfig, rules: Sequence[CredentialRule]) -> None:
        super().__init__(HOUR_MS)
        self.config = config
        self._rules = [rule for rule in rules if rule.one_environment]
        self._first = FirstUses()

    def collect(self, rows: pl.DataFrame) -> pl.DataFrame:
        import polars as pl

        used = rows.filter(pl.col("credential_id").is_not_null())
        return used.rename({"credential_id": "credential"})

    def observe(self, rows: pl.DataFrame) -> list[Conclusion]:
        return super().observe(rows) if self._rules else []

    def judge(self, period: int, rows: pl.DataFrame) -> list[Conclusion]:
        uses = [row for row in rows.iter_rows() if rules_for(self._rules, row[0])]
        self._first.learn((credential, at_ms, env) for credential, env, *_, at_ms in uses)
        return [
            self._conclusion(credential, Key(env, agent, via), home, period)
            for credential, env, agent, via, *_ in uses
            if env != (home := self._first[credential].environment)
        ]

    def _conclusion(self, credential: str, key: Key, home: str, hour: int) -> Conclusion:
        return Conclusion(
            key=key,
            window=(hour * HOUR_MS, (hour + 1) * HOUR_MS),
            time_base="event",
            summary=f"The credential {credential}, first used in {home}, is used in {key.environment}",
            labels={"credential": credential},
            facts={"credential": credential, "first_environment": home},
            may_trip=key.may_trip,
            condition=f"credential_id = {quoted(credential)}",
        )

    def state(self) -> Any:
        return {**super().state(), "first": self._first.state()}

    def load(self, state: Any) -> None:
        super().load(state)
        self._first.load(state["first"])
