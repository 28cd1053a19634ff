"""The files of an export that grow with it: rows, proofs and log entries of each partition, and the tree."""

from __future__ import annotations

import gzip
from array import array
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from hashlib import sha256
from itertools import tee
from pathlib import Path
from typing import Any

import msgspec

from pipeline.audit import chain, merkle
from pipeline.audit.arrow import Array, Table, pa, pc
from pipeline.audit.columns import segment_schema
from pipeline.audit.export.cover import CoverRoot, Part, cover
from pipeline.audit.export.sql import layout
from pipeline.audit.proof.checkpointed import CheckpointTree, Covering, Leaf, require_root
from pipeline.audit.proof.published import Published
from pipeline.audit.proof.rows import StoredRow, stored_rows
from pipeline.audit.segment import ROW_GROUP_ROWS, open_writer
from pipeline.errors import StoreError

_GROUP_MAX_BYTES = 64 * 1024 * 1024
_HASH_BYTES = 32


class PartitionFiles:
    """`rows/…/NAME.parquet`, `proofs/NAME.ndjson.gz` and `log/NAME.ndjson` of one partition; NAME is
    `<topic id>-<partition>`. Made when the first segment is added."""

    def __init__(self, folder: Path, topic_id: str, partition: int, *, with_payload: bool) -> None:
        self.topic_id = topic_id
        self.partition = partition
        self.rows = 0
        self.erased_rows = 0
        self._folder = folder
        self._with_payload = with_payload
        self._stack = ExitStack()
        self._waiting: list[Table] = []
        self._numbers = array("Q")
        self._hashes = bytearray()

    def __enter__(self) -> PartitionFiles:
        return self

    def __exit__(self, error: type[BaseException] | None, *_: object) -> None:
        if error is None and self._waiting:
            self._flush()
        self._stack.close()

    @property
    def segments(self) -> int:
        """How many were added."""
        return len(self._numbers)

    def add(self, published: Published, table: Table, selected: Array) -> None:
        """Take in the selected rows of an original segment, and its erased ones, which have lost what could
        select them. Raises StoreError where the rows are not those that were sealed."""
        if not self._numbers:
            self._open()
        rows = stored_rows(table)
        shown = pc.or_(selected, pc.is_null(table.column("meta")))
        self._numbers.append(published.n)
        self._hashes += sha256(published.content).digest()
        self._entries.write(published.content + b"\n")
        self._prove(published, rows, shown.to_pylist())
        self._keep(table.filter(shown))

    def entry_hashes(self) -> Iterator[tuple[int, bytes]]:
        """(n, SHA-256 of the entry) of every segment added, in order."""
        for i, n in enumerate(self._numbers):
            yield n, bytes(self._hashes[i * _HASH_BYTES : (i + 1) * _HASH_BYTES])

    def _open(self) -> None:
        name = f"{self.topic_id}-{self.partition}"
        paths = [
            self._folder / "log" / f"{name}.ndjson",
            self._folder / "proofs" / f"{name}.ndjson.gz",
            self._folder / "rows" / layout(self.topic_id) / f"{name}.parquet",
        ]
        for path in paths:
            path.parent.mkdir(parents=True, exist_ok=True)
        self._entries = self._stack.enter_context(paths[0].open("wb"))
        self._proofs = self._stack.enter_context(open_gzip(paths[1]))
        schema = segment_schema(self.topic_id)
        self._parquet = self._stack.enter_context(open_writer(str(paths[2]), schema, ROW_GROUP_ROWS))

    def _prove(self, published: Published, rows: Sequence[StoredRow], shown: Sequence[bool]) -> None:
        commitments = [row.commitment() for row in rows]
        hashes = (
            merkle.leaf_hash(chain.leaf(row.offset, row.item, c))
            for row, c in zip(rows, commitments, strict=True)
        )
        segment = published.segment
        whole = CoverRoot()
        self._proofs.write(_line({"segment": published.n}))
        for part in cover(hashes, shown):
            whole.add(part)
            if part.number is None:
                self._proofs.write(_line(_part_fields(part)))
                continue
            row, c = rows[part.number], commitments[part.number].hex()
            content = row.shown(with_payload=self._with_payload)
            self._proofs.write(_line({"offset": row.offset, "item": row.item, "c": c} | content))
            self.rows += 1
            self.erased_rows += row.meta is None
        if (whole.size, whole.root().hex()) != (segment.rows, segment.merkle_root):
            raise StoreError(
                f"the rows of {self.topic_id}/{self.partition} at offsets {segment.start} to "
                f"{segment.end - 1} are not those that were sealed; run auditfuse verify"
            )

    def _keep(self, table: Table) -> None:
        if not self._with_payload:
            table = _without_payload(table)
        self._waiting.append(table.select(segment_schema(self.topic_id).names))
        rows, size = sum(one.num_rows for one in self._waiting), sum(one.nbytes for one in self._waiting)
        if rows >= ROW_GROUP_ROWS or size >= _GROUP_MAX_BYTES:
            self._flush()

    def _flush(self) -> None:
        self._parquet.write_table(pa.concat_tables(self._waiting), row_group_size=ROW_GROUP_ROWS)
        self._waiting = []


def write_tree(
    path: Path, tree: CheckpointTree, covering: Covering, exported: Sequence[PartitionFiles]
) -> None:
    """The checkpoint tree as a cover: the leaves of the exported entries, and hashes between them.

    Raises StoreError where an exported entry is not the one that was checkpointed, or the leaves do not
    have the root of the note.
    """
    entries = {(files.topic_id, files.partition): files.entry_hashes() for files in exported}
    waiting = {place: next(hashes, None) for place, hashes in entries.items()}
    shown: deque[Leaf] = deque()

    def is_shown(leaf: Leaf) -> bool:
        place = (leaf.topic_id, leaf.partition)
        entry = waiting.get(place)
        if entry is None or entry[0] != leaf.n:
            return False
        leaf.require(entry[1])
        waiting[place] = next(entries[place], None)
        shown.append(leaf)
        return True

    whole = CoverRoot()
    leaves, again = tee(tree.leaves(covering.size))
    with open_gzip(path) as file:
        for part in cover((leaf.hash() for leaf in leaves), map(is_shown, again)):
            whole.add(part)
            file.write(_line(_part_fields(part) if part.number is None else _leaf_fields(shown.popleft())))
    require_root(covering, whole.root())


def open_gzip(path: Path) -> Any:
    """A gzip file to write; the same content gives the same bytes."""
    return gzip.GzipFile(path, "wb", compresslevel=6, mtime=0)


def _part_fields(part: Part) -> dict[str, Any]:
    return {"leaves": part.leaves, "hash": part.hash.hex()}


def _leaf_fields(leaf: Leaf) -> dict[str, Any]:
    return {
        "topic_id": leaf.topic_id,
        "partition": leaf.partition,
        "n": leaf.n,
        "sha256": leaf.sha256.hex(),
    }


def _line(fields: dict[str, Any]) -> bytes:
    return msgspec.json.encode(fields) + b"\n"


def _without_payload(table: Table) -> Table:
    """The rows with the commitment in place of payload and salt."""
    cps = [None if row.meta is None else row.payload_commitment() for row in stored_rows(table)]
    replaced = {"payload": pa.nulls(len(cps), pa.string()), "salt_p": pa.nulls(len(cps), pa.binary())}
    for name, values in {**replaced, "cp": pa.array(cps, pa.binary())}.items():
        table = table.set_column(table.schema.get_field_index(name), name, values)
    return table
