"""Rules over single rows: identity claims and reused ids, each reported once an hour."""

from collections import OrderedDict
from collections.abc import Hashable
from typing import Any, Generic, NamedTuple, TypeVar

import polars as pl

from detectors.window import HOUR_MS
from pipeline.detect.model import Key, Trip

MAX_REMEMBERED = 100_000

Item = TypeVar("Item", bound=Hashable)


class Remembered(Generic[Item]):
    """What was reported, bounded: the oldest are forgotten."""

    def __init__(self) -> None:
        self.items: OrderedDict[Item, None] = OrderedDict()

    def add(self, item: Item) -> bool:
        """Whether it is new."""
        if item in self.items:
            return False
        self.items[item] = None
        if len(self.items) > MAX_REMEMBERED:
            self.items.popitem(last=False)
        return True


class Claim(NamedTuple):
    """A source that spoke in a name that is not its own. agent "*" stands for too many names."""

    source: str
    environment: str
    agent_id: str
    hour: int


class Reuse(NamedTuple):
    """An agent's ids that came back with another content, in an hour of event time."""

    key: Key
    hour: int


class Violation(NamedTuple):
    """An agent's action that a trip forbids: the earliest of the batch that showed it."""

    key: Key
    trip: Trip
    began_ms: int
    row: str


class Claims:
    """Once per (source, claimed environment and agent) and hour; beyond a limit one for the source."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._reported = Remembered[Claim]()
        self._counts: OrderedDict[tuple[str, int], int] = OrderedDict()

    def add(self, rows: pl.DataFrame) -> list[Claim]:
        """Rows with derived columns; those that are bound are ignored."""
        unbound = rows.filter(~pl.col("bound"))
        if unbound.is_empty():
            return []
        hour = (pl.col("broker_time_ms") // HOUR_MS).alias("hour")
        claimed = unbound.select("source", "environment", "agent_id", hour).unique().sort(pl.all())
        new = [claim for row in claimed.iter_rows() if (claim := self._take(Claim._make(row)))]
        while len(self._counts) > MAX_REMEMBERED:
            self._counts.popitem(last=False)
        return new

    def _take(self, claim: Claim) -> Claim | None:
        source_hour = (claim.source, claim.hour)
        count = self._counts.get(source_hour, 0)
        if count > self._limit or not self._reported.add(claim):
            return None
        self._counts[source_hour] = count + 1
        return claim if count < self._limit else claim._replace(environment="unbound", agent_id="*")

    def state(self) -> dict[str, Any]:
        """What a snapshot holds."""
        return {
            "reported": list(self._reported.items),
            "counts": [(*source_hour, count) for source_hour, count in self._counts.items()],
        }

    def load(self, state: dict[str, Any]) -> None:
        """Take over a snapshot's state."""
        for row in state["reported"]:
            self._reported.add(Claim._make(row))
        self._counts.update({(source, hour): count for source, hour, count in state["counts"]})


class Reuses:
    """Once per agent and hour."""

    def __init__(self) -> None:
        self._reported = Remembered[Reuse]()

    def add(self, rows: pl.DataFrame) -> list[Reuse]:
        """Rows whose ids were known with another content."""
        if rows.is_empty():
            return []
        hour = (pl.col("event_ms") // HOUR_MS).alias("hour")
        found = rows.select("env", "agent", "via", hour).unique().sort(pl.all())
        reuses = [Reuse(Key(env, agent, via), hour) for env, agent, via, hour in found.iter_rows()]
        return [reuse for reuse in reuses if self._reported.add(reuse)]

    def state(self) -> list[Any]:
        """What a snapshot holds."""
        return [(*reuse.key[:3], reuse.hour) for reuse in self._reported.items]

    def load(self, state: list[Any]) -> None:
        """Take over a snapshot's state."""
        for env, agent, via, hour in state:
            self._reported.add(Reuse(Key(env, agent, via), hour))
