"""Merkle tree heads of RFC 6962. Written apart from `pipeline/audit/merkle.py`, which the writers use."""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import sha256

import numpy as np

from pipeline.audit.bulk_sha256 import HASH_BYTES, Matrix, sha256_each

FEW_LEAVES = 48
"""A smaller tree is computed faster hash by hash than level by level."""


def merkle_root(leaves: Matrix) -> bytes:
    """The RFC 6962 tree head over leaf data, one leaf a row; level by level, an odd last node carried up."""
    if len(leaves) <= FEW_LEAVES:
        return root_of([leaf.tobytes() for leaf in leaves])
    level = sha256_each(_prefixed(0, leaves))
    while len(level) > 1:
        pairs = level[: len(level) // 2 * 2].reshape(-1, 2 * HASH_BYTES)
        above = sha256_each(_prefixed(1, pairs))
        level = np.vstack([above, level[-1:]]) if len(level) % 2 else above
    return level.tobytes()


def _prefixed(prefix: int, rows: Matrix) -> Matrix:
    with_prefix = np.empty((len(rows), rows.shape[1] + 1), np.uint8)
    with_prefix[:, 0] = prefix
    with_prefix[:, 1:] = rows
    return with_prefix


def root_of(leaves: Sequence[bytes]) -> bytes:
    """The RFC 6962 tree head over leaf data, for few leaves; by the RFC's own definition."""
    if not leaves:
        return sha256(b"").digest()
    if len(leaves) == 1:
        return sha256(b"\x00" + leaves[0]).digest()
    split = 1 << (len(leaves) - 1).bit_length() - 1
    return sha256(b"\x01" + root_of(leaves[:split]) + root_of(leaves[split:])).digest()
