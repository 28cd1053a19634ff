"""What a verification says: verdicts that hold or do not, and each fault with its place."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime
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
VerdictState = Literal["holds", "FAILS", "not checked"]
MAX_LISTED_FAULTS = 10_000


def utc(at_ms: int) -> str:
    """A time as reports tell it."""
    return f"{datetime.fromtimestamp(at_ms / 1000, UTC):%Y-%m-%d %H:%M:%S} UTC"


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


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """What became of one verdict."""

    verdict: Verdict
    state: VerdictState
    faults: int = 0
    why: str | None = None
    """Why it was not checked."""
    details: list[str] = []
    """What it rests on, a line each: how far, by whom, with which exceptions."""


class Judgement:
    """What the parts of a verification add up to; each part adds what it found, in any order."""

    def __init__(self) -> None:
        self.faults: list[Fault] = []
        """At most MAX_LISTED_FAULTS; `counts` has them all."""
        self.counts: dict[Verdict, int] = dict.fromkeys(VERDICTS, 0)
        self.notes: list[Note] = []
        self.details: dict[Verdict, list[str]] = {}
        self.unchecked: dict[Verdict, str] = {}
        """Verdicts that nothing was found on since nobody looked, and why."""

    def add(self, faults: Iterable[Fault], notes: Iterable[Note] = ()) -> None:
        """Add faults and notes."""
        for fault in faults:
            self.counts[fault.verdict] += 1
            if len(self.faults) < MAX_LISTED_FAULTS:
                self.faults.append(fault)
        self.notes += notes

    def detail(self, verdict: Verdict, line: str) -> None:
        """Say in one line what a verdict rests on."""
        self.details.setdefault(verdict, []).append(line)

    def not_checked(self, verdict: Verdict, why: str) -> None:
        """Say that a verdict was not looked at. A fault that is found all the same outweighs it."""
        self.unchecked[verdict] = why

    def outcomes(self) -> list[Outcome]:
        """One outcome a verdict, in the order in which they are shown."""
        return [self._outcome(verdict) for verdict in VERDICTS]

    def _outcome(self, verdict: Verdict) -> Outcome:
        count, why = self.counts[verdict], self.unchecked.get(verdict)
        state: VerdictState = "FAILS" if count else "not checked" if why else "holds"
        details = self.details.get(verdict, [])
        return Outcome(verdict=verdict, state=state, faults=count, why=why, details=details)


class VerifyReport(msgspec.Struct, frozen=True, kw_only=True):
    """The outcome for a whole store."""

    store: str
    partitions: int
    entries: int
    segments: int
    """Segments whose bytes were read."""
    rows: int
    bytes: int
    seconds: float
    outcomes: list[Outcome]
    faults: list[Fault]
    faults_left_off: int
    """Faults beyond the limit of those listed, so that a wrecked store gives a readable report."""
    notes: list[Note]
    left_out: list[str]
    """What was not looked at because it was asked so, a line each."""

    @property
    def holds(self) -> bool:
        """Whether no verdict fails."""
        return all(outcome.state != "FAILS" for outcome in self.outcomes)

    def outcome(self, verdict: Verdict) -> Outcome:
        """What became of one verdict."""
        return next(outcome for outcome in self.outcomes if outcome.verdict == verdict)
