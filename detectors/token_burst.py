"""Token burst: an agent uses far more tokens than it usually does. Cost follows tokens."""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field

from detectors.base import RATE_STATISTIC, Case, DetectorConfig, Seen, StatisticConfig, runbook_of
from schemas.finding import Severity

TOKEN_STATISTIC = RATE_STATISTIC.model_copy(update={"minute_factor": 1e4, "learning_minutes": 180})
SIZE_STATISTIC = StatisticConfig(minute_factor=30, learning_minutes=180)


class TokenBurstConfig(DetectorConfig):
    """When using tokens becomes a finding."""

    statistic: StatisticConfig = TOKEN_STATISTIC
    """The test of tokens a minute against the agent's own rate, in units of its large calls."""
    size: StatisticConfig = SIZE_STATISTIC
    """The test of the share of large calls against the agent's own. It pages and may trip with the evidence
    that `statistic` needs."""
    tolerance: float = Field(default=1.5, ge=1)
    """A call is large when it uses so many times the pinned 95th percentile; rounded up to a third of
    an octave."""
    pin_calls: int = Field(default=100, ge=20)
    """The agent's 95th percentile of tokens a call is pinned after so many calls; larger calls count as
    one unit each, however large, so that a heavy tail is no burst."""


class TokenBurst:
    """Input and output tokens a minute, every call capped at the agent's pinned p95; and the share of calls
    far above it."""

    name: ClassVar[str] = "token_burst"
    Config: ClassVar[type[DetectorConfig]] = TokenBurstConfig
    severity: ClassVar[Severity] = "warning"
    runbook: ClassVar[str] = runbook_of(name)
    needs: ClassVar[tuple[str, ...]] = ("input_tokens", "output_tokens")
    cases: ClassVar[tuple[Case, ...]] = (
        Case(
            name="five calls an hour become forty a minute",
            events=[
                {"at_s": 0, "times": 600, "spread_s": 432_000, "input_tokens": 900, "output_tokens": 100},
                {"at_s": 432_000, "times": 400, "spread_s": 600, "input_tokens": 900, "output_tokens": 100},
                {"at_s": 432_600, "times": 3, "spread_s": 180},
            ],
            fires=["statistical"],
        ),
        Case(
            name="as many calls, each ten times as large",
            events=[
                {"at_s": 0, "times": 1500, "spread_s": 18_000, "input_tokens": 900, "output_tokens": 100},
                {"at_s": 18_000, "times": 150, "spread_s": 1800, "input_tokens": 9_000, "output_tokens": 900},
                {"at_s": 19_800, "times": 3, "spread_s": 180},
            ],
            fires=["statistical"],
        ),
        Case(
            name="a single call of a million tokens stays quiet",
            events=[
                {"at_s": 0, "times": 300, "spread_s": 18_000, "input_tokens": 900, "output_tokens": 100},
                {"at_s": 18_000, "times": 1, "input_tokens": 1_000_000},
                {"at_s": 18_060, "times": 5, "spread_s": 300, "input_tokens": 900},
            ],
        ),
    )

    def __init__(self, config: TokenBurstConfig) -> None:
        self.config = config

    def say_grown(self, seen: Seen, above: int) -> str:
        """`above`: tokens from which a call is large."""
        return (
            f"Calls have grown: {seen.hits} of {seen.eligible} in this minute used {above:,} tokens or more, "
            f"{seen.baseline:.1%} is normal (e-value 1e{seen.log10_e:.0f})"
        )

    def say_risen(self, seen: Seen, used: int, cap: int) -> str:
        """`used`: tokens of the minute, large calls capped; `cap`: tokens that make a unit."""
        return (
            f"Tokens have risen: {seen.eligible} calls used at least {used:,} in this minute, "
            f"{seen.baseline * cap:,.0f} a minute is normal (e-value 1e{seen.log10_e:.0f})"
        )
