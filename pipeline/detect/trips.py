"""Acting after a trip: actions against the trips in force, whichever of the two arrives first."""

import itertools
from typing import Any

import msgspec
import polars as pl

from detectors.acting_after_trip import ActingAfterTrip
from detectors.base import Conclusion, Watermark
from detectors.key import Key
from detectors.remembered import Remembered
from pipeline.detect.model import Trip
from pipeline.killswitch.timeline import Timeline
from schemas.command import Mode, Selector

MERGE_FRAMES, MERGE_ROWS = 64, 32_000
"""Actions beside the newest ones that wait, before only the newest are kept."""
MAX_TRIPS = 10_000
"""Trips that are known at most; beyond it the oldest lifted ones go."""

ACTIONS: dict[str, pl.DataType] = {
    "env": pl.String(),
    "agent": pl.String(),
    "via": pl.String(),
    "late": pl.Boolean(),
    "began_ms": pl.Int64(),
    "action_kind": pl.String(),
    "approval_status": pl.String(),
    "agent_version": pl.String(),
    "action": pl.String(),
    "topic_id": pl.String(),
    "partition": pl.Int32(),
    "offset": pl.Int64(),
    "item": pl.Int32(),
}


class Trips:
    """Trips, and per agent and kind of action the newest one, for trips whose record comes after it."""

    def __init__(self, detector: ActingAfterTrip, max_keys: int) -> None:
        self._detector = detector
        self._max_keys = max_keys
        self._known: dict[str, Trip] = {}
        self._newest: list[pl.DataFrame] = []
        self._rows = 0
        """Of what came since only the newest were kept."""
        self._reported = Remembered[tuple[Key, str]]()

    def learn(self, trips: list[Trip]) -> list[Conclusion]:
        """Take in new or lifted trips; actions seen before their trip's record are judged now."""
        fresh = [trip for trip in trips if _names(trip) != _names(self._known.get(trip.trip_id))]
        self._known |= {trip.trip_id: trip for trip in trips}
        excess = max(0, len(self._known) - MAX_TRIPS)
        lifted = [t.trip_id for t in self._known.values() if t.lifted_at_ms is not None]
        for trip_id in lifted[:excess]:
            del self._known[trip_id]
        if not fresh or not self._newest:
            return []
        self._merge()
        return [violation for trip in fresh for violation in self._judge(self._newest[0], trip)]

    def observe(self, rows: pl.DataFrame) -> list[Conclusion]:
        """Remember actions, judge them against the trips."""
        acting = rows.filter(self._detector.actions()).with_columns(
            self._detector.began_ms().alias("began_ms")
        )
        if acting.is_empty():
            return []
        acting = acting.select(list(ACTIONS))
        self._newest.append(acting)
        self._rows += acting.height
        if self._rows >= MERGE_ROWS or len(self._newest) >= MERGE_FRAMES:
            self._merge()
        return [violation for trip in self._concerned(acting) for violation in self._judge(acting, trip)]

    def close(self, watermark: Watermark) -> list[Conclusion]:  # noqa: ARG002 (nothing waits)
        return []

    def _concerned(self, actions: pl.DataFrame) -> list[Trip]:
        """The trips that some of these actions may violate: a fleet may be under hundreds, and a batch
        is mostly of others."""
        agents = set(actions["agent"].unique())
        oldest, newest = int(actions["began_ms"].min()), int(actions["began_ms"].max())  # pyright: ignore[reportArgumentType] (extremes of integers)
        return [
            trip
            for trip in self._known.values()
            if trip.served_at_ms < newest
            and (trip.lifted_at_ms is None or trip.lifted_at_ms > oldest)
            and (trip.selector.agent is None or not agents.isdisjoint(_names(trip)) or None in agents)
        ]

    def _judge(self, actions: pl.DataFrame, trip: Trip) -> list[Conclusion]:
        found = (
            actions.filter(self._forbidden(trip) & _covered(trip))
            .sort("began_ms", "topic_id", "partition", "offset", "item")
            .unique(["env", "agent", "via", "late"], keep="first", maintain_order=True)
            .with_columns(pl.format("{}/{}/{}/{}", "topic_id", "partition", "offset", "item").alias("row"))
        )
        return [
            self._conclusion(key, trip, row)
            for *whose, row in found.select("env", "agent", "via", "late", "row").iter_rows()
            if self._reported.add((key := Key(*whose), trip.trip_id))
        ]

    def _forbidden(self, trip: Trip) -> pl.Expr:
        """Boolean: what began while the trip forbade it, in whichever mode it was then."""
        grace_ms = int(self._detector.config.grace_s * 1000)
        began, forbidden = pl.col("began_ms"), pl.lit(value=False)
        changes: list[tuple[int, Mode]] = [(trip.served_at_ms + grace_ms, trip.mode), *trip.loosened]
        ends = [at_ms for at_ms, _ in changes[1:]]
        for (from_ms, mode), to_ms in itertools.zip_longest(changes, ends):
            during = began > from_ms if to_ms is None else (began > from_ms) & (began < to_ms)
            forbidden |= during & self._detector.forbidden(mode)
        return forbidden

    def _conclusion(self, key: Key, trip: Trip, row: str) -> Conclusion:
        begins = trip.served_at_ms + int(self._detector.config.grace_s * 1000)
        return Conclusion(
            key=key,
            window=(trip.served_at_ms, begins),
            time_base="append",
            summary=self._detector.say(trip.mode),
            labels={"trip": trip.trip_id},
            facts={"trip_id": trip.trip_id, "mode": trip.mode, "tripped_at_ms": trip.served_at_ms},
            may_trip=key.may_trip,
            rows=(row,),
            condition=f"action_kind <> 'none' and broker_time_ms > {begins}",
        )

    def _merge(self) -> None:
        newest = (
            pl.concat(self._newest)
            .sort("began_ms", "topic_id", "partition", "offset", "item")
            .unique(["env", "agent", "via", "late", "action_kind"], keep="last", maintain_order=True)
            .tail(self._max_keys)
        )
        self._newest, self._rows = [newest], 0

    def state(self) -> dict[str, Any]:
        """What a snapshot holds."""
        if self._newest:
            self._merge()
        return {
            "known": list(self._known.values()),
            "newest": self._newest[0].rows() if self._newest else [],
            "reported": [(*key, trip_id) for key, trip_id in self._reported.items],
        }

    def load(self, state: dict[str, Any]) -> None:
        """Take over a snapshot's state."""
        self._known = {trip.trip_id: trip for trip in msgspec.convert(state["known"], list[Trip])}
        if state["newest"]:
            self._newest = [pl.DataFrame(state["newest"], schema=ACTIONS, orient="row")]
        for *whose, trip_id in state["reported"]:
            self._reported.add((Key(*whose), trip_id))


def _covered(trip: Trip) -> pl.Expr:
    """An attribute that the selector leaves out, or that the event lacks, matches, as at the switch."""
    selector = trip.selector
    covered = pl.lit(value=True)
    if selector.agent is not None:
        covered &= pl.col("agent").is_in(_names(trip)).fill_null(value=True)
    for column, value in (
        ("env", selector.environment),
        ("agent_version", selector.version),
        ("action", selector.tool),
    ):
        if value is not None:
            covered &= (pl.col(column) == value).fill_null(value=True)
    return covered


def _names(trip: Trip | None) -> list[str | None]:
    """The names of the agent tripped: the selector's, and those that it is stored under."""
    return [] if trip is None else [trip.selector.agent, *trip.stored_as]


def trip_of(timeline: Timeline) -> Trip:
    """A trip as the detectors see it."""
    trip = timeline.trip
    return Trip(
        trip_id=trip.id,
        selector=trip.selector or Selector(),
        mode=timeline.mode,
        served_at_ms=trip.at_ms,
        loosened=timeline.loosened,
    )
