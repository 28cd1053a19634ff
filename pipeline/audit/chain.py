"""The row chain: what ties every row to the one before it. Pure; `docs/store-format.md` is normative.

Two salts and two commitments a row, so that a payload, or a whole row, can be erased later while
the chain over the commitments still verifies.
"""

import os
from collections.abc import Sequence
from hashlib import sha256
from struct import Struct
from typing import NamedTuple

from schemas.record import Row

SALT_BYTES = 16
LEAF_BYTES = 44
MANY_ROWS = 64
"""Fewer are hashed faster one by one."""
_POSITION = Struct(">QI")
_PARTITION = Struct(">I")


class Links(NamedTuple):
    """What chaining a run of rows gives; the lists run parallel to the rows."""

    salts_m: list[bytes]
    salts_p: list[bytes]
    hashes: list[bytes]
    leaves: list[bytes]
    """Merkle leaf data: u64 offset ‖ u32 item ‖ c, 44 bytes each."""
    head: bytes


def first_prev(topic_id: str, partition: int) -> bytes:
    """The hash that stands before a partition's first row (32 bytes)."""
    return sha256(b"auditfuse/1" + topic_id.encode() + _PARTITION.pack(partition)).digest()


def payload_commitment(salt_p: bytes, payload: bytes) -> bytes:
    """`cp`, 32 bytes: stands for the payload after its erasure."""
    return sha256(salt_p + payload).digest()


def row_commitment(salt_m: bytes, meta: bytes, cp: bytes) -> bytes:
    """`c`, 32 bytes: stands for the whole row after its erasure."""
    return sha256(sha256(salt_m + meta).digest() + cp).digest()


def leaf(offset: int, item: int, c: bytes) -> bytes:
    """The Merkle leaf data of a row, and what its link adds to the hash before it."""
    return _POSITION.pack(offset, item) + c


def chain(prev: bytes, rows: Sequence[Row], salts: bytes | None = None) -> Links:
    """Chain `rows`, in their order, onto `prev`.

    `salts` holds 32 bytes a row (salt_m, salt_p); None draws them from the system. The links alone have to be
    made one after another; commitments are made of many rows at once where there are many.
    """
    count = len(rows)
    salts = os.urandom(2 * SALT_BYTES * count) if salts is None else salts
    leaves = _leaves(rows, salts) if count < MANY_ROWS else _leaves_at_once(rows, salts)
    hashes: list[bytes] = []
    add_hash = hashes.append
    for leaf_of_row in leaves:
        prev = sha256(prev + leaf_of_row).digest()
        add_hash(prev)
    salts_m = [salts[i : i + SALT_BYTES] for i in range(0, 32 * count, 32)]
    salts_p = [salts[i : i + SALT_BYTES] for i in range(SALT_BYTES, 32 * count, 32)]
    return Links(salts_m, salts_p, hashes, leaves, prev)


def _leaves(rows: Sequence[Row], salts: bytes) -> list[bytes]:
    """The leaf data of each row, one after another."""
    return [
        leaf(
            row.offset,
            row.item,
            row_commitment(
                salts[i : i + SALT_BYTES],
                row.meta,
                payload_commitment(salts[i + SALT_BYTES : i + 2 * SALT_BYTES], row.payload),
            ),
        )
        for i, row in zip(range(0, 32 * len(rows), 32), rows, strict=True)
    ]


def _leaves_at_once(rows: Sequence[Row], salts: bytes) -> list[bytes]:
    """The same, column by column."""
    # Here, because logs and proofs are read with this module where nothing needs Arrow.
    import numpy as np

    from pipeline.audit.arrow import pa
    from pipeline.audit.bulk_sha256 import sha256_each

    salt = np.frombuffer(salts, np.uint8).reshape(-1, 2 * SALT_BYTES)
    hashed_meta = sha256_each(salt[:, :SALT_BYTES], pa.array([row.meta for row in rows], pa.large_binary()))
    cp = sha256_each(salt[:, SALT_BYTES:], pa.array([row.payload for row in rows], pa.large_binary()))
    leaves = np.empty(len(rows), [("offset", ">u8"), ("item", ">u4"), ("c", np.uint8, 32)])
    leaves["offset"] = [row.offset for row in rows]
    leaves["item"] = [row.item for row in rows]
    leaves["c"] = sha256_each(np.hstack([hashed_meta, cp]))
    flat = leaves.tobytes()
    return [flat[i : i + LEAF_BYTES] for i in range(0, len(flat), LEAF_BYTES)]
