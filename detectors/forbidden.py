"""Forbidden: an agent used a tool, or acted on a target, that the policy forbids it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, ClassVar, Self

from pydantic import model_validator

from detectors.base import Case, DetectorConfig, runbook_of
from detectors.globs import Glob, first_match
from detectors.policy_rule import Labels, Matching, PolicyRule, acted, judged
from detectors.row_rule import RowRule, quoted
from schemas.event import ActionKind
from schemas.finding import Severity

if TYPE_CHECKING:
    import polars as pl


class ForbiddenRule(PolicyRule):
    """What agents must not do. Of `tools`, `targets` and `kinds`, all that are given must fit."""

    tools: tuple[Glob, ...] = ()
    """Globs of tools (an event's `action`)."""
    targets: tuple[Glob, ...] = ()
    """Globs of targets, as they are stored: after redaction."""
    kinds: tuple[ActionKind, ...] = ()
    """Kinds of action: read, write, external, unknown."""

    @model_validator(mode="after")
    def _forbids_something(self) -> Self:
        if not (self.tools or self.targets or self.kinds):
            raise ValueError("say what is forbidden: tools, targets or kinds")
        return self


class ForbiddenConfig(DetectorConfig):
    """What is forbidden is a matter of the policy."""


class Forbidden(RowRule):
    """Actions that were not refused, by tool and target. Once per tool and glob of targets, and hour."""

    name: ClassVar[str] = "forbidden"
    Config: ClassVar[type[DetectorConfig]] = ForbiddenConfig
    policy: ClassVar[str] = "forbidden"
    severity: ClassVar[Severity] = "critical"
    runbook: ClassVar[str] = runbook_of(name)
    needs: ClassVar[tuple[str, ...]] = ("action", "target")
    labels: ClassVar[tuple[str, ...]] = ("tool", "target")
    looks_at: ClassVar[tuple[str, ...]] = ("action", "action_kind", "target", "outcome")
    cases: ClassVar[tuple[Case, ...]] = (
        Case(
            name="a forbidden tool",
            policy={"forbidden": [{"agents": ["case-*"], "tools": ["delete_*"]}]},
            events=[{"at_s": 0, "action": "delete_customer", "action_kind": "write"}],
            fires=["rule"],
            trips=True,
        ),
        Case(
            name="writes to a forbidden target",
            policy={"forbidden": [{"targets": ["db.prod/*"], "kinds": ["write"]}]},
            events=[
                {"at_s": 0, "action": "insert", "action_kind": "write", "target": "db.prod/users"},
                {"at_s": 1, "action": "insert", "action_kind": "write", "target": "db.prod/orders"},
            ],
            fires=["rule"],
            trips=True,
        ),
        Case(
            name="an attempt that was refused, another tool, another agent's rule",
            policy={"forbidden": [{"tools": ["delete_*"]}, {"agents": ["other"], "tools": ["*"]}]},
            events=[
                {"at_s": 0, "action": "delete_customer", "action_kind": "write", "outcome": "denied"},
                {"at_s": 1, "action": "get_customer"},
            ],
        ),
    )

    def __init__(self, config: ForbiddenConfig, rules: Sequence[ForbiddenRule]) -> None:
        super().__init__()
        self.config = config
        self._rules = rules
        self._matching = Matching(rules)

    def violations(self, rows: pl.DataFrame) -> pl.DataFrame:
        import polars as pl

        concerned = self._matching.concerned(rows.filter(acted()))
        suspect = judged(concerned, ("rules", "action", "action_kind"), ("tool", "rule"), self._suspects)
        # Targets are many, and looked at only where the tool and the kind fit.
        named = suspect.with_columns(pl.col("target").fill_null(""))
        return judged(named, ("label.rule", "target"), ("target",), self._judge)

    def _suspects(self, rules: int, tool: str | None, kind: str | None) -> list[Labels]:
        """(tool, the rule's position), leaving targets aside."""
        return [
            (tool or "unknown", str(self._rules.index(rule)))
            for rule in self._matching.rules(rules)
            if first_match(rule.tools, tool) is not None and (not rule.kinds or kind in rule.kinds)
        ]

    def _judge(self, rule: str, target: str) -> list[Labels]:
        """A target's glob stands for it: targets often hold numbers of their own."""
        glob = first_match(self._rules[int(rule)].targets, target)
        return [] if glob is None else [(glob,)]

    def say(self, labels: Mapping[str, str]) -> str:
        on = f" on {labels['target']}" if labels["target"] else ""
        return f"The agent used {labels['tool']}{on}, which the policy forbids it"

    def condition(self, labels: Mapping[str, str]) -> str:
        on = f" and target glob {quoted(labels['target'])}" if labels["target"] else ""
        return f"action = {quoted(labels['tool'])}{on} and outcome not in ('denied', 'throttled')"
