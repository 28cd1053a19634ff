"""Acting after a trip: an agent does what its kill switch forbids. The only proof that needs no client."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from pydantic import Field

from detectors.base import Case, DetectorConfig, runbook_of
from schemas.command import Mode
from schemas.finding import Severity

if TYPE_CHECKING:
    import polars as pl

CHANGING = ("write", "external")
GRANTED = ("granted", "approved")
FORBIDDEN: dict[Mode, str] = {
    "on": "nothing",
    "throttle": "nothing",
    "approval": "unapproved writes",
    "read_only": "writes",
    "off": "actions",
}


class ActingAfterTripConfig(DetectorConfig):
    """When an action counts as one that began after the trip."""

    grace_s: float = Field(default=6.0, ge=0)
    """Seconds after a trip in which an agent may still begin something: a client without the stream hears of
    it when it renews its lease (killswitch.renew_s, 5)."""
    believed_s: float = Field(default=60.0, ge=0)
    """An event's own start is believed up to so many seconds before its append: slow calls and batched
    export are no violation, and backdating hides no more than this. 0: the append time alone counts."""


class ActingAfterTrip:
    """Actions of a bound source, begun after the trip plus the grace, that the trip's mode forbids."""

    name: ClassVar[str] = "acting_after_trip"
    Config: ClassVar[type[DetectorConfig]] = ActingAfterTripConfig
    severity: ClassVar[Severity] = "critical"
    runbook: ClassVar[str] = runbook_of(name)
    needs: ClassVar[tuple[str, ...]] = ("action_kind",)
    cases: ClassVar[tuple[Case, ...]] = (
        Case(
            name="a write after the trip",
            events=[{"at_s": 0, "trip": "read_only"}, {"at_s": 10, "action_kind": "write"}],
            fires=["rule"],
            trips=True,
        ),
        Case(
            name="a read after a trip to read_only",
            events=[{"at_s": 0, "trip": "read_only"}, {"at_s": 10, "action_kind": "read"}],
        ),
        Case(
            name="a write that began before the trip",
            events=[
                {"at_s": 0, "trip": "off"},
                {"at_s": 10, "action_kind": "write", "duration_ns": 15_000_000_000},
            ],
        ),
    )

    def __init__(self, config: ActingAfterTripConfig) -> None:
        self.config = config

    def began_ms(self) -> pl.Expr:
        """When the action began, as far as the sender is believed."""
        import polars as pl

        earliest = pl.col("broker_time_ms") - int(self.config.believed_s * 1000)
        return pl.max_horizontal(pl.col("start_time_unix_nano") // 1_000_000, earliest)

    def actions(self) -> pl.Expr:
        """Boolean: bound actions that some mode forbids. Models that only talk are not actions."""
        import polars as pl

        return (
            pl.col("bound")
            & (pl.col("action_kind") != "none")
            & ~pl.col("outcome").is_in(["denied", "throttled"])
        )

    def forbidden(self, mode: Mode) -> pl.Expr:
        """Boolean: actions that a switch at `mode` forbids."""
        import polars as pl

        changing = pl.col("action_kind").is_in(CHANGING)
        if mode == "off":
            return pl.lit(value=True)
        if mode == "read_only":
            return changing
        if mode == "approval":
            return changing & ~pl.col("approval_status").is_in(GRANTED).fill_null(value=False)
        return pl.lit(value=False)

    def say(self, mode: Mode) -> str:
        return f"The agent went on with {FORBIDDEN[mode]} after its kill switch was tripped to {mode}"
