"""Silence: an agent that should speak at this time of the week does not."""

from __future__ import annotations

import math
from sys import intern
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
    across_agents: ClassVar[bool] = True
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
        self._spoke: Pending = Pending({"who": pl.UInt64(), "home": pl.UInt16()})
        self._names: dict[int, tuple[str, str]] = {}
        """(environment, agent) by hash, of those without a rhythm yet."""
        self._heartbeat = Heartbeat()
        self._rhythm: Rhythm = Rhythm(config.max_agents, math.log(config.p), config.pauses)
        self._quiet: dict[int, Quiet] = {}
        """By the agent's hash."""
        self._next_minute: int | None = None

    def observe(self, rows: pl.DataFrame) -> list[Conclusion]:
        """Note who spoke in which minute. A late row tells that its agent lives when it was appended."""
        import polars as pl

        if rows.is_empty():
            return []
        punctual = rows.filter(~pl.col("late"))["minute"].unique().to_list()
        partition = rows.select("topic_id", "partition").row(0)
        self._heartbeat.hear(partition, punctual)
        minute = pl.when(pl.col("late")).then(pl.col("broker_time_ms") // MINUTE_MS).otherwise("minute")
        spoke = rows.filter(pl.col("bound")).select("key", "env", "agent", minute.alias("minute"))
        spoke = spoke.unique(["minute", "key"]).with_columns(
            pl.struct("env", "agent").hash(41).alias("who"),
            pl.lit(self._heartbeat.number(partition), pl.UInt16).alias("home"),
        )
        self._spoke.add(spoke)
        unknown = spoke.filter(pl.Series(self._rhythm.places(spoke["who"].to_numpy()) < 0, dtype=pl.Boolean))
        for who, environment, agent in unknown.select("who", "env", "agent").iter_rows():
            self._names.setdefault(who, (intern(environment), intern(agent)))
        while len(self._names) > 2 * self.config.max_agents:
            del self._names[next(iter(self._names))]
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
        spoken = self._speakers(due)
        for minute in range(at, end):
            conclusions += self._pass(minute, spoken.get(minute))
        self._next_minute = end
        for who, gone in self._rhythm.evict():
            self._quiet.pop(who, None)
            self._names[who] = (gone.environment, gone.agent_id)
        return conclusions

    def forget(self, environment: str, agent_id: str) -> None:
        """What it does now is accepted as its new normal: its rhythm is learned anew."""
        hour = (self._next_minute or 0) // MINUTES_PER_HOUR
        for who in self._rhythm.forget(environment, agent_id, hour):
            self._quiet.pop(who, None)

    def _speakers(self, due: pl.DataFrame) -> dict[int, pl.DataFrame]:
        """By minute who spoke, each once, with the home that is last by name."""
        import polars as pl

        if due.is_empty():
            return {}
        rank = pl.Series(self._heartbeat.ranks(), dtype=pl.UInt16)
        ranked = due.with_columns(pl.Series("rank", rank.gather(due["home"])))
        once = ranked.sort("minute", "who", "rank").unique(
            ["minute", "who"], keep="last", maintain_order=True
        )
        return {
            minute: part  # pyright: ignore[reportReturnType] (an integer column)
            for (minute,), part in once.group_by("minute", maintain_order=True)
        }

    def _pass(self, minute: int, speakers: pl.DataFrame | None) -> list[Conclusion]:
        import numpy as np

        hour = minute // MINUTES_PER_HOUR
        rhythm = self._rhythm
        rhythm.turn(hour)
        alive = np.array(self._heartbeat.alive(minute), dtype=np.bool_)
        if alive.any():
            rhythm.pass_minute(alive)
        ended: list[Conclusion] = []
        if speakers is not None:
            who, homes = speakers["who"].to_numpy(), speakers["home"].to_numpy()
            new = [hash_ for hash_ in who[rhythm.places(who) < 0].tolist() if hash_ in self._names]
            rhythm.meet({hash_: self._names.pop(hash_) for hash_ in new}, hour)
            places = rhythm.places(who)
            rhythm.speak(places[places >= 0], minute, homes[places >= 0])
            heard = set(who.tolist()) & self._quiet.keys() if self._quiet else ()
            ended = [self._ended(hash_) for hash_ in sorted(heard)]
        return ended + [c for place in rhythm.over() if (c := self._began(int(place), minute))]

    def _began(self, place: int, minute: int) -> Conclusion | None:
        who = self._rhythm.hash(place)
        if who in self._quiet:
            return None
        quiet = self._quiet[who] = Quiet(
            int(self._rhythm["last"][place]) + 1,
            minute + 1,
            self._rhythm.usual(place),
            round(self._rhythm.normal_pause(place), 1),
        )
        return self._conclusion(self._rhythm.key(place), quiet)

    def _ended(self, who: int) -> Conclusion:
        key = self._rhythm.key(self._rhythm.place(who))
        return self._conclusion(key, self._quiet.pop(who), withdrawn="The agent speaks again")

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
            "names": [(who, *names) for who, names in self._names.items()],
            "heartbeat": self._heartbeat.state(),
            "rhythm": self._rhythm.state(),
            "quiet": [(who, *quiet) for who, quiet in self._quiet.items()],
            "next": self._next_minute,
        }

    def load(self, state: Any) -> None:
        """Take over a snapshot's state."""
        self._spoke.load(state["spoke"])
        self._names = {who: (environment, agent) for who, environment, agent in state["names"]}
        self._heartbeat.load(state["heartbeat"])
        self._rhythm.load(state["rhythm"])
        self._quiet = {who: Quiet(*quiet) for who, *quiet in state["quiet"]}
        self._next_minute = state["next"]
