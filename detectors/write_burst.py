"""Write burst: an agent writes far more often than it usually does, or than any agent should."""

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


class WriteBurstConfig(DetectorConfig):
    """When writing becomes a finding."""

    statistic: StatisticConfig = RATE_STATISTIC
    """The test of writes a minute against the agent's own rate."""
    floor: FloorConfig = FloorConfig(per_minute=120)
    """Writes a minute that no agent should make. Raise it for agents that write in bulk."""


class WriteBurst:
    """Actions of kind `write` that were not refused, a minute."""

    name: ClassVar[str] = "write_burst"
    Config: ClassVar[type[DetectorConfig]] = WriteBurstConfig
    severity: ClassVar[Severity] = "critical"
    runbook: ClassVar[str] = runbook_of(name)
    needs: ClassVar[tuple[str, ...]] = ("action_kind",)
    test: ClassVar[TestKind | None] = "rate"
    hits_sql: ClassVar[str] = "action_kind = 'write' and outcome not in ('denied', 'throttled')"
    cases: ClassVar[tuple[Case, ...]] = (
        Case(
            name="an agent never seen before writes 150 times in 30 seconds",
            events=[{"at_s": 0, "times": 150, "spread_s": 30, "action_kind": "write"}],
            fires=["floor"],
            trips=True,
        ),
        Case(
            name="as many reads stay quiet",
            events=[{"at_s": 0, "times": 1500, "spread_s": 30, "action_kind": "read"}],
        ),
        Case(
            name="five writes an hour become forty a minute",
            events=[
                {"at_s": 0, "times": 600, "spread_s": 432_000, "action_kind": "write"},
                {"at_s": 432_000, "times": 400, "spread_s": 600, "action_kind": "write"},
                {"at_s": 432_600, "times": 3, "spread_s": 180, "action_kind": "read"},
            ],
            fires=["statistical"],
        ),
    )

    def __init__(self, config: WriteBurstConfig) -> None:
        self.config = config
        self.statistic = config.statistic
        self.floor: FloorConfig | None = config.floor

    def hits(self) -> pl.Expr:
        import polars as pl

        return (pl.col("action_kind") == "write") & ~pl.col("outcome").is_in(["denied", "throttled"])

    def eligible(self) -> pl.Expr:
        import polars as pl

        return pl.lit(value=True)

    def floor_hits(self) -> pl.Expr:
        return self.hits()

    def say_statistic(self, seen: Seen) -> str:
        return (
            f"Writes have risen: at least {seen.hits} in this minute and {seen.hour_hits:,} in this "
            f"hour, {seen.baseline:.2g} a minute is normal "
            f"(e-value 1e{seen.log10_e:.0f})"
        )

    def say_floor(self, per_minute: int) -> str:
        return f"At least {per_minute} writes within one minute, the limit for any agent"
