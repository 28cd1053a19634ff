"""Firsts: names that an agent uses for the first time after it was long enough without new ones.

Learned from closed minutes of event time, so that it does not matter how rows arrived.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
import polars as pl
from numpy.typing import NDArray

from detectors.key import Key
from detectors.pending import Pending
from detectors.window import MINUTE_MS

Hashes = NDArray[np.uint64]
MINUTES_PER_HOUR = 60
HOURS_PER_DAY = 24
EVICT_SHARE = 0.1
COLUMNS: dict[str, pl.DataType] = {
    "env": pl.String(),
    "agent": pl.String(),
    "via": pl.String(),
    "kind": pl.String(),
    "name": pl.String(),
    "key": pl.UInt64(),
    "item": pl.UInt64(),
}


class Learning(NamedTuple):
    """When an agent is known well enough, and how much is remembered."""

    learning_hours: float
    learning_minutes: int
    max_new: int
    max_names: int
    forget_days: float
    max_agents: int
    max_items: int


class New(NamedTuple):
    """Names of one kind that an agent used for the first time in one minute."""

    minute: int
    key: Key
    kind: str
    names: tuple[str, ...]


class Known:
    """Hashes and the hour in which each was last seen, sorted by hash."""

    def __init__(self) -> None:
        self.hashes: Hashes = np.empty(0, dtype=np.uint64)
        self.hours: NDArray[np.int32] = np.empty(0, dtype=np.int32)

    def last_hours(self, hashes: Hashes) -> NDArray[np.int64]:
        """When each was last seen; -1: never."""
        if not len(self.hashes):
            return np.full(len(hashes), -1, dtype=np.int64)
        at = np.minimum(np.searchsorted(self.hashes, hashes), len(self.hashes) - 1)
        return np.where(self.hashes[at] == hashes, self.hours[at], -1).astype(np.int64)

    def see(self, hashes: Hashes, hours: NDArray[np.int64]) -> None:
        """Remember distinct hashes as seen in these hours."""
        at = np.searchsorted(self.hashes, hashes)
        known = np.zeros(len(hashes), dtype=np.bool_)
        inside = at < len(self.hashes)
        known[inside] = self.hashes[at[inside]] == hashes[inside]
        self.hours[at[known]] = np.maximum(self.hours[at[known]], hours[known])
        if known.all():
            return
        hashes = np.concatenate([self.hashes, hashes[~known]])
        order = np.argsort(hashes, kind="stable")
        self.hashes = hashes[order]
        self.hours = np.concatenate([self.hours, hours[~known].astype(np.int32)])[order]

    def limit(self, max_items: int) -> None:
        """Forget those that were not seen for the longest time."""
        excess = len(self.hashes) - max_items
        if excess > 0:
            excess += int(max_items * EVICT_SHARE)
            kept = np.sort(np.argsort(self.hours, kind="stable")[excess:])
            self.hashes, self.hours = self.hashes[kept], self.hours[kept]


class Firsts:
    """What agents use, by kind. New names are told once an agent is known and seldom brings any."""

    def __init__(self, learning: Learning) -> None:
        self._learning = learning
        self._pending = Pending(COLUMNS, told_apart_by=["item"])
        self._known = Known()
        self._agents: dict[int, tuple[int, int, int]] = {}
        """Key → (first minute, minutes with events, last minute)."""
        self._recent: dict[str, dict[int, tuple[int, ...]]] = {}
        """Kind → key → (names so far, minutes of the newest of them)."""

    def add(self, rows: pl.DataFrame, kind: str, name: str) -> None:
        """Take in the values of one column of punctual rows; `name` is the column."""
        used = rows.filter(pl.col(name).is_not_null())
        if used.is_empty():
            return
        item = pl.struct("key", pl.lit(kind).alias("kind"), pl.col(name).alias("name")).hash(31)
        used = used.select(
            "minute", "env", "agent", "via", pl.lit(kind).alias("kind"), pl.col(name).alias("name"), "key",
            item.alias("item"),
        )  # fmt: skip
        self._pending.add(used.unique(["minute", "item"]))

    def close(self, event_ms: int | None) -> list[New]:
        """What was new in the minutes that have closed, in order."""
        due = None if event_ms is None else self._pending.close(event_ms // MINUTE_MS)
        if due is None or due.is_empty():
            return []
        active = due.select("key", "minute").unique().sort("key", "minute")
        active = active.with_columns(pl.int_range(pl.len()).over("key").alias("before"))
        unknown = self._unknown(due).join(active, on=["key", "minute"], how="left")
        unknown = unknown.sort("minute", "env", "agent", "via", "kind", "name")
        minutes = self._see_agents(active)
        new = list(self._tell(unknown, minutes))
        self._limit_memory()
        return new

    def _unknown(self, due: pl.DataFrame) -> pl.DataFrame:
        """The uses of names that were not used before, or not for too long."""
        hour = (pl.col("minute") // MINUTES_PER_HOUR).alias("hour")
        uses = due.select("item", "minute", hour).sort("item", "minute")
        before = uses.select(pl.col("hour").shift(1).over("item")).to_series()
        first = uses.filter(before.is_null())
        known = first.with_columns(pl.Series("known", self._known.last_hours(first["item"].to_numpy())))
        uses = uses.with_columns(before.alias("before")).join(
            known.select("item", "minute", pl.when(pl.col("known") >= 0).then("known").alias("known")),
            on=["item", "minute"],
            how="left",
        )
        last = pl.coalesce("before", "known")
        forgotten = pl.col("hour") - last > int(self._learning.forget_days * HOURS_PER_DAY)
        unknown = uses.filter(last.is_null() | forgotten).select("item", "minute")
        seen = uses.group_by("item").agg(pl.col("hour").max())
        self._known.see(seen["item"].to_numpy(), seen["hour"].to_numpy())
        return due.join(unknown, on=["item", "minute"], how="semi") if unknown.height else due.clear()

    def _see_agents(self, active: pl.DataFrame) -> dict[int, tuple[int, int]]:
        """Key → (first minute, minutes with events before these rows), and count these."""
        before: dict[int, tuple[int, int]] = {}
        counted = active.group_by("key").agg(
            pl.len(), pl.col("minute").min().alias("first"), pl.col("minute").max().alias("last")
        )
        for key, minutes, first, last in counted.iter_rows():
            began, so_far, _ = self._agents.get(key, (first, 0, first))
            before[key] = (began, so_far)
            self._agents[key] = (began, so_far + minutes, last)
        return before

    def _tell(self, unknown: pl.DataFrame, agents: dict[int, tuple[int, int]]) -> Iterator[New]:
        names: dict[tuple[int, Key, str], list[str]] = {}
        columns = unknown.select("minute", "key", "env", "agent", "via", "kind", "name", "before")
        for minute, key, env, agent, via, kind, name, before in columns.iter_rows():
            began, so_far = agents[key]
            if self._is_news(minute, key, kind, began, so_far + before):
                names.setdefault((minute, Key(env, agent, via), kind), []).append(name)
        return (New(minute, key, kind, tuple(found)) for (minute, key, kind), found in names.items())

    def _is_news(self, minute: int, key: int, kind: str, began: int, active: int) -> bool:
        """Count a new name; whether it is told."""
        learning = self._learning
        window = learning.learning_hours * MINUTES_PER_HOUR
        kept = self._recent.setdefault(kind, {})
        count, *recent = kept.pop(key, (0,))
        is_rare = len(recent) < learning.max_new or recent[0] <= minute - window
        kept[key] = (count + 1, *[*recent, minute][-learning.max_new :])  # the latest last
        is_known = minute - began >= window and active >= learning.learning_minutes
        return is_rare and is_known and count < learning.max_names

    def _limit_memory(self) -> None:
        learning = self._learning
        self._known.limit(learning.max_items)
        for kept in self._recent.values():
            while len(kept) > learning.max_agents:
                del kept[next(iter(kept))]
        if len(self._agents) > learning.max_agents:
            excess = len(self._agents) - int(learning.max_agents * (1 - EVICT_SHARE))
            for key, _ in sorted(self._agents.items(), key=lambda one: (one[1][2], one[0]))[:excess]:
                del self._agents[key]

    def state(self) -> dict[str, Any]:
        """What a snapshot holds."""
        return {
            "pending": self._pending.state(),
            "hashes": self._known.hashes.tobytes(),
            "hours": self._known.hours.tobytes(),
            "agents": [(key, *seen) for key, seen in self._agents.items()],
            "recent": [(kind, list(kept.items())) for kind, kept in self._recent.items()],
        }

    def load(self, state: dict[str, Any]) -> None:
        """Take over a snapshot's state."""
        self._pending.load(state["pending"])
        self._known.hashes = np.frombuffer(state["hashes"], dtype=np.uint64).copy()
        self._known.hours = np.frombuffer(state["hours"], dtype=np.int32).copy()
        self._agents = {key: (first, active, last) for key, first, active, last in state["agents"]}
        self._recent = {kind: {key: tuple(recent) for key, recent in kept} for kind, kept in state["recent"]}
