"""External burst: an agent acts on the outside (mail, payments) far more often than it usually does."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from detectors.base import (
    RATE_STATISTIC,
    Case,
    DetectorConfig,
    FloorConfig,
    Seen,
    StatisticConfig,
    TestKind,
    runbook_of,
)
from schemas.finding import Severity

if TYPE_CHECKING:
    import polars as pl


class ExternalBurstConfig(DetectorConfig):
    """When acting on the outside becomes a finding."""

    statistic: StatisticConfig = RATE_STATISTIC
    """The test of external actions a minute against the agent's own rate."""
    floor: FloorConfig = FloorConfig(per_minute=60)
    """External actions a minute that no agent should make. Raise it for agents that send in bulk."""


class ExternalBurst:
    """Actions of kind `external` that were not refused, a minute."""

    name: ClassVar[str] = "external_burst"
    Config: ClassVar[type[DetectorConfig]] = ExternalBurstConfig
    severity: ClassVar[Severity] = "critical"
    runbook: ClassVar[str] = runbook_of(name)
    needs: ClassVar[tuple[str, ...]] = ("action_kind",)
    test: ClassVar[TestKind | None] = "rate"
    hits_sql: ClassVar[str] = "action_kind = 'external' and outcome not in ('denied', 'throttled')"
    cases: ClassVar[tuple[Case, ...]] = (
        Case(
            name="an agent never seen before sends 80 messages in 30 seconds",
            events=[{"at_s": 0, "times": 80, "spread_s": 30, "action_kind": "external"}],
            fires=["floor"],
            trips=True,
        ),
        Case(
            name="as many that were refused stay quiet",
            events=[
                {"at_s": 0, "times": 80, "spread_s": 300, "action_kind": "external", "outcome": "throttled"}
            ],
        ),
        Case(
            name="five messages an hour become thirty a minute",
            events=[
                {"at_s": 0, "times": 600, "spread_s": 432_000, "action_kind": "external"},
                {"at_s": 432_000, "times": 300, "spread_s": 600, "action_kind": "external"},
                {"at_s": 432_600, "times": 3, "spread_s": 180, "action_kind": "read"},
            ],
            fires=["statistical"],
        ),
    )

    def __init__(self, config: ExternalBurstConfig) -> None:
        self.config = config
        self.statistic = config.statistic
        self.floor: FloorConfig | None = config.floor

    def hits(self) -> pl.Expr:
        import polars as pl

        return (pl.col("action_kind") == "external") & ~pl.col("outcome").is_in(["denied", "throttled"])

    def eligible(self) -> pl.Expr:
        import polars as pl

        return pl.lit(value=True)

    def floor_hits(self) -> pl.Expr:
        return self.hits()

    def say_statistic(self, seen: Seen) -> str:
        return (
            f"External actions have risen: at least {seen.hits} in this minute and {seen.hour_hits:,} in "
            f"this hour, {seen.baseline:.2g} a minute is normal "
            f"(e-value 1e{seen.log10_e:.0f})"
        )

    def say_floor(self, per_minute: int) -> str:
        return f"At least {per_minute} external actions within one minute, the limit for any agent"
