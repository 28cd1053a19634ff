"""Maintenance windows: when pages about some agents wait, once or every week. Pure."""

from datetime import UTC, datetime, time, timedelta
from typing import Literal, Self
from zoneinfo import ZoneInfo

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, field_validator, model_validator

from detectors.globs import Glob, first_match

Weekday = Literal["mon", "tue", "wed", "thu", "fri", "sat", "sun"]
_WEEKDAYS: tuple[Weekday, ...] = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")


class MaintenanceWindow(BaseModel):
    """A planned time in which pages wait: from `start` to `end`, or on some weekdays between two times."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9_.-]{0,63}$")
    """What lists and logs call it."""
    owner: str = Field(min_length=1)
    """Who answers for it."""
    reason: str = Field(min_length=1)
    """Why pages wait."""
    agents: tuple[Glob, ...] = ("*",)
    """The agents whose pages wait."""
    environments: tuple[Glob, ...] = ("*",)
    """The environments whose pages wait."""
    detectors: tuple[Glob, ...] = ("*",)
    """The detectors whose pages wait."""
    start: AwareDatetime | None = None
    """Begin of a window that comes once, with its offset from UTC."""
    end: AwareDatetime | None = None
    """End of a window that comes once."""
    days: tuple[Weekday, ...] = ()
    """The weekdays on which a weekly window begins."""
    from_time: time | None = None
    """When a weekly window begins."""
    to_time: time | None = None
    """When a weekly window ends; on the next day where it is not after `from_time`."""
    timezone: str = "UTC"
    """The time zone of a weekly window's times, as Europe/Berlin."""
    holds_trips: bool = False
    """Also hold critical pages about a trip of the kill switch."""

    @field_validator("timezone")
    @classmethod
    def _known_zone(cls, name: str) -> str:
        try:
            ZoneInfo(name)
        except (OSError, ValueError, KeyError):
            raise ValueError("there is no such time zone on this system") from None
        return name

    @model_validator(mode="after")
    def _one_kind(self) -> Self:
        once, weekly = (self.start, self.end), (self.days or None, self.from_time, self.to_time)
        if any(once) == any(part is not None for part in weekly):
            raise ValueError(f"window {self.name} needs start and end, or days, from_time and to_time")
        if None in (once if any(once) else weekly):
            raise ValueError(f"window {self.name} needs start and end, or days, from_time and to_time")
        if self.start is not None and self.end is not None and self.end <= self.start:
            raise ValueError(f"window {self.name} ends before it begins")
        return self

    def is_active(self, now_ms: int) -> bool:
        """Whether it holds pages at that time."""
        now = datetime.fromtimestamp(now_ms / 1000, UTC)
        if self.start is not None and self.end is not None:
            return self.start <= now < self.end
        if self.from_time is None or self.to_time is None:
            return False
        local = now.astimezone(ZoneInfo(self.timezone)).replace(tzinfo=None)
        return any(self._begins_on(local, back) for back in (0, 1))

    def covers(self, detector: str, environment: str, agent_id: str) -> bool:
        """Whether it is about that incident."""
        pairs = ((self.detectors, detector), (self.environments, environment), (self.agents, agent_id))
        return all(first_match(globs, value) for globs, value in pairs)

    def _begins_on(self, local: datetime, days_back: int) -> bool:
        """Whether the window that began so many days ago, if one did, goes on at this local time."""
        day = (local - timedelta(days=days_back)).date()
        if _WEEKDAYS[day.weekday()] not in self.days or self.from_time is None or self.to_time is None:
            return False
        begin = datetime.combine(day, self.from_time)
        end = datetime.combine(day, self.to_time)
        if end <= begin:
            end += timedelta(days=1)
        return begin <= local < end
