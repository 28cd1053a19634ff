"""Reading a partition's live segments while others replace them."""

from collections.abc import Callable, Iterator, Sequence
from typing import TypeVar

from pipeline.audit.arrow import ParquetFile, Table, pc
from pipeline.audit.log import PartitionLog
from pipeline.audit.segment import open_parquet
from schemas.log_entry import SegmentRef

_T = TypeVar("_T")


def live_tables(log: PartitionLog, columns: Sequence[str]) -> Iterator[Table]:
    """Every live row once, in order, a segment at a time; `columns` has `offset` among them.

    Raises FileNotFoundError where a segment is missing that nothing replaced.
    """

    def read(ref: SegmentRef, low: int, file: ParquetFile) -> Iterator[Table]:
        table = file.read(columns=list(columns))
        yield table.filter(pc.greater_equal(table.column("offset"), low)) if ref.start < low else table

    return _each(log, read)


def each_live(log: PartitionLog, read: Callable[[str, ParquetFile], Iterator[_T]]) -> Iterator[_T]:
    """What `read` (name, file) gives of every live segment, in order. Of a segment that is replaced while it
    is read, some comes again.

    Raises FileNotFoundError where a segment is missing that nothing replaced.
    """
    return _each(log, lambda ref, _, file: read(ref.name, file))


def _each(log: PartitionLog, read: Callable[[SegmentRef, int, ParquetFile], Iterator[_T]]) -> Iterator[_T]:
    """`read` takes a segment, the offset below which all was read before, and the segment's file."""
    low, end = 0, log.refresh().end
    while low < end:
        ref = next((ref for ref in log.state.live.values() if ref.end > low), None)
        if ref is None:
            return
        try:
            with log.store.open_segment(log.topic_id, log.partition, ref.name) as source:
                yield from read(ref, low, open_parquet(source))
        except FileNotFoundError:
            before = log.state.next_n
            if log.refresh().next_n == before:
                raise
            continue
        low = ref.end
