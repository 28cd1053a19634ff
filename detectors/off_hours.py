"""Off hours: an agent acts at a time of the day or week at which the policy does not let it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, time, timedelta
from typing import TYPE_CHECKING, ClassVar, Literal, Self
from zoneinfo import ZoneInfo, available_timezones

from pydantic import Field, field_validator, model_validator

from detectors.base import Case, DetectorConfig, runbook_of
from detectors.globs import Glob, first_match
from detectors.policy_rule import BEGAN_FROM, Labels, Matching, PolicyRule, acted, began_ms, judged
from detectors.row_rule import RowRule
from detectors.window import MINUTE_MS
from schemas.event import ActionKind
from schemas.finding import Severity

if TYPE_CHECKING:
    import polars as pl

Day = Literal["mon", "tue", "wed", "thu", "fri", "sat", "sun"]
WEEK: tuple[Day, ...] = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")


class HoursRule(PolicyRule):
    """When agents may act. An action must lie within the hours of every rule that matches its agent."""

    kinds: tuple[ActionKind, ...] = Field(default=("write", "external"), min_length=1)
    """Kinds of action that the hours hold for."""
    tools: tuple[Glob, ...] = ()
    """Globs of the tools that they hold for; none: all tools."""
    days: tuple[Day, ...] = Field(default=WEEK, min_length=1)
    """Days of the week on which acting is allowed (on which the hours begin, where they pass midnight)."""
    start: time = time(0)
    """From this time of the day on, "08:00"."""
    end: time = time(0)
    """Up to, not including, this time; at or before `start` it is that of the next day."""
    timezone: str = "UTC"
    """The time zone of the hours, "Europe/Berlin"."""

    @field_validator("timezone")
    @classmethod
    def _known(cls, name: str) -> str:
        if name not in available_timezones():
            raise ValueError(f"the system knows no time zone {name!r}")
        return name

    @model_validator(mode="after")
    def _plain_times(self) -> Self:
        if self.start.tzinfo or self.end.tzinfo:
            raise ValueError("start and end are plain times of the day; the zone is in timezone")
        return self

    def allows(self, minute: int) -> bool:
        """Whether a minute since 1970 lies within the hours."""
        local = datetime.fromtimestamp(minute * 60, ZoneInfo(self.timezone))
        at, today = local.time(), local.date()
        if self.start < self.end:
            return WEEK[today.weekday()] in self.days and self.start <= at < self.end
        began = today if at >= self.start else today - timedelta(days=1)
        return WEEK[began.weekday()] in self.days and (at >= self.start or at < self.end)

    @property
    def words(self) -> str:
        """The hours in a few words."""
        days = "" if self.days == WEEK else f"{','.join(self.days)} "
        return f"{days}{self.start:%H:%M}-{self.end:%H:%M} {self.timezone}"


class OffHoursConfig(DetectorConfig):
    """The allowed hours are a matter of the policy."""


class OffHours(RowRule):
    """Actions that happened outside the allowed hours, by the time they began. Once per rule and hour.

    A begin more than a minute before the broker's append time is not believed: backdating hides nothing.
    """

    name: ClassVar[str] = "off_hours"
    Config: ClassVar[type[DetectorConfig]] = OffHoursConfig
    policy: ClassVar[str] = "hours"
    severity: ClassVar[Severity] = "critical"
    runbook: ClassVar[str] = runbook_of(name)
    needs: ClassVar[tuple[str, ...]] = ("action_kind",)
    labels: ClassVar[tuple[str, ...]] = ("hours",)
    looks_at: ClassVar[tuple[str, ...]] = ("action", "action_kind", "outcome", *BEGAN_FROM)
    cases: ClassVar[tuple[Case, ...]] = (
        Case(
            name="a write before the office opens",  # cases begin on a Monday at 15:00 UTC
            policy={"hours": [{"start": "08:00", "end": "18:00", "timezone": "America/Los_Angeles"}]},
            events=[{"at_s": -1, "action_kind": "write"}],
            fires=["rule"],
            trips=True,
        ),
        Case(
            name="a write as it opens, and reading at night",
            policy={"hours": [{"start": "08:00", "end": "18:00", "timezone": "America/Los_Angeles"}]},
            events=[{"at_s": -1, "action_kind": "read"}, {"at_s": 0, "action_kind": "write"}],
        ),
    )

    def __init__(self, config: OffHoursConfig, rules: Sequence[HoursRule]) -> None:
        super().__init__()
        self.config = config
        self._matching = Matching(rules)

    def violations(self, rows: pl.DataFrame) -> pl.DataFrame:
        concerned = self._matching.concerned(rows.filter(acted()))
        timed = concerned.with_columns((began_ms() // MINUTE_MS).alias("began_minute"))
        return judged(timed, ("rules", "action_kind", "action", "began_minute"), self.labels, self._judge)

    def _judge(self, rules: int, kind: str, tool: str | None, minute: int) -> list[Labels]:
        return [
            (rule.words,)
            for rule in self._matching.rules(rules)
            if kind in rule.kinds and first_match(rule.tools, tool) is not None and not rule.allows(minute)
        ]

    def say(self, labels: Mapping[str, str]) -> str:
        return f"The agent acted outside its allowed hours, {labels['hours']}"

    def condition(self, labels: Mapping[str, str]) -> str:  # noqa: ARG002 (the hour of the window is enough)
        return "action_kind <> 'none' and outcome not in ('denied', 'throttled')"
