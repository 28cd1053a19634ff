"""Rows as a proof shows them, and their commitments; read back out of live files by original segment."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

from pipeline.audit import chain
from pipeline.audit.arrow import ParquetFile, Table, pa
from pipeline.audit.log import PartitionLog
from pipeline.audit.segment import open_parquet
from pipeline.errors import StoreError
from schemas.log_entry import SegmentRef

CONTENT_COLUMNS = ["offset", "item", "meta", "payload", "salt_m", "salt_p", "cp", "c"]


class StoredRow(NamedTuple):
    """What a live file holds of a row, in the order of CONTENT_COLUMNS. Erased parts are None."""

    offset: int
    item: int
    meta: str | None
    payload: str | None
    salt_m: bytes | None
    salt_p: bytes | None
    cp: bytes | None
    c: bytes | None

    def payload_commitment(self) -> bytes:
        """`cp`, computed where the payload is there. Raises StoreError where neither is."""
        if self.payload is not None and self.salt_p is not None:
            return chain.payload_commitment(self.salt_p, self.payload.encode())
        return self._present(self.cp)

    def commitment(self) -> bytes:
        """`c`, computed where the row is there. Raises StoreError where neither is."""
        if self.meta is not None and self.salt_m is not None:
            return chain.row_commitment(self.salt_m, self.meta.encode(), self.payload_commitment())
        return self._present(self.c)

    def leaf(self) -> bytes:
        """Leaf data in the Merkle tree of its segment."""
        return chain.leaf(self.offset, self.item, self.commitment())

    def shown(self, *, with_payload: bool) -> dict[str, str]:
        """The fields by which a proof shows the row, as far as it is there and may be shown."""
        if self.meta is None or self.salt_m is None:
            return {"c": self.commitment().hex()}
        meta = {"meta": self.meta, "salt_m": self.salt_m.hex()}
        if with_payload and self.payload is not None and self.salt_p is not None:
            return {**meta, "payload": self.payload, "salt_p": self.salt_p.hex()}
        return {**meta, "cp": self.payload_commitment().hex()}

    def _present(self, commitment: bytes | None) -> bytes:
        if commitment is None:
            raise StoreError(
                f"the row at offset {self.offset} item {self.item} is neither there nor erased; "
                "run auditfuse verify"
            )
        return commitment


class OriginalRows:
    """Reads the rows of original segments from whatever live files hold them now.

    Asked for in order, a file is opened once and a row group read once. Memory: one row group and
    one original segment.
    """

    def __init__(self, log: PartitionLog) -> None:
        self._log = log
        self._ref: SegmentRef | None = None
        self._source: Any = None
        self._file: ParquetFile = None
        self._group: _Group | None = None

    def __enter__(self) -> OriginalRows:
        return self

    def __exit__(self, *_: object) -> None:
        self._close()

    def table(self, start: int, end: int) -> Table:
        """Every stored column of the rows with offsets in [start, end), in order."""
        self._open(start, end)
        tables = [self._slice(group, start, end) for group in self._groups(start, end)]
        return pa.concat_tables(tables) if tables else self._file.schema_arrow.empty_table()

    def rows(self, start: int, end: int) -> list[StoredRow]:
        """The rows with offsets in [start, end), in order."""
        return stored_rows(self.table(start, end))

    def _open(self, start: int, end: int) -> None:
        if self._ref is not None and self._ref.start <= start and end <= self._ref.end:
            return
        self._close()
        while True:
            ref = self._holding(start, end)
            try:
                self._source = self._log.store.open_segment(self._log.topic_id, self._log.partition, ref.name)
            except FileNotFoundError:
                # Replaced by a compaction and deleted since: the log names what holds its rows now.
                before = self._log.state.next_n
                if self._log.refresh().next_n == before:
                    raise
                continue
            self._file = open_parquet(self._source)
            self._ref = ref
            return

    def _holding(self, start: int, end: int) -> SegmentRef:
        for ref in self._log.state.live.values():
            if ref.start <= start and end <= ref.end:
                return ref
        where = f"{self._log.topic_id}/{self._log.partition}"
        raise StoreError(
            f"no live segment of {where} holds offsets {start} to {end - 1}; run auditfuse verify"
        )

    def _close(self) -> None:
        if self._source is not None:
            self._source.close()
        self._ref = self._source = self._file = self._group = None

    def _groups(self, start: int, end: int) -> Iterator[int]:
        """Row groups that can hold these offsets, by their statistics."""
        for group in range(self._file.num_row_groups):
            statistics = self._file.metadata.row_group(group).column(0).statistics
            if statistics is None or (statistics.max >= start and statistics.min < end):
                yield group

    def _slice(self, group: int, start: int, end: int) -> Table:
        if self._group is None or self._group.number != group:
            table = self._file.read_row_group(group, use_threads=False)
            self._group = _Group(group, table, table.column("offset").to_numpy())
        first, last = self._group.offsets.searchsorted([start, end])
        return self._group.table.slice(first, last - first)


class _Group(NamedTuple):
    """The row group that was read last."""

    number: int
    table: Table
    offsets: Any


def stored_rows(table: Table) -> list[StoredRow]:
    """The rows of a table with the CONTENT_COLUMNS."""
    columns = (table.column(name).to_pylist() for name in CONTENT_COLUMNS)
    return [StoredRow(*values) for values in zip(*columns, strict=True)]
