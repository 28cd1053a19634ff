"""Silence: an agent that should speak at this time of the week does not."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

from pydantic import Field

from detectors.base import Case, Conclusion, DetectorConfig, Watermark, runbook_of
from detectors.heartbeat import Heartbeat
from detectors.key import Key
from detectors.window import MINUTE_MS
from schemas.finding import Severity

if TYPE_CHECKING:
    import polars as pl

    from detectors.pending import Pending
    from detectors.rhythm import Rhythm

MINUTES_PER_HOUR = 60


class SilenceConfig(DetectorConfig):
    """When an agent has been silent for too long."""

    p: float = Field(default=1e-6, gt=0, lt=0.1)
    """Chance below which missing its usual minutes is no chance."""
    pauses: float = Field(default=2.0, ge=1)
    """It must also have missed so many times its longest normal pause: who works in runs pauses longer."""
    max_agents: int = Field(default=100_000, ge=1)
    """Agents whose rhythm is known; beyond it the longest unseen are forgotten and learn anew."""


class Quiet(NamedTuple):
    """A silence that was told and has not ended."""

    start_minute: int
    end_minute: int
    usual: int
    """Minutes of the hour in which the agent usually speaks."""
    normal_pause: float


class Silence:
    """Agents of bound sources, in event time, from the second week on. Once per silence, which it withdraws
    when the agent speaks again. Never trips."""

    name: ClassVar[str] = "silence"
    Config: ClassVar[type[DetectorConfig]] = SilenceConfig
    severity: ClassVar[Severity] = "warning"
    runbook: ClassVar[str] = runbook_of(name)
    needs: ClassVar[tuple[str, ...]] = ("agent_id",)
    cases: ClassVar[tuple[Case, ...]] = (
        Case(
            name="an agent stops, another goes on",
            events=[
                {"at_s": 0, "times": 1296, "spread_s": 777_600},
                {"at_s": 0, "times": 2672, "spread_s": 801_600, "agent_id": "other"},
            ],
            fires=["rule"],
        ),
        Case(
            name="it runs once an hour",
            events=[{"at_s": hour * 3600, "times": 20, "spread_s": 120} for hour in range(24 * 10)],
        ),
        Case(
            name="everything stands still: that is no agent's silence",
            events=[
                {"at_s": 0, "times": 1296, "spread_s": 777_600},
                {"at_s": 801_600, "times": 10, "spread_s": 60},
            ],
        ),
    )

    def __init__(self, config: SilenceConfig) -> None:
        import polars as pl

        from detectors.pending import Pending
        from detectors.rhythm import Rhythm

        self.config = config
        self._spoke: Pending = Pending(
            {"env": pl.String(), "agent": pl.String(), "topic_id": pl.String(), "partition": pl.Int32()}
        )
        self._heartbeat = Heartbeat()
        self._rhythm: Rhythm = Rhythm(config.max_agents, math.log(config.p), config.pauses)
        self._quiet: dict[Key, Quiet] = {}
        self._next_minute: int | None = None

    def observe(self, rows: pl.DataFrame) -> list[Conclusion]:
        """Note who spoke in which minute. A late row tells that its agent lives when it was appended."""
        import polars as pl

        if rows.is_empty():
            return []
        punctual = rows.filter(~pl.col("late"))["minute"].unique().to_list()
        self._heartbeat.hear(rows.select("topic_id", "partition").row(0), punctual)
        minute = pl.when(pl.col("late")).then(pl.col("broker_time_ms") // MINUTE_MS).otherwise("minute")
        spoke = rows.filter(pl.col("bound")).with_columns(minute.alias("minute"))
        self._spoke.add(spoke.unique(["minute", "key"]))
        return []

    def close(self, watermark: Watermark) -> list[Conclusion]:
        """Go through the minutes that have closed, those without any events included."""
        if watermark.newest_ms:
            self._heartbeat.hear_all(watermark.newest_ms, MINUTE_MS)
        if watermark.event_ms is None:
            return []
        due = self._spoke.close(watermark.event_ms // MINUTE_MS)
        if due is None:
            return []
        first = self._heartbeat.first()
        at = self._next_minute if self._next_minute is not None else first
        end = self._spoke.closed_minute
        if at is None or at >= end:
            return []
        conclusions: list[Conclusion] = []
        rows = due.iter_rows()
        speakers = {minute: list(part) for minute, part in itertools.groupby(rows, key=lambda row: row[0])}
        for minute in range(at, end):
            conclusions += self._pass(minute, speakers.get(minute, ()))
        self._next_minute = end
        for gone in self._rhythm.evict():
            self._quiet.pop(gone, None)
        return conclusions

    def forget(self, environment: str, agent_id: str) -> None:
        """What it does now is accepted as its new normal: its rhythm is learned anew."""
        for key, place in self._rhythm.places.items():
            if key.agent_id == agent_id and environment in ("", key.environment):
                self._rhythm.forget(place, (self._next_minute or 0) // MINUTES_PER_HOUR)
                self._quiet.pop(key, None)

    def _pass(self, minute: int, speakers: Sequence[tuple[Any, ...]]) -> list[Conclusion]:
        import numpy as np

        hour = minute // MINUTES_PER_HOUR
        rhythm = self._rhythm
        rhythm.turn(hour)
        alive = np.array(self._heartbeat.alive(minute), dtype=np.bool_)
        if alive.any():
            rhythm.pass_minute(alive)
        ended: list[Conclusion] = []
        if speakers:
            homes = {
                Key(env, agent, ""): self._heartbeat.number((topic_id, partition))
                for _, env, agent, topic_id, partition in sorted(speakers)
            }
            places = [rhythm.place(key, hour) for key in homes]
            rhythm.speak(np.array(places), minute, np.array(list(homes.values())))
            ended = [self._ended(key) for key in homes if key in self._quiet]
        return ended + [c for place in rhythm.over() if (c := self._began(int(place), minute))]

    def _began(self, place: int, minute: int) -> Conclusion | None:
        key = self._rhythm.keys[place]
        if key is None or key in self._quiet:
            return None
        quiet = Quiet(
            int(self._rhythm.last[place]) + 1,
            minute + 1,
            self._rhythm.usual(place),
            round(self._rhythm.normal_pause(place), 1),
        )
        self._quiet[key] = quiet
        return self._conclusion(key, quiet)

    def _ended(self, key: Key) -> Conclusion:
        return self._conclusion(key, self._quiet.pop(key), withdrawn="The agent speaks again")

    def _conclusion(self, key: Key, quiet: Quiet, withdrawn: str | None = None) -> Conclusion:
        minutes = quiet.end_minute - quiet.start_minute
        return Conclusion(
            key=key,
            window=(quiet.start_minute * MINUTE_MS, quiet.end_minute * MINUTE_MS),
            time_base="event",
            summary=(
                f"Nothing was heard of the agent for {minutes} minutes; in this hour of the week it usually "
                f"speaks in {quiet.usual} of 60"
            ),
            facts={
                "silent_minutes": minutes,
                "usual_minutes_of_hour": quiet.usual,
                "longest_normal_pause": quiet.normal_pause,
                "p": self.config.p,
            },
            withdrawn=withdrawn,
        )

    def state(self) -> Any:
        """Who spoke, who usually does, and who is silent."""
        return {
            "spoke": self._spoke.state(),
            "heartbeat": self._heartbeat.state(),
            "rhythm": self._rhythm.state(),
            "quiet": [(*key[:2], *quiet) for key, quiet in self._quiet.items()],
            "next": self._next_minute,
        }

    def load(self, state: Any) -> None:
        """Take over a snapshot's state."""
        self._spoke.load(state["spoke"])
        self._heartbeat.load(state["heartbeat"])
        self._rhythm.load(state["rhythm"])
        self._quiet = {Key(env, agent, ""): Quiet(*quiet) for env, agent, *quiet in state["quiet"]}
        self._next_minute = state["next"]
