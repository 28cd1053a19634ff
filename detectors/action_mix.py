"""Action mix: an agent does something else than it usually does: a rare action has become common."""

from __future__ import annotations

from typing import ClassVar

from detectors.base import Case, DetectorConfig, Seen, StatisticConfig, runbook_of
from schemas.finding import Severity

MIX_STATISTIC = StatisticConfig(
    minute_factor=8, slack=2.0, multiples=(2.0, 3.0, 5.0, 10.0), learning_minutes=720, learning_events=500
)


class ActionMixConfig(DetectorConfig):
    """When another mix of actions becomes a finding."""

    statistic: StatisticConfig = MIX_STATISTIC
    """The test of each action's share of the agent's steps. A share up to twice the usual is
    normal, and a minute counts for little: a job that runs for some minutes is no change."""


class ActionMix:
    """Shares of an agent's actions: one of them rises. Seven actions are told apart, others count as one.

    An action is the tool's name, or the operation of what names no tool.
    """

    name: ClassVar[str] = "action_mix"
    Config: ClassVar[type[DetectorConfig]] = ActionMixConfig
    severity: ClassVar[Severity] = "warning"
    runbook: ClassVar[str] = runbook_of(name)
    needs: ClassVar[tuple[str, ...]] = ("action",)
    cases: ClassVar[tuple[Case, ...]] = (
        Case(
            name="an agent that looked things up exports",
            events=[
                {"at_s": 0, "times": 7500, "spread_s": 45_000, "action": "find_order"},
                {"at_s": 3, "times": 75, "spread_s": 45_000, "action": "export_customers"},
                {"at_s": 45_000, "times": 600, "spread_s": 3600, "action": "export_customers"},
                {"at_s": 48_600, "times": 10, "spread_s": 300, "action": "find_order"},
            ],
            fires=["statistical"],
        ),
        Case(
            name="a nightly job of five minutes stays quiet",
            events=[
                {"at_s": 0, "times": 7500, "spread_s": 45_000, "action": "find_order"},
                {"at_s": 45_000, "times": 200, "spread_s": 300, "action": "rebuild_index"},
                {"at_s": 45_300, "times": 100, "spread_s": 600, "action": "find_order"},
            ],
        ),
    )

    def __init__(self, config: ActionMixConfig) -> None:
        self.config = config

    def say(self, seen: Seen, action: str) -> str:
        """`action` is the one that has risen."""
        return (
            f"The mix of actions has changed: {seen.hits} of {seen.eligible} steps in this minute were "
            f"{action}, {seen.baseline:.1%} is normal (e-value 1e{seen.log10_e:.0f})"
        )
