"""The memo is bounded by the bytes that it really takes."""

import gc
import tracemalloc
from pathlib import Path

import pytest
from support.long import by_form
from support.redact import event, fresh

from pipeline.redact.batch import Memory
from pipeline.redact.memo import ENTRY_BYTES, Memo
from pipeline.redact.places import Places

STATM = Path("/proc/self/statm")


def test_the_memo_stays_within_its_bytes() -> None:
    memo: Memo[str] = Memo(100 * (ENTRY_BYTES + 100))
    for number in range(10_000):
        memo.put(("k", number), "value", 100)
        assert memo.bytes <= 100 * (ENTRY_BYTES + 100)
    assert memo.get(("k", 9_999)) == "value"
    assert memo.get(("k", 1)) is None


def test_what_is_used_stays_while_other_things_pass() -> None:
    memo: Memo[str] = Memo(100 * ENTRY_BYTES)
    memo.put("used", "value", 0)
    for number in range(10_000):
        memo.put(number, "other", 0)
        if number % 20 == 0:
            assert memo.get("used") == "value"


def test_one_huge_entry_does_not_empty_it_and_none_is_kept_where_there_is_no_room() -> None:
    memo: Memo[str] = Memo(100_000)
    memo.put("small", "value", 10)
    memo.put("huge", "value", 50_000)
    assert memo.get("huge") is None
    assert memo.get("small") == "value"
    nothing: Memo[str] = Memo(0)
    nothing.put("small", "value", 10)
    assert nothing.get("small") is None


TEXTS = {
    "short and clean": lambda n: f"order {n} shipped",
    "an address": lambda n: f"write to a{n}@example.org today",
    "several findings": lambda n: (
        f"a{n}@example.org 10.1.{n % 250}.7 b{n}@example.org ssn 536-22-{n % 9000 + 1000}"
    ),
    "long": lambda n: f"{n} " + "some longer text of many words " * 40,
    "wide": lambda n: f"{n} " + "слово " * 60,
    "objects": lambda n: {
        f"key_{n}": n,
        "name": f"value {n}",
        "list": [n, n + 1, f"item {n}"],
        "x": {"y": f"{n}z"},
    },
    "long objects": lambda n: {"rows": [{"id": f"id {n} {i}", "v": i} for i in range(40)]},
    "long histories": lambda n: [{"role": "user", "content": f"message {n} {i} " * 8} for i in range(50)],
}


@pytest.mark.parametrize("kind", TEXTS)
def test_entries_take_no_more_than_is_accounted_for(kind: str) -> None:
    redactor = fresh(names=False, memo_bytes=1 << 28)
    count = 60 if "long" in kind else 300
    write = TEXTS[kind]
    # Long values are remembered when they come again: each comes twice.
    events = [event(input=write(n)) for n in range(count)]
    redactor.redact([[event(input=write(10**6))]])
    gc.collect()
    tracemalloc.start()
    try:
        accounted = redactor.memo_bytes
        for one in events * 2:
            redactor.redact([[one]])
        accounted = redactor.memo_bytes - accounted
        gc.collect()
        without = Memory(0), Places(None)
        with_memo = tracemalloc.get_traced_memory()[0]
        redactor._memory, redactor._places = without
        gc.collect()
        taken = with_memo - tracemalloc.get_traced_memory()[0]
    finally:
        tracemalloc.stop()
    assert accounted > count * ENTRY_BYTES
    # Keys of objects are kept beside the memo, up to a fixed number: about 1 kB for each.
    beside = count * 1200 if kind == "objects" else 0
    assert accounted / 6 < taken <= accounted + beside + 50_000, (
        f"{taken / count:.0f} B taken, {accounted / count:.0f} counted"
    )


@pytest.mark.skipif(not STATM.exists(), reason="reads the resident set from /proc")
def test_memory_is_flat_once_the_memo_is_full() -> None:
    from benchmarks.redact_memory import measure

    redactor = fresh(names=False, memo_bytes=4 << 20)
    found = measure(redactor, by_form(short=12_000, long=40_000))
    assert 2 << 20 < found.memo_bytes <= 4 << 20
    assert found.growth_mb < 6, found
