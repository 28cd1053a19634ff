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
from pipeline.detect import SignalBatch
from schemas.log_entry import LogEntry, SegmentRef
from schemas.signal import SIGNAL_SCHEMA

Ends = Mapping[tuple[str, int], int]

HANDED_OVER_ROWS = 200_000
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
            log = self._log(key)
            log.refresh()
            entries = list(log.entries_after(self._read.get(key, -1)))
            if entries:
                yield from self._batches(key, entries, ends.get(key, 0), None)
                self._read[key] = entries[-1].n

    def _batches(
        self, key: tuple[str, int], entries: list[LogEntry], low: int, high: int | None
    ) -> Iterator[SignalBatch]:
        for entry in entries:
            if entry.kind == "idle" and entry.end is not None:
                if entry.end >= low and (high is None or entry.end <= high):
                    yield _idle(key, entry)
            elif entry.kind == "seal" and entry.segment is not None and entry.segment.end > low:
                if high is None or entry.segment.start < high:
                    yield self._sealed(key, entry.segment)

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


def _idle(key: tuple[str, int], entry: LogEntry) -> SignalBatch:
    end = entry.end or 0
    return SignalBatch(
        topic_id=key[0], partition=key[1], start=end, end=end, signals=EMPTY, idle_until_ms=entry.idle_until_ms
    )
