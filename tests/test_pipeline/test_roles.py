"""Roles: who does what only one should, and how detection is shared out."""

import asyncio
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from pydantic import SecretStr
from support.audit import START_MS, TOPIC_ID, claim, event_row, seal_batches
from support.running import wait_until

from pipeline.approvals_follower import ApprovalsFollower
from pipeline.audit.erase.orders import ControlRows
from pipeline.audit.store import Store
from pipeline.audit.writer import PartitionWriter, new_writer_id
from pipeline.clock import system_now_ms
from pipeline.config import Config
from pipeline.detect.config import DetectConfig
from pipeline.detect.fold import Detection
from pipeline.detect.model import SignalBatch
from pipeline.detect.snapshots import Snapshots
from pipeline.errors import ConfigError
from pipeline.killswitch.approvals import SealedApprovals
from pipeline.killswitch.approvals_config import ApprovalsConfig
from pipeline.respond.active import ActiveLock
from pipeline.respond.config import StateConfig
from pipeline.respond.state import StateDatabase
from pipeline.roles.duty import LIVES_FOR_MS, Duty
from pipeline.roles.layout import require_layout
from pipeline.roles.parts import Parts
from pipeline.roles.respond import Respond
from pipeline.roles.role import ALL_ROLES, roles_of
from pipeline.roles.supervise import Supervisor
from pipeline.signals_topic.shard import Shard, all_shards
from pipeline.signals_topic.snapshot_folder import StoreFolder, drop_all
from pipeline.tail import EMPTY_CUT, Handover, Tail

A, B = (TOPIC_ID, 0), (TOPIC_ID, 1)


@pytest.fixture
def state(tmp_path: Path) -> StateDatabase:
    database = StateDatabase(StateConfig(url=SecretStr(f"sqlite:///{tmp_path / 'state.db'}")))
    database.create_schema()
    return database


def test_roles_are_named_once_or_with_commas() -> None:
    assert roles_of([]) == ALL_ROLES
    assert roles_of(["detect,respond", "control"]) == {"detect", "respond", "control"}
    with pytest.raises(ConfigError, match="--role sing: there is no such role"):
        roles_of(["ingest, sing"])


def test_another_number_of_shards_is_refused_with_the_way_out(state: StateDatabase) -> None:
    require_layout(state, None, take_over=False)
    state.consume([], {A: (0, 5)}, START_MS)
    require_layout(state, None, take_over=False)
    with pytest.raises(ConfigError, match=r"one process's .* to be shared out to 3 shards.* run --reshard"):
        require_layout(state, 3, take_over=False)
    assert state.shards() == ["all"]


def test_shards_take_over_where_the_slowest_stood(state: StateDatabase) -> None:
    state.consume([], {A: (0, 5), B: (0, 9)}, START_MS, shard="0/2")
    state.consume([], {A: (0, 7)}, START_MS, shard="1/2")
    require_layout(state, 3, take_over=True)
    assert state.shards() == [shard.name for shard in all_shards(3)]
    assert [state.sealed_ends(shard.name) for shard in all_shards(3)] == [{A: 5, B: 9}] * 3
    require_layout(state, 3, take_over=False)
    require_layout(state, None, take_over=True)
    assert state.sealed_ends() == {A: 5, B: 9}


def writer_of(store: Store, writer_id: str, partition: int, at_ms: int) -> PartitionWriter:
    return PartitionWriter.claim(store, TOPIC_ID, partition, writer_id=writer_id, now_ms=lambda: at_ms)


def test_whoever_writes_a_partition_looks_after_it_and_the_first_one_that_lives_leads(tmp_path: Path) -> None:
    store, one, two = Store(tmp_path), new_writer_id(), new_writer_id()
    now_ms = [START_MS]
    duties = [Duty(store, writer_id, lambda: now_ms[0]) for writer_id in (one, two)]
    assert [duty.leads() for duty in duties] == [False, False]
    writer_of(store, one, 0, START_MS)
    writer_of(store, two, 1, START_MS)
    assert [duty.leads() for duty in duties] == [True, False]
    assert [duty.is_ours(B) for duty in duties] == [False, True]
    assert [duty.is_ours(("_findings", 0)) for duty in duties] == [True, False]
    now_ms[0] += LIVES_FOR_MS + 1
    writer_of(store, two, 1, now_ms[0])
    assert [duty.leads() for duty in duties] == [False, True]
    assert [duty.is_ours(A) for duty in duties] == [False, True]


def test_another_host_goes_on_from_the_newest_snapshot_in_the_store(tmp_path: Path) -> None:
    config, now_ms = DetectConfig(), [START_MS]
    shard = Shard(1, 3)
    folder = StoreFolder(Store(tmp_path), shard, lambda: now_ms[0])
    detection = Detection(config, shard.part)
    for end in (5, 9):
        detection.observe(SignalBatch(*A, 0, end, EMPTY_CUT, START_MS))
        Snapshots(folder, config, shard.part).save(detection)
    elsewhere = Snapshots(StoreFolder(Store(tmp_path), shard, system_now_ms), config, shard.part)
    taken = elsewhere.nearest({A: 9}, not_before_ms=0)
    assert taken is not None
    assert taken.ends == {A: 9}
    assert len(list((tmp_path / "snapshots" / "shards" / "1-of-3").iterdir())) == 1
    other = Snapshots(StoreFolder(Store(tmp_path), Shard(2, 3), system_now_ms), config)
    assert other.nearest({A: 9}, not_before_ms=0) is None
    assert drop_all(Store(tmp_path)) == 1
    Snapshots(folder, config, shard.part).save(detection)
    assert elsewhere.nearest({A: 9}, not_before_ms=START_MS + 60_000) is None
    assert list((tmp_path / "snapshots" / "shards" / "1-of-3").iterdir()) == []


GRANT = {"action_kind": "none", "approval_status": "granted", "approval_source": "gateway"}


def test_a_control_host_follows_approvals_by_itself_and_over_a_restart(tmp_path: Path) -> None:
    store = Store(tmp_path / "store")

    def now_ms() -> int:
        return START_MS + 1_000

    def started() -> tuple[ApprovalsFollower, SealedApprovals]:
        approvals = SealedApprovals(ApprovalsConfig(), now_ms=now_ms)
        follower = ApprovalsFollower(
            Tail(store, Handover()),
            approvals,
            folder=tmp_path / "snapshots",
            reach_ms=3_600_000,
            control=ControlRows(store),
            now_ms=now_ms,
        )
        follower.work()
        return follower, approvals

    def opens(approvals: SealedApprovals, approval_id: str) -> bool:
        return approvals.usable(approval_id, frozenset({"invoice-agent"}), "update_invoice", "production")

    writer = claim(store)
    seal_batches(writer, [[event_row(0, approval_id="apr-1", **GRANT)]])
    follower, approvals = started()
    assert follower.is_ready
    assert opens(approvals, "apr-1")
    seal_batches(writer, [[event_row(1, approval_id="apr-2", **GRANT)]])
    assert not opens(approvals, "apr-2")
    follower.work()
    assert opens(approvals, "apr-2")
    seal_batches(writer, [[event_row(2, approval_id="apr-3", **GRANT)]])
    follower.work()
    follower.save()
    _, again = started()
    assert not opens(again, "apr-1"), "what an earlier process has opened is for one use"
    assert opens(again, "apr-3")


def test_a_member_that_stands_by_takes_over_and_one_that_lost_the_right_stops(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pipeline.roles.respond.ASK_S", 0.05)
    config = Config.model_validate(
        {
            "store": {"path": tmp_path / "store"},
            "keys": {"path": tmp_path / "keys"},
            "killswitch": {"journal": tmp_path / "journal"},
            "state": {"url": f"sqlite:///{tmp_path / 'state.db'}"},
        }
    )
    holder = ActiveLock(config.state)
    assert holder.try_acquire()

    async def story() -> list[bool]:
        parts = Parts(config, (), frozenset({"respond"}), system_now_ms)
        member, done = Respond(parts, Supervisor()), asyncio.Event()
        running = asyncio.create_task(member.run(done))
        await _until(lambda: member.readiness() == {"delivery": True})
        seen = [parts.leads_responding]
        holder.release()
        await _until(lambda: parts.leads_responding)
        threading.Thread(target=member._on_lost).start()
        await _until(lambda: not parts.leads_responding)
        await _until(lambda: parts.leads_responding)
        done.set()
        await asyncio.wait_for(running, 30)
        return [*seen, parts.leads_responding]

    assert asyncio.run(story()) == [False, False]
    assert holder.try_acquire()


async def _until(condition: Callable[[], bool]) -> None:
    await asyncio.to_thread(wait_until, condition, 30)
