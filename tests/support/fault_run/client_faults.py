"""Faults at the calls of the client that reads a topic: each call fails once, in each way, and its worker
is started again as in a process. Every message must then be sealed once, in order."""

import asyncio
import itertools
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Literal, NamedTuple

import pytest
from support.audit import START_MS, TOPIC_ID, event_row
from support.crash_checks import assert_sound

from pipeline import worker as worker_module
from pipeline.audit.store import Store, StoreConfig
from pipeline.audit.writer import PartitionWriter, new_writer_id
from pipeline.clock import system_now_ms
from pipeline.errors import TopicError
from pipeline.partition import Stages
from pipeline.prepare import Batch
from pipeline.roles import supervise
from pipeline.roles.supervise import Supervisor
from pipeline.topics.base import Bounds, Message, OnAssigned, OnRevoked
from pipeline.worker import Worker
from pipeline.worker_config import WorkerConfig
from schemas.record import Row

MESSAGES, PER_POLL = 60, 6
TIMEOUT_S = 20.0
Fault = Literal["refused", "timed out", "cancelled", "done and refused", "defect"]
FAULTS: tuple[Fault, ...] = ("refused", "timed out", "cancelled", "done and refused", "defect")
CALLS: Mapping[str, int] = {"start": 1, "poll": 10, "bounds": 3, "confirm": 2, "commit": 2, "stop": 1}
"""Calls of the client, and at how many of each a fault is injected."""


class ClientCase(NamedTuple):
    """One fault at the n-th call (from 0) of one name."""

    call: str
    at: int
    fault: Fault


def cases() -> Iterator[ClientCase]:
    """Every one."""
    for fault, (call, count) in itertools.product(FAULTS, CALLS.items()):
        for at in range(count):
            yield ClientCase(call, at, fault)


class _Client:
    """A topic of one partition, read through a client that fails at one call."""

    topic_id = TOPIC_ID

    def __init__(self, case: ClientCase) -> None:
        self._case = case
        self._seen = 0
        self._position: int | None = None
        self.hit = False

    async def start(self, on_assigned: OnAssigned, on_revoked: OnRevoked) -> None:
        with _Call(self, "start"):
            del on_revoked
            self._position = on_assigned([0])[0]

    async def poll(self, timeout_s: float, max_messages: int) -> dict[int, list[Message]]:
        del timeout_s, max_messages
        await asyncio.sleep(0.002)
        with _Call(self, "poll"):
            assert self._position is not None
            first, last = self._position, min(self._position + PER_POLL, MESSAGES)
            self._position = last
            found = [Message(0, n, START_MS, "append", None, b"x" * 50) for n in range(first, last)]
            return {0: found} if found else {}

    def pause(self, partitions: Sequence[int]) -> None:
        """Nothing here is paused for long."""

    def resume(self, partitions: Sequence[int]) -> None:
        """See pause."""

    def seek(self, partition: int, offset: int) -> None:
        self._position = offset

    async def bounds(self, partitions: Sequence[int]) -> dict[int, Bounds]:
        with _Call(self, "bounds"):
            return dict.fromkeys(partitions, Bounds(0, MESSAGES))

    async def confirm(self) -> None:
        with _Call(self, "confirm"):
            return

    async def commit(self, ends: Mapping[int, int]) -> None:
        with _Call(self, "commit"):
            return

    async def stop(self) -> None:
        with _Call(self, "stop"):
            self._position = None

    def fails_now(self, name: str) -> Fault | None:
        """Count a call; the fault, where it is the one."""
        if name != self._case.call:
            return None
        self._seen += 1
        if self._seen - 1 != self._case.at:
            return None
        self.hit = True
        return self._case.fault


class _Call:
    """A call of the client; what it did is lost to the caller where it fails."""

    def __init__(self, client: _Client, name: str) -> None:
        self._fault = client.fails_now(name)

    def __enter__(self) -> None:
        if self._fault is not None and self._fault != "done and refused":
            raise _ERRORS[self._fault]

    def __exit__(self, *_: object) -> None:
        if self._fault == "done and refused":
            raise _ERRORS["refused"]


_ERRORS: Mapping[str, BaseException] = {
    "refused": TopicError("the broker said no"),
    "timed out": TimeoutError(),
    "cancelled": asyncio.CancelledError(),
    "defect": KeyError("a defect of the library"),
}


def run_case(case: ClientCase, root: Path) -> bool:
    """Whether it came to the fault. Raises AssertionError where anything is lost or twice."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(supervise, "RETRY_FIRST_S", 0.01)
        patch.setattr(worker_module, "HOUSEKEEPING_INTERVAL_S", 0.02)
        client = _Client(case)
        try:
            asyncio.run(_read_all(client, root))
        except Exception as error:
            raise AssertionError(f"{case}: {type(error).__name__}: {error}") from error
    offsets = [row.offset for row in assert_sound(root)]
    assert sorted(offsets) == list(range(MESSAGES)), f"{case}: {sorted(offsets)}"
    return client.hit


async def _read_all(client: _Client, root: Path) -> None:
    store, done = Store(root), asyncio.Event()
    sealed: set[int] = set()

    async def prepare(batch: Batch) -> list[Row]:
        return [event_row(message.offset) for message in batch.messages]

    async def read() -> None:
        stages = Stages(
            prepare=prepare,
            on_sealed=lambda *told: sealed.update(row.offset for row in told[-1]),
            worker=WorkerConfig(processes=0, retry_interval_s=0.01, chunk_messages=PER_POLL),
            store=StoreConfig(path=root, seal_interval_ms=5),
            now_ms=system_now_ms,
        )
        reader = Worker(client, "source", stages, claim=claim)
        stopping = asyncio.create_task(_stop_at(done, reader))
        try:
            await reader.run()
        finally:
            stopping.cancel()

    def claim(topic_id: str, partition: int) -> PartitionWriter:
        return PartitionWriter.claim(
            store, topic_id, partition, writer_id=new_writer_id(), now_ms=system_now_ms
        )

    running = asyncio.create_task(Supervisor().run("source", read, done))
    async with asyncio.timeout(TIMEOUT_S):
        while len(sealed) < MESSAGES:
            assert not running.done(), running
            await asyncio.sleep(0.005)
        await asyncio.sleep(0.06)  # some housekeeping at the end, which may fail too
        done.set()
        await running


async def _stop_at(done: asyncio.Event, reader: Worker) -> None:
    await done.wait()
    reader.stop()
