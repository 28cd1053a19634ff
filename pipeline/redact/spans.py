"""Findings in a text, and how long texts are cut."""

from typing import NamedTuple

SEGMENT_CHARS = 1200
"""Up to here a text is one segment; longer ones are cut into lines, and long lines in pieces."""
LINE_CHARS = 4000
OVERLAP_CHARS = 256


class Span(NamedTuple):
    """A finding in a text: characters [start, end). An entity that starts with `!` is a failure's reason."""

    start: int
    end: int
    entity: str
    score: float
    recognizer: str


def segments(text: str) -> list[tuple[int, str]]:
    """(offset, part) pairs that cover the text: lines, and overlapping pieces of long lines."""
    if len(text) <= SEGMENT_CHARS:
        return [(0, text)]
    parts: list[tuple[int, str]] = []
    offset = 0
    for line in text.splitlines(keepends=True):
        step = LINE_CHARS - OVERLAP_CHARS
        starts = range(0, max(1, len(line) - OVERLAP_CHARS), step)
        parts += [(offset + start, line[start : start + LINE_CHARS]) for start in starts]
        offset += len(line)
    return parts
