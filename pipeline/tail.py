"""The tail: sealed rows of every input partition in order, for detection.

What was just sealed is handed over from memory; after a restart, or where it was pushed out, it is read
from its segment. Either way detection sees the same rows, because they are the sealed ones.
"""

import heapq
import itertools
import threading
from collections import OrderedDict
from collections.abc import Iterator, Mapping
from operator import itemgetter
from typing import NamedTuple

import polars as pl

from pipeline.audit.log import PartitionLog
from pipeline.audit.signals import read_signals
from pipeline.audit.store import APPEND_PARTITIONS, Store
from pipeline.detect.model import SignalBatch
from schemas.log_entry import LogEntry, SegmentRef
from schemas.signal import SIGNAL_SCHEMA

Key = tuple[str, int]
"""(topic id, partition)."""
Ends = Mapping[Key, int]
Timed = tuple[int, Key, LogEntry]
"""An entry with its `at_ms` and its partition."""

HANDED_OVER_ROWS = 200_000
GONE_AFTER_MS = 15 * 60_000
"""Three times the longest interval of idle entries."""
LOOK_BACK_ENTRIES = 64
"""Where a partition's last rows are looked for first, from its end; then twice as far, and so on."""
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


class Recording(NamedTuple):
    """One entry of a partition's log, and what of it detection observes."""

    at_ms: int
    key: Key
    batches: list[SignalBatch]
    is_halt: bool


class Tail:
    """Reads every partition log on from where detection is."""

    def __init__(self, store: Store, handover: Handover) -> None:
        self._store = store
        self._handover = handover
        self._logs: dict[Key, PartitionLog] = {}
        self._known_ms: dict[Key, int] = {}
        """Since when each is known: one whose first entry is still to come is not gone."""
        self._read: dict[Key, int] = {}
        self._kept: tuple[tuple[Key, str], pl.DataFrame] | None = None

    def discover(self, now_ms: int) -> None:
        """Look for input partitions that were not known before."""
        for key in self._store.partitions():
            if key[0] not in APPEND_PARTITIONS and key not in self._logs:
                self._logs[key] = PartitionLog.open(self._store, *key)
                self._known_ms[key] = now_ms

    def alive(self, now_ms: int) -> list[Key]:
        """Known partitions that are not `gone`, as of the last read: minutes wait for all of them."""
        gone = set(self.gone(now_ms))
        return [key for key in self._logs if key not in gone]

    def history(self, after: Ends, upto: Ends) -> Iterator[SignalBatch]:
        """What is sealed of [after, upto) per partition, and the idle entries in it: to rebuild from.

        In the order in which it was sealed, over all partitions, as far as clocks agree. An idle entry
        behind the last of those rows may have been consumed or not, the end does not tell: it is left to
        `fresh`, since what it yields once more has the same ids, and what is folded in silence is lost.
        """
        for key, log in self._logs.items():
            self._read[key] = _last_seal_below(log, upto.get(key, 0))
        streams = [self._below(key, after.get(key, 0)) for key in self._logs if upto.get(key)]
        for _, key, entry in heapq.merge(*streams, key=itemgetter(0)):
            yield from self._batches(key, entry)

    def fresh(self, ends: Ends) -> Iterator[SignalBatch]:
        """What has been sealed since the last call, beyond `ends`, in the order of sealing."""
        for log in self._logs.values():
            log.refresh()
        # Lazily: a long backlog is read as far as the caller goes, and each partition in its own order.
        streams = [self._above(key, self._read.get(key, -1)) for key in self._logs]
        for _, key, entry in heapq.merge(*streams, key=itemgetter(0)):
            # Before the yield: whoever stops in the middle goes on with the next entry.
            self._read[key] = entry.n
            if _end_of(entry) >= ends.get(key, 0):
                yield from self._batches(key, entry)

    def recorded(self) -> Iterator[Recording]:
        """Everything from the first entry on, over all partitions in the order of sealing: for a replay."""
        streams = [self._above(key, -1) for key in self._logs]
        for at_ms, key, entry in heapq.merge(*streams, key=itemgetter(0)):
            yield Recording(at_ms, key, list(self._batches(key, entry)), entry.kind == "halt")

    def _above(self, key: Key, n: int) -> Iterator[Timed]:
        return ((entry.at_ms, key, entry) for entry in self._logs[key].entries_after(n))

    def _below(self, key: Key, low: int) -> Iterator[Timed]:
        last, first = self._read[key], self._logs[key].first_reaching(low)
        read = itertools.takewhile(lambda timed: timed[2].n <= last, self._above(key, first - 1))
        return (timed for timed in read if _end_of(timed[2]) >= low)

    def gone(self, now_ms: int) -> list[Key]:
        """Partitions that nobody should wait for: halted, or without an entry for longer than a live
        one is ever silent (its topic is no longer read)."""
        return [
            key
            for key, log in self._logs.items()
            if log.state.halted is not None
            or (log.state.last_ms or self._known_ms[key]) < now_ms - GONE_AFTER_MS
        ]

    def is_halted(self, key: Key) -> bool:
        """Whether a known partition is halted: what it holds may yet come."""
        return self._logs[key].state.halted is not None

    def _batches(self, key: Key, entry: LogEntry) -> Iterator[SignalBatch]:
        if entry.kind == "idle":
            yield _idle(key, entry)
        elif entry.kind == "seal" and entry.segment is not None:
            yield self._sealed(key, entry.segment)

    def _sealed(self, key: Key, reference: SegmentRef) -> SignalBatch:
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

    def _from_store(self, key: Key, reference: SegmentRef) -> pl.DataFrame:
        """The rows of a seal: from its own file, or from the compacted ones that took its place."""
        state = self._logs[key].refresh()
        if reference.name in state.live:
            return read_signals(self._store, *key, reference)
        rows = pl.concat(
            self._compacted(key, live)
            for live in state.live.values()
            if live.start < reference.end and live.end > reference.start
        )
        return rows.filter(pl.col("offset").is_between(reference.start, reference.end, closed="left"))

    def _compacted(self, key: Key, live: SegmentRef) -> pl.DataFrame:
        """The newest one read is kept: the seals that it took the place of come one after the other."""
        if self._kept is None or self._kept[0] != (key, live.name):
            self._kept = (key, live.name), read_signals(self._store, *key, live)
        return self._kept[1]


def _last_seal_below(log: PartitionLog, end: int) -> int:
    """The number of the last entry with rows, all of them below `end`: `fresh` goes on after it."""
    beyond = log.first_reaching(end + 1)
    first, width = beyond, LOOK_BACK_ENTRIES
    while first > 0:
        last, first = first, max(0, beyond - width)
        read = itertools.islice(log.entries_after(first - 1), last - first)
        seals = [entry.n for entry in read if entry.kind == "seal"]
        if seals:
            return seals[-1]
        width *= 2
    return -1


def _end_of(entry: LogEntry) -> int:
    """The offset below which everything is accounted for once the entry is; −1 where it says nothing."""
    if entry.kind == "seal" and entry.segment is not None:
        return entry.segment.end
    return entry.end if entry.kind in ("idle", "gap") and entry.end is not None else -1


def _idle(key: Key, entry: LogEntry) -> SignalBatch:
    end = entry.end or 0
    return SignalBatch(
        topic_id=key[0],
        partition=key[1],
        start=end,
        end=end,
        signals=EMPTY,
        idle_until_ms=entry.idle_until_ms,
    )
