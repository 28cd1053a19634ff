"""The rows of one segment, recomputed: commitments, links, order, Merkle roots.

The fast path hashes whole columns without a Python object per value; only where a link fails is
the neighbourhood looked at, so that one change gives one fault that names the row.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from hashlib import sha256
from importlib import import_module
from itertools import pairwise
from typing import Any, TypeAlias

import numpy as np
import polars as pl

from pipeline.audit.arrow import Array, ParquetFile, pa
from pipeline.audit.chain import SALT_BYTES

pc: Any = import_module("pyarrow.compute")
RecordBatch: TypeAlias = Any

HASHED_COLUMNS = ["offset", "item", "meta", "payload", "salt_m", "salt_p", "h", "cp", "c"]
HASH_BYTES = 32
INSERTED_LOOK_BACK = 256
"""So many rows in a run of inserted ones are recognised as such."""


@dataclass
class RowFault:
    """A row that is wrong, by its index in the file."""

    index: int
    how: str


@dataclass
class SegmentRows:
    """What recomputing needs of every row: 84 bytes and two objects a row, of one file at a time."""

    offsets: list[int] = field(default_factory=list[int])
    items: list[int] = field(default_factory=list[int])
    leaves: list[bytes] = field(default_factory=list[bytes])
    """u64 offset ‖ u32 item ‖ c, with c computed from the stored meta, payload and salts."""
    hashes: list[bytes] = field(default_factory=list[bytes])
    """h as stored."""
    faults: dict[int, RowFault] = field(default_factory=dict[int, RowFault])
    """By index in the file: a row has one fault, the first found."""

    def fault(self, index: int, how: str) -> None:
        """Note that a row is wrong, once."""
        self.faults.setdefault(index, RowFault(index, how))


def read_rows(file: ParquetFile, erasable: bool) -> SegmentRows:
    """Read and hash a segment, one row group at a time."""
    rows = SegmentRows()
    for group in range(file.num_row_groups):
        table = file.read_row_group(group, columns=HASHED_COLUMNS, use_threads=False)
        for batch in table.combine_chunks().to_batches():
            _add_batch(rows, batch, erasable)
    return rows


def _add_batch(rows: SegmentRows, batch: RecordBatch, erasable: bool) -> None:
    first = len(rows.offsets)
    rows.offsets += batch["offset"].to_pylist()
    rows.items += batch["item"].to_pylist()
    rows.hashes += _hashes(rows, batch["h"], first)
    whole = all(batch[name].null_count == 0 for name in ("meta", "payload", "salt_m", "salt_p"))
    whole = whole and all(batch[name].null_count == len(batch) for name in ("cp", "c"))
    for name in ("salt_m", "salt_p"):
        lengths = pc.binary_length(batch[name].cast(pa.binary()))
        for i in pc.indices_nonzero(pc.not_equal(lengths, SALT_BYTES)).to_pylist():
            rows.fault(first + i, f"{name} is not {SALT_BYTES} bytes long")
    positions = _positions(batch)
    if whole:
        joined_m = _joined(batch["salt_m"], batch["meta"])
        joined_p = _joined(batch["salt_p"], batch["payload"])
        rows.leaves += [
            position + sha256(sha256(m).digest() + sha256(p).digest()).digest()
            for position, m, p in zip(positions, joined_m, joined_p, strict=True)
        ]
    else:
        rows.leaves += [
            position + _commitment(rows, first + i, values, erasable)
            for i, (position, values) in enumerate(zip(positions, _tuples(batch), strict=True))
        ]


def _hashes(rows: SegmentRows, column: Array, first: int) -> list[bytes]:
    stored: list[bytes | None] = pl.Series(column).to_list()
    for i, h in enumerate(stored):
        if h is None or len(h) != HASH_BYTES:
            rows.fault(first + i, "its stored hash h is missing or not 32 bytes long")
    return [h or b"" for h in stored]


def _positions(batch: RecordBatch) -> list[bytes]:
    packed = np.empty(len(batch), dtype=[("offset", ">u8"), ("item", ">u4")])
    packed["offset"] = batch["offset"].to_numpy(zero_copy_only=False)
    packed["item"] = batch["item"].to_numpy(zero_copy_only=False)
    flat = packed.tobytes()
    return [flat[i : i + 12] for i in range(0, len(flat), 12)]


def _joined(salts: Array, texts: Array) -> Iterator[memoryview]:
    """`salt ‖ text` of every row as slices of one buffer."""
    import numpy as np

    large = pa.large_binary()
    parts = [salts.cast(large), texts.cast(pa.large_string()).cast(large), pa.scalar(b"", large)]
    joined = pc.binary_join_element_wise(*parts)
    buffers = joined.buffers()
    edges = np.frombuffer(buffers[1], dtype=np.int64)[joined.offset : joined.offset + len(joined) + 1]
    view = memoryview(buffers[2]) if buffers[2] is not None else memoryview(b"")
    return (view[a:b] for a, b in pairwise(edges.tolist()))


def _tuples(batch: RecordBatch) -> Iterator[tuple[Any, ...]]:
    names = ("meta", "payload", "salt_m", "salt_p", "cp", "c")
    return zip(*(batch[name].cast(pa.binary()).to_pylist() for name in names), strict=True)


def _commitment(rows: SegmentRows, index: int, values: tuple[Any, ...], erasable: bool) -> bytes:
    """`c` of a row that may have been erased, whole or its payload alone."""
    meta, payload, salt_m, salt_p, cp, c = values
    if None not in (meta, payload, salt_m, salt_p):
        if cp is not None or c is not None:
            rows.fault(index, "holds a commitment beside what it commits to")
        return sha256(sha256(salt_m + meta).digest() + sha256(salt_p + payload).digest()).digest()
    if not erasable:
        nulls = ["meta", "payload", "salt_m", "salt_p"]
        absent = ", ".join(n for n, v in zip(nulls, values, strict=False) if v is None)
        rows.fault(index, f"{absent} is null and no erase entry accounts for it")
    if meta is not None and salt_m is not None and payload is None and salt_p is None and cp is not None:
        return sha256(sha256(salt_m + meta).digest() + cp).digest()
    if (meta, payload, salt_m, salt_p) == (None,) * 4 and c is not None:
        return c
    rows.fault(index, "neither whole nor erased: a value is null and its commitment is missing")
    return bytes(HASH_BYTES)


def check_links(rows: SegmentRows, prev: bytes, head: bytes, expected_rows: int) -> None:
    """Order and chain of a segment's rows: faults are added to `rows`.

    `prev` and `head` are the chain hashes before the first and of the last row, as the log has them.
    """
    order = _in_order(rows)
    hashes = [rows.hashes[i] for i in order]
    leaves = [rows.leaves[i] for i in order]
    befores = [prev, *hashes[:-1]]
    computed = [sha256(b + leaf).digest() for b, leaf in zip(befores, leaves, strict=True)]
    if computed != hashes:
        missing = expected_rows - len(order)
        _diagnose(rows, order, _Chain(befores, leaves, hashes, computed), head, missing)
    if len(order) < expected_rows and not rows.faults:
        rows.fault(len(order) - 1, f"{expected_rows - len(order)} rows after it are missing")


def _in_order(rows: SegmentRows) -> list[int]:
    """The rows' indexes by (offset, item); those that stand in another's place are faults."""
    identities = list(zip(rows.offsets, rows.items, strict=True))
    if all(a < b for a, b in pairwise(identities)):
        return list(range(len(identities)))
    highest = (-1, -1)
    for i, identity in enumerate(identities):
        if identity <= highest:
            rows.fault(i, "stands out of order, or a second time: moved, swapped or repeated")
        highest = max(highest, identity)
    return sorted(range(len(identities)), key=identities.__getitem__)


@dataclass(frozen=True)
class _Chain:
    """A run of rows in order: what precedes each, its leaf, its hash as stored and as computed."""

    befores: list[bytes]
    leaves: list[bytes]
    hashes: list[bytes]
    computed: list[bytes]


def _diagnose(rows: SegmentRows, order: list[int], chain: _Chain, head: bytes, missing: int) -> None:
    """Find which rows broken links speak of. A link breaks at a row that was changed or precedes
    a deletion, but also at the row after an inserted one or one whose stored hash was changed."""
    broken = [i for i, h in enumerate(chain.hashes) if chain.computed[i] != h]
    edited_hash = {i for i in broken if _hash_was_edited(chain, i, head)}
    for i in broken:
        if (
            i - 1 in edited_hash
            and sha256(chain.computed[i - 1] + chain.leaves[i]).digest() == chain.hashes[i]
        ):
            continue  # broken only through the row before
        skipped = _inserted_before(chain, i)
        if skipped:
            for j in range(i - skipped, i):
                rows.faults.pop(order[j], None)
                rows.fault(order[j], "inserted: the chain of the rows around it passes it by")
        elif i in edited_hash:
            rows.fault(order[i], "its stored hash h was changed")
        elif missing > 0:
            rows.fault(
                order[i], f"does not follow from the row before it: {missing} rows of the segment are missing"
            )
        else:
            rows.fault(order[i], "its meta, payload, salts or position are not those that were chained")


def _hash_was_edited(chain: _Chain, i: int, head: bytes) -> bool:
    """Whether the row's own content is right, since what follows was chained onto it."""
    if i + 1 == len(chain.hashes):
        return chain.computed[i] == head
    return sha256(chain.computed[i] + chain.leaves[i + 1]).digest() == chain.hashes[i + 1]


def _inserted_before(chain: _Chain, i: int) -> int:
    """How many rows right before row `i` the chain passes by; 0 where it does not."""
    for back in range(1, min(i, INSERTED_LOOK_BACK) + 1):
        if sha256(chain.befores[i - back] + chain.leaves[i]).digest() == chain.hashes[i]:
            return back
    return 0
