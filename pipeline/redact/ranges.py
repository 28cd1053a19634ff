"""Ranges of characters already taken; hostile texts have thousands, so none is compared with all."""

from bisect import bisect_left, bisect_right, insort


class Ranges:
    """Half-open ranges. Those given at first may overlap; those added must not."""

    def __init__(self, ranges: list[tuple[int, int]]) -> None:
        self._ranges: list[tuple[int, int]] = []
        for start, end in sorted(ranges):
            if self._ranges and start <= self._ranges[-1][1]:
                self._ranges[-1] = (self._ranges[-1][0], max(end, self._ranges[-1][1]))
            else:
                self._ranges.append((start, end))

    def add(self, start: int, end: int) -> None:
        """Take a range that lies outside all others."""
        insort(self._ranges, (start, end))

    def outside(self, start: int, end: int) -> list[tuple[int, int]]:
        """The parts of [start, end) that no range covers, in order."""
        first = max(0, bisect_right(self._ranges, (start, start)) - 1)
        last = bisect_left(self._ranges, (end, end))
        parts: list[tuple[int, int]] = []
        for low, high in self._ranges[first:last]:
            if start < low:
                parts.append((start, low))
            start = max(start, high)
        if start < end:
            parts.append((start, end))
        return parts
