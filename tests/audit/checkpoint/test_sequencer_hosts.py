"""The sequencer beside another one: rotation of keys, leases, fencing."""

from pathlib import Path

import pytest
from support.checkpoint import KEY, OTHER_KEY, Clock, Host, faults, grow

from pipeline.audit.checkpoint.note import SigningKey
from pipeline.audit.log import PartitionLog
from pipeline.audit.store import CHECKPOINT, Store
from pipeline.errors import ConfigError


def test_during_a_rotation_both_keys_sign(tmp_path: Path, store: Store, clock: Clock):
    host = Host(tmp_path / "host", store, KEY, OTHER_KEY, now_ms=clock)
    host.sequencer.run_once()
    grow(store)
    Host(tmp_path / "host", store, OTHER_KEY, now_ms=clock).sequencer.run_once()
    assert faults(store, KEY, OTHER_KEY) == []
    assert faults(store, OTHER_KEY) == []
    assert "no trusted key has signed it" in faults(store, KEY)[0]


def test_two_hosts_take_turns_by_lease(tmp_path: Path, store: Store, host: Host, clock: Clock):
    other = Host(tmp_path / "other", store, now_ms=clock)
    host.sequencer.run_once()
    for _ in range(4):
        clock.advance_s(60)
        grow(store)
        assert other.sequencer.run_once() == (0, 0, None)
        assert host.sequencer.run_once().batches == 1
    assert PartitionLog.open(store, CHECKPOINT, 0).state.epoch == 1
    grow(store)
    for _ in range(3):
        assert other.sequencer.run_once().batches == 0
        clock.advance_s(60)
    assert other.sequencer.run_once().batches == 1
    assert host.sequencer.run_once().newest is None
    assert faults(store) == []


def test_a_quiet_log_does_not_move_to_another_host(store: Store, host: Host, clock: Clock, tmp_path: Path):
    other = Host(tmp_path / "other", store, now_ms=clock)
    host.sequencer.run_once()
    other.sequencer.run_once()
    clock.advance_s(86_400)
    other.sequencer.run_once()
    grow(store)
    assert other.sequencer.run_once().batches == 0
    assert host.sequencer.run_once().batches == 1


def test_a_host_that_starts_long_after_the_last_one_does_not_wait(
    tmp_path: Path, store: Store, host: Host, clock: Clock
):
    host.sequencer.run_once()
    grow(store)
    clock.advance_s(181)
    assert Host(tmp_path / "other", store, now_ms=clock).sequencer.run_once().batches == 1


def test_a_fenced_host_signs_nothing_more(tmp_path: Path, store: Store, host: Host, clock: Clock):
    """The other takes over while this one is about to append its batch."""
    host.sequencer.run_once()
    other = Host(tmp_path / "other", store, now_ms=clock)

    def overtaken(origin: str | None) -> list[SigningKey]:
        grow(store)
        other.sequencer.run_once(take_over=True)
        return [KEY]

    grow(store)
    host.keys_of = overtaken
    assert host.sequencer.run_once().batches == 0
    assert faults(store) == []


def test_processes_of_one_host_share_its_claim(tmp_path: Path, store: Store, host: Host, clock: Clock):
    host.sequencer.run_once()
    grow(store)
    beside = Host(tmp_path / "host", store, now_ms=clock)
    assert beside.sequencer.run_once(take_over=True).batches == 1
    grow(store)
    assert host.sequencer.run_once().batches == 1
    assert PartitionLog.open(store, CHECKPOINT, 0).state.epoch == 1
    assert faults(store) == []


def test_keys_that_cannot_be_had_leave_the_log_alone(tmp_path: Path, store: Store, host: Host):
    def none(origin: str | None) -> list[SigningKey]:
        raise ConfigError("no key")

    host.keys_of = none
    with pytest.raises(ConfigError):
        host.sequencer.run_once()
    assert not (tmp_path / "store" / "log" / CHECKPOINT).exists()
