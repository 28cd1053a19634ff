"""Unknown version: an agent runs in a version that the policy does not list, or that is new to it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

import msgspec
from pydantic import Field

from detectors.base import Case, Conclusion, DetectorConfig, Watermark, runbook_of
from detectors.globs import Glob, first_match
from detectors.policy_rule import Labels, Matching, PolicyRule, judged
from detectors.row_rule import RowRule, Violation, quoted
from detectors.window import MINUTE_MS
from schemas.finding import Severity

if TYPE_CHECKING:
    import polars as pl

    from detectors.firsts import Firsts, New


MAX_VERSIONS = 10_000
"""Versions of one agent that are told in its life."""


class VersionRule(PolicyRule):
    """The versions in which agents may run. Of several rules for an agent, any may list the version."""

    known: tuple[Glob, ...] = Field(min_length=1)
    """Globs of versions."""


class UnknownVersionConfig(DetectorConfig):
    """When a version is new, for agents whose versions the policy does not list."""

    learning_hours: float = Field(default=24.0, gt=0)
    """Hours since an agent was first seen before a version of it is new."""
    learning_minutes: int = Field(default=60, ge=1)
    """Minutes with events of it that must have been seen as well."""
    max_new: int = Field(default=5, ge=1)
    """New versions within `learning_hours` that are told; more is taken as a version a run, and quiet."""
    forget_days: float = Field(default=180.0, gt=0)
    """A version that was not seen for so long is new again."""
    max_agents: int = Field(default=100_000, ge=1)
    """Agents that are known; beyond it the longest unseen are forgotten and learn anew."""


class UnknownVersion(RowRule):
    """Versions of bound sources: listed ones judged at once, learned ones in closed minutes. Never trips."""

    name: ClassVar[str] = "unknown_version"
    Config: ClassVar[type[DetectorConfig]] = UnknownVersionConfig
    policy: ClassVar[str] = "versions"
    policy_optional: ClassVar[bool] = True
    severity: ClassVar[Severity] = "warning"
    runbook: ClassVar[str] = runbook_of(name)
    needs: ClassVar[tuple[str, ...]] = ("agent_version",)
    labels: ClassVar[tuple[str, ...]] = ("version",)
    cases: ClassVar[tuple[Case, ...]] = (
        Case(
            name="a version that the policy does not list",
            policy={"versions": [{"agents": ["case-*"], "known": ["2.*"]}]},
            events=[{"at_s": 0, "agent_version": "2.4"}, {"at_s": 1, "agent_version": "3.0-dev"}],
            fires=["rule"],
        ),
        Case(
            name="a new version after two days of another",
            events=[
                {"at_s": 0, "times": 200, "spread_s": 172_800, "agent_version": "2.4"},
                {"at_s": 172_800, "times": 5, "spread_s": 300, "agent_version": "2.5"},
            ],
            fires=["rule"],
        ),
        Case(
            name="versions that the policy lists, and a young agent's",
            policy={"versions": [{"known": ["2.*"]}, {"known": ["3.0"]}]},
            events=[{"at_s": 0, "agent_version": "2.4"}, {"at_s": 90_000, "agent_version": "3.0"}],
        ),
    )

    def __init__(self, config: UnknownVersionConfig, rules: Sequence[VersionRule] = ()) -> None:
        from detectors.firsts import Firsts, Learning

        super().__init__()
        self.config = config
        self._matching = Matching(rules)
        self._has_rules = bool(rules)
        agents = config.max_agents
        learning = Learning(
            config.learning_hours, config.learning_minutes, config.max_new, MAX_VERSIONS,
            config.forget_days, agents, 10 * agents,
        )  # fmt: skip
        self._firsts: Firsts = Firsts(learning, ("version",))

    def violations(self, rows: pl.DataFrame) -> pl.DataFrame:
        import polars as pl

        versioned = rows.filter(pl.col("bound") & pl.col("agent_version").is_not_null())
        if versioned.is_empty():
            return versioned
        listed, learned = versioned.clear(), versioned
        if self._has_rules:
            listed = self._matching.concerned(versioned)
            learned = versioned.join(listed.select("key").unique(), on="key", how="anti")
        self._firsts.add(learned.filter(~pl.col("late")), "version", "agent_version")
        if listed.is_empty():
            return listed
        return judged(listed, ["rules", "agent_version"], ["version"], self._unlisted)

    def _unlisted(self, rules: int, version: str) -> list[Labels]:
        known = any(first_match(rule.known, version) is not None for rule in self._matching.rules(rules))
        return [] if known else [(version,)]

    def close(self, watermark: Watermark) -> list[Conclusion]:
        """What was new in the minutes that have closed."""
        return [
            self._new(new, version) for new in self._firsts.close(watermark.event_ms) for version in new.names
        ]

    def say(self, labels: Mapping[str, str]) -> str:
        return f"The agent runs in version {labels['version']}, which the policy does not list"

    def condition(self, labels: Mapping[str, str]) -> str:
        return f"agent_version = {quoted(labels['version'])}"

    def _conclusion(self, violation: Violation, row: str) -> Conclusion:
        return msgspec.structs.replace(super()._conclusion(violation, row), may_trip=False)

    def _new(self, new: New, version: str) -> Conclusion:
        start_ms = new.minute * MINUTE_MS
        return Conclusion(
            key=new.key,
            window=(start_ms, start_ms + MINUTE_MS),
            time_base="event",
            summary=f"The agent runs in version {version[:100]}, in which it was not seen before",
            severity="info",
            labels={"version": version[:200]},
            facts={"version": version[:200]},
            condition=f"agent_version = {quoted(version)}",
        )

    def state(self) -> Any:
        """What was reported, what is known, and what waits."""
        return {"row_rule": super().state(), "firsts": self._firsts.state()}

    def load(self, state: Any) -> None:
        """Take over a snapshot's state."""
        super().load(state["row_rule"])
        self._firsts.load(state["firsts"])
