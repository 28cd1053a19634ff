"""Where the audit store lives: names of its files, and the few operations it asks of storage.

Everything above speaks to `Objects`: a local directory now, an object store with the same
operations later. Nothing here is ever overwritten; what exists was written whole.
"""

import re
from pathlib import Path
from typing import BinaryIO, NamedTuple, Protocol

from pydantic import BaseModel, ConfigDict, Field

from pipeline import durable
from pipeline.errors import StoreError
from schemas.log_entry import SegmentKind

CONTROL = "_control"
FINDINGS = "_findings"
CHECKPOINT = "_checkpoint"
APPEND_PARTITIONS = frozenset({CONTROL, FINDINGS, CHECKPOINT})
"""Partitions that any host appends to by compare-and-set, without a claim. Their partition is 0."""

_TOPIC_ID = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9._-]{0,254}")
_SEGMENT = re.compile(r"(\d{20})-(\d{20})-(\d{10})-(seal|append|compact|erase)-([0-9a-f]{16})\.parquet")
_ENTRY = re.compile(r"(\d{12})\.json")


class StoreConfig(BaseModel):
    """The audit store: where it is, and when rows are sealed into it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    path: Path = Path("auditfuse-store")
    """The store's directory."""
    seal_interval_ms: int = Field(default=1000, gt=0)
    """A row waits at most this long before it is sealed."""
    seal_max_rows: int = Field(default=16_000, gt=0)
    """A segment is sealed at this many rows at the latest."""
    seal_max_bytes: int = Field(default=64 * 1024 * 1024, gt=0)
    """A segment is sealed at this many bytes of records at the latest."""
    compact_interval_s: float = Field(default=10.0, gt=0)
    """How often the background compaction looks for small files."""
    compact_fan_in_files: int = Field(default=16, ge=2)
    """This many neighbouring files of about one size are merged into one."""
    compact_target_bytes: int = Field(default=128 * 1024 * 1024, gt=0)
    """Files of at least this size are not merged any further; also bounds compaction's memory."""
    superseded_grace_s: int = Field(default=900, ge=0, le=3600)
    """Files that a compaction replaced are kept this long, so that running queries finish; one hour at most,
    which is as long as the log remembers them."""


class SegmentName(NamedTuple):
    """What a segment's file name says."""

    start: int
    end: int
    epoch: int
    kind: SegmentKind
    content: str
    """The first 16 hex digits of the SHA-256 of the file's bytes."""

    def __str__(self) -> str:
        return f"{self.start:020d}-{self.end:020d}-{self.epoch:010d}-{self.kind}-{self.content}.parquet"

    @classmethod
    def parse(cls, name: str) -> "SegmentName | None":
        """None where `name` is not that of a segment."""
        match = _SEGMENT.fullmatch(name)
        if match is None:
            return None
        start, end, epoch, kind, content = match.groups()
        return cls(int(start), int(end), int(epoch), kind, content)  # pyright: ignore[reportArgumentType] (the pattern lists the kinds)


class Objects(Protocol):
    """What the store asks of storage. Keys are relative paths with `/`."""

    def create(self, key: str, content: bytes) -> bool:
        """Create if absent, durably. True also where it already holds equal bytes; False where it
        holds others. Raises OSError where it is not known whether it was created: try again."""
        ...

    def read(self, key: str) -> bytes:
        """The whole content. Raises FileNotFoundError."""
        ...

    def open(self, key: str) -> BinaryIO:
        """The content to seek in. Raises FileNotFoundError."""
        ...

    def names(self, prefix: str) -> list[str]:
        """The names directly under a prefix, sorted; none where it does not exist."""
        ...

    def delete(self, key: str) -> None:
        """Delete if present."""
        ...

    def location(self, key: str) -> str:
        """Where DuckDB finds it: an absolute path or a URL."""
        ...

    def clean_staging(self, written_before_ms: int) -> None:
        """Remove what interrupted creations left behind before that time."""
        ...


class LocalObjects:
    """A directory. Files are 0440 and appear by `link`, so whole or not at all."""

    def __init__(self, root: Path) -> None:
        self.root = root.absolute()
        self._staging = self.root / "staging"

    def create(self, key: str, content: bytes) -> bool:
        target = self.root / key
        durable.make_directory(self._staging)
        durable.make_directory(target.parent)
        return durable.create_exclusive(target, content, self._staging)

    def read(self, key: str) -> bytes:
        return (self.root / key).read_bytes()

    def open(self, key: str) -> BinaryIO:
        return (self.root / key).open("rb")

    def names(self, prefix: str) -> list[str]:
        directory = self.root / prefix
        return sorted(path.name for path in directory.iterdir()) if directory.is_dir() else []

    def delete(self, key: str) -> None:
        durable.remove(self.root / key)

    def location(self, key: str) -> str:
        return str(self.root / key)

    def clean_staging(self, written_before_ms: int) -> None:
        for name in self.names("staging"):
            path = self._staging / name
            try:
                if path.stat().st_mtime * 1000 < written_before_ms:
                    durable.remove(path)
            except FileNotFoundError:
                continue


class Store:
    """The names of segments and log entries over `Objects`. Opening writes nothing; the first
    creation makes the directories it needs."""

    def __init__(self, root: Path, objects: Objects | None = None) -> None:
        self.root = root.absolute()
        self.objects = objects or LocalObjects(root)

    def partitions(self) -> list[tuple[str, int]]:
        """Every (topic id, partition) that has a log, sorted."""
        return [
            (topic_id, int(partition))
            for topic_id in self.objects.names("log")
            for partition in self.objects.names(f"log/{topic_id}")
            if partition.isdecimal()
        ]

    def create_entry(self, topic_id: str, partition: int, n: int, content: bytes) -> bool:
        """The compare-and-set of a partition's log: False where entry `n` exists with other bytes."""
        return self.objects.create(self._entry_key(topic_id, partition, n), content)

    def read_entry(self, topic_id: str, partition: int, n: int) -> bytes | None:
        """The bytes of entry `n`, None where there is none yet."""
        try:
            return self.objects.read(self._entry_key(topic_id, partition, n))
        except FileNotFoundError:
            return None

    def entry_numbers(self, topic_id: str, partition: int) -> list[int]:
        """The numbers of the entries present, by listing; for verification."""
        names = self.objects.names(f"log/{self._checked(topic_id)}/{partition}")
        return [int(match[1]) for match in map(_ENTRY.fullmatch, names) if match]

    def create_segment(self, topic_id: str, partition: int, name: str, content: bytes) -> None:
        """Create a segment file; the name holds the content's hash, so existing means equal."""
        if not self.objects.create(self.segment_key(topic_id, partition, name), content):
            raise StoreError(
                f"segment {topic_id}/{partition}/{name} exists with other bytes than its name says; "
                "run auditfuse verify"
            )

    def read_segment(self, topic_id: str, partition: int, name: str) -> bytes:
        """The bytes of a segment. Raises FileNotFoundError."""
        return self.objects.read(self.segment_key(topic_id, partition, name))

    def open_segment(self, topic_id: str, partition: int, name: str) -> BinaryIO:
        """A segment to seek in. Raises FileNotFoundError."""
        return self.objects.open(self.segment_key(topic_id, partition, name))

    def delete_segment(self, topic_id: str, partition: int, name: str) -> None:
        self.objects.delete(self.segment_key(topic_id, partition, name))

    def segment_names(self, topic_id: str, partition: int) -> list[str]:
        """The segment files present, live or not, sorted by start."""
        names = self.objects.names(f"segments/{self._checked(topic_id)}/{partition}")
        return [name for name in names if SegmentName.parse(name)]

    def segment_location(self, topic_id: str, partition: int, name: str) -> str:
        """The absolute path or URL by which DuckDB reads a segment."""
        return self.objects.location(self.segment_key(topic_id, partition, name))

    def segment_key(self, topic_id: str, partition: int, name: str) -> str:
        if SegmentName.parse(name) is None:
            raise StoreError(f"{name!r} is not a segment's name; run auditfuse verify")
        return f"segments/{self._checked(topic_id)}/{partition}/{name}"

    def _entry_key(self, topic_id: str, partition: int, n: int) -> str:
        return f"log/{self._checked(topic_id)}/{partition}/{n:012d}.json"

    @staticmethod
    def _checked(topic_id: str) -> str:
        if not _TOPIC_ID.fullmatch(topic_id):
            raise StoreError(f"topic id {topic_id!r} is not a file name; use letters, digits, '.', '_', '-'")
        return topic_id
