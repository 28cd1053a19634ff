"""The tail: sealed rows of every input partition in order, for detection.

What was just sealed is handed over from memory; after a restart, or where it was pushed out, it is read
from its segment. Either way detection sees the same rows, because they are the sealed ones.
"""

import heapq
import itertools
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping
from operator import itemgetter
from typing import NamedTuple

import polars as pl

from pipeline.audit.log import PartitionLog
from pipeline.audit.signals import read_signals
from pipeline.audit.store import APPEND_PARTITIONS, Store
from pipeline.detect.model import Marker, SignalBatch
from pipeline.signals_topic.shard import CUT_SCHEMA, Shard, cut
from schemas.log_entry import LogEntry, SegmentRef
from schemas.signal import SIGNAL_SCHEMA

Key = tuple[str, int]
"""(topic id, partition)."""
Ends = Mapping[Key, int]
Timed = tuple[int, Key, LogEntry]
"""An entry with its `at_ms` and its partition."""

HANDED_OVER_ROWS = 200_000
MAX_HANDED_OVER = 8_192
"""Segments: a shard may have no row of most of them."""
GONE_AFTER_MS = 15 * 60_000
"""Three times the longest interval of idle entries."""
LOOK_BACK_ENTRIES = 64
"""Where a partition's last rows are looked for first, from its end; then twice as far, and so on."""
EMPTY = pl.DataFrame(schema=SIGNAL_SCHEMA)
EMPTY_CUT = pl.DataFrame(schema=CUT_SCHEMA)


class Handed(NamedTuple):
    """The signals of a segment, or a shard's share of them with what the whole segment says."""

    signals: pl.DataFrame
    marker: Marker | None = None


class Handover:
    """Signals of freshly sealed segments, by segment name, bounded in rows: a shard's, or all of them."""

    def __init__(self, max_rows: int = HANDED_OVER_ROWS) -> None:
        self._frames: OrderedDict[str, Handed] = OrderedDict()
        self._rows = 0
        self._max_rows = max_rows
        self._lock = threading.Lock()
        self.arrived = threading.Event()

    def put(self, name: str, signals: pl.DataFrame, marker: Marker | None = None) -> None:
        """Offer the signals of a segment; the oldest are let go where there are too many."""
        with self._lock:
            before = self._frames.pop(name, None)
            self._frames[name] = Handed(signals, marker)
            self._rows += signals.height - (0 if before is None else before.signals.height)
            while self._rows > self._max_rows or len(self._frames) > MAX_HANDED_OVER:
                self._rows -= self._frames.popitem(last=False)[1].signals.height
        self.arrived.set()

    def take(self, name: str) -> Handed | None:
        """The signals of that segment if they are still here."""
        with self._lock:
            handed = self._frames.pop(name, None)
            if handed is not None:
                self._rows -= handed.signals.height
            return handed


class Recording(NamedTuple):
    """One entry of a partition's log, and what of it detection observes."""

    at_ms: int
    key: Key
    batches: list[SignalBatch]
    is_halt: bool


IsDue = Callable[[Key, int], bool]
"""Whether to look for entries of a partition from this number on: there may be some."""


def _always(key: Key, n: int) -> bool:
    del key, n
    return True


class Tail:
    """Reads every partition log on from where detection is. Of a shard it gives the rows that are its own."""

    def __init__(
        self, store: Store, handover: Handover, *, shard: Shard | None = None, is_due: IsDue = _always
    ) -> None:
        self._shard = shard
        self._is_due = is_due
        self._store = store
        self._handover = handover
        self._logs: dict[Key, PartitionLog] = {}
        self._known_ms: dict[Key, int] = {}
        """Since when each is known: one whose first entry is still to come is not gone."""
        self._unbegun: set[Key] = set()
        """Of which the first entry is not read yet."""
        self._youngest: dict[str, tuple[int, str]] = {}
        """Of the topics of a name the one that was begun last: when, and its id."""
        self._read: dict[Key, int] = {}
        self.last_ms: int | None = None
        """When the entry that `fresh` gave last was made."""
        self._kept: tuple[tuple[Key, str], pl.DataFrame] | None = None

    def discover(self, now_ms: int) -> None:
        """Look for input partitions that were not known before."""
        for key in self._store.partitions():
            if key[0] not in APPEND_PARTITIONS and key not in self._logs:
                self._logs[key] = PartitionLog.open(self._store, *key)
                self._known_ms[key] = now_ms
                self._unbegun.add(key)

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
        self.begin_at(upto)
        streams = [self._below(key, after.get(key, 0)) for key in self._logs if upto.get(key)]
        for _, key, entry in heapq.merge(*streams, key=itemgetter(0)):
            yield from self._batches(key, entry)

    def ends_before(self, at_ms: int) -> dict[Key, int]:
        """For each known partition: what was sealed of it before that time."""
        return {key: log.end_before(at_ms) for key, log in self._logs.items()}

    def begin_at(self, ends: Ends) -> None:
        """Let `fresh` go on from these ends."""
        for key, log in self._logs.items():
            log.refresh()  # another process may have consumed what was not looked for here
            self._read[key] = _last_seal_below(log, ends.get(key, 0))

    def is_past(self, key: Key, n: int) -> bool:
        """Whether entry `n` was read already. From any thread."""
        return n <= self._read.get(key, -1)

    def fresh(self, ends: Ends) -> Iterator[SignalBatch]:
        """What has been sealed since the last call, beyond `ends`, in the order of sealing."""
        due = [key for key, log in self._logs.items() if self._may_have_more(key, log)]
        for key in due:
            self._logs[key].refresh()
        # Lazily: a long backlog is read as far as the caller goes, and each partition in its own order.
        streams = [self._above(key, self._read.get(key, -1)) for key in due]
        for _, key, entry in heapq.merge(*streams, key=itemgetter(0)):
            # Before the yield: whoever stops in the middle goes on with the next entry.
            self._read[key], self.last_ms = entry.n, entry.at_ms
            if _end_of(entry) >= ends.get(key, 0):
                yield from self._batches(key, entry)

    def recorded(self) -> Iterator[Recording]:
        """Everything from the first entry on, over all partitions in the order of sealing: for a replay."""
        streams = [self._above(key, -1) for key in self._logs]
        for at_ms, key, entry in heapq.merge(*streams, key=itemgetter(0)):
            yield Recording(at_ms, key, list(self._batches(key, entry)), entry.kind == "halt")

    def _may_have_more(self, key: Key, log: PartitionLog) -> bool:
        """Whoever stopped in the middle has left some that are known."""
        n = self._read.get(key, -1) + 1
        return n < log.state.next_n or self._is_due(key, n)

    def _above(self, key: Key, n: int) -> Iterator[Timed]:
        return ((entry.at_ms, key, entry) for entry in self._logs[key].entries_after(n))

    def _below(self, key: Key, low: int) -> Iterator[Timed]:
        last, first = self._read[key], self._logs[key].first_reaching(low)
        read = itertools.takewhile(lambda timed: timed[2].n <= last, self._above(key, first - 1))
        return (timed for timed in read if _end_of(timed[2]) >= low)

    def gone(self, now_ms: int) -> list[Key]:
        """Partitions that nobody should wait for: halted, without an entry for longer than a live one is ever
        silent (its topic is no longer read), or silent since a topic of the same name was begun (its own was
        deleted and made anew)."""
        self._look_for_younger()
        return [
            key
            for key, log in self._logs.items()
            if log.state.halted is not None
            or (log.state.last_ms or self._known_ms[key]) < now_ms - GONE_AFTER_MS
            or self._is_succeeded(key, log.state.last_ms)
        ]

    def _look_for_younger(self) -> None:
        for key in [key for key in self._unbegun if self._logs[key].state.next_n > 0]:
            self._unbegun.remove(key)
            first = next(self._logs[key].entries_after(-1))
            self._youngest[name_of(key)] = max(
                (first.at_ms, key[0]), self._youngest.get(name_of(key), (first.at_ms, key[0]))
            )

    def _is_succeeded(self, key: Key, last_ms: int | None) -> bool:
        begun_ms, topic_id = self._youngest.get(name_of(key), (0, key[0]))
        return topic_id != key[0] and last_ms is not None and last_ms < begun_ms

    def is_halted(self, key: Key) -> bool:
        """Whether a known partition is halted: what it holds may yet come."""
        return self._logs[key].state.halted is not None

    def _batches(self, key: Key, entry: LogEntry) -> Iterator[SignalBatch]:
        if entry.kind == "idle":
            yield _idle(key, entry, EMPTY if self._shard is None else EMPTY_CUT)
        elif entry.kind == "seal" and entry.segment is not None:
            yield self._sealed(key, entry.segment)

    def _sealed(self, key: Key, reference: SegmentRef) -> SignalBatch:
        handed = self._handover.take(reference.name)
        if handed is None:
            handed = Handed(self._from_store(key, reference))
        if self._shard is not None and handed.marker is None:
            handed = Handed(*cut(handed.signals, [self._shard])[0])
        return SignalBatch(
            topic_id=key[0],
            partition=key[1],
            start=reference.start,
            end=reference.end,
            signals=handed.signals,
            idle_until_ms=None,
            marker=handed.marker,
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


def name_of(key: Key) -> str:
    """The name of a partition's topic, which one that is made anew has again."""
    return key[0].rpartition(".")[0]


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


def _idle(key: Key, entry: LogEntry, empty: pl.DataFrame) -> SignalBatch:
    end = entry.end or 0
    return SignalBatch(
        topic_id=key[0],
        partition=key[1],
        start=end,
        end=end,
        signals=empty,
        idle_until_ms=entry.idle_until_ms,
    )
