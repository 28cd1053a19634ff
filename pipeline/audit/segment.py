"""Segments: immutable Parquet files of one partition's contiguous offsets. Built and opened here.

Built in memory and handed to the store as bytes, because the name holds the hash of the content.
"""

from collections.abc import Mapping, Sequence
from hashlib import sha256
from itertools import pairwise
from typing import Any, BinaryIO, NamedTuple

import msgspec

from pipeline.audit import chain, merkle
from pipeline.audit.arrow import ParquetFile, ParquetWriter, Schema, Table, pa, pq
from pipeline.audit.columns import (
    BLOOM_COLUMNS,
    CHAIN_FIELDS,
    DELTA_COLUMNS,
    DICTIONARY_COLUMNS,
    segment_schema,
    typed_arrays,
)
from pipeline.audit.store import SegmentName
from pipeline.errors import StoreError
from schemas.log_entry import SegmentKind, SegmentRef
from schemas.record import EventMeta, Row

FORMAT_VERSION = 1
ROW_GROUP_ROWS = 64 * 1024
"""Compacted files hold row groups of this many rows; a sealed segment is one row group."""
SEALED_LEVEL, KEPT_LEVEL = 1, 3
"""Of zstd. What is just sealed is compacted soon; the lower level is a fifth faster, for 1.5% more bytes."""
_NS_PER_MS = 1_000_000
_PREFIX = "auditfuse."
_FROM_TOPIC = ("event", "dead_letter")


class Link(msgspec.Struct, frozen=True, kw_only=True):
    """An original segment as a compacted file remembers it."""

    start: int
    end: int
    rows: int
    prev: str
    head: str
    merkle_root: str
    sha256: str


class Footer(msgspec.Struct, frozen=True, kw_only=True):
    """The key-value metadata of a segment. Hashes are hex."""

    version: int = FORMAT_VERSION
    topic_id: str
    partition: int
    start: int
    end: int
    epoch: int
    kind: SegmentKind
    prev: str
    head: str
    rows: int
    merkle_root: str
    links: list[Link] = []
    """Empty but in compacted files that an early version wrote: the segments whose roots are the leaves of
    `merkle_root`. Later ones leave that to their entry."""

    def as_metadata(self) -> dict[str, str]:
        """The Parquet key-value pairs, in text."""
        texts = {name: str(getattr(self, name)) for name in self.__struct_fields__ if name != "links"}
        if self.links:
            texts["links"] = msgspec.json.encode(self.links).decode()
        return {_PREFIX + name: text for name, text in texts.items()}


class EventFacts(NamedTuple):
    """What a segment's reference says of its events. Event time is the span's end."""

    events: int
    min_event_ms: int | None
    max_event_ms: int | None
    max_broker_ms: int | None
    """Of dead letters too."""


class Built(NamedTuple):
    """A segment on its way into the store."""

    content: bytes
    ref: SegmentRef


def build_segment(
    topic_id: str,
    partition: int,
    rows: Sequence[Row],
    *,
    start: int,
    end: int,
    epoch: int,
    kind: SegmentKind,
    prev: bytes,
) -> Built:
    """Chain `rows` onto `prev` and write them as one Parquet file.

    Rows are ordered by (offset, item) without repeats, all within [start, end), at least one;
    ValueError otherwise.
    """
    _check_rows(rows, start, end)
    links = chain.chain(prev, rows)
    footer = Footer(
        topic_id=topic_id,
        partition=partition,
        start=start,
        end=end,
        epoch=epoch,
        kind=kind,
        prev=prev.hex(),
        head=links.head.hex(),
        rows=len(rows),
        merkle_root=merkle.root(links.leaves).hex(),
    )
    content = write_parquet(_table(topic_id, rows, links), footer, SEALED_LEVEL)
    return Built(content, segment_ref(footer, content, _event_facts(rows)))


def write_parquet(table: Table, footer: Footer, level: int = KEPT_LEVEL) -> bytes:
    """The bytes of a segment with these rows and this footer."""
    sink = pa.BufferOutputStream()
    writer = open_writer(sink, table.schema, table.num_rows, level)
    writer.write_table(table, row_group_size=ROW_GROUP_ROWS)
    return close_writer(writer, sink, footer)


def open_writer(sink: Any, schema: Schema, rows: int, level: int = KEPT_LEVEL) -> ParquetWriter:
    """A Parquet writer set as every segment is: zstd, page index and checksums, bloom filters."""
    names = set(schema.names)
    distinct = max(1, min(rows, ROW_GROUP_ROWS))
    return pq.ParquetWriter(
        sink,
        schema,
        compression="zstd",
        compression_level=level,
        use_dictionary=[name for name in DICTIONARY_COLUMNS if name in names],
        column_encoding={name: "DELTA_BINARY_PACKED" for name in DELTA_COLUMNS if name in names},
        write_page_index=True,
        write_page_checksum=True,
        bloom_filter_options={
            name: {"ndv": distinct, "fpp": 0.01} for name in BLOOM_COLUMNS if name in names
        },
    )


def close_writer(writer: ParquetWriter, sink: Any, footer: Footer) -> bytes:
    """Finish the file with its footer; returns its bytes."""
    finish_writer(writer, footer)
    return sink.getvalue().to_pybytes()


def finish_writer(writer: ParquetWriter, footer: Footer) -> None:
    """Finish the file with its footer."""
    # Not as the schema's metadata: pyarrow would write that twice, the second time in base64.
    writer.add_key_value_metadata(footer.as_metadata())
    writer.close()


def segment_ref(footer: Footer, content: bytes, facts: EventFacts) -> SegmentRef:
    """The segment as a log entry names it."""
    digest = sha256(content).hexdigest()
    name = SegmentName(footer.start, footer.end, footer.epoch, footer.kind, digest[:16])
    return SegmentRef(
        name=str(name),
        sha256=digest,
        start=footer.start,
        end=footer.end,
        rows=footer.rows,
        bytes=len(content),
        prev=footer.prev,
        head=footer.head,
        merkle_root=footer.merkle_root,
        **facts._asdict(),
    )


def open_parquet(source: BinaryIO) -> ParquetFile:
    """A segment to read rows from; a page whose checksum is wrong raises OSError."""
    return pq.ParquetFile(source, page_checksum_verification=True)


def read_footer(file: ParquetFile, where: str) -> Footer:
    """The footer of an open segment. Raises StoreError where it is not one of ours."""
    metadata: Mapping[bytes, bytes] = file.metadata.metadata or {}
    texts = {
        name: metadata[(_PREFIX + name).encode()].decode(errors="replace")
        for name in Footer.__struct_fields__
        if (_PREFIX + name).encode() in metadata
    }
    try:
        links = msgspec.json.decode(texts.pop("links", "[]"), type=list[Link])
        footer = msgspec.convert({**texts, "links": []}, Footer, strict=False)
    except msgspec.MsgspecError:
        raise StoreError(f"segment {where} has no valid auditfuse footer; run auditfuse verify") from None
    if footer.version != FORMAT_VERSION:
        raise StoreError(f"segment {where} has format {footer.version}; use a newer auditfuse")
    return msgspec.structs.replace(footer, links=links)


def _check_rows(rows: Sequence[Row], start: int, end: int) -> None:
    if not rows:
        raise ValueError("a segment has at least one row")
    positions = [(row.offset, row.item) for row in rows]
    if any(left >= right for left, right in pairwise(positions)):
        raise ValueError("rows must be ordered by (offset, item), without repeats")
    if positions[0][0] < start or positions[-1][0] >= end:
        raise ValueError(f"rows must lie within [{start}, {end})")


def _table(topic_id: str, rows: Sequence[Row], links: chain.Links) -> Table:
    nothing = [None] * len(rows)
    chained: list[Sequence[Any]] = [
        [row.offset for row in rows],
        [row.item for row in rows],
        [row.kind for row in rows],
        [row.meta for row in rows],
        [row.payload for row in rows],
        links.salts_m,
        links.salts_p,
        links.hashes,
        nothing,
        nothing,
    ]
    arrays = [pa.array(values, field.type) for values, field in zip(chained, CHAIN_FIELDS, strict=True)]
    return pa.Table.from_arrays([*arrays, *typed_arrays(topic_id, rows)], schema=segment_schema(topic_id))


def _event_facts(rows: Sequence[Row]) -> EventFacts:
    """Counts and bounds over the event rows; event time is the span's end."""
    metas: list[EventMeta] = [row.fields for row in rows if row.kind == "event"]
    ends = [meta.start_time_unix_nano + meta.duration_ns for meta in metas]
    return EventFacts(
        len(metas),
        min(ends) // _NS_PER_MS if ends else None,
        max(ends) // _NS_PER_MS if ends else None,
        max((row.fields.origin.broker_time_ms for row in rows if row.kind in _FROM_TOPIC), default=None),
    )
