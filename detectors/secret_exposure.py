"""Secret exposure: keys, tokens or passwords appear in an agent's steps."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from detectors.base import Case, DetectorConfig, FloorConfig, Seen, StatisticConfig, TestKind, runbook_of
from schemas.finding import Severity

if TYPE_CHECKING:
    import polars as pl


class SecretExposureConfig(DetectorConfig):
    """When secrets in steps become a finding."""

    statistic: StatisticConfig = StatisticConfig()
    """The test of the share of steps that carry a secret against the agent's own."""
    floor: FloorConfig = FloorConfig(per_minute=20)
    """Secrets a minute that count without learning."""


class SecretExposure:
    """Steps in which redaction found secrets. What is stored holds none of them; whoever the agent
    spoke to may."""

    name: ClassVar[str] = "secret_exposure"
    Config: ClassVar[type[DetectorConfig]] = SecretExposureConfig
    severity: ClassVar[Severity] = "critical"
    runbook: ClassVar[str] = runbook_of(name)
    needs: ClassVar[tuple[str, ...]] = ("redactions",)
    test: ClassVar[TestKind | None] = "ratio"
    hits_sql: ClassVar[str] = "cardinality(redactions) > 0"
    cases: ClassVar[tuple[Case, ...]] = (
        Case(
            name="an agent never seen before reads a file of credentials",
            events=[
                {"at_s": 0, "times": 3, "spread_s": 3, "redactions": [{"key": "AWS_ACCESS_KEY", "value": 8}]}
            ],
            fires=["floor"],
            trips=True,
        ),
        Case(
            name="one password in a chat stays quiet",
            events=[
                {"at_s": 0, "times": 100, "spread_s": 60},
                {"at_s": 30, "redactions": [{"key": "PASSWORD", "value": 1}, {"key": "PERSON", "value": 40}]},
            ],
        ),
        Case(
            name="a tool begins to print its token with every answer",
            events=[
                {"at_s": 0, "times": 3000, "spread_s": 18_000},
                {"at_s": 18_000, "times": 60, "spread_s": 900, "redactions": [{"key": "JWT", "value": 1}]},
                {"at_s": 18_900, "times": 3, "spread_s": 240},
            ],
            fires=["statistical"],
        ),
    )

    def __init__(self, config: SecretExposureConfig) -> None:
        self.config = config
        self.statistic = config.statistic
        self.floor: FloorConfig | None = config.floor

    def hits(self) -> pl.Expr:
        import polars as pl

        return pl.col("secret_values") > 0

    def eligible(self) -> pl.Expr:
        import polars as pl

        return pl.lit(value=True)

    def floor_hits(self) -> pl.Expr:
        import polars as pl

        return pl.col("secret_values")

    def say_statistic(self, seen: Seen) -> str:
        return (
            f"More steps carry secrets: {seen.hits} of {seen.eligible} in this minute, "
            f"{seen.baseline:.1%} is normal (e-value 1e{seen.log10_e:.0f})"
        )

    def say_floor(self, per_minute: int) -> str:
        return f"At least {per_minute} secrets passed through the agent within one minute"
