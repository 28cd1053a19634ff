"""Erasing in one partition: a segment made anew, its entry, and later the old files.

Holds the partition's maintenance claim while it writes. Where another host takes that over it claims
again, and looks again at what has become of the segments.
"""

from __future__ import annotations

import random
import time
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from hashlib import sha256
from typing import Any

import numpy as np

from pipeline.audit.erase.live import live_tables
from pipeline.audit.erase.rewrite import Rewritten, open_checked, rewrite
from pipeline.audit.erase.sieve import Count, Sieve
from pipeline.audit.log import PartitionLog, PartitionState
from pipeline.audit.segment import open_parquet
from pipeline.audit.store import SegmentName, Store
from pipeline.audit.writer import new_writer_id
from pipeline.clock import NowMs
from pipeline.errors import StoreError
from schemas.log_entry import LogEntry, PositionRange, SegmentRef

MAX_TAKEOVERS = 100
"""So often another host may take maintenance over before an erasure gives up, to be resumed."""
FIRST_PAUSE_S = 0.02
MAX_PAUSE_S = 2.0


class PartitionEraser:
    """Erases in one partition what `sieve` takes, by the order of one erasure."""

    def __init__(self, store: Store, topic_id: str, partition: int, *, erasure: str, now_ms: NowMs) -> None:
        self._log = PartitionLog.open(store, topic_id, partition)
        self._erasure = erasure
        self._now_ms = now_ms
        self._writer_id = new_writer_id()
        self._epoch: int | None = None
        self._takeovers = 0
        self._seen: set[str] = set()
        """Segments of which nothing is left to erase."""

    @property
    def place(self) -> tuple[str, int]:
        """(topic id, partition)."""
        return self._log.topic_id, self._log.partition

    @property
    def next_n(self) -> int:
        """The number of the log's next entry, as far as it is read."""
        return self._log.state.next_n

    def survey(self, sieve: Sieve) -> Count:
        """What would be erased now. Nothing is changed."""
        return self._each(sieve, lambda ref: self._look(sieve, ref))

    def erase(self, sieve: Sieve) -> Count:
        """Erase in every live segment that starts below the end as it is now; the old files stay.

        Raises StoreError where a segment is not what the log says, OSError: both may be tried again.
        """
        return self._each(sieve, lambda ref: self._erase_segment(sieve, ref))

    def _each(self, sieve: Sieve, do: Callable[[SegmentRef], Count | None]) -> Count:
        total = Count()
        standing: dict[tuple[int, int], Count] = {}
        limit = self._log.refresh().end
        while sieve.matcher.covers(self._log.topic_id):
            live = self._log.refresh().live.values()
            ref = next((ref for ref in live if ref.name not in self._seen and ref.start < limit), None)
            if ref is None:
                break
            count = do(ref)
            if count is None:
                continue  # replaced meanwhile: what took its place is looked at
            self._seen.add(ref.name)
            for span in [span for span in standing if ref.start <= span[0] and span[1] <= ref.end]:
                del standing[span]  # compacted after it was looked at: what stays of it is counted once
            standing[ref.start, ref.end] = replace(
                count, rows=0, payloads=0, payload_bytes=0, agents=Counter()
            )
            total.add(Count(count.rows, count.payloads, count.payload_bytes, agents=count.agents))
        for count in standing.values():
            total.add(count)
        return total

    def _look(self, sieve: Sieve, ref: SegmentRef) -> Count | None:
        try:
            with self._log.store.open_segment(*self.place, ref.name) as source:
                file = open_parquet(source)
                counts = (
                    list(sieve.sift(self._log.topic_id, file))
                    if sieve.may_take(self._log.topic_id, file)
                    else []
                )
        except FileNotFoundError:
            self._require_replaced(ref)
            return None
        return _sum(count for _, count in counts)

    def _erase_segment(self, sieve: Sieve, ref: SegmentRef) -> Count | None:
        sieve.refresh()
        seen = self._look(sieve, ref)
        if seen is None or not (seen.rows or seen.payloads):
            return seen
        epoch = self._claimed()
        try:
            file = open_checked(self._log.store, *self.place, ref)
        except FileNotFoundError:
            self._require_replaced(ref)
            return None
        sifted = list(sieve.sift(self._log.topic_id, file))
        count = _sum(count for _, count in sifted)
        if not (count.rows or count.payloads):
            return count
        made = rewrite(file, *self.place, ref, [doomed for doomed, _ in sifted], epoch=epoch)
        self._store_checked(made)
        return count if self._publish(sieve, ref, made, epoch) else None

    def _store_checked(self, made: Rewritten) -> None:
        store, ref = self._log.store, made.built.ref
        store.create_segment(*self.place, ref.name, made.built.content)
        if sha256(store.read_segment(*self.place, ref.name)).hexdigest() != ref.sha256:
            raise StoreError(
                f"segment {'/'.join(map(str, self.place))}/{ref.name} does not read back as written"
            )

    def _publish(self, sieve: Sieve, old: SegmentRef, made: Rewritten, epoch: int) -> bool:
        """Whether the new segment took the old one's place; False: look again at what is there now."""
        while True:
            state = self._log.refresh()
            if made.built.ref.name in state.live:
                return True
            if not self._holds_claim(state, epoch) or old.name not in state.live or sieve.refresh():
                self._log.store.delete_segment(*self.place, made.built.ref.name)
                return False
            entry = self._log.next_entry(
                "erase",
                at_ms=self._now_ms(),
                writer=self._writer_id,
                epoch=epoch,
                inputs=[old.name],
                outputs=[made.built.ref],
                erasure=self._erasure,
                erased_rows=made.erased_rows,
                erased_payloads=made.erased_payloads,
            )
            if self._log.try_append(entry):
                self._seen.add(made.built.ref.name)
                return True

    def _claimed(self) -> int:
        """The epoch of our maintenance claim; claims where it is another's."""
        while not (self._epoch is not None and self._holds_claim(self._log.refresh(), self._epoch)):
            if self._epoch is not None:
                self._give_way()
            epoch = self._log.refresh().maintenance_epoch + 1
            entry = self._log.next_entry(
                "claim", at_ms=self._now_ms(), writer=self._writer_id, epoch=epoch, role="maintenance"
            )
            if self._log.try_append(entry):
                self._epoch = epoch
        return self._epoch

    def _holds_claim(self, state: PartitionState, epoch: int) -> bool:
        return (state.maintenance_writer, state.maintenance_epoch) == (self._writer_id, epoch)

    def _give_way(self) -> None:
        """Another host took maintenance over: let it finish what it does, longer each time."""
        self._takeovers += 1
        if self._takeovers > MAX_TAKEOVERS:
            raise StoreError(
                f"maintenance of {'/'.join(map(str, self.place))} was taken over {MAX_TAKEOVERS} times; "
                f"stop other compactions, then run: auditfuse erase --resume {self._erasure}"
            )
        pause_s = min(MAX_PAUSE_S, FIRST_PAUSE_S * 2 ** min(self._takeovers, 10))
        time.sleep(pause_s * random.uniform(0.5, 1))  # noqa: S311 (not a secret)

    def _require_replaced(self, ref: SegmentRef) -> None:
        if ref.name in self._log.refresh().live:
            raise StoreError(
                f"segment {'/'.join(map(str, self.place))}/{ref.name} is live, but its file is missing; "
                "run auditfuse verify"
            )

    def entries(self, after: int) -> list[LogEntry]:
        """The entries of this erasure that are numbered above `after`."""
        return [entry for entry in self._log.entries_after(after) if entry.erasure == self._erasure]

    def delete_replaced(self, entries: Sequence[LogEntry]) -> list[str]:
        """Delete every file that is not live and may hold what `entries` erased: replaced by them, by a
        compaction before them, or never published. Returns what the storage keeps all the same, in words."""
        spans = [
            (r.first_offset, r.last_offset) for e in entries for r in (*e.erased_rows, *e.erased_payloads)
        ]
        if not self._not_live(spans):
            for entry in entries[-1:]:
                # Gone, but whoever deleted them may have died before that was durable: deleting one is.
                self._log.store.delete_segment(*self.place, entry.inputs[0])
            return []
        self._claimed()
        kept = Counter(text for name in self._not_live(spans) if (text := self._delete(name)))
        where = f"replaced files of {self._log.topic_id}/{self._log.partition}"
        return [f"{count} {where}: {text}" for text, count in kept.items()]

    def _delete(self, name: str) -> str | None:
        """Delete a file; returns what stays of it in the storage, and until when."""
        store = self._log.store
        try:
            kept = store.kept_segment(*self.place, name)
            store.delete_segment(*self.place, name)
        except FileNotFoundError:
            return None
        except PermissionError as error:
            return f"the storage refuses to delete them ({error.strerror})"
        return kept.text if kept else None

    def _not_live(self, spans: Sequence[tuple[int, int]]) -> list[str]:
        starts, ends = (np.array([span[i] for span in spans], np.int64) for i in (0, 1))
        order = np.argsort(starts)
        starts, highest = starts[order], np.maximum.accumulate(ends[order]) if len(spans) else ends
        names = self._log.store.segment_names(*self.place)
        # After the listing: a file that is published between the two is live, not a left-over.
        state = self._log.refresh()
        found: list[str] = []
        for text in names:
            name = SegmentName.parse(text)
            if name is None or text in state.live or not self._is_dead(name, state):
                continue
            below = int(np.searchsorted(starts, name.end))
            if below and highest[below - 1] >= name.start:
                found.append(text)
        return found

    def _is_dead(self, name: SegmentName, state: PartitionState) -> bool:
        """Whether no entry can ever make the file live: what a later claim made may still be published."""
        if name.kind in ("compact", "erase"):
            return self._epoch is None or name.epoch <= self._epoch
        return name.start < state.end

    def count_erased(self, entries: Sequence[LogEntry]) -> tuple[int, int]:
        """How many rows, and how many payloads alone, these entries took."""
        rows = payloads = 0
        ranges = [(entry.erased_rows, entry.erased_payloads) for entry in entries]
        if not ranges:
            return 0, 0
        for table in live_tables(self._log, ["offset", "item"]):
            offsets, items = table.column("offset").to_numpy(), table.column("item").to_numpy()
            for of_rows, of_payloads in ranges:
                rows += _within(offsets, items, of_rows)
                payloads += _within(offsets, items, of_payloads)
        return rows, payloads


def _within(offsets: Any, items: Any, ranges: Iterable[PositionRange]) -> int:
    """How many of the rows, which are in order, lie in the ranges."""
    first, last = int(offsets[0]), int(offsets[-1])
    near = (r for r in ranges if r.first_offset <= last and r.last_offset >= first)
    return sum(
        _below(offsets, items, r.last_offset, r.last_item + 1)
        - _below(offsets, items, r.first_offset, r.first_item)
        for r in near
    )


def _below(offsets: Any, items: Any, offset: int, item: int) -> int:
    """How many rows, which are in order, stand before (offset, item)."""
    first, end = np.searchsorted(offsets, offset, "left"), np.searchsorted(offsets, offset, "right")
    return int(first + np.searchsorted(items[first:end], item, "left"))


def _sum(counts: Iterable[Count]) -> Count:
    total = Count()
    for count in counts:
        total.add(count)
    return total
