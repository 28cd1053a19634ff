"""Firsts: names that an agent uses for the first time after it was long enough without new ones.

Learned from closed minutes of event time, so that it does not matter how rows arrived.
"""

from __future__ import annotations

from sys import intern
from typing import Any, NamedTuple

import numpy as np
import polars as pl
from numpy.typing import NDArray

from detectors.arrays import Arrays, Column
from detectors.key import Key
from detectors.pending import Pending
from detectors.places import Hashes, Ints, Places
from detectors.window import MINUTE_MS

MINUTES_PER_HOUR = 60
HOURS_PER_DAY = 24
EVICT_SHARE = 0.1
UNSEEN = -1
COLUMNS: dict[str, pl.DataType] = {"key": pl.UInt64(), "item": pl.UInt64()}
"""Hashes of whose it is, and of that with kind and name."""
MAX_WAITING = 200_000
"""Names that wait to be told; beyond it the oldest are not told."""


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
            return np.full(len(hashes), UNSEEN, dtype=np.int64)
        at = np.minimum(np.searchsorted(self.hashes, hashes), len(self.hashes) - 1)
        return np.where(self.hashes[at] == hashes, self.hours[at], UNSEEN).astype(np.int64)

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


class Item(NamedTuple):
    """A name that is not known yet, and who uses it."""

    environment: str
    agent_id: str
    via: str
    kind: str
    name: str


class Firsts:
    """What agents use, by kind. New names are told once an agent is known and seldom brings any."""

    def __init__(self, learning: Learning, kinds: tuple[str, ...]) -> None:
        self._learning = learning
        self._kinds = kinds
        self._pending = Pending(COLUMNS, told_apart_by=["item"])
        self._known = Known()
        self._items: dict[int, Item] = {}
        """The names of what waits and was not known, by hash."""
        self._places = Places(learning.max_agents)
        recent = Column(np.int32, UNSEEN, learning.max_new)
        self._agents = Arrays(
            {"began": Column(np.int32), "active": Column(np.int32), "last": Column(np.int32)}
            | {f"count.{kind}": Column(np.int32) for kind in kinds}
            | {f"recent.{kind}": recent for kind in kinds}
        )
        """First minute, minutes with events, last minute; by kind the names so far, and the minutes of the
        newest of them, the latest last."""

    def add(self, rows: pl.DataFrame, kind: str, name: str) -> None:
        """Take in the values of one column of punctual rows; `name` is the column."""
        used = rows.filter(pl.col(name).is_not_null())
        if used.is_empty():
            return
        item = pl.struct("key", pl.lit(kind).alias("kind"), pl.col(name).alias("name")).hash(31)
        used = used.select("minute", "env", "agent", "via", pl.col(name), "key", item.alias("item"))
        used = used.unique(["minute", "item"])
        self._pending.add(used)
        last = self._known.last_hours(used["item"].to_numpy())
        unknown = (last == UNSEEN) | (
            used["minute"].to_numpy() // MINUTES_PER_HOUR - last > self._forget_hours
        )
        if unknown.any():
            new = used.filter(pl.Series(unknown)).select("item", "env", "agent", "via", name)
            for hash_, env, agent, via, named in new.iter_rows():
                if hash_ not in self._items:
                    # Many of them are the same: one string for all.
                    self._items[hash_] = Item(intern(env), intern(agent), intern(via), kind, intern(named))

    @property
    def _forget_hours(self) -> int:
        return int(self._learning.forget_days * HOURS_PER_DAY)

    def close(self, event_ms: int | None) -> list[New]:
        """What was new in the minutes that have closed, in order."""
        due = None if event_ms is None else self._pending.close(event_ms // MINUTE_MS)
        if due is None or due.is_empty():
            return []
        active = due.select("key", "minute").unique().sort("key", "minute")
        active = active.with_columns(pl.int_range(pl.len()).over("key").alias("before"))
        unknown = self._unknown(due)
        before = self._see_agents(active)
        unknown = unknown.join(active, on=["key", "minute"], how="left").join(before, on="key", how="left")
        new = self._tell(unknown.with_columns(pl.col("active") + pl.col("before")))
        for hash_ in unknown["item"].to_list():
            self._items.pop(hash_, None)
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
        unknown = uses.filter(last.is_null() | (pl.col("hour") - last > self._forget_hours))
        unknown = unknown.select("item", "minute")
        seen = uses.group_by("item").agg(pl.col("hour").max())
        self._known.see(seen["item"].to_numpy(), seen["hour"].to_numpy().astype(np.int64))
        return due.join(unknown, on=["item", "minute"], how="semi") if unknown.height else due.clear()

    def _see_agents(self, active: pl.DataFrame) -> pl.DataFrame:
        """By key, `place`, first minute (`began`) and minutes with events before these rows (`active`); and
        count these."""
        counted = active.group_by("key").agg(
            pl.len(), pl.col("minute").min().alias("first"), pl.col("minute").max().alias("last")
        )
        hashes = counted["key"].to_numpy()
        is_new = self._places.of(hashes) < 0
        places = self._places.take(hashes)
        self._agents.grow(self._places.room)
        agents = self._agents
        agents["began"][places[is_new]] = counted["first"].to_numpy()[is_new]
        before = {"began": agents["began"][places], "active": agents["active"][places]}
        agents["active"][places] += counted["len"].to_numpy().astype(np.int32)
        agents["last"][places] = counted["last"].to_numpy()
        return pl.DataFrame({"key": hashes, "place": places, **before})

    def _tell(self, unknown: pl.DataFrame) -> list[New]:
        """What is news, of names with `minute`, `place`, `began` and `active` minutes before."""
        items = [self._items.get(hash_) for hash_ in unknown["item"].to_list()]
        minutes = unknown["minute"].to_list()
        # Without a name where too many waited.
        named = ((minutes[row], item, row) for row, item in enumerate(items) if item is not None)
        rows = sorted(named)
        names: dict[tuple[int, Key, str], list[str]] = {}
        for kind in self._kinds:
            mine = np.array([row for _, item, row in rows if item.kind == kind], dtype=np.int64)
            of_row = {name: unknown[name].to_numpy()[mine] for name in ("minute", "place", "began", "active")}
            for at in np.flatnonzero(self._are_news(kind, **of_row)).tolist():
                row = int(mine[at])
                item = items[row]
                if item is not None:
                    key = Key(item.environment, item.agent_id, item.via)
                    names.setdefault((minutes[row], key, kind), []).append(item.name)
        return [New(minute, key, kind, tuple(found)) for (minute, key, kind), found in sorted(names.items())]

    def _are_news(self, kind: str, minute: Ints, place: Ints, began: Ints, active: Ints) -> NDArray[np.bool_]:
        """Count new names, in the order given; whether each is told."""
        learning, window = self._learning, self._learning.learning_hours * MINUTES_PER_HOUR
        counts, recent = self._agents[f"count.{kind}"], self._agents[f"recent.{kind}"]
        is_known = (minute - began >= window) & (active >= learning.learning_minutes)
        news = np.zeros(len(minute), dtype=np.bool_)
        for rows in _in_turn(place, learning.max_names):
            at, now = place[rows], minute[rows]
            oldest = recent[at, 0]
            is_rare = (oldest == UNSEEN) | (oldest <= now - window)
            news[rows] = is_rare & is_known[rows] & (counts[at] < learning.max_names)
            counts[at] += 1
            recent[at] = np.c_[recent[at][:, 1:], now]
        return news

    def _limit_memory(self) -> None:
        learning = self._learning
        self._known.limit(learning.max_items)
        while len(self._items) > MAX_WAITING:
            del self._items[next(iter(self._items))]
        if len(self._places) > learning.max_agents:
            held = self._places.held()
            excess = len(held) - int(learning.max_agents * (1 - EVICT_SHARE))
            oldest_first = np.lexsort((self._places.hashes[held], self._agents["last"][held]))
            gone = held[oldest_first[:excess]]
            self._places.drop(gone)
            self._agents.clear(gone)

    def state(self) -> dict[str, Any]:
        """What a snapshot holds."""
        return {
            "pending": self._pending.state(),
            "hashes": self._known.hashes.tobytes(),
            "hours": self._known.hours.tobytes(),
            "items": [(hash_, *item) for hash_, item in self._items.items()],
            "places": self._places.state(),
            "agents": self._agents.state(),
        }

    def load(self, state: dict[str, Any]) -> None:
        """Take over a snapshot's state."""
        self._pending.load(state["pending"])
        self._known.hashes = np.frombuffer(state["hashes"], dtype=np.uint64).copy()
        self._known.hours = np.frombuffer(state["hours"], dtype=np.int32).copy()
        self._items = {hash_: Item(*item) for hash_, *item in state["items"]}
        self._places.load(state["places"])
        self._agents.load(state["agents"])


def _in_turn(places: Ints, most: int) -> list[Ints]:
    """Rows in rounds: the first of every place, then the second, … and from `most` on none."""
    order = np.argsort(places, kind="stable")
    ordered = places[order]
    first = np.flatnonzero(np.r_[True, ordered[1:] != ordered[:-1]])
    rank = np.arange(len(places)) - np.repeat(first, np.diff(np.r_[first, len(places)]))
    return [order[rank == turn] for turn in range(min(int(rank.max(initial=-1)) + 1, most))]
