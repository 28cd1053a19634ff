"""Old entries move into bundles: nothing is lost, nothing reads otherwise, and no number is taken twice."""

from hashlib import sha256
from pathlib import Path

import msgspec
import pytest
from support.audit import START_MS, TOPIC_ID
from support.faults import FAULTS, Fault, Killed, durable_faults, without_disk_sync
from support.logs import WRITER, cover, entry_names, write_idle_log

from pipeline.audit.bundle import FILES_KEPT_MS, KNOWN_BEFORE_DELETION_S, LOCKED_RETRY_S, LogBundler
from pipeline.audit.compact import Compactor, PartitionCompactor
from pipeline.audit.entries import BUNDLE_ENTRIES as REAL_ENTRIES
from pipeline.audit.entries import LOOK_AGAIN_S, Entries, bundle_key, bundle_numbers, bundle_prefix
from pipeline.audit.fold import PartitionState
from pipeline.audit.log import PartitionLog
from pipeline.audit.objects.local import LocalObjects
from pipeline.audit.store import CHECKPOINT, Store, StoreConfig
from pipeline.audit.verify import verify_store
from pipeline.audit.writer import new_writer_id
from pipeline.errors import StoreError
from schemas.log_entry import Leaves

__all__ = ["without_disk_sync"]

BUNDLE_ENTRIES = 128
"""Of the bundles of these tests; one test makes a real one."""
WEEK_STEP_MS = FILES_KEPT_MS // 8
"""Entries so far apart that the last few are a week younger than the ones before."""


@pytest.fixture(autouse=True)
def small_bundles(monkeypatch: pytest.MonkeyPatch) -> None:
    _set_size(monkeypatch, BUNDLE_ENTRIES)


def _set_size(monkeypatch: pytest.MonkeyPatch, entries: int) -> None:
    for module in ("entries", "bundle", "verify.log_files"):
        monkeypatch.setattr(f"pipeline.audit.{module}.BUNDLE_ENTRIES", entries)


class Clock:
    """Seconds that only the test moves on."""

    def __init__(self) -> None:
        self.s = 1000.0

    def __call__(self) -> float:
        return self.s


def long_log(root: Path, *, step_ms: int = WEEK_STEP_MS, more: int = 20) -> tuple[Store, PartitionState]:
    """A log with one full bundle's entries and some more."""
    store = Store(root)
    return store, write_idle_log(store, BUNDLE_ENTRIES + more, step_ms=step_ms)


def compactor(store: Store, clock: Clock | None = None) -> PartitionCompactor:
    config = StoreConfig(path=store.cache_dir)
    return PartitionCompactor(
        store,
        TOPIC_ID,
        0,
        config,
        writer_id=new_writer_id(),
        now_ms=lambda: START_MS,
        clock_s=clock or Clock(),
    )


def checkpoint(covered: int) -> PartitionState:
    """The state of a `_checkpoint` whose tree holds so many entries."""
    state = PartitionState.initial(CHECKPOINT, 0)
    return msgspec.structs.replace(state, covered={(TOPIC_ID, 0): covered})


def bundled_and_deleted(store: Store) -> None:
    """Let a compactor bundle what is covered, and delete the files once it may."""
    clock = Clock()
    one = compactor(store, clock)
    one.tend_log(checkpoint(10**9))
    clock.s += KNOWN_BEFORE_DELETION_S
    assert one.tend_log(checkpoint(10**9)).deleted == BUNDLE_ENTRIES


def test_covered_entries_are_bundled_and_read_the_same(tmp_path: Path) -> None:
    store, state = long_log(tmp_path)
    one = compactor(store)
    assert one.tend_log(checkpoint(BUNDLE_ENTRIES - 1)).bundled == 0
    assert one.tend_log(checkpoint(BUNDLE_ENTRIES)).bundled == BUNDLE_ENTRIES
    assert one.tend_log(checkpoint(10**9)).bundled == 0
    assert bundle_numbers(store, TOPIC_ID, 0) == [0]
    assert len(entry_names(store)) == state.next_n
    content = store.objects.read(bundle_key(store, TOPIC_ID, 0, 0))
    files = [store.read_entry(TOPIC_ID, 0, n) or b"" for n in range(BUNDLE_ENTRIES)]
    assert content == b"".join(file + b"\n" for file in files)
    assert PartitionLog.open(store, TOPIC_ID, 0).state == state
    assert verify_store(store).holds


def test_files_go_a_week_later_and_the_log_stays_the_same(tmp_path: Path) -> None:
    store, state = long_log(tmp_path)
    before = [store.read_entry(TOPIC_ID, 0, n) for n in range(state.next_n)]
    bundled_and_deleted(store)
    assert entry_names(store) == [f"{n:012d}.json" for n in range(BUNDLE_ENTRIES, state.next_n)]
    log = PartitionLog.open(store, TOPIC_ID, 0)
    assert log.state == state
    assert [log.content(n) for n in range(state.next_n)] == before
    assert [entry.n for entry in log.entries_after(BUNDLE_ENTRIES - 3)] == list(
        range(BUNDLE_ENTRIES - 2, state.next_n)
    )
    report = verify_store(store)
    assert (report.holds, report.entries) == (True, state.next_n)


def test_files_stay_for_a_week_of_the_log_and_hours_of_the_clock(tmp_path: Path) -> None:
    young, _ = long_log(tmp_path / "young", step_ms=1000)
    clock = Clock()
    one = compactor(young, clock)
    one.tend_log(checkpoint(10**9))
    clock.s += 10 * KNOWN_BEFORE_DELETION_S
    assert one.tend_log(checkpoint(10**9)).deleted == 0
    old, _ = long_log(tmp_path / "old")
    clock = Clock()
    one = compactor(old, clock)
    one.tend_log(checkpoint(10**9))
    clock.s += KNOWN_BEFORE_DELETION_S - 1
    assert one.tend_log(checkpoint(10**9)).deleted == 0
    # Another process does not know for how long the bundle has been there.
    assert compactor(old, clock).tend_log(checkpoint(10**9)).deleted == 0
    clock.s += 1
    assert one.tend_log(checkpoint(10**9)).deleted == BUNDLE_ENTRIES
    assert one.tend_log(checkpoint(10**9)).deleted == 0


def test_deletion_goes_on_where_it_was_stopped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store, _ = long_log(tmp_path)
    clock = Clock()
    one = compactor(store, clock)
    one.tend_log(checkpoint(10**9))
    clock.s += KNOWN_BEFORE_DELETION_S
    real = Store.delete_entry

    def stopped(self: Store, topic_id: str, partition: int, n: int) -> None:
        if n == 30:
            raise OSError
        real(self, topic_id, partition, n)

    with monkeypatch.context() as patch:
        patch.setattr(Store, "delete_entry", stopped)
        with pytest.raises(OSError):
            one.tend_log(checkpoint(10**9))
    assert entry_names(store)[0] == "000000000030.json"
    later = compactor(store, clock)
    later.tend_log(checkpoint(10**9))
    clock.s += KNOWN_BEFORE_DELETION_S
    assert later.tend_log(checkpoint(10**9)).deleted == BUNDLE_ENTRIES - 30


def test_files_that_an_object_lock_keeps_are_left_for_a_day(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store, _ = long_log(tmp_path)
    clock = Clock()
    one = compactor(store, clock)
    one.tend_log(checkpoint(10**9))
    clock.s += KNOWN_BEFORE_DELETION_S
    tried: list[int] = []

    def locked(self: Store, topic_id: str, partition: int, n: int) -> None:
        tried.append(n)
        raise PermissionError

    with monkeypatch.context() as patch:
        patch.setattr(Store, "delete_entry", locked)
        assert [one.tend_log(checkpoint(10**9)).deleted for _ in range(3)] == [0, 0, 0]
    assert len(tried) == 1
    clock.s += LOCKED_RETRY_S + KNOWN_BEFORE_DELETION_S
    assert one.tend_log(checkpoint(10**9)).deleted == BUNDLE_ENTRIES


def test_who_was_stopped_for_days_takes_no_number_that_is_taken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A host that saw 30 entries comes back when their files are long gone."""
    store, state = long_log(tmp_path)
    clock = Clock()
    stopped = PartitionLog(store, TOPIC_ID, 0, clock_s=clock)
    hidden = tmp_path / "hidden.json"
    path = Path(store.objects.location(f"{store.log_prefix(TOPIC_ID, 0)}/000000000030.json"))
    path.rename(hidden)
    assert stopped.refresh().next_n == 30
    hidden.rename(path)
    bundled_and_deleted(store)
    entry = stopped.next_entry("idle", at_ms=START_MS, writer=WRITER, epoch=1, end=0, idle_until_ms=1)
    clock.s += LOOK_AGAIN_S
    tried: list[str] = []

    def refused(self: LocalObjects, key: str, content: bytes) -> bool:
        tried.append(key)
        return False

    monkeypatch.setattr(LocalObjects, "create", refused)
    assert not stopped.try_append(entry)
    assert not tried
    assert stopped.refresh() == state


def test_who_was_stopped_between_looking_and_creating_takes_its_entry_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store, _ = long_log(tmp_path)
    clock = Clock()
    entries = Entries(store, TOPIC_ID, 0, clock)
    assert entries.read(50) == store.read_entry(TOPIC_ID, 0, 50)
    real = Store.create_entry

    def resumed_days_later(self: Store, topic_id: str, partition: int, n: int, content: bytes) -> bool:
        clock.s += 8 * 86_400
        bundled_and_deleted(self)
        return real(self, topic_id, partition, n, content)

    monkeypatch.setattr(Store, "create_entry", resumed_days_later)
    assert not entries.create(50, b"{}")
    assert "000000000050.json" not in entry_names(store)
    assert verify_store(store).holds


def test_an_entry_that_persisted_and_was_bundled_is_a_success(tmp_path: Path) -> None:
    store, _ = long_log(tmp_path)
    content = store.read_entry(TOPIC_ID, 0, 7) or b""
    bundled_and_deleted(store)
    entries = Entries(store, TOPIC_ID, 0, Clock())
    assert entries.create(7, content)
    assert not entries.create(8, content)


def test_a_file_that_differs_from_its_bundle_is_a_fault_and_stays(tmp_path: Path) -> None:
    store, _ = long_log(tmp_path)
    clock = Clock()
    one = compactor(store, clock)
    one.tend_log(checkpoint(10**9))
    path = Path(store.objects.location(f"{store.log_prefix(TOPIC_ID, 0)}/000000000005.json"))
    path.write_bytes(path.read_bytes().replace(b'"end":0', b'"end":1'))
    clock.s += KNOWN_BEFORE_DELETION_S
    with pytest.raises(StoreError, match=r"000000000005 differs from its bundle"):
        one.tend_log(checkpoint(10**9))
    assert path.exists()
    assert any(fault.entry == 5 for fault in verify_store(store).faults)


def test_entries_that_do_not_link_are_not_bundled(tmp_path: Path) -> None:
    store, state = long_log(tmp_path)
    log = PartitionLog.open(store, TOPIC_ID, 0)
    path = Path(store.objects.location(f"{store.log_prefix(TOPIC_ID, 0)}/000000000005.json"))
    content = path.read_bytes()
    for broken in (content.replace(b'"idle_until_ms":', b'"idle_until_ms":9'), b"{}"):
        path.write_bytes(broken)
        with pytest.raises(StoreError, match=r"00000000000[56]"):
            LogBundler(log).run_once(state.next_n)
    path.unlink()
    with pytest.raises(StoreError, match="000000000005"):
        LogBundler(log).run_once(state.next_n)
    assert bundle_numbers(store, TOPIC_ID, 0) == []


@pytest.mark.parametrize("keep", [0, 30, -1])
def test_a_cut_bundle_is_told_and_not_read_as_the_end(tmp_path: Path, keep: int) -> None:
    store, _ = long_log(tmp_path)
    bundled_and_deleted(store)
    path = Path(store.objects.location(bundle_key(store, TOPIC_ID, 0, 0)))
    lines = path.read_bytes().splitlines(keepends=True)
    path.chmod(0o640)
    path.write_bytes(b"".join(lines[:keep]))
    with pytest.raises(StoreError, match="bundle"):
        PartitionLog.open(store, TOPIC_ID, 0)
    assert not verify_store(store).holds


@pytest.mark.parametrize("fault", FAULTS)
def test_every_fault_while_a_bundle_is_made(tmp_path: Path, fault: Fault) -> None:
    store, state = long_log(tmp_path)
    log = PartitionLog.open(store, TOPIC_ID, 0)
    at = 0
    while True:
        with durable_faults(fault, at) as faults:
            try:
                LogBundler(log).run_once(state.next_n)
            except (OSError, Killed):
                assert faults.hit
        LogBundler(log).run_once(state.next_n)
        assert len(store.objects.read(bundle_key(store, TOPIC_ID, 0, 0)).splitlines()) == BUNDLE_ENTRIES
        if faults.hit is None:
            break
        store.objects.delete(bundle_key(store, TOPIC_ID, 0, 0))
        at += 1
    assert at >= 7
    assert PartitionLog.open(store, TOPIC_ID, 0).state == state


def test_a_bundle_of_real_size(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _set_size(monkeypatch, REAL_ENTRIES)
    store = Store(tmp_path)
    state = write_idle_log(store, 4096 + 20, step_ms=WEEK_STEP_MS)
    clock = Clock()
    one = compactor(store, clock)
    assert one.tend_log(checkpoint(4096)).bundled == 4096
    clock.s += KNOWN_BEFORE_DELETION_S
    assert one.tend_log(checkpoint(4096)).deleted == 4096
    assert store.objects.names(bundle_prefix(store, TOPIC_ID, 0)) == ["000000000000-000000004095.ndjson"]
    assert PartitionLog.open(store, TOPIC_ID, 0).state == state
    assert verify_store(store).holds


def test_the_compaction_pass_bundles_what_the_checkpoint_log_covers(tmp_path: Path) -> None:
    store, state = long_log(tmp_path)
    runner = Compactor(store, StoreConfig(path=tmp_path), writer_id=new_writer_id(), now_ms=lambda: START_MS)
    assert runner.run_once().bundled == 0
    contents = [store.read_entry(TOPIC_ID, 0, n) or b"" for n in range(state.next_n)]
    hashes = [sha256(content).hexdigest() for content in contents]
    cover(store, Leaves(topic_id=TOPIC_ID, partition=0, first_n=0, hashes=hashes))
    assert runner.run_once().bundled == BUNDLE_ENTRIES
    assert bundle_numbers(store, TOPIC_ID, 0) == [0]
