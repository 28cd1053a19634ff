"""One live segment against its log entry: bytes, footer, rows, roots, typed columns."""

from __future__ import annotations

import hashlib
from functools import cache
from typing import TYPE_CHECKING, NamedTuple

from pipeline.audit import merkle
from pipeline.audit.arrow import ParquetFile, pa
from pipeline.audit.columns import segment_schema
from pipeline.audit.segment import Footer, open_parquet, read_footer
from pipeline.audit.store import SegmentName, Store
from pipeline.audit.verify.report import Fault, Verdict
from pipeline.audit.verify.rows import SegmentRows, check_links, read_rows
from pipeline.audit.verify.typed import check_columns
from pipeline.errors import StoreError
from schemas.log_entry import SegmentRef

if TYPE_CHECKING:
    import duckdb

_HASH_BLOCK_BYTES = 1024 * 1024


class SegmentTask(NamedTuple):
    """What checking one segment needs; small, since it is sent to another process."""

    topic_id: str
    partition: int
    entry: int
    ref: SegmentRef
    erasable: bool
    originals: list[SegmentRef]
    """The segments as first published that this one holds the rows of: itself, or what was compacted."""
    columns: bool
    """Whether to compare the typed columns too."""


class SegmentOutcome(NamedTuple):
    """What checking one segment gave."""

    rows: int
    bytes: int
    faults: list[Fault]


def check_segment(store: Store, task: SegmentTask) -> SegmentOutcome:
    """Recompute everything that one segment claims, from its bytes."""
    check = _Check(task)
    try:
        content_hash = _file_hash(store, task)
    except FileNotFoundError:
        check.fault("segments linked", "the log makes it live, but the file is missing")
        return SegmentOutcome(0, 0, check.faults)
    except StoreError:
        check.fault("segments linked", "the log makes it live, but that is no name of a segment")
        return SegmentOutcome(0, 0, check.faults)
    rows = 0
    try:
        with store.open_segment(task.topic_id, task.partition, task.ref.name) as source:
            file = open_parquet(source)
            rows = file.metadata.num_rows
            _check_content(check, store, file)
    except _unreadable() as error:
        # Their texts may quote the file, so only the kind is told. After it, DuckDB starts afresh.
        _connection.cache_clear()
        if not check.faults:
            check.fault(
                "segments linked", f"cannot be read as a segment: damaged or cut ({type(error).__name__})"
            )
    if content_hash != task.ref.sha256 and not check.faults:
        # Where a row or column is at fault, that is why the bytes differ: one change, one fault.
        check.fault(
            "segments linked", "its bytes do not have the SHA-256 that the log names; its rows are intact"
        )
    return SegmentOutcome(rows, task.ref.bytes, check.faults)


class _Check:
    """The faults of one segment as they are found."""

    def __init__(self, task: SegmentTask) -> None:
        self.task = task
        self.faults: list[Fault] = []

    def fault(self, verdict: Verdict, how: str, row: tuple[int, int] | None = None) -> None:
        task = self.task
        self.faults.append(
            Fault(
                verdict=verdict,
                topic_id=task.topic_id,
                partition=task.partition,
                entry=None if row else task.entry,
                segment=task.ref.name,
                offset=row[0] if row else None,
                item=row[1] if row else None,
                how=how,
            )
        )


def _file_hash(store: Store, task: SegmentTask) -> str:
    with store.open_segment(task.topic_id, task.partition, task.ref.name) as source:
        digest = hashlib.sha256()
        while block := source.read(_HASH_BLOCK_BYTES):
            digest.update(block)
        return digest.hexdigest()


def _check_content(check: _Check, store: Store, file: ParquetFile) -> None:
    task = check.task
    expected = segment_schema(task.topic_id)
    if not file.schema_arrow.remove_metadata().equals(expected):
        check.fault("columns match the records", "does not have the columns of a segment, or not their types")
        return
    footer = _checked_footer(check, file)
    rows = read_rows(file, task.erasable)
    check_links(rows, bytes.fromhex(task.ref.prev), bytes.fromhex(task.ref.head), task.ref.rows)
    for index in sorted(rows.faults):
        check.fault("rows intact", rows.faults[index].how, (rows.offsets[index], rows.items[index]))
    _check_span(check, rows)
    if not rows.faults:
        _check_roots(check, footer, rows)
    if task.columns:
        _check_typed(check, store, rows)


def _checked_footer(check: _Check, file: ParquetFile) -> Footer | None:
    """None where it is lost or not ours: whoever rewrites a file with a plain tool loses it, and the rows
    must be looked at all the same."""
    try:
        footer = read_footer(file, check.task.ref.name)
    except StoreError:
        check.fault("segments linked", "its footer is not that of a segment: the file was written anew")
        return None
    _compare_footer(check, footer)
    return footer


def _compare_footer(check: _Check, footer: Footer) -> None:
    task, ref = check.task, check.task.ref
    name = SegmentName.parse(ref.name)
    stated = (footer.topic_id, footer.partition, footer.start, footer.end, footer.rows)
    chained = (footer.prev, footer.head, footer.merkle_root)
    if name is None or (footer.kind, footer.epoch) != (name.kind, name.epoch):
        check.fault("segments linked", "its footer names another kind or epoch than its file name")
    elif stated != (task.topic_id, task.partition, ref.start, ref.end, ref.rows):
        check.fault("segments linked", "its footer names another place or number of rows than the log")
    elif chained != (ref.prev, ref.head, ref.merkle_root):
        check.fault("segments linked", "its footer names other chain ends or another root than the log")


def _check_span(check: _Check, rows: SegmentRows) -> None:
    ref = check.task.ref
    for index, offset in enumerate(rows.offsets):
        if not ref.start <= offset < ref.end and index not in rows.faults:
            how = f"lies outside of its segment's offsets [{ref.start}, {ref.end})"
            check.fault("offsets complete", how, (offset, rows.items[index]))


def _check_roots(check: _Check, footer: Footer | None, rows: SegmentRows) -> None:
    """Every original segment's rows, chain ends and Merkle root, as the log published them."""
    originals = check.task.originals
    if (
        footer is not None
        and footer.links
        and [_place(link) for link in footer.links] != [_place(ref) for ref in originals]
    ):
        check.fault("segments linked", "its footer does not name the original segments that the log names")
    position = 0
    for original in originals:
        end = position + original.rows
        if merkle.root(rows.leaves[position:end]).hex() != original.merkle_root:
            how = f"the rows of the original segment {original.name} do not have its Merkle root"
            check.fault("rows intact", how)
        elif rows.hashes[end - 1].hex() != original.head:
            check.fault(
                "rows intact", f"the chain does not pass the head of the original segment {original.name}"
            )
        position = end


def _place(link: object) -> tuple[object, ...]:
    return tuple(
        getattr(link, name) for name in ("start", "end", "rows", "prev", "head", "merkle_root", "sha256")
    )


def _check_typed(check: _Check, store: Store, rows: SegmentRows) -> None:
    task = check.task
    location = store.segment_location(task.topic_id, task.partition, task.ref.name)
    named = {(rows.offsets[index], rows.items[index]) for index in rows.faults}
    for fault in check_columns(_connection(), location, task.topic_id):
        # A row whose record was changed differs from its columns too: that is the same change.
        if (fault.offset, fault.item) not in named:
            check.fault("columns match the records", fault.how, (fault.offset, fault.item))


@cache
def _unreadable() -> tuple[type[Exception], ...]:
    """Everything that Arrow and DuckDB raise over bytes that are not what was written."""
    import duckdb

    builtin = (OSError, ValueError, TypeError, KeyError, OverflowError, MemoryError, NotImplementedError)
    return (*builtin, StoreError, pa.ArrowException, duckdb.Error)


@cache
def _connection() -> duckdb.DuckDBPyConnection:
    """One in a process. One thread, because processes are what runs side by side."""
    import duckdb

    connection = duckdb.connect(":memory:", config={"threads": 1, "memory_limit": "1GB"})
    connection.execute("SET enable_progress_bar = false")
    return connection
