"""Append partitions: any number of hosts, no claim, nothing lost and nothing twice."""

import multiprocessing
import threading
from pathlib import Path

import msgspec
import pytest
from support.audit import command_row, counting_clock
from support.faults import FAULTS, Fault, Killed, durable_faults, without_disk_sync
from support.tamper import faults_by_sql

from pipeline import durable
from pipeline.audit.compact import PartitionCompactor
from pipeline.audit.control import AppendLog, append_rows, read_rows
from pipeline.audit.log import PartitionLog
from pipeline.audit.store import CONTROL, FINDINGS, Store, StoreConfig
from pipeline.audit.verify import verify_store
from pipeline.audit.writer import new_writer_id

__all__ = ["without_disk_sync"]


def append(store: Store, ids: list[str], topic_id: str = CONTROL) -> list[str]:
    rows = [command_row(one) for one in ids]
    return append_rows(store, topic_id, rows, writer_id=new_writer_id(), now_ms=counting_clock())


def ids_of(store: Store, topic_id: str = CONTROL) -> list[str]:
    return [msgspec.json.decode(row.meta or b"")["id"] for row in read_rows(store, topic_id)]


def test_rows_come_back_as_they_were_appended(tmp_path: Path) -> None:
    store = Store(tmp_path)
    assert list(read_rows(store, CONTROL)) == []
    rows = [command_row("a"), command_row("b", agent=None)]
    assert append_rows(store, CONTROL, rows, writer_id=new_writer_id(), now_ms=counting_clock()) == ["a", "b"]
    append(store, ["c"])
    assert [(row.offset, row.meta) for row in read_rows(store, CONTROL)][:2] == [
        (0, rows[0].meta),
        (1, rows[1].meta),
    ]
    assert [row.offset for row in read_rows(store, CONTROL, 1)] == [1, 2]
    assert list(read_rows(store, CONTROL, 3)) == []


def test_a_first_append_that_was_cut_short_is_no_fault(tmp_path: Path) -> None:
    store = Store(tmp_path)
    append(store, ["a"])
    durable.remove(tmp_path / "log" / CONTROL / "0" / f"{0:012d}.json")
    report = verify_store(store)
    assert report.holds, report.faults
    assert ["its append was cut short" in note.what for note in report.notes] == [True]
    assert faults_by_sql(tmp_path) == []
    append(store, ["a", "b"])
    append(store, ["c"])
    assert verify_store(store).holds
    for entry in sorted((tmp_path / "log" / CONTROL / "0").iterdir()):
        durable.remove(entry)
    assert not verify_store(store).holds, "later segments were published by entries that are gone"
    assert faults_by_sql(tmp_path)


def test_no_id_is_appended_twice(tmp_path: Path) -> None:
    store = Store(tmp_path)
    assert append(store, ["a", "b", "a"]) == ["a", "b"]
    assert append(store, ["b", "c"]) == ["c"]
    assert append(store, ["a", "b", "c"]) == []
    assert ids_of(store) == ["a", "b", "c"]
    assert PartitionLog.open(store, CONTROL, 0).state.next_n == 2


def test_many_rows_are_split_over_entries(tmp_path: Path) -> None:
    store = Store(tmp_path)
    ids = [f"id-{i}" for i in range(2_500)]
    assert append(store, ids, FINDINGS) == ids
    entries = list(PartitionLog(store, FINDINGS, 0).entries_after(-1))
    assert [len(entry.ids) for entry in entries] == [1000, 1000, 500]
    assert ids_of(store, FINDINGS) == ids


def test_an_open_log_sees_what_others_append(tmp_path: Path) -> None:
    store = Store(tmp_path)
    log = AppendLog(store, CONTROL, writer_id=new_writer_id(), now_ms=counting_clock())
    assert log.append([command_row("a")]) == ["a"]
    append(store, ["b"])
    assert log.append([command_row("b"), command_row("c")]) == ["c"]
    assert ids_of(store) == ["a", "b", "c"]


def append_one_by_one(root: str, ids: list[str]) -> None:
    log = AppendLog(Store(Path(root)), CONTROL, writer_id=new_writer_id(), now_ms=counting_clock())
    for one in ids:
        log.append([command_row(one)])


def check_appended(store: Store, expected: set[str]) -> None:
    found = ids_of(store)
    assert len(found) == len(expected)
    assert set(found) == expected
    live = PartitionLog.open(store, CONTROL, 0).state.live
    assert sorted(store.segment_names(CONTROL, 0)) == sorted(live), "who loses removes its file"


def test_three_threads_at_once(tmp_path: Path) -> None:
    shared = [f"shared-{i}" for i in range(5)]
    lists = [[*shared, *(f"{host}-{i}" for i in range(5))] for host in range(3)]
    threads = [threading.Thread(target=append_one_by_one, args=(str(tmp_path), ids)) for ids in lists]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    check_appended(Store(tmp_path), {one for ids in lists for one in ids})


def test_three_processes_at_once(tmp_path: Path) -> None:
    lists = [["shared", *(f"{host}-{i}" for i in range(8))] for host in range(3)]
    context = multiprocessing.get_context("spawn")
    hosts = [context.Process(target=append_one_by_one, args=(str(tmp_path), ids)) for ids in lists]
    for host in hosts:
        host.start()
    for host in hosts:
        host.join()
    assert [host.exitcode for host in hosts] == [0, 0, 0]
    check_appended(Store(tmp_path), {one for ids in lists for one in ids})


@pytest.mark.parametrize("fault", FAULTS)
def test_every_fault_at_every_durable_call_of_an_append(tmp_path: Path, fault: Fault) -> None:
    at = 0
    while True:
        store = Store(tmp_path / str(at))
        append(store, ["a"])
        with durable_faults(fault, at) as faults:
            for _ in range(3):
                try:
                    append(store, ["a", "b", "c"])
                except OSError:
                    continue
                except Killed:
                    pass
                break
        append(store, ["b", "c", "d"])
        assert ids_of(store) == ["a", "b", "c", "d"]
        if faults.hit is None:
            break
        at += 1
    assert at >= 12


def test_reading_goes_on_over_a_compaction(tmp_path: Path) -> None:
    store = Store(tmp_path)
    for i in range(4):
        append(store, [str(i)])
    reading = read_rows(store, CONTROL)
    first = next(reading)
    config = StoreConfig(path=tmp_path, compact_fan_in_files=2, superseded_grace_s=0)
    compactor = PartitionCompactor(
        store, CONTROL, 0, config, writer_id=new_writer_id(), now_ms=counting_clock()
    )
    assert compactor.run_once().deleted == 4
    assert [first.offset, *(row.offset for row in reading)] == [0, 1, 2, 3]
    assert append(store, ["0", "4"]) == ["4"]
    assert ids_of(store) == ["0", "1", "2", "3", "4"]
