"""What a verification says: verdicts that hold or do not, and each fault with its place."""

from __future__ import annotations

from typing import Literal

import msgspec

Verdict = Literal[
    "rows intact",
    "columns match the records",
    "segments linked",
    "log linked",
    "erasures accounted for",
    "checkpoints signed and consistent",
    "anchored up to",
    "offsets complete",
]
VERDICTS: tuple[Verdict, ...] = (
    "rows intact",
    "columns match the records",
    "segments linked",
    "log linked",
    "erasures accounted for",
    "checkpoints signed and consistent",
    "anchored up to",
    "offsets complete",
)


class Fault(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One thing that is wrong: which verdict it turns, where it is, and how it shows.

    `entry` is the number of a log entry, `segment` a file name, (`offset`, `item`) a row.
    """

    verdict: Verdict
    topic_id: str
    partition: int
    entry: int | None = None
    segment: str | None = None
    offset: int | None = None
    item: int | None = None
    how: str

    @property
    def place(self) -> str:
        """Where, as a person reads it."""
        parts = [f"{self.topic_id}/{self.partition}"]
        if self.offset is not None:
            parts.append(f"row offset {self.offset} item {self.item}")
        if self.segment is not None:
            parts.append(f"segment {self.segment}")
        if self.entry is not None:
            parts.append(f"log entry {self.entry}")
        return ", ".join(parts)


class Note(msgspec.Struct, frozen=True, kw_only=True):
    """Something worth knowing that is no fault."""

    topic_id: str
    partition: int
    what: str


class VerifyReport(msgspec.Struct, frozen=True, kw_only=True):
    """The outcome for a whole store."""

    store: str
    partitions: int
    entries: int
    segments: int
    rows: int
    bytes: int
    seconds: float
    columns_checked: bool
    faults: list[Fault]
    faults_left_off: int
    """Faults beyond the limit of those listed, so that a wrecked store gives a readable report."""
    notes: list[Note]

    @property
    def holds(self) -> bool:
        """Whether every verdict that was asked for holds."""
        return not self.faults

    def verdicts(self) -> dict[Verdict, int]:
        """Number of listed faults per verdict, in the order in which they are shown."""
        counts: dict[Verdict, int] = {}
        for verdict in VERDICTS:
            if self.columns_checked or verdict != "columns match the records":
                counts[verdict] = 0
        for fault in self.faults:
            counts[fault.verdict] += 1
        return counts
