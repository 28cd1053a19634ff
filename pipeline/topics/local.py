"""The embedded default: a topic as a directory of encrypted files, fsynced before an append returns.

One process appends to a topic at a time; any number of consumers read it. There are no consumer groups
here: each consumer reads every partition, and the store's claim decides who may seal.
"""

import asyncio
import contextlib
import time
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from pipeline.errors import TopicError
from pipeline.keys import Keys
from pipeline.topics import frames
from pipeline.topics.base import Bounds, Message, OffsetOutOfRange, OnAssigned, OnRevoked
from pipeline.topics.local_files import KEY_NAME, LocalTopicsConfig, TopicDirectory
from pipeline.topics.local_live import live_topic
from pipeline.topics.local_producer import LocalProducer
from pipeline.topics.local_reader import FileReader, PartitionReader

__all__ = ["LocalConsumer", "LocalProducer", "LocalTopicsConfig"]


class _Found(NamedTuple):
    """What one reader gave."""

    partition: int
    reader: PartitionReader
    messages: list[Message]


class LocalConsumer:
    """Reads all partitions of one local topic. What is committed is deleted, file by file."""

    def __init__(self, config: LocalTopicsConfig, name: str, keys: Keys) -> None:
        self._config = config
        self._name = name
        self._keys = keys
        self._directory: TopicDirectory | None = None
        self._readers: dict[int, PartitionReader] = {}
        self._tails: dict[int, FileReader] = {}
        self._paused: set[int] = set()
        self._turn = 0
        self._replaced: list[PartitionReader] = []
        self._reading: asyncio.Future[list[_Found]] | None = None
        self._wake = asyncio.Event()
        self._on_revoked: OnRevoked | None = None

    @property
    def topic_id(self) -> str:
        """`<name>.<32 hex>`: a directory made anew has another."""
        return self._opened().topic_id

    async def start(self, on_assigned: OnAssigned, on_revoked: OnRevoked) -> None:
        """Open or make the topic; all its partitions are ours from now on."""
        self._directory = directory = await asyncio.to_thread(self._open)
        self._live = live_topic(directory.path)
        self._live.add(self._wake)
        self._on_revoked = on_revoked
        partitions = list(range(directory.partitions))
        offsets = on_assigned(partitions)
        for partition in partitions:
            self.seek(partition, offsets[partition])

    async def poll(self, timeout_s: float, max_messages: int) -> dict[int, list[Message]]:
        """As `Consumer.poll`; an append in this process ends the wait at once."""
        deadline = time.monotonic() + timeout_s
        while True:
            self._wake.clear()
            found = await self._read_unpaused(max_messages)
            left_s = deadline - time.monotonic()
            if found or left_s <= 0:
                return found
            if self._live.ends is None:
                left_s = min(left_s, self._config.watch_interval_ms / 1000)
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._wake.wait(), left_s)

    def pause(self, partitions: Sequence[int]) -> None:
        """Deliver nothing of these partitions until resumed; the position stays."""
        self._paused.update(partitions)

    def resume(self, partitions: Sequence[int]) -> None:
        """Deliver them again."""
        self._paused.difference_update(partitions)
        self._wake.set()

    def seek(self, partition: int, offset: int) -> None:
        """Go on reading a partition at `offset`."""
        if (old := self._readers.get(partition)) is not None:
            self._replaced.append(old)
        self._readers[partition] = PartitionReader(self._opened(), partition, offset)
        self._wake.set()

    async def bounds(self, partitions: Sequence[int]) -> dict[int, Bounds]:
        """The offsets that each partition holds."""
        return await asyncio.to_thread(lambda: {p: self._bounds(p) for p in partitions})

    async def confirm(self) -> None:
        """A directory's id is in each of its files: there is nothing to mix up."""

    async def commit(self, ends: Mapping[int, int]) -> None:
        """Delete the files that lie below the sealed ends, but never a partition's newest."""
        await asyncio.to_thread(self._delete_below, dict(ends))

    async def stop(self) -> None:
        """Give all partitions back."""
        if self._directory is None:
            return
        on_revoked, self._on_revoked = self._on_revoked, None
        if on_revoked is not None:
            await on_revoked(list(self._readers))
        self._live.discard(self._wake)
        if self._reading is not None:
            await asyncio.wait([self._reading])
        self._close_replaced()
        for reader in [*self._readers.values(), *self._tails.values()]:
            reader.close()
        self._readers, self._tails = {}, {}

    async def _read_unpaused(self, max_messages: int) -> dict[int, list[Message]]:
        """Partitions take turns, so that a full one does not starve the others."""
        partitions = [p for p in self._readers if p not in self._paused]
        self._turn += 1
        start = self._turn % len(partitions) if partitions else 0
        turns = [(p, self._readers[p]) for p in partitions[start:] + partitions[:start]]
        found = await self._read_off_loop(turns, max_messages)
        delivered: dict[int, list[Message]] = {}
        for partition, reader, messages in found:
            if self._readers.get(partition) is not reader:
                continue  # a seek has taken its place meanwhile
            if partition in self._paused:
                reader.unread(messages)
            else:
                delivered[partition] = messages
        return delivered

    async def _read_off_loop(
        self, turns: list[tuple[int, PartitionReader]], max_messages: int
    ) -> list[_Found]:
        """A cancelled poll leaves its reading under way: the next one takes the result, nothing is lost."""
        if self._reading is None:
            self._close_replaced()
            loop = asyncio.get_running_loop()
            self._reading = loop.run_in_executor(None, self._read_turns, turns, max_messages)
        reading = self._reading
        try:
            found = await asyncio.shield(reading)
        except asyncio.CancelledError:
            raise  # even a reading that is done stays for the next poll
        except BaseException:
            self._reading = None
            raise
        self._reading = None
        return found

    def _close_replaced(self) -> None:
        """Only while nothing is being read: a descriptor must not be closed under a read."""
        for reader in self._replaced:
            reader.close()
        self._replaced = []

    def _read_turns(self, turns: list[tuple[int, PartitionReader]], max_messages: int) -> list[_Found]:
        found: list[_Found] = []
        room_messages, room_bytes = max_messages, self._config.max_poll_bytes
        for partition, reader in turns:
            end = None if self._live.ends is None else self._live.ends[partition]
            try:
                messages = reader.read(room_messages, room_bytes, end)
            except (OffsetOutOfRange, TopicError):
                if not found:
                    raise
                break  # deliver what was read; the next poll raises it
            if messages:
                found.append(_Found(partition, reader, messages))
            room_messages -= len(messages)
            room_bytes -= sum(frames.encoded_size(m.key, m.value) for m in messages)
            if room_messages <= 0 or room_bytes <= 0:
                break
        return found

    def _bounds(self, partition: int) -> Bounds:
        files = self._opened().files(partition)
        if self._live.ends is not None:
            return Bounds(files[0].start, self._live.ends[partition])
        tail = self._tails.get(partition)
        if tail is None or tail.file.number != files[-1].number:
            if tail is not None:
                tail.close()
            self._tails[partition] = tail = FileReader(self._opened(), partition, files[-1])
        return Bounds(files[0].start, tail.skip_to_end())

    def _delete_below(self, ends: dict[int, int]) -> None:
        for partition, end in ends.items():
            self._opened().delete_below(partition, end)

    def _open(self) -> TopicDirectory:
        config = self._config
        return TopicDirectory.open(config.path, self._name, config.partitions, self._keys.get(KEY_NAME))

    def _opened(self) -> TopicDirectory:
        if self._directory is None:
            raise TopicError(f"topic {self._name} is not started")
        return self._directory
