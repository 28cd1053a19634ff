"""Throttling: an agent is slowed down by limits (429, quota) far more often than is normal for it."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from detectors.base import Case, DetectorConfig, FloorConfig, Seen, StatisticConfig, TestKind, runbook_of
from schemas.finding import Severity

if TYPE_CHECKING:
    import polars as pl


class ThrottlingConfig(DetectorConfig):
    """When being throttled becomes a finding."""

    statistic: StatisticConfig = StatisticConfig()
    """The test of the share of throttled steps against the agent's own."""
    floor: FloorConfig = FloorConfig(per_minute=120)
    """Throttled steps a minute that count without learning: who is told so often to wait does not wait."""


class Throttling:
    """Share of outcomes `throttled`."""

    name: ClassVar[str] = "throttling"
    Config: ClassVar[type[DetectorConfig]] = ThrottlingConfig
    severity: ClassVar[Severity] = "warning"
    runbook: ClassVar[str] = runbook_of(name)
    needs: ClassVar[tuple[str, ...]] = ("outcome", "http_status", "error_type")
    test: ClassVar[TestKind | None] = "ratio"
    hits_sql: ClassVar[str] = "outcome = 'throttled'"
    cases: ClassVar[tuple[Case, ...]] = (
        Case(
            name="an agent never seen before retries without waiting",
            events=[{"at_s": 0, "times": 150, "spread_s": 30, "outcome": "throttled"}],
            fires=["floor"],
            trips=True,
        ),
        Case(
            name="a few throttled steps an hour stay quiet",
            events=[
                {"at_s": 0, "times": 600, "spread_s": 7200, "outcome": "ok"},
                {"at_s": 30, "times": 12, "spread_s": 7200, "outcome": "throttled"},
            ],
        ),
        Case(
            name="a quota runs out",
            events=[
                {"at_s": 0, "times": 3000, "spread_s": 18_000, "outcome": "ok"},
                {"at_s": 18_000, "times": 60, "spread_s": 900, "outcome": "throttled"},
                {"at_s": 18_900, "times": 3, "spread_s": 240, "outcome": "ok"},
            ],
            fires=["statistical"],
        ),
    )

    def __init__(self, config: ThrottlingConfig) -> None:
        self.config = config
        self.statistic = config.statistic
        self.floor: FloorConfig | None = config.floor

    def hits(self) -> pl.Expr:
        import polars as pl

        return pl.col("outcome") == "throttled"

    def eligible(self) -> pl.Expr:
        import polars as pl

        return pl.lit(value=True)

    def floor_hits(self) -> pl.Expr:
        return self.hits()

    def say_statistic(self, seen: Seen) -> str:
        return (
            f"Throttling has risen: {seen.hits} of {seen.eligible} steps in this minute, "
            f"{seen.baseline:.1%} is normal (e-value 1e{seen.log10_e:.0f})"
        )

    def say_floor(self, per_minute: int) -> str:
        return f"At least {per_minute} throttled steps within one minute: the agent does not back off"
