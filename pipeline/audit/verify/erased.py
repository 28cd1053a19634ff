"""What erase entries say is gone, against what is gone from the rows: both ways, row by row."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np

from pipeline.audit.verify.log_state import Erased
from pipeline.audit.verify.rows import ERASED, WITHOUT_PAYLOAD, SegmentRows
from schemas.log_entry import PositionRange, SegmentRef


class ErasedRange(NamedTuple):
    """Rows, one after another, that an erase entry says are gone, or their payloads."""

    erasure: str
    left: int
    """ERASED or WITHOUT_PAYLOAD."""
    span: PositionRange


class Count(NamedTuple):
    """What one erasure took."""

    rows: int = 0
    payloads: int = 0

    def plus(self, other: Count) -> Count:
        """Both together."""
        return Count(self.rows + other.rows, self.payloads + other.payloads)


def ranges_within(entries: Sequence[Erased], ref: SegmentRef) -> list[ErasedRange]:
    """What `entries` say of the rows of one segment."""
    near = [entry for entry in entries if entry.start < ref.end and entry.end > ref.start]
    return [
        ErasedRange(entry.erasure, left, span)
        for entry in near
        for left, spans in ((ERASED, entry.rows), (WITHOUT_PAYLOAD, entry.payloads))
        for span in spans
        if span.first_offset < ref.end and span.last_offset >= ref.start
    ]


def check_erased(
    rows: SegmentRows, ranges: Iterable[ErasedRange]
) -> tuple[list[tuple[int, str]], dict[str, Count]]:
    """(index, how) of each row that is not as the entries say, and what each erasure took of this segment.

    The rows are in order.
    """
    expected = np.zeros(len(rows), np.uint8)
    counts: dict[str, Count] = {}
    for erasure, left, span in ranges:
        first = _below(rows, span.first_offset, span.first_item)
        end = _below(rows, span.last_offset, span.last_item + 1)
        np.maximum(expected[first:end], left, out=expected[first:end])
        took = Count(rows=end - first) if left == ERASED else Count(payloads=end - first)
        counts[erasure] = counts.get(erasure, Count()).plus(took)
    differing = np.flatnonzero(expected != rows.left).tolist()
    return [(i, _how(int(expected[i]), int(rows.left[i]))) for i in differing if i not in rows.faults], counts


def _below(rows: SegmentRows, offset: int, item: int) -> int:
    """How many rows stand before (offset, item)."""
    first, end = (int(np.searchsorted(rows.offsets, offset, side)) for side in ("left", "right"))
    return first + int(np.searchsorted(rows.items[first:end], item, "left"))


def _how(expected: int, left: int) -> str:
    if left > expected:
        gone = "it was erased" if left == ERASED else "its payload was erased"
        return f"{gone}, and no erase entry accounts for it"
    still = "it" if left != WITHOUT_PAYLOAD and expected == ERASED else "its payload"
    if expected == ERASED and left == WITHOUT_PAYLOAD:
        return "an erase entry says that it is gone, but only its payload is"
    return f"an erase entry says that {still} is gone, but it is there"
