"""Configuration of automatic trips: which detectors may trip, to what modes, and within which limits."""

from itertools import pairwise
from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from schemas.command import MODES, Mode

ACTING_AFTER_TRIP = "acting_after_trip"
"""The detector whose every finding is of actions after a trip, by a grace of its own."""

TripMode = Literal["throttle", "approval", "read_only", "off"]
TRIP_MODES: tuple[TripMode, ...] = ("throttle", "approval", "read_only", "off")


class DetectorTrip(BaseModel):
    """What the findings of one detector may do."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    mode: Literal["shadow", "enforce"] = "shadow"
    """shadow: say what would have been tripped; enforce: trip."""
    trip: TripMode = "read_only"
    """The mode to trip to: the mildest that ends the damage."""
    steps: tuple[TripMode, ...] | None = None
    """Harder modes, one after the other, while the damage goes on. Not given: every mode that is harder than
    `trip`; empty: it stays at `trip`."""

    @model_validator(mode="after")
    def _ever_harder(self) -> Self:
        if any(_rank(harder) <= _rank(mode) for mode, harder in pairwise((self.trip, *(self.steps or ())))):
            raise ValueError(f"each of steps must be harder than the one before, and than {self.trip}")
        return self

    def after(self, mode: Mode) -> TripMode | None:
        """The first of this detector's modes that is harder than `mode`; None if there is none."""
        steps = TRIP_MODES[TRIP_MODES.index(self.trip) + 1 :] if self.steps is None else self.steps
        return next((one for one in (self.trip, *steps) if _rank(one) > _rank(mode)), None)


class AutoTripConfig(BaseModel):
    """Automatic trips and the limits on how much they may stop."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    detectors: dict[str, DetectorTrip] = Field(
        default_factory=lambda: {
            "error_spike": DetectorTrip(trip="throttle"),
            "write_burst": DetectorTrip(trip="read_only"),
            "auth_failure": DetectorTrip(trip="off"),
            "external_burst": DetectorTrip(trip="read_only"),
            "unapproved_action": DetectorTrip(trip="approval"),
            "runaway_session": DetectorTrip(trip="read_only"),
            "forbidden": DetectorTrip(trip="read_only"),
            ACTING_AFTER_TRIP: DetectorTrip(trip="approval"),
        }
    )
    """By detector name. A detector that is not named never trips anything."""
    per_agent_hour: int = Field(default=1, ge=0)
    """Automatic trips of one agent within an hour. Steps to a harder mode count apart."""
    steps_per_agent_hour: int = Field(default=3, ge=0)
    """Steps to a harder mode of one agent that is under an automatic trip, within an hour."""
    step_after_s: float = Field(default=30, ge=0)
    """A step follows only from what began so many seconds after the last one was served: clients hear of a
    trip within their lease, and exporters batch."""
    per_fleet_hour: int = Field(default=3, ge=0)
    """Automatic trips of all agents together within an hour."""
    max_agents_share: float = Field(default=0.1, ge=0, le=1)
    """Share of the known agents that may be under automatic trips at once; always at least one agent."""
    cooldown_s: int = Field(default=1800, ge=0)
    """Seconds after an automatic trip was lifted or loosened in which that agent is not tripped again."""
    never_trip: tuple[str, ...] = ()
    """Agents (glob patterns, upper and lower case alike) that are never tripped automatically."""
    only_environment: bool = False
    """true: a trip covers only the finding's environment; false: all environments of the agent."""


def _rank(mode: Mode) -> int:
    return MODES.index(mode)
