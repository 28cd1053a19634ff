"""The seal or append entry that published an offset, found in a log of any length by halving."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from pipeline.audit.log import PartitionLog, encode_entry
from schemas.log_entry import SegmentRef


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

    def holding(self, offset: int) -> Published | None:
        """The segment whose [start, end) holds `offset`; None where no segment does. Reads about twenty
        entries of a million."""
        published = next(self.within(offset, offset + 1), None)
        return published if published is not None and published.segment.start <= offset else None

    def within(self, start: int, end: int) -> Iterator[Published]:
        """The segments that hold offsets of [start, end), in order."""
        for entry in self._log.entries_after(self._log.first_reaching(start + 1) - 1):
            if entry.segment is None:
                continue
            if entry.segment.start >= end:
                return
            # Entries are canonical: encoding one again gives its bytes.
            content = encode_entry(entry)
            yield Published(self._log.topic_id, self._log.partition, entry.n, content, entry.segment)
