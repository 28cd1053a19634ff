"""The rows of one segment, recomputed: commitments, links, order, Merkle roots.

Whole columns are hashed at once, without a Python object a value; only where a link does not fit are rows
looked at one by one (`row_faults.py`), so that one change gives one fault that names the row.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from pipeline.audit.arrow import Array, pc
from pipeline.audit.bulk_sha256 import HASH_BYTES, Matrix, sha256_each
from pipeline.audit.verify.row_faults import diagnose

RecordBatch: TypeAlias = Any
Mask: TypeAlias = NDArray[np.bool_]

HASHED_COLUMNS = ["offset", "item", "meta", "payload", "salt_m", "salt_p", "h", "cp", "c"]
SALT_BYTES = 16
POSITION_BYTES = 12
WHOLE, WITHOUT_PAYLOAD, ERASED = range(3)
"""What is left of a row."""


@dataclass
class SegmentRows:
    """What recomputing needs of every row: 89 bytes a row, of one file at a time."""

    offsets: NDArray[np.int64]
    items: NDArray[np.int32]
    leaves: Matrix
    """u64 offset ‖ u32 item ‖ c, with c computed from the stored meta, payload and salts."""
    hashes: Matrix
    """h as stored; zeros where there is none."""
    left: NDArray[np.uint8]
    """WHOLE, WITHOUT_PAYLOAD or ERASED, by the nulls of the row."""
    faults: dict[int, str] = field(default_factory=dict[int, str])
    """How, by index in the file: a row has one fault, the first found."""

    @classmethod
    def together(cls, parts: Sequence[SegmentRows]) -> SegmentRows:
        """The rows of one file, whose parts were read one after another."""
        rows = cls(
            offsets=np.concatenate([part.offsets for part in parts]),
            items=np.concatenate([part.items for part in parts]),
            leaves=np.concatenate([part.leaves for part in parts]),
            hashes=np.concatenate([part.hashes for part in parts]),
            left=np.concatenate([part.left for part in parts]),
        )
        first = 0
        for part in parts:
            rows.faults |= {first + index: how for index, how in part.faults.items()}
            first += len(part.offsets)
        return rows

    def __len__(self) -> int:
        return len(self.offsets)

    def fault(self, index: int, how: str) -> None:
        """Note that a row is wrong, once."""
        self.faults.setdefault(index, how)


def hash_rows(batch: RecordBatch) -> SegmentRows:
    """Recompute the commitments of a batch; values that no row may hold are faults."""
    offsets = batch["offset"].to_numpy()
    items = batch["item"].to_numpy()
    faults: dict[int, str] = {}
    hashes = _matrix(batch["h"], faults, "its stored hash h is missing or not 32 bytes long")
    left = _left(batch, faults)
    for name in ("salt_m", "salt_p"):
        wrong = pc.indices_nonzero(pc.not_equal(pc.binary_length(batch[name]), SALT_BYTES)).to_pylist()
        faults |= {i: f"{name} is not {SALT_BYTES} bytes long" for i in wrong if i not in faults}
    leaves = np.empty((len(batch), POSITION_BYTES + HASH_BYTES), np.uint8)
    leaves[:, :8] = offsets.astype(">u8").view(np.uint8).reshape(-1, 8)
    leaves[:, 8:POSITION_BYTES] = items.astype(">u4").view(np.uint8).reshape(-1, 4)
    leaves[:, POSITION_BYTES:] = _commitments(batch, left, faults)
    return SegmentRows(offsets, items, leaves, hashes, left, faults)


def _commitments(batch: RecordBatch, left: NDArray[np.uint8], faults: dict[int, str]) -> Matrix:
    """`c` of every row, from what is left of it."""
    hashed_meta = sha256_each(batch["salt_m"], batch["meta"])
    cp = sha256_each(batch["salt_p"], batch["payload"])
    _put(cp, batch["cp"], left == WITHOUT_PAYLOAD, faults)
    c = sha256_each(np.hstack([hashed_meta, cp]))
    _put(c, batch["c"], left == ERASED, faults)
    return c


def _put(computed: Matrix, stored: Array, where: Mask, faults: dict[int, str]) -> None:
    """Take the stored commitment where what it commits to is gone."""
    indexes = np.flatnonzero(where)
    if not len(indexes):
        return
    wrong: dict[int, str] = {}
    computed[indexes] = _matrix(stored.take(indexes), wrong, "its commitment is not 32 bytes long")
    faults.update({int(indexes[i]): how for i, how in wrong.items()})


def _left(batch: RecordBatch, faults: dict[int, str]) -> NDArray[np.uint8]:
    """What is left of each row, by its nulls; a row that is neither whole nor erased is a fault."""
    left = np.zeros(len(batch), np.uint8)
    record = [batch[name] for name in ("meta", "payload", "salt_m", "salt_p")]
    commitments = [batch["cp"], batch["c"]]
    if not any(column.null_count for column in record) and all(
        column.null_count == len(column) for column in commitments
    ):
        return left
    meta, payload, salt_m, salt_p, cp, c = (_is_null(column) for column in (*record, *commitments))
    left[~meta & ~salt_m & payload & salt_p & ~cp & c] = WITHOUT_PAYLOAD
    left[meta & salt_m & payload & salt_p & cp & ~c] = ERASED
    whole = ~meta & ~payload & ~salt_m & ~salt_p
    for i in np.flatnonzero(whole & ~(cp & c)).tolist():
        faults[i] = "holds a commitment beside what it commits to"
    for i in np.flatnonzero(~whole & (left == WHOLE)).tolist():
        faults[i] = "neither whole nor erased: a value is null without the commitment that stands for it"
    return left


def _is_null(column: Array) -> Mask:
    return column.is_null().to_numpy(zero_copy_only=False)


def _matrix(column: Array, faults: dict[int, str], how: str) -> Matrix:
    """Hashes as a matrix over the column's memory, as far as they are all hashes."""
    count = len(column)
    if not column.null_count:
        buffers = column.buffers()
        edges = np.frombuffer(buffers[1], np.int32)[column.offset : column.offset + count + 1]
        if count and (np.diff(edges) == HASH_BYTES).all():
            values = np.frombuffer(buffers[2], np.uint8)[edges[0] : edges[-1]]
            return values.reshape(count, HASH_BYTES)
    hashes = np.zeros((count, HASH_BYTES), np.uint8)
    for i, value in enumerate(column.to_pylist()):
        if value is None or len(value) != HASH_BYTES:
            faults.setdefault(i, how)
        else:
            hashes[i] = np.frombuffer(value, np.uint8)
    return hashes


def check_links(rows: SegmentRows, prev: bytes, head: bytes, expected_rows: int) -> None:
    """Order and chain of a segment's rows: faults are added to `rows`.

    `prev` and `head` are the chain hashes before the first and of the last row, as the log has them.
    """
    if not len(rows):
        return
    befores = np.vstack([np.frombuffer(prev, np.uint8), rows.hashes[:-1]])
    fits = _is_in_order(rows) and np.array_equal(sha256_each(befores, rows.leaves), rows.hashes)
    if not fits or len(rows) != expected_rows:
        diagnose(rows, prev, head, expected_rows)
    elif rows.hashes[-1].tobytes() != head:
        rows.fault(len(rows) - 1, "its hash is not the head that the log names")


def _is_in_order(rows: SegmentRows) -> bool:
    """Whether every row stands behind one of a lower (offset, item)."""
    steps = np.diff(rows.offsets)
    return bool(((steps > 0) | ((steps == 0) & (np.diff(rows.items) > 0))).all())
