"""Compaction keeps every row, link and salt, few files, and whoever still reads the old ones."""

import io
import threading
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

import pytest
from support.audit import START_MS, TOPIC_ID, claim, event_rows, seal_batches
from support.faults import FAULTS, Fault, Killed, durable_faults, without_disk_sync

from pipeline.audit import merkle
from pipeline.audit.compact import Compactor, CompactReport, PartitionCompactor, compact_store
from pipeline.audit.log import PartitionLog
from pipeline.audit.segment import open_parquet, read_footer
from pipeline.audit.signals import read_signals
from pipeline.audit.store import Store, StoreConfig
from pipeline.audit.writer import new_writer_id
from pipeline.errors import Fenced, StoreError
from schemas.log_entry import SegmentRef

__all__ = ["without_disk_sync"]


class Clock:
    def __init__(self) -> None:
        self.ms = START_MS

    def __call__(self) -> int:
        return self.ms


def config(root: Path, fan_in: int = 4, **changes: int) -> StoreConfig:
    return StoreConfig.model_validate({"path": root, "compact_fan_in_files": fan_in, **changes})


def compactor(store: Store, clock: Callable[[], int] | None = None, **changes: int) -> PartitionCompactor:
    settings = config(store.cache_dir, **changes)
    return PartitionCompactor(
        store, TOPIC_ID, 0, settings, writer_id=new_writer_id(), now_ms=clock or Clock()
    )


def live(store: Store) -> list[SegmentRef]:
    return list(PartitionLog.open(store, TOPIC_ID, 0).state.live.values())


def stored(store: Store) -> list[dict[str, object]]:
    """Every live row with all its columns."""
    rows: list[dict[str, object]] = []
    for ref in live(store):
        rows += open_parquet(io.BytesIO(store.read_segment(TOPIC_ID, 0, ref.name))).read().to_pylist()
    return rows


def small_files(root: Path, count: int = 4) -> Store:
    store = Store(root)
    seal_batches(claim(store), [event_rows(i * 3, 3) for i in range(count)])
    return store


def test_rows_and_links_stay_as_they_were(tmp_path: Path) -> None:
    store = small_files(tmp_path)
    before, refs = stored(store), live(store)
    assert compactor(store).run_once() == CompactReport(merged=4, made=1, deleted=0)
    (ref,) = live(store)
    assert stored(store) == before
    assert (ref.start, ref.end, ref.rows, ref.prev, ref.head) == (0, 12, 12, refs[0].prev, refs[-1].head)
    assert (ref.events, ref.min_event_ms, ref.max_event_ms) == (
        12,
        refs[0].min_event_ms,
        refs[-1].max_event_ms,
    )
    assert ref.merkle_root == merkle.root(bytes.fromhex(one.merkle_root) for one in refs).hex()
    assert read_signals(store, TOPIC_ID, 0, ref).height == 12


def test_the_root_is_that_of_the_segments_replaced_at_every_level(tmp_path: Path) -> None:
    store = Store(tmp_path)
    writer, clock = claim(store), Clock()
    for i in range(4):
        seal_batches(writer, [event_rows(i * 3, 3)])
    compactor(store, clock, fan_in=2).run_once()
    seal_batches(writer, [event_rows(12, 3)])
    inputs = live(store)
    compactor(store, clock, fan_in=2).run_once()
    (ref,) = live(store)
    footer = read_footer(open_parquet(io.BytesIO(store.read_segment(TOPIC_ID, 0, ref.name))), "here")
    assert footer.merkle_root == merkle.root(bytes.fromhex(one.merkle_root) for one in inputs).hex()


def test_replaced_files_stay_for_their_grace(tmp_path: Path) -> None:
    store, clock = small_files(tmp_path), Clock()
    one, refs = compactor(store, clock), live(store)
    one.run_once()
    clock.ms += 899_000
    assert one.run_once().deleted == 0
    claim(store)
    assert set(store.segment_names(TOPIC_ID, 0)) == {ref.name for ref in refs} | {live(store)[0].name}
    clock.ms += 1_000
    assert one.run_once().deleted == 4
    assert store.segment_names(TOPIC_ID, 0) == [live(store)[0].name]
    assert one.run_once() == CompactReport()


def test_nothing_due_writes_nothing(tmp_path: Path) -> None:
    store = small_files(tmp_path, count=3)
    before = PartitionLog.open(store, TOPIC_ID, 0).state
    assert compactor(store).run_once() == CompactReport()
    assert PartitionLog.open(store, TOPIC_ID, 0).state == before


def test_a_changed_segment_is_not_laundered(tmp_path: Path) -> None:
    store = small_files(tmp_path)
    path = Path(store.segment_location(TOPIC_ID, 0, live(store)[1].name))
    content = path.read_bytes()
    path.unlink()
    path.write_bytes(content[:-1] + b"x")
    with pytest.raises(StoreError, match="was changed"):
        compactor(store).run_once()
    assert len(live(store)) == 4


def test_an_output_that_reads_back_wrong_is_not_published(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = small_files(tmp_path)
    real = Store.open_segment

    def broken(self: Store, topic_id: str, partition: int, name: str) -> BinaryIO:
        return io.BytesIO(b"x") if "compact" in name else real(self, topic_id, partition, name)

    monkeypatch.setattr(Store, "open_segment", broken)
    with pytest.raises(StoreError, match="read back"):
        compactor(store).run_once()
    assert len(live(store)) == 4


def test_the_later_maintenance_claim_wins(tmp_path: Path) -> None:
    store = small_files(tmp_path)
    first, second = compactor(store), compactor(store)
    first.run_once()
    writer = claim(store)
    seal_batches(writer, [event_rows(12 + i, 1) for i in range(8)])
    second.run_once()
    seal_batches(writer, [event_rows(20 + i, 1) for i in range(8)])
    with pytest.raises(Fenced):
        first.run_once()
    assert [row["offset"] for row in stored(store)] == list(range(28))
    first.run_once()
    assert [row["offset"] for row in stored(store)] == list(range(28))


@pytest.mark.parametrize("fault", FAULTS)
def test_every_fault_at_every_durable_call_of_a_compaction(tmp_path: Path, fault: Fault) -> None:
    at = 0
    while True:
        store, clock = small_files(tmp_path / str(at), count=2), Clock()
        one = compactor(store, clock, fan_in=2)
        with durable_faults(fault, at) as faults:
            for _ in range(3):
                try:
                    one.run_once()
                except OSError:
                    continue
                except Killed:
                    one = compactor(store, clock, fan_in=2)
                break
        if faults.hit is None:
            break
        one.run_once()
        assert [row["offset"] for row in stored(store)] == list(range(6)), (fault, at)
        assert len(live(store)) == 1
        clock.ms += 900_000
        one.run_once()
        seal_batches(claim(store), [event_rows(6, 1)])
        compactor(store, clock, fan_in=2).run_once()
        clock.ms += 900_000
        compactor(store, clock, fan_in=2).run_once()
        names = {ref.name for ref in live(store)}
        assert set(store.segment_names(TOPIC_ID, 0)) == names, (fault, at)
        at += 1
    assert at >= 18


def test_the_background_thread_compacts_until_stopped(tmp_path: Path) -> None:
    store = small_files(tmp_path)
    settings = StoreConfig(path=tmp_path, compact_fan_in_files=4, compact_interval_s=0.01)
    done = threading.Event()

    class Watched(Compactor):
        def run_once(self) -> CompactReport:
            report = super().run_once()
            if report.made:
                done.set()
            return report

    runner = Watched(store, settings, writer_id=new_writer_id(), now_ms=Clock())
    runner.start()
    assert done.wait(30)
    runner.stop()
    assert len(live(store)) == 1


def test_one_bad_partition_does_not_stop_the_others(tmp_path: Path) -> None:
    store = small_files(tmp_path)
    seal_batches(claim(store, TOPIC_ID, 1), [event_rows(i, 1, partition=1) for i in range(4)])
    entry = tmp_path / f"log/{TOPIC_ID}/0/000000000001.json"
    entry.unlink()
    entry.write_bytes(b"{}")
    runner = Compactor(store, config(tmp_path), writer_id=new_writer_id(), now_ms=Clock())
    assert runner.run_once() == CompactReport(4, 1, 0)


def test_compact_store_goes_on_until_nothing_is_due(tmp_path: Path) -> None:
    store = small_files(tmp_path, count=16)
    report = compact_store(store, config(tmp_path, superseded_grace_s=0), now_ms=Clock())
    assert report.made >= 1
    assert [row["offset"] for row in stored(store)] == list(range(48))
    assert compact_store(store, config(tmp_path, superseded_grace_s=0), now_ms=Clock()) == CompactReport()
    assert len(store.segment_names(TOPIC_ID, 0)) == len(live(store)) == 1


def test_outputs_that_were_replaced_in_turn_are_deleted_too(tmp_path: Path) -> None:
    """By the host that made them and, after it is gone, by the next."""
    store, clock = Store(tmp_path), Clock()
    writer, first = claim(store), compactor(store, clock, fan_in=2)
    for start in (0, 3, 6):
        seal_batches(writer, [event_rows(start, 3)])
        first.run_once()
    clock.ms += 900_000
    first.run_once()
    assert store.segment_names(TOPIC_ID, 0) == [live(store)[0].name]
    seal_batches(writer, [event_rows(9, 3)])
    first.run_once()
    clock.ms += 900_000
    assert compactor(store, clock, fan_in=2).run_once().deleted == 2
    assert store.segment_names(TOPIC_ID, 0) == [live(store)[0].name]
