"""What goes into the fold and what comes out of it."""

from collections.abc import Iterable, Iterator
from typing import NamedTuple

import msgspec
import polars as pl

from schemas.command import Mode, Selector
from schemas.finding import Finding

Partition = tuple[str, int]
"""(topic id, partition)."""


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
    rows = pl.concat(batch.signals for batch in several)
    return last._replace(start=first.start, signals=rows)


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
