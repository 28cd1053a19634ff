"""Canary: a version on trial does worse than the stable one of the same agent."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import ClassVar, Literal

import msgspec
from pydantic import Field

from detectors.base import Case, DetectorConfig, runbook_of
from schemas.finding import Severity

Verdict = Literal["worse", "not worse", "not yet"]
MEASURES = ("failed", "denied", "slow", "actions")
"""Shares of traces: with a failed step, with a refused one, with a slow call, with each action."""
WORDS = {
    "failed": "failed steps",
    "denied": "refused steps",
    "slow": "slow calls",
    "actions": "another mix of actions",
}


class CanaryConfig(DetectorConfig):
    """When a canary counts as worse. Margins are differences of shares of traces, 0 to 1."""

    alpha: float = Field(default=0.001, gt=0, lt=0.5)
    """The chance, at most, of a wrong verdict, however often one looks."""
    margin_failed: float = Field(default=0.03, gt=0, lt=0.5)
    """Worse: traces with a failed step (error, time-out) are more frequent by more than this."""
    margin_denied: float = Field(default=0.02, gt=0, lt=0.5)
    """Worse: traces with a refused step are more frequent by more than this."""
    margin_slow: float = Field(default=0.1, gt=0, lt=0.5)
    """Worse: traces with a slow call (see `latency`) are more frequent by more than this."""
    margin_actions: float = Field(default=0.25, gt=0, lt=0.5)
    """Worse: traces with one of the agent's actions are more frequent by more than this."""


class Compared(msgspec.Struct, frozen=True, kw_only=True):
    """One measure of a trial: counts of traces, and the evidence so far."""

    measure: str
    action: str | None
    """The action whose share it is, of the measure `actions`."""
    margin: float
    hits: int
    traces: int
    stable_hits: int
    stable_traces: int
    log10_e_worse: float
    """Against "exceeds by no more than the margin"."""
    log10_e_not_worse: float
    """Against "exceeds by the margin or more"."""

    @property
    def share(self) -> float:
        """Of the trial."""
        return self.hits / self.traces if self.traces else 0.0

    @property
    def stable_share(self) -> float:
        """Of the stable version."""
        return self.stable_hits / self.stable_traces if self.stable_traces else 0.0


class Canary:
    """Failures, refusals, slow calls and actions of a canary against the stable version, five minutes of
    both at a time. A canary is what its sender calls one (`channel = canary`), one trial a version."""

    name: ClassVar[str] = "canary"
    Config: ClassVar[type[DetectorConfig]] = CanaryConfig
    severity: ClassVar[Severity] = "warning"
    runbook: ClassVar[str] = runbook_of(name)
    needs: ClassVar[tuple[str, ...]] = ("channel", "agent_version")
    cases: ClassVar[tuple[Case, ...]] = (
        Case(
            name="half of the canary's traces fail",
            events=[
                {"at_s": 0, "times": 3000, "spread_s": 7200, "agent_version": "1.0"},
                {
                    "at_s": 1,
                    "times": 150,
                    "spread_s": 7200,
                    "agent_version": "1.1",
                    "channel": "canary",
                    "outcome": "error",
                },
                {
                    "at_s": 2,
                    "times": 150,
                    "spread_s": 7200,
                    "agent_version": "1.1",
                    "channel": "canary",
                },
            ],
            fires=["statistical"],
        ),
        Case(
            name="a canary that does as well stays quiet",
            events=[
                {"at_s": 0, "times": 3000, "spread_s": 7200, "agent_version": "1.0"},
                {"at_s": 3, "times": 90, "spread_s": 7200, "agent_version": "1.0", "outcome": "error"},
                {"at_s": 1, "times": 300, "spread_s": 7200, "agent_version": "1.1", "channel": "canary"},
                {
                    "at_s": 5,
                    "times": 10,
                    "spread_s": 7200,
                    "agent_version": "1.1",
                    "channel": "canary",
                    "outcome": "error",
                },
            ],
        ),
    )

    def __init__(self, config: CanaryConfig) -> None:
        self.config = config

    def margin(self, measure: str) -> float:
        """The margin of one of MEASURES."""
        return float(getattr(self.config, f"margin_{measure}"))

    @property
    def needed_log10_e(self) -> float:
        """Evidence from which something counts as shown."""
        return -math.log10(self.config.alpha)

    def verdict(self, compared: Sequence[Compared]) -> tuple[Verdict, list[Compared]]:
        """What the evidence says, and the measures behind it: those that are worse, or not shown yet.

        Worse: the mean of the measures' e-values reaches 1/alpha; that of the actions is their own
        mean. Not worse: every measure by itself is shown to stay within its margin.
        """
        needed = self.needed_log10_e
        if not compared:
            return "not yet", []
        groups = {m: [c for c in compared if c.measure == m] for m in MEASURES}
        groups = {m: group for m, group in groups.items() if group}
        means = {m: _log10_mean([c.log10_e_worse for c in group]) for m, group in groups.items()}
        if _log10_mean(list(means.values())) >= needed:
            worst = max(means, key=lambda m: means[m])
            return "worse", sorted(groups[worst], key=lambda c: -c.log10_e_worse)[:1]
        open_ = [c for c in compared if c.log10_e_not_worse < needed]
        return ("not yet", open_) if open_ else ("not worse", [])

    def say(self, version: str, worst: Compared) -> str:
        """One line for the person on call."""
        what = f"the action {worst.action}" if worst.action else WORDS[worst.measure]
        return (
            f"The canary {version} does worse: {worst.share:.1%} of {worst.traces} traces with {what}, "
            f"{worst.stable_share:.1%} of {worst.stable_traces} with the stable version "
            f"(e-value 1e{worst.log10_e_worse:.0f})"
        )


def _log10_mean(values: list[float]) -> float:
    top = max(values)
    return top + math.log10(sum(10 ** (value - top) for value in values) / len(values))
