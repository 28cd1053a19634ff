"""Old credential: a credential is in use for longer than the policy allows, and should have been rotated."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from detectors.base import Case, Conclusion, DetectorConfig, runbook_of
from detectors.credentials import CredentialRule, FirstUses, rules_for
from detectors.key import Key
from detectors.period_rule import PeriodRule
from detectors.row_rule import quoted
from detectors.window import DAY_MS
from schemas.finding import Severity

if TYPE_CHECKING:
    import polars as pl


class OldCredentialConfig(DetectorConfig):
    """How old credentials may be is a matter of the policy."""


class OldCredential(PeriodRule):
    """Days (UTC, event time) on which a credential was used although it was older than its `max_age_days`
    as the day began. Age counts from `issued`, else from the first punctual use that was seen. Judged when
    the day is over; never trips anything.
    """

    name: ClassVar[str] = "old_credential"
    Config: ClassVar[type[DetectorConfig]] = OldCredentialConfig
    policy: ClassVar[str] = "credentials"
    severity: ClassVar[Severity] = "warning"
    runbook: ClassVar[str] = runbook_of(name)
    across_agents: ClassVar[bool] = True
    needs: ClassVar[tuple[str, ...]] = ("credential_id",)
    looks_at: ClassVar[tuple[str, ...]] = ("credential_id",)
    columns: ClassVar[dict[str, type]] = {"credential": str, "env": str, "agent": str}
    cases: ClassVar[tuple[Case, ...]] = (
        Case(
            name="in use for nine days where a week is allowed",
            policy={"credentials": [{"max_age_days": 7}]},
            events=[{"at_s": 0, "times": 10, "spread_s": 10 * 86400, "credential_id": "k"}],
            fires=["rule"],
        ),
        Case(
            name="issued long ago",
            policy={"credentials": [{"ids": ["k"], "max_age_days": 90, "issued": "2026-01-01"}]},
            events=[{"at_s": 0, "credential_id": "k"}, {"at_s": 86400}],
            fires=["rule"],
        ),
        Case(
            name="rotated in time",
            policy={"credentials": [{"max_age_days": 7}]},
            events=[
                {"at_s": 0, "times": 6, "spread_s": 6 * 86400, "credential_id": "k"},
                {"at_s": 6 * 86400, "times": 6, "spread_s": 6 * 86400, "credential_id": "l"},
            ],
        ),
    )

    def __init__(self, config: OldCredentialConfig, rules: Sequence[CredentialRule]) -> None:
        super().__init__(DAY_MS)
        self.config = config
        self._rules = [rule for rule in rules if rule.max_age_days]
        self._first = FirstUses()

    def collect(self, rows: pl.DataFrame) -> pl.DataFrame:
        import polars as pl

        used = rows.filter(pl.col("credential_id").is_not_null())
        return used.rename({"credential_id": "credential"})

    def observe(self, rows: pl.DataFrame) -> list[Conclusion]:
        return super().observe(rows) if self._rules else []

    def judge(self, period: int, rows: pl.DataFrame) -> list[Conclusion]:
        uses = [row for row in rows.iter_rows() if rules_for(self._rules, row[0])]
        self._first.learn((credential, at_ms, env) for credential, env, _, at_ms in uses)
        return [
            self._conclusion(credential, Key(env, agent, ""), days, period)
            for credential, env, agent, _ in uses
            if (days := self._exceeded_days(credential, period * DAY_MS)) is not None
        ]

    def _exceeded_days(self, credential: str, now_ms: int) -> int | None:
        """The strictest limit that the credential is over, in days."""
        exceeded = [
            rule.max_age_days
            for rule in rules_for(self._rules, credential)
            if rule.max_age_days
            and now_ms - (rule.issued_ms or self._first[credential].at_ms) > rule.max_age_days * DAY_MS
        ]
        return min(exceeded, default=None)

    def _conclusion(self, credential: str, key: Key, max_age_days: int, day: int) -> Conclusion:
        return Conclusion(
            key=key,
            window=(day * DAY_MS, (day + 1) * DAY_MS),
            time_base="event",
            summary=f"The credential {credential} is older than the {max_age_days} days allowed",
            labels={"credential": credential},
            facts={"credential": credential, "max_age_days": max_age_days},
            condition=f"credential_id = {quoted(credential)}",
        )

    def state(self) -> Any:
        return {**super().state(), "first": self._first.state()}

    def load(self, state: Any) -> None:
        super().load(state)
        self._first.load(state["first"])
