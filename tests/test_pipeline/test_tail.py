"""The tail after a restart: what detection is shown again in silence, and what it is told."""

from pathlib import Path

import polars as pl
from support.audit import START_MS, TOPIC_ID, claim, event_rows, seal_batches

from pipeline.audit.compact import compact_store
from pipeline.audit.store import Store, StoreConfig
from pipeline.audit.writer import PartitionWriter
from pipeline.detect.model import SignalBatch
from pipeline.tail import GONE_AFTER_MS, Handover, Tail

KEY = (TOPIC_ID, 0)


def sealed(store: Store, *batches: int) -> PartitionWriter:
    """A writer that has sealed segments of so many rows."""
    writer = claim(store)
    for rows in batches:
        seal_batches(writer, [event_rows(writer.end, rows)])
    return writer


def opened(store: Store) -> Tail:
    tail = Tail(store, Handover())
    tail.discover(START_MS)
    return tail


def offsets(batches: list[SignalBatch]) -> list[int]:
    return [offset for batch in batches for offset in batch.signals["offset"]]


def idles(batches: list[SignalBatch]) -> list[int | None]:
    return [batch.idle_until_ms for batch in batches if batch.idle_until_ms is not None]


def test_history_and_fresh_divide_the_rows_at_the_consumed_end(tmp_path: Path) -> None:
    store = Store(tmp_path)
    sealed(store, 5, 5, 5)
    tail = opened(store)
    assert offsets(list(tail.history(after={}, upto={KEY: 10}))) == list(range(10))
    assert offsets(list(tail.fresh({KEY: 10}))) == list(range(10, 15))
    assert list(tail.fresh({KEY: 15})) == []


def test_an_idle_entry_that_may_not_have_been_consumed_is_told_again(tmp_path: Path) -> None:
    """It closes minutes: folded in silence, the findings of those minutes would never come out."""
    store = Store(tmp_path)
    writer = sealed(store, 5)
    writer.idle(5, START_MS + 60_000)
    seal_batches(writer, [event_rows(5, 5)])
    writer.idle(10, START_MS + 120_000)
    tail = opened(store)
    assert idles(list(tail.history(after={}, upto={KEY: 10}))) == [START_MS + 60_000]
    assert idles(list(tail.fresh({KEY: 10}))) == [START_MS + 120_000]


def test_history_begins_after_the_snapshot(tmp_path: Path) -> None:
    store = Store(tmp_path)
    sealed(store, 5, 5, 5)
    after_snapshot = offsets(list(opened(store).history(after={KEY: 5}, upto={KEY: 15})))
    assert [offset for offset in after_snapshot if offset >= 5] == list(range(5, 15))


def test_what_was_compacted_since_reads_the_same(tmp_path: Path) -> None:
    store = Store(tmp_path)
    sealed(store, 4, 4, 4, 4)
    before = list(opened(store).history(after={}, upto={KEY: 16}))
    config = StoreConfig(path=tmp_path, compact_fan_in_files=2, superseded_grace_s=0)
    assert compact_store(store, config, now_ms=lambda: START_MS + 10_000).merged
    after = list(opened(store).history(after={}, upto={KEY: 16}))
    assert [(b.start, b.end) for b in after] == [(b.start, b.end) for b in before]
    assert pl.concat([b.signals for b in after]).equals(pl.concat([b.signals for b in before]))


def test_what_the_handover_let_go_is_read_from_the_store(tmp_path: Path) -> None:
    store = Store(tmp_path)
    sealed(store, 4, 4)
    handover = Handover(max_rows=1)
    for entry in (tmp_path / "segments" / TOPIC_ID / "0").iterdir():
        handover.put(entry.name, pl.DataFrame({"offset": [0, 1, 2, 3]}))
    tail = Tail(store, handover)
    tail.discover(START_MS)
    assert offsets(list(tail.fresh({}))) == list(range(8))


def test_whoever_stops_in_the_middle_goes_on_with_the_next_entry(tmp_path: Path) -> None:
    store = Store(tmp_path)
    sealed(store, 3, 3)
    tail = opened(store)
    first = next(tail.fresh({}))
    assert offsets([first]) == [0, 1, 2]
    assert offsets(list(tail.fresh({KEY: 3}))) == [3, 4, 5]


def test_a_partition_whose_first_entry_is_still_to_come_is_waited_for(tmp_path: Path) -> None:
    """Its folder is there a moment before its claim: others' minutes must not be closed without it."""
    store = Store(tmp_path)
    sealed(store, 5)
    (tmp_path / "log" / TOPIC_ID / "1").mkdir(parents=True)
    tail = opened(store)
    assert tail.alive(START_MS) == [KEY, (TOPIC_ID, 1)]
    assert (TOPIC_ID, 1) in tail.gone(START_MS + GONE_AFTER_MS + 1), "but not for ever"


def test_a_topic_that_was_made_anew_holds_no_minute_back(tmp_path: Path) -> None:
    """Its partitions speak no more: without this everybody waited for them for a quarter of an hour."""
    store = Store(tmp_path)
    sealed(store, 5)
    anew = (f"{TOPIC_ID.rpartition('.')[0]}.{'e' * 32}", 0)
    other = (f"other.{'f' * 32}", 0)
    tail = opened(store)
    begun_ms = START_MS + 60_000
    for key in (anew, other):
        PartitionWriter.claim(store, *key, writer_id="next", now_ms=lambda: begun_ms)
    tail.discover(begun_ms)
    assert tail.gone(begun_ms) == [KEY]
    assert set(tail.alive(begun_ms)) == {anew, other}
    PartitionWriter.claim(store, *KEY, writer_id="back", now_ms=lambda: begun_ms + 1)
    list(tail.fresh({}))
    assert KEY in tail.alive(begun_ms), "two clusters with topics of one name: it speaks again"


def test_a_partition_that_comes_back_is_waited_for_before_the_rows_read_with_it(tmp_path: Path) -> None:
    store = Store(tmp_path)
    sealed(store, 5)
    later_ms = START_MS + 10 * GONE_AFTER_MS
    tail = opened(store)
    list(tail.fresh({}))
    assert tail.alive(later_ms) == []
    PartitionWriter.claim(store, *KEY, writer_id="back", now_ms=lambda: later_ms)
    list(tail.fresh({}))
    assert tail.alive(later_ms) == [KEY]
