"""One live segment against its log entry: bytes, footer, rows, roots, erased values, typed columns."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from hashlib import sha256
from typing import Any, NamedTuple

import numpy as np

from pipeline.audit.arrow import ParquetFile, pa, pq
from pipeline.audit.segment import Footer, read_footer
from pipeline.audit.store import SegmentName, Store
from pipeline.audit.verify.erased import Count, ErasedRange, check_erased
from pipeline.audit.verify.log_state import Original
from pipeline.audit.verify.report import Fault, Verdict
from pipeline.audit.verify.rows import (
    ERASED,
    HASHED_COLUMNS,
    SegmentRows,
    check_links,
    hash_rows,
)
from pipeline.audit.verify.tree import merkle_root
from pipeline.audit.verify.typed import differing_rows, few_valued_columns, kept_columns, read_schema
from pipeline.errors import StoreError
from schemas.log_entry import SegmentRef

BATCH_ROWS = 16_384
"""Read and hashed at a time: bounds memory, whatever a file's size."""
MAX_NAMED_ROWS = 1000
"""So many rows of one segment are named for a verdict; how many more there are is one fault."""
_UNREADABLE = (
    *(OSError, ValueError, TypeError, KeyError, OverflowError, MemoryError, NotImplementedError),
    *(StoreError, pa.ArrowException),
)
"""Everything that Arrow raises over bytes that are not what was written."""


class SegmentTask(NamedTuple):
    """What checking one segment needs; small, since it is sent to another process."""

    topic_id: str
    partition: int
    entry: int
    ref: SegmentRef
    originals: bytes
    """The segments as first published that this one holds the rows of, packed; empty where an entry of
    theirs is missing."""
    erased: list[ErasedRange]
    columns: bool
    """Whether to compare the typed columns too."""


class SegmentOutcome(NamedTuple):
    """What checking one segment gave."""

    rows: int
    bytes: int
    faults: list[Fault]
    erased: dict[str, Count]
    """By erasure: what it took of this segment."""
    empty_offsets: int
    """Offsets of the segment that hold no row."""
    is_missing: bool = False


def check_segment(store: Store, task: SegmentTask) -> SegmentOutcome:
    """Recompute all that one segment claims, from its bytes. Memory: the file and one batch of rows."""
    check = _Check(task)
    try:
        content = store.read_segment(task.topic_id, task.partition, task.ref.name)
    except FileNotFoundError:
        check.fault("segments linked", "the log makes it live, but the file is missing")
        return SegmentOutcome(0, 0, check.faults, {}, 0, is_missing=True)
    except StoreError:
        check.fault("segments linked", "the log makes it live, but that is no name of a segment")
        return SegmentOutcome(0, 0, check.faults, {}, 0)
    is_whole = sha256(content).hexdigest() == task.ref.sha256
    try:
        check.run(content, is_whole)
    except _UNREADABLE as error:
        # Their texts may quote the file, so only the kind is told.
        if not check.faults:
            check.fault(
                "segments linked", f"cannot be read as a segment: damaged or cut ({type(error).__name__})"
            )
    if not is_whole and not check.faults:
        # Where a row or column is at fault, that is why the bytes differ: one change, one fault.
        check.fault(
            "segments linked", "its bytes do not have the SHA-256 that the log names; its rows are intact"
        )
    return SegmentOutcome(check.rows, len(content), check.faults, check.erased, check.empty_offsets)


class _Check:
    """What is found of one segment."""

    def __init__(self, task: SegmentTask) -> None:
        self.task = task
        self.faults: list[Fault] = []
        self.rows = 0
        self.erased: dict[str, Count] = {}
        self.empty_offsets = 0
        self._columns: list[tuple[int, str]] = []
        """(index, how) of rows whose typed columns differ."""
        self._kept: list[int] = []
        """Erased rows that kept typed columns."""
        self._named: Counter[Verdict] = Counter()
        """Rows that are at fault, by verdict."""

    def fault(self, verdict: Verdict, how: str, row: tuple[int, int] | None = None) -> None:
        """Note a fault of the segment, or of the row (offset, item)."""
        task = self.task
        self.faults.append(
            Fault(
                verdict=verdict,
                topic_id=task.topic_id,
                partition=task.partition,
                entry=task.entry if row is None else None,
                segment=task.ref.name,
                offset=row[0] if row else None,
                item=row[1] if row else None,
                how=how,
            )
        )

    def run(self, content: bytes, is_whole: bool) -> None:
        """Check what the bytes hold. `is_whole`: their hash is the log's, so pages need no checksum."""
        task = self.task
        file = pq.ParquetFile(
            pa.BufferReader(content),
            page_checksum_verification=not is_whole,
            read_dictionary=few_valued_columns(task.topic_id),
        )
        self.rows = file.metadata.num_rows
        if not file.schema_arrow.remove_metadata().equals(read_schema(task.topic_id)):
            how = "does not have the columns of a segment, or not their types"
            self.fault("columns match the records", how)
            return
        self._check_footer(file)
        parts = list(self._hashed(file))
        if not parts:
            self.fault("rows intact", "holds no row")
            return
        rows = SegmentRows.together(parts)
        check_links(rows, bytes.fromhex(task.ref.prev), bytes.fromhex(task.ref.head), task.ref.rows)
        self._judge(rows)

    def _hashed(self, file: ParquetFile) -> Iterator[SegmentRows]:
        names = None if self.task.columns else HASHED_COLUMNS
        first = 0
        for batch in file.iter_batches(batch_size=BATCH_ROWS, columns=names, use_threads=False):
            rows = hash_rows(batch)
            if self.task.columns:
                self._compare_columns(batch, rows, first)
            first += len(batch)
            yield rows

    def _compare_columns(self, batch: Any, rows: SegmentRows, first: int) -> None:
        topic_id = self.task.topic_id
        self._columns += [(first + i, how) for i, how in differing_rows(batch, topic_id)]
        self._kept += [first + i for i in kept_columns(batch, rows.left == ERASED, topic_id)]

    def _judge(self, rows: SegmentRows) -> None:
        for index in sorted(rows.faults):
            self._row_fault("rows intact", rows, index, rows.faults[index])
        self._check_span(rows)
        if not rows.faults:
            self._check_roots(rows)
            differing, self.erased = check_erased(rows, self.task.erased)
            for index, how in differing:
                self._row_fault("erasures accounted for", rows, index, how)
        for index in self._kept:
            self._row_fault("erasures accounted for", rows, index, "it was erased, but kept typed columns")
        for index, how in self._columns:
            # A row whose record was changed differs from its columns too: that is the same change.
            if index not in rows.faults:
                self._row_fault("columns match the records", rows, index, how)
        for verdict, count in self._named.items():
            if count > MAX_NAMED_ROWS:
                self.fault(verdict, f"{count - MAX_NAMED_ROWS} more of its rows are at fault")

    def _row_fault(self, verdict: Verdict, rows: SegmentRows, index: int, how: str) -> None:
        self._named[verdict] += 1
        if self._named[verdict] <= MAX_NAMED_ROWS:
            self.fault(verdict, how, (int(rows.offsets[index]), int(rows.items[index])))

    def _check_footer(self, file: ParquetFile) -> None:
        """Whoever rewrites a file with a plain tool loses it; the rows are looked at all the same."""
        try:
            self._compare_footer(read_footer(file, self.task.ref.name))
        except StoreError:
            self.fault("segments linked", "its footer is not that of a segment: the file was written anew")

    def _compare_footer(self, footer: Footer) -> None:
        task, ref = self.task, self.task.ref
        name = SegmentName.parse(ref.name)
        stated = (footer.topic_id, footer.partition, footer.start, footer.end, footer.rows)
        chained = (footer.prev, footer.head, footer.merkle_root)
        if name is None or (footer.kind, footer.epoch) != (name.kind, name.epoch):
            how = "its footer names another kind or epoch than its file name"
        elif stated != (task.topic_id, task.partition, ref.start, ref.end, ref.rows):
            how = "its footer names another place or number of rows than the log"
        elif chained != (ref.prev, ref.head, ref.merkle_root):
            how = "its footer names other chain ends or another root than the log"
        else:
            return
        self.fault("segments linked", how)

    def _check_span(self, rows: SegmentRows) -> None:
        ref, offsets = self.task.ref, rows.offsets
        for index in np.flatnonzero((offsets < ref.start) | (offsets >= ref.end)).tolist():
            if index not in rows.faults:
                how = f"lies outside of its segment's offsets [{ref.start}, {ref.end})"
                self._row_fault("offsets complete", rows, index, how)
        held = 1 + int(np.count_nonzero(np.diff(offsets)))
        self.empty_offsets = max(0, ref.end - ref.start - held)

    def _check_roots(self, rows: SegmentRows) -> None:
        """Every original segment's rows, chain end and Merkle root, as the log published them."""
        originals = Original.unpack(self.task.originals)
        position = 0
        for original in originals:
            end = position + original.rows
            named = f"the original segment of offsets [{original.start}, {original.end})"
            if merkle_root(rows.leaves[position:end]) != original.merkle_root:
                self.fault("rows intact", f"the rows of {named} do not have its Merkle root")
            elif rows.hashes[end - 1].tobytes() != original.head:
                self.fault("rows intact", f"the chain does not pass the head of {named}")
            position = end
