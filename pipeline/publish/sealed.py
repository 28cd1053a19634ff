"""The sealed rows of a store that an output takes, partition by partition, in batches."""

from collections.abc import Iterator, Mapping
from typing import NamedTuple

from pipeline.audit.arrow import ParquetFile, pc
from pipeline.audit.log import PartitionLog
from pipeline.audit.segment import open_parquet
from pipeline.audit.store import APPEND_PARTITIONS, Store
from pipeline.publish.output import Output, SealedRow, row_identity
from pipeline.publish.positions import PartitionKey
from schemas.log_entry import SegmentRef

BATCH_ROWS = 500
BATCH_BYTES = 8 * 1024 * 1024


class SealedBatch(NamedTuple):
    """Rows that are published together, and the end of the partition once they are out."""

    key: PartitionKey
    rows: list[SealedRow]
    end: int


class _Placed(NamedTuple):
    offset: int
    row: SealedRow
    size: int


class SealedRows:
    """Follows every partition log of a store."""

    def __init__(self, store: Store, output: Output) -> None:
        self._store = store
        self._output = output
        self._logs: dict[PartitionKey, PartitionLog] = {}

    def after(self, ends: Mapping[PartitionKey, int]) -> Iterator[SealedBatch]:
        """What is sealed at or beyond `ends`. A batch's end is the offset of its last row, of which more
        items may come, or the segment's end where nothing follows; a batch may have no rows."""
        for key in self._store.partitions():
            if key[0] in APPEND_PARTITIONS:
                continue
            partition_log = self._logs.setdefault(key, PartitionLog(self._store, *key))
            end = ends.get(key, 0)
            while (ref := _next_segment(partition_log, end)) is not None:
                try:
                    for batch in self._of_segment(key, ref, end):
                        yield batch
                        end = batch.end
                except FileNotFoundError:
                    continue  # compacted meanwhile: the log names what holds these rows now
                end = ref.end

    def _of_segment(self, key: PartitionKey, ref: SegmentRef, start: int) -> Iterator[SealedBatch]:
        held: list[_Placed] = []
        if self._output.may_be_in(ref):
            with self._store.open_segment(*key, ref.name) as source:
                for batch in _batches(self._rows(key, open_parquet(source), start)):
                    if held:
                        # Not beyond its last offset: another item of that message may come.
                        yield SealedBatch(key, [one.row for one in held], held[-1].offset)
                    held = batch
        yield SealedBatch(key, [one.row for one in held], ref.end)

    def _rows(self, key: PartitionKey, file: ParquetFile, start: int) -> Iterator[_Placed]:
        kind, columns = self._output.kind, self._output.columns
        for group in range(file.num_row_groups):
            kinds = file.read_row_group(group, columns=["kind"]).column("kind")
            if not pc.any(pc.equal(kinds, kind)).as_py():
                continue
            table = file.read_row_group(group, columns=["kind", "offset", "item", *columns])
            wanted = pc.and_(
                pc.and_(pc.equal(table.column("kind"), kind), pc.is_valid(table.column(columns[0]))),
                pc.greater_equal(table.column("offset"), start),
            )
            for batch in table.filter(wanted).to_batches(max_chunksize=BATCH_ROWS):
                for row in batch.to_pylist():
                    identity = row_identity(key, row["offset"], row["item"])
                    size = sum(len(row[name] or "") for name in columns)
                    yield _Placed(row["offset"], SealedRow(identity, row), size)


def _batches(rows: Iterator[_Placed]) -> Iterator[list[_Placed]]:
    """Bounded in rows and in bytes, but for one row that is larger by itself."""
    batch: list[_Placed] = []
    size = 0
    for one in rows:
        if batch and (len(batch) == BATCH_ROWS or size + one.size > BATCH_BYTES):
            yield batch
            batch, size = [], 0
        batch.append(one)
        size += one.size
    if batch:
        yield batch


def _next_segment(partition_log: PartitionLog, end: int) -> SegmentRef | None:
    live = partition_log.refresh().live.values()
    return next((ref for ref in live if ref.end > end), None)
