"""Where the audit store lives and what its files are called, over `Objects`: a directory or an object store.

Nothing here is ever overwritten; what exists was written whole.
"""

import contextlib
import re
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import BinaryIO, NamedTuple

from pydantic import BaseModel, ConfigDict, Field, field_validator

from pipeline.audit.objects.base import Kept, Objects
from pipeline.audit.objects.local import LocalObjects
from pipeline.audit.objects.s3_config import S3Config, cache_name, split_url
from pipeline.errors import ConfigError, StoreError
from schemas.log_entry import SegmentKind

CONTROL = "_control"
FINDINGS = "_findings"
CHECKPOINT = "_checkpoint"
APPEND_PARTITIONS = frozenset({CONTROL, FINDINGS, CHECKPOINT})
"""Partitions that any host appends to by compare-and-set, without a claim. Their partition is 0."""

_TOPIC_ID = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9._-]{0,254}")
_SEGMENT = re.compile(r"(\d{20})-(\d{20})-(\d{10})-(seal|append|compact|erase)-([0-9a-f]{16})\.parquet")


class StoreConfig(BaseModel):
    """The audit store: where it is, and when rows are sealed into it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    path: Path = Path("auditfuse-store")
    """The store's directory."""
    url: str | None = None
    """An object store in its place: `s3://bucket/prefix`. Needs the extra `auditfuse[s3]`."""
    cache: Path = Path("auditfuse-cache")
    """With `url`: a directory on this machine for what can be made anew: catalog, snapshots, and the segments
    that queries read."""
    cache_max_bytes: int = Field(default=64 * 1024**3, gt=0)
    """With `url`: the segments kept in the cache take at most this much."""
    s3: S3Config = S3Config()
    """With `url`: how it is reached."""
    seal_interval_ms: int = Field(default=1000, gt=0)
    """A row waits at most this long before it is sealed."""
    seal_max_rows: int = Field(default=16_000, gt=0)
    """A segment is sealed at this many rows at the latest."""
    seal_max_bytes: int = Field(default=64 * 1024 * 1024, gt=0)
    """A segment is sealed at this many bytes of records at the latest."""
    compact_interval_s: float = Field(default=10.0, gt=0)
    """How often the background compaction looks for small files."""
    compact_fan_in_files: int = Field(default=16, ge=2)
    """Within the hour, this many neighbouring files of about one size are merged into one. The files of an
    hour that is over become one, those of a day that is over files of the target size."""
    compact_target_bytes: int = Field(default=128 * 1024 * 1024, gt=0)
    """Files are merged up to this size. Compaction takes this much memory and about 200 MB."""
    superseded_grace_s: int = Field(default=900, ge=0, le=3600)
    """Files that a compaction replaced are kept this long, so that running queries finish; one hour at most,
    which is as long as the log remembers them."""

    @field_validator("url")
    @classmethod
    def _known_url(cls, url: str | None) -> str | None:
        if url is None:
            return None
        bucket, prefix = split_url(url)
        return f"s3://{bucket}/{prefix}".rstrip("/")

    @property
    def local_directory(self) -> Path:
        """The store, or the cache of one that lies elsewhere."""
        return self.path if self.url is None else self.cache / cache_name(self.url, self.s3.endpoint)


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


class Store:
    """The names of segments and log entries over `Objects`. Opening writes nothing; the first
    creation makes the directories it needs. It can be pickled: another process opens it again."""

    def __init__(
        self, cache_dir: Path, objects: Objects | None = None, *, cache_max_bytes: int | None = None
    ) -> None:
        """Without `objects` the store is the directory itself. `cache_dir` holds what can be made anew:
        catalog, snapshots, copies of segments (of at most `cache_max_bytes`)."""
        self.cache_dir = cache_dir.absolute()
        self.objects: Objects = objects or LocalObjects(cache_dir)
        self.cache_max_bytes = cache_max_bytes

    @property
    def name(self) -> str:
        """Where it is, for people: a path or a URL."""
        return self.objects.name

    @property
    def is_local(self) -> bool:
        """Whether it is a directory. Of a store elsewhere, only who queries it keeps a catalog and copies."""
        return isinstance(self.objects, LocalObjects)

    def require(self) -> None:
        """Raises StoreError where nothing is."""
        if not self.objects.exists():
            raise StoreError(f"there is no store at {self.name}; say which one with --store")

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

    def read_entries(self, topic_id: str, partition: int, first: int, stop: int) -> Iterator[bytes]:
        """The bytes of the entries from `first` that are there now, in order, below `stop`.

        Several are asked for at once where each takes a round trip: one, then two, then four.
        """
        at_once = 1
        while first < stop:
            numbers = range(first, min(first + at_once, stop))
            for content in self.read_each(topic_id, partition, numbers):
                if content is None:
                    return
                yield content
            first += len(numbers)
            at_once = min(2 * at_once, self.objects.reads_at_once)

    def read_each(self, topic_id: str, partition: int, numbers: Sequence[int]) -> list[bytes | None]:
        """The bytes of each of these entries, None where it is not there; at once where that is worth it."""
        read = partial(self.read_entry, topic_id, partition)
        at_once = min(len(numbers), self.objects.reads_at_once)
        if at_once < 2:
            return [read(n) for n in numbers]
        with ThreadPoolExecutor(at_once) as pool:
            return list(pool.map(read, numbers))

    def delete_entry(self, topic_id: str, partition: int, n: int) -> None:
        """Delete the file of an entry that a bundle holds."""
        self.objects.delete(self._entry_key(topic_id, partition, n))

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
        """Delete a segment. Raises PermissionError where the storage refuses it, as an object lock may."""
        self.objects.delete(self.segment_key(topic_id, partition, name))

    def discard_segment(self, topic_id: str, partition: int, name: str) -> None:
        """Delete a file that no entry names. Where the storage refuses, it stays: it is nothing."""
        with contextlib.suppress(PermissionError):
            self.delete_segment(topic_id, partition, name)

    def kept_segment(self, topic_id: str, partition: int, name: str) -> Kept | None:
        """What deleting a segment now would leave behind in the storage. Raises FileNotFoundError."""
        return self.objects.kept(self.segment_key(topic_id, partition, name))

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

    def log_prefix(self, topic_id: str, partition: int) -> str:
        """Where the entries of a partition's log lie."""
        return f"log/{self._checked(topic_id)}/{partition}"

    def _entry_key(self, topic_id: str, partition: int, n: int) -> str:
        return f"{self.log_prefix(topic_id, partition)}/{n:012d}.json"

    @staticmethod
    def _checked(topic_id: str) -> str:
        if not _TOPIC_ID.fullmatch(topic_id):
            raise StoreError(f"topic id {topic_id!r} is not a file name; use letters, digits, '.', '_', '-'")
        return topic_id


def open_store(where: StoreConfig | Path) -> Store:
    """The store that a configuration means, or the one of a directory. Nothing is read or written yet.

    Raises ConfigError where what it needs is not installed.
    """
    if isinstance(where, Path) or where.url is None:
        return Store(where if isinstance(where, Path) else where.path)
    try:
        from pipeline.audit.objects.s3 import S3Objects
    except ModuleNotFoundError:
        raise ConfigError(
            f"the store is at {where.url}, but object stores need an extra: pip install 'auditfuse[s3]'"
        ) from None

    objects = S3Objects(where.url, where.s3)
    return Store(where.local_directory, objects, cache_max_bytes=where.cache_max_bytes)
