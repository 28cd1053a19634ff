"""Appending to a local topic: appends that wait at the same time share one fsync."""

import asyncio
import fcntl
import os
import zlib
from collections.abc import Sequence

from pipeline.clock import NowMs, system_now_ms
from pipeline.errors import TopicError
from pipeline.keys import Keys
from pipeline.topics import frames
from pipeline.topics.local_files import KEY_NAME, LocalTopicsConfig, TopicDirectory
from pipeline.topics.local_live import live_topic
from pipeline.topics.local_writer import Append, PartitionWriter


class LocalProducer:
    """Appends to one local topic. Appends that wait at the same time share one fsync."""

    def __init__(
        self, config: LocalTopicsConfig, name: str, keys: Keys, now_ms: NowMs = system_now_ms
    ) -> None:
        self._config = config
        self._name = name
        self._keys = keys
        self._now_ms = now_ms
        self._directory: TopicDirectory | None = None
        self._writers: list[PartitionWriter] = []
        self._pending: list[Append] = []
        self._wake = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._lock_descriptor: int | None = None
        self._next_partition = 0

    @property
    def topic_id(self) -> str:
        """`<name>.<32 hex>`, known after start."""
        return self._opened().topic_id

    async def start(self) -> None:
        """Take the topic's lock and find the end of each partition. Raises TopicError where another
        process appends to it or a file is damaged."""
        await asyncio.to_thread(self._open)
        self._live = live_topic(self._opened().path)
        self._live.ends = {p: writer.end for p, writer in enumerate(self._writers)}
        self._live.wake()
        self._task = asyncio.create_task(self._write_pending(), name=f"local topic {self._name}")

    async def append(
        self,
        values: Sequence[bytes | None],
        *,
        partition: int | None = None,
        key: bytes | None = None,
        times_ms: Sequence[int] | None = None,
    ) -> list[tuple[int, int]]:
        """Append in order, fsynced on return; a value of None is a tombstone. `times_ms` (one a value)
        are the events' own times, of files that an operator loads; without them the append is stamped
        with the clock, never going back in a partition. Raises TopicError where the disk refuses."""
        if self._task is None or self._task.done():
            raise TopicError(f"topic {self._name} is not started: nothing can be appended")
        if not values:
            return []
        largest = max(frames.encoded_size(key, value) for value in values)
        if largest > self._config.max_message_bytes:
            limit = self._config.max_message_bytes
            raise TopicError(f"a message of {largest} bytes exceeds max_message_bytes = {limit}")
        if times_ms is not None and len(times_ms) != len(values):
            raise ValueError("times_ms must name one time for each value")
        chosen = self._partition(partition, key)
        done: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        self._pending.append(Append(chosen, key, values, times_ms, done))
        self._wake.set()
        first = await done
        return [(chosen, first + i) for i in range(len(values))]

    async def stop(self) -> None:
        """Write what waits, then give the lock back."""
        if self._task is not None:
            task, self._task = self._task, None
            self._wake.set()
            await task
            self._live.ends = None
        await asyncio.to_thread(self._close)

    def _partition(self, partition: int | None, key: bytes | None) -> int:
        count = self._opened().partitions
        if partition is None:
            if key is not None:
                return zlib.crc32(key) % count
            self._next_partition = (self._next_partition + 1) % count
            return self._next_partition
        if not 0 <= partition < count:
            raise TopicError(f"topic {self._name} has partitions 0 to {count - 1}, not {partition}")
        return partition

    async def _write_pending(self) -> None:
        while self._task is not None or self._pending:
            await self._wake.wait()
            self._wake.clear()
            pending, self._pending = self._pending, []
            by_partition: dict[int, list[Append]] = {}
            for append in pending:
                by_partition.setdefault(append.partition, []).append(append)
            await asyncio.gather(*(self._write(p, appends) for p, appends in by_partition.items()))
            self._live.wake()

    async def _write(self, partition: int, appends: list[Append]) -> None:
        writer = self._writers[partition]
        try:
            firsts = await asyncio.to_thread(writer.write, appends, self._now_ms())
        except Exception as error:  # noqa: BLE001 (whatever it was, no caller may wait for ever)
            failure = error
            if isinstance(error, OSError):
                where = self._opened().path / str(partition)
                failure = TopicError(f"cannot append to {where}: {error.strerror}")
            for append in appends:
                if not append.done.done():
                    append.done.set_exception(failure)
            return
        if self._live.ends is not None:
            self._live.ends[partition] = writer.end
        for append, first in zip(appends, firsts, strict=True):
            if not append.done.done():
                append.done.set_result(first)

    def _open(self) -> None:
        config = self._config
        key = self._keys.get(KEY_NAME)
        self._directory = directory = TopicDirectory.open(config.path, self._name, config.partitions, key)
        lock = os.open(directory.path / "producer.lock", os.O_RDWR | os.O_CREAT, 0o600)
        self._lock_descriptor = lock
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            self._writers = [PartitionWriter(config, directory, p) for p in range(directory.partitions)]
        except BlockingIOError:
            self._close()
            raise TopicError(f"{directory.path} is appended to by another process; stop it first") from None
        except BaseException:
            self._close()
            raise

    def _close(self) -> None:
        for writer in self._writers:
            writer.close()
        self._writers = []
        if self._lock_descriptor is not None:
            os.close(self._lock_descriptor)
            self._lock_descriptor = None

    def _opened(self) -> TopicDirectory:
        if self._directory is None:
            raise TopicError(f"topic {self._name} is not started")
        return self._directory
