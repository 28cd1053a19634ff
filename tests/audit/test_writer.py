"""One writer a partition: what it seals is published once, whatever fails, dies or wakes up late."""

from pathlib import Path

import pytest
from support.audit import TOPIC_ID, claim, counting_clock, event_row, event_rows, seal_batches
from support.faults import FAULTS, Fault, Killed, durable_faults, without_disk_sync

from pipeline.audit.compact import PartitionCompactor
from pipeline.audit.gap import accept_gap, find_topic_id, halted_partitions, resume
from pipeline.audit.log import PartitionLog
from pipeline.audit.segment import Built, build_segment, open_parquet, read_footer
from pipeline.audit.store import Store, StoreConfig
from pipeline.audit.writer import PartitionWriter, new_writer_id
from pipeline.errors import ConfigError, Fenced, Halt
from schemas.log_entry import SegmentRef

__all__ = ["without_disk_sync"]


def stored_offsets(store: Store) -> list[int]:
    """The offsets of all live rows in order, every file checked against the log and the chain."""
    offsets: list[int] = []
    state = PartitionLog.open(store, TOPIC_ID, 0).state
    prev = None
    for ref in state.live.values():
        with store.open_segment(TOPIC_ID, 0, ref.name) as source:
            file = open_parquet(source)
            footer = read_footer(file, ref.name)
            table = file.read(columns=["offset", "h"])
        assert (footer.head, footer.rows) == (ref.head, ref.rows)
        assert prev is None or prev == ref.prev
        assert table.column("h").to_pylist()[-1].hex() == ref.head
        prev = ref.head
        offsets += table.column("offset").to_pylist()
    return offsets


def test_what_is_sealed_is_there_in_order(tmp_path: Path) -> None:
    store = Store(tmp_path)
    writer = claim(store)
    first = writer.seal(event_rows(3, 4), 9)
    second = writer.seal([event_row(9, 0), event_row(9, 1), event_row(12)], 13)
    assert (first.start, first.end, second.start, second.end) == (0, 9, 9, 13)
    assert (writer.end, second.prev) == (13, first.head)
    assert stored_offsets(store) == [3, 4, 5, 6, 9, 9, 12]
    assert PartitionLog.open(store, TOPIC_ID, 0).state == writer.state


def test_a_zombie_publishes_nothing(tmp_path: Path) -> None:
    """As with SIGSTOP: the first writer wakes up after another took over, and even after it sealed."""
    store = Store(tmp_path)
    zombie = claim(store)
    seal_batches(zombie, [event_rows(0, 5)])
    successor = claim(store)
    assert successor.end == 5
    with pytest.raises(Fenced):
        zombie.seal(event_rows(5, 5), 10)
    seal_batches(successor, [event_rows(5, 7)])
    for act in (
        lambda: zombie.seal(event_rows(5, 5), 10),
        lambda: zombie.idle(5, 1),
        lambda: zombie.halt("late", 5),
        lambda: zombie.halted,
    ):
        with pytest.raises(Fenced):
            act()
    assert stored_offsets(store) == list(range(12))


def test_a_claim_between_link_and_entry_fences_the_seal_and_its_file_is_swept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = Store(tmp_path)
    zombie = claim(store)
    real, successors = Store.create_segment, list[PartitionWriter]()

    def overtaken(self: Store, *args: object) -> None:
        real(self, *args)
        if not successors:
            successors.append(claim(store))

    monkeypatch.setattr(Store, "create_segment", overtaken)
    with pytest.raises(Fenced):
        zombie.seal(event_rows(0, 5), 5)
    assert store.segment_names(TOPIC_ID, 0) == []
    seal_batches(successors[0], [event_rows(0, 6)])
    assert stored_offsets(store) == list(range(6))


def test_a_seal_that_loses_to_another_kind_of_entry_is_tried_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = Store(tmp_path)
    writer = claim(store)
    seal_batches(writer, [[row] for row in event_rows(0, 4)])
    config = StoreConfig(path=tmp_path, compact_fan_in_files=2)
    compactor = PartitionCompactor(
        store, TOPIC_ID, 0, config, writer_id=new_writer_id(), now_ms=counting_clock()
    )
    real, compacted = Store.create_segment, list[bool]()

    def overtaken(self: Store, *args: object) -> None:
        real(self, *args)
        if not compacted:
            compacted.append(True)
            compactor.run_once()

    monkeypatch.setattr(Store, "create_segment", overtaken)
    writer.seal(event_rows(4, 2), 6)
    assert stored_offsets(store) == list(range(6))
    kinds = [entry.kind for entry in PartitionLog(store, TOPIC_ID, 0).entries_after(-1)]
    assert kinds[-3:] == ["claim", "compact", "seal"]


def test_a_claim_sweeps_unpublished_seals_and_nothing_else(tmp_path: Path) -> None:
    store = Store(tmp_path)
    writer = claim(store)
    ref = writer.seal(event_rows(0, 3), 3)
    orphan = ref.name.replace("-seal-", "-seal-")[:-24] + "f" * 16 + ".parquet"
    foreign = orphan.replace("-seal-", "-compact-")
    for name in (orphan, foreign):
        store.objects.create(store.segment_key(TOPIC_ID, 0, name), b"x")
    claim(store)
    assert sorted(store.segment_names(TOPIC_ID, 0)) == sorted([ref.name, foreign])


@pytest.mark.parametrize("fault", FAULTS)
def test_every_fault_at_every_durable_call_of_a_seal(tmp_path: Path, fault: Fault) -> None:
    """Persisted or not, dead or not: after the retry, or the next claim, each row is there once."""
    at, calls = 0, list[str]()
    while True:
        store = Store(tmp_path / str(at))
        writer = claim(store)
        seal_batches(writer, [event_rows(0, 2)])
        with durable_faults(fault, at) as faults:
            died = _seal_until_done(writer)
        if faults.hit is None:
            break
        calls.append(faults.hit)
        if died:
            writer = claim(store)
            if writer.end == 2:
                seal_batches(writer, [event_rows(2, 3)])
        assert writer.end == 5
        seal_batches(writer, [event_rows(5, 2)])
        assert stored_offsets(store) == list(range(7)), (fault, calls)
        claim(store)
        live = PartitionLog.open(store, TOPIC_ID, 0).state.live
        assert sorted(store.segment_names(TOPIC_ID, 0)) == sorted(live)
        at += 1
    per_file = ["open", "write", "fsync", "close", "link"]
    assert [call for call in calls if call in per_file[:3]].count("write") == 2
    assert {*per_file, "unlink"} <= set(calls)


def _seal_until_done(writer: PartitionWriter) -> bool:
    """As a worker does: repeat after an OSError. Returns whether the process died."""
    rows = event_rows(2, 3)
    for _ in range(3):
        try:
            writer.seal(rows, 5)
        except OSError:
            continue
        except Killed:
            return True
        return False
    raise AssertionError("one fault must not fail three attempts")


@pytest.mark.parametrize("fault", FAULTS)
def test_every_fault_at_every_durable_call_of_a_claim(tmp_path: Path, fault: Fault) -> None:
    at = 0
    while True:
        store = Store(tmp_path / str(at))
        seal_batches(claim(store), [event_rows(0, 2)])
        successor = None
        with durable_faults(fault, at) as faults:
            for _ in range(3):
                try:
                    successor = claim(store)
                except OSError:
                    continue
                except Killed:
                    pass
                break
        if faults.hit is None:
            break
        successor = successor or claim(store)
        seal_batches(successor, [event_rows(2, 2)])
        assert stored_offsets(store) == [0, 1, 2, 3]
        at += 1
    assert at >= 8


def test_a_repeated_seal_must_be_the_same(tmp_path: Path) -> None:
    writer = claim(Store(tmp_path))
    with durable_faults("not persisted", 0), pytest.raises(OSError, match="injected"):
        writer.seal(event_rows(0, 3), 3)
    with pytest.raises(ValueError, match="repeat that one"):
        writer.seal(event_rows(0, 4), 4)
    assert writer.seal(event_rows(0, 3), 3).rows == 3


def test_idle_is_chained_and_moves_over_offsets_without_rows(tmp_path: Path) -> None:
    store = Store(tmp_path)
    writer = claim(store)
    seal_batches(writer, [event_rows(0, 3)])
    writer.idle(5, 1_000)
    assert (writer.end, writer.state.idle_until_ms) == (5, 1_000)
    assert writer.seal(event_rows(5, 1), 6).start == 5
    assert stored_offsets(store) == [0, 1, 2, 5]


def test_a_halt_waits_for_a_person(tmp_path: Path) -> None:
    store, now_ms = Store(tmp_path), counting_clock()
    writer = claim(store)
    seal_batches(writer, [event_rows(0, 3)])
    writer.halt("offset 3 is not held", 3)
    writer.halt("again", 3)
    with pytest.raises(Halt, match="auditfuse gap accept"):
        writer.seal(event_rows(9, 1), 10)
    assert claim(store).halted == "offset 3 is not held"
    assert [state.end for state in halted_partitions(store)] == [3]
    with pytest.raises(ConfigError, match="above 3"):
        accept_gap(store, TOPIC_ID, 0, to=3, reason="r", by="ana", now_ms=now_ms)
    assert find_topic_id(store, "agent-events", 0) == TOPIC_ID
    accept_gap(store, TOPIC_ID, 0, to=9, reason="retention", by="ana", now_ms=now_ms)
    successor = claim(store)
    assert (successor.end, successor.halted) == (9, None)
    seal_batches(successor, [event_rows(9, 1)])
    assert stored_offsets(store) == [0, 1, 2, 9]
    with pytest.raises(ConfigError, match="not halted"):
        resume(store, TOPIC_ID, 0, reason="r", by="ana", now_ms=now_ms)


def test_a_late_sweep_leaves_the_files_of_a_later_writer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first writer claims and falls asleep; the second claims and has linked, but not published."""
    store = Store(tmp_path)
    real, later = Store.segment_names, list[SegmentRef]()

    def slow(self: Store, topic_id: str, partition: int) -> list[str]:
        if not later:
            later.append(build_later(store).ref)
        return real(self, topic_id, partition)

    def build_later(store: Store) -> Built:
        monkeypatch.setattr(Store, "segment_names", real)
        state = claim(store).state
        built = build_segment(
            TOPIC_ID, 0, event_rows(0, 2), start=0, end=2, epoch=state.epoch, kind="seal", prev=state.head
        )
        store.create_segment(TOPIC_ID, 0, built.ref.name, built.content)
        return built

    monkeypatch.setattr(Store, "segment_names", slow)
    sleeper = claim(store)
    assert store.segment_names(TOPIC_ID, 0) == [later[0].name]
    with pytest.raises(Fenced):
        sleeper.seal(event_rows(0, 1), 1)
