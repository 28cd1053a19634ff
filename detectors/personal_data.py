"""Personal data: far more of an agent's steps than usual carry it, or a great deal of it at once."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from detectors.base import Case, DetectorConfig, FloorConfig, Seen, StatisticConfig, TestKind, runbook_of
from schemas.finding import Severity

if TYPE_CHECKING:
    import polars as pl


class PersonalDataConfig(DetectorConfig):
    """When personal data in steps becomes a finding."""

    statistic: StatisticConfig = StatisticConfig(slack=2.0)
    """The test of the share of steps that carry personal data against the agent's own."""
    floor: FloorConfig = FloorConfig(per_minute=2000)
    """Personal values a minute that count without learning. Lower it for agents that see one customer at a
    time."""


class PersonalData:
    """Steps in which redaction found personal values, beside the step's own user and principal.

    Counts are of input and output together: a signal does not tell which held the value. Secrets are
    the detector `secret_exposure`'s.
    """

    name: ClassVar[str] = "personal_data"
    Config: ClassVar[type[DetectorConfig]] = PersonalDataConfig
    severity: ClassVar[Severity] = "warning"
    runbook: ClassVar[str] = runbook_of(name)
    needs: ClassVar[tuple[str, ...]] = ("redactions",)
    test: ClassVar[TestKind | None] = "ratio"
    hits_sql: ClassVar[str] = "cardinality(redactions) > 0"
    cases: ClassVar[tuple[Case, ...]] = (
        Case(
            name="an agent never seen before reads a customer table",
            events=[
                {
                    "at_s": 0,
                    "times": 10,
                    "spread_s": 20,
                    "redactions": [{"key": "EMAIL_ADDRESS", "value": 120}, {"key": "PERSON", "value": 120}],
                }
            ],
            fires=["floor"],
            trips=True,
        ),
        Case(
            name="the user of each step is no finding",
            events=[
                {
                    "at_s": 0,
                    "times": 3000,
                    "spread_s": 60,
                    "end_user": "<EMAIL_ADDRESS:k1.0000000000000001>",
                    "redactions": [{"key": "EMAIL_ADDRESS", "value": 1}],
                }
            ],
        ),
        Case(
            name="a tool that returned codes returns people",
            events=[
                {"at_s": 0, "times": 3000, "spread_s": 18_000},
                {
                    "at_s": 18_000,
                    "times": 60,
                    "spread_s": 900,
                    "redactions": [{"key": "PERSON", "value": 1}],
                },
                {"at_s": 18_900, "times": 3, "spread_s": 240},
            ],
            fires=["statistical"],
        ),
    )

    def __init__(self, config: PersonalDataConfig) -> None:
        self.config = config
        self.statistic = config.statistic
        self.floor: FloorConfig | None = config.floor

    def hits(self) -> pl.Expr:
        import polars as pl

        return pl.col("personal_values") > 0

    def eligible(self) -> pl.Expr:
        import polars as pl

        return pl.lit(value=True)

    def floor_hits(self) -> pl.Expr:
        import polars as pl

        return pl.col("personal_values")

    def say_statistic(self, seen: Seen) -> str:
        return (
            f"More steps carry personal data: {seen.hits} of {seen.eligible} in this minute, "
            f"{seen.baseline:.1%} is normal (e-value 1e{seen.log10_e:.0f})"
        )

    def say_floor(self, per_minute: int) -> str:
        return f"At least {per_minute} personal values passed through the agent within one minute"
