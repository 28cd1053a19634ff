"""The row hash is what the store's specification says, and every input of a row moves it."""

import hashlib
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.audit import chain
from schemas.record import Row

PREV = bytes(range(32))


def row(offset: int, item: int, meta: bytes, payload: bytes) -> Row:
    return Row(offset=offset, item=item, kind="event", meta=meta, payload=payload, fields=None)


def by_the_book(prev: bytes, one: Row, salt_m: bytes, salt_p: bytes) -> tuple[bytes, bytes]:
    """(c, h) straight from docs/store-format.md."""
    cp = hashlib.sha256(salt_p + one.payload).digest()
    c = hashlib.sha256(hashlib.sha256(salt_m + one.meta).digest() + cp).digest()
    return c, hashlib.sha256(prev + struct.pack(">Q", one.offset) + struct.pack(">I", one.item) + c).digest()


rows_strategy = st.lists(
    st.builds(
        row,
        st.integers(0, 2**63 - 1),
        st.integers(0, 2**31 - 1),
        st.binary(max_size=40),
        st.binary(max_size=40),
    ),
    max_size=8,
)


@given(rows_strategy)
def test_links_follow_the_specification(rows: list[Row]) -> None:
    links = chain.chain(PREV, rows)
    prev = PREV
    for i, one in enumerate(rows):
        c, prev = by_the_book(prev, one, links.salts_m[i], links.salts_p[i])
        assert links.hashes[i] == prev
        assert links.leaves[i] == chain.leaf(one.offset, one.item, c)
        assert (
            chain.row_commitment(
                links.salts_m[i], one.meta, chain.payload_commitment(links.salts_p[i], one.payload)
            )
            == c
        )
    assert links.head == prev


def test_many_rows_are_chained_as_few_are() -> None:
    rows = [row(3 * i, i % 2, b"m" * (i % 200), b"p" * (i % 130)) for i in range(2 * chain.MANY_ROWS)]
    salts = bytes(i % 251 for i in range(32 * len(rows)))
    whole = chain.chain(PREV, rows, salts)
    few = chain.chain(PREV, rows[:10], salts[:320])
    assert (few.hashes, few.leaves, few.salts_m) == (whole.hashes[:10], whole.leaves[:10], whole.salts_m[:10])
    prev = PREV
    for i, one in enumerate(rows):
        c, prev = by_the_book(prev, one, whole.salts_m[i], whole.salts_p[i])
        assert (whole.hashes[i], whole.leaves[i]) == (prev, chain.leaf(one.offset, one.item, c))


def test_first_prev_depends_on_topic_and_partition() -> None:
    expected = hashlib.sha256(b"auditfuse/1" + b"t.1" + (7).to_bytes(4, "big")).digest()
    assert chain.first_prev("t.1", 7) == expected
    assert len({chain.first_prev("t.1", 7), chain.first_prev("t.1", 8), chain.first_prev("t.2", 7)}) == 3


def test_salts_are_fresh_and_distinct() -> None:
    links = chain.chain(PREV, [row(i, 0, b"m", b"p") for i in range(100)])
    assert len({*links.salts_m, *links.salts_p}) == 200
    assert {len(salt) for salt in links.salts_m + links.salts_p} == {16}


@pytest.mark.parametrize(
    "other",
    [row(2, 0, b"m", b"p"), row(1, 1, b"m", b"p"), row(1, 0, b"n", b"p"), row(1, 0, b"m", b"q")],
    ids=["offset", "item", "meta", "payload"],
)
def test_every_part_of_a_row_is_in_its_hash(other: Row) -> None:
    salts = bytes(32)
    assert chain.chain(PREV, [row(1, 0, b"m", b"p")], salts).head != chain.chain(PREV, [other], salts).head
