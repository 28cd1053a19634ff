"""Merging neighbouring segments into one, row for row. What compaction, and later erasure, rest on."""

from collections.abc import Iterator, Sequence
from hashlib import sha256

from pipeline.audit.arrow import Table, pa
from pipeline.audit.columns import segment_schema
from pipeline.audit.merkle import root
from pipeline.audit.segment import (
    ROW_GROUP_ROWS,
    Built,
    EventFacts,
    Footer,
    Link,
    close_writer,
    open_parquet,
    open_writer,
    read_footer,
    segment_ref,
)
from pipeline.audit.store import Store
from pipeline.errors import StoreError
from schemas.log_entry import SegmentRef

_GROUP_MAX_BYTES = 64 * 1024 * 1024


def merge(store: Store, topic_id: str, partition: int, run: Sequence[SegmentRef], *, epoch: int) -> Built:
    """One `compact` segment with the rows of `run`, which are neighbours in order.

    Memory: the output, one input and one row group. Raises StoreError where an input's bytes are
    not those that the log names, since merging them would hide the change.
    """
    rows = sum(ref.rows for ref in run)
    sink, links = pa.BufferOutputStream(), list[Link]()
    writer = open_writer(sink, segment_schema(topic_id), rows)
    for group in _row_groups(_read_inputs(store, topic_id, partition, run, links)):
        writer.write_table(group, row_group_size=group.num_rows)
    footer = Footer(
        topic_id=topic_id,
        partition=partition,
        start=run[0].start,
        end=run[-1].end,
        epoch=epoch,
        kind="compact",
        prev=run[0].prev,
        head=run[-1].head,
        rows=rows,
        merkle_root=root(bytes.fromhex(link.merkle_root) for link in links).hex(),
        links=links,
    )
    content = close_writer(writer, sink, footer)
    return Built(content, segment_ref(footer, content, _event_facts(run)))


def _read_inputs(
    store: Store, topic_id: str, partition: int, run: Sequence[SegmentRef], links: list[Link]
) -> Iterator[Table]:
    """The rows of each input; adds the links of the original segments to `links`."""
    for ref in run:
        where = f"{topic_id}/{partition}/{ref.name}"
        content = store.read_segment(topic_id, partition, ref.name)
        if sha256(content).hexdigest() != ref.sha256:
            raise StoreError(f"segment {where} was changed after it was published; run auditfuse verify")
        file = open_parquet(pa.BufferReader(content))
        links += read_footer(file, where).links or [_link(ref)]
        yield file.read()


def _row_groups(tables: Iterator[Table]) -> Iterator[Table]:
    """Small tables gathered into row groups of a size that queries like."""
    waiting: list[Table] = []
    for table in tables:
        for first in range(0, table.num_rows, ROW_GROUP_ROWS):
            waiting.append(table.slice(first, ROW_GROUP_ROWS))
            rows, size = sum(t.num_rows for t in waiting), sum(t.nbytes for t in waiting)
            if rows >= ROW_GROUP_ROWS or size >= _GROUP_MAX_BYTES:
                yield pa.concat_tables(waiting)
                waiting = []
    if waiting:
        yield pa.concat_tables(waiting)


def _link(ref: SegmentRef) -> Link:
    return Link(
        start=ref.start,
        end=ref.end,
        rows=ref.rows,
        prev=ref.prev,
        head=ref.head,
        merkle_root=ref.merkle_root,
        sha256=ref.sha256,
    )


def _event_facts(run: Sequence[SegmentRef]) -> EventFacts:
    return EventFacts(
        sum(ref.events for ref in run),
        min((ref.min_event_ms for ref in run if ref.min_event_ms is not None), default=None),
        max((ref.max_event_ms for ref in run if ref.max_event_ms is not None), default=None),
        max((ref.max_broker_ms for ref in run if ref.max_broker_ms is not None), default=None),
    )
