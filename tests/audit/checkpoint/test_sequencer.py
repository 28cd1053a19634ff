"""The sequencer: what it signs, what it never signs, at every crash point, and beside another one."""

import contextlib
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from support.audit import sealed_store
from support.checkpoint import NAME, START, Clock, Host, batches, faults, grow, notes
from support.faults import FAULTS, Fault, Killed, durable_faults, without_disk_sync

from pipeline import metrics
from pipeline.audit.checkpoint import uncovered
from pipeline.audit.checkpoint.note import SigningKey
from pipeline.audit.checkpoint.statement import Checkpoint
from pipeline.audit.log import PartitionLog
from pipeline.audit.store import CHECKPOINT, Store
from pipeline.errors import StoreError

__all__ = ["without_disk_sync"]


def entries(root: Path) -> int:
    """Log entries of all partitions but `_checkpoint`."""
    return len([one for one in root.glob("log/*/*/*.json") if one.parts[-3] != CHECKPOINT])


def test_a_pass_signs_the_tree_over_every_entry(tmp_path: Path, store: Store, host: Host):
    done = host.sequencer.run_once()
    assert done.newest is not None
    statement = done.newest.statement
    assert (statement.origin, statement.size, statement.at_ms) == (NAME, entries(tmp_path / "store"), START)
    [note] = notes(tmp_path / "store")
    assert note.name == statement.file_name
    assert Checkpoint.parse(note.read_bytes()) == done.newest
    assert note.stat().st_mode & 0o777 == 0o440
    assert faults(store) == []


def test_nothing_new_makes_no_batch(tmp_path: Path, store: Store, host: Host, clock: Clock):
    first = host.sequencer.run_once()
    clock.advance_s(600)
    assert host.sequencer.run_once() == (0, 0, first.newest)
    assert host.restarted().run_once().newest == first.newest
    assert (batches(tmp_path / "store"), len(notes(tmp_path / "store"))) == (1, 1)
    assert PartitionLog.open(store, CHECKPOINT, 0).state.epoch == 1


def test_a_tree_grows_from_what_was_signed_before(tmp_path: Path, store: Store, host: Host):
    host.sequencer.run_once()
    grow(store)
    host.sequencer.run_once()
    grow(store, partition=7)
    assert host.restarted().run_once().leaves == 2
    sizes = [Checkpoint.parse(note.read_bytes()).statement.size for note in notes(tmp_path / "store")]
    assert sizes == sorted(set(sizes))
    assert sizes[-1] == entries(tmp_path / "store")
    assert faults(store) == []


def test_what_waits_for_long_goes_into_several_batches(
    tmp_path: Path, store: Store, host: Host, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(uncovered, "BATCH_MAX_LEAVES", 4)
    done = host.sequencer.run_once()
    assert done.batches == batches(tmp_path / "store") == -(-entries(tmp_path / "store") // 4)
    assert len(notes(tmp_path / "store")) == done.batches
    assert faults(store) == []


def test_a_pass_that_is_stopped_goes_on_later(
    tmp_path: Path, store: Store, host: Host, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(uncovered, "BATCH_MAX_LEAVES", 4)
    assert host.sequencer.run_once(stopping=lambda: batches(tmp_path / "store") >= 1).batches == 1
    assert host.restarted().run_once().batches >= 1
    assert faults(store) == []


def test_an_empty_store_is_not_signed(tmp_path: Path, clock: Clock):
    host = Host(tmp_path / "host", Store(tmp_path / "store"), now_ms=clock)
    assert host.sequencer.run_once().newest is None
    assert not (tmp_path / "store").exists()


# --- recovery -----------------------------------------------------------------------------------------------


def crash_points() -> int:
    """More than a pass makes durable calls."""
    return 90


@pytest.mark.parametrize("fault", FAULTS)
def test_after_any_fault_the_same_tree_is_signed_once(tmp_path: Path, fault: Fault):
    made = sealed_store(tmp_path / "made", segments=1, commands=1)
    Host(tmp_path / "made-host", made, now_ms=Clock(START)).sequencer.run_once()
    grow(made)
    for at in range(crash_points()):
        root = tmp_path / "store"
        shutil.copytree(tmp_path / "made", root)
        shutil.copytree(tmp_path / "made-host", tmp_path / "host")
        clock = Clock(START + 60_000)
        host = Host(tmp_path / "host", Store(root), now_ms=clock)
        with durable_faults(fault, at) as injected:
            with contextlib.suppress(OSError, Killed):
                host.sequencer.run_once()
        clock.advance_s(1)
        sequencer = host.restarted() if "killed" in fault else host.sequencer
        done = sequencer.run_once()
        assert faults(Store(root)) == [], (fault, at, injected.hit)
        assert done.newest is not None
        assert done.newest.statement.size == entries(root), (fault, at, injected.hit)
        assert (batches(root), len(notes(root))) == (2, 2), (fault, at, injected.hit)
        shutil.rmtree(root)
        shutil.rmtree(tmp_path / "host")
        if injected.hit is None:
            assert at > 15
            return
    raise AssertionError("a pass makes more durable calls than were tried")


def test_a_missing_note_is_signed_again_byte_for_byte(tmp_path: Path, store: Store, host: Host, clock: Clock):
    host.sequencer.run_once()
    [note] = notes(tmp_path / "store")
    content = note.read_bytes()
    note.unlink()
    clock.advance_s(1000)
    host.restarted().run_once()
    assert note.read_bytes() == content


def test_a_batch_is_signed_later_only_if_its_leaves_are_the_entries(
    tmp_path: Path, store: Store, host: Host, clock: Clock
):
    """Somebody who can write the store puts leaves of its own into the log."""
    host.sequencer.run_once()
    grow(store, partition=5)
    forger = Host(tmp_path / "forger", store, SigningKey(NAME, bytes(32)), now_ms=clock)
    forger.sequencer.run_once(take_over=True)
    notes(tmp_path / "store")[-1].unlink()
    changed = tmp_path / "store" / "log" / "agent-events.00000000000000000000000000000001" / "5"
    for entry in changed.iterdir():
        entry.unlink()
    grow(store, segments=2, partition=5)
    grow(store)
    with pytest.raises(StoreError, match="not signed"):
        host.restarted().run_once(take_over=True)
    assert len(notes(tmp_path / "store")) == 1


# --- what is never signed -----------------------------------------------------------------------------------


def _first_partition(root: Path) -> Path:
    return root / "log" / "agent-events.00000000000000000000000000000001" / "0"


def _edit_covered(log: Path) -> None:
    newest = sorted(log.iterdir())[-1]
    newest.chmod(0o640)
    newest.write_bytes(newest.read_bytes().replace(b'"rows":', b'"rowz":'))


def _cut(log: Path) -> None:
    sorted(log.iterdir())[-1].unlink()


@pytest.mark.parametrize("damage", [_edit_covered, _cut])
def test_a_log_that_was_changed_is_left_out_and_the_others_go_on(
    tmp_path: Path, store: Store, host: Host, damage: Callable[[Path], None]
):
    host.sequencer.run_once()
    damage(_first_partition(tmp_path / "store"))
    grow(store, partition=1)
    done = host.restarted().run_once()
    assert done.leaves == 2
    assert metrics.REGISTRY.get_sample_value("auditfuse_checkpoint_left_out") == 1
    state = PartitionLog.open(store, CHECKPOINT, 0).state
    covered = state.covered[("agent-events.00000000000000000000000000000001", 0)]
    assert covered == 4


def test_a_log_that_was_cut_and_has_grown_again_is_not_signed(tmp_path: Path, store: Store, host: Host):
    host.sequencer.run_once()
    log = _first_partition(tmp_path / "store")
    _cut(log)
    shutil.rmtree(tmp_path / "store" / "snapshots", ignore_errors=True)
    grow(Store(tmp_path / "store"), segments=3)
    assert host.restarted().run_once().leaves == 0
    assert host.restarted().run_once().leaves == 0


def test_an_entry_that_does_not_link_is_not_signed(tmp_path: Path, store: Store, host: Host):
    host.sequencer.run_once()
    log = _first_partition(tmp_path / "store")
    grow(store, segments=2)
    second = sorted(log.iterdir())[-2]
    second.chmod(0o640)
    second.write_bytes(second.read_bytes().replace(b'"prev":"', b'"prev":"0', 1))
    assert host.sequencer.run_once().leaves == 2
    assert host.sequencer.run_once().leaves == 0


def test_a_damaged_note_does_not_stop_the_next_one(tmp_path: Path, store: Store, host: Host):
    host.sequencer.run_once()
    [note] = notes(tmp_path / "store")
    note.chmod(0o640)
    note.write_bytes(b"damaged")
    grow(store)
    assert host.restarted().run_once().batches == 1
    assert note.read_bytes() == b"damaged"
    assert len(faults(store)) == 1


def test_a_rolled_back_store_is_not_signed_on(tmp_path: Path, store: Store, host: Host):
    root = tmp_path / "store"
    host.sequencer.run_once()
    shutil.copytree(root, tmp_path / "old")
    grow(store)
    host.sequencer.run_once()
    shutil.rmtree(root)
    (tmp_path / "old").rename(root)
    grow(Store(root), segments=4)
    with pytest.raises(StoreError, match="rolled back"):
        Host(tmp_path / "host", Store(root), now_ms=Clock(START)).sequencer.run_once(take_over=True)
    assert len(notes(root)) == 1


def test_another_store_in_the_same_place_is_not_signed(tmp_path: Path, store: Store, host: Host):
    host.sequencer.run_once()
    shutil.rmtree(tmp_path / "store")
    anew = sealed_store(tmp_path / "store", segments=9)
    host = Host(tmp_path / "host", anew, now_ms=Clock(START))
    with pytest.raises(StoreError, match=r"signed\.json"):
        host.sequencer.run_once(take_over=True)
    (tmp_path / "host" / "signed.json").unlink()
    assert host.restarted().run_once().newest is not None


def test_a_snapshot_within_the_store_is_not_believed(tmp_path: Path, store: Store, host: Host):
    host.sequencer.run_once()
    assert not list((tmp_path / "store" / "snapshots").glob("log-_checkpoint*"))


# --- several keys, several hosts ----------------------------------------------------------------------------
