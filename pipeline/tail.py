"""The tail: sealed rows of every input partition in order, for detection.

What was just sealed is handed over from memory; after a restart, or where it was pushed out, it is read
from its segment. Either way detection sees the same rows, because they are the sealed ones.
"""

import threading
from collections import OrderedDict
from collections.abc import Iterator, Mapping

import polars as pl

from pipeline.audit.log import PartitionLog
from pipeline.audit.signals import read_signals
from pipeline.audit.store import APPEND_PARTITIONS, Store
from pipeline.detect.model import SignalBatch
from schemas.log_entry import LogEntry, SegmentRef
from schemas.signal import SIGNAL_SCHEMA

Ends = Mapping[tuple[str, int], int]

HANDED_OVER_ROWS = 200_000
GONE_AFTER_MS = 15 * 60_000
"""Three times the longest interval of idle entries."""
EMPTY = pl.DataFrame(schema=SIGNAL_SCHEMA)


class Handover:
    """Signals of freshly sealed segments, by segment name, bounded in rows."""

    def __init__(self, max_rows: int = HANDED_OVER_ROWS) -> None:
        self._frames: OrderedDict[str, pl.DataFrame] = OrderedDict()
        self._rows = 0
        self._max_rows = max_rows
        self._lock = threading.Lock()
        self.arrived = threading.Event()

    def put(self, name: str, frame: pl.DataFrame) -> None:
        """Offer the signals of a segment; the oldest are let go where there are too many."""
        with self._lock:
            self._frames[name] = frame
            self._rows += frame.height
            while self._rows > self._max_rows:
                self._rows -= self._frames.popitem(last=False)[1].height
        self.arrived.set()

    def take(self, name: str) -> pl.DataFrame | None:
        """The signals of that segment if they are still here."""
        with self._lock:
            frame = self._frames.pop(name, None)
            if frame is not None:
                self._rows -= frame.height
            return frame


class Tail:
    """Reads every partition log on from where detection is."""

    def __init__(self, store: Store, handover: Handover) -> None:
        self._store = store
        self._handover = handover
        self._logs: dict[tuple[str, int], PartitionLog] = {}
        self._read: dict[tuple[str, int], int] = {}

    def history(self, after: Ends, upto: Ends) -> Iterator[SignalBatch]:
        """What is sealed of [after, upto) per partition, and the idle entries in it: to rebuild from."""
        for key in self._store.partitions():
            if key[0] in APPEND_PARTITIONS:
                continue
            log = self._log(key)
            low, high = after.get(key, 0), upto.get(key, 0)
            yield from self._batches(key, list(log.entries_after(-1)), low, high)
            self._read[key] = self._last_entry_below(log, high)

    def fresh(self, ends: Ends) -> Iterator[SignalBatch]:
        """What has been sealed since the last call, beyond `ends`."""
        for key in self._store.partitions():
            if key[0] in APPEND_PARTITIONS:
                continue
            if key not in self._logs:
                yield _nothing(key, None)
            log = self._log(key)
            log.refresh()
            for entry in list(log.entries_after(self._read.get(key, -1))):
                # Before the yield: whoever stops in the middle goes on with the next entry.
                self._read[key] = entry.n
                yield from self._batches(key, [entry], ends.get(key, 0), None)

    def gone(self, now_ms: int) -> list[tuple[str, int]]:
        """Partitions that nobody should wait for: halted, or without an entry for longer than a live
        one is ever silent (its topic is no longer read)."""
        return [
            key
            for key, log in self._logs.items()
            if log.state.halted is not None or log.state.last_ms < now_ms - GONE_AFTER_MS
        ]

    def _batches(
        self, key: tuple[str, int], entries: list[LogEntry], low: int, high: int | None
    ) -> Iterator[SignalBatch]:
        for entry in entries:
            if entry.kind == "idle" and entry.end is not None:
                if entry.end >= low and (high is None or entry.end <= high):
                    yield _nothing(key, entry)
            elif entry.kind == "seal" and entry.segment is not None:
                segment = entry.segment
                if segment.end > low and (high is None or segment.start < high):
                    yield self._sealed(key, segment)

    def _sealed(self, key: tuple[str, int], reference: SegmentRef) -> SignalBatch:
        frame = self._handover.take(reference.name)
        if frame is None:
            frame = self._from_store(key, reference)
        return SignalBatch(
            topic_id=key[0],
            partition=key[1],
            start=reference.start,
            end=reference.end,
            signals=frame,
            idle_until_ms=None,
        )

    def _from_store(self, key: tuple[str, int], reference: SegmentRef) -> pl.DataFrame:
        """The rows of a seal: from its own file, or from the compacted ones that took its place."""
        state = self._log(key).state
        if reference.name in state.live:
            return read_signals(self._store, *key, reference)
        parts = [
            read_signals(self._store, *key, live)
            for live in state.live.values()
            if live.start < reference.end and live.end > reference.start
        ]
        rows = pl.concat(parts)
        return rows.filter(pl.col("offset").is_between(reference.start, reference.end, closed="left"))

    def _log(self, key: tuple[str, int]) -> PartitionLog:
        if key not in self._logs:
            self._logs[key] = PartitionLog.open(self._store, *key)
        return self._logs[key]

    def _last_entry_below(self, log: PartitionLog, end: int) -> int:
        """The number of the last entry whose rows lie below `end`: `fresh` goes on after it."""
        last = -1
        for entry in log.entries_after(-1):
            if entry.kind == "seal" and entry.segment is not None and entry.segment.end > end:
                break
            last = entry.n
        return last


def _nothing(key: tuple[str, int], idle: LogEntry | None) -> SignalBatch:
    """No rows: an idle entry, or a partition that was claimed and has said nothing yet."""
    end = idle.end or 0 if idle is not None else 0
    until_ms = idle.idle_until_ms if idle is not None else None
    return SignalBatch(
        topic_id=key[0], partition=key[1], start=end, end=end, signals=EMPTY, idle_until_ms=until_ms
    )
