"""Merging neighbouring segments into one, row for row, a row group at a time."""

import tempfile
from collections.abc import Iterator, Sequence
from hashlib import sha256

from pipeline import durable
from pipeline.audit.arrow import Table, pa
from pipeline.audit.columns import segment_schema
from pipeline.audit.merkle import root
from pipeline.audit.segment import (
    ROW_GROUP_ROWS,
    Built,
    EventFacts,
    Footer,
    finish_writer,
    open_parquet,
    open_writer,
    segment_ref,
)
from pipeline.audit.store import Store
from pipeline.errors import StoreError
from schemas.log_entry import SegmentRef

_GROUP_MAX_BYTES = 64 * 1024 * 1024


def merge(store: Store, topic_id: str, partition: int, run: Sequence[SegmentRef], *, epoch: int) -> Built:
    """One `compact` segment with the rows of `run`, which are neighbours in order.

    Memory: the bytes of one file (the largest input, then the output) and the rows of two row groups.
    Raises StoreError where an input's bytes are not those that the log names, since merging them would
    hide the change.
    """
    footer = Footer(
        topic_id=topic_id,
        partition=partition,
        start=run[0].start,
        end=run[-1].end,
        epoch=epoch,
        kind="compact",
        prev=run[0].prev,
        head=run[-1].head,
        rows=sum(ref.rows for ref in run),
        merkle_root=root(bytes.fromhex(ref.merkle_root) for ref in run).hex(),
    )
    durable.make_directory(store.cache_dir)
    # On the store's disk and without a name: memory need not hold the output, and nothing is left behind.
    with tempfile.TemporaryFile(dir=store.cache_dir) as sink:
        with open_writer(sink, segment_schema(topic_id), footer.rows) as writer:
            for group in _row_groups(_read_inputs(store, topic_id, partition, run)):
                writer.write_table(group, row_group_size=group.num_rows)
            finish_writer(writer, footer)
        sink.seek(0)
        content = sink.read()
    return Built(content, segment_ref(footer, content, _event_facts(run)))


def _read_inputs(store: Store, topic_id: str, partition: int, run: Sequence[SegmentRef]) -> Iterator[Table]:
    """The row groups of each input."""
    for ref in run:
        content = store.read_segment(topic_id, partition, ref.name)
        if sha256(content).hexdigest() != ref.sha256:
            where = f"{topic_id}/{partition}/{ref.name}"
            raise StoreError(f"segment {where} was changed after it was published; run auditfuse verify")
        file = open_parquet(pa.BufferReader(content))
        for group in range(file.num_row_groups):
            yield file.read_row_group(group)


def _row_groups(tables: Iterator[Table]) -> Iterator[Table]:
    """Small tables gathered into row groups of a size that queries like."""
    waiting: list[Table] = []
    rows = size = 0
    for table in tables:
        for first in range(0, table.num_rows, ROW_GROUP_ROWS):
            part = table.slice(first, ROW_GROUP_ROWS)
            if waiting and (rows + part.num_rows > ROW_GROUP_ROWS or size + part.nbytes > _GROUP_MAX_BYTES):
                yield pa.concat_tables(waiting)
                waiting, rows, size = [], 0, 0
            waiting.append(part)
            rows, size = rows + part.num_rows, size + part.nbytes
    if waiting:
        yield pa.concat_tables(waiting)


def _event_facts(run: Sequence[SegmentRef]) -> EventFacts:
    return EventFacts(
        sum(ref.events for ref in run),
        min((ref.min_event_ms for ref in run if ref.min_event_ms is not None), default=None),
        max((ref.max_event_ms for ref in run if ref.max_event_ms is not None), default=None),
        max((ref.max_broker_ms for ref in run if ref.max_broker_ms is not None), default=None),
    )
