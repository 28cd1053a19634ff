"""Hashes of many messages at once are those of hashlib, with the library and without it."""

import hashlib
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.audit import bulk_sha256
from pipeline.audit.bulk_sha256 import sha256_each, stringzilla_or_none

messages = st.lists(st.one_of(st.none(), st.binary(max_size=300)), max_size=40)


def without_library() -> None:
    return None


@pytest.fixture(params=["with the library", "hashlib alone"], autouse=True)
def library(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    if request.param == "hashlib alone":
        monkeypatch.setattr(bulk_sha256, "stringzilla_or_none", without_library)


def expected(*columns: list[bytes | None]) -> bytes:
    rows = zip(*columns, strict=True)
    return b"".join(hashlib.sha256(b"".join(value or b"" for value in row)).digest() for row in rows)


@given(messages, st.sampled_from([pa.binary(), pa.large_binary()]), st.integers(0, 5))
def test_arrow_values_nulls_and_slices(values: list[bytes | None], kind: Any, start: int) -> None:
    array = pa.array(values, kind).slice(start)
    assert sha256_each(array).tobytes() == expected(values[start:])
    assert sha256_each(array, array).tobytes() == expected(values[start:], values[start:])


def test_more_than_one_lot_of_every_length() -> None:
    values = [bytes(i % 256 for i in range(size)) for size in range(5000)]
    matrix = np.arange(5000 * 45, dtype=np.uint32).astype(np.uint8).reshape(5000, 45)
    rows = [row.tobytes() for row in matrix]
    assert sha256_each(matrix).tobytes() == expected(rows)
    assert sha256_each(matrix, pa.array(values)).tobytes() == expected(rows, values)
    assert sha256_each(matrix[::7]).tobytes() == expected(rows[::7])


def test_text_and_nothing() -> None:
    texts = ["é😀", None, ""]
    assert sha256_each(pa.array(texts)).tobytes() == expected([(t or "").encode() for t in texts])
    assert sha256_each(pa.array([], pa.binary())).shape == (0, 32)


def test_a_library_that_hashes_wrongly_is_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    def wrong(library: Any, arrays: list[Any]) -> Any:
        return np.zeros((len(arrays[0]), 32), np.uint8)

    monkeypatch.setattr(bulk_sha256, "_by_stringzilla", wrong)
    assert stringzilla_or_none.__wrapped__() is None
