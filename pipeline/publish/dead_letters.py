"""The dead-letter topic: a row's `meta` byte for byte, under the row's identity."""

from collections.abc import Iterator, Sequence

from pipeline import metrics
from pipeline.publish.output import Published, SealedRow
from schemas.log_entry import SegmentRef


class DeadLetters:
    """Messages that could not become events."""

    kind = "dead_letter"
    columns = ("meta",)
    counted = metrics.dead_letters_published

    def may_be_in(self, ref: SegmentRef) -> bool:
        """Whether a segment has rows that are no events."""
        return ref.rows > ref.events

    def messages(self, rows: Sequence[SealedRow]) -> Iterator[Published]:
        """One a row."""
        for row in rows:
            yield Published(row.identity.encode(), row.columns["meta"].encode())
