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


def next_hash(prev: bytes, leaf_of_row: bytes) -> bytes:
    """`h` of a row: SHA-256(h_prev ‖ u64 offset ‖ u32 item ‖ c)."""
    return sha256(prev + leaf_of_row).digest()


def chain(prev: bytes, rows: Sequence[Row], salts: bytes | None = None) -> Links:
    """Chain `rows`, in their order, onto `prev`.

    `salts` holds 32 bytes a row (salt_m, salt_p); None draws them from the system. One loop with
    everything inlined: this is the only per-row Python that the chain costs a segment.
    """
    count = len(rows)
    salts = os.urandom(2 * SALT_BYTES * count) if salts is None else salts
    salts_m = [salts[i : i + SALT_BYTES] for i in range(0, 32 * count, 32)]
    salts_p = [salts[i : i + SALT_BYTES] for i in range(SALT_BYTES, 32 * count, 32)]
    hashes: list[bytes] = []
    leaves: list[bytes] = []
    position, add_hash, add_leaf = _POSITION.pack, hashes.append, leaves.append
    for row, salt_m, salt_p in zip(rows, salts_m, salts_p, strict=True):
        meta_hash = sha256(salt_m + row.meta).digest()
        c = sha256(meta_hash + sha256(salt_p + row.payload).digest()).digest()
        leaf_of_row = position(row.offset, row.item) + c
        prev = sha256(prev + leaf_of_row).digest()
        add_leaf(leaf_of_row)
        add_hash(prev)
    return Links(salts_m, salts_p, hashes, leaves, prev)
