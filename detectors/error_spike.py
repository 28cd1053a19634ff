"""Error spike: a larger share of an agent's steps fails or times out than is normal for it."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from detectors.base import Case, DetectorConfig, FloorConfig, Seen, StatisticConfig, TestKind, runbook_of
from schemas.finding import Severity

if TYPE_CHECKING:
    import polars as pl

FAILED = ["error", "timeout"]
REFUSED = ["denied", "throttled"]


class ErrorSpikeConfig(DetectorConfig):
    """When failing becomes a finding."""

    statistic: StatisticConfig = StatisticConfig()
    """The test of the share of failures against the agent's own."""
    floor: FloorConfig = FloorConfig(per_minute=30)
    """Failures a minute that count without learning, while at least half of the steps fail."""


class ErrorSpike:
    """Share of outcomes `error` and `timeout` among the steps that were not refused."""

    name: ClassVar[str] = "error_spike"
    Config: ClassVar[type[DetectorConfig]] = ErrorSpikeConfig
    severity: ClassVar[Severity] = "warning"
    runbook: ClassVar[str] = runbook_of(name)
    needs: ClassVar[tuple[str, ...]] = ("status", "outcome")
    test: ClassVar[TestKind | None] = "ratio"
    hits_sql: ClassVar[str] = "outcome in ('error', 'timeout')"
    cases: ClassVar[tuple[Case, ...]] = (
        Case(
            name="a tool breaks for an agent never seen before",
            events=[{"at_s": 0, "times": 60, "spread_s": 20, "outcome": "error"}],
            fires=["floor"],
            trips=True,
        ),
        Case(
            name="a busy agent with its usual few errors stays quiet",
            events=[
                {"at_s": 0, "times": 1000, "spread_s": 60, "outcome": "ok"},
                {"at_s": 0.01, "times": 60, "spread_s": 60, "outcome": "error"},
            ],
        ),
        Case(
            name="the share of errors jumps after a quiet morning",
            events=[
                {"at_s": 0, "times": 6000, "spread_s": 18_000, "outcome": "ok"},
                {"at_s": 18_000, "times": 150, "spread_s": 600, "outcome": "error"},
                {"at_s": 18_600, "times": 10, "spread_s": 300, "outcome": "ok"},
            ],
            fires=["statistical"],
        ),
        Case(
            name="most calls fail for three hours",
            events=[
                {"at_s": 0, "times": 3000, "spread_s": 18_000, "outcome": "ok"},
                {"at_s": 18_000, "times": 720, "spread_s": 10_800, "outcome": "error"},
                {"at_s": 18_010, "times": 240, "spread_s": 10_800, "outcome": "ok"},
            ],
            fires=["statistical", "statistical"],  # a page within minutes, a trip in the third hour
            trips=True,
        ),
    )

    def __init__(self, config: ErrorSpikeConfig) -> None:
        self.config = config
        self.statistic = config.statistic
        self.floor: FloorConfig | None = config.floor

    def hits(self) -> pl.Expr:
        import polars as pl

        return pl.col("outcome").is_in(FAILED)

    def eligible(self) -> pl.Expr:
        import polars as pl

        return ~pl.col("outcome").is_in(REFUSED)

    def floor_hits(self) -> pl.Expr:
        import polars as pl

        return pl.col("in_error_run")

    def say_statistic(self, seen: Seen) -> str:
        return (
            f"Errors have risen: {seen.hits} of {seen.eligible} steps failed in this minute, "
            f"{seen.baseline:.1%} is normal (e-value 1e{seen.log10_e:.0f})"
        )

    def say_floor(self, per_minute: int) -> str:
        return f"At least {per_minute} steps failed within one minute, at least half of all its steps"
