"""Authorization failures: an agent is refused again and again, as one that probes for access is."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from detectors.base import Case, DetectorConfig, FloorConfig, Seen, StatisticConfig, TestKind, runbook_of
from schemas.finding import Severity

if TYPE_CHECKING:
    import polars as pl


class AuthFailureConfig(DetectorConfig):
    """When being refused becomes a finding."""

    statistic: StatisticConfig = StatisticConfig()
    """The test of the share of refusals against the agent's own."""
    floor: FloorConfig = FloorConfig(per_minute=20)
    """Refusals a minute that count without learning."""


class AuthFailure:
    """Share of outcomes `denied`: authentication or authorization refused."""

    name: ClassVar[str] = "auth_failure"
    Config: ClassVar[type[DetectorConfig]] = AuthFailureConfig
    severity: ClassVar[Severity] = "critical"
    runbook: ClassVar[str] = runbook_of(name)
    needs: ClassVar[tuple[str, ...]] = ("outcome", "http_status", "error_type")
    test: ClassVar[TestKind | None] = "ratio"
    hits_sql: ClassVar[str] = "outcome = 'denied'"
    cases: ClassVar[tuple[Case, ...]] = (
        Case(
            name="30 refusals of an agent never seen before, across the minute",
            events=[{"at_s": 50, "times": 30, "spread_s": 20, "outcome": "denied"}],
            fires=["floor"],
            trips=True,
        ),
        Case(
            name="a few refusals an hour stay quiet",
            events=[
                {"at_s": 0, "times": 600, "spread_s": 7200, "outcome": "ok"},
                {"at_s": 30, "times": 6, "spread_s": 7200, "outcome": "denied"},
            ],
        ),
        Case(
            name="slow probing, under the floor",
            events=[
                {"at_s": 0, "times": 3000, "spread_s": 18_000, "outcome": "ok"},
                {"at_s": 18_000, "times": 60, "spread_s": 900, "outcome": "denied"},
                {"at_s": 18_900, "times": 3, "spread_s": 240, "outcome": "ok"},
            ],
            fires=["statistical"],
        ),
    )

    def __init__(self, config: AuthFailureConfig) -> None:
        self.config = config
        self.statistic = config.statistic
        self.floor: FloorConfig | None = config.floor

    def hits(self) -> pl.Expr:
        import polars as pl

        return pl.col("outcome") == "denied"

    def eligible(self) -> pl.Expr:
        import polars as pl

        return pl.lit(value=True)

    def floor_hits(self) -> pl.Expr:
        return self.hits()

    def say_statistic(self, seen: Seen) -> str:
        return (
            f"Refused authorizations have risen: {seen.hits} of {seen.eligible} steps in this minute, "
            f"{seen.baseline:.1%} is normal (e-value 1e{seen.log10_e:.0f})"
        )

    def say_floor(self, per_minute: int) -> str:
        return f"At least {per_minute} refused authorizations within one minute"
