"""What the entries of one partition's log add up to, as verification reads them."""

from __future__ import annotations

from bisect import bisect_left
from dataclasses import dataclass, field
from struct import Struct
from typing import NamedTuple

from pipeline.audit.verify.report import Fault, Note
from schemas.log_entry import PositionRange, SegmentRef

_ORIGINAL = Struct(">QQQ32s32s")


class Original(NamedTuple):
    """A segment as first sealed or appended: what the chain must pass, whatever was compacted since."""

    start: int
    end: int
    rows: int
    head: bytes
    merkle_root: bytes

    @classmethod
    def unpack(cls, packed: bytes) -> list[Original]:
        """Those in `packed`, in order."""
        return [cls(*values) for values in _ORIGINAL.iter_unpack(packed)]


class Originals:
    """Every original segment of a partition in order, at 88 bytes each."""

    def __init__(self) -> None:
        self._packed = bytearray()
        self._starts: list[int] = []

    def add(self, ref: SegmentRef) -> None:
        """Add the next one."""
        hashes = bytes.fromhex(ref.head), bytes.fromhex(ref.merkle_root)
        self._packed += _ORIGINAL.pack(ref.start, ref.end, ref.rows, *hashes)
        self._starts.append(ref.start)

    def within(self, ref: SegmentRef) -> bytes:
        """Those that start in the span of `ref`, packed; nothing where they are not its rows."""
        first, end = bisect_left(self._starts, ref.start), bisect_left(self._starts, ref.end)
        held = bytes(self._packed[first * _ORIGINAL.size : end * _ORIGINAL.size])
        return held if sum(original.rows for original in Original.unpack(held)) == ref.rows else b""


@dataclass
class LiveSegment:
    """A segment that the log makes live, by the entry that published it."""

    ref: SegmentRef
    entry: int
    at_ms: int
    """When its newest rows were published, as that entry says."""


@dataclass
class Erased:
    """What one erase entry says is gone."""

    entry: int
    at_ms: int
    erasure: str
    start: int
    end: int
    """Offsets [start, end) of the segments that it replaced."""
    rows: list[PositionRange]
    payloads: list[PositionRange]


@dataclass
class LogState:
    """What the entries of one partition add up to."""

    topic_id: str
    partition: int
    entries: int = 0
    end: int = 0
    head: str = ""
    """The chain hash (hex) of the last row."""
    live: dict[str, LiveSegment] = field(default_factory=dict[str, LiveSegment])
    present: set[str] = field(default_factory=set[str])
    """The segment files that are there, without those that a replacement took away."""
    originals: Originals = field(default_factory=Originals)
    erased: list[Erased] = field(default_factory=list[Erased])
    passed: list[tuple[int, int]] = field(default_factory=list[tuple[int, int]])
    """Offsets [start, end) without rows that idle entries passed by or a person gave up, in order."""
    epochs: dict[str, tuple[int, str]] = field(default_factory=dict[str, tuple[int, str]])
    """The latest claim of each role: (epoch, writer)."""
    halted: bool = False
    ids: set[str] = field(default_factory=set[str])
    torn: bool = False
    """An entry is missing or unreadable: rules that need it are not judged until an end is known again."""
    accepted: list[str] = field(default_factory=list[str])
    """Each gap that a person accepted, in words."""
    faults: list[Fault] = field(default_factory=list[Fault])
    notes: list[Note] = field(default_factory=list[Note])

    def fault(self, entry: int, how: str, segment: str | None = None) -> None:
        """Note a fault of an entry."""
        self.faults.append(
            Fault(
                verdict="log linked",
                topic_id=self.topic_id,
                partition=self.partition,
                entry=entry,
                segment=segment,
                how=how,
            )
        )

    def note(self, what: str) -> None:
        """Say something about the partition that is no fault."""
        self.notes.append(Note(topic_id=self.topic_id, partition=self.partition, what=what))
