"""A partition's log: read and folded as it grows, and appended to by compare-and-set."""

from bisect import bisect_left
from collections.abc import Iterator
from functools import lru_cache
from hashlib import sha256
from typing import Any

import msgspec

from pipeline.audit.entries import Clock, Entries, boot_clock_s
from pipeline.audit.fold import PartitionState, fold
from pipeline.audit.log_snapshot import SNAPSHOT_EVERY_ENTRIES, load_snapshot, save_snapshot
from pipeline.audit.store import Store
from pipeline.errors import StoreError
from schemas.log_entry import EntryKind, LogEntry

LOOKED_UP_ENTRIES = 256
"""Entries that a search by halving keeps: the next one begins with the same."""

__all__ = ["PartitionLog", "PartitionState", "decode_entry", "encode_entry", "fold"]


def encode_entry(entry: LogEntry) -> bytes:
    """The canonical bytes of an entry."""
    return msgspec.json.encode(entry)


def decode_entry(content: bytes, where: str) -> LogEntry:
    """Raises StoreError where the bytes are not those of an entry, canonically encoded."""
    try:
        entry = _DECODER.decode(content)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        raise StoreError(f"log entry {where} cannot be read; run auditfuse verify") from None
    if encode_entry(entry) != content:
        raise StoreError(f"log entry {where} is not in canonical form; run auditfuse verify")
    return entry


class PartitionLog:
    """A partition's log as far as it has been read. Not safe for use by several threads at once."""

    def __init__(self, store: Store, topic_id: str, partition: int, *, clock_s: Clock = boot_clock_s) -> None:
        self.store = store
        self.topic_id = topic_id
        self.partition = partition
        self._state = PartitionState.initial(topic_id, partition)
        self._entries = Entries(store, topic_id, partition, clock_s)
        self._entry = lru_cache(LOOKED_UP_ENTRIES)(self._read_entry)
        self._snapshot_n: int | None = None
        """Entries that the snapshot stands on from which the fold went on; None before the first refresh."""
        self._unsure = False
        """Whether an entry of ours may be there without being durable."""

    @classmethod
    def open(cls, store: Store, topic_id: str, partition: int) -> "PartitionLog":
        """The log with every present entry read. A partition without a log has the initial state."""
        log = cls(store, topic_id, partition)
        log.refresh()
        return log

    @property
    def state(self) -> PartitionState:
        """The fold of the entries read so far."""
        return self._state

    def refresh(self) -> PartitionState:
        """Read and fold the entries that were added: one look-up where there are none."""
        if self._snapshot_n is None:
            self._snapshot_n = self._begin()
        for entry, content in self._read_from(self._state.next_n):
            self._state = fold(self._state, entry, content)
        if self._unsure:
            self.confirm()
        return self._state

    def confirm(self) -> None:
        """Make sure that the last entry survives a power cut: who created it may have died before it knew.

        For whoever acts on an entry that is there without adding one. Raises OSError.
        """
        if self._state.next_n > 0:
            self._entries.confirm(self._state.next_n - 1)
        self._unsure = False

    def entries_after(self, n: int) -> Iterator[LogEntry]:
        """The entries numbered above `n` (−1 for all) that are there now, in order. Not validated."""
        return (entry for entry, _ in self._read_from(n + 1))

    def content(self, n: int) -> bytes | None:
        """The bytes of entry `n`, None where there is none yet."""
        return self._entries.read(n)

    def first_reaching(self, end: int) -> int:
        """The number of the first entry after which every offset below `end` is accounted for, as far as the
        log is read; where there is none, that of the next entry. Looks at a few entries only.

        Raises StoreError.
        """
        return bisect_left(range(self._state.next_n), end, key=self._end_after) if end > 0 else 0

    def end_before(self, at_ms: int) -> int:
        """The partition's end as the entries made before that time say, as far as the log is read and clocks
        agree. Looks at a few entries only. Raises StoreError."""
        made = bisect_left(range(self._state.next_n), at_ms, key=lambda n: self._entry(n).at_ms)
        return self._end_after(made - 1)

    def _end_after(self, n: int) -> int:
        """The partition's end after entry `n`: what the latest entry up to it that moved it says."""
        while n >= 0:
            entry = self._entry(n)
            if entry.segment is not None:
                return entry.segment.end
            if entry.kind in ("idle", "gap") and entry.end is not None:
                return entry.end
            n -= 1
        return 0

    def _read_entry(self, n: int) -> LogEntry:
        where = f"{self.topic_id}/{self.partition}/{n:012d}"
        content = self.content(n)
        if content is None:
            raise StoreError(f"log entry {where} is missing; run auditfuse verify")
        return decode_entry(content, where)

    def try_append(self, entry: LogEntry) -> bool:
        """Create `entry` as the next one. False where another came first: refresh and look again.

        Raises StoreError where it would not be valid, OSError where it is not known whether it was
        created; a refresh tells.
        """
        content = encode_entry(entry)
        folded = fold(self._state, entry, content)
        try:
            created = self._entries.create(entry.n, content)
        except OSError:
            self._unsure = True
            raise
        if not created:
            return False
        self._state = folded
        return True

    def next_entry(self, kind: EntryKind, *, at_ms: int, writer: str, **fields: Any) -> LogEntry:
        """An entry that follows the state read so far."""
        return LogEntry(
            n=self._state.next_n,
            prev=self._state.last_hash,
            kind=kind,
            topic_id=self.topic_id,
            partition=self.partition,
            at_ms=at_ms,
            writer=writer,
            **fields,
        )

    def save_snapshot(self) -> None:
        """Let the next one who opens this log begin here, where so many entries were folded that it pays.

        Raises OSError where the snapshots cannot be written.
        """
        if self._state.next_n - (self._snapshot_n or 0) >= SNAPSHOT_EVERY_ENTRIES:
            save_snapshot(self.store, self._state)
            self._snapshot_n = self._state.next_n

    def _begin(self) -> int:
        """Take the snapshot's state where it is one of this log; returns how many entries it stands on."""
        if self._state.next_n:
            return 0
        state = load_snapshot(self.store, self.topic_id, self.partition)
        if state is None or not state.next_n:
            return 0
        last = self._entries.read(state.next_n - 1)
        if last is None or sha256(last).hexdigest() != state.last_hash:
            return 0
        self._state = state
        return state.next_n

    def _read_from(self, n: int) -> Iterator[tuple[LogEntry, bytes]]:
        for content in self._entries.read_from(n):
            yield decode_entry(content, f"{self.topic_id}/{self.partition}/{n:012d}"), content
            n += 1


_DECODER = msgspec.json.Decoder(LogEntry, strict=True)
