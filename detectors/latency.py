"""Latency: a larger share of an agent's calls takes longer than its usual slow ones."""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field

from detectors.base import Case, DetectorConfig, Seen, StatisticConfig, runbook_of
from schemas.finding import Severity

LATENCY_STATISTIC = StatisticConfig(minute_factor=30, learning_minutes=180)


class LatencyConfig(DetectorConfig):
    """When slow calls become a finding."""

    statistic: StatisticConfig = LATENCY_STATISTIC
    """The test of the share of slow calls against the agent's own. A minute counts for little, so that a
    stall of a minute or two is no finding."""
    tolerance: float = Field(default=1.5, ge=1)
    """A call is slow when it takes so many times the 95th percentile that was pinned for its agent and
    action; rounded up to a third of an octave."""
    pin_calls: int = Field(default=100, ge=20)
    """The 95th percentile of an action is pinned after so many of its calls."""


class Latency:
    """Share of calls above the agent's pinned p95 for the same action, times the tolerance."""

    name: ClassVar[str] = "latency"
    Config: ClassVar[type[DetectorConfig]] = LatencyConfig
    severity: ClassVar[Severity] = "warning"
    runbook: ClassVar[str] = runbook_of(name)
    needs: ClassVar[tuple[str, ...]] = ("duration_ns",)
    cases: ClassVar[tuple[Case, ...]] = (
        Case(
            name="calls of 200 ms take two seconds",
            events=[
                {"at_s": 0, "times": 6000, "spread_s": 18_000, "duration_ns": 200_000_000},
                {"at_s": 18_000, "times": 240, "spread_s": 720, "duration_ns": 2_000_000_000},
                {"at_s": 18_720, "times": 10, "spread_s": 300, "duration_ns": 200_000_000},
            ],
            fires=["statistical"],
        ),
        Case(
            name="a stall of two minutes stays quiet",
            events=[
                {"at_s": 0, "times": 6000, "spread_s": 18_000, "duration_ns": 200_000_000},
                {"at_s": 18_000, "times": 40, "spread_s": 110, "duration_ns": 2_000_000_000},
                {"at_s": 18_120, "times": 100, "spread_s": 300, "duration_ns": 200_000_000},
            ],
        ),
        Case(
            name="more of a slow action is no regression",
            events=[
                {"at_s": 0, "times": 6000, "spread_s": 18_000, "duration_ns": 200_000_000, "action": "f"},
                {
                    "at_s": 0.5,
                    "times": 300,
                    "spread_s": 18_000,
                    "duration_ns": 9_000_000_000,
                    "action": "s",
                },
                {"at_s": 18_000, "times": 90, "spread_s": 600, "duration_ns": 9_000_000_000, "action": "s"},
                {"at_s": 18_600, "times": 10, "spread_s": 300, "duration_ns": 200_000_000, "action": "f"},
            ],
        ),
    )

    def __init__(self, config: LatencyConfig) -> None:
        self.config = config

    def say(self, seen: Seen, action: str, above_ms: float) -> str:
        """`action` is the one with most slow calls, `above_ms` what is slow for it."""
        return (
            f"Calls have become slow: {seen.hits} of {seen.eligible} in this minute, most of them {action} "
            f"(over {above_ms:,.0f} ms); {seen.baseline:.1%} is normal (e-value 1e{seen.log10_e:.0f})"
        )
