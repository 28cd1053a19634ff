"""The seal or append entry that published an offset, found in a log of any length by halving."""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from typing import NamedTuple

from pipeline.audit.log import PartitionLog, decode_entry, encode_entry
from pipeline.errors import StoreError
from schemas.log_entry import LogEntry, SegmentRef


class Published(NamedTuple):
    """An original segment and the entry that published it."""

    topic_id: str
    partition: int
    n: int
    content: bytes
    """The entry's exact bytes."""
    segment: SegmentRef

    @property
    def place(self) -> tuple[str, int, int]:
        """(topic id, partition, n): the entry's identity."""
        return self.topic_id, self.partition, self.n


class PublishedSegments:
    """The original segments of one partition, by offset."""

    def __init__(self, log: PartitionLog) -> None:
        self._log = log
        self._entry = lru_cache(maxsize=256)(self._read)

    def holding(self, offset: int) -> Published | None:
        """The segment whose [start, end) holds `offset`; None where no segment does. Reads about twenty
        entries of a million."""
        published = next(self.within(offset, offset + 1), None)
        return published if published is not None and published.segment.start <= offset else None

    def within(self, start: int, end: int) -> Iterator[Published]:
        """The segments that hold offsets of [start, end), in order."""
        low, high = 0, self._log.state.next_n
        while low < high:
            middle = (low + high) // 2
            if self._end_after(middle) > start:
                high = middle
            else:
                low = middle + 1
        for entry in self._log.entries_after(low - 1):
            if entry.segment is None:
                continue
            if entry.segment.start >= end:
                return
            # Entries are canonical: encoding one again gives its bytes.
            content = encode_entry(entry)
            yield Published(self._log.topic_id, self._log.partition, entry.n, content, entry.segment)

    def _end_after(self, n: int) -> int:
        """Where the partition ended after entry `n`: as the latest entry up to it that moved the end says."""
        while n >= 0:
            entry = self._entry(n)
            if entry.segment is not None:
                return entry.segment.end
            if entry.kind in ("idle", "gap") and entry.end is not None:
                return entry.end
            n -= 1
        return 0

    def _read(self, n: int) -> LogEntry:
        where = f"{self._log.topic_id}/{self._log.partition}/{n:012d}"
        content = self._log.content(n)
        if content is None:
            raise StoreError(f"log entry {where} is missing; run auditfuse verify")
        return decode_entry(content, where)
