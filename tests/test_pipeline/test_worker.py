"""The worker and its partitions: order, backpressure, drain, fencing, halts, a store that is full."""

import asyncio
import contextlib
import errno
import os
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from support.audit import START_MS, TOPIC_ID, event_row
from support.crash_checks import stored_rows

from pipeline.audit.log import PartitionLog
from pipeline.audit.store import Store, StoreConfig
from pipeline.audit.writer import PartitionWriter, new_writer_id
from pipeline.clock import system_now_ms
from pipeline.partition import Stages
from pipeline.prepare import Batch
from pipeline.topics.base import Bounds, Message, OffsetOutOfRange, OnAssigned, OnRevoked
from pipeline.worker import Worker
from pipeline.worker_config import WorkerConfig
from schemas.record import Row


class ListedTopic:
    """A topic of one partition whose messages are a list; `first` is the oldest that it still holds."""

    topic_id = TOPIC_ID

    def __init__(self, count: int) -> None:
        self.messages = [Message(0, n, START_MS, "append", None, b"x" * 100) for n in range(count)]
        self.first = 0
        self.position = 0
        self.paused: set[int] = set()
        self.ever_paused = False
        self.committed: dict[int, int] = {}
        self.on_revoked: OnRevoked | None = None

    async def start(self, on_assigned: OnAssigned, on_revoked: OnRevoked) -> None:
        self.on_revoked = on_revoked
        self.position = on_assigned([0])[0]

    async def poll(self, timeout_s: float, max_messages: int) -> dict[int, list[Message]]:
        del timeout_s
        await asyncio.sleep(0.001)
        if self.paused:
            return {}
        if self.position < self.first:
            raise OffsetOutOfRange(0, self.position)
        found = self.messages[self.position : self.position + max_messages]
        self.position += len(found)
        return {0: found} if found else {}

    def pause(self, partitions: Sequence[int]) -> None:
        self.paused.update(partitions)
        self.ever_paused = True

    def resume(self, partitions: Sequence[int]) -> None:
        self.paused.difference_update(partitions)

    def seek(self, partition: int, offset: int) -> None:
        del partition
        self.position = offset

    async def bounds(self, partitions: Sequence[int]) -> dict[int, Bounds]:
        return {p: Bounds(self.first, len(self.messages)) for p in partitions}

    async def confirm(self) -> None:
        return

    async def commit(self, ends: Mapping[int, int]) -> None:
        self.committed.update(ends)

    async def stop(self) -> None:
        return


class Rig:
    """A worker over a listed topic and a real store."""

    def __init__(self, root: Path, topic: ListedTopic, **options: Any) -> None:
        self.store = Store(root)
        self.topic = topic
        self.ahead_ms = 0
        """By how much the wall clock of this host is set wrong."""
        self.gate = asyncio.Event()
        self.gate.set()
        self.worker = Worker(
            topic,
            "source",
            Stages(
                prepare=self.prepare,
                on_sealed=lambda *_: None,
                worker=WorkerConfig(processes=0, retry_interval_s=0.01, **options),
                store=StoreConfig(path=root, seal_interval_ms=5),
                now_ms=lambda: system_now_ms() + self.ahead_ms,
            ),
            claim=self.claim,
        )

    def claim(self, topic_id: str, partition: int) -> PartitionWriter:
        return PartitionWriter.claim(
            self.store, topic_id, partition, writer_id=new_writer_id(), now_ms=system_now_ms
        )

    async def prepare(self, batch: Batch) -> list[Row]:
        await self.gate.wait()
        await asyncio.sleep(0.002 * (batch.messages[0].offset % 3))  # chunks become ready out of order
        return [event_row(message.offset) for message in batch.messages]

    def halt_reason(self) -> str | None:
        return PartitionLog.open(self.store, TOPIC_ID, 0).state.halted

    def offsets(self) -> list[int]:
        return [row.offset for row in stored_rows(self.store.cache_dir)]

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        task = asyncio.create_task(self.worker.run())
        try:
            yield
        finally:
            self.worker.stop()
            self.gate.set()
            await task


async def until(condition: Callable[[], bool], what: str) -> None:
    for _ in range(1_000):
        if condition():
            return
        await asyncio.sleep(0.01)
    raise AssertionError(f"not within 10 s: {what}")


async def test_order_is_kept_whatever_becomes_ready_first(tmp_path: Path) -> None:
    rig = Rig(tmp_path, ListedTopic(300), chunk_messages=7)
    async with rig.running():
        await until(lambda: len(rig.offsets()) == 300, "300 rows sealed")
    assert rig.offsets() == list(range(300))


async def test_a_stop_seals_what_was_read(tmp_path: Path) -> None:
    rig = Rig(tmp_path, ListedTopic(50))
    async with rig.running():
        await until(lambda: rig.topic.position == 50, "everything is read")
    assert rig.offsets() == list(range(50))
    assert rig.topic.committed == {0: 50}


async def test_an_idle_partition_says_no_more_than_is_so_though_the_clock_is_set_ahead(
    tmp_path: Path,
) -> None:
    rig = Rig(tmp_path, ListedTopic(5), idle_interval_ms=1)
    rig.ahead_ms = 3_600_000

    def idles() -> list[int | None]:
        entries = PartitionLog.open(rig.store, TOPIC_ID, 0).entries_after(-1)
        return [entry.idle_until_ms for entry in entries if entry.kind == "idle"]

    async with rig.running():
        await until(lambda: bool(idles()), "an idle entry")
    assert all(one is not None and one <= system_now_ms() for one in idles())


async def test_a_slow_store_pauses_the_topic_and_bounds_memory(tmp_path: Path) -> None:
    rig = Rig(tmp_path, ListedTopic(1_000), queue_bytes=10_000, poll_messages=20, chunk_messages=20)
    rig.gate.clear()
    async with rig.running():
        await until(lambda: bool(rig.topic.paused), "paused")
        assert rig.topic.position * 164 <= 10_000 + 20 * 164
        rig.gate.set()
        await until(lambda: len(rig.offsets()) == 1_000, "1,000 rows sealed")
        assert not rig.topic.paused
    assert rig.offsets() == list(range(1_000))


async def test_a_full_disk_is_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rig = Rig(tmp_path, ListedTopic(20))
    real, refusals = os.link, [2]

    def full(source: Any, target: Any) -> None:
        if str(target).endswith(".parquet") and refusals[0]:
            refusals[0] -= 1
            raise OSError(errno.ENOSPC, "no space")
        real(source, target)

    monkeypatch.setattr(os, "link", full)
    async with rig.running():
        await until(lambda: len(rig.offsets()) == 20, "20 rows sealed")
    assert refusals == [0]
    assert rig.offsets() == list(range(20))


async def test_who_was_fenced_gives_the_partition_up(tmp_path: Path) -> None:
    rig = Rig(tmp_path, ListedTopic(10))
    async with rig.running():
        await until(lambda: len(rig.offsets()) == 10, "10 rows sealed")
        assert rig.worker.is_ready
        rig.claim(TOPIC_ID, 0)
        rig.topic.messages += [Message(0, 10, START_MS, "append", None, b"late")]
        await until(lambda: not rig.worker.is_ready, "the fence is noticed")
        assert rig.topic.paused == {0}
    assert rig.offsets() == list(range(10))


async def test_a_rebalance_seals_what_was_read_before_it_gives_away(tmp_path: Path) -> None:
    rig = Rig(tmp_path, ListedTopic(40))
    async with rig.running():
        await until(lambda: rig.topic.position == 40, "everything is read")
        assert rig.topic.on_revoked is not None
        await rig.topic.on_revoked([0])
        assert rig.offsets() == list(range(40))


async def test_a_hole_halts_after_what_came_before_it_is_sealed(tmp_path: Path) -> None:
    topic = ListedTopic(30)
    topic.messages, later = topic.messages[:10], topic.messages[10:]
    rig = Rig(tmp_path, topic)
    rig.gate.clear()
    async with rig.running():
        await until(lambda: topic.position == 10, "the first are read")
        topic.messages += later
        topic.first = 25
        await until(lambda: bool(topic.paused), "the hole is noticed")
        rig.gate.set()
        await until(lambda: bool(rig.worker.halted), "halted")
    assert rig.offsets() == list(range(10))
    assert "offsets 10 to 24 were deleted" in (rig.halt_reason() or "")


async def test_a_topic_that_begins_later_is_read_from_there(tmp_path: Path) -> None:
    topic = ListedTopic(30)
    topic.first = 20
    rig = Rig(tmp_path, topic)
    async with rig.running():
        await until(lambda: len(rig.offsets()) == 10, "10 rows sealed")
    assert rig.offsets() == list(range(20, 30))
