"""Shards of detection: which of them a row belongs to, and what all of them must know of a segment.

The last shard gets every row and runs the detectors that look across agents; the others share the agents.
"""

from collections.abc import Sequence
from hashlib import blake2b
from typing import NamedTuple

import polars as pl

from pipeline.detect.columns import agent, environment, event_time_ms, reached_ms
from pipeline.detect.model import Marker, Part
from schemas.signal import SIGNAL_SCHEMA

CUT_SCHEMA: dict[str, pl.DataType] = {**SIGNAL_SCHEMA, "reached_ms": pl.Int64()}


class Shard(NamedTuple):
    """One of `of` shards, numbered from 0: a partition of the signals topic."""

    number: int
    of: int

    @property
    def name(self) -> str:
        """As the state database has it, such as `3/9`: another number of shards is another name."""
        return f"{self.number}/{self.of}"

    @property
    def is_fleet(self) -> bool:
        """Whether it looks across all agents."""
        return self.number == self.of - 1

    @property
    def part(self) -> Part:
        """The detectors that run in it."""
        return "fleet" if self.is_fleet else "agents"


def all_shards(of: int) -> list[Shard]:
    """All of them, in order."""
    return [Shard(number, of) for number in range(of)]


class Cut(NamedTuple):
    """The rows of one segment that a shard sees, and what the whole segment says of time."""

    signals: pl.DataFrame
    """CUT_SCHEMA. `reached_ms`: the newest event time of the segment's rows up to each, whosever."""
    marker: Marker


def cut(signals: pl.DataFrame, shards: Sequence[Shard]) -> list[Cut]:
    """A segment's signals for each of these shards: a function of the rows alone."""
    event_ms = event_time_ms().alias("event_ms")
    timed = signals.with_columns(reached_ms().alias("reached_ms"))
    marker = _marker(timed.with_columns(event_ms))
    numbers = _numbers(signals, shards[0].of) if any(not shard.is_fleet for shard in shards) else None
    cuts: list[Cut] = []
    for shard in shards:
        own = timed if shard.is_fleet or numbers is None else timed.filter(numbers == shard.number)
        cuts.append(Cut(own, marker))
    return cuts


def shard_number(env: str, agent_id: str, of: int) -> int:
    """The shard of an agent: for good, whatever the version of any library."""
    digest = blake2b(f"{env}\0{agent_id}".encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") % (of - 1)


def _numbers(signals: pl.DataFrame, of: int) -> pl.Series:
    """The shard of each row, by whom its event counts for."""
    whose = signals.select(environment().alias("env"), agent().alias("agent"))
    agents = whose.unique()
    shards = [shard_number(env, agent_id, of) for env, agent_id in agents.iter_rows()]
    numbered = agents.with_columns(pl.Series("shard", shards, pl.Int64))
    return whose.join(numbered, on=["env", "agent"], how="left", maintain_order="left")["shard"]


def _marker(timed: pl.DataFrame) -> Marker:
    stamped = timed.filter(pl.col("broker_time_kind") == "append")["broker_time_ms"]
    untimed = timed.filter(pl.col("reached_ms").is_null())["broker_time_ms"]
    return Marker(
        newest_ms=_newest(timed["event_ms"]),
        untimed_ms=_newest(untimed),
        newest_broker_ms=_newest(stamped),
        agents=tuple(sorted(timed["agent_id"].unique().to_list())),
    )


def _newest(times: pl.Series) -> int | None:
    newest = times.max()
    return int(newest) if isinstance(newest, int) else None
