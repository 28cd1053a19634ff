"""SHA-256 of many short messages at once: verification and chaining hash seven blocks a row.

StringZilla hashes a whole Arrow column in one call, several times faster than a call of hashlib's a value
(`docs/decisions/0045-many-hashes-in-one-call.md`). Where it is not installed, or does not agree with hashlib
here, hashlib does it: slower, and nothing else differs.
"""

from __future__ import annotations

import hashlib
from functools import cache
from importlib import import_module
from itertools import pairwise
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from pipeline.audit.arrow import Array, pa

Matrix: TypeAlias = NDArray[np.uint8]
"""One message a row, all of one length."""

HASH_BYTES = 32
_LANES = 2048
"""Messages hashed side by side: their states stay in the processor's cache."""
_TRIAL_BYTES = (0, 1, 16, 45, 55, 56, 63, 64, 65, 76, 119, 120, 128, 1000)


def sha256_each(*parts: Array | Matrix) -> Matrix:
    """The hash of `part 0 ‖ part 1 ‖ …` of every row, as a matrix of 32 columns.

    Parts are equally long: Arrow arrays of strings or binary values, where null counts as empty, or matrices.
    """
    arrays = [_plain(part) if isinstance(part, pa.Array) else _as_array(part) for part in parts]
    library = stringzilla_or_none()
    return _by_hashlib(arrays) if library is None else _by_stringzilla(library, arrays)


def _as_array(rows: Matrix) -> Array:
    """A matrix as an Arrow array over the same memory."""
    count, width = rows.shape
    edges = np.arange(count + 1, dtype=np.int64) * width
    flat = pa.py_buffer(np.ascontiguousarray(rows))
    return pa.Array.from_buffers(pa.large_binary(), count, [None, pa.py_buffer(edges), flat])


def _plain(array: Array) -> Array:
    """Without nulls and without an offset into its buffers, which StringZilla would pass over."""
    if array.null_count:
        array = array.fill_null("" if pa.types.is_string(array.type) else b"")
    if not array.offset:
        return array
    _, edges, values = array.buffers()
    is_large = pa.types.is_large_binary(array.type) or pa.types.is_large_string(array.type)
    edges = edges.slice(array.offset * (8 if is_large else 4))
    return pa.Array.from_buffers(array.type, len(array), [None, edges, values])


@cache
def stringzilla_or_none() -> Any | None:
    """The library, if it is there and gives what hashlib gives."""
    try:
        library = import_module("stringzilla")
        trial = pa.array([bytes(range(256)) * 4] * len(_TRIAL_BYTES), pa.binary())
        lengths = pa.array([bytes(size) for size in _TRIAL_BYTES], pa.binary())
        agrees = (
            _by_stringzilla(library, [lengths, trial]).tobytes() == _by_hashlib([lengths, trial]).tobytes()
        )
    except (ImportError, AttributeError, TypeError, ValueError):
        return None
    return library if agrees else None


def _by_stringzilla(library: Any, arrays: list[Array]) -> Matrix:
    count = len(arrays[0])
    hashes: Matrix = np.empty((count, HASH_BYTES), np.uint8)
    views = [library.Strs(array, view=True) for array in arrays]
    for start in range(0, count, _LANES):
        end = min(start + _LANES, count)
        lanes = library.Sha256s(end - start)
        for view in views:
            lanes.update(view[start:end])
        lanes.digest(out=hashes[start:end])
    return hashes


def _by_hashlib(arrays: list[Array]) -> Matrix:
    columns = [_slices(array) for array in arrays]
    digests = b"".join(hashlib.sha256(b"".join(values)).digest() for values in zip(*columns, strict=True))
    return np.frombuffer(digests, np.uint8).reshape(-1, HASH_BYTES)


def _slices(array: Array) -> list[memoryview]:
    """The bytes of every value, uncopied."""
    large = array.cast(pa.large_string() if pa.types.is_string(array.type) else pa.large_binary())
    _, edges, values = large.buffers()
    places = np.frombuffer(edges, np.int64)[: len(large) + 1].tolist()
    view = memoryview(values) if values is not None else memoryview(b"")
    return [view[a:b] for a, b in pairwise(places)]
