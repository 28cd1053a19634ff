"""Appending to one partition of a local topic. It blocks, and only its topic's producer uses it."""

import asyncio
import os
from collections.abc import Sequence
from typing import NamedTuple

from pipeline import durable
from pipeline.errors import TopicError
from pipeline.topics import frames
from pipeline.topics.base import Message
from pipeline.topics.local_files import LocalTopicsConfig, TopicDirectory
from pipeline.topics.local_reader import FileReader


class Append(NamedTuple):
    """One append call that waits for the disk."""

    partition: int
    key: bytes | None
    values: Sequence[bytes | None]
    times_ms: Sequence[int] | None
    done: "asyncio.Future[int]"


class PartitionWriter:
    """Appends to one partition. After a restart, and after a failed write, a new file begins."""

    def __init__(self, config: LocalTopicsConfig, directory: TopicDirectory, partition: int) -> None:
        self._config = config
        self._directory = directory
        self._partition = partition
        newest = directory.files(partition)[-1]
        reader = FileReader(directory, partition, newest)
        self._append_ms = reader.header.append_floor_ms
        while messages := reader.next_frame():
            self._append_ms = max(
                [self._append_ms] + [m.time_ms for m in messages if m.time_kind == "append"]
            )
        reader.sync()
        self.end = reader.offset
        reader.close()
        self._file_number = newest.number
        self._descriptor: int | None = None
        self._broken = False
        self._size = self._frames = 0

    def write(self, appends: Sequence[Append], now_ms: int) -> list[int]:
        """Append and fsync all of them; returns the first offset of each."""
        if self._broken:
            folder = self._directory.path / str(self._partition)
            raise TopicError(f"{folder}: an earlier write failed and could not be undone; restart auditfuse")
        descriptor = self._descriptor if self._descriptor is not None else self.begin_file()
        self._append_ms = max(self._append_ms, now_ms)
        firsts: list[int] = []
        messages: list[Message] = []
        for append in appends:
            firsts.append(self.end + len(messages))
            messages += self._messages(append, firsts[-1])
        sealed = [
            self._cipher.seal(self._frames + i, chunk) for i, chunk in enumerate(self._chunks(messages))
        ]
        self._write_synced(descriptor, sealed)
        self.end += len(messages)
        if self._size >= self._config.max_file_bytes:
            self.close()
        return firsts

    def close(self) -> None:
        """End the file; the next append begins another."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None

    def begin_file(self) -> int:
        """Begin the next file; what is appended goes there. Returns its descriptor."""
        file = self._directory.create_file(self._partition, self._file_number + 1, self.end, self._append_ms)
        self._file_number += 1
        self._cipher = file.cipher
        self._descriptor = os.open(file.path, os.O_WRONLY | os.O_APPEND)
        self._size, self._frames = frames.HEADER_BYTES, 0
        return self._descriptor

    def _write_synced(self, descriptor: int, sealed: list[bytes]) -> None:
        try:
            durable.write_all(descriptor, b"".join(sealed))
            os.fsync(descriptor)
        except OSError:
            self._cut_off(descriptor)
            raise
        self._size += sum(map(len, sealed))
        self._frames += len(sealed)

    def _cut_off(self, descriptor: int) -> None:
        """After a failed write: nothing of it was acknowledged, and its frame numbers are used up, so
        the file ends where it was good. Where even that fails, only a restart finds out what is there."""
        self._descriptor, self._broken = None, True
        try:
            os.ftruncate(descriptor, self._size)
            os.fsync(descriptor)
            self._broken = False
        finally:
            os.close(descriptor)

    def _messages(self, append: Append, first: int) -> list[Message]:
        key, partition = append.key, self._partition
        if append.times_ms is None:
            now_ms = self._append_ms
            return [
                Message(partition, first + i, now_ms, "append", key, v) for i, v in enumerate(append.values)
            ]
        pairs = zip(append.values, append.times_ms, strict=True)
        return [Message(partition, first + i, at, "event", key, v) for i, (v, at) in enumerate(pairs)]

    def _chunks(self, messages: list[Message]) -> list[list[Message]]:
        chunks: list[list[Message]] = []
        room = 0
        for message in messages:
            size = frames.encoded_size(message.key, message.value)
            if not chunks or size > room:
                chunks.append([])
                room = self._config.max_frame_bytes
            chunks[-1].append(message)
            room -= size
        return chunks
