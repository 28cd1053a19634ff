"""One segment made anew without what is erased: the same rows in the same places of the chain."""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import sha256
from typing import NamedTuple

import numpy as np

from pipeline.audit import chain
from pipeline.audit.arrow import Array, ParquetFile, Table, pa, pc
from pipeline.audit.columns import segment_schema, typed_columns
from pipeline.audit.erase.match import Mask
from pipeline.audit.segment import (
    Built,
    EventFacts,
    Footer,
    close_writer,
    open_parquet,
    open_writer,
    read_footer,
    segment_ref,
)
from pipeline.audit.store import APPEND_PARTITIONS, Store
from pipeline.errors import StoreError
from schemas.log_entry import PositionRange, SegmentRef

_RECORD = ("meta", "payload", "salt_m", "salt_p")
_NS_PER_MS = 1_000_000


class Doomed(NamedTuple):
    """What one row group loses."""

    rows: Mask
    payloads: Mask
    """Never set where `rows` is."""


class Rewritten(NamedTuple):
    """A segment without what was erased, and what its entry says of it."""

    built: Built
    erased_rows: list[PositionRange]
    erased_payloads: list[PositionRange]


def open_checked(store: Store, topic_id: str, partition: int, ref: SegmentRef) -> ParquetFile:
    """A live segment to read from. Raises StoreError where its bytes are not those that the log names,
    since a rewrite would hide the change."""
    content = store.read_segment(topic_id, partition, ref.name)
    if sha256(content).hexdigest() != ref.sha256:
        raise StoreError(
            f"segment {topic_id}/{partition}/{ref.name} was changed after it was published; "
            "nothing of it is erased before auditfuse verify holds"
        )
    return open_parquet(pa.BufferReader(content))


def rewrite(
    file: ParquetFile, topic_id: str, partition: int, ref: SegmentRef, doomed: Sequence[Doomed], *, epoch: int
) -> Rewritten:
    """The `erase` segment in the place of `ref`; `doomed` has one element a row group.

    Memory: the output and one row group.
    """
    where = f"{topic_id}/{partition}/{ref.name}"
    sink = pa.BufferOutputStream()
    writer = open_writer(sink, segment_schema(topic_id), ref.rows)
    facts: list[EventFacts] = []
    rows: list[PositionRange] = []
    payloads: list[PositionRange] = []
    for group, lost in enumerate(doomed):
        table = without(file.read_row_group(group, use_threads=False), topic_id, lost)
        writer.write_table(table, row_group_size=max(1, table.num_rows))
        rows += _ranges(table, lost.rows)
        payloads += _ranges(table, lost.payloads)
        facts.append(_facts(topic_id, table))
    footer = Footer(
        topic_id=topic_id,
        partition=partition,
        start=ref.start,
        end=ref.end,
        epoch=epoch,
        kind="erase",
        prev=ref.prev,
        head=ref.head,
        rows=ref.rows,
        merkle_root=ref.merkle_root,
        links=read_footer(file, where).links,
    )
    content = close_writer(writer, sink, footer)
    return Rewritten(Built(content, segment_ref(footer, content, _together(facts))), rows, payloads)


def without(table: Table, topic_id: str, lost: Doomed) -> Table:
    """`table` with the erased values null and the commitments that stand for them filled in."""
    if not lost.rows.any() and not lost.payloads.any():
        return table
    columns = {name: table.column(name) for name in table.column_names}
    commitments = _commitments(table, lost)
    for name in ("meta", "salt_m", *(column.name for column in typed_columns(topic_id))):
        columns[name] = _emptied(columns[name], lost.rows)
    for name in ("payload", "salt_p"):
        columns[name] = _emptied(columns[name], lost.rows | lost.payloads)
    for name, values in commitments.items():
        columns[name] = pa.array(values, pa.binary())
    return pa.Table.from_arrays(list(columns.values()), schema=table.schema)


def _commitments(table: Table, lost: Doomed) -> dict[str, list[bytes | None]]:
    """The columns `cp` and `c` after the erasure."""
    cps: list[bytes | None] = table.column("cp").to_pylist()
    cs: list[bytes | None] = table.column("c").to_pylist()
    touched = np.flatnonzero(lost.rows | lost.payloads)
    taken = table.select(_RECORD).take(pa.array(touched))
    values = zip(*(taken.column(name).cast(pa.binary()).to_pylist() for name in _RECORD), strict=True)
    for i, (meta, payload, salt_m, salt_p) in zip(touched.tolist(), values, strict=True):
        cp = cps[i] if payload is None else chain.payload_commitment(salt_p, payload)
        if lost.rows[i]:
            cps[i], cs[i] = None, chain.row_commitment(salt_m, meta, cp or b"")
        else:
            cps[i] = cp
    return {"cp": cps, "c": cs}


def _emptied(column: Array, mask: Mask) -> Array:
    """The column with nulls where the mask is set; by taking, which every type knows."""
    return column.take(pa.array(np.arange(len(mask)), mask=mask))


def _ranges(table: Table, lost: Mask) -> list[PositionRange]:
    """Runs of neighbouring rows."""
    edges = np.flatnonzero(np.diff(lost, prepend=False, append=False)).reshape(-1, 2).tolist()
    offsets, items = table.column("offset").to_pylist(), table.column("item").to_pylist()
    return [PositionRange(offsets[a], items[a], offsets[b - 1], items[b - 1]) for a, b in edges]


def _facts(topic_id: str, table: Table) -> EventFacts:
    """What is left of the events of one row group."""
    if topic_id in APPEND_PARTITIONS:
        return EventFacts(0, None, None, None)
    ends = pc.add(table.column("start_time_unix_nano"), table.column("duration_ns"))
    bounds = pc.min_max(ends).as_py()
    events = pc.sum(
        pc.and_(pc.equal(table.column("kind"), "event"), pc.is_valid(table.column("meta")))
    ).as_py()
    return EventFacts(
        events or 0,
        None if bounds["min"] is None else bounds["min"] // _NS_PER_MS,
        None if bounds["max"] is None else bounds["max"] // _NS_PER_MS,
        pc.max(table.column("broker_time_ms")).as_py(),
    )


def _together(parts: Sequence[EventFacts]) -> EventFacts:
    return EventFacts(
        sum(part.events for part in parts),
        min((part.min_event_ms for part in parts if part.min_event_ms is not None), default=None),
        max((part.max_event_ms for part in parts if part.max_event_ms is not None), default=None),
        max((part.max_broker_ms for part in parts if part.max_broker_ms is not None), default=None),
    )
