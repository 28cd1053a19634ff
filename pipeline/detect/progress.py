"""How far each partition has come: the ends consumed, event and append time. All watermarks are of this."""

from typing import Any

import polars as pl

from detectors.base import Watermark
from pipeline.detect.model import Marker, Partition


class PartitionTimes:
    """The partitions that are known. Times only go forward."""

    def __init__(self, lateness_ms: int) -> None:
        self.lateness_ms = lateness_ms
        self.spoken: set[str] = set()
        """In a shard, the agents of all of them."""
        self.ends: dict[Partition, int] = {}
        """The sealed end consumed of each partition."""
        self.newest_ms: dict[Partition, int | None] = {}
        """The newest event time of each known partition; None: has not spoken. None holds all others back."""
        self.newest_broker_ms: dict[Partition, int | None] = {}
        self.halted: set[Partition] = set()
        """The partitions that nobody waits for since they are halted."""

    @property
    def reached_ms(self) -> int | None:
        """The event time that every partition has come to; None while some has not spoken."""
        return _slowest(self.newest_ms)

    def join(self, partitions: list[Partition]) -> None:
        """Know them before their first rows."""
        for partition in partitions:
            self.halted.discard(partition)
            self.newest_ms.setdefault(partition, None)
            self.newest_broker_ms.setdefault(partition, None)

    def leave(self, partition: Partition, *, is_halted: bool) -> None:
        """Wait no longer for it; its end is kept."""
        if is_halted:
            self.halted.add(partition)
        self.newest_ms.pop(partition, None)
        self.newest_broker_ms.pop(partition, None)

    def pass_rows(self, partition: Partition, rows: pl.DataFrame) -> None:
        """All rows of a batch, with `event_ms`."""
        _raise(self.newest_ms, partition, rows["event_ms"].max())
        stamped = rows.filter(pl.col("broker_time_kind") == "append")
        if stamped.height:
            _raise(self.newest_broker_ms, partition, stamped["broker_time_ms"].max())

    def pass_marker(self, partition: Partition, marker: Marker) -> None:
        """A shard's time goes on with what is sealed of all agents: its own rows are but some of them."""
        if self.newest_ms[partition] is None:
            _raise(self.newest_ms, partition, marker.untimed_ms)
        _raise(self.newest_ms, partition, marker.newest_ms)
        _raise(self.newest_broker_ms, partition, marker.newest_broker_ms)
        self.spoken.update(marker.agents)

    def pass_idle(self, partition: Partition, until_ms: int) -> None:
        """Nothing older than this comes of it."""
        _raise(self.newest_ms, partition, until_ms)
        _raise(self.newest_broker_ms, partition, until_ms)

    def watermark(self) -> Watermark:
        """What can no longer come of any."""
        reached_ms = self.reached_ms
        event_ms = None if reached_ms is None else reached_ms - self.lateness_ms
        return Watermark(event_ms, _slowest(self.newest_broker_ms), self.newest_ms, bool(self.halted))

    def state(self) -> list[Any]:
        """What a snapshot holds, but for the halted ones."""
        return [
            (
                *p,
                self.ends.get(p, 0),
                p in self.newest_ms,
                self.newest_ms.get(p),
                self.newest_broker_ms.get(p),
            )
            for p in self.ends | self.newest_ms
        ]

    def load(self, partitions: list[Any], halted: list[Any]) -> None:
        """Take over a snapshot's state."""
        for topic_id, number, end, known, newest, newest_broker in partitions:
            partition = (topic_id, number)
            self.ends[partition] = end
            if known:
                self.newest_ms[partition] = newest
                self.newest_broker_ms[partition] = newest_broker
        self.halted = {(topic_id, number) for topic_id, number in halted}


def _slowest(times: dict[Partition, int | None]) -> int | None:
    known = [t for t in times.values() if t is not None]
    return min(known) if known and len(known) == len(times) else None


def _raise(times: dict[Partition, int | None], partition: Partition, value: Any) -> None:
    before = times.get(partition)
    if value is not None and (before is None or value > before):
        times[partition] = int(value)
