"""What goes into the fold and what comes out of it."""

from collections.abc import Iterable, Iterator
from typing import Literal, NamedTuple

import msgspec
import polars as pl

from schemas.command import Mode, Selector
from schemas.finding import Finding

Partition = tuple[str, int]
"""(topic id, partition)."""
Part = Literal["all", "agents", "fleet"]
"""Which detectors run: all of them; those that look at each agent alone; those that look across agents."""


class Marker(msgspec.Struct, frozen=True, array_like=True, kw_only=True):
    """What a segment as a whole says of time and of who spoke: all a shard knows of the rows of others."""

    newest_ms: int | None
    """The newest event time."""
    untimed_ms: int | None
    """The newest append time before the first event that has a time: while nothing else is known."""
    newest_broker_ms: int | None
    """The newest time of the broker's clock."""
    agents: tuple[str, ...]

    def then(self, later: "Marker") -> "Marker":
        """Of both segments, one after the other."""
        return Marker(
            newest_ms=_newest(self.newest_ms, later.newest_ms),
            untimed_ms=_newest(self.untimed_ms, later.untimed_ms if self.newest_ms is None else None),
            newest_broker_ms=_newest(self.newest_broker_ms, later.newest_broker_ms),
            agents=tuple(sorted({*self.agents, *later.agents})),
        )


class SignalBatch(NamedTuple):
    """The signals of one sealed segment, or an idle entry, of one partition: offsets [start, end).

    An empty batch without idle time makes the partition known, so that the others wait for it.
    """

    topic_id: str
    partition: int
    start: int
    end: int
    signals: pl.DataFrame
    """SIGNAL_SCHEMA, in (offset, item) order; may be empty."""
    idle_until_ms: int | None = None
    marker: Marker | None = None
    """Of a shard's rows, which then have a column `reached_ms`: what the whole segment says."""


def joined(batches: Iterable[SignalBatch]) -> Iterator[SignalBatch]:
    """One batch in place of several of a partition.

    Detection costs by the batch as well as by the row, and what it finds does not depend on the cuts. An
    idle time ends a batch: later rows may be late because of it.
    """
    by_partition: dict[Partition, list[SignalBatch]] = {}
    for batch in batches:
        partition = (batch.topic_id, batch.partition)
        by_partition.setdefault(partition, []).append(batch)
        if batch.idle_until_ms is not None:
            yield _one(by_partition.pop(partition))
    for several in by_partition.values():
        yield _one(several)


def _one(several: list[SignalBatch]) -> SignalBatch:
    first, last = several[0], several[-1]
    if first is last:
        return first
    frames, marker = [first.signals], first.marker
    for batch in several[1:]:
        frames.append(batch.signals if marker is None else _after(batch.signals, marker))
        if marker is not None and batch.marker is not None:
            marker = marker.then(batch.marker)
    marker = marker or last.marker
    return last._replace(start=first.start, signals=pl.concat(frames), marker=marker)


def _after(signals: pl.DataFrame, before: Marker) -> pl.DataFrame:
    """A shard's rows as those of a segment that goes on from another."""
    reached = pl.max_horizontal("reached_ms", pl.lit(before.newest_ms, pl.Int64))
    return signals.with_columns(reached.alias("reached_ms"))


def _newest(one: int | None, other: int | None) -> int | None:
    return other if one is None else one if other is None else max(one, other)


class Trip(msgspec.Struct, frozen=True, kw_only=True):
    """One trip of the kill switch as `_control` has it; given again once it is loosened."""

    trip_id: str
    selector: Selector
    mode: Mode
    served_at_ms: int
    loosened: tuple[tuple[int, Mode], ...] = ()
    """(ms since 1970, the mode from then on), in order; "on": lifted."""
    stored_as: tuple[str, ...] = ()
    """Redacted names of agents that stand for the one that the selector names as it calls itself."""

    @property
    def lifted_at_ms(self) -> int | None:
        """When it ended; None while it is in force."""
        return next((at_ms for at_ms, mode in self.loosened if mode == "on"), None)


class Acceptance(NamedTuple):
    """That people accepted what an agent does now as its new normal: from a minute on it is learned anew."""

    id: str
    environment: str
    """Empty: every environment."""
    agent_id: str
    from_minute: int
    """Of event time. A few minutes after it was said, so that detection hears of it before."""


class Found(msgspec.Struct, frozen=True, kw_only=True):
    """A finding, and what depends on when and how its events arrived."""

    finding: Finding
    late: bool
    evidence: dict[str, object]
    """Sample traces, sessions and row identities, counts so far, SQL to look further."""
    withdrawn: str | None = None
    """Why the finding of this identity, found before, no longer holds."""
