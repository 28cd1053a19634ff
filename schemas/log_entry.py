"""Entries of a partition's numbered log. Creating entry n+1 is the compare-and-set that publishes."""

from typing import Literal

import msgspec

EntryKind = Literal["claim", "seal", "append", "idle", "compact", "erase", "halt", "gap", "resume", "batch"]
ClaimRole = Literal["writer", "maintenance"]
SegmentKind = Literal["seal", "append", "compact", "erase"]


class SegmentRef(msgspec.Struct, frozen=True, kw_only=True):
    """A segment as an entry names it: its file name, the SHA-256 of its bytes, and what it holds."""

    name: str
    sha256: str
    start: int
    end: int
    rows: int
    bytes: int
    prev: str
    """The chain hash (hex) before the first row."""
    head: str
    """The chain hash (hex) of the last row."""
    merkle_root: str
    events: int = 0
    min_event_ms: int | None = None
    max_event_ms: int | None = None
    max_broker_ms: int | None = None


class PositionRange(msgspec.Struct, frozen=True, array_like=True):
    """Rows of a partition from one (offset, item) to another, both included, in row order."""

    first_offset: int
    first_item: int
    last_offset: int
    last_item: int


class Leaves(msgspec.Struct, frozen=True, kw_only=True):
    """Neighbouring entries of one partition's log on their way into the checkpoint tree."""

    topic_id: str
    partition: int
    first_n: int
    hashes: list[str]
    """SHA-256 (hex) of the bytes of entry first_n, first_n + 1, …"""


class LogEntry(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One entry. `prev` is the SHA-256 (hex) of the bytes of entry n−1, 64 zeros for entry 0."""

    n: int
    prev: str
    kind: EntryKind
    topic_id: str
    partition: int
    at_ms: int
    writer: str
    """128 random bits (hex) of the process that wrote it."""
    epoch: int = 0
    role: ClaimRole | None = None
    segment: SegmentRef | None = None
    end: int | None = None
    """idle: the high watermark; gap: where the partition goes on; halt: where it stopped."""
    idle_until_ms: int | None = None
    """idle: the append time before which nothing more can come."""
    inputs: list[str] = []
    outputs: list[SegmentRef] = []
    ids: list[str] = []
    """append: the ids of the rows, so that nothing is appended twice."""
    reason: str | None = None
    by: str | None = None
    erasure: str | None = None
    """erase: the id of the erasure in `_control` that ordered it."""
    erased_rows: list[PositionRange] = []
    """erase: the rows that lost everything but their commitment."""
    erased_payloads: list[PositionRange] = []
    """erase: the rows that lost their payload."""
    origin: str | None = None
    """batch: the name of the checkpointed log; the first batch fixes it."""
    leaves: list[Leaves] = []
    """batch: what the tree grows by, in order."""
    size: int | None = None
    """batch: leaves of the tree after it."""
    root: str | None = None
    """batch: the tree's root (hex) after it."""


ZERO_HASH = "0" * 64
